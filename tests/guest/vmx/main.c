/* SPDX-License-Identifier: BSD-2-Clause */
/* Start, output, and L1's own exceptions. */
#include "guest.h"

static unsigned failures, checks;
static const char *theme = "";
volatile u32 taken[256];
u64 last_error;
extern u64 fault_rsp;
extern char stubs[], fault_return[], image_end[];

void put(const char *s)
{
	while (*s)
		outb(PORT_TEXT, (u8)*s++);
}

void put_hex(u64 v)
{
	put("0x");
	for (int shift = 60; shift >= 0; shift -= 4)
		if (v >> shift || !shift)
			outb(PORT_TEXT, (u8) "0123456789abcdef"[v >> shift & 15]);
}

void put_dec(unsigned v)
{
	if (v >= 10)
		put_dec(v / 10);
	outb(PORT_TEXT, (u8)('0' + v % 10));
}

void check_at(bool ok, const char *what, int line, u64 got, u64 want)
{
	checks++;
	if (ok)
		return;
	failures++;
	put("FAIL ");
	put(theme);
	put(":");
	put_dec((unsigned)line);
	put(": ");
	put(what);
	put(" is ");
	put_hex(got);
	put(", want ");
	put_hex(want);
	put("\n");
}

/* -- memory ------------------------------------------------------------------------------------------- */

void *page_alloc(void)
{
	static char *next;
	char *p;

	if (!next)
		next = image_end;
	p = next;
	next += PAGE;
	for (unsigned i = 0; i < PAGE; i++)
		p[i] = 0;
	return p;
}

/* -- descriptors ---------------------------------------------------------------------------------------- */

static u64 gdt[8] = {
	0,
	0x00af9b000000ffff, /* 08: code, 64 bits */
	0x00cf93000000ffff, /* 10: data */
	0,
	0, /* 18: TSS */
};
static u32 tss[26];
struct gate {
	u64 lo, hi;
} idt[256];

struct table_register {
	u16 limit;
	u64 base;
} __attribute__((packed));

static void load_tables(void)
{
	struct table_register gdtr = {sizeof(gdt) - 1, (u64)gdt},
			      idtr = {sizeof(idt) - 1, (u64)idt};
	u64 base = (u64)tss;

	gdt[3] = 0x67 | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
	for (unsigned i = 0; i < 256; i++) {
		u64 at = (u64)(stubs + 16 * i);

		idt[i].lo = (at & 0xffff) | 8 << 16 | 0x8e00ull << 32 | (at >> 16 & 0xffff) << 48;
		idt[i].hi = at >> 32;
	}
	asm volatile("lgdt %0\n lidt %1\n ltr %w2\n"
		     "mov %3, %%ds\n mov %3, %%es\n mov %3, %%ss\n mov %4, %%fs\n mov %4, %%gs\n"
		     "push $8\n lea 1f(%%rip), %%rax\n push %%rax\n lretq\n 1:"
		     :
		     : "m"(gdtr), "m"(idtr), "r"(0x18), "r"(0x10), "r"(0)
		     : "rax", "memory");
}

/* What stub_common has pushed, from the top. */
struct frame {
	u64 r11, r10, r9, r8, rdi, rsi, rdx, rcx, rax, vector, error, rip, cs, rflags, rsp, ss;
};

#define MSR_X2APIC_EOI 0x80b

void handle_vector(struct frame *f)
{
	taken[f->vector]++;
	if (f->vector >= 32) {
		wrmsr(MSR_X2APIC_EOI, 0);
		return;
	}
	if (f->vector == 2)
		return;
	if (!fault_rsp) {
		put("FAIL: exception ");
		put_hex(f->vector);
		put(" error ");
		put_hex(f->error);
		put(" at ");
		put_hex(f->rip);
		put(" cr2 ");
		put_hex(READ_CR(2));
		put(" in ");
		put(theme);
		put("\n");
		outl(PORT_DONE, failures + 1);
	}
	last_error = f->error;
	f->rax = f->vector;
	f->rip = (u64)fault_return;
}

/* -- all of it --------------------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	{"capabilities", test_capabilities},
	{"instructions", test_instructions},
	{"entry_checks", test_entry_checks},
	{"exits", test_exits},
	{"registers", test_registers},
	{"events", test_events},
	{"windows", test_windows},
	{"timer", test_timer},
	{"ept", test_ept},
	{"real_mode", test_real_mode},
	{"speed", show_speed},
	{"msr_lists", test_msr_lists},
};

#define MSR_APIC_BASE 0x1b

/* x2APIC, software-enabled. */
static void start_apic(void)
{
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | BIT(11) | BIT(10));
	wrmsr(0x80f, 0x1ff);
}

void main(void)
{
	load_tables();
	start_apic();
	for (unsigned i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		unsigned before = failures;

		theme = tests[i].name;
		tests[i].run();
		put(failures == before ? "ok   " : "bad  ");
		put(theme);
		put("\n");
	}
	put_dec(checks);
	put(" checks, ");
	put_dec(failures);
	put(" failures\n");
	outl(PORT_DONE, failures);
}

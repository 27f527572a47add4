/* SPDX-License-Identifier: BSD-2-Clause */
/* The virtual machine that the tests run: a VMCS with sane contents, EPT, entries. */
#include "guest.h"

struct l2_regs l2;
bool has_ept, has_vpid, has_urg, has_timer;
u64 eptp;

static bool launched;
static struct gate {
	u64 lo, hi;
} l2_idt[256];

extern char vm_exit_asm[], l2_stubs[], l2_stack_top[];
unsigned vm_enter_asm(unsigned resume);

struct table_register {
	u16 limit;
	u64 base;
} __attribute__((packed));

u64 vmread(u64 field)
{
	u64 v = 0;

	if (vmread_try(field, &v))
		check_at(false, "vmread", (int)field, 1, 0);
	return v;
}

void vmwrite(u64 field, u64 v)
{
	if (vmwrite_try(field, v))
		check_at(false, "vmwrite", (int)field, 1, 0);
}

unsigned vm_enter(void)
{
	unsigned r = vm_enter_asm(launched);

	if (!r && !(vmread(EXIT_REASON) >> 31))
		launched = true;
	return r;
}

void vm_skip(void)
{
	vmwrite(GUEST_RIP, vmread(GUEST_RIP) + vmread(EXIT_INSN_LEN));
}

/* -- EPT: 4 GiB, identity, 2-MiB pages ------------------------------------------------------------------ */

#define EPT_RWX	 7ull
#define EPT_WB	 (6ull << 3)
#define EPT_PAGE BIT(7)

static u64 *ept_pd[4];

static void ept_build(void)
{
	u64 *pml4 = page_alloc(), *pdpt = page_alloc();

	pml4[0] = (u64)pdpt | EPT_RWX;
	for (u64 i = 0; i < 4; i++) {
		ept_pd[i] = page_alloc();
		pdpt[i] = (u64)ept_pd[i] | EPT_RWX;
		for (u64 n = 0; n < 512; n++)
			ept_pd[i][n] = (i << 30 | n << 21) | EPT_RWX | EPT_WB | EPT_PAGE;
	}
	eptp = (u64)pml4 | 3 << 3 | 6;
}

u64 *ept_entry(u64 gpa)
{
	u64 *pde = &ept_pd[gpa >> 30][gpa >> 21 & 511];

	if (*pde & EPT_PAGE) {
		u64 *pt = page_alloc();

		for (u64 n = 0; n < 512; n++)
			pt[n] = (*pde & ~0x1fffffull) | n << 12 | EPT_RWX | EPT_WB;
		*pde = (u64)pt | EPT_RWX;
	}
	return &((u64 *)(*pde & ~0xfffull))[gpa >> 12 & 511];
}

/* -- VMCS ------------------------------------------------------------------------------------------------- */

static u32 control(u32 msr, u32 want)
{
	u64 cap = rdmsr(msr);

	return (want | (u32)cap) & (u32)(cap >> 32);
}

static void set_controls(void)
{
	u64 ept_vpid = rdmsr(0x48b) >> 32;
	u32 cpu2;

	has_ept = ept_vpid & BIT(1);
	has_vpid = ept_vpid & BIT(5);
	has_urg = ept_vpid & BIT(7);
	has_timer = rdmsr(0x48d) >> 32 & BIT(6);
	if (has_ept && !eptp)
		ept_build();
	cpu2 = (has_ept ? BIT(1) : 0) | (has_vpid ? BIT(5) : 0) | (has_urg ? BIT(7) : 0);
	vmwrite(PIN_CONTROLS, control(0x48d, BIT(0) | BIT(3)));
	vmwrite(CPU_CONTROLS, control(0x48e, BIT(31) | BIT(7)));
	vmwrite(CPU2_CONTROLS, control(0x48b, cpu2));
	vmwrite(EXIT_CONTROLS, control(0x48f, BIT(9) | BIT(15) | BIT(20) | BIT(21) | BIT(2)));
	vmwrite(ENTRY_CONTROLS, control(0x490, BIT(9) | BIT(15) | BIT(2)));
	vmwrite(VPID, has_vpid ? 1 : 0);
	vmwrite(EPT_POINTER, eptp);
}

static void set_host(void)
{
	struct table_register gdtr, idtr;

	asm volatile("sgdt %0\n sidt %1" : "=m"(gdtr), "=m"(idtr));
	vmwrite(HOST_CR0, READ_CR(0));
	vmwrite(HOST_CR3, READ_CR(3));
	vmwrite(HOST_CR4, READ_CR(4));
	vmwrite(HOST_CS_SEL, 8);
	vmwrite(HOST_ES_SEL, 0x10);
	vmwrite(HOST_SS_SEL, 0x10);
	vmwrite(0x0c06, 0x10);
	vmwrite(HOST_TR_SEL, 0x18);
	vmwrite(HOST_GDTR_BASE, gdtr.base);
	vmwrite(HOST_IDTR_BASE, idtr.base);
	/* The base of the TSS, from its descriptor. */
	u64 *gdt = (u64 *)gdtr.base;
	vmwrite(HOST_TR_BASE, (gdt[3] >> 16 & 0xffffff) | (gdt[3] >> 56) << 24);
	vmwrite(HOST_EFER, rdmsr(0xc0000080));
	vmwrite(HOST_RIP, (u64)vm_exit_asm);
}

static void set_guest_segments(void)
{
	static const u16 selectors[8] = {0x10, 8, 0x10, 0x10, 0, 0, 0, 0x18};
	static const u32 rights[8] = {0xc093,  0xa09b,	0xc093,	 0xc093,
				      0x10000, 0x10000, 0x10000, 0x8b};
	struct table_register gdtr;

	asm volatile("sgdt %0" : "=m"(gdtr));
	for (unsigned i = 0; i < 8; i++) {
		vmwrite(GUEST_ES_SEL + 2 * i, selectors[i]);
		vmwrite(GUEST_ES_BASE + 2 * i, 0);
		vmwrite(GUEST_ES_LIMIT + 2 * i, i == 7 ? 0x67 : i < 4 ? 0xffffffff : 0);
		vmwrite(GUEST_ES_AR + 2 * i, rights[i]);
	}
	vmwrite(GUEST_TR_BASE, vmread(HOST_TR_BASE));
	vmwrite(GUEST_GDTR_BASE, gdtr.base);
	vmwrite(GUEST_GDTR_LIMIT, gdtr.limit);
	for (unsigned i = 0; i < 256; i++) {
		u64 at = (u64)(l2_stubs + 16 * i);

		l2_idt[i].lo =
			(at & 0xffff) | 8 << 16 | 0x8e00ull << 32 | (at >> 16 & 0xffff) << 48;
		l2_idt[i].hi = at >> 32;
	}
	vmwrite(GUEST_IDTR_BASE, (u64)l2_idt);
	vmwrite(GUEST_IDTR_LIMIT, sizeof(l2_idt) - 1);
}

static void set_guest(void (*entry)(void))
{
	vmwrite(GUEST_CR0, READ_CR(0));
	vmwrite(GUEST_CR3, READ_CR(3));
	vmwrite(GUEST_CR4, READ_CR(4));
	vmwrite(GUEST_DR7, 0x400);
	vmwrite(GUEST_RSP, (u64)l2_stack_top);
	vmwrite(GUEST_RIP, (u64)entry);
	vmwrite(GUEST_RFLAGS, 2);
	vmwrite(GUEST_EFER, rdmsr(0xc0000080));
	vmwrite(GUEST_DEBUGCTL, 0);
	vmwrite(LINK_POINTER, ~0ull);
	set_guest_segments();
}

void vm_reset(void (*entry)(void))
{
	static u32 *vmcs;

	if (!vmcs)
		vmcs = page_alloc();
	vmclear((u64)vmcs);
	for (unsigned i = 0; i < PAGE / 4; i++)
		vmcs[i] = 0;
	vmcs[0] = (u32)rdmsr(0x480);
	CHECK_EQ(vmptrld((u64)vmcs), 0);
	launched = false;
	for (unsigned i = 0; i < sizeof(l2) / 8; i++)
		((u64 *)&l2)[i] = 0;
	set_controls();
	set_host();
	set_guest(entry);
}

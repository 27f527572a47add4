/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tiny hypervisor of the VMX tests stands on: instructions, output, its virtual machine. */
#ifndef GUEST_H
#define GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define BIT(n) (1ull << (n))

/* -- instructions -------------------------------------------------------------------------------- */

static inline void outb(u16 port, u8 v)
{
	asm volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static inline void outl(u16 port, u32 v)
{
	asm volatile("outl %0, %1" : : "a"(v), "Nd"(port));
}

static inline u64 rdmsr(u32 index)
{
	u32 lo, hi;

	asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(index));
	return lo | (u64)hi << 32;
}

static inline void wrmsr(u32 index, u64 v)
{
	asm volatile("wrmsr" : : "c"(index), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}

static inline u64 rdtsc(void)
{
	u32 lo, hi;

	asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return lo | (u64)hi << 32;
}

#define READ_CR(n)                                                                                 \
	({                                                                                         \
		u64 v_;                                                                            \
		asm volatile("mov %%cr" #n ", %0" : "=r"(v_));                                     \
		v_;                                                                                \
	})
#define WRITE_CR(n, v) asm volatile("mov %0, %%cr" #n : : "r"((u64)(v)) : "memory")

/* Flags after a VMX instruction: 0 success, VMX_INVALID or VMX_VALID. */
#define VMX_INVALID 1u /* CF */
#define VMX_VALID   2u /* ZF */

#define VMX_INSN(text, ...)                                                                        \
	({                                                                                         \
		u8 cf_, zf_;                                                                       \
		asm volatile(text : "=@ccc"(cf_), "=@ccz"(zf_) : __VA_ARGS__ : "memory");          \
		(unsigned)(cf_ | zf_ << 1);                                                        \
	})

static inline unsigned vmxon(u64 pa)
{
	return VMX_INSN("vmxon %2", "m"(pa));
}

static inline unsigned vmxoff(void)
{
	u8 cf, zf;

	asm volatile("vmxoff" : "=@ccc"(cf), "=@ccz"(zf) : : "memory");
	return (unsigned)(cf | zf << 1);
}

static inline unsigned vmclear(u64 pa)
{
	return VMX_INSN("vmclear %2", "m"(pa));
}

static inline unsigned vmptrld(u64 pa)
{
	return VMX_INSN("vmptrld %2", "m"(pa));
}

static inline u64 vmptrst(void)
{
	u64 pa;

	asm volatile("vmptrst %0" : "=m"(pa) : : "cc");
	return pa;
}

static inline unsigned vmwrite_try(u64 field, u64 v)
{
	return VMX_INSN("vmwrite %2, %3", "r"(v), "r"(field));
}

static inline unsigned vmread_try(u64 field, u64 *v)
{
	u8 cf, zf;

	asm volatile("vmread %3, %2" : "=@ccc"(cf), "=@ccz"(zf), "=r"(*v) : "r"(field));
	return (unsigned)(cf | zf << 1);
}

struct inv_desc {
	u64 first, second;
};

static inline unsigned invept(u64 type, struct inv_desc d)
{
	return VMX_INSN("invept %2, %3", "m"(d), "r"(type));
}

static inline unsigned invvpid(u64 type, struct inv_desc d)
{
	return VMX_INSN("invvpid %2, %3", "m"(d), "r"(type));
}

u64 vmread(u64 field);
void vmwrite(u64 field, u64 v);

/* -- output and verdicts --------------------------------------------------------------------------- */

#define PORT_TEXT 0xe9 /* characters for people */
#define PORT_DONE 0xf4 /* number of failed checks: the end */

void put(const char *s);
void put_hex(u64 v);
void put_dec(unsigned v);
void check_at(bool ok, const char *what, int line, u64 got, u64 want);
#define CHECK(cond) CHECK_EQ(!!(cond), 1)
#define CHECK_EQ(a, b)                                                                             \
	do {                                                                                       \
		u64 a_ = (u64)(a), b_ = (u64)(b);                                                  \
		check_at(a_ == b_, #a, __LINE__, a_, b_);                                          \
	} while (0)

/* -- faults of L1 itself ------------------------------------------------------------------------------ */

/* Calls fn(arg) and returns the vector of the exception that ended it, or -1. The error code: last_error. */
int catch_fault(void (*fn)(u64), u64 arg);
extern u64 last_error;

/* Interrupts and NMIs that L1 has taken, by vector. */
extern volatile u32 taken[256];

/* -- memory ------------------------------------------------------------------------------------------- */

#define PAGE 4096ull
void *page_alloc(void); /* zeroed; identity mapped */

/* -- the virtual machine -------------------------------------------------------------------------------- */

/* L2's registers around an entry; the order is known to start.S. */
struct l2_regs {
	u64 rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
};
extern struct l2_regs l2;

extern bool has_ept, has_vpid, has_urg, has_timer;
extern u64 eptp;

/* VMCS with everything at a sane start: L2 in 64-bit mode in L1's own address space, from `entry`. */
void vm_reset(void (*entry)(void));
/* VMLAUNCH or VMRESUME as due: VMX_* of a VMfail, or 0 after a vmexit. */
unsigned vm_enter(void);
/* Enters and expects a vmexit with this reason. */
#define EXPECT_EXIT(reason)                                                                        \
	do {                                                                                       \
		CHECK_EQ(vm_enter(), 0);                                                           \
		CHECK_EQ(vmread(EXIT_REASON), reason);                                             \
	} while (0)
/* RIP += exit instruction length. */
void vm_skip(void);
static inline void vm_set(u64 field, u64 bits)
{
	vmwrite(field, vmread(field) | bits);
}
static inline void vm_clear(u64 field, u64 bits)
{
	vmwrite(field, vmread(field) & ~bits);
}

/* The EPT entry that maps gpa, for changing; the mapping is split to 4K. */
u64 *ept_entry(u64 gpa);

/* Interrupt handlers that L2 can use: L2's IDT is L1's; a handler in L2 ends with VMCALL. */
extern volatile bool in_l2_handler;

#define STRINGIFY(x) #x
/* L2 code: a label with instructions, never called by L1. */
#define L2_CODE(name, text)                                                                        \
	extern char name[];                                                                        \
	asm(".pushsection .text\n" STRINGIFY(name) ":\n" text "\n.popsection\n")

/* -- VMCS fields and bits that the tests use --------------------------------------------------------------- */

enum {
	VPID = 0x0000,
	GUEST_ES_SEL = 0x0800,
	GUEST_CS_SEL = 0x0802,
	GUEST_SS_SEL = 0x0804,
	GUEST_LDTR_SEL = 0x080c,
	GUEST_TR_SEL = 0x080e,
	HOST_ES_SEL = 0x0c00,
	HOST_CS_SEL = 0x0c02,
	HOST_SS_SEL = 0x0c04,
	HOST_TR_SEL = 0x0c0c,
	IO_BITMAP_A = 0x2000,
	IO_BITMAP_B = 0x2002,
	MSR_BITMAP = 0x2004,
	EXIT_MSR_STORE = 0x2006,
	EXIT_MSR_LOAD = 0x2008,
	ENTRY_MSR_LOAD = 0x200a,
	TSC_OFFSET = 0x2010,
	VIRTUAL_APIC = 0x2012,
	EPT_POINTER = 0x201a,
	GUEST_PHYSICAL = 0x2400,
	LINK_POINTER = 0x2800,
	GUEST_DEBUGCTL = 0x2802,
	GUEST_PAT = 0x2804,
	GUEST_EFER = 0x2806,
	HOST_PAT = 0x2c00,
	HOST_EFER = 0x2c02,
	PIN_CONTROLS = 0x4000,
	CPU_CONTROLS = 0x4002,
	EXCEPTION_BITMAP = 0x4004,
	PF_MASK = 0x4006,
	PF_MATCH = 0x4008,
	CR3_TARGETS = 0x400a,
	EXIT_CONTROLS = 0x400c,
	EXIT_STORE_COUNT = 0x400e,
	EXIT_LOAD_COUNT = 0x4010,
	ENTRY_CONTROLS = 0x4012,
	ENTRY_LOAD_COUNT = 0x4014,
	ENTRY_INTR_INFO = 0x4016,
	ENTRY_ERROR_CODE = 0x4018,
	ENTRY_INSN_LEN = 0x401a,
	TPR_THRESHOLD = 0x401c,
	CPU2_CONTROLS = 0x401e,
	INSN_ERROR = 0x4400,
	EXIT_REASON = 0x4402,
	EXIT_INTR_INFO = 0x4404,
	EXIT_INTR_ERROR = 0x4406,
	IDT_INFO = 0x4408,
	IDT_ERROR = 0x440a,
	EXIT_INSN_LEN = 0x440c,
	EXIT_INSN_INFO = 0x440e,
	GUEST_ES_LIMIT = 0x4800,
	GUEST_GDTR_LIMIT = 0x4810,
	GUEST_IDTR_LIMIT = 0x4812,
	GUEST_ES_AR = 0x4814,
	GUEST_CS_AR = 0x4816,
	GUEST_SS_AR = 0x4818,
	GUEST_LDTR_AR = 0x4820,
	GUEST_TR_AR = 0x4822,
	GUEST_INTERRUPTIBILITY = 0x4824,
	GUEST_ACTIVITY = 0x4826,
	TIMER_VALUE = 0x482e,
	CR0_MASK = 0x6000,
	CR4_MASK = 0x6002,
	CR0_SHADOW = 0x6004,
	CR4_SHADOW = 0x6006,
	EXIT_QUAL = 0x6400,
	GUEST_LINEAR = 0x640a,
	GUEST_CR0 = 0x6800,
	GUEST_CR3 = 0x6802,
	GUEST_CR4 = 0x6804,
	GUEST_ES_BASE = 0x6806,
	GUEST_TR_BASE = 0x6814,
	GUEST_GDTR_BASE = 0x6816,
	GUEST_IDTR_BASE = 0x6818,
	GUEST_DR7 = 0x681a,
	GUEST_RSP = 0x681c,
	GUEST_RIP = 0x681e,
	GUEST_RFLAGS = 0x6820,
	GUEST_PENDING_DBG = 0x6822,
	HOST_CR0 = 0x6c00,
	HOST_CR3 = 0x6c02,
	HOST_CR4 = 0x6c04,
	HOST_FS_BASE = 0x6c06,
	HOST_TR_BASE = 0x6c0a,
	HOST_GDTR_BASE = 0x6c0c,
	HOST_IDTR_BASE = 0x6c0e,
	HOST_RSP = 0x6c14,
	HOST_RIP = 0x6c16,
};

#define INTR_VALID BIT(31)
#define INTR_ERROR BIT(11)
enum {
	TYPE_EXT = 0 << 8,
	TYPE_NMI = 2 << 8,
	TYPE_HW = 3 << 8,
	TYPE_SWINT = 4 << 8,
	TYPE_SWEXC = 6 << 8
};

enum {
	EXIT_EXCEPTION = 0,
	EXIT_EXTERNAL = 1,
	EXIT_TRIPLE = 2,
	EXIT_INTR_WINDOW = 7,
	EXIT_NMI_WINDOW = 8,
	EXIT_CPUID = 10,
	EXIT_HLT = 12,
	EXIT_INVD = 13,
	EXIT_INVLPG = 14,
	EXIT_RDPMC = 15,
	EXIT_RDTSC = 16,
	EXIT_VMCALL = 18,
	EXIT_VMPTRLD = 21,
	EXIT_VMREAD = 23,
	EXIT_CR = 28,
	EXIT_DR = 29,
	EXIT_IO = 30,
	EXIT_RDMSR = 31,
	EXIT_WRMSR = 32,
	EXIT_MTF = 37,
	EXIT_PAUSE = 40,
	EXIT_TPR = 43,
	EXIT_GDTR = 46,
	EXIT_LDTR = 47,
	EXIT_EPT_VIOLATION = 48,
	EXIT_EPT_MISCONFIG = 49,
	EXIT_RDTSCP = 51,
	EXIT_TIMER = 52,
	EXIT_WBINVD = 54,
	EXIT_XSETBV = 55,
	EXIT_RDRAND = 57,
	EXIT_INVPCID = 58,
};
#define ENTRY_FAILED(reason) (0x80000000u | (reason))

/* -- the tests, by theme ------------------------------------------------------------------------------------ */

void test_capabilities(void);
void test_instructions(void);
void test_entry_checks(void);
void test_exits(void);
void test_registers(void);
void show_speed(void);
void test_events(void);
void test_windows(void);
void test_timer(void);
void test_ept(void);
void test_real_mode(void);
void test_msr_lists(void);

#endif

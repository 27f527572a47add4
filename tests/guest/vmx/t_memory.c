/* SPDX-License-Identifier: BSD-2-Clause */
/* EPT, guests in real mode, MSR lists. */
#include "guest.h"

#define ENTER_AT(label) vm_reset((void (*)(void))(label))

L2_CODE(l2_access, "mov (%rbx), %rax\n mov %rcx, 8(%rbx)\n call *%rdx\n vmcall");
L2_CODE(l2_push, "push %rax\n vmcall");
L2_CODE(l2_int32, "int $0x32\n vmcall");

#define EPT_R	  BIT(0)
#define EPT_W	  BIT(1)
#define EPT_X	  BIT(2)
#define EPT_A	  BIT(8)
#define EPT_D	  BIT(9)
#define QUAL_GLA  (BIT(7) | BIT(8))
#define QUAL_MASK 0x1bfull /* access, permissions, linear address; not bit 6 and above 8 */

static void expect_violation(u64 gpa, u64 qual, int line)
{
	EXPECT_EXIT(EXIT_EPT_VIOLATION);
	check_at(vmread(GUEST_PHYSICAL) == gpa, "gpa", line, vmread(GUEST_PHYSICAL), gpa);
	check_at(vmread(GUEST_LINEAR) == gpa, "gla", line, vmread(GUEST_LINEAR), gpa);
	check_at((vmread(EXIT_QUAL) & QUAL_MASK) == qual, "qualification", line, vmread(EXIT_QUAL),
		 qual);
}

static void ept_sync(void)
{
	CHECK_EQ(invept(1, (struct inv_desc){eptp, 0}), 0);
}

/* Permissions of one page, taken away one after the other. */
static void permissions(void)
{
	u8 *page = page_alloc();
	u64 gpa = (u64)page, *e = ept_entry(gpa), all = *e;

	page[16] = 0xc3; /* RET, for the call */
	*(u64 *)page = 0x1234;
	ENTER_AT(l2_access);
	l2.rbx = gpa;
	l2.rcx = 0x5678;
	l2.rdx = gpa + 16;
	*e = 0;
	ept_sync();
	expect_violation(gpa, QUAL_GLA | 1, __LINE__);
	*e = all & ~(EPT_W | EPT_X);
	ept_sync();
	expect_violation(gpa + 8, QUAL_GLA | BIT(3) | 2, __LINE__);
	CHECK_EQ(l2.rax, 0x1234);
	*e = all & ~EPT_X;
	ept_sync();
	expect_violation(gpa + 16, QUAL_GLA | BIT(3) | BIT(4) | 4, __LINE__);
	CHECK_EQ(((u64 *)page)[1], 0x5678);
	*e = all;
	ept_sync();
	EXPECT_EXIT(EXIT_VMCALL);
	/* Writable but not readable is a misconfiguration; so is a bad memory type. */
	vmwrite(GUEST_RIP, (u64)l2_access);
	*e = all & ~EPT_R;
	ept_sync();
	EXPECT_EXIT(EXIT_EPT_MISCONFIG);
	CHECK_EQ(vmread(GUEST_PHYSICAL), gpa);
	*e = (all & ~0x38ull) | 2 << 3;
	ept_sync();
	EXPECT_EXIT(EXIT_EPT_MISCONFIG);
	*e = all;
	ept_sync();
}

/* An instruction that exits before it has retired leaves the shadow of STI as it was. */
static void shadow_kept(void)
{
	u8 *page = page_alloc();
	u64 *e = ept_entry((u64)page), all = *e;

	ENTER_AT(l2_access);
	l2.rbx = (u64)page;
	l2.rdx = (u64)l2_int32 + 2; /* VMCALL */
	vmwrite(GUEST_RFLAGS, 2 | BIT(9));
	vmwrite(GUEST_INTERRUPTIBILITY, 1);
	*e = 0;
	ept_sync();
	EXPECT_EXIT(EXIT_EPT_VIOLATION);
	CHECK_EQ(vmread(GUEST_INTERRUPTIBILITY), 1);
	*e = all;
	EXPECT_EXIT(EXIT_VMCALL);
	CHECK_EQ(vmread(GUEST_INTERRUPTIBILITY), 0);
}

/* A page of L2 that is another page of L1; another, without INVEPT, once it was not present. */
static void remapping(void)
{
	u64 *a = page_alloc(), *b = page_alloc(), *e = ept_entry((u64)a), all = *e;

	*a = 1;
	*b = 2;
	ENTER_AT(l2_access);
	l2.rbx = (u64)a;
	l2.rdx = (u64)l2_int32 + 2; /* VMCALL */
	*e = (u64)b | (all & 0xfff);
	ept_sync();
	EXPECT_EXIT(EXIT_VMCALL);
	CHECK_EQ(l2.rax, 2);
	*e = all;
	ept_sync();
}

static void accessed_dirty(void)
{
	u64 *page = page_alloc(), *e = ept_entry((u64)page);

	if (!(rdmsr(0x48c) & BIT(21)))
		return;
	ENTER_AT(l2_access);
	vmwrite(EPT_POINTER, eptp | BIT(6));
	*e &= ~(EPT_A | EPT_D);
	invept(2, (struct inv_desc){0, 0});
	l2.rbx = (u64)page;
	l2.rdx = BIT(60);
	vmwrite(EXCEPTION_BITMAP, BIT(13));
	/* The load sets A; the store then D. Make the store fault first, by write permission. */
	*e &= ~EPT_W;
	EXPECT_EXIT(EXIT_EPT_VIOLATION);
	CHECK_EQ(*e & (EPT_A | EPT_D), EPT_A);
	*e |= EPT_W;
	invept(2, (struct inv_desc){0, 0});
	EXPECT_EXIT(EXIT_EXCEPTION);
	CHECK_EQ(*e & (EPT_A | EPT_D), EPT_A | EPT_D);
}

/* The stack is not there while an interrupt is delivered. */
static void vectoring(void)
{
	u8 *stack = page_alloc();
	u64 *e = ept_entry((u64)stack), all = *e;

	ENTER_AT(l2_int32);
	vmwrite(GUEST_RSP, (u64)stack + PAGE);
	*e = 0;
	ept_sync();
	EXPECT_EXIT(EXIT_EPT_VIOLATION);
	CHECK_EQ(vmread(IDT_INFO), INTR_VALID | TYPE_SWINT | 0x32);
	CHECK_EQ(vmread(EXIT_INSN_LEN), 2);
	CHECK_EQ(vmread(GUEST_RIP), (u64)l2_int32);
	*e = all;
	/* As a hypervisor does: inject it again. */
	vmwrite(ENTRY_INTR_INFO, vmread(IDT_INFO));
	vmwrite(ENTRY_INSN_LEN, vmread(EXIT_INSN_LEN));
	EXPECT_EXIT(EXIT_VMCALL);
	CHECK_EQ(l2.rax, 0x32);
	CHECK_EQ(((u64 *)vmread(GUEST_RSP))[0], (u64)l2_int32 + 2);
	/* L2's page tables themselves are translated, too. */
	ENTER_AT(l2_push);
	e = ept_entry(READ_CR(3));
	all = *e;
	*e = 0;
	ept_sync();
	EXPECT_EXIT(EXIT_EPT_VIOLATION);
	CHECK_EQ(vmread(GUEST_PHYSICAL) & ~0xfffull, READ_CR(3) & ~0xfffull);
	CHECK_EQ(vmread(EXIT_QUAL) & (BIT(7) | BIT(8)), BIT(7));
	*e = all;
	ept_sync();
	EXPECT_EXIT(EXIT_VMCALL);
}

void test_ept(void)
{
	ENTER_AT(l2_push);
	if (!has_ept)
		return;
	EXPECT_EXIT(EXIT_VMCALL);
	permissions();
	shadow_kept();
	remapping();
	accessed_dirty();
	vectoring();
}

/* -- real mode, as an unrestricted guest --------------------------------------------------------------------- */

static void real_mode_state(u64 base)
{
	static const u32 rights[8] = {0x93, 0x9b, 0x93, 0x93, 0x93, 0x93, 0x82, 0x8b};

	for (unsigned i = 0; i < 8; i++) {
		vmwrite(GUEST_ES_SEL + 2 * i, i < 6 ? base >> 4 : 0);
		vmwrite(GUEST_ES_BASE + 2 * i, i < 6 ? base : 0);
		vmwrite(GUEST_ES_LIMIT + 2 * i, 0xffff);
		vmwrite(GUEST_ES_AR + 2 * i, rights[i]);
	}
	vmwrite(GUEST_CR0, READ_CR(0) & ~(BIT(31) | BIT(0)));
	vmwrite(GUEST_CR3, 0);
	vmwrite(GUEST_EFER, 0);
	vmwrite(GUEST_IDTR_BASE, 0x8000);
	vmwrite(GUEST_IDTR_LIMIT, 0x3ff);
	vm_clear(ENTRY_CONTROLS, BIT(9));
	vmwrite(GUEST_RIP, 0);
	vmwrite(GUEST_RSP, 0xf00);
}

void test_real_mode(void)
{
	/* mov $0x1234, %ax; push %ax; int $0x21; vmcall */
	static const u8 code[] = {0xb8, 0x34, 0x12, 0x50, 0xcd, 0x21, 0x0f, 0x01, 0xc1};
	u8 *page = (u8 *)0x9000;

	if (!has_urg)
		return;
	for (unsigned i = 0; i < sizeof(code); i++)
		page[i] = code[i];
	page[0x100] = 0xf4; /* HLT, where INT 21h goes */
	*(u32 *)(0x8000 + 4 * 0x21) = 0x0900 << 16 | 0x100;
	ENTER_AT(NULL);
	real_mode_state(0x9000);
	EXPECT_EXIT(EXIT_HLT);
	CHECK_EQ((u16)l2.rax, 0x1234);
	CHECK_EQ(vmread(GUEST_RIP), 0x100);
	CHECK_EQ(vmread(GUEST_RSP), 0xf00 - 8);
	CHECK_EQ(*(u16 *)(0x9000 + 0xf00 - 2), 0x1234);
	CHECK_EQ(*(u16 *)(0x9000 + 0xf00 - 8), 6); /* return address */
	CHECK_EQ(vmread(ENTRY_CONTROLS) & BIT(9), 0);
	/* And back in L1, all is as before. */
	CHECK_EQ(rdmsr(0xc0000080) & BIT(10), BIT(10));
	/* Without the control it cannot be entered. */
	vm_clear(CPU2_CONTROLS, BIT(7));
	CHECK_EQ(vm_enter(), 0);
	CHECK_EQ(vmread(EXIT_REASON), ENTRY_FAILED(33));
}

/* -- MSR lists ------------------------------------------------------------------------------------------------- */

struct msr_entry {
	u32 index, reserved;
	u64 value;
};

#define MSR_LSTAR	   0xc0000082
#define MSR_KERNEL_GS_BASE 0xc0000102

L2_CODE(l2_vmcall3, "vmcall");

void test_msr_lists(void)
{
	struct msr_entry *load = page_alloc(), *exit_load = page_alloc(), *store = page_alloc();

	ENTER_AT(l2_vmcall3);
	wrmsr(MSR_LSTAR, 1);
	wrmsr(MSR_KERNEL_GS_BASE, 2);
	load[0] = (struct msr_entry){MSR_LSTAR, 0, 0x1111};
	load[1] = (struct msr_entry){MSR_KERNEL_GS_BASE, 0, 0x2222};
	exit_load[0] = (struct msr_entry){MSR_LSTAR, 0, 0x3333};
	store[0] = (struct msr_entry){MSR_LSTAR, 0, 0};
	vmwrite(ENTRY_MSR_LOAD, (u64)load);
	vmwrite(ENTRY_LOAD_COUNT, 2);
	vmwrite(EXIT_MSR_LOAD, (u64)exit_load);
	vmwrite(EXIT_LOAD_COUNT, 1);
	vmwrite(EXIT_MSR_STORE, (u64)store);
	vmwrite(EXIT_STORE_COUNT, 1);
	EXPECT_EXIT(EXIT_VMCALL);
	CHECK_EQ(store[0].value, 0x1111);
	CHECK_EQ(rdmsr(MSR_LSTAR), 0x3333);
	CHECK_EQ(rdmsr(MSR_KERNEL_GS_BASE), 0x2222);
	/* An entry that cannot be loaded: its number is the qualification. */
	load[1] = (struct msr_entry){MSR_LSTAR, 0, BIT(60)};
	CHECK_EQ(vm_enter(), 0);
	CHECK_EQ(vmread(EXIT_REASON), ENTRY_FAILED(34));
	CHECK_EQ(vmread(EXIT_QUAL), 2);
	load[0] = (struct msr_entry){0xc0000100, 0, 0};
	CHECK_EQ(vm_enter(), 0);
	CHECK_EQ(vmread(EXIT_QUAL), 1);
	vmwrite(ENTRY_LOAD_COUNT, 0);
	EXPECT_EXIT(EXIT_VMCALL);
	CHECK_EQ(vmxoff(), 0);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Capabilities, VMX instructions, and the checks of VM entry. */
#include "guest.h"

#define MSR_FEATURE_CONTROL 0x3a

static u32 *vmxon_page;

static void do_vmxon(u64 pa)
{
	vmxon(pa);
}

static void do_vmread(u64 field)
{
	u64 v;

	vmread_try(field, &v);
}

static void do_wrmsr_basic(u64 v)
{
	wrmsr(0x480, v);
}

static void do_cr4(u64 v)
{
	WRITE_CR(4, v);
}

static void do_cr0(u64 v)
{
	WRITE_CR(0, v);
}

#define CR4_VMXE BIT(13)
#define CR0_NE	 BIT(5)

void test_capabilities(void)
{
	u64 basic = rdmsr(0x480);

	CHECK_EQ((u32)basic >> 31, 0);
	CHECK_EQ(basic >> 32 & 0x1fff, 4096);
	CHECK_EQ(basic >> 50 & 15, 6);
	CHECK_EQ(basic >> 55 & 1, 1);
	/* Every bit that must be 1 may be 1; TRUE controls relax the others. */
	for (u32 i = 0; i < 4; i++) {
		u64 cap = rdmsr(0x481 + i), exact = rdmsr(0x48d + i);

		CHECK_EQ((u32)cap & ~(u32)(cap >> 32), 0);
		CHECK_EQ((u32)exact & ~(u32)cap, 0);
		CHECK_EQ(exact >> 32, cap >> 32);
	}
	CHECK_EQ(rdmsr(0x486), 0x80000021);
	CHECK_EQ(rdmsr(0x488) & CR4_VMXE, CR4_VMXE);
	CHECK_EQ(catch_fault(do_wrmsr_basic, basic), 13);
}

void test_instructions(void)
{
	u64 v;

	/* Outside VMX operation: #UD; VMXON without CR4.VMXE, too. */
	CHECK_EQ(catch_fault(do_vmread, EXIT_REASON), 6);
	vmxon_page = page_alloc();
	vmxon_page[0] = (u32)rdmsr(0x480);
	CHECK_EQ(catch_fault(do_vmxon, (u64)vmxon_page), 6);
	WRITE_CR(4, READ_CR(4) | CR4_VMXE);
	if (!(rdmsr(MSR_FEATURE_CONTROL) & 1)) {
		CHECK_EQ(catch_fault(do_vmxon, (u64)vmxon_page), 13);
		wrmsr(MSR_FEATURE_CONTROL, rdmsr(MSR_FEATURE_CONTROL) | 5);
	}
	WRITE_CR(0, READ_CR(0) & ~CR0_NE);
	CHECK_EQ(catch_fault(do_vmxon, (u64)vmxon_page), 13);
	WRITE_CR(0, READ_CR(0) | CR0_NE);

	CHECK_EQ(vmxon((u64)vmxon_page + 1), VMX_INVALID);
	vmxon_page[0]++;
	CHECK_EQ(vmxon((u64)vmxon_page), VMX_INVALID);
	vmxon_page[0]--;
	CHECK_EQ(vmxon((u64)vmxon_page), 0);
	CHECK_EQ(vmxon((u64)vmxon_page), VMX_INVALID); /* no VMCS for the error */
	CHECK_EQ(catch_fault(do_cr4, READ_CR(4) & ~CR4_VMXE), 13);
	CHECK_EQ(catch_fault(do_cr0, READ_CR(0) & ~CR0_NE), 13);
	CHECK_EQ(vmptrst(), ~0ull);
	CHECK_EQ(vmread_try(EXIT_REASON, &v), VMX_INVALID);
	CHECK_EQ(vmwrite_try(GUEST_RIP, 0), VMX_INVALID);

	vm_reset(NULL);
	CHECK_EQ(vmxon((u64)vmxon_page), VMX_VALID);
	CHECK_EQ(vmread(INSN_ERROR), 15);
	CHECK_EQ(vmclear((u64)vmxon_page), VMX_VALID);
	CHECK_EQ(vmread(INSN_ERROR), 3);
	CHECK_EQ(vmclear(1), VMX_VALID);
	CHECK_EQ(vmread(INSN_ERROR), 2);
	CHECK_EQ(vmptrld((u64)vmxon_page), VMX_VALID);
	CHECK_EQ(vmread(INSN_ERROR), 10);
	CHECK_EQ(vmptrld(BIT(60)), VMX_VALID);
	CHECK_EQ(vmread(INSN_ERROR), 9);
	CHECK_EQ(vmptrld((u64)page_alloc()), VMX_VALID);
	CHECK_EQ(vmread(INSN_ERROR), 11);
	CHECK_EQ(vmread_try(0x7ffe, &v), VMX_VALID);
	CHECK_EQ(vmread(INSN_ERROR), 12);
	CHECK_EQ(vmread_try(BIT(40) | GUEST_RIP, &v), VMX_VALID);
	CHECK_EQ(vmwrite_try(0x6801, 0), VMX_VALID);

	/* Widths, and the high halves of 64-bit fields. */
	vmwrite(GUEST_PAT, 0x1122334455667788);
	CHECK_EQ(vmread(GUEST_PAT), 0x1122334455667788);
	CHECK_EQ(vmread(GUEST_PAT + 1), 0x11223344);
	vmwrite(GUEST_PAT + 1, 0xaaaaaaaabbbbbbbb);
	CHECK_EQ(vmread(GUEST_PAT), 0xbbbbbbbb55667788);
	vmwrite(EXCEPTION_BITMAP, 0x123456789);
	CHECK_EQ(vmread(EXCEPTION_BITMAP), 0x23456789);
	vmwrite(GUEST_CS_SEL, 0x12345);
	CHECK_EQ(vmread(GUEST_CS_SEL), 0x2345);

	/* A VMCS keeps its contents in memory over VMCLEAR. */
	u64 vmcs = vmptrst();
	CHECK_EQ(vmclear(vmcs), 0);
	CHECK_EQ(vmptrst(), ~0ull);
	CHECK_EQ(vmptrld(vmcs), 0);
	CHECK_EQ(vmread(GUEST_CS_SEL), 0x2345);

	if (has_ept) {
		CHECK_EQ(invept(2, (struct inv_desc){0, 0}), 0);
		CHECK_EQ(invept(1, (struct inv_desc){eptp, 0}), 0);
		CHECK_EQ(invept(3, (struct inv_desc){0, 0}), VMX_VALID);
		CHECK_EQ(vmread(INSN_ERROR), 28);
	}
	if (has_vpid) {
		CHECK_EQ(invvpid(2, (struct inv_desc){0, 0}), 0);
		CHECK_EQ(invvpid(1, (struct inv_desc){1, 0}), 0);
		CHECK_EQ(invvpid(0, (struct inv_desc){1, 0x100000}), 0);
		CHECK_EQ(invvpid(0, (struct inv_desc){1, BIT(60)}), VMX_VALID);
		CHECK_EQ(invvpid(1, (struct inv_desc){0, 0}), VMX_VALID);
		CHECK_EQ(invvpid(1, (struct inv_desc){BIT(16) | 1, 0}), VMX_VALID);
		CHECK_EQ(invvpid(4, (struct inv_desc){1, 0}), VMX_VALID);
	}
}

/* -- entry checks: one field wrong at a time ----------------------------------------------------------- */

L2_CODE(l2_vmcall, "vmcall");

static void expect_vmfail(u64 field, u64 value, u64 error, int line)
{
	u64 old = vmread(field);
	unsigned r;

	vmwrite(field, value);
	r = vm_enter();
	check_at(r == VMX_VALID, "VMfail", line, r, VMX_VALID);
	if (r == VMX_VALID)
		check_at(vmread(INSN_ERROR) == error, "error", line, vmread(INSN_ERROR), error);
	vmwrite(field, old);
}

static void expect_bad_guest(u64 field, u64 value, u64 qual, int line)
{
	u64 old = vmread(field);
	unsigned r;

	vmwrite(field, value);
	vmwrite(EXIT_REASON, 0);
	r = vm_enter();
	check_at(r == 0, "VMfail", line, r, 0);
	check_at(vmread(EXIT_REASON) == ENTRY_FAILED(33), "exit reason", line, vmread(EXIT_REASON),
		 ENTRY_FAILED(33));
	check_at(vmread(EXIT_QUAL) == qual, "qualification", line, vmread(EXIT_QUAL), qual);
	vmwrite(field, old);
}

#define BAD_CONTROL(field, value)	   expect_vmfail(field, value, 7, __LINE__)
#define BAD_HOST(field, value)		   expect_vmfail(field, value, 8, __LINE__)
#define BAD_GUEST(field, value)		   expect_bad_guest(field, value, 0, __LINE__)
#define BAD_GUEST_QUAL(field, value, qual) expect_bad_guest(field, value, qual, __LINE__)

static void check_controls(void)
{
	BAD_CONTROL(PIN_CONTROLS, 0);
	BAD_CONTROL(PIN_CONTROLS, vmread(PIN_CONTROLS) | BIT(31));
	BAD_CONTROL(CPU_CONTROLS, vmread(CPU_CONTROLS) | BIT(0));
	BAD_CONTROL(CPU2_CONTROLS, vmread(CPU2_CONTROLS) | BIT(31));
	BAD_CONTROL(EXIT_CONTROLS, 0);
	BAD_CONTROL(ENTRY_CONTROLS, 0);
	BAD_CONTROL(CR3_TARGETS, 5);
	BAD_CONTROL(PIN_CONTROLS, (vmread(PIN_CONTROLS) | BIT(5)) & ~BIT(3)); /* vNMI, no NMI */
	BAD_CONTROL(CPU_CONTROLS, vmread(CPU_CONTROLS) | BIT(22));   /* NMI window, no vNMI */
	BAD_CONTROL(EXIT_CONTROLS, vmread(EXIT_CONTROLS) | BIT(22)); /* save timer, no timer */
	if (has_vpid)
		BAD_CONTROL(VPID, 0);
	if (has_ept) {
		BAD_CONTROL(EPT_POINTER, eptp | 7);
		BAD_CONTROL(EPT_POINTER, (eptp & ~0x38ull) | 2 << 3);
		BAD_CONTROL(EPT_POINTER, eptp | BIT(11));
		BAD_CONTROL(EPT_POINTER, eptp | BIT(60));
	}
	vm_set(CPU_CONTROLS, BIT(28));
	BAD_CONTROL(MSR_BITMAP, 1);
	vm_clear(CPU_CONTROLS, BIT(28));
	vm_set(CPU_CONTROLS, BIT(25));
	BAD_CONTROL(IO_BITMAP_B, 0x800);
	vm_clear(CPU_CONTROLS, BIT(25));
	vmwrite(EXIT_LOAD_COUNT, 1);
	BAD_CONTROL(EXIT_MSR_LOAD, 8);
	vmwrite(EXIT_LOAD_COUNT, 0);
}

static void check_injection(void)
{
	BAD_CONTROL(ENTRY_INTR_INFO, INTR_VALID | 1 << 8);
	BAD_CONTROL(ENTRY_INTR_INFO, INTR_VALID | TYPE_HW | 32);
	BAD_CONTROL(ENTRY_INTR_INFO, INTR_VALID | TYPE_NMI | 3);
	BAD_CONTROL(ENTRY_INTR_INFO, INTR_VALID | TYPE_HW | 13); /* #GP without error code */
	BAD_CONTROL(ENTRY_INTR_INFO, INTR_VALID | TYPE_HW | INTR_ERROR | 6);
	BAD_CONTROL(ENTRY_INTR_INFO, INTR_VALID | BIT(12) | 0x30);
	vmwrite(ENTRY_INSN_LEN, 16);
	BAD_CONTROL(ENTRY_INTR_INFO, INTR_VALID | TYPE_SWINT | 0x30);
	vmwrite(ENTRY_INSN_LEN, 0);
	BAD_GUEST(ENTRY_INTR_INFO, INTR_VALID | TYPE_EXT | 0x30); /* IF is 0 */
}

static void check_host(void)
{
	BAD_HOST(HOST_CR0, vmread(HOST_CR0) & ~BIT(0));
	BAD_HOST(HOST_CR4, vmread(HOST_CR4) & ~CR4_VMXE);
	BAD_HOST(HOST_CR4, vmread(HOST_CR4) & ~BIT(5));
	BAD_HOST(HOST_CR3, BIT(60));
	BAD_HOST(HOST_CS_SEL, 0);
	BAD_HOST(HOST_CS_SEL, 9);
	BAD_HOST(HOST_ES_SEL, 4);
	BAD_HOST(HOST_TR_SEL, 0);
	BAD_HOST(HOST_FS_BASE, BIT(60));
	BAD_HOST(HOST_GDTR_BASE, BIT(60));
	BAD_HOST(HOST_EFER, vmread(HOST_EFER) & ~BIT(10));
	BAD_HOST(HOST_RIP, BIT(60));
	BAD_HOST(EXIT_CONTROLS, vmread(EXIT_CONTROLS) & ~BIT(9));
}

static void check_guest(void)
{
	BAD_GUEST(GUEST_CR0, vmread(GUEST_CR0) & ~CR0_NE);
	BAD_GUEST(GUEST_CR0, vmread(GUEST_CR0) & ~BIT(0));
	BAD_GUEST(GUEST_CR4, vmread(GUEST_CR4) & ~CR4_VMXE);
	BAD_GUEST(GUEST_CR4, vmread(GUEST_CR4) & ~BIT(5));
	BAD_GUEST(GUEST_CR3, BIT(60));
	BAD_GUEST(GUEST_EFER, vmread(GUEST_EFER) & ~BIT(10));
	BAD_GUEST(GUEST_DR7, BIT(32));
	BAD_GUEST(GUEST_RFLAGS, 0);
	BAD_GUEST(GUEST_RFLAGS, 2 | BIT(17));
	BAD_GUEST(GUEST_RIP, BIT(60));
	BAD_GUEST(GUEST_CS_AR, 0xa097);
	BAD_GUEST(GUEST_CS_AR, 0xe09b);
	BAD_GUEST(GUEST_CS_AR, 0xa09b & ~0x80u);
	BAD_GUEST(GUEST_SS_AR, 0xc09b);
	BAD_GUEST(GUEST_ES_AR, 0xc092);
	BAD_GUEST(GUEST_ES_LIMIT, 0xffff0000);
	BAD_GUEST(GUEST_TR_AR, 0x83);
	BAD_GUEST(GUEST_TR_AR, 0x1008b);
	BAD_GUEST(GUEST_TR_SEL, 0x1c);
	BAD_GUEST(GUEST_LDTR_AR, 0x83);
	BAD_GUEST(GUEST_GDTR_LIMIT, 0x10000);
	BAD_GUEST(GUEST_IDTR_BASE, BIT(60));
	BAD_GUEST(GUEST_INTERRUPTIBILITY, 3);
	BAD_GUEST(GUEST_INTERRUPTIBILITY, 1); /* STI without IF */
	BAD_GUEST(GUEST_INTERRUPTIBILITY, 16);
	BAD_GUEST(GUEST_ACTIVITY, 4);
	BAD_GUEST(GUEST_PENDING_DBG, BIT(5));
	BAD_GUEST_QUAL(LINK_POINTER, 1, 4);
	BAD_GUEST_QUAL(LINK_POINTER, vmptrst(), 4);
}

void test_entry_checks(void)
{
	vm_reset((void (*)(void))l2_vmcall);
	check_controls();
	check_injection();
	check_host();
	check_guest();
	EXPECT_EXIT(EXIT_VMCALL); /* after all that: none of it has stuck */
	CHECK_EQ(vmread(EXIT_INSN_LEN), 3);
	CHECK_EQ(vmread(GUEST_RIP), (u64)l2_vmcall);
	/* VMLAUNCH of a launched VMCS, VMRESUME of a clear one. */
	extern unsigned vm_enter_asm(unsigned);
	CHECK_EQ(vm_enter_asm(0), VMX_VALID);
	CHECK_EQ(vmread(INSN_ERROR), 4);
	vm_reset((void (*)(void))l2_vmcall);
	CHECK_EQ(vm_enter_asm(1), VMX_VALID);
	CHECK_EQ(vmread(INSN_ERROR), 5);
}

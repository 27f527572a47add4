/* SPDX-License-Identifier: BSD-2-Clause */
/* Instructions that exit, with their qualifications; control registers and what L2 sees of them. */
#include "guest.h"

#define ENTER_AT(label) vm_reset((void (*)(void))(label))
#define VMCALL_NEXT	"vmcall\n"

/* Each instruction of l2_simple exits; L1 skips it. */
L2_CODE(l2_simple, "cpuid\n hlt\n rdmsr\n wrmsr\n xsetbv\n invd\n" VMCALL_NEXT);

L2_CODE(l2_io, "out %al, $0x80\n in %dx, %eax\n outw %ax, %dx\n rep outsb\n insl\n" VMCALL_NEXT);

L2_CODE(l2_controlled, "rdtsc\n rdpmc\n pause\n invlpg 16(%rax)\n mov %rbx, %dr3\n mov %dr2, %rcx\n"
		       "wbinvd\n rdrand %rdi\n sgdt 8(%rax)\n lldt %cx\n rdtscp\n"
		       "invpcid (%rax), %rcx\n" VMCALL_NEXT);

L2_CODE(l2_vmx, "vmread %rax, %rbx\n vmptrld (%rax)\n" VMCALL_NEXT);

static void expect_io(u64 qual)
{
	EXPECT_EXIT(EXIT_IO);
	CHECK_EQ(vmread(EXIT_QUAL), qual);
	vm_skip();
}

static void io_exits(void)
{
	u8 *a = page_alloc(), *b = page_alloc();

	ENTER_AT(l2_io);
	vm_set(CPU_CONTROLS, BIT(24));
	l2.rdx = 0xcf8;
	l2.rcx = 3;
	l2.rsi = 0x105000;
	l2.rdi = 0x106000;
	expect_io(0x80ull << 16 | BIT(6));
	expect_io(0xcf8ull << 16 | BIT(3) | 3);
	expect_io(0xcf8ull << 16 | 1);
	expect_io(0xcf8ull << 16 | BIT(5) | BIT(4));
	CHECK_EQ(vmread(GUEST_LINEAR), 0x105000);
	expect_io(0xcf8ull << 16 | BIT(4) | BIT(3) | 3);
	CHECK_EQ(vmread(GUEST_LINEAR), 0x106000);
	EXPECT_EXIT(EXIT_VMCALL);

	/* Bitmaps: any byte of the access counts. The port of the first OUT is not intercepted. */
	ENTER_AT(l2_io);
	vm_set(CPU_CONTROLS, BIT(25));
	vmwrite(IO_BITMAP_A, (u64)a);
	vmwrite(IO_BITMAP_B, (u64)b);
	a[0xcfb / 8] |= BIT(0xcfb % 8);
	l2.rdx = 0xcf8;
	expect_io(0xcf8ull << 16 | BIT(3) | 3);
	ENTER_AT(l2_io);
	vm_set(CPU_CONTROLS, BIT(25));
	vmwrite(IO_BITMAP_A, (u64)a);
	vmwrite(IO_BITMAP_B, (u64)b);
	b[0] |= 1;
	l2.rdx = 0x7ffd;
	expect_io(0x7ffdull << 16 | BIT(3) | 3);
}

static void controlled_exits(void)
{
	u64 cpu2 = rdmsr(0x48b) >> 32;

	ENTER_AT(l2_controlled);
	vm_set(CPU_CONTROLS, BIT(9) | BIT(11) | BIT(12) | BIT(23) | BIT(30));
	vm_set(CPU2_CONTROLS, (BIT(2) | BIT(3) | BIT(6) | BIT(11) | BIT(12)) & cpu2);
	l2.rax = 0x7000;
	l2.rcx = 2;
	EXPECT_EXIT(EXIT_RDTSC);
	vm_skip();
	EXPECT_EXIT(EXIT_RDPMC);
	vm_skip();
	EXPECT_EXIT(EXIT_PAUSE);
	CHECK_EQ(vmread(EXIT_INSN_LEN), 2);
	vm_skip();
	EXPECT_EXIT(EXIT_INVLPG);
	CHECK_EQ(vmread(EXIT_QUAL), 0x7010);
	vm_skip();
	EXPECT_EXIT(EXIT_DR);
	CHECK_EQ(vmread(EXIT_QUAL), 3 | 3 << 8);
	vm_skip();
	EXPECT_EXIT(EXIT_DR);
	CHECK_EQ(vmread(EXIT_QUAL), 2 | BIT(4) | 1 << 8);
	vm_skip();
	EXPECT_EXIT(EXIT_WBINVD);
	vm_skip();
	EXPECT_EXIT(EXIT_RDRAND);
	CHECK_EQ(vmread(EXIT_INSN_INFO) >> 3 & 15, 7); /* RDI */
	CHECK_EQ(vmread(EXIT_INSN_INFO) >> 11 & 3, 2); /* 64 bits */
	vm_skip();
	EXPECT_EXIT(EXIT_GDTR);
	CHECK_EQ(vmread(EXIT_QUAL), 8);			/* displacement */
	CHECK_EQ(vmread(EXIT_INSN_INFO) >> 28 & 3, 0);	/* SGDT */
	CHECK_EQ(vmread(EXIT_INSN_INFO) >> 23 & 31, 0); /* base RAX, valid */
	CHECK_EQ(vmread(EXIT_INSN_INFO) >> 22 & 1, 1);	/* no index */
	CHECK_EQ(vmread(EXIT_INSN_INFO) >> 7 & 7, 2);	/* 64-bit addresses */
	CHECK_EQ(vmread(EXIT_INSN_INFO) >> 15 & 7, 3);	/* DS */
	vm_skip();
	EXPECT_EXIT(EXIT_LDTR);
	CHECK_EQ(vmread(EXIT_INSN_INFO) >> 28 & 3, 2); /* LLDT */
	CHECK_EQ(vmread(EXIT_INSN_INFO) >> 10 & 1, 1); /* register */
	CHECK_EQ(vmread(EXIT_INSN_INFO) >> 3 & 15, 1); /* RCX */
	vm_skip();
	EXPECT_EXIT(EXIT_RDTSCP);
	vm_skip();
	EXPECT_EXIT(EXIT_INVPCID);
	CHECK_EQ(vmread(EXIT_INSN_INFO) >> 28 & 15, 1); /* type in RCX */
	vm_skip();
	EXPECT_EXIT(EXIT_VMCALL);
}

/* Not enabled: RDTSCP and INVPCID do not exist. */
L2_CODE(l2_rdtscp, "rdtscp\n" VMCALL_NEXT);
L2_CODE(l2_invpcid, "invpcid (%rsp), %rcx\n" VMCALL_NEXT);

static void disabled_instructions(void)
{
	ENTER_AT(l2_rdtscp);
	vmwrite(EXCEPTION_BITMAP, BIT(6));
	EXPECT_EXIT(EXIT_EXCEPTION);
	CHECK_EQ(vmread(EXIT_INTR_INFO), INTR_VALID | TYPE_HW | 6);
	vmwrite(GUEST_RIP, (u64)l2_invpcid);
	EXPECT_EXIT(EXIT_EXCEPTION);
	CHECK_EQ(vmread(EXIT_INTR_INFO), INTR_VALID | TYPE_HW | 6);
}

L2_CODE(l2_msrs,
	"mov $0x10, %ecx\n rdmsr\n mov $0x174, %ecx\n rdmsr\n wrmsr\n"
	"mov $0xc0000082, %ecx\n rdmsr\n wrmsr\n mov $0x40000000, %ecx\n rdmsr\n" VMCALL_NEXT);

static void msr_bitmap(void)
{
	u8 *bitmap = page_alloc();

	ENTER_AT(l2_msrs);
	vm_set(CPU_CONTROLS, BIT(28));
	vmwrite(MSR_BITMAP, (u64)bitmap);
	bitmap[0x174 / 8] |= BIT(0x174 % 8);
	bitmap[3072 + 0x82 / 8] |= BIT(0x82 % 8);
	EXPECT_EXIT(EXIT_RDMSR);
	CHECK_EQ(l2.rcx, 0x174);
	vm_skip();
	EXPECT_EXIT(EXIT_WRMSR); /* of LSTAR: the write of 174h and the read did not exit */
	CHECK_EQ(l2.rcx, 0xc0000082);
	vm_skip();
	EXPECT_EXIT(EXIT_RDMSR);
	CHECK_EQ(l2.rcx, 0x40000000);
	vm_skip();
	EXPECT_EXIT(EXIT_VMCALL);
}

/*
 * Text that L2 itself puts out, not intercepted. At the end of the line the VMM saves and restores the nested
 * state, and L2 must not notice.
 */
L2_CODE(l2_text, "mov $'#', %al\n out %al, $0xe9\n mov $10, %al\n out %al, $0xe9\n" VMCALL_NEXT);

static void saved_and_restored(void)
{
	ENTER_AT(l2_text);
	vm_clear(CPU_CONTROLS, BIT(24));
	vmwrite(CR0_MASK, BIT(3));
	vmwrite(EXCEPTION_BITMAP, BIT(6));
	l2.r13 = 0x1313;
	EXPECT_EXIT(EXIT_VMCALL);
	CHECK_EQ(l2.rax, 10);
	CHECK_EQ(l2.r13, 0x1313);
	CHECK_EQ(vmread(GUEST_RIP), (u64)l2_text + 8);
	CHECK_EQ(vmread(CR0_MASK), BIT(3));
	CHECK_EQ(READ_CR(3), vmread(HOST_CR3));
}

void test_exits(void)
{
	static const u8 reasons[] = {EXIT_CPUID,  EXIT_HLT,  EXIT_RDMSR, EXIT_WRMSR,
				     EXIT_XSETBV, EXIT_INVD, EXIT_VMCALL};
	static const u8 lengths[] = {2, 1, 2, 2, 3, 2, 3};
	u64 rip = (u64)l2_simple;

	ENTER_AT(l2_simple);
	vm_set(GUEST_CR4, BIT(18)); /* OSXSAVE, for XSETBV */
	l2.rbx = 0x1234;
	l2.r15 = 0x5678;
	for (unsigned i = 0; i < sizeof(reasons); i++) {
		EXPECT_EXIT(reasons[i]);
		CHECK_EQ(vmread(EXIT_INSN_LEN), lengths[i]);
		CHECK_EQ(vmread(GUEST_RIP), rip);
		CHECK_EQ(vmread(IDT_INFO) & INTR_VALID, 0);
		CHECK_EQ(vmread(EXIT_INTR_INFO) & INTR_VALID, 0);
		rip += lengths[i];
		vm_skip();
	}
	CHECK_EQ(l2.rbx, 0x1234);
	CHECK_EQ(l2.r15, 0x5678);
	/* Host state as loaded by the exits. */
	CHECK_EQ(READ_CR(3), vmread(HOST_CR3));
	CHECK_EQ(rdmsr(0xc0000080), vmread(HOST_EFER));

	ENTER_AT(l2_vmx);
	EXPECT_EXIT(EXIT_VMREAD);
	CHECK_EQ(vmread(EXIT_INSN_INFO) >> 3 & 15, 3);	/* to RBX */
	CHECK_EQ(vmread(EXIT_INSN_INFO) >> 28 & 15, 0); /* field in RAX */
	vm_skip();
	EXPECT_EXIT(EXIT_VMPTRLD);
	vm_skip();
	EXPECT_EXIT(EXIT_VMCALL);
	io_exits();
	controlled_exits();
	disabled_instructions();
	msr_bitmap();
	saved_and_restored();
}

/* -- control registers, DR7, TSC ------------------------------------------------------------------------ */

L2_CODE(l2_cr, "mov %cr0, %rax\n mov %cr4, %rbx\n mov %cr3, %rdx\n vmcall\n"
	       "mov %rcx, %cr0\n mov %rsi, %cr4\n mov %rdi, %cr3\n clts\n lmsw %r8w\n"
	       "mov %r9, %cr8\n mov %cr8, %r10\n" VMCALL_NEXT);

#define CR0_TS BIT(3)
#define CR0_MP BIT(1)

static void expect_cr(u64 qual)
{
	EXPECT_EXIT(EXIT_CR);
	CHECK_EQ(vmread(EXIT_QUAL), qual);
	CHECK_EQ(vmread(EXIT_INSN_LEN),
		 qual >> 4 & 3 ? vmread(EXIT_INSN_LEN) : 3 + (qual >> 11 & 1));
	vm_skip();
}

static void cr_masks(void)
{
	u64 cr4 = READ_CR(4);

	ENTER_AT(l2_cr);
	vmwrite(CR0_MASK, CR0_TS);
	vmwrite(CR0_SHADOW, CR0_TS | CR0_MP);
	vmwrite(CR4_MASK, BIT(13));
	vmwrite(CR4_SHADOW, 0);
	vm_clear(CPU_CONTROLS, BIT(15) | BIT(16)); /* CR3 */
	EXPECT_EXIT(EXIT_VMCALL);
	CHECK_EQ(l2.rax, READ_CR(0) | CR0_TS);
	CHECK_EQ(l2.rbx, cr4 & ~BIT(13));
	CHECK_EQ(l2.rdx, READ_CR(3));
	vm_skip();
	l2.rcx = READ_CR(0); /* TS clear differs from the shadow */
	l2.rsi = cr4 | BIT(13);
	l2.rdi = READ_CR(3);
	expect_cr(0 | 1 << 8);
	expect_cr(4 | 6 << 8);
	expect_cr(0 | 2 << 4); /* CLTS: shadow has TS */
	l2.r8 = 0;	       /* LMSW that clears TS differs, too */
	expect_cr(0 | 3 << 4 | 0ull << 16);
	vm_set(CPU_CONTROLS, BIT(19) | BIT(20));
	expect_cr(8 | 9 << 8);
	expect_cr(8 | 1 << 4 | 10 << 8);
	EXPECT_EXIT(EXIT_VMCALL);

	/* What L1 owns and does not change stays as it is. */
	ENTER_AT(l2_cr);
	vmwrite(CR0_MASK, CR0_TS);
	vmwrite(CR0_SHADOW, CR0_TS);
	vm_set(CPU_CONTROLS, BIT(15) | BIT(16));
	expect_cr(3 | 1 << 4 | 2 << 8);
	EXPECT_EXIT(EXIT_VMCALL);
	vm_skip();
	l2.rcx = READ_CR(0) | CR0_TS | CR0_MP;
	l2.rsi = cr4;
	expect_cr(3 | 7 << 8);
	CHECK_EQ(vmread(GUEST_CR0), READ_CR(0) | CR0_MP);
}

L2_CODE(l2_bad_cr, "mov %rcx, %cr0\n" VMCALL_NEXT);

L2_CODE(l2_tsc, "rdtsc\n shl $32, %rdx\n or %rdx, %rax\n" VMCALL_NEXT);

static void tsc_offset(void)
{
	u64 before, after;

	ENTER_AT(l2_tsc);
	vm_set(CPU_CONTROLS, BIT(3));
	vmwrite(TSC_OFFSET, BIT(50));
	before = rdtsc();
	EXPECT_EXIT(EXIT_VMCALL);
	after = rdtsc();
	CHECK(l2.rax - BIT(50) >= before && l2.rax - BIT(50) <= after);
}

L2_CODE(l2_tpr, "mov %cr8, %rax\n mov %rbx, %cr8\n mov %rcx, %cr8\n" VMCALL_NEXT);

static void tpr_shadow(void)
{
	u32 *apic = page_alloc();

	ENTER_AT(l2_tpr);
	vm_set(CPU_CONTROLS, BIT(21));
	vmwrite(VIRTUAL_APIC, (u64)apic);
	vmwrite(TPR_THRESHOLD, 4);
	apic[0x80 / 4] = 0x30;
	CHECK_EQ(vm_enter(), VMX_VALID); /* threshold above VTPR */
	CHECK_EQ(vmread(INSN_ERROR), 7);
	apic[0x80 / 4] = 0x50;
	l2.rbx = 7;
	l2.rcx = 2;
	EXPECT_EXIT(EXIT_TPR); /* at the second store, after it */
	CHECK_EQ(l2.rax, 5);
	CHECK_EQ(apic[0x80 / 4], 0x20);
	vmwrite(TPR_THRESHOLD, 0);
	EXPECT_EXIT(EXIT_VMCALL);
}

void test_registers(void)
{
	cr_masks();
	ENTER_AT(l2_bad_cr);
	vmwrite(EXCEPTION_BITMAP, BIT(13));
	l2.rcx = READ_CR(0) & ~BIT(5); /* NE is fixed in VMX operation */
	EXPECT_EXIT(EXIT_EXCEPTION);
	CHECK_EQ(vmread(EXIT_INTR_INFO), INTR_VALID | TYPE_HW | INTR_ERROR | 13);
	tsc_offset();
	tpr_shadow();
}

/* -- for people: what an exit and an entry cost ------------------------------------------------------------ */

L2_CODE(l2_cpuid_loop, "1: cpuid\n jmp 1b");

void show_speed(void)
{
	enum { ROUNDS = 20000 };
	u64 start;

	ENTER_AT(l2_cpuid_loop);
	vm_enter();
	start = rdtsc();
	for (unsigned i = 0; i < ROUNDS; i++) {
		vm_skip();
		vm_enter();
	}
	put("a CPUID exit with three VMREADs and a VMWRITE takes ");
	put_dec((unsigned)((rdtsc() - start) / ROUNDS));
	put(" cycles\n");
}

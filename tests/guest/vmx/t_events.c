/* SPDX-License-Identifier: BSD-2-Clause */
/* Exceptions, injection, interrupts, windows, the timer. */
#include "guest.h"

#define ENTER_AT(label) vm_reset((void (*)(void))(label))

/* -- exceptions that exit ---------------------------------------------------------------------------------- */

L2_CODE(l2_ud, "ud2");
L2_CODE(l2_bp, "int3\n vmcall");
L2_CODE(l2_int, "int $0x31\n vmcall");
L2_CODE(l2_pf, "mov (%rax), %rbx\n vmcall");
L2_CODE(l2_vmcall2, "vmcall\n vmcall");

#define UNMAPPED 0x100000000000ull

static void exceptions(void)
{
	ENTER_AT(l2_ud);
	vmwrite(EXCEPTION_BITMAP, ~0u);
	EXPECT_EXIT(EXIT_EXCEPTION);
	CHECK_EQ(vmread(EXIT_INTR_INFO), INTR_VALID | TYPE_HW | 6);
	CHECK_EQ(vmread(GUEST_RIP), (u64)l2_ud);
	vmwrite(GUEST_RIP, (u64)l2_bp);
	EXPECT_EXIT(EXIT_EXCEPTION);
	CHECK_EQ(vmread(EXIT_INTR_INFO), INTR_VALID | TYPE_SWEXC | 3);
	CHECK_EQ(vmread(EXIT_INSN_LEN), 1);
	CHECK_EQ(vmread(GUEST_RIP), (u64)l2_bp);
	vmwrite(GUEST_RIP, (u64)l2_pf);
	l2.rax = UNMAPPED + 8;
	EXPECT_EXIT(EXIT_EXCEPTION);
	CHECK_EQ(vmread(EXIT_INTR_INFO), INTR_VALID | TYPE_HW | INTR_ERROR | 14);
	CHECK_EQ(vmread(EXIT_INTR_ERROR), 0);
	CHECK_EQ(vmread(EXIT_QUAL), UNMAPPED + 8);
	/* The mask and match of error codes turn the bitmap's bit around. */
	vmwrite(PF_MASK, 1);
	vmwrite(PF_MATCH, 1);
	EXPECT_EXIT(EXIT_VMCALL); /* L2's own handler */
	CHECK_EQ(l2.rax, 14);
	CHECK_EQ(READ_CR(2), UNMAPPED + 8);
	vmwrite(GUEST_RIP, (u64)l2_pf);
	vmwrite(EXCEPTION_BITMAP, 0);
	l2.rax = UNMAPPED;
	EXPECT_EXIT(EXIT_EXCEPTION);
}

/* Delivered to L2 itself: its handler has the frame. */
static void own_exceptions(void)
{
	u64 *frame;

	ENTER_AT(l2_int);
	EXPECT_EXIT(EXIT_VMCALL);
	CHECK_EQ(l2.rax, 0x31);
	frame = (u64 *)vmread(GUEST_RSP);
	CHECK_EQ(frame[0], (u64)l2_int + 2);
	CHECK_EQ(frame[1], 8);
	CHECK_EQ(vmread(GUEST_RFLAGS) & BIT(9), 0);
	l2.rbx = 0;
	vm_skip();
	EXPECT_EXIT(EXIT_VMCALL);
	CHECK_EQ(vmread(GUEST_RIP), (u64)l2_int + 2);
}

static void triple_fault(void)
{
	ENTER_AT(l2_ud);
	vmwrite(GUEST_IDTR_LIMIT, 0);
	EXPECT_EXIT(EXIT_TRIPLE);
	CHECK_EQ(vmread(IDT_INFO) & INTR_VALID, 0);
	/* The #GP of the failed delivery is asked about before the two become a double fault. */
	vmwrite(EXCEPTION_BITMAP, BIT(13));
	EXPECT_EXIT(EXIT_EXCEPTION);
	CHECK_EQ(vmread(EXIT_INTR_INFO), INTR_VALID | TYPE_HW | INTR_ERROR | 13);
	CHECK_EQ(vmread(EXIT_INTR_ERROR), 6 * 8 + 3);
	CHECK_EQ(vmread(IDT_INFO), INTR_VALID | TYPE_HW | 6);
	vmwrite(EXCEPTION_BITMAP, BIT(8));
	EXPECT_EXIT(EXIT_EXCEPTION);
	CHECK_EQ((u8)vmread(EXIT_INTR_INFO), 8);
	CHECK_EQ(vmread(IDT_INFO) & INTR_VALID, 0);
	/* A software interrupt: length and RIP are those of the instruction. */
	vmwrite(GUEST_RIP, (u64)l2_int);
	vmwrite(EXCEPTION_BITMAP, BIT(13));
	EXPECT_EXIT(EXIT_EXCEPTION);
	CHECK_EQ(vmread(IDT_INFO), INTR_VALID | TYPE_SWINT | 0x31);
	CHECK_EQ(vmread(EXIT_INSN_LEN), 2);
	CHECK_EQ(vmread(GUEST_RIP), (u64)l2_int);
}

/* -- injection ------------------------------------------------------------------------------------------------ */

static void inject(u64 info, u64 error, unsigned len, u64 rip_pushed, int line)
{
	u64 *frame;

	ENTER_AT(l2_vmcall2);
	vmwrite(GUEST_RFLAGS, 2 | BIT(9));
	vmwrite(ENTRY_INTR_INFO, info);
	vmwrite(ENTRY_ERROR_CODE, error);
	vmwrite(ENTRY_INSN_LEN, len);
	EXPECT_EXIT(EXIT_VMCALL);
	check_at(l2.rax == (u8)info, "vector", line, l2.rax, (u8)info);
	frame = (u64 *)vmread(GUEST_RSP);
	if (info & INTR_ERROR) {
		check_at(frame[0] == error, "error code", line, frame[0], error);
		frame++;
	}
	check_at(frame[0] == rip_pushed, "pushed RIP", line, frame[0], rip_pushed);
	CHECK_EQ(vmread(ENTRY_INTR_INFO) & INTR_VALID, 0);
}

static void injection(void)
{
	u64 rip = (u64)l2_vmcall2;

	inject(INTR_VALID | TYPE_EXT | 0x55, 0, 0, rip, __LINE__);
	inject(INTR_VALID | TYPE_NMI | 2, 0, 0, rip, __LINE__);
	CHECK_EQ(vmread(GUEST_INTERRUPTIBILITY) & 8, 8);
	inject(INTR_VALID | TYPE_HW | 6, 0, 0, rip, __LINE__);
	inject(INTR_VALID | TYPE_HW | INTR_ERROR | 13, 0x1238, 0, rip, __LINE__);
	inject(INTR_VALID | TYPE_SWINT | 0x80, 0, 2, rip + 2, __LINE__);
	inject(INTR_VALID | TYPE_SWEXC | 3, 0, 1, rip + 1, __LINE__);
	/* Delivery of an injected event that fails. */
	ENTER_AT(l2_vmcall2);
	vmwrite(GUEST_RFLAGS, 2 | BIT(9));
	vmwrite(GUEST_IDTR_LIMIT, 0);
	vmwrite(EXCEPTION_BITMAP, BIT(13));
	vmwrite(ENTRY_INTR_INFO, INTR_VALID | TYPE_EXT | 0x55);
	EXPECT_EXIT(EXIT_EXCEPTION);
	CHECK_EQ(vmread(IDT_INFO), INTR_VALID | TYPE_EXT | 0x55);
	CHECK_EQ(vmread(GUEST_RIP), rip);
	/* Not subject to the exception bitmap. */
	ENTER_AT(l2_vmcall2);
	vmwrite(EXCEPTION_BITMAP, ~0u);
	vmwrite(ENTRY_INTR_INFO, INTR_VALID | TYPE_HW | 6);
	EXPECT_EXIT(EXIT_VMCALL);
	CHECK_EQ(l2.rax, 6);
}

void test_events(void)
{
	exceptions();
	own_exceptions();
	triple_fault();
	injection();
}

/* -- interrupts and windows -------------------------------------------------------------------------------------- */

L2_CODE(l2_loop, "1: nop\n jmp 1b");
L2_CODE(l2_sti, "nop\n sti\n nop\n nop\n vmcall");
L2_CODE(l2_nops, "nop\n nop\n vmcall");
L2_CODE(l2_iret,
	"push $0x10\n push $0x200000\n push $2\n push $8\n lea 1f(%rip), %rax\n push %rax\n"
	"mov %rbx, 24(%rsp)\n iretq\n 1: nop\n vmcall");

#define X2APIC_ICR  0x830
#define SELF_IPI(v) (BIT(18) | (v))
#define SELF_NMI    (BIT(18) | 4 << 8)

static void cli(void)
{
	asm volatile("cli");
}

static void external_interrupt(void)
{
	u32 before = taken[0x61];

	cli();
	ENTER_AT(l2_loop);
	wrmsr(X2APIC_ICR, SELF_IPI(0x61));
	EXPECT_EXIT(EXIT_EXTERNAL); /* though L2's IF is 0 */
	CHECK_EQ(vmread(EXIT_INTR_INFO), INTR_VALID | TYPE_EXT | 0x61);
	CHECK_EQ(taken[0x61], before); /* acknowledged by the exit */
	wrmsr(0x80b, 0);
	/* Without acknowledging it stays pending, for L1. */
	vm_clear(EXIT_CONTROLS, BIT(15));
	wrmsr(X2APIC_ICR, SELF_IPI(0x61));
	EXPECT_EXIT(EXIT_EXTERNAL);
	CHECK_EQ(vmread(EXIT_INTR_INFO) & INTR_VALID, 0);
	asm volatile("sti; nop; nop; cli");
	CHECK_EQ(taken[0x61], before + 1);
	/* Not intercepted: L2 takes it, when it enables interrupts. */
	ENTER_AT(l2_sti);
	vm_clear(PIN_CONTROLS, BIT(0));
	wrmsr(X2APIC_ICR, SELF_IPI(0x62));
	EXPECT_EXIT(EXIT_VMCALL);
	CHECK_EQ(l2.rax, 0x62);
	CHECK_EQ(((u64 *)vmread(GUEST_RSP))[0], (u64)l2_sti + 3); /* one instruction after STI */
	wrmsr(0x80b, 0);
}

static void nmi_exit(void)
{
	u32 before = taken[2];

	ENTER_AT(l2_loop);
	wrmsr(X2APIC_ICR, SELF_NMI); /* L1 takes it at once */
	CHECK_EQ(taken[2], before + 1);
}

static void interrupt_window(void)
{
	ENTER_AT(l2_sti);
	vm_set(CPU_CONTROLS, BIT(2));
	EXPECT_EXIT(EXIT_INTR_WINDOW);
	CHECK_EQ(vmread(GUEST_RIP), (u64)l2_sti + 3);
	CHECK_EQ(vmread(GUEST_INTERRUPTIBILITY) & 3, 0);
	EXPECT_EXIT(EXIT_INTR_WINDOW); /* open already: before any instruction */
	CHECK_EQ(vmread(GUEST_RIP), (u64)l2_sti + 3);
	vm_clear(CPU_CONTROLS, BIT(2));
	EXPECT_EXIT(EXIT_VMCALL);
}

static void nmi_window(void)
{
	ENTER_AT(l2_iret);
	l2.rbx = vmread(GUEST_RSP);
	vm_set(PIN_CONTROLS, BIT(5));
	vm_set(CPU_CONTROLS, BIT(22));
	vmwrite(GUEST_INTERRUPTIBILITY, 8);
	EXPECT_EXIT(EXIT_NMI_WINDOW); /* IRET has opened it */
	CHECK_EQ(vmread(GUEST_INTERRUPTIBILITY) & 8, 0);
	vm_clear(CPU_CONTROLS, BIT(22));
	EXPECT_EXIT(EXIT_VMCALL);
}

static void monitor_trap(void)
{
	ENTER_AT(l2_nops);
	vm_set(CPU_CONTROLS, BIT(27));
	EXPECT_EXIT(EXIT_MTF);
	CHECK_EQ(vmread(GUEST_RIP), (u64)l2_nops + 1);
	EXPECT_EXIT(EXIT_MTF);
	CHECK_EQ(vmread(GUEST_RIP), (u64)l2_nops + 2);
	/* After the delivery of an injected event, before the handler's first instruction. */
	vmwrite(ENTRY_INTR_INFO, INTR_VALID | TYPE_HW | 6);
	EXPECT_EXIT(EXIT_MTF);
	vm_clear(CPU_CONTROLS, BIT(27));
	EXPECT_EXIT(EXIT_VMCALL);
	CHECK_EQ(l2.rax, 6);
}

static void activity_hlt(void)
{
	ENTER_AT(l2_vmcall2);
	vmwrite(GUEST_ACTIVITY, 1);
	wrmsr(X2APIC_ICR, SELF_IPI(0x63));
	EXPECT_EXIT(EXIT_EXTERNAL);
	CHECK_EQ(vmread(GUEST_ACTIVITY), 1);
	wrmsr(0x80b, 0);
	vmwrite(GUEST_RFLAGS, 2 | BIT(9));
	vmwrite(ENTRY_INTR_INFO, INTR_VALID | TYPE_EXT | 0x64);
	EXPECT_EXIT(EXIT_VMCALL);
	CHECK_EQ(l2.rax, 0x64);
	CHECK_EQ(vmread(GUEST_ACTIVITY), 0);
}

/* Single steps: the trap is L2's own #DB, or exits with BS in the qualification. */
static void single_step(void)
{
	ENTER_AT(l2_nops);
	vmwrite(GUEST_RFLAGS, 2 | BIT(8));
	vmwrite(EXCEPTION_BITMAP, BIT(1));
	EXPECT_EXIT(EXIT_EXCEPTION);
	CHECK_EQ(vmread(EXIT_INTR_INFO), INTR_VALID | TYPE_HW | 1);
	CHECK_EQ(vmread(EXIT_QUAL), BIT(14));
	CHECK_EQ(vmread(GUEST_RIP), (u64)l2_nops + 1);
	vmwrite(EXCEPTION_BITMAP, 0);
	EXPECT_EXIT(EXIT_VMCALL);
	CHECK_EQ(l2.rax, 1);
	CHECK_EQ(((u64 *)vmread(GUEST_RSP))[0], (u64)l2_nops + 2);
	/* A pending debug exception is delivered before the first instruction. */
	ENTER_AT(l2_nops);
	vmwrite(GUEST_PENDING_DBG, BIT(14));
	EXPECT_EXIT(EXIT_VMCALL);
	CHECK_EQ(l2.rax, 1);
	CHECK_EQ(((u64 *)vmread(GUEST_RSP))[0], (u64)l2_nops);
}

void test_windows(void)
{
	external_interrupt();
	nmi_exit();
	interrupt_window();
	nmi_window();
	monitor_trap();
	activity_hlt();
	single_step();
}

/* -- preemption timer ---------------------------------------------------------------------------------------------- */

void test_timer(void)
{
	unsigned shift = rdmsr(0x485) & 31;
	u64 before, ticks = 200000;

	if (!has_timer)
		return;
	ENTER_AT(l2_loop);
	vm_set(PIN_CONTROLS, BIT(6));
	vmwrite(TIMER_VALUE, 0);
	EXPECT_EXIT(EXIT_TIMER);
	CHECK_EQ(vmread(GUEST_RIP), (u64)l2_loop);
	vmwrite(TIMER_VALUE, ticks);
	before = rdtsc();
	EXPECT_EXIT(EXIT_TIMER);
	CHECK(rdtsc() - before >= ticks << shift);
	CHECK_EQ(vmread(TIMER_VALUE), ticks); /* not saved unless asked for */
	vm_set(EXIT_CONTROLS, BIT(22));
	EXPECT_EXIT(EXIT_TIMER);
	CHECK_EQ(vmread(TIMER_VALUE), 0);
	/* It fires in a halted guest, too. */
	vmwrite(TIMER_VALUE, ticks);
	vmwrite(GUEST_ACTIVITY, 1);
	EXPECT_EXIT(EXIT_TIMER);
	CHECK_EQ(vmread(GUEST_ACTIVITY), 1);
	ENTER_AT(l2_vmcall2);
	vm_set(PIN_CONTROLS, BIT(6));
	vm_set(EXIT_CONTROLS, BIT(22));
	vmwrite(TIMER_VALUE, 0x7fffffff);
	EXPECT_EXIT(EXIT_VMCALL);
	CHECK(vmread(TIMER_VALUE) <= 0x7fffffff && vmread(TIMER_VALUE) > 0);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Delivery of events through the IDT: frames, stacks, error codes (SDM Vol. 3A chapter 6). */
#include "sys_fixture.h"

static u64 return_rip = 0x123456;

static enum outcome deliver(enum event_type type, u8 vector, bool has_error, u32 error)
{
	struct event ev = {.type = type,
			   .vector = vector,
			   .has_error = has_error,
			   .error = error,
			   .rip = return_rip};

	return sys_event_deliver(CPU, &ev);
}

/* -- protected mode ---------------------------------------------------------------------------- */

static void same_level(void **state)
{
	cpu_rflags_set(CPU, RFLAGS_FIXED | RFLAGS_IF | RFLAGS_NT | RFLAGS_CF);
	idt_set32(13, gate(K_CODE, HANDLER, 14, 0, 0));
	assert_int_equal(deliver(EVENT_HARD_EXCEPTION, 13, true, 0x5a), OUTCOME_OK);
	assert_int_equal(CPU->rip, HANDLER);
	assert_int_equal(CPU->gpr[REG_RSP], HARNESS_STACK - 16);
	assert_int_equal(ram32(HARNESS_STACK - 16), 0x5a);
	assert_int_equal(ram32(HARNESS_STACK - 12), 0x123456);
	assert_int_equal(ram32(HARNESS_STACK - 8), K_CODE);
	assert_int_equal(ram32(HARNESS_STACK - 4),
			 RFLAGS_FIXED | RFLAGS_IF | RFLAGS_NT | RFLAGS_CF | RFLAGS_RF);
	assert_int_equal(cpu_rflags(CPU), RFLAGS_FIXED | RFLAGS_CF);
}

static void trap_gate_keeps_if(void **state)
{
	cpu_rflags_set(CPU, RFLAGS_FIXED | RFLAGS_IF);
	idt_set32(0x80, gate(K_CODE, HANDLER, 15, 0, 0));
	assert_int_equal(deliver(EVENT_SOFT_INT, 0x80, false, 0), OUTCOME_OK);
	assert_true(cpu_rflags(CPU) & RFLAGS_IF);
	assert_int_equal(ram32(HARNESS_STACK - 4), RFLAGS_FIXED | RFLAGS_IF);
}

static void to_inner_level(void **state)
{
	to_user();
	idt_set32(0x20, gate(K_CODE, HANDLER, 14, 0, 0));
	assert_int_equal(deliver(EVENT_EXTERNAL, 0x20, false, 0), OUTCOME_OK);
	assert_int_equal(CPU->cpl, 0);
	assert_int_equal(CPU->seg[SEG_SS].selector, K_DATA);
	assert_int_equal(CPU->seg[SEG_CS].selector, K_CODE);
	assert_int_equal(CPU->gpr[REG_RSP], KERNEL_STACK - 20);
	assert_int_equal(ram32(KERNEL_STACK - 4), U_DATA);
	assert_int_equal(ram32(KERNEL_STACK - 8), USER_STACK);
	assert_int_equal(ram32(KERNEL_STACK - 16), U_CODE);
}

static void error_codes(void **state)
{
	CPU->idt.limit = 8 * 0x30 - 1;
	assert_fault(deliver(EVENT_EXTERNAL, 0x30, false, 0), VEC_GP, 0x30 << 3 | 3);
	assert_fault(deliver(EVENT_SOFT_INT, 0x30, false, 0), VEC_GP, 0x30 << 3 | 2);
	idt_set32(0x20, gate(K_CODE, HANDLER, 14, 0, 0) & ~BIT(47));
	assert_fault(deliver(EVENT_EXTERNAL, 0x20, false, 0), VEC_NP, 0x20 << 3 | 3);
	idt_set32(0x21, gate(0, HANDLER, 14, 0, 0));
	assert_fault(deliver(EVENT_EXTERNAL, 0x21, false, 0), VEC_GP, 1);
	idt_set32(0x22, gate(K_DATA, HANDLER, 14, 0, 0));
	assert_fault(deliver(EVENT_SOFT_INT, 0x22, false, 0), VEC_GP, K_DATA);
	idt_set32(0x23, gate(K_CODE, HANDLER, 12, 0, 0));
	assert_fault(deliver(EVENT_EXTERNAL, 0x23, false, 0), VEC_GP, 0x23 << 3 | 3);
	assert_int_equal(CPU->rip, HARNESS_CODE);
	assert_int_equal(CPU->gpr[REG_RSP], HARNESS_STACK);
}

static void soft_interrupts_need_dpl(void **state)
{
	to_user();
	idt_set32(0x80, gate(K_CODE, HANDLER, 14, 0, 0));
	assert_fault(deliver(EVENT_SOFT_INT, 0x80, false, 0), VEC_GP, 0x80 << 3 | 2);
	/* INT1 is not asked for its privilege. */
	idt_set32(1, gate(K_CODE, HANDLER, 14, 0, 0));
	assert_int_equal(deliver(EVENT_PRIV_SOFT_EXCEPTION, 1, false, 0), OUTCOME_OK);
}

static void bad_inner_stack(void **state)
{
	to_user();
	idt_set32(0x20, gate(K_CODE, HANDLER, 14, 0, 0));
	ram32_set(TSS_AT + 8, U_DATA);
	assert_fault(deliver(EVENT_EXTERNAL, 0x20, false, 0), VEC_TS, (U_DATA & ~3) | 1);
	ram32_set(TSS_AT + 8, 0);
	assert_fault(deliver(EVENT_EXTERNAL, 0x20, false, 0), VEC_TS, 1);
	CPU->seg[SEG_TR].limit = 7;
	assert_fault(deliver(EVENT_EXTERNAL, 0x20, false, 0), VEC_TS, K_TSS | 1);
	assert_int_equal(CPU->cpl, 3);
}

/* -- virtual-8086 mode ------------------------------------------------------------------------- */

static void to_v86(unsigned iopl)
{
	cpu_rflags_set(CPU, RFLAGS_FIXED | RFLAGS_VM | RFLAGS_IF | iopl << 12);
	for (unsigned n = 0; n <= SEG_GS; n++)
		assert_int_equal(sys_segment_load(CPU, n, (u16)(0x1000 + n)), OUTCOME_OK);
	CPU->gpr[REG_RSP] = 0x800;
	return_rip = 0x3456;
	sys_mode_update(CPU);
}

static void out_of_v86(void **state)
{
	to_v86(0);
	assert_int_equal(CPU->cpl, 3);
	assert_int_equal(CPU->mode, CODE_16);
	idt_set32(0x20, gate(K_CODE, HANDLER, 14, 0, 0));
	assert_int_equal(deliver(EVENT_EXTERNAL, 0x20, false, 0), OUTCOME_OK);
	assert_int_equal(CPU->gpr[REG_RSP], KERNEL_STACK - 36);
	assert_int_equal(ram32(KERNEL_STACK - 4), 0x1000 + SEG_GS);
	assert_int_equal(ram32(KERNEL_STACK - 16), 0x1000 + SEG_ES);
	assert_int_equal(ram32(KERNEL_STACK - 20), 0x1000 + SEG_SS);
	assert_int_equal(ram32(KERNEL_STACK - 24), 0x800);
	assert_true(ram32(KERNEL_STACK - 28) & RFLAGS_VM);
	assert_true(CPU->seg[SEG_DS].unusable && CPU->seg[SEG_GS].unusable);
	assert_false(cpu_v86(CPU));
	/* And back. */
	assert_int_equal(sys_iret(CPU, 4, 0), OUTCOME_OK);
	assert_true(cpu_v86(CPU));
	assert_int_equal(CPU->seg[SEG_GS].base, (0x1000 + SEG_GS) << 4);
	assert_int_equal(CPU->gpr[REG_RSP], 0x800);
}

static void v86_interrupts(void **state)
{
	/* IOPL below 3 without VME: #GP for the monitor. */
	to_v86(0);
	assert_fault(deliver(EVENT_SOFT_INT, 0x21, false, 0), VEC_GP, 0);
	/* With VME and a clear bit in the redirection bitmap: the program's own handler. */
	CPU->cr4 |= CR4_VME;
	ram32_set(TSS_AT + 100, (0x68 + 32) << 16);
	memset(h.ram + TSS_AT + 0x68, 0, 32);
	CPU->seg[SEG_TR].limit = 0x68 + 32 + 1;
	ram32_set(4 * 0x21, 0x2000 << 16 | 0x55);
	assert_int_equal(deliver(EVENT_SOFT_INT, 0x21, false, 0), OUTCOME_OK);
	assert_int_equal(CPU->seg[SEG_CS].selector, 0x2000);
	assert_int_equal(CPU->rip, 0x55);
	assert_int_equal(CPU->gpr[REG_RSP], 0x800 - 6);
	assert_true(cpu_v86(CPU));
}

/* -- real-address mode ------------------------------------------------------------------------- */

static void real_mode(void **state)
{
	sys_reset(CPU);
	return_rip = 0x3456;
	CPU->gpr[REG_RSP] = 0x400;
	ram32_set(4 * 8, 0x1234 << 16 | 0x56);
	cpu_rflags_set(CPU, RFLAGS_FIXED | RFLAGS_IF);
	assert_int_equal(deliver(EVENT_EXTERNAL, 8, false, 0), OUTCOME_OK);
	assert_int_equal(CPU->seg[SEG_CS].base, 0x12340);
	assert_int_equal(CPU->rip, 0x56);
	assert_int_equal(CPU->gpr[REG_RSP], 0x400 - 6);
	assert_int_equal(ram32(0x400 - 6), 0xf0003456);
	assert_false(CPU->rflags_sys & RFLAGS_IF);
	assert_int_equal(sys_iret(CPU, 2, 0), OUTCOME_OK);
	assert_int_equal(CPU->rip, 0x3456);
	assert_true(CPU->rflags_sys & RFLAGS_IF);
	CPU->idt.limit = 8;
	assert_fault(deliver(EVENT_EXTERNAL, 8, false, 0), VEC_GP, 0);
}

/* -- IA-32e mode ------------------------------------------------------------------------------- */

static void long_inner(void **state)
{
	return_rip = 0x123456;
	to_user();
	CPU->gpr[REG_RSP] = USER_STACK + 5;
	idt_set64(14, gate(K_CODE, HANDLER, 14, 0, 0), 0);
	assert_int_equal(deliver(EVENT_HARD_EXCEPTION, 14, true, 6), OUTCOME_OK);
	assert_int_equal(CPU->cpl, 0);
	assert_int_equal(CPU->gpr[REG_RSP], KERNEL_STACK - 48);
	assert_int_equal(ram64(KERNEL_STACK - 48), 6);
	assert_int_equal(ram64(KERNEL_STACK - 40), 0x123456);
	assert_int_equal(ram64(KERNEL_STACK - 16), USER_STACK + 5);
	assert_int_equal(ram64(KERNEL_STACK - 8), U_DATA);
	assert_true(CPU->seg[SEG_SS].unusable);
	assert_int_equal(CPU->seg[SEG_SS].selector, 0);
	/* And back, without the error code. */
	CPU->gpr[REG_RSP] += 8;
	assert_int_equal(sys_iret(CPU, 8, 0), OUTCOME_OK);
	assert_int_equal(CPU->cpl, 3);
	assert_int_equal(CPU->rip, 0x123456);
	assert_int_equal(CPU->gpr[REG_RSP], USER_STACK + 5);
	assert_int_equal(CPU->seg[SEG_SS].selector, U_DATA);
}

static void long_same_level_aligns(void **state)
{
	CPU->gpr[REG_RSP] = HARNESS_STACK - 3;
	idt_set64(3, gate(K_CODE, HANDLER, 15, 0, 0), 0);
	assert_int_equal(deliver(EVENT_SOFT_EXCEPTION, 3, false, 0), OUTCOME_OK);
	assert_int_equal(CPU->gpr[REG_RSP], HARNESS_STACK - 16 - 40);
	assert_int_equal(CPU->seg[SEG_SS].selector, K_DATA);
}

static void long_ist(void **state)
{
	idt_set64(2, gate(K_CODE, HANDLER, 14, 0, 1), 0);
	assert_int_equal(deliver(EVENT_TYPE_NMI, 2, false, 0), OUTCOME_OK);
	assert_int_equal(CPU->gpr[REG_RSP], KERNEL_STACK + 0x1000 - 40);
}

static void long_faults(void **state)
{
	idt_set64(0x20, gate(K_CODE, HANDLER, 6, 0, 0), 0);
	assert_fault(deliver(EVENT_EXTERNAL, 0x20, false, 0), VEC_GP, 0x20 << 3 | 3);
	idt_set64(0x20, gate(K_CODE, HANDLER, 14, 0, 0), 0x8000);
	assert_fault(deliver(EVENT_EXTERNAL, 0x20, false, 0), VEC_GP, 1);
	gdt_set(K_CODE16, descriptor(0, 0xfffff, 0xc09a)); /* not 64-bit code */
	idt_set64(0x20, gate(K_CODE16, HANDLER, 14, 0, 0), 0);
	assert_fault(deliver(EVENT_EXTERNAL, 0x20, false, 0), VEC_GP, K_CODE16 | 1);
	idt_set64(0x20, gate(K_CODE, HANDLER, 14, 0, 0), 0);
	CPU->gpr[REG_RSP] = 0x800000001000;
	assert_fault(deliver(EVENT_EXTERNAL, 0x20, false, 0), VEC_SS, 1);
}

#define T32(f) cmocka_unit_test_setup_teardown(f, start32, stop)
#define T64(f) cmocka_unit_test_setup_teardown(f, start64, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T32(same_level),  T32(trap_gate_keeps_if),	 T32(to_inner_level),
		T32(error_codes), T32(soft_interrupts_need_dpl), T32(bad_inner_stack),
		T32(out_of_v86),  T32(v86_interrupts),		 T32(real_mode),
		T64(long_inner),  T64(long_same_level_aligns),	 T64(long_ist),
		T64(long_faults),
	};

	return cmocka_run_group_tests_name("sys_deliver", tests, NULL, NULL);
}

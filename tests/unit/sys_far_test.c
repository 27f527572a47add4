/* SPDX-License-Identifier: BSD-2-Clause */
/* Far transfers, returns, system calls, segment loads and task switches. */
#include "cpu/cpuid.h"
#include "sys_fixture.h"

#define NEXT_RIP (HARNESS_CODE + 7)

/* -- segments ---------------------------------------------------------------------------------- */

static void loads_segments(void **state)
{
	assert_int_equal(sys_segment_load(CPU, SEG_DS, U_DATA), OUTCOME_OK);
	assert_int_equal(CPU->seg[SEG_DS].limit, 0xffffffff);
	assert_true(gdt_get(U_DATA) & BIT(40)); /* accessed */
	assert_int_equal(sys_segment_load(CPU, SEG_ES, 0), OUTCOME_OK);
	assert_true(CPU->seg[SEG_ES].unusable);
	assert_fault(sys_segment_load(CPU, SEG_SS, 0), VEC_GP, 0);
	assert_fault(sys_segment_load(CPU, SEG_SS, U_DATA), VEC_GP, U_DATA & ~3);
	assert_fault(sys_segment_load(CPU, SEG_DS, GDT_LAST), VEC_GP, GDT_LAST);
	assert_fault(sys_segment_load(CPU, SEG_DS, K_TSS), VEC_GP, K_TSS);
	gdt_set(GATE, descriptor(0, 0, 0x12));
	assert_fault(sys_segment_load(CPU, SEG_DS, GATE), VEC_NP, GATE);
	assert_fault(sys_segment_load(CPU, SEG_SS, GATE), VEC_SS, GATE);
	assert_fault(sys_segment_load(CPU, SEG_DS, GATE | 4), VEC_GP, GATE | 4);
}

static void privilege_of_data(void **state)
{
	to_user();
	assert_fault(sys_segment_load(CPU, SEG_DS, K_DATA), VEC_GP, K_DATA);
	assert_int_equal(sys_segment_load(CPU, SEG_DS, K_CONF), OUTCOME_OK);
}

static void looks_at_descriptors(void **state)
{
	u32 value = 0;
	bool ok;

	assert_int_equal(sys_lsl(CPU, K_TSS2, &ok, &value), OUTCOME_OK);
	assert_true(ok);
	assert_int_equal(value, 0x67);
	assert_int_equal(sys_lar(CPU, K_DATA, &ok, &value), OUTCOME_OK);
	assert_true(ok);
	assert_int_equal(value & 0xf0ff00, 0xc09300);
	gdt_set(GATE, gate(K_CODE, HANDLER, 14, 0, 0));
	assert_int_equal(sys_lar(CPU, GATE, &ok, &value), OUTCOME_OK);
	assert_false(ok); /* an interrupt gate is nothing for LAR */
	assert_int_equal(sys_lar(CPU, 0xfff8, &ok, &value), OUTCOME_OK);
	assert_false(ok);
	assert_int_equal(sys_verify(CPU, K_CODE, true, &ok), OUTCOME_OK);
	assert_false(ok);
	assert_int_equal(sys_verify(CPU, K_CODE, false, &ok), OUTCOME_OK);
	assert_true(ok);
}

static void linear_addresses(void **state)
{
	u64 gva;

	CPU->seg[SEG_DS].limit = 0xfff;
	assert_int_equal(sys_linear(CPU, SEG_DS, 0xffc, 4, true, &gva), OUTCOME_OK);
	assert_fault(sys_linear(CPU, SEG_DS, 0xffd, 4, true, &gva), VEC_GP, 0);
	CPU->seg[SEG_SS].attr |= 4; /* expand-down */
	CPU->seg[SEG_SS].limit = 0xfff;
	assert_fault(sys_linear(CPU, SEG_SS, 0xfff, 1, true, &gva), VEC_SS, 0);
	assert_int_equal(sys_linear(CPU, SEG_SS, 0x1000, 4, true, &gva), OUTCOME_OK);
	CPU->seg[SEG_DS].attr &= ~2;
	assert_fault(sys_linear(CPU, SEG_DS, 0, 4, true, &gva), VEC_GP, 0);
	CPU->seg[SEG_DS].unusable = true;
	assert_fault(sys_linear(CPU, SEG_DS, 0, 4, false, &gva), VEC_GP, 0);
}

/* -- jumps and calls --------------------------------------------------------------------------- */

static void jumps(void **state)
{
	assert_int_equal(sys_far_jmp(CPU, K_CODE16, 0x12345678, 4, NEXT_RIP), OUTCOME_FAULT);
	assert_int_equal(sys_far_jmp(CPU, K_CODE16, 0x12345678, 2, NEXT_RIP), OUTCOME_OK);
	assert_int_equal(CPU->rip, 0x5678);
	assert_int_equal(CPU->mode, CODE_16);
	assert_fault(sys_far_jmp(CPU, 0, 0, 4, NEXT_RIP), VEC_GP, 0);
	assert_fault(sys_far_jmp(CPU, K_DATA, 0, 4, NEXT_RIP), VEC_GP, K_DATA);
	assert_fault(sys_far_jmp(CPU, U_CODE, 0, 4, NEXT_RIP), VEC_GP, U_CODE & ~3);
}

static void calls_and_returns(void **state)
{
	assert_int_equal(sys_far_call(CPU, K_CONF, HANDLER, 4, NEXT_RIP), OUTCOME_OK);
	assert_int_equal(CPU->gpr[REG_RSP], HARNESS_STACK - 8);
	assert_int_equal(ram32(HARNESS_STACK - 8), NEXT_RIP);
	assert_int_equal(ram32(HARNESS_STACK - 4), K_CODE);
	assert_int_equal(sys_far_ret(CPU, 4, 12), OUTCOME_OK);
	assert_int_equal(CPU->rip, NEXT_RIP);
	assert_int_equal(CPU->gpr[REG_RSP], HARNESS_STACK + 12);
}

static void call_gate(void **state)
{
	to_user();
	gdt_set(GATE, gate(K_CODE, HANDLER, 12, 3, 2));
	ram32_set(USER_STACK, 0x11);
	ram32_set(USER_STACK + 4, 0x22);
	assert_int_equal(sys_far_call(CPU, GATE | 3, 0, 4, NEXT_RIP), OUTCOME_OK);
	assert_int_equal(CPU->cpl, 0);
	assert_int_equal(CPU->rip, HANDLER);
	assert_int_equal(CPU->gpr[REG_RSP], KERNEL_STACK - 24);
	assert_int_equal(ram32(KERNEL_STACK - 24), NEXT_RIP);
	assert_int_equal(ram32(KERNEL_STACK - 16), 0x11);
	assert_int_equal(ram32(KERNEL_STACK - 12), 0x22);
	assert_int_equal(ram32(KERNEL_STACK - 8), USER_STACK);
	/* Back: the parameters leave both stacks, and the kernel's segments are taken away. */
	CPU->seg[SEG_ES].attr &= ~SEG_ATTR_DPL;
	assert_int_equal(sys_far_ret(CPU, 4, 8), OUTCOME_OK);
	assert_int_equal(CPU->cpl, 3);
	assert_int_equal(CPU->gpr[REG_RSP], USER_STACK + 8);
	assert_true(CPU->seg[SEG_ES].unusable);
	assert_false(CPU->seg[SEG_DS].unusable);
}

static void call_gate_privilege(void **state)
{
	to_user();
	gdt_set(GATE, gate(K_CODE, HANDLER, 12, 0, 0));
	assert_fault(sys_far_call(CPU, GATE | 3, 0, 4, NEXT_RIP), VEC_GP, GATE);
	gdt_set(GATE, gate(K_CODE, HANDLER, 12, 3, 0));
	/* A jump does not change the level. */
	assert_fault(sys_far_jmp(CPU, GATE | 3, 0, 4, NEXT_RIP), VEC_GP, K_CODE);
	gdt_set(GATE, gate(K_CODE, HANDLER, 12, 3, 0) & ~BIT(47));
	assert_fault(sys_far_call(CPU, GATE | 3, 0, 4, NEXT_RIP), VEC_NP, GATE);
}

static void call_gate64(void **state)
{
	to_user();
	gdt_set(GATE, gate(K_CODE, HANDLER, 12, 3, 0));
	gdt_set(GATE + 8, 0);
	assert_int_equal(sys_far_call(CPU, GATE | 3, 0, 4, NEXT_RIP), OUTCOME_OK);
	assert_int_equal(CPU->gpr[REG_RSP], KERNEL_STACK - 32);
	assert_int_equal(ram64(KERNEL_STACK - 32), NEXT_RIP);
	assert_int_equal(ram64(KERNEL_STACK - 8), U_DATA);
	assert_true(CPU->seg[SEG_SS].unusable);
	assert_int_equal(sys_far_ret(CPU, 8, 0), OUTCOME_OK);
	assert_int_equal(CPU->cpl, 3);
	assert_int_equal(CPU->seg[SEG_SS].selector, U_DATA);
}

/* -- IRET -------------------------------------------------------------------------------------- */

static void iret_flags_by_level(void **state)
{
	to_user();
	ram32_set(USER_STACK, NEXT_RIP);
	ram32_set(USER_STACK + 4, U_CODE);
	ram32_set(USER_STACK + 8, 0xffffffff & ~RFLAGS_VM);
	assert_int_equal(sys_iret(CPU, 4, 0), OUTCOME_OK);
	assert_false(cpu_rflags(CPU) & (RFLAGS_IF | RFLAGS_IOPL | RFLAGS_VIF | RFLAGS_VIP));
	assert_true(cpu_rflags(CPU) & RFLAGS_AC && cpu_rflags(CPU) & RFLAGS_ID);
	cpu_rflags_set(CPU, RFLAGS_FIXED);
	ram32_set(USER_STACK + 16, K_CODE);
	ram32_set(USER_STACK + 12, NEXT_RIP);
	assert_fault(sys_iret(CPU, 4, 0), VEC_GP, K_CODE);
}

static void iret_unmasks_nmi(void **state)
{
	CPU->nmi_masked = true;
	ram64_set(HARNESS_STACK, 0x800000000000);
	ram64_set(HARNESS_STACK + 8, K_CODE);
	ram64_set(HARNESS_STACK + 16, RFLAGS_FIXED);
	ram64_set(HARNESS_STACK + 24, HARNESS_STACK);
	ram64_set(HARNESS_STACK + 32, K_DATA);
	assert_fault(sys_iret(CPU, 8, 0), VEC_GP, 0); /* not canonical */
	ram64_set(HARNESS_STACK, HANDLER);
	assert_int_equal(sys_iret(CPU, 8, 0), OUTCOME_OK);
	assert_false(CPU->nmi_masked);
	assert_int_equal(CPU->gpr[REG_RSP], HARNESS_STACK);
}

/* -- SYSCALL, SYSENTER ------------------------------------------------------------------------- */

static void syscall_sysret(void **state)
{
	to_user();
	CPU->msr.star = (u64)K_CODE << 32 | (u64)0x10 << 48;
	CPU->msr.lstar = HANDLER;
	CPU->msr.sfmask = RFLAGS_IF;
	cpu_rflags_set(CPU, RFLAGS_FIXED | RFLAGS_IF | RFLAGS_ZF);
	assert_int_equal(sys_syscall(CPU, NEXT_RIP), OUTCOME_OK);
	assert_int_equal(CPU->rip, HANDLER);
	assert_int_equal(CPU->cpl, 0);
	assert_int_equal(CPU->gpr[REG_RCX], NEXT_RIP);
	assert_int_equal(CPU->gpr[11], RFLAGS_FIXED | RFLAGS_IF | RFLAGS_ZF);
	assert_false(CPU->rflags_sys & RFLAGS_IF);
	assert_int_equal(sys_sysret(CPU, 8), OUTCOME_OK);
	assert_int_equal(CPU->cpl, 3);
	assert_int_equal(CPU->rip, NEXT_RIP);
	assert_int_equal(CPU->seg[SEG_CS].selector, 0x20 | 3);
	assert_int_equal(CPU->seg[SEG_SS].selector, 0x18 | 3);
	assert_fault(sys_sysret(CPU, 8), VEC_GP, 0);
	CPU->efer &= ~EFER_SCE;
	assert_int_equal(sys_syscall(CPU, NEXT_RIP), OUTCOME_FAULT);
	assert_int_equal(CPU->fault.vector, VEC_UD);
}

static void sysenter_sysexit(void **state)
{
	to_user();
	assert_fault(sys_sysenter(CPU), VEC_GP, 0);
	CPU->msr.sysenter_cs = K_CODE;
	CPU->msr.sysenter_eip = HANDLER;
	CPU->msr.sysenter_esp = KERNEL_STACK;
	assert_int_equal(sys_sysenter(CPU), OUTCOME_OK);
	assert_int_equal(CPU->cpl, 0);
	assert_int_equal(CPU->gpr[REG_RSP], KERNEL_STACK);
	CPU->gpr[REG_RDX] = NEXT_RIP;
	CPU->gpr[REG_RCX] = USER_STACK;
	assert_int_equal(sys_sysexit(CPU, 4), OUTCOME_OK);
	assert_int_equal(CPU->cpl, 3);
	assert_int_equal(CPU->rip, NEXT_RIP);
	assert_int_equal(CPU->seg[SEG_CS].selector, (K_CODE + 16) | 3);
}

/* -- task switches (SDM Vol. 3A 7.3) ----------------------------------------------------------- */

static void second_task(u32 eflags)
{
	u32 regs[] = {0, HANDLER, eflags, 1, 2, 3, 4, USER_STACK, 6, 7, 8};
	u32 segs[] = {U_DATA, U_CODE, U_DATA, U_DATA, 0, 0, 0};

	memcpy(h.ram + TSS2_AT + 28, regs, sizeof(regs));
	memcpy(h.ram + TSS2_AT + 72, segs, sizeof(segs));
}

static void task_call_and_return(void **state)
{
	second_task(RFLAGS_FIXED);
	CPU->gpr[REG_RBX] = 0xb0b;
	assert_int_equal(sys_far_call(CPU, K_TSS2, 0, 4, NEXT_RIP), OUTCOME_OK);
	assert_int_equal(CPU->cpl, 3);
	assert_int_equal(CPU->rip, HANDLER);
	assert_int_equal(CPU->gpr[REG_RSP], USER_STACK);
	assert_int_equal(CPU->gpr[REG_RBX], 4);
	assert_true(CPU->rflags_sys & RFLAGS_NT);
	assert_true(CPU->cr0 & CR0_TS);
	assert_int_equal(CPU->seg[SEG_TR].selector, K_TSS2);
	assert_int_equal(ram32(TSS2_AT) & 0xffff, K_TSS);
	assert_int_equal(ram32(TSS_AT + 32), NEXT_RIP);
	assert_true(gdt_get(K_TSS2) & BIT(41)); /* busy */
	assert_true(gdt_get(K_TSS) & BIT(41));
	/* IRET with NT goes back. */
	assert_int_equal(sys_iret(CPU, 4, HANDLER + 1), OUTCOME_OK);
	assert_int_equal(CPU->seg[SEG_TR].selector, K_TSS);
	assert_int_equal(CPU->cpl, 0);
	assert_int_equal(CPU->rip, NEXT_RIP);
	assert_int_equal(CPU->gpr[REG_RBX], 0xb0b);
	assert_false(gdt_get(K_TSS2) & BIT(41));
	assert_false(ram32(TSS2_AT + 36) & RFLAGS_NT);
	assert_int_equal(ram32(TSS2_AT + 32), HANDLER + 1);
}

static void task_faults(void **state)
{
	second_task(RFLAGS_FIXED);
	/* A busy one cannot be called; nothing has changed. */
	assert_fault(sys_far_call(CPU, K_TSS, 0, 4, NEXT_RIP), VEC_GP, K_TSS);
	gdt_set(K_TSS2, descriptor(TSS2_AT, 0x66, 0x89));
	assert_fault(sys_far_call(CPU, K_TSS2, 0, 4, NEXT_RIP), VEC_TS, K_TSS2);
	assert_int_equal(CPU->seg[SEG_TR].selector, K_TSS);
	/* A bad SS faults in the new task. */
	gdt_set(K_TSS2, descriptor(TSS2_AT, 0x67, 0x89));
	ram32_set(TSS2_AT + 80, K_DATA);
	assert_fault(sys_far_jmp(CPU, K_TSS2, 0, 4, NEXT_RIP), VEC_TS, K_DATA);
	assert_int_equal(CPU->seg[SEG_TR].selector, K_TSS2);
	assert_false(gdt_get(K_TSS) & BIT(41));
}

/* -- control registers ------------------------------------------------------------------------- */

static void control_checks(void **state)
{
	assert_fault(sys_cr0_write(CPU, CPU->cr0 | CR0_NW), VEC_GP, 0);
	assert_fault(sys_cr0_write(CPU, CPU->cr0 | BIT(32)), VEC_GP, 0);
	assert_fault(sys_cr0_write(CPU, CPU->cr0 & ~CR0_PG), VEC_GP, 0); /* in 64-bit mode */
	assert_fault(sys_cr4_write(CPU, CPU->cr4 & ~CR4_PAE), VEC_GP, 0);
	assert_fault(sys_cr4_write(CPU, CPU->cr4 | CR4_LA57), VEC_GP, 0);
	assert_fault(sys_cr4_write(CPU, CPU->cr4 | BIT(15)), VEC_GP, 0);
	assert_fault(sys_cr3_write(CPU, BIT(45)), VEC_GP, 0);
	CPU->cr3 |= 0x18;
	assert_fault(sys_cr4_write(CPU, CPU->cr4 | CR4_PCIDE), VEC_GP, 0);
	assert_int_equal(sys_cr3_write(CPU, 0x1000), OUTCOME_OK);
	assert_int_equal(sys_cr4_write(CPU, CPU->cr4 | CR4_PCIDE), OUTCOME_OK);
	assert_int_equal(sys_cr3_write(CPU, BIT(63) | 0x1005), OUTCOME_OK);
	assert_int_equal(CPU->cr3, 0x1005);
}

static void debug_registers(void **state)
{
	u64 value;

	assert_int_equal(sys_dr_write(CPU, 4, 0xffffffff), OUTCOME_OK);
	assert_int_equal(sys_dr_read(CPU, 6, &value), OUTCOME_OK);
	assert_int_equal(value, 0xffffefff);
	CPU->cr4 |= CR4_DE;
	assert_int_equal(sys_dr_read(CPU, 5, &value), OUTCOME_FAULT);
	assert_int_equal(CPU->fault.vector, VEC_UD);
	assert_fault(sys_dr_write(CPU, 7, BIT(32)), VEC_GP, 0);
	assert_int_equal(sys_dr_write(CPU, 7, DR7_GD), OUTCOME_OK);
	assert_int_equal(sys_dr_read(CPU, 0, &value), OUTCOME_FAULT);
	assert_int_equal(CPU->fault.vector, VEC_DB);
	assert_int_equal(CPU->fault.dr6, DR6_BD);
}

#define T32(f) cmocka_unit_test_setup_teardown(f, start32, stop)
#define T64(f) cmocka_unit_test_setup_teardown(f, start64, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T32(loads_segments),
		T32(privilege_of_data),
		T32(looks_at_descriptors),
		T32(linear_addresses),
		T32(jumps),
		T32(calls_and_returns),
		T32(call_gate),
		T32(call_gate_privilege),
		T64(call_gate64),
		T32(iret_flags_by_level),
		T64(iret_unmasks_nmi),
		T64(syscall_sysret),
		T32(sysenter_sysexit),
		T32(task_call_and_return),
		T32(task_faults),
		T64(control_checks),
		T32(debug_registers),
	};

	return cmocka_run_group_tests_name("sys_far", tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../insn/harness.h"

static struct harness h;

static int setup(void **state)
{
	return harness_init(&h, CODE_64);
}

static int teardown(void **state)
{
	harness_fini(&h);
	return 0;
}

#define CODE(...)                                                                                  \
	do {                                                                                       \
		static const u8 code_[] = {__VA_ARGS__};                                           \
		harness_code(&h, HARNESS_CODE, code_, sizeof(code_));                              \
	} while (0)

/* UD2 ends every program here: it needs nothing of the system themes. */
#define UD2 0x0f, 0x0b

static void run_to_ud(void)
{
	assert_int_equal(harness_run(&h), OUTCOME_FAULT);
	assert_int_equal(h.cpu.fault.vector, VEC_UD);
}

static void adds(void **state)
{
	/* mov eax, 5; add eax, -5; lea rbx, [rax + rax*2 + 7] */
	CODE(0xb8, 5, 0, 0, 0, 0x83, 0xc0, 0xfb, 0x48, 0x8d, 0x5c, 0x40, 7, UD2);
	run_to_ud();
	assert_int_equal(h.cpu.gpr[REG_RAX], 0);
	assert_int_equal(h.cpu.gpr[REG_RBX], 7);
	assert_int_equal(cpu_rflags(&h.cpu) & RFLAGS_ARITH,
			 RFLAGS_ZF | RFLAGS_CF | RFLAGS_PF | RFLAGS_AF);
	assert_int_equal(h.cpu.rip, HARNESS_CODE + 13);
}

static void loops(void **state)
{
	/* mov ecx, 1000; xor eax, eax; 1: add eax, ecx; dec ecx; jnz 1b */
	CODE(0xb9, 0xe8, 3, 0, 0, 0x31, 0xc0, 0x01, 0xc8, 0xff, 0xc9, 0x75, 0xfa, UD2);
	run_to_ud();
	assert_int_equal(h.cpu.gpr[REG_RAX], 500500);
}

static void calls(void **state)
{
	/* call 1f; push 2; pop rcx; ud2; 1: mov eax, 3; ret */
	CODE(0xe8, 5, 0, 0, 0, 0x6a, 2, 0x59, UD2, 0xb8, 3, 0, 0, 0, 0xc3);
	run_to_ud();
	assert_int_equal(h.cpu.gpr[REG_RAX], 3);
	assert_int_equal(h.cpu.gpr[REG_RCX], 2);
	assert_int_equal(h.cpu.gpr[REG_RSP], HARNESS_STACK);
}

/* An instruction that changes the one after it: movb $0x48, 1f(%rip); 1: inc eax becomes dec eax?
 */
static void modifies_itself(void **state)
{
	/* mov byte [rip + 1], 0xc8; inc eax (ff c0) -> dec eax (ff c8) */
	CODE(0x31, 0xc0, 0xc6, 0x05, 1, 0, 0, 0, 0xc8, 0xff, 0xc0, UD2);
	run_to_ud();
	assert_int_equal((u32)h.cpu.gpr[REG_RAX], 0xffffffff);
	/* The same again, now that the page is watched and its write entry is gone. */
	h.ram[HARNESS_CODE + 10] = 0xc0;
	interp_flush(&h.cpu);
	h.cpu.rip = HARNESS_CODE;
	run_to_ud();
	assert_int_equal((u32)h.cpu.gpr[REG_RAX], 0xffffffff);
}

static void crosses_pages(void **state)
{
	static const u8 code[] = {0xb8, 1, 2, 3, 4, UD2};
	u64 at = HARNESS_CODE + 0x1000 - 2;

	harness_code(&h, at, code, sizeof(code));
	run_to_ud();
	assert_int_equal(h.cpu.gpr[REG_RAX], 0x04030201);
	/* A device writes the second page. */
	h.ram[HARNESS_CODE + 0x1000] = 9;
	h.cpu.rip = at;
	run_to_ud();
	assert_int_equal(h.cpu.gpr[REG_RAX], 0x04030901);
	/* The second page goes away. */
	harness_page(&h, HARNESS_CODE + 0x1000, false, false);
	h.cpu.rip = at;
	assert_int_equal(harness_run(&h), OUTCOME_FAULT);
	assert_int_equal(h.cpu.fault.vector, VEC_PF);
	assert_int_equal(h.cpu.fault.cr2, HARNESS_CODE + 0x1000);
	assert_int_equal(h.cpu.rip, at);
}

static void faults_change_nothing(void **state)
{
	/* add [rdi], eax with flags set before */
	CODE(0x01, 0x07, UD2);
	harness_page(&h, HARNESS_DATA, true, false);
	h.cpu.gpr[REG_RDI] = HARNESS_DATA + 8;
	h.cpu.cc = CC_CF | CC_OF;
	assert_int_equal(harness_run(&h), OUTCOME_FAULT);
	assert_int_equal(h.cpu.fault.vector, VEC_PF);
	assert_int_equal(h.cpu.fault.error, PF_P | PF_W);
	assert_int_equal(h.cpu.fault.cr2, HARNESS_DATA + 8);
	assert_int_equal(h.cpu.cc, CC_CF | CC_OF);
	assert_int_equal(h.cpu.rip, HARNESS_CODE);
}

static void steps(void **state)
{
	CODE(0xff, 0xc0, 0xeb, 0xfc); /* 1: inc eax; jmp 1b */
	h.cpu.gpr[REG_RAX] = 0;
	for (unsigned n = 0; n < 10; n++)
		assert_int_equal(interp_step(&h.cpu), OUTCOME_OK);
	assert_int_equal(h.cpu.gpr[REG_RAX], 5);
	assert_int_equal(h.cpu.rip, HARNESS_CODE);
}

static void loops_stop_for_events(void **state)
{
	CODE(0xeb, 0xfe);
	cpu_event_set(&h.cpu, EVENT_KICK);
	assert_int_equal(harness_run(&h), OUTCOME_RESYNC);
	assert_int_equal(h.cpu.rip, HARNESS_CODE);
}

static void devices(void **state)
{
	/* add [rdi], eax */
	CODE(0x01, 0x07, UD2);
	h.cpu.gpr[REG_RDI] = HARNESS_RAM + 16;
	h.cpu.gpr[REG_RAX] = 2;
	h.mmio_value = 40;
	run_to_ud();
	assert_int_equal(h.mmio_value, 42);
	assert_int_equal(h.mmio_reads, 1);
	assert_int_equal(h.mmio_writes, 1);
}

static void real_mode_code(void **state)
{
	/* mov ax, 0x1234; push ax; pop cx; add cl, ch; loop */
	static const u8 code[] = {0xb8, 0x34, 0x12, 0x50, 0x59, 0x00, 0xe9, UD2};

	harness_mode(&h, CODE_16);
	h.cpu.gpr[REG_RSP] = 0x8000;
	harness_code(&h, HARNESS_CODE, code, sizeof(code));
	run_to_ud();
	assert_int_equal((u16)h.cpu.gpr[REG_RCX], 0x1246);
	assert_int_equal(h.cpu.gpr[REG_RSP], 0x8000);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(adds),	  T(loops),
		T(calls),	  T(modifies_itself),
		T(crosses_pages), T(faults_change_nothing),
		T(steps),	  T(loops_stop_for_events),
		T(devices),	  T(real_mode_code),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

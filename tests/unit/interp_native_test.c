/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The native executor where the host cannot be the oracle: availability (CR0, CR4, XCR0, modes), pending
 * and unmasked exceptions, the x87 environment's layouts, operands in devices.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../insn/harness.h"

#define MMIO ((u64)HARNESS_RAM)

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

/* Executes one instruction; the vector of its exception, or -1. */
static int step(const char *bytes, unsigned len)
{
	enum outcome o;

	harness_code(&h, HARNESS_CODE, bytes, len);
	o = interp_step(&h.cpu);
	if (o == OUTCOME_OK) {
		assert_int_equal(h.cpu.rip, HARNESS_CODE + len);
		return -1;
	}
	assert_int_equal(o, OUTCOME_FAULT);
	assert_int_equal(h.cpu.rip, HARNESS_CODE);
	return h.cpu.fault.vector;
}

#define STEP(bytes) step(bytes, sizeof(bytes) - 1)

#define PXOR	"\x66\x0f\xef\xc1"
#define VPXOR	"\xc5\xf1\xef\xc2"
#define PXOR_MM "\x0f\xef\xc1"
#define FADD	"\xd8\xc1"
#define FWAIT	"\x9b"
#define FNSTSW	"\xdf\xe0"
#define ANDN	"\xc4\xe2\x70\xf2\xc2"
#define POPCNT	"\xf3\x0f\xb8\xc1"
#define DIVSD	"\xf2\x0f\x5e\xc1"
#define FLD1	"\xd9\xe8"
#define FLDZ	"\xd9\xee"
#define FDIVP	"\xde\xf9"

/* SDM Vol. 3A 2.5: EM and TS. */
static void cr0_disables(void **state)
{
	h.cpu.cr0 |= CR0_TS;
	assert_int_equal(STEP(PXOR), VEC_NM);
	assert_int_equal(STEP(VPXOR), VEC_NM);
	assert_int_equal(STEP(PXOR_MM), VEC_NM);
	assert_int_equal(STEP(FADD), VEC_NM);
	assert_int_equal(STEP(FNSTSW), VEC_NM);
	assert_int_equal(STEP(FWAIT), -1);
	h.cpu.cr0 |= CR0_MP;
	assert_int_equal(STEP(FWAIT), VEC_NM);
	h.cpu.cr0 |= CR0_EM;
	assert_int_equal(STEP(PXOR), VEC_UD);
	assert_int_equal(STEP(PXOR_MM), VEC_UD);
	assert_int_equal(STEP(FADD), VEC_NM);
	assert_int_equal(STEP(POPCNT), -1);
	assert_int_equal(STEP(ANDN), -1);
}

static void cr4_and_xcr0_disable(void **state)
{
	h.cpu.cr4 &= ~CR4_OSFXSR;
	assert_int_equal(STEP(PXOR), VEC_UD);
	assert_int_equal(STEP(PXOR_MM), -1);
	assert_int_equal(STEP(VPXOR), -1);
	h.cpu.xcr0 = XCR0_X87 | XCR0_SSE;
	assert_int_equal(STEP(VPXOR), VEC_UD);
	h.cpu.xcr0 |= XCR0_AVX;
	h.cpu.cr4 &= ~CR4_OSXSAVE;
	assert_int_equal(STEP(VPXOR), VEC_UD);
	assert_int_equal(STEP(ANDN), -1);
}

/* In real mode C4 and C5 with a register operand are LES and LDS, which have none. */
static void no_vex_in_real_mode(void **state)
{
	harness_mode(&h, CODE_16);
	assert_int_equal(STEP(VPXOR), -1);
	h.cpu.cr0 &= ~CR0_PE;
	assert_int_equal(STEP(VPXOR), VEC_UD);
	assert_int_equal(STEP(ANDN), VEC_UD);
	assert_int_equal(STEP(PXOR), -1);
}

/* Operand sizes of 16-bit code are the other way round; a stub is 64-bit code. */
static void sizes_in_16_bit_code(void **state)
{
	harness_mode(&h, CODE_16);
	h.cpu.gpr[REG_RCX] = 0xffff00ff;
	h.cpu.gpr[REG_RAX] = 0x12345678;
	assert_int_equal(STEP(POPCNT), -1); /* popcnt ax, cx */
	assert_int_equal(h.cpu.gpr[REG_RAX], 0x12340008);
	assert_int_equal(STEP("\x66" POPCNT), -1); /* popcnt eax, ecx */
	assert_int_equal(h.cpu.gpr[REG_RAX], 24);
}

/* An unmasked exception is raised by the next waiting instruction, and not with CR0.NE clear. */
static void x87_exceptions_wait(void **state)
{
	FPU_FCW(&h.cpu.fpu) = 0x37b; /* zero divide is unmasked */
	assert_int_equal(STEP(FLD1), -1);
	assert_int_equal(STEP(FLDZ), -1);
	assert_int_equal(STEP(FDIVP), -1);
	assert_int_equal(STEP(FNSTSW), -1);
	assert_int_equal(h.cpu.gpr[REG_RAX] & 0x84, 0x84);
	assert_int_equal(STEP(FLD1), VEC_MF);
	assert_int_equal(STEP(FWAIT), VEC_MF);
	assert_int_equal(STEP(PXOR_MM), VEC_MF);
	h.cpu.cr0 &= ~CR0_NE;
	assert_int_equal(STEP(FWAIT), -1);
	assert_int_equal(STEP("\xdb\xe2"), -1); /* fnclex */
	h.cpu.cr0 |= CR0_NE;
	assert_int_equal(STEP(FLD1), -1);
}

static void simd_exceptions(void **state)
{
	const double one = 1, zero = 0;
	u8 before[16];

	memcpy(FPU_XMM(&h.cpu.fpu, 0), &one, 8);
	memcpy(FPU_XMM(&h.cpu.fpu, 1), &zero, 8);
	memcpy(before, FPU_XMM(&h.cpu.fpu, 0), 16);
	FPU_MXCSR(&h.cpu.fpu) = 0x1d80; /* zero divide is unmasked */
	assert_int_equal(STEP(DIVSD), VEC_XM);
	assert_int_equal(FPU_MXCSR(&h.cpu.fpu), 0x1d84);
	assert_memory_equal(before, FPU_XMM(&h.cpu.fpu, 0), 16);
	h.cpu.cr4 &= ~CR4_OSXMMEXCPT;
	assert_int_equal(STEP(DIVSD), VEC_UD);
	FPU_MXCSR(&h.cpu.fpu) = 0x1f80;
	assert_int_equal(STEP(DIVSD), -1);
	assert_int_equal(FPU_MXCSR(&h.cpu.fpu), 0x1f84);
}

/* SDM Vol. 1 8.1.10: protected and real layouts, of 16 and 32 bits. */
static void environment_layouts(void **state)
{
	const u8 *env = h.ram + HARNESS_DATA;
	u32 w32[7];
	u16 w16[7];

	harness_mode(&h, CODE_32);
	FPU_FSW(&h.cpu.fpu) = 0x3800;
	FPU_FTW(&h.cpu.fpu) = 0x80;
	*(u16 *)&h.cpu.fpu.legacy[6] = 0x123;	    /* FOP */
	*(u64 *)&h.cpu.fpu.legacy[8] = 0x00089abc;  /* FIP */
	*(u64 *)&h.cpu.fpu.legacy[16] = 0x0007cdef; /* FDP */
	h.cpu.gpr[REG_RDI] = HARNESS_DATA;
	assert_int_equal(STEP("\xd9\x37"), -1); /* fnstenv [edi] */
	memcpy(w32, env, sizeof(w32));
	assert_int_equal(w32[0], 0xffff037f);
	assert_int_equal(w32[1], 0xffff3800);
	assert_int_equal(w32[2], 0xffff7fff); /* register 7 holds a zero */
	assert_int_equal(w32[3], 0x00089abc);
	assert_int_equal(w32[4] >> 16, 0x123);
	assert_int_equal(w32[5], 0x0007cdef);
	h.cpu.cr0 &= ~CR0_PE;
	assert_int_equal(STEP("\x66\xd9\x37"), -1);
	memcpy(w16, env, sizeof(w16));
	assert_int_equal(w16[3], 0x9abc);
	assert_int_equal(w16[4], 0x8123);
	assert_int_equal(w16[6], 0x7000);
}

/* What FNSAVE writes FRSTOR reads back; FNSAVE leaves the state of FNINIT. */
static void save_and_restore(void **state)
{
	struct fpu saved;

	assert_int_equal(STEP(FLD1), -1);
	assert_int_equal(STEP(FLDZ), -1);
	saved = h.cpu.fpu;
	h.cpu.gpr[REG_RDI] = HARNESS_DATA;
	assert_int_equal(STEP("\xdd\x37"), -1); /* fnsave [rdi] */
	assert_int_equal(FPU_FTW(&h.cpu.fpu), 0);
	assert_int_equal(FPU_FSW(&h.cpu.fpu), 0);
	assert_int_equal(STEP("\xdd\x27"), -1); /* frstor [rdi] */
	assert_memory_equal(saved.legacy, h.cpu.fpu.legacy, 8);
	assert_memory_equal(saved.legacy + 32, h.cpu.fpu.legacy + 32, 128);
}

static void operands_in_devices(void **state)
{
	u64 lanes[2];

	h.mmio_value = 0x1122334455667788;
	h.cpu.gpr[REG_RSI] = MMIO + 0x100;
	assert_int_equal(STEP("\x0f\x10\x06"), -1); /* movups xmm0, [rsi] */
	memcpy(lanes, FPU_XMM(&h.cpu.fpu, 0), 16);
	assert_int_equal(lanes[0], h.mmio_value);
	assert_int_equal(lanes[1], h.mmio_value);
	assert_true(h.mmio_reads >= 2);
	assert_int_equal(STEP("\x0f\x11\x06"), -1);
	assert_true(h.mmio_writes >= 2);
}

/* A store by a stub to the code that follows it. */
static void stores_to_code(void **state)
{
	/* movaps [rdi], xmm0; a block of 16 bytes that becomes NOPs and HLT */
	static const u8 code[16] = {0x0f, 0x29, 0x07};
	u8 nops[16];

	memset(nops, 0x90, sizeof(nops));
	nops[15] = 0xf4;
	memcpy(FPU_XMM(&h.cpu.fpu, 0), nops, 16);
	h.cpu.gpr[REG_RDI] = HARNESS_CODE + 16;
	memset(h.ram + HARNESS_CODE + 3, 0x90, 13);
	memset(h.ram + HARNESS_CODE + 16, 0x0b, 16); /* or */
	harness_code(&h, HARNESS_CODE, code, 3);
	assert_int_equal(harness_run(&h), OUTCOME_HLT);
	assert_int_equal(h.cpu.rip, HARNESS_CODE + 32);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(cr0_disables),	 T(cr4_and_xcr0_disable), T(no_vex_in_real_mode),
		T(sizes_in_16_bit_code), T(x87_exceptions_wait),  T(simd_exceptions),
		T(environment_layouts),	 T(save_and_restore),	  T(operands_in_devices),
		T(stores_to_code),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

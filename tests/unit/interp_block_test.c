/* SPDX-License-Identifier: BSD-2-Clause */
/* Decoded code stays true to memory, and pairs of instructions to their parts. */
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

#define UD2 0x0f, 0x0b

static void run_to_ud(u64 at)
{
	h.cpu.rip = at;
	assert_int_equal(harness_run(&h), OUTCOME_FAULT);
	assert_int_equal(h.cpu.fault.vector, VEC_UD);
}

/* -- code that changes -------------------------------------------------------------------------------- */

/* A device fills a page that held code; the guest gets at it through a new translation. */
static void devices_replace_code(void **state)
{
	static const u8 code[] = {0xb8, 1, 0, 0, 0, UD2};

	memcpy(h.ram + HARNESS_CODE, code, sizeof(code));
	run_to_ud(HARNESS_CODE);
	assert_int_equal(h.cpu.gpr[REG_RAX], 1);
	h.ram[HARNESS_CODE + 1] = 2;
	mmu_invlpg(&h.cpu, HARNESS_CODE);
	run_to_ud(HARNESS_CODE);
	assert_int_equal(h.cpu.gpr[REG_RAX], 2);
}

/* A store through another linear address of the code's page. */
static void stores_through_an_alias(void **state)
{
	/* mov eax, 1; mov byte [rdi], 7; ud2 */
	static const u8 code[] = {0xb8, 1, 0, 0, 0, 0xc6, 0x07, 7, UD2};

	memcpy(h.ram + HARNESS_CODE, code, sizeof(code));
	harness_map(&h, 0x400000, HARNESS_CODE | 7);
	h.cpu.gpr[REG_RDI] = 0x400001;
	run_to_ud(HARNESS_CODE);
	assert_int_equal(h.cpu.gpr[REG_RAX], 1);
	run_to_ud(HARNESS_CODE);
	assert_int_equal(h.cpu.gpr[REG_RAX], 7);
}

/* Data next to code in its page may change without the code being decoded again. */
static void data_beside_code(void **state)
{
	/* 1: inc dword [rip + 0x800 - 6]; dec ecx; jnz 1b; ud2 */
	static const u8 code[] = {0xff, 0x05, 0xfa, 7, 0, 0, 0xff, 0xc9, 0x75, 0xf6, UD2};
	struct mem_code *record = mem_slot_code(mem_find(h.cpu.mem, HARNESS_CODE), HARNESS_CODE);
	u32 gen;

	memcpy(h.ram + HARNESS_CODE, code, sizeof(code));
	h.cpu.gpr[REG_RCX] = 5;
	run_to_ud(HARNESS_CODE);
	gen = atomic_load(&record->gen);
	h.cpu.gpr[REG_RCX] = 1000;
	run_to_ud(HARNESS_CODE);
	assert_int_equal(*(u32 *)(h.ram + HARNESS_CODE + 0x800), 1005);
	assert_int_equal(atomic_load(&record->gen), gen);
}

/* The same memory runs at two linear addresses: what is relative to rip follows. */
static void runs_at_two_addresses(void **state)
{
	/* lea rax, [rip]; ud2 */
	static const u8 code[] = {0x48, 0x8d, 0x05, 0, 0, 0, 0, UD2};

	memcpy(h.ram + HARNESS_CODE, code, sizeof(code));
	harness_map(&h, 0x400000, HARNESS_CODE | 7);
	run_to_ud(HARNESS_CODE);
	assert_int_equal(h.cpu.gpr[REG_RAX], HARNESS_CODE + 7);
	run_to_ud(0x400000);
	assert_int_equal(h.cpu.gpr[REG_RAX], 0x400007);
	assert_int_equal(h.cpu.rip, 0x400007);
}

/* More code than the arena holds: it is emptied, and everything goes on. */
static void fills_the_arena(void **state)
{
	/* a page of `inc eax` (2 bytes) with a jump to the next page at its end */
	for (u64 page = 0x500000; page < 0x500000 + 400 * 0x1000; page += 0x1000) {
		for (unsigned n = 0; n < 0x1000 - 6; n += 2)
			memcpy(h.ram + page + n, "\xff\xc0", 2);
		memcpy(h.ram + page + 0x1000 - 6, "\xe9\x01\x00\x00\x00", 5);
	}
	memcpy(h.ram + 0x500000 + 400 * 0x1000, "\x0f\x0b", 2);
	h.cpu.gpr[REG_RAX] = 0;
	run_to_ud(0x500000);
	assert_int_equal(h.cpu.gpr[REG_RAX], 400 * 2045);
	h.cpu.gpr[REG_RAX] = 0;
	run_to_ud(0x500000);
	assert_int_equal(h.cpu.gpr[REG_RAX], 400 * 2045);
}

/* -- pairs ---------------------------------------------------------------------------------------------- */

static u64 seed = 1;

static u64 rnd(void)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return seed >> 33 | seed << 31;
}

/* One comparison, jcc over `mov cl, 1`. */
static void pair_check(const u8 *cmp, unsigned len, unsigned cond)
{
	u8 code[16] = {0};
	u64 a = rnd() % 4 ? rnd() : rnd() % 3, b = rnd() % 2 ? a : rnd();
	u64 rflags, rcx;

	memcpy(code, cmp, len);
	memcpy(code + len, (u8[]){0x70 | cond, 2, 0xb1, 1, UD2}, 6);
	harness_code(&h, HARNESS_CODE, code, sizeof(code));
	h.cpu.gpr[REG_RAX] = a;
	h.cpu.gpr[REG_RDX] = b;
	h.cpu.gpr[REG_RCX] = 0;
	while (h.cpu.rip != HARNESS_CODE + len + 4)
		assert_int_equal(interp_step(&h.cpu), OUTCOME_OK);
	rflags = cpu_rflags(&h.cpu);
	rcx = h.cpu.gpr[REG_RCX];
	h.cpu.gpr[REG_RCX] = 0;
	run_to_ud(HARNESS_CODE);
	assert_int_equal(h.cpu.gpr[REG_RCX], rcx);
	assert_int_equal(cpu_rflags(&h.cpu), rflags);
	/* again by way of the link */
	h.cpu.gpr[REG_RCX] = 0;
	run_to_ud(HARNESS_CODE);
	assert_int_equal(h.cpu.gpr[REG_RCX], rcx);
}

static void pairs_do_what_their_parts_do(void **state)
{
	static const struct {
		u8 code[6], len;
	} compares[] = {
		{{0x38, 0xd0}, 2},	    /* cmp al, dl */
		{{0x39, 0xd0}, 2},	    /* cmp eax, edx */
		{{0x48, 0x39, 0xd0}, 3},    /* cmp rax, rdx */
		{{0x66, 0x39, 0xd0}, 3},    /* cmp ax, dx */
		{{0x3c, 0x80}, 2},	    /* cmp al, 0x80 */
		{{0x83, 0xf8, 0xff}, 3},    /* cmp eax, -1 */
		{{0x48, 0x83, 0xf8, 1}, 4}, /* cmp rax, 1 */
		{{0x84, 0xd0}, 2},	    /* test al, dl */
		{{0x85, 0xc0}, 2},	    /* test eax, eax */
		{{0x48, 0x85, 0xc0}, 3},    /* test rax, rax */
		{{0xa8, 1}, 2},		    /* test al, 1 */
		{{0xa9, 0, 0, 0, 0x80}, 5}, /* test eax, 1 << 31 */
	};

	for (unsigned n = 0; n < ARRAY_SIZE(compares); n++)
		for (unsigned cond = 0; cond < 16; cond++)
			for (unsigned k = 0; k < 8; k++)
				pair_check(compares[n].code, compares[n].len, cond);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(devices_replace_code), T(stores_through_an_alias),
		T(data_beside_code),	 T(runs_at_two_addresses),
		T(fills_the_arena),	 T(pairs_do_what_their_parts_do),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

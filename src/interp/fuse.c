/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pairs that nearly every block ends with: a comparison of registers and the conditional branch behind it,
 * as one handler. Both instructions stay in the block as they are, so the pair can be entered or left
 * in the middle; only the first one's handler does the work of both.
 */
#include "interp/access.h"
#include "interp/block.h"
#include "interp/cond.h"
#include "interp/host_alu.h"

HOST_TEST(cmp, u8)
HOST_TEST(cmp, u32)
HOST_TEST(cmp, u64)
HOST_TEST(test, u8)
HOST_TEST(test, u32)
HOST_TEST(test, u64)

#define SRC_rr(cpu, i, T) GPR(cpu, (i)->src, T)
#define SRC_ri(cpu, i, T) ((T)(i)->imm)

#define PAIR(op, form, T, c)                                                                       \
	HANDLER op##_##form##_##T##_j##c(struct cpu *cpu, const struct insn *i)                    \
	{                                                                                          \
		u16 cc;                                                                            \
		host_##op##_##T(GPR(cpu, i->dst, T), SRC_##form(cpu, i, T), &cc);                  \
		cpu->cc = cc;                                                                      \
		i++;                                                                               \
		if (!COND_##c(cc))                                                                 \
			NEXT(cpu, i);                                                              \
		cpu->icount += i->pos;                                                             \
		return block_go_near(cpu, i);                                                      \
	}

#define PAIRS_OF(op, c)                                                                            \
	PAIR(op, rr, u8, c)                                                                        \
	PAIR(op, rr, u32, c)                                                                       \
	PAIR(op, rr, u64, c)                                                                       \
	PAIR(op, ri, u8, c)                                                                        \
	PAIR(op, ri, u32, c)                                                                       \
	PAIR(op, ri, u64, c)

/* The conditions that compilers use after CMP; after TEST mostly the first four. */
#define FOR_TEST_CONDS(X) X(z, Z) X(nz, NZ) X(s, S) X(ns, NS)
#define FOR_CMP_CONDS(X)                                                                           \
	FOR_TEST_CONDS(X)                                                                          \
	X(b, B) X(nb, NB) X(be, BE) X(nbe, NBE) X(l, L) X(nl, NL) X(le, LE) X(nle, NLE)

#define CMP_PAIRS(c, C)	 PAIRS_OF(cmp, c)
#define TEST_PAIRS(c, C) PAIRS_OF(test, c)

FOR_CMP_CONDS(CMP_PAIRS)
FOR_TEST_CONDS(TEST_PAIRS)

/* By form (register, immediate) and size_index() of the operands. */
typedef insn_fn pair_fns[2][4];

#define PAIR_FNS(op, c)                                                                            \
	{                                                                                          \
		{op##_rr_u8_j##c, NULL, op##_rr_u32_j##c, op##_rr_u64_j##c},                       \
		{                                                                                  \
			op##_ri_u8_j##c, NULL, op##_ri_u32_j##c, op##_ri_u64_j##c                  \
		}                                                                                  \
	}

#define CMP_CASE(c, C)                                                                             \
	case ZYDIS_MNEMONIC_J##C: {                                                                \
		static const pair_fns fns = PAIR_FNS(cmp, c);                                      \
		return &fns;                                                                       \
	}
#define TEST_CASE(c, C)                                                                            \
	case ZYDIS_MNEMONIC_J##C: {                                                                \
		static const pair_fns fns = PAIR_FNS(test, c);                                     \
		return &fns;                                                                       \
	}

static const pair_fns *cmp_pairs(ZydisMnemonic jcc)
{
	switch (jcc) {
		FOR_CMP_CONDS(CMP_CASE)
	default:
		return NULL;
	}
}

static const pair_fns *test_pairs(ZydisMnemonic jcc)
{
	switch (jcc) {
		FOR_TEST_CONDS(TEST_CASE)
	default:
		return NULL;
	}
}

void interp_fuse(struct insn *i, ZydisMnemonic first, ZydisMnemonic jcc)
{
	const struct insn *branch = i + 1;
	const pair_fns *fns = NULL;
	insn_fn fn;

	if (i->flags & INSN_MEM || branch->disp < 0 || branch->disp >= (s32)PAGE_SIZE)
		return;
	if (first == ZYDIS_MNEMONIC_CMP)
		fns = cmp_pairs(jcc);
	else if (first == ZYDIS_MNEMONIC_TEST)
		fns = test_pairs(jcc);
	if (!fns)
		return;
	fn = (*fns)[i->src == 8 * REG_ZERO][size_index(i->size)];
	if (fn)
		i->fn = fn;
}

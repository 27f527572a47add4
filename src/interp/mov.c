/* SPDX-License-Identifier: BSD-2-Clause */
/* Moves: MOV of general registers and memory, MOVZX, MOVSX, MOVSXD, LEA, CMOVcc, SETcc, CBW and
 * CWD. */
#include "interp/access.h"
#include "interp/cond.h"

/* -- MOV -----------------------------------------------------------------------------------------
 */

#define LOAD(name, D, S, ea)                                                                       \
	HANDLER name##ea##_##D##_##S(struct cpu *cpu, const struct insn *i)                        \
	{                                                                                          \
		const S *p = ptr_read_##ea(cpu, i, sizeof(S));                                     \
		if (unlikely(!p))                                                                  \
			return insn_slow_load(cpu, i, load_body_##D##_##S);                        \
		SET_##D(cpu, i->dst, (D)*p);                                                       \
		NEXT(cpu, i);                                                                      \
	}

/* Loads S, extends it to D. */
#define LOADS(D, S)                                                                                \
	BODY load_body_##D##_##S(struct cpu *cpu, const struct insn *i)                            \
	{                                                                                          \
		S v = 0;                                                                           \
		enum outcome o = insn_load(cpu, i, &v, sizeof(v));                                 \
		if (!o)                                                                            \
			SET_##D(cpu, i->dst, (D)v);                                                \
		return o;                                                                          \
	}                                                                                          \
	LOAD(load_, D, S, b)                                                                       \
	LOAD(load_, D, S, g)

#define EXTEND(D, S)                                                                               \
	HANDLER move_##D##_##S(struct cpu *cpu, const struct insn *i)                              \
	{                                                                                          \
		SET_##D(cpu, i->dst, (D)GPR(cpu, i->src, S));                                      \
		NEXT(cpu, i);                                                                      \
	}

#define SET_s16(cpu, off, v) SET_u16(cpu, off, (u16)(v))
#define SET_s32(cpu, off, v) SET_u32(cpu, off, (u32)(v))
#define SET_s64(cpu, off, v) SET_u64(cpu, off, (u64)(v))

#define EXTENDS(D, S) EXTEND(D, S) LOADS(D, S)

EXTENDS(u8, u8)
EXTENDS(u16, u16)
EXTENDS(u32, u32)
EXTENDS(u64, u64)
EXTENDS(u16, u8)
EXTENDS(u32, u8)
EXTENDS(u64, u8)
EXTENDS(u32, u16)
EXTENDS(u64, u16)
EXTENDS(s16, s8)
EXTENDS(s32, s8)
EXTENDS(s64, s8)
EXTENDS(s16, s16)
EXTENDS(s32, s16)
EXTENDS(s64, s16)
EXTENDS(s32, s32)
EXTENDS(s64, s32)

#define STORE(T, form, ea, SRC)                                                                    \
	HANDLER store_##form##ea##_##T(struct cpu *cpu, const struct insn *i)                      \
	{                                                                                          \
		T *p = ptr_write_##ea(cpu, i, sizeof(T));                                          \
		if (unlikely(!p))                                                                  \
			return insn_slow(cpu, i, store_##form##_body_##T);                         \
		*p = SRC;                                                                          \
		NEXT(cpu, i);                                                                      \
	}

#define STORES_OF(T, form, SRC)                                                                    \
	BODY store_##form##_body_##T(struct cpu *cpu, const struct insn *i)                        \
	{                                                                                          \
		T v = SRC;                                                                         \
		return insn_store(cpu, i, &v, sizeof(v));                                          \
	}                                                                                          \
	STORE(T, form, b, SRC)                                                                     \
	STORE(T, form, g, SRC)

#define STORES(T, _)                                                                               \
	STORES_OF(T, r, GPR(cpu, i->src, T))                                                       \
	STORES_OF(T, i, (T)i->imm)

FOR_SIZES(STORES, _)

#define MOVE_IMM(T, _)                                                                             \
	HANDLER move_imm_##T(struct cpu *cpu, const struct insn *i)                                \
	{                                                                                          \
		SET_##T(cpu, i->dst, (T)i->imm);                                                   \
		NEXT(cpu, i);                                                                      \
	}

FOR_SIZES(MOVE_IMM, _)

/* MOV with a 64-bit absolute address, which is in imm. */
static u64 moffs_linear(const struct cpu *cpu, const struct insn *i)
{
	return i->flags & INSN_SEG_BASE ? i->imm + cpu->seg[i->seg].base : i->imm;
}

BODY moffs_load_body(struct cpu *cpu, const struct insn *i)
{
	u64 v = 0;
	enum outcome o = insn_load_at(cpu, i, moffs_linear(cpu, i), &v, i->size);

	if (!o)
		gpr_write(cpu, i->dst, i->size, v);
	return o;
}

BODY moffs_store_body(struct cpu *cpu, const struct insn *i)
{
	return insn_store_at(cpu, i, moffs_linear(cpu, i), &cpu->gpr[REG_RAX], i->size);
}

SLOW_HANDLER(moffs_load, moffs_load_body)
SLOW_HANDLER(moffs_store, moffs_store_body)

#define SIZES(name)                                                                                \
	{                                                                                          \
		name##_u8, name##_u16, name##_u32, name##_u64                                      \
	}
#define PAIRS(name)                                                                                \
	{                                                                                          \
		name##_u8_u8, name##_u16_u16, name##_u32_u32, name##_u64_u64                       \
	}

static bool select_store(const struct x86_decoded *d, struct insn *i)
{
	static const insn_fn r[2][4] = {SIZES(store_rg), SIZES(store_rb)};
	static const insn_fn imm[2][4] = {SIZES(store_ig), SIZES(store_ib)};
	unsigned n = size_index(i->size), b = insn_ea_is_b(i);

	if (d->ops[0].mem.disp.value != i->disp && i->base == 8 * REG_ZERO)
		i->fn = moffs_store;
	else if (d->ops[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		i->fn = imm[b][n];
	else
		i->fn = r[b][n];
	return true;
}

static bool select_load(const struct x86_decoded *d, struct insn *i)
{
	static const insn_fn m[2][4] = {PAIRS(load_g), PAIRS(load_b)};

	if (d->ops[1].mem.disp.value != i->disp && i->base == 8 * REG_ZERO)
		i->fn = moffs_load;
	else
		i->fn = m[insn_ea_is_b(i)][size_index(i->size)];
	return true;
}

static bool is_general(const ZydisDecodedOperand *op)
{
	if (op->type != ZYDIS_OPERAND_TYPE_REGISTER)
		return true;
	switch (ZydisRegisterGetClass(op->reg.value)) {
	case ZYDIS_REGCLASS_GPR8:
	case ZYDIS_REGCLASS_GPR16:
	case ZYDIS_REGCLASS_GPR32:
	case ZYDIS_REGCLASS_GPR64:
		return true;
	default:
		return false;
	}
}

static bool select_mov(const struct x86_decoded *d, struct insn *i)
{
	static const insn_fn rr[4] = PAIRS(move), ri[4] = SIZES(move_imm);
	unsigned n = size_index(i->size);

	if (!is_general(&d->ops[0]) || !is_general(&d->ops[1]))
		return false;
	if (d->ops[0].type == ZYDIS_OPERAND_TYPE_MEMORY)
		return select_store(d, i);
	if (d->ops[1].type == ZYDIS_OPERAND_TYPE_MEMORY)
		return select_load(d, i);
	i->fn = d->ops[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE ? ri[n] : rr[n];
	return true;
}

/* -- extensions ----------------------------------------------------------------------------------
 */

struct extend_forms {
	insn_fn reg, mem[2];
};

#define EXTEND_FORMS(D, S)                                                                         \
	{                                                                                          \
		move_##D##_##S,                                                                    \
		{                                                                                  \
			load_g_##D##_##S, load_b_##D##_##S                                         \
		}                                                                                  \
	}

static bool extend_select(struct insn *i, const struct extend_forms *f)
{
	i->fn = i->flags & INSN_MEM ? f->mem[insn_ea_is_b(i)] : f->reg;
	return i->fn;
}

static bool select_movzx(const struct x86_decoded *d, struct insn *i)
{
	static const struct extend_forms from8[4] = {
		[1] = EXTEND_FORMS(u16, u8), EXTEND_FORMS(u32, u8), EXTEND_FORMS(u64, u8)};
	static const struct extend_forms from16[4] = {
		[1] = EXTEND_FORMS(u16, u16), EXTEND_FORMS(u32, u16), EXTEND_FORMS(u64, u16)};

	return extend_select(i, &(d->ops[1].size == 8 ? from8 : from16)[size_index(i->size)]);
}

static bool select_movsx(const struct x86_decoded *d, struct insn *i)
{
	static const struct extend_forms from8[4] = {
		[1] = EXTEND_FORMS(s16, s8), EXTEND_FORMS(s32, s8), EXTEND_FORMS(s64, s8)};
	static const struct extend_forms from16[4] = {
		[1] = EXTEND_FORMS(s16, s16), EXTEND_FORMS(s32, s16), EXTEND_FORMS(s64, s16)};
	static const struct extend_forms from32[4] = {
		[1] = EXTEND_FORMS(u16, u16), EXTEND_FORMS(s32, s32), EXTEND_FORMS(s64, s32)};
	const struct extend_forms *f = from8;

	if (d->ops[1].size == 16)
		f = from16;
	else if (d->ops[1].size == 32)
		f = from32;
	/* MOVSXD r16, r/m32 reads 16 bits. */
	if (f == from32 && i->size == 2)
		i->mem_size = 2;
	return extend_select(i, &f[size_index(i->size)]);
}

/* CBW CWDE CDQE: half of rAX; CWD CDQ CQO: the sign of rAX into rDX. */
#define CONVERT(op, expr)                                                                          \
	HANDLER op(struct cpu *cpu, const struct insn *i)                                          \
	{                                                                                          \
		expr;                                                                              \
		NEXT(cpu, i);                                                                      \
	}                                                                                          \
	static bool select_##op(const struct x86_decoded *d, struct insn *i)                       \
	{                                                                                          \
		i->fn = op;                                                                        \
		return true;                                                                       \
	}

#define RAX(T) GPR(cpu, 8 * REG_RAX, T)

CONVERT(cbw, RAX(u16) = (u16)RAX(s8))
CONVERT(cwde, RAX(u64) = (u32)RAX(s16))
CONVERT(cdqe, RAX(u64) = (u64)RAX(s32))
CONVERT(cwd, GPR(cpu, 8 * REG_RDX, u16) = (u16)(RAX(s16) >> 15))
CONVERT(cdq, GPR(cpu, 8 * REG_RDX, u64) = (u32)(RAX(s32) >> 31))
CONVERT(cqo, GPR(cpu, 8 * REG_RDX, u64) = (u64)(RAX(s64) >> 63))

/* -- LEA -----------------------------------------------------------------------------------------
 */

HANDLER lea_b(struct cpu *cpu, const struct insn *i)
{
	GPR(cpu, i->dst, u64) = ea_b(cpu, i);
	NEXT(cpu, i);
}

HANDLER lea_u64(struct cpu *cpu, const struct insn *i)
{
	GPR(cpu, i->dst, u64) = insn_ea(cpu, i);
	NEXT(cpu, i);
}

HANDLER lea_u32(struct cpu *cpu, const struct insn *i)
{
	GPR(cpu, i->dst, u64) = (u32)insn_ea(cpu, i);
	NEXT(cpu, i);
}

HANDLER lea_u16(struct cpu *cpu, const struct insn *i)
{
	GPR(cpu, i->dst, u16) = (u16)insn_ea(cpu, i);
	NEXT(cpu, i);
}

static bool select_lea(const struct x86_decoded *d, struct insn *i)
{
	/* Segments do not count here. */
	i->flags &= ~(INSN_SEG_BASE | INSN_SEG_SS);
	if (i->size == 8)
		i->fn = insn_ea_is_b(i) ? lea_b : lea_u64;
	else
		i->fn = i->size == 4 ? lea_u32 : lea_u16;
	return true;
}

/* -- CMOVcc, SETcc
 * --------------------------------------------------------------------------------- */

#define CMOV_SIZE(T, c)                                                                            \
	HANDLER cmov_r_##c##_##T(struct cpu *cpu, const struct insn *i)                            \
	{                                                                                          \
		T v = GPR(cpu, COND_##c(cpu->cc) ? i->src : i->dst, T);                            \
		SET_##T(cpu, i->dst, v);                                                           \
		NEXT(cpu, i);                                                                      \
	}                                                                                          \
	BODY cmov_body_##c##_##T(struct cpu *cpu, const struct insn *i)                            \
	{                                                                                          \
		T v = 0;                                                                           \
		enum outcome o = insn_load(cpu, i, &v, sizeof(v));                                 \
		if (o)                                                                             \
			return o;                                                                  \
		v = COND_##c(cpu->cc) ? v : GPR(cpu, i->dst, T);                                   \
		SET_##T(cpu, i->dst, v);                                                           \
		return OUTCOME_OK;                                                                 \
	}                                                                                          \
	HANDLER cmov_m_##c##_##T(struct cpu *cpu, const struct insn *i)                            \
	{                                                                                          \
		const T *p = ptr_read_g(cpu, i, sizeof(T));                                        \
		if (unlikely(!p))                                                                  \
			return insn_slow_load(cpu, i, cmov_body_##c##_##T);                        \
		T v = *p, old = GPR(cpu, i->dst, T);                                               \
		v = COND_##c(cpu->cc) ? v : old;                                                   \
		SET_##T(cpu, i->dst, v);                                                           \
		NEXT(cpu, i);                                                                      \
	}

#define CMOV(c, C)                                                                                 \
	CMOV_SIZE(u16, c)                                                                          \
	CMOV_SIZE(u32, c)                                                                          \
	CMOV_SIZE(u64, c)                                                                          \
	static bool select_cmov_##c(const struct x86_decoded *d, struct insn *i)                   \
	{                                                                                          \
		static const insn_fn r[] = {NULL, cmov_r_##c##_u16, cmov_r_##c##_u32,              \
					    cmov_r_##c##_u64};                                     \
		static const insn_fn m[] = {NULL, cmov_m_##c##_u16, cmov_m_##c##_u32,              \
					    cmov_m_##c##_u64};                                     \
		i->fn = (i->flags & INSN_MEM ? m : r)[size_index(i->size)];                        \
		return i->fn;                                                                      \
	}

#define SETCC(c, C)                                                                                \
	HANDLER set_r_##c(struct cpu *cpu, const struct insn *i)                                   \
	{                                                                                          \
		GPR(cpu, i->dst, u8) = !!COND_##c(cpu->cc);                                        \
		NEXT(cpu, i);                                                                      \
	}                                                                                          \
	BODY set_body_##c(struct cpu *cpu, const struct insn *i)                                   \
	{                                                                                          \
		u8 v = !!COND_##c(cpu->cc);                                                        \
		return insn_store(cpu, i, &v, 1);                                                  \
	}                                                                                          \
	SLOW_HANDLER(set_m_##c, set_body_##c)                                                      \
	static bool select_set_##c(const struct x86_decoded *d, struct insn *i)                    \
	{                                                                                          \
		i->fn = i->flags & INSN_MEM ? set_m_##c : set_r_##c;                               \
		return true;                                                                       \
	}

FOR_CONDS(CMOV)
FOR_CONDS(SETCC)

#define CMOV_ENTRY(c, C) {ZYDIS_MNEMONIC_CMOV##C, select_cmov_##c},
#define SET_ENTRY(c, C)	 {ZYDIS_MNEMONIC_SET##C, select_set_##c},

const struct interp_select interp_mov[] = {
	{ZYDIS_MNEMONIC_MOV, select_mov},     {ZYDIS_MNEMONIC_MOVZX, select_movzx},
	{ZYDIS_MNEMONIC_MOVSX, select_movsx}, {ZYDIS_MNEMONIC_MOVSXD, select_movsx},
	{ZYDIS_MNEMONIC_LEA, select_lea},     {ZYDIS_MNEMONIC_CBW, select_cbw},
	{ZYDIS_MNEMONIC_CWDE, select_cwde},   {ZYDIS_MNEMONIC_CDQE, select_cdqe},
	{ZYDIS_MNEMONIC_CWD, select_cwd},     {ZYDIS_MNEMONIC_CDQ, select_cdq},
	{ZYDIS_MNEMONIC_CQO, select_cqo},     FOR_CONDS(CMOV_ENTRY) FOR_CONDS(SET_ENTRY){0, NULL},
};

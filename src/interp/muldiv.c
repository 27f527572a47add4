/* SPDX-License-Identifier: BSD-2-Clause */
/* MUL, IMUL, DIV, IDIV, and decimal adjustments. */
#include "interp/access.h"
#include "interp/host_alu.h"

/* The r/m operand of the one-operand forms. */
static inline enum outcome operand(struct cpu *cpu, const struct insn *i, u64 *v)
{
	*v = 0;
	if (i->flags & INSN_MEM)
		return insn_load(cpu, i, v, i->size);
	__builtin_memcpy(v, (u8 *)cpu->gpr + i->dst, i->size);
	return OUTCOME_OK;
}

/* -- MUL, IMUL: rDX:rAX
 * ----------------------------------------------------------------------------- */

/* The product is kept aside while LAHF uses AX; MOV leaves the flags alone. */
#define HOST_MUL(op, T)                                                                            \
	static inline void host_##op##_##T(T *low, T *high, T s, u16 *cc)                          \
	{                                                                                          \
		u64 a = *low, f;                                                                   \
		__asm__(#op " %3\n\tmov %%rax, %%r8\n\t" CC_SAVE                                   \
			    "\n\tmov %%rax, %2\n\tmov %%r8, %%rax"                                 \
			: "+&a"(a), "=&d"(*high), "=&r"(f)                                         \
			: "r"(s)                                                                   \
			: "cc", "r8");                                                             \
		*low = (T)a;                                                                       \
		*cc = (u16)f;                                                                      \
	}

HOST_MUL(mul, u16)
HOST_MUL(mul, u32)
HOST_MUL(mul, u64)
HOST_MUL(imul, u16)
HOST_MUL(imul, u32)
HOST_MUL(imul, u64)

#define HOST_MUL8(op)                                                                              \
	static inline u16 host_##op##_u8(u8 d, u8 s, u16 *cc)                                      \
	{                                                                                          \
		u64 a = d, f;                                                                      \
		__asm__(#op " %2\n\tmov %%rax, %%r8\n\t" CC_SAVE                                   \
			    "\n\tmov %%rax, %1\n\tmov %%r8, %%rax"                                 \
			: "+&a"(a), "=&r"(f)                                                       \
			: "q"(s)                                                                   \
			: "cc", "r8");                                                             \
		*cc = (u16)f;                                                                      \
		return (u16)a;                                                                     \
	}

HOST_MUL8(mul)
HOST_MUL8(imul)

#define MUL_SIZE(T, op)                                                                            \
	static void op##_##T(struct cpu *cpu, T s)                                                 \
	{                                                                                          \
		T low = GPR(cpu, 8 * REG_RAX, T), high;                                            \
		host_##op##_##T(&low, &high, s, &cpu->cc);                                         \
		SET_##T(cpu, 8 * REG_RAX, low);                                                    \
		SET_##T(cpu, 8 * REG_RDX, high);                                                   \
	}

#define MUL(op)                                                                                    \
	MUL_SIZE(u16, op)                                                                          \
	MUL_SIZE(u32, op)                                                                          \
	MUL_SIZE(u64, op)                                                                          \
	BODY op##_body(struct cpu *cpu, const struct insn *i)                                      \
	{                                                                                          \
		u64 s;                                                                             \
		enum outcome o = operand(cpu, i, &s);                                              \
		if (o)                                                                             \
			return o;                                                                  \
		if (i->size == 8)                                                                  \
			op##_u64(cpu, s);                                                          \
		else if (i->size == 4)                                                             \
			op##_u32(cpu, (u32)s);                                                     \
		else if (i->size == 2)                                                             \
			op##_u16(cpu, (u16)s);                                                     \
		else                                                                               \
			GPR(cpu, 8 * REG_RAX, u16) =                                               \
				host_##op##_u8(GPR(cpu, 8 * REG_RAX, u8), (u8)s, &cpu->cc);        \
		return OUTCOME_OK;                                                                 \
	}                                                                                          \
	SLOW_HANDLER(op, op##_body)

MUL(mul)
MUL(imul)

/* -- IMUL with two and three operands
 * ----------------------------------------------------------------- */

#define HOST_IMUL(T)                                                                               \
	static inline T host_imul2_##T(T d, T s, u16 *cc)                                          \
	{                                                                                          \
		u16 f;                                                                             \
		__asm__("imul %2, %0\n\t" CC_SAVE : "+r"(d), "=&a"(f) : "rm"(s) : "cc");           \
		*cc = f;                                                                           \
		return d;                                                                          \
	}                                                                                          \
	HANDLER imul_rr_##T(struct cpu *cpu, const struct insn *i)                                 \
	{                                                                                          \
		u16 cc;                                                                            \
		T v = host_imul2_##T(GPR(cpu, i->dst, T), GPR(cpu, i->src, T), &cc);               \
		SET_##T(cpu, i->dst, v);                                                           \
		cpu->cc = cc;                                                                      \
		NEXT(cpu, i);                                                                      \
	}                                                                                          \
	HANDLER imul_rri_##T(struct cpu *cpu, const struct insn *i)                                \
	{                                                                                          \
		u16 cc;                                                                            \
		T v = host_imul2_##T(GPR(cpu, i->src, T), (T)i->imm, &cc);                         \
		SET_##T(cpu, i->dst, v);                                                           \
		cpu->cc = cc;                                                                      \
		NEXT(cpu, i);                                                                      \
	}                                                                                          \
	BODY imul_m_body_##T(struct cpu *cpu, const struct insn *i)                                \
	{                                                                                          \
		T s = 0, v;                                                                        \
		enum outcome o = insn_load(cpu, i, &s, sizeof(s));                                 \
		if (o)                                                                             \
			return o;                                                                  \
		v = host_imul2_##T(s, i->sub ? (T)i->imm : GPR(cpu, i->dst, T), &cpu->cc);         \
		SET_##T(cpu, i->dst, v);                                                           \
		return OUTCOME_OK;                                                                 \
	}                                                                                          \
	SLOW_HANDLER(imul_m_##T, imul_m_body_##T)

HOST_IMUL(u16)
HOST_IMUL(u32)
HOST_IMUL(u64)

/* sub: the second factor is the immediate. */
static bool select_imul(const struct x86_decoded *d, struct insn *i)
{
	static const insn_fn rr[] = {NULL, imul_rr_u16, imul_rr_u32, imul_rr_u64};
	static const insn_fn rri[] = {NULL, imul_rri_u16, imul_rri_u32, imul_rri_u64};
	static const insn_fn m[] = {NULL, imul_m_u16, imul_m_u32, imul_m_u64};
	unsigned n = size_index(i->size);

	if (d->insn.operand_count_visible == 1) {
		i->fn = imul;
		return true;
	}
	i->sub = d->insn.operand_count_visible == 3;
	if (i->flags & INSN_MEM)
		i->fn = m[n];
	else
		i->fn = i->sub ? rri[n] : rr[n];
	return true;
}

static bool select_mul(const struct x86_decoded *d, struct insn *i)
{
	i->fn = mul;
	return true;
}

/* -- DIV, IDIV: #DE when the quotient does not fit
 * ------------------------------------------------------ */

static bool div_u64(struct cpu *cpu, u64 s)
{
	u64 low = cpu->gpr[REG_RAX], high = cpu->gpr[REG_RDX];

	if (high >= s)
		return false;
	__asm__("div %2" : "+a"(low), "+d"(high) : "r"(s) : "cc");
	cpu->gpr[REG_RAX] = low;
	cpu->gpr[REG_RDX] = high;
	return true;
}

static bool div_small(struct cpu *cpu, unsigned size, u64 s)
{
	unsigned n = 8 * size;
	u64 mask = BIT(n) - 1, a = cpu->gpr[REG_RAX] & mask, q;

	if (size == 1)
		a = GPR(cpu, 8 * REG_RAX, u16);
	else
		a |= (cpu->gpr[REG_RDX] & mask) << n;
	if (!s || (q = a / s) > mask)
		return false;
	gpr_write(cpu, 8 * REG_RAX, size, q);
	gpr_write(cpu, size == 1 ? 8 * REG_RAX + 1 : 8 * REG_RDX, size, a % s);
	return true;
}

static bool idiv_u64(struct cpu *cpu, s64 s)
{
	__int128 a = (__int128)((unsigned __int128)cpu->gpr[REG_RDX] << 64 | cpu->gpr[REG_RAX]), q;

	/* The one quotient of 128 bits that overflows. */
	if (!s || (s == -1 && a == (__int128)1 << 127))
		return false;
	q = a / s;
	if (q != (s64)q)
		return false;
	cpu->gpr[REG_RAX] = (u64)q;
	cpu->gpr[REG_RDX] = (u64)(a % s);
	return true;
}

static bool idiv_small(struct cpu *cpu, unsigned size, s64 s)
{
	unsigned n = 8 * size;
	u64 mask = BIT(n) - 1, raw = cpu->gpr[REG_RAX] & mask;
	s64 a, q;

	if (size == 1)
		raw = GPR(cpu, 8 * REG_RAX, u16);
	else
		raw |= (cpu->gpr[REG_RDX] & mask) << n;
	a = sext(raw, 2 * n);
	if (!s || (s == -1 && a == INT64_MIN))
		return false;
	q = a / s;
	if (q != sext((u64)q, n))
		return false;
	gpr_write(cpu, 8 * REG_RAX, size, (u64)q);
	gpr_write(cpu, size == 1 ? 8 * REG_RAX + 1 : 8 * REG_RDX, size, (u64)(a % s));
	return true;
}

/* Flags are undefined; they stay. */
BODY div_body(struct cpu *cpu, const struct insn *i)
{
	u64 s;
	enum outcome o = operand(cpu, i, &s);

	if (o)
		return o;
	if (i->size == 8 ? div_u64(cpu, s) : div_small(cpu, i->size, s))
		return OUTCOME_OK;
	return insn_stop(cpu, i, cpu_fault(cpu, VEC_DE));
}

BODY idiv_body(struct cpu *cpu, const struct insn *i)
{
	u64 s;
	enum outcome o = operand(cpu, i, &s);

	if (o)
		return o;
	s = (u64)sext(s, 8 * i->size);
	if (i->size == 8 ? idiv_u64(cpu, (s64)s) : idiv_small(cpu, i->size, (s64)s))
		return OUTCOME_OK;
	return insn_stop(cpu, i, cpu_fault(cpu, VEC_DE));
}

SLOW_HANDLER(div_op, div_body)
SLOW_HANDLER(idiv_op, idiv_body)

static bool select_div(const struct x86_decoded *d, struct insn *i)
{
	i->fn = div_op;
	return true;
}

static bool select_idiv(const struct x86_decoded *d, struct insn *i)
{
	i->fn = idiv_op;
	return true;
}

/* -- decimal and ASCII adjustments (SDM Vol. 1 5.1.4); not in 64-bit mode
 * ------------------------------- */

#define AL(cpu) GPR(cpu, 8 * REG_RAX, u8)
#define AH(cpu) GPR(cpu, 8 * REG_RAX + 1, u8)
#define AX(cpu) GPR(cpu, 8 * REG_RAX, u16)

/* SF, ZF, PF of AL; CF and AF as given; OF clear. */
static void cc_of_al(struct cpu *cpu, bool cf, bool af)
{
	u8 al = AL(cpu);

	cpu->cc = (cf ? CC_CF : 0) | (af ? CC_AF : 0) | (al & 0x80 ? CC_SF : 0) | (al ? 0 : CC_ZF) |
		  (__builtin_parity(al) ? 0 : CC_PF);
}

static void daa_das(struct cpu *cpu, bool subtract)
{
	u8 old = AL(cpu), al = old;
	bool cf = cpu->cc & CC_CF, af = (al & 15) > 9 || cpu->cc & CC_AF, carry = false;
	u8 step = 0;

	if (af) {
		step = 6;
		carry = cf || (subtract ? old < 6 : old > 0xf9);
	}
	if (old > 0x99 || cf) {
		step += 0x60;
		carry = true;
	}
	AL(cpu) = subtract ? al - step : al + step;
	cc_of_al(cpu, carry, af);
}

static void aaa_aas(struct cpu *cpu, bool subtract)
{
	bool adjust = (AL(cpu) & 15) > 9 || cpu->cc & CC_AF;

	if (adjust)
		AX(cpu) = subtract ? AX(cpu) - 0x106 : AX(cpu) + 0x106;
	AL(cpu) &= 15;
	cc_of_al(cpu, adjust, adjust);
}

BODY daa_body(struct cpu *cpu, const struct insn *i)
{
	daa_das(cpu, false);
	return OUTCOME_OK;
}

BODY das_body(struct cpu *cpu, const struct insn *i)
{
	daa_das(cpu, true);
	return OUTCOME_OK;
}

BODY aaa_body(struct cpu *cpu, const struct insn *i)
{
	aaa_aas(cpu, false);
	return OUTCOME_OK;
}

BODY aas_body(struct cpu *cpu, const struct insn *i)
{
	aaa_aas(cpu, true);
	return OUTCOME_OK;
}

BODY aam_body(struct cpu *cpu, const struct insn *i)
{
	u8 base = (u8)i->imm, al = AL(cpu);

	if (!base)
		return insn_stop(cpu, i, cpu_fault(cpu, VEC_DE));
	AH(cpu) = al / base;
	AL(cpu) = al % base;
	cc_of_al(cpu, false, false);
	return OUTCOME_OK;
}

BODY aad_body(struct cpu *cpu, const struct insn *i)
{
	AX(cpu) = (u8)(AL(cpu) + AH(cpu) * (u8)i->imm);
	cc_of_al(cpu, false, false);
	return OUTCOME_OK;
}

#define ADJUST(op)                                                                                 \
	SLOW_HANDLER(op, op##_body)                                                                \
	static bool select_##op(const struct x86_decoded *d, struct insn *i)                       \
	{                                                                                          \
		i->fn = op;                                                                        \
		return true;                                                                       \
	}

ADJUST(daa)
ADJUST(das)
ADJUST(aaa)
ADJUST(aas)
ADJUST(aam)
ADJUST(aad)

const struct interp_select interp_muldiv[] = {
	{ZYDIS_MNEMONIC_MUL, select_mul},
	{ZYDIS_MNEMONIC_IMUL, select_imul},
	{ZYDIS_MNEMONIC_DIV, select_div},
	{ZYDIS_MNEMONIC_IDIV, select_idiv},
	{ZYDIS_MNEMONIC_DAA, select_daa},
	{ZYDIS_MNEMONIC_DAS, select_das},
	{ZYDIS_MNEMONIC_AAA, select_aaa},
	{ZYDIS_MNEMONIC_AAS, select_aas},
	{ZYDIS_MNEMONIC_AAM, select_aam},
	{ZYDIS_MNEMONIC_AAD, select_aad},
	{0, NULL},
};

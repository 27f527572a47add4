/* SPDX-License-Identifier: BSD-2-Clause */
/* Shifts and rotates: SHL, SHR, SAR, ROL, ROR, RCL, RCR, SHLD, SHRD. */
#include "interp/access.h"
#include "interp/host_alu.h"

#define CL(cpu) GPR(cpu, 8 * REG_RCX, u8)

#define SHIFT(T, op)                                                                               \
	HOST_SHIFT(op, T)                                                                          \
	HANDLER op##_ri_##T(struct cpu *cpu, const struct insn *i)                                 \
	{                                                                                          \
		u16 cc = cpu->cc;                                                                  \
		T v = host_##op##_##T(GPR(cpu, i->dst, T), (u8)i->imm, &cc);                       \
		SET_##T(cpu, i->dst, v);                                                           \
		cpu->cc = cc;                                                                      \
		NEXT(cpu, i);                                                                      \
	}                                                                                          \
	HANDLER op##_rc_##T(struct cpu *cpu, const struct insn *i)                                 \
	{                                                                                          \
		u16 cc = cpu->cc;                                                                  \
		T v = host_##op##_##T(GPR(cpu, i->dst, T), CL(cpu), &cc);                          \
		SET_##T(cpu, i->dst, v);                                                           \
		cpu->cc = cc;                                                                      \
		NEXT(cpu, i);                                                                      \
	}                                                                                          \
	BODY op##_m_body_##T(struct cpu *cpu, const struct insn *i)                                \
	{                                                                                          \
		u16 cc = cpu->cc;                                                                  \
		u64 gva;                                                                           \
		T d;                                                                               \
		enum outcome o = insn_load_rmw(cpu, i, &d, sizeof(d), &gva);                       \
		if (o)                                                                             \
			return o;                                                                  \
		d = host_##op##_##T(d, i->sub ? CL(cpu) : (u8)i->imm, &cc);                        \
		o = insn_store_at(cpu, i, gva, &d, sizeof(d));                                     \
		if (!o)                                                                            \
			cpu->cc = cc;                                                              \
		return o;                                                                          \
	}                                                                                          \
	HANDLER op##_m_##T(struct cpu *cpu, const struct insn *i)                                  \
	{                                                                                          \
		T *p = ptr_write_g(cpu, i, sizeof(T));                                             \
		if (unlikely(!p))                                                                  \
			return insn_slow(cpu, i, op##_m_body_##T);                                 \
		u16 cc = cpu->cc;                                                                  \
		*p = host_##op##_##T(*p, i->sub ? CL(cpu) : (u8)i->imm, &cc);                      \
		cpu->cc = cc;                                                                      \
		NEXT(cpu, i);                                                                      \
	}

#define SIZES(name)                                                                                \
	{                                                                                          \
		name##_u8, name##_u16, name##_u32, name##_u64                                      \
	}

struct shift_forms {
	insn_fn ri[4], rc[4], m[4];
};

/* sub: the count is in CL. */
static bool shift_select(const struct x86_decoded *d, struct insn *i, const struct shift_forms *f)
{
	unsigned n = size_index(i->size);

	i->sub = d->ops[1].type == ZYDIS_OPERAND_TYPE_REGISTER;
	if (i->flags & INSN_MEM)
		i->fn = f->m[n];
	else
		i->fn = i->sub ? f->rc[n] : f->ri[n];
	return true;
}

#define SHIFTS(op)                                                                                 \
	FOR_SIZES(SHIFT, op)                                                                       \
	static bool select_##op(const struct x86_decoded *d, struct insn *i)                       \
	{                                                                                          \
		static const struct shift_forms forms = {SIZES(op##_ri), SIZES(op##_rc),           \
							 SIZES(op##_m)};                           \
		return shift_select(d, i, &forms);                                                 \
	}

SHIFTS(shl)
SHIFTS(shr)
SHIFTS(sar)
SHIFTS(rol)
SHIFTS(ror)
SHIFTS(rcl)
SHIFTS(rcr)

/* -- SHLD, SHRD: sub says that the count is in CL
 * --------------------------------------------------- */

#define COUNT2(cpu, i) ((i)->sub ? CL(cpu) : (u8)(i)->imm)

#define SHIFT2(T, op)                                                                              \
	HOST_SHIFT2(op, T)                                                                         \
	HANDLER op##_r_##T(struct cpu *cpu, const struct insn *i)                                  \
	{                                                                                          \
		u16 cc = cpu->cc;                                                                  \
		T v = host_##op##_##T(GPR(cpu, i->dst, T), GPR(cpu, i->src, T), COUNT2(cpu, i),    \
				      &cc);                                                        \
		SET_##T(cpu, i->dst, v);                                                           \
		cpu->cc = cc;                                                                      \
		NEXT(cpu, i);                                                                      \
	}                                                                                          \
	BODY op##_m_body_##T(struct cpu *cpu, const struct insn *i)                                \
	{                                                                                          \
		u16 cc = cpu->cc;                                                                  \
		u64 gva;                                                                           \
		T d;                                                                               \
		enum outcome o = insn_load_rmw(cpu, i, &d, sizeof(d), &gva);                       \
		if (o)                                                                             \
			return o;                                                                  \
		d = host_##op##_##T(d, GPR(cpu, i->src, T), COUNT2(cpu, i), &cc);                  \
		o = insn_store_at(cpu, i, gva, &d, sizeof(d));                                     \
		if (!o)                                                                            \
			cpu->cc = cc;                                                              \
		return o;                                                                          \
	}                                                                                          \
	SLOW_HANDLER(op##_m_##T, op##_m_body_##T)

#define SHIFTS2(op)                                                                                \
	SHIFT2(u16, op)                                                                            \
	SHIFT2(u32, op)                                                                            \
	SHIFT2(u64, op)                                                                            \
	static bool select_##op(const struct x86_decoded *d, struct insn *i)                       \
	{                                                                                          \
		static const insn_fn r[] = {NULL, op##_r_u16, op##_r_u32, op##_r_u64};             \
		static const insn_fn m[] = {NULL, op##_m_u16, op##_m_u32, op##_m_u64};             \
		i->sub = d->ops[2].type == ZYDIS_OPERAND_TYPE_REGISTER;                            \
		i->fn = (i->flags & INSN_MEM ? m : r)[size_index(i->size)];                        \
		return true;                                                                       \
	}

SHIFTS2(shld)
SHIFTS2(shrd)

const struct interp_select interp_shift[] = {
	{ZYDIS_MNEMONIC_SHL, select_shl},   {ZYDIS_MNEMONIC_SHR, select_shr},
	{ZYDIS_MNEMONIC_SAR, select_sar},   {ZYDIS_MNEMONIC_ROL, select_rol},
	{ZYDIS_MNEMONIC_ROR, select_ror},   {ZYDIS_MNEMONIC_RCL, select_rcl},
	{ZYDIS_MNEMONIC_RCR, select_rcr},   {ZYDIS_MNEMONIC_SHLD, select_shld},
	{ZYDIS_MNEMONIC_SHRD, select_shrd}, {0, NULL},
};

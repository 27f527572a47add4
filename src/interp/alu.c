/* SPDX-License-Identifier: BSD-2-Clause */
/* Two-operand and one-operand arithmetic and logic: ADD to CMP, TEST, INC, DEC, NEG, NOT. */
#include "interp/access.h"
#include "interp/host_alu.h"
#include "interp/lock.h"

/* -- what the host does -------------------------------------------------------------------------
 */

#define DEFINE_HOST(T, _)                                                                          \
	HOST_OP2(add, T)                                                                           \
	HOST_OP2(or, T)                                                                            \
	HOST_OP2(and, T)                                                                           \
	HOST_OP2(sub, T)                                                                           \
	HOST_OP2(xor, T)                                                                           \
	HOST_OP2C(adc, T)                                                                          \
	HOST_OP2C(sbb, T)                                                                          \
	HOST_TEST(cmp, T)                                                                          \
	HOST_TEST(test, T)

FOR_SIZES(DEFINE_HOST, _)

#define DEFINE_HOST1(sfx, T)                                                                       \
	HOST_OP1(inc, sfx, T)                                                                      \
	HOST_OP1(dec, sfx, T)                                                                      \
	HOST_OP1(neg, sfx, T)                                                                      \
	static inline T host_not_##T(T d, u16 *cc)                                                 \
	{                                                                                          \
		return ~d;                                                                         \
	}                                                                                          \
	static inline void host_lock_not_##T(T *d, u16 *cc)                                        \
	{                                                                                          \
		__atomic_xor_fetch(d, (T)~0ull, __ATOMIC_SEQ_CST);                                 \
	}

DEFINE_HOST1("b", u8)
DEFINE_HOST1("w", u16)
DEFINE_HOST1("l", u32)
DEFINE_HOST1("q", u64)

/* -- handlers of one operation and size -----------------------------------------------------------
 */

/* The second operand of a memory form: a register, or the immediate. */
#define SRC_mr(cpu, i, T) GPR(cpu, (i)->src, T)
#define SRC_mi(cpu, i, T) ((T)(i)->imm)

#define REG_FORM(T, op, form, SRC)                                                                 \
	HANDLER op##_##form##_##T(struct cpu *cpu, const struct insn *i)                           \
	{                                                                                          \
		u16 cc = cpu->cc;                                                                  \
		T v = host_##op##_##T(GPR(cpu, i->dst, T), SRC, &cc);                              \
		SET_##T(cpu, i->dst, v);                                                           \
		cpu->cc = cc;                                                                      \
		NEXT(cpu, i);                                                                      \
	}

#define REG_FORM_TEST(T, op, form, SRC)                                                            \
	HANDLER op##_##form##_##T(struct cpu *cpu, const struct insn *i)                           \
	{                                                                                          \
		u16 cc;                                                                            \
		host_##op##_##T(GPR(cpu, i->dst, T), SRC, &cc);                                    \
		cpu->cc = cc;                                                                      \
		NEXT(cpu, i);                                                                      \
	}

/* register, memory */
#define LOAD_FORM(T, op, ea, WRITE)                                                                \
	HANDLER op##_rm##ea##_##T(struct cpu *cpu, const struct insn *i)                           \
	{                                                                                          \
		const T *p = ptr_read_##ea(cpu, i, sizeof(T));                                     \
		if (unlikely(!p))                                                                  \
			return insn_slow_load(cpu, i, op##_rm_body_##T);                           \
		u16 cc = cpu->cc;                                                                  \
		T v = host_##op##_##T(GPR(cpu, i->dst, T), *p, &cc);                               \
		WRITE(cpu, i->dst, v);                                                             \
		cpu->cc = cc;                                                                      \
		NEXT(cpu, i);                                                                      \
	}

#define LOAD_FORMS(T, op, WRITE)                                                                   \
	BODY op##_rm_body_##T(struct cpu *cpu, const struct insn *i)                               \
	{                                                                                          \
		T s = 0, v;                                                                        \
		enum outcome o = insn_load(cpu, i, &s, sizeof(s));                                 \
		if (o)                                                                             \
			return o;                                                                  \
		v = host_##op##_##T(GPR(cpu, i->dst, T), s, &cpu->cc);                             \
		WRITE(cpu, i->dst, v);                                                             \
		return OUTCOME_OK;                                                                 \
	}                                                                                          \
	LOAD_FORM(T, op, b, WRITE)                                                                 \
	LOAD_FORM(T, op, g, WRITE)

#define NO_WRITE(cpu, off, v) ((void)(v))

/* memory, register or immediate */
#define RMW_FORM(T, op, form, ea)                                                                  \
	HANDLER op##_##form##ea##_##T(struct cpu *cpu, const struct insn *i)                       \
	{                                                                                          \
		T *p = ptr_write_##ea(cpu, i, sizeof(T));                                          \
		if (unlikely(!p))                                                                  \
			return insn_slow(cpu, i, op##_##form##_body_##T);                          \
		u16 cc = cpu->cc;                                                                  \
		*p = host_##op##_##T(*p, SRC_##form(cpu, i, T), &cc);                              \
		cpu->cc = cc;                                                                      \
		NEXT(cpu, i);                                                                      \
	}

#define RMW_BODY(T, op, form)                                                                      \
	BODY op##_##form##_body_##T(struct cpu *cpu, const struct insn *i)                         \
	{                                                                                          \
		u16 cc = cpu->cc;                                                                  \
		u64 gva;                                                                           \
		T d;                                                                               \
		enum outcome o = insn_load_rmw(cpu, i, &d, sizeof(d), &gva);                       \
		if (o)                                                                             \
			return o;                                                                  \
		d = host_##op##_##T(d, SRC_##form(cpu, i, T), &cc);                                \
		o = insn_store_at(cpu, i, gva, &d, sizeof(d));                                     \
		if (o)                                                                             \
			return o;                                                                  \
		cpu->cc = cc;                                                                      \
		return OUTCOME_OK;                                                                 \
	}

#define LOCK_FORM(T, op, form)                                                                     \
	BODY op##_##form##_lock_body_##T(struct cpu *cpu, const struct insn *i)                    \
	{                                                                                          \
		T *p;                                                                              \
		enum outcome o = insn_lock_ptr(cpu, i, sizeof(T), (void **)&p);                    \
		if (o)                                                                             \
			return o;                                                                  \
		if (!p)                                                                            \
			return insn_split_lock(cpu, i, op##_##form##_body_##T);                    \
		host_lock_##op##_##T(p, SRC_##form(cpu, i, T), &cpu->cc);                          \
		return OUTCOME_OK;                                                                 \
	}                                                                                          \
	HANDLER op##_##form##_lock_##T(struct cpu *cpu, const struct insn *i)                      \
	{                                                                                          \
		T *p = ptr_write_g(cpu, i, sizeof(T));                                             \
		if (unlikely(!p))                                                                  \
			return insn_slow(cpu, i, op##_##form##_lock_body_##T);                     \
		u16 cc = cpu->cc;                                                                  \
		host_lock_##op##_##T(p, SRC_##form(cpu, i, T), &cc);                               \
		cpu->cc = cc;                                                                      \
		NEXT(cpu, i);                                                                      \
	}

/* memory, register or immediate; only flags are written */
#define CMP_FORM(T, op, form, ea)                                                                  \
	HANDLER op##_##form##ea##_##T(struct cpu *cpu, const struct insn *i)                       \
	{                                                                                          \
		const T *p = ptr_read_##ea(cpu, i, sizeof(T));                                     \
		if (unlikely(!p))                                                                  \
			return insn_slow_load(cpu, i, op##_##form##_body_##T);                     \
		u16 cc;                                                                            \
		host_##op##_##T(*p, SRC_##form(cpu, i, T), &cc);                                   \
		cpu->cc = cc;                                                                      \
		NEXT(cpu, i);                                                                      \
	}

#define CMP_BODY(T, op, form)                                                                      \
	BODY op##_##form##_body_##T(struct cpu *cpu, const struct insn *i)                         \
	{                                                                                          \
		T d = 0;                                                                           \
		enum outcome o = insn_load(cpu, i, &d, sizeof(d));                                 \
		if (o)                                                                             \
			return o;                                                                  \
		host_##op##_##T(d, SRC_##form(cpu, i, T), &cpu->cc);                               \
		return OUTCOME_OK;                                                                 \
	}

#define DEFINE_OP2(T, op)                                                                          \
	REG_FORM(T, op, rr, GPR(cpu, i->src, T))                                                   \
	REG_FORM(T, op, ri, (T)i->imm)                                                             \
	LOAD_FORMS(T, op, SET_##T)                                                                 \
	RMW_BODY(T, op, mr)                                                                        \
	RMW_BODY(T, op, mi)                                                                        \
	RMW_FORM(T, op, mr, b)                                                                     \
	RMW_FORM(T, op, mr, g)                                                                     \
	RMW_FORM(T, op, mi, b)                                                                     \
	RMW_FORM(T, op, mi, g)                                                                     \
	LOCK_FORM(T, op, mr)                                                                       \
	LOCK_FORM(T, op, mi)

#define DEFINE_CMP(T, op)                                                                          \
	REG_FORM_TEST(T, op, rr, GPR(cpu, i->src, T))                                              \
	REG_FORM_TEST(T, op, ri, (T)i->imm)                                                        \
	LOAD_FORMS(T, op, NO_WRITE)                                                                \
	CMP_BODY(T, op, mr)                                                                        \
	CMP_BODY(T, op, mi)                                                                        \
	CMP_FORM(T, op, mr, b)                                                                     \
	CMP_FORM(T, op, mr, g)                                                                     \
	CMP_FORM(T, op, mi, b)                                                                     \
	CMP_FORM(T, op, mi, g)

FOR_SIZES(DEFINE_OP2, add)
FOR_SIZES(DEFINE_OP2, or)
FOR_SIZES(DEFINE_OP2, and)
FOR_SIZES(DEFINE_OP2, sub)
FOR_SIZES(DEFINE_OP2, xor)
FOR_SIZES(DEFINE_OP2, adc)
FOR_SIZES(DEFINE_OP2, sbb)
FOR_SIZES(DEFINE_CMP, cmp)
FOR_SIZES(DEFINE_CMP, test)

/* XOR of a register with itself: the compilers' zero. */
HANDLER zero_r(struct cpu *cpu, const struct insn *i)
{
	GPR(cpu, i->dst, u64) = 0;
	cpu->cc = CC_ZF | CC_PF;
	NEXT(cpu, i);
}

#define DEFINE_OP1(T, op)                                                                          \
	HANDLER op##_r_##T(struct cpu *cpu, const struct insn *i)                                  \
	{                                                                                          \
		u16 cc = cpu->cc;                                                                  \
		T v = host_##op##_##T(GPR(cpu, i->dst, T), &cc);                                   \
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
		d = host_##op##_##T(d, &cc);                                                       \
		o = insn_store_at(cpu, i, gva, &d, sizeof(d));                                     \
		if (o)                                                                             \
			return o;                                                                  \
		cpu->cc = cc;                                                                      \
		return OUTCOME_OK;                                                                 \
	}                                                                                          \
	HANDLER op##_m_##T(struct cpu *cpu, const struct insn *i)                                  \
	{                                                                                          \
		T *p = ptr_write_g(cpu, i, sizeof(T));                                             \
		if (unlikely(!p))                                                                  \
			return insn_slow(cpu, i, op##_m_body_##T);                                 \
		u16 cc = cpu->cc;                                                                  \
		*p = host_##op##_##T(*p, &cc);                                                     \
		cpu->cc = cc;                                                                      \
		NEXT(cpu, i);                                                                      \
	}                                                                                          \
	BODY op##_m_lock_body_##T(struct cpu *cpu, const struct insn *i)                           \
	{                                                                                          \
		T *p;                                                                              \
		enum outcome o = insn_lock_ptr(cpu, i, sizeof(T), (void **)&p);                    \
		if (o)                                                                             \
			return o;                                                                  \
		if (!p)                                                                            \
			return insn_split_lock(cpu, i, op##_m_body_##T);                           \
		host_lock_##op##_##T(p, &cpu->cc);                                                 \
		return OUTCOME_OK;                                                                 \
	}                                                                                          \
	HANDLER op##_m_lock_##T(struct cpu *cpu, const struct insn *i)                             \
	{                                                                                          \
		T *p = ptr_write_g(cpu, i, sizeof(T));                                             \
		if (unlikely(!p))                                                                  \
			return insn_slow(cpu, i, op##_m_lock_body_##T);                            \
		u16 cc = cpu->cc;                                                                  \
		host_lock_##op##_##T(p, &cc);                                                      \
		cpu->cc = cc;                                                                      \
		NEXT(cpu, i);                                                                      \
	}

FOR_SIZES(DEFINE_OP1, inc)
FOR_SIZES(DEFINE_OP1, dec)
FOR_SIZES(DEFINE_OP1, neg)
FOR_SIZES(DEFINE_OP1, not )

/* -- selection -----------------------------------------------------------------------------------
 */

struct alu_forms {
	insn_fn rr[4], ri[4], rm[2][4], mr[2][4], mi[2][4], mr_lock[4], mi_lock[4];
};

#define SIZES(name)                                                                                \
	{                                                                                          \
		name##_u8, name##_u16, name##_u32, name##_u64                                      \
	}
#define OP2_FORMS(op)                                                                              \
	{                                                                                          \
		.rr = SIZES(op##_rr), .ri = SIZES(op##_ri),                                        \
		.rm = {SIZES(op##_rmg), SIZES(op##_rmb)},                                          \
		.mr = {SIZES(op##_mrg), SIZES(op##_mrb)},                                          \
		.mi = {SIZES(op##_mig), SIZES(op##_mib)}, .mr_lock = SIZES(op##_mr_lock),          \
		.mi_lock = SIZES(op##_mi_lock)                                                     \
	}
#define CMP_FORMS(op)                                                                              \
	{                                                                                          \
		.rr = SIZES(op##_rr), .ri = SIZES(op##_ri),                                        \
		.rm = {SIZES(op##_rmg), SIZES(op##_rmb)},                                          \
		.mr = {SIZES(op##_mrg), SIZES(op##_mrb)},                                          \
		.mi = { SIZES(op##_mig),                                                           \
			SIZES(op##_mib) }                                                          \
	}

static bool alu_select(const struct x86_decoded *d, struct insn *i, const struct alu_forms *f)
{
	unsigned n = size_index(i->size), b = insn_ea_is_b(i);
	bool imm = d->ops[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;

	if (d->ops[0].type == ZYDIS_OPERAND_TYPE_MEMORY) {
		if (i->flags & INSN_LOCK)
			i->fn = imm ? f->mi_lock[n] : f->mr_lock[n];
		else
			i->fn = imm ? f->mi[b][n] : f->mr[b][n];
	} else if (d->ops[1].type == ZYDIS_OPERAND_TYPE_MEMORY) {
		i->fn = f->rm[b][n];
	} else {
		i->fn = imm ? f->ri[n] : f->rr[n];
	}
	return i->fn;
}

#define SELECT_FORMS(op, FORMS)                                                                    \
	static bool select_##op(const struct x86_decoded *d, struct insn *i)                       \
	{                                                                                          \
		static const struct alu_forms forms = FORMS(op);                                   \
		return alu_select(d, i, &forms);                                                   \
	}

SELECT_FORMS(add, OP2_FORMS)
SELECT_FORMS(or, OP2_FORMS)
SELECT_FORMS(and, OP2_FORMS)
SELECT_FORMS(sub, OP2_FORMS)
SELECT_FORMS(adc, OP2_FORMS)
SELECT_FORMS(sbb, OP2_FORMS)
SELECT_FORMS(cmp, CMP_FORMS)
SELECT_FORMS(test, CMP_FORMS)

static bool select_xor(const struct x86_decoded *d, struct insn *i)
{
	static const struct alu_forms forms = OP2_FORMS(xor);

	if (d->ops[1].type == ZYDIS_OPERAND_TYPE_REGISTER && !(i->flags & INSN_MEM) &&
	    i->dst == i->src && i->size >= 4) {
		i->fn = zero_r;
		return true;
	}
	return alu_select(d, i, &forms);
}

#define SELECT_OP1(op)                                                                             \
	static bool select_##op(const struct x86_decoded *d, struct insn *i)                       \
	{                                                                                          \
		static const insn_fn r[4] = SIZES(op##_r), m[4] = SIZES(op##_m),                   \
				     l[4] = SIZES(op##_m_lock);                                    \
		unsigned n = size_index(i->size);                                                  \
		if (!(i->flags & INSN_MEM))                                                        \
			i->fn = r[n];                                                              \
		else                                                                               \
			i->fn = i->flags & INSN_LOCK ? l[n] : m[n];                                \
		return true;                                                                       \
	}

SELECT_OP1(inc)
SELECT_OP1(dec)
SELECT_OP1(neg)
SELECT_OP1(not )

const struct interp_select interp_alu[] = {
	{ZYDIS_MNEMONIC_ADD, select_add},   {ZYDIS_MNEMONIC_OR, select_or},
	{ZYDIS_MNEMONIC_AND, select_and},   {ZYDIS_MNEMONIC_SUB, select_sub},
	{ZYDIS_MNEMONIC_XOR, select_xor},   {ZYDIS_MNEMONIC_ADC, select_adc},
	{ZYDIS_MNEMONIC_SBB, select_sbb},   {ZYDIS_MNEMONIC_CMP, select_cmp},
	{ZYDIS_MNEMONIC_TEST, select_test}, {ZYDIS_MNEMONIC_INC, select_inc},
	{ZYDIS_MNEMONIC_DEC, select_dec},   {ZYDIS_MNEMONIC_NEG, select_neg},
	{ZYDIS_MNEMONIC_NOT, select_not},   {0, NULL},
};

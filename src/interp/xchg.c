/* SPDX-License-Identifier: BSD-2-Clause */
/* Exchanges: XCHG, XADD, CMPXCHG, CMPXCHG8B, CMPXCHG16B, BSWAP, XLAT. */
#include <string.h>

#include "interp/access.h"
#include "interp/host_alu.h"
#include "interp/lock.h"

#define DEFINE_HOST(T, _) HOST_OP2(add, T) HOST_TEST(cmp, T)
FOR_SIZES(DEFINE_HOST, _)

/* -- XCHG: with memory always locked (SDM Vol. 2D) ------------------------------------------------
 */

#define XCHG(T, _)                                                                                 \
	HANDLER xchg_r_##T(struct cpu *cpu, const struct insn *i)                                  \
	{                                                                                          \
		T a = GPR(cpu, i->dst, T), b = GPR(cpu, i->src, T);                                \
		SET_##T(cpu, i->dst, b);                                                           \
		SET_##T(cpu, i->src, a);                                                           \
		NEXT(cpu, i);                                                                      \
	}                                                                                          \
	BODY xchg_copy_##T(struct cpu *cpu, const struct insn *i)                                  \
	{                                                                                          \
		u64 gva;                                                                           \
		T old, new = GPR(cpu, i->src, T);                                                  \
		enum outcome o = insn_load_rmw(cpu, i, &old, sizeof(old), &gva);                   \
		if (!o)                                                                            \
			o = insn_store_at(cpu, i, gva, &new, sizeof(new));                         \
		if (!o)                                                                            \
			SET_##T(cpu, i->src, old);                                                 \
		return o;                                                                          \
	}                                                                                          \
	BODY xchg_body_##T(struct cpu *cpu, const struct insn *i)                                  \
	{                                                                                          \
		void *p;                                                                           \
		enum outcome o = insn_lock_ptr(cpu, i, sizeof(T), &p);                             \
		if (o)                                                                             \
			return o;                                                                  \
		if (!p)                                                                            \
			return insn_split_lock(cpu, i, xchg_copy_##T);                             \
		T v = __atomic_exchange_n((T *)p, GPR(cpu, i->src, T), __ATOMIC_SEQ_CST);          \
		SET_##T(cpu, i->src, v);                                                           \
		return OUTCOME_OK;                                                                 \
	}                                                                                          \
	HANDLER xchg_m_##T(struct cpu *cpu, const struct insn *i)                                  \
	{                                                                                          \
		T *p = ptr_write_g(cpu, i, sizeof(T));                                             \
		if (unlikely(!p))                                                                  \
			return insn_slow(cpu, i, xchg_body_##T);                                   \
		T v = __atomic_exchange_n(p, GPR(cpu, i->src, T), __ATOMIC_SEQ_CST);               \
		SET_##T(cpu, i->src, v);                                                           \
		NEXT(cpu, i);                                                                      \
	}

FOR_SIZES(XCHG, _)

#define SIZES(name)                                                                                \
	{                                                                                          \
		name##_u8, name##_u16, name##_u32, name##_u64                                      \
	}

static bool select_xchg(const struct x86_decoded *d, struct insn *i)
{
	static const insn_fn r[] = SIZES(xchg_r), m[] = SIZES(xchg_m);

	/* XCHG reg, mem is the same as XCHG mem, reg. */
	if (d->ops[1].type == ZYDIS_OPERAND_TYPE_MEMORY)
		i->src = i->dst;
	i->fn = (i->flags & INSN_MEM ? m : r)[size_index(i->size)];
	return true;
}

/* PAUSE with REX.B is XCHG of r8 and rAX, as without F3. */
static bool select_pause(const struct x86_decoded *d, struct insn *i)
{
	static const insn_fn r[] = SIZES(xchg_r);

	if (d->mode != CODE_64 || !d->insn.raw.rex.B)
		return false;
	i->size = d->insn.operand_width / 8;
	i->dst = 8 * REG_RAX;
	i->src = 8 * REG_R8;
	i->fn = r[size_index(i->size)];
	return true;
}

/* -- XADD ----------------------------------------------------------------------------------------
 */

#define XADD(T, _)                                                                                 \
	HANDLER xadd_r_##T(struct cpu *cpu, const struct insn *i)                                  \
	{                                                                                          \
		T d = GPR(cpu, i->dst, T), s = GPR(cpu, i->src, T);                                \
		u16 cc;                                                                            \
		T sum = host_add_##T(d, s, &cc);                                                   \
		SET_##T(cpu, i->src, d);                                                           \
		SET_##T(cpu, i->dst, sum);                                                         \
		cpu->cc = cc;                                                                      \
		NEXT(cpu, i);                                                                      \
	}                                                                                          \
	BODY xadd_copy_##T(struct cpu *cpu, const struct insn *i)                                  \
	{                                                                                          \
		u64 gva;                                                                           \
		u16 cc;                                                                            \
		T old, sum;                                                                        \
		enum outcome o = insn_load_rmw(cpu, i, &old, sizeof(old), &gva);                   \
		if (o)                                                                             \
			return o;                                                                  \
		sum = host_add_##T(old, GPR(cpu, i->src, T), &cc);                                 \
		o = insn_store_at(cpu, i, gva, &sum, sizeof(sum));                                 \
		if (o)                                                                             \
			return o;                                                                  \
		SET_##T(cpu, i->src, old);                                                         \
		cpu->cc = cc;                                                                      \
		return OUTCOME_OK;                                                                 \
	}                                                                                          \
	static inline void xadd_lock_##T(struct cpu *cpu, const struct insn *i, T *p)              \
	{                                                                                          \
		T s = GPR(cpu, i->src, T);                                                         \
		T old = __atomic_fetch_add(p, s, __ATOMIC_SEQ_CST);                                \
		u16 cc;                                                                            \
		host_add_##T(old, s, &cc);                                                         \
		SET_##T(cpu, i->src, old);                                                         \
		cpu->cc = cc;                                                                      \
	}                                                                                          \
	BODY xadd_body_##T(struct cpu *cpu, const struct insn *i)                                  \
	{                                                                                          \
		void *p;                                                                           \
		enum outcome o;                                                                    \
		if (!(i->flags & INSN_LOCK))                                                       \
			return xadd_copy_##T(cpu, i);                                              \
		o = insn_lock_ptr(cpu, i, sizeof(T), &p);                                          \
		if (o)                                                                             \
			return o;                                                                  \
		if (!p)                                                                            \
			return insn_split_lock(cpu, i, xadd_copy_##T);                             \
		xadd_lock_##T(cpu, i, p);                                                          \
		return OUTCOME_OK;                                                                 \
	}                                                                                          \
	HANDLER xadd_m_##T(struct cpu *cpu, const struct insn *i)                                  \
	{                                                                                          \
		T *p = ptr_write_g(cpu, i, sizeof(T));                                             \
		if (unlikely(!p))                                                                  \
			return insn_slow(cpu, i, xadd_body_##T);                                   \
		xadd_lock_##T(cpu, i, p);                                                          \
		NEXT(cpu, i);                                                                      \
	}

FOR_SIZES(XADD, _)

static bool select_xadd(const struct x86_decoded *d, struct insn *i)
{
	static const insn_fn r[] = SIZES(xadd_r), m[] = SIZES(xadd_m);

	i->fn = (i->flags & INSN_MEM ? m : r)[size_index(i->size)];
	return true;
}

/* -- CMPXCHG --------------------------------------------------------------------------------------
 */

#define ACC(T) GPR(cpu, 8 * REG_RAX, T)

/* After the comparison with `old`: flags, and the accumulator when it failed. */
#define CMPXCHG(T, _)                                                                              \
	static inline void cmpxchg_done_##T(struct cpu *cpu, T old)                                \
	{                                                                                          \
		u16 cc;                                                                            \
		host_cmp_##T(ACC(T), old, &cc);                                                    \
		if (!(cc & CC_ZF))                                                                 \
			SET_##T(cpu, 8 * REG_RAX, old);                                            \
		cpu->cc = cc;                                                                      \
	}                                                                                          \
	HANDLER cmpxchg_r_##T(struct cpu *cpu, const struct insn *i)                               \
	{                                                                                          \
		T old = GPR(cpu, i->dst, T), acc = ACC(T), new = GPR(cpu, i->src, T);              \
		cmpxchg_done_##T(cpu, old);                                                        \
		if (old == acc)                                                                    \
			SET_##T(cpu, i->dst, new);                                                 \
		NEXT(cpu, i);                                                                      \
	}                                                                                          \
	BODY cmpxchg_copy_##T(struct cpu *cpu, const struct insn *i)                               \
	{                                                                                          \
		u64 gva;                                                                           \
		T old, new;                                                                        \
		enum outcome o = insn_load_rmw(cpu, i, &old, sizeof(old), &gva);                   \
		if (o)                                                                             \
			return o;                                                                  \
		/* The destination is written in either case. */                                   \
		new = old == ACC(T) ? GPR(cpu, i->src, T) : old;                                   \
		o = insn_store_at(cpu, i, gva, &new, sizeof(new));                                 \
		if (!o)                                                                            \
			cmpxchg_done_##T(cpu, old);                                                \
		return o;                                                                          \
	}                                                                                          \
	static inline void cmpxchg_lock_##T(struct cpu *cpu, const struct insn *i, T *p)           \
	{                                                                                          \
		T old = __sync_val_compare_and_swap(p, ACC(T), GPR(cpu, i->src, T));               \
		cmpxchg_done_##T(cpu, old);                                                        \
	}                                                                                          \
	BODY cmpxchg_body_##T(struct cpu *cpu, const struct insn *i)                               \
	{                                                                                          \
		void *p;                                                                           \
		enum outcome o;                                                                    \
		if (!(i->flags & INSN_LOCK))                                                       \
			return cmpxchg_copy_##T(cpu, i);                                           \
		o = insn_lock_ptr(cpu, i, sizeof(T), &p);                                          \
		if (o)                                                                             \
			return o;                                                                  \
		if (!p)                                                                            \
			return insn_split_lock(cpu, i, cmpxchg_copy_##T);                          \
		cmpxchg_lock_##T(cpu, i, p);                                                       \
		return OUTCOME_OK;                                                                 \
	}                                                                                          \
	HANDLER cmpxchg_m_##T(struct cpu *cpu, const struct insn *i)                               \
	{                                                                                          \
		T *p = ptr_write_g(cpu, i, sizeof(T));                                             \
		if (unlikely(!p))                                                                  \
			return insn_slow(cpu, i, cmpxchg_body_##T);                                \
		cmpxchg_lock_##T(cpu, i, p);                                                       \
		NEXT(cpu, i);                                                                      \
	}

FOR_SIZES(CMPXCHG, _)

static bool select_cmpxchg(const struct x86_decoded *d, struct insn *i)
{
	static const insn_fn r[] = SIZES(cmpxchg_r), m[] = SIZES(cmpxchg_m);

	i->fn = (i->flags & INSN_MEM ? m : r)[size_index(i->size)];
	return true;
}

/* -- CMPXCHG8B, CMPXCHG16B: only ZF changes
 * -------------------------------------------------------- */

static void zf_set(struct cpu *cpu, bool zf)
{
	cpu->cc = (cpu->cc & ~CC_ZF) | (zf ? CC_ZF : 0);
}

static void cmpxchg8b_done(struct cpu *cpu, u64 old, u64 expected)
{
	zf_set(cpu, old == expected);
	if (old != expected) {
		cpu->gpr[REG_RAX] = (u32)old;
		cpu->gpr[REG_RDX] = old >> 32;
	}
}

static u64 pair32(const struct cpu *cpu, unsigned high, unsigned low)
{
	return cpu->gpr[high] << 32 | (u32)cpu->gpr[low];
}

BODY cmpxchg8b_copy(struct cpu *cpu, const struct insn *i)
{
	u64 gva, old, new, expected = pair32(cpu, REG_RDX, REG_RAX);
	enum outcome o = insn_load_rmw(cpu, i, &old, 8, &gva);

	if (o)
		return o;
	new = old == expected ? pair32(cpu, REG_RCX, REG_RBX) : old;
	o = insn_store_at(cpu, i, gva, &new, 8);
	if (!o)
		cmpxchg8b_done(cpu, old, expected);
	return o;
}

BODY cmpxchg8b_body(struct cpu *cpu, const struct insn *i)
{
	u64 expected = pair32(cpu, REG_RDX, REG_RAX);
	void *p;
	enum outcome o = insn_lock_ptr(cpu, i, 8, &p);

	if (o)
		return o;
	if (!p)
		return insn_split_lock(cpu, i, cmpxchg8b_copy);
	cmpxchg8b_done(
		cpu, __sync_val_compare_and_swap((u64 *)p, expected, pair32(cpu, REG_RCX, REG_RBX)),
		expected);
	return OUTCOME_OK;
}

SLOW_HANDLER(cmpxchg8b, cmpxchg8b_body)

struct pair64 {
	u64 low, high;
};

static bool host_cmpxchg16b(struct pair64 *p, struct pair64 *expected, const struct cpu *cpu)
{
	bool ok;

	__asm__ volatile("lock cmpxchg16b %1"
			 : "=@ccz"(ok), "+m"(*p), "+a"(expected->low), "+d"(expected->high)
			 : "b"(cpu->gpr[REG_RBX]), "c"(cpu->gpr[REG_RCX])
			 : "memory");
	return ok;
}

/* Without alignment to 16 bytes it is #GP (SDM Vol. 2A), so it never crosses a page. */
BODY cmpxchg16b_body(struct cpu *cpu, const struct insn *i)
{
	struct pair64 v = {cpu->gpr[REG_RAX], cpu->gpr[REG_RDX]};
	u64 gva = 0;
	void *p;
	enum outcome o = insn_linear(cpu, i, 16, true, &gva);

	if (o || gva & 15)
		return insn_stop(cpu, i, o ? o : cpu_fault_code(cpu, VEC_GP, 0));
	o = insn_lock_ptr(cpu, i, 16, &p);
	if (o)
		return o;
	if (!p) { /* in a device */
		cpu->user.kind = USER_INTERNAL;
		return insn_stop(cpu, i, OUTCOME_USEREXIT);
	}
	zf_set(cpu, host_cmpxchg16b(p, &v, cpu));
	cpu->gpr[REG_RAX] = v.low;
	cpu->gpr[REG_RDX] = v.high;
	return OUTCOME_OK;
}

SLOW_HANDLER(cmpxchg16b, cmpxchg16b_body)

static bool select_cmpxchg8b(const struct x86_decoded *d, struct insn *i)
{
	i->fn = cmpxchg8b;
	return true;
}

static bool select_cmpxchg16b(const struct x86_decoded *d, struct insn *i)
{
	i->fn = cmpxchg16b;
	return true;
}

/* -- BSWAP, XLAT
 * ----------------------------------------------------------------------------------- */

HANDLER bswap_u64(struct cpu *cpu, const struct insn *i)
{
	GPR(cpu, i->dst, u64) = __builtin_bswap64(GPR(cpu, i->dst, u64));
	NEXT(cpu, i);
}

HANDLER bswap_u32(struct cpu *cpu, const struct insn *i)
{
	GPR(cpu, i->dst, u64) = __builtin_bswap32(GPR(cpu, i->dst, u32));
	NEXT(cpu, i);
}

/* Undefined; processors give 0. */
HANDLER bswap_u16(struct cpu *cpu, const struct insn *i)
{
	GPR(cpu, i->dst, u16) = 0;
	NEXT(cpu, i);
}

static bool select_bswap(const struct x86_decoded *d, struct insn *i)
{
	i->fn = i->size == 8 ? bswap_u64 : i->size == 4 ? bswap_u32 : bswap_u16;
	return true;
}

/* AL = [rBX + AL]: the table's index is no ordinary index register. */
BODY xlat_body(struct cpu *cpu, const struct insn *i)
{
	struct insn table = *i;
	enum outcome o;
	u8 v = 0;

	table.base = 8 * REG_RBX;
	table.index = 8 * REG_ZERO;
	table.disp = cpu->gpr[REG_RAX] & 0xff;
	o = insn_load(cpu, &table, &v, 1);
	if (!o)
		GPR(cpu, 8 * REG_RAX, u8) = v;
	return o;
}

SLOW_HANDLER(xlat, xlat_body)

static bool select_xlat(const struct x86_decoded *d, struct insn *i)
{
	i->fn = xlat;
	return true;
}

const struct interp_select interp_xchg[] = {
	{ZYDIS_MNEMONIC_XCHG, select_xchg},
	{ZYDIS_MNEMONIC_PAUSE, select_pause},
	{ZYDIS_MNEMONIC_XADD, select_xadd},
	{ZYDIS_MNEMONIC_CMPXCHG, select_cmpxchg},
	{ZYDIS_MNEMONIC_CMPXCHG8B, select_cmpxchg8b},
	{ZYDIS_MNEMONIC_CMPXCHG16B, select_cmpxchg16b},
	{ZYDIS_MNEMONIC_BSWAP, select_bswap},
	{ZYDIS_MNEMONIC_XLAT, select_xlat},
	{0, NULL},
};

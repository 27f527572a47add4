/* SPDX-License-Identifier: BSD-2-Clause */
/* Bit tests and scans: BT, BTS, BTR, BTC, BSF, BSR. */
#include "interp/access.h"
#include "interp/host_alu.h"
#include "interp/lock.h"

/* -- BT and its kin
 * ---------------------------------------------------------------------------------- */

enum bit_op { BIT_TEST, BIT_SET, BIT_RESET, BIT_COMPLEMENT };

/* The host's instruction on a register, for its flags; other flags than CF come through. */
#define HOST_BIT(op)                                                                               \
	static inline u64 host_##op(u64 d, unsigned bit, u16 *cc)                                  \
	{                                                                                          \
		u16 f = *cc;                                                                       \
		__asm__(CC_RESTORE #op " %2, %0\n\t" CC_SAVE                                       \
			: "+r"(d), "+&a"(f)                                                        \
			: "r"((u64)bit)                                                            \
			: "cc");                                                                   \
		*cc = f;                                                                           \
		return d;                                                                          \
	}

HOST_BIT(bt)
HOST_BIT(bts)
HOST_BIT(btr)
HOST_BIT(btc)

static u64 bit_apply(enum bit_op op, u64 d, unsigned bit, u16 *cc)
{
	switch (op) {
	case BIT_TEST:
		return host_bt(d, bit, cc);
	case BIT_SET:
		return host_bts(d, bit, cc);
	case BIT_RESET:
		return host_btr(d, bit, cc);
	default:
		return host_btc(d, bit, cc);
	}
}

/* The bit's number in its word, and how many bytes away from the operand that word is. */
static unsigned bit_place(const struct cpu *cpu, const struct insn *i, s64 *away)
{
	unsigned width = 8 * i->size;
	s64 n;

	*away = 0;
	if (i->src == 8 * REG_ZERO)
		return i->imm & (width - 1);
	n = sext(GPR(cpu, i->src, u64), width);
	/* A register's number reaches beyond a memory operand (SDM Vol. 2A BT). */
	if (i->flags & INSN_MEM)
		*away = (n >> __builtin_ctz(width)) * i->size;
	return n & (width - 1);
}

BODY bit_r_body(struct cpu *cpu, const struct insn *i)
{
	s64 away;
	unsigned bit = bit_place(cpu, i, &away);
	u64 v = bit_apply(i->sub, GPR(cpu, i->dst, u64), bit, &cpu->cc);

	if (i->sub != BIT_TEST)
		gpr_write(cpu, i->dst, i->size, v);
	return OUTCOME_OK;
}

/* Linear address of the word that holds the bit. */
static enum outcome bit_linear(struct cpu *cpu, const struct insn *i, u64 *gva, unsigned *bit)
{
	struct insn at = *i;
	s64 away;
	enum outcome o;

	*bit = bit_place(cpu, i, &away);
	if (i->flags & INSN_ADDR64) {
		*gva = insn_ea(cpu, i) + away;
		if (i->flags & INSN_SEG_BASE)
			*gva += cpu->seg[i->seg].base;
		return OUTCOME_OK;
	}
	/* `away` takes part in the wrap-around of 16 and 32 bits, so it goes into the displacement.
	 */
	at.disp = (s32)(at.disp + away);
	o = insn_linear(cpu, &at, i->size, i->sub != BIT_TEST, gva);
	return o ? insn_stop(cpu, i, o) : o;
}

static enum outcome bit_copy(struct cpu *cpu, const struct insn *i, u64 gva, unsigned bit)
{
	u16 cc = cpu->cc;
	u64 v = 0;
	enum outcome o = OUTCOME_OK;

	if (i->sub != BIT_TEST && !mmu_probe_write(cpu, gva, i->size))
		o = mmu_check(cpu, gva, i->size, MMU_WRITE);
	if (o)
		return insn_stop_access(cpu, i, o);
	o = insn_load_at(cpu, i, gva, &v, i->size);
	if (o)
		return o;
	v = bit_apply(i->sub, v, bit, &cc);
	if (i->sub != BIT_TEST)
		o = insn_store_at(cpu, i, gva, &v, i->size);
	if (!o)
		cpu->cc = cc;
	return o;
}

BODY bit_m_body(struct cpu *cpu, const struct insn *i)
{
	unsigned bit;
	u64 gva = 0;
	enum outcome o = bit_linear(cpu, i, &gva, &bit);

	return o ? o : bit_copy(cpu, i, gva, bit);
}

/* Locked: on the byte that holds the bit, which no page boundary splits. */
static bool bit_lock(enum bit_op op, u8 *p, unsigned bit)
{
	u8 mask = (u8)(1u << bit), old;

	if (op == BIT_SET)
		old = __atomic_fetch_or(p, mask, __ATOMIC_SEQ_CST);
	else if (op == BIT_RESET)
		old = __atomic_fetch_and(p, (u8)~mask, __ATOMIC_SEQ_CST);
	else
		old = __atomic_fetch_xor(p, mask, __ATOMIC_SEQ_CST);
	return old & mask;
}

BODY bit_lock_body(struct cpu *cpu, const struct insn *i)
{
	unsigned bit;
	u64 gva = 0;
	void *p = NULL;
	enum outcome o = bit_linear(cpu, i, &gva, &bit);

	if (o)
		return o;
	p = mmu_probe_write(cpu, gva, i->size);
	if (!p) {
		o = mmu_check(cpu, gva, i->size, MMU_WRITE);
		if (!o)
			o = mmu_ptr(cpu, gva + bit / 8, 1, MMU_WRITE, &p);
		if (o)
			return insn_stop_access(cpu, i, o);
		if (!p)
			return insn_split_lock(cpu, i, bit_m_body);
	} else {
		p = (u8 *)p + bit / 8;
	}
	cpu->cc = (cpu->cc & ~CC_CF) | (bit_lock(i->sub, p, bit & 7) ? CC_CF : 0);
	return OUTCOME_OK;
}

SLOW_HANDLER(bit_m, bit_m_body)
SLOW_HANDLER(bit_m_lock, bit_lock_body)
PLAIN_HANDLER(bit_r, bit_r_body)

static bool bit_select(struct insn *i, enum bit_op op)
{
	i->sub = op;
	if (i->flags & INSN_LOCK)
		i->fn = bit_m_lock;
	else
		i->fn = i->flags & INSN_MEM ? bit_m : bit_r;
	return true;
}

static bool select_bt(const struct x86_decoded *d, struct insn *i)
{
	return bit_select(i, BIT_TEST);
}

static bool select_bts(const struct x86_decoded *d, struct insn *i)
{
	return bit_select(i, BIT_SET);
}

static bool select_btr(const struct x86_decoded *d, struct insn *i)
{
	return bit_select(i, BIT_RESET);
}

static bool select_btc(const struct x86_decoded *d, struct insn *i)
{
	return bit_select(i, BIT_COMPLEMENT);
}

/* -- BSF, BSR: a zero source leaves the destination alone, as processors do
 * --------------------------- */

#define HOST_SCAN(op, T)                                                                           \
	static inline T host_##op##_##T(T d, T s, u16 *cc)                                         \
	{                                                                                          \
		u16 f = *cc;                                                                       \
		__asm__(CC_RESTORE #op " %2, %0\n\t" CC_SAVE : "+r"(d), "+&a"(f) : "r"(s) : "cc"); \
		*cc = f;                                                                           \
		return d;                                                                          \
	}                                                                                          \
	static void op##_##T(struct cpu *cpu, const struct insn *i, T s)                           \
	{                                                                                          \
		T v = host_##op##_##T(GPR(cpu, i->dst, T), s, &cpu->cc);                           \
		/* not even the upper half of a 32-bit one */                                      \
		if (s)                                                                             \
			SET_##T(cpu, i->dst, v);                                                   \
	}

#define SCAN(op)                                                                                   \
	HOST_SCAN(op, u16)                                                                         \
	HOST_SCAN(op, u32)                                                                         \
	HOST_SCAN(op, u64)                                                                         \
	BODY op##_body(struct cpu *cpu, const struct insn *i)                                      \
	{                                                                                          \
		u64 s = 0;                                                                         \
		enum outcome o = OUTCOME_OK;                                                       \
		if (i->flags & INSN_MEM)                                                           \
			o = insn_load(cpu, i, &s, i->size);                                        \
		else                                                                               \
			s = GPR(cpu, i->src, u64);                                                 \
		if (o)                                                                             \
			return o;                                                                  \
		if (i->size == 8)                                                                  \
			op##_u64(cpu, i, s);                                                       \
		else if (i->size == 4)                                                             \
			op##_u32(cpu, i, (u32)s);                                                  \
		else                                                                               \
			op##_u16(cpu, i, (u16)s);                                                  \
		return OUTCOME_OK;                                                                 \
	}                                                                                          \
	SLOW_HANDLER(op##_m, op##_body)                                                            \
	PLAIN_HANDLER(op##_r, op##_body)                                                           \
	static bool select_##op(const struct x86_decoded *d, struct insn *i)                       \
	{                                                                                          \
		i->fn = i->flags & INSN_MEM ? op##_m : op##_r;                                     \
		return true;                                                                       \
	}

SCAN(bsf)
SCAN(bsr)

const struct interp_select interp_bit[] = {
	{ZYDIS_MNEMONIC_BT, select_bt},
	{ZYDIS_MNEMONIC_BTS, select_bts},
	{ZYDIS_MNEMONIC_BTR, select_btr},
	{ZYDIS_MNEMONIC_BTC, select_btc},
	{ZYDIS_MNEMONIC_BSF, select_bsf},
	{ZYDIS_MNEMONIC_BSR, select_bsr},
	{0, NULL},
};

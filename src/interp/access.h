/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fast ways to memory operands, for handlers in a hurry: a host pointer, or NULL which sends the
 * handler to its slow body. Two flavours of effective address: `b` is base + displacement in 64-bit
 * mode without segment base (most of them); `g` is everything.
 *
 * Private to interp/.
 */
#ifndef INTERP_ACCESS_H
#define INTERP_ACCESS_H

#include "interp/handler.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* Takes flavour b? */
static inline bool insn_ea_is_b(const struct insn *i)
{
	return (i->flags & (INSN_ADDR64 | INSN_SEG_BASE)) == INSN_ADDR64 &&
	       i->index == 8 * REG_ZERO;
}

ALWAYS_INLINE u64 ea_b(const struct cpu *cpu, const struct insn *i)
{
	return GPR(cpu, i->base, u64) + (s64)i->disp;
}

ALWAYS_INLINE u64 ea_g(const struct cpu *cpu, const struct insn *i)
{
	u64 ea = GPR(cpu, i->base, u64) + (GPR(cpu, i->index, u64) << i->scale) + (s64)i->disp;

	if (i->flags & INSN_SEG_BASE)
		ea += cpu->seg[i->seg].base;
	return ea;
}

ALWAYS_INLINE void *ptr_read_b(const struct cpu *cpu, const struct insn *i, unsigned size)
{
	return mmu_probe_read(cpu, ea_b(cpu, i), size);
}

ALWAYS_INLINE void *ptr_write_b(const struct cpu *cpu, const struct insn *i, unsigned size)
{
	return mmu_probe_write(cpu, ea_b(cpu, i), size);
}

ALWAYS_INLINE void *ptr_read_g(const struct cpu *cpu, const struct insn *i, unsigned size)
{
	if (unlikely(!(i->flags & INSN_ADDR64)))
		return NULL;
	return mmu_probe_read(cpu, ea_g(cpu, i), size);
}

ALWAYS_INLINE void *ptr_write_g(const struct cpu *cpu, const struct insn *i, unsigned size)
{
	if (unlikely(!(i->flags & INSN_ADDR64)))
		return NULL;
	return mmu_probe_write(cpu, ea_g(cpu, i), size);
}

/* Register writes by type: 32-bit ones clear the upper half. */
#define SET_u8(cpu, off, v)  (GPR(cpu, off, u8) = (v))
#define SET_u16(cpu, off, v) (GPR(cpu, off, u16) = (v))
#define SET_u32(cpu, off, v) (GPR(cpu, off, u64) = (u32)(v))
#define SET_u64(cpu, off, v) (GPR(cpu, off, u64) = (v))

/* Types of operand sizes, for X-macros. */
#define FOR_SIZES(X, ...)                                                                          \
	X(u8, __VA_ARGS__) X(u16, __VA_ARGS__) X(u32, __VA_ARGS__) X(u64, __VA_ARGS__)

/* log2 of an operand size in bytes: the index of per-size tables. */
static inline unsigned size_index(unsigned size)
{
	return size == 8 ? 3 : size >> 1;
}

/* Declares `handler` as: body, then the next instruction. */
#define SLOW_HANDLER(handler, body)                                                                \
	static enum outcome handler(struct cpu *cpu, const struct insn *i)                         \
	{                                                                                          \
		return insn_slow(cpu, i, body);                                                    \
	}

/* For bodies that touch no memory. */
#define PLAIN_HANDLER(handler, body)                                                               \
	static enum outcome handler(struct cpu *cpu, const struct insn *i)                         \
	{                                                                                          \
		body(cpu, i);                                                                      \
		NEXT(cpu, i);                                                                      \
	}

#define BODY	static __attribute__((noinline)) enum outcome
#define HANDLER static enum outcome

#endif

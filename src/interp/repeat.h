/* SPDX-License-Identifier: BSD-2-Clause */
/* What the string instructions and the string port instructions share: counts, indexes, the repetition. */
#ifndef INTERP_REPEAT_H
#define INTERP_REPEAT_H

#include "interp/handler.h"

/* insn.sub; bits from 8 up are the theme's own. */
#define REPEAT		 1u
#define REPEAT_EQUAL	 2u /* ... while equal (CMPS, SCAS) */
#define REPEAT_DIFFERENT 4u

static inline u64 repeat_address_mask(const struct insn *i)
{
	if (i->flags & INSN_ADDR64)
		return ~0ull;
	return i->flags & INSN_ADDR32 ? 0xffffffffu : 0xffffu;
}

/* Iterations to go. */
static inline u64 repeat_count(const struct cpu *cpu, const struct insn *i)
{
	return i->sub & REPEAT ? cpu->gpr[REG_RCX] & repeat_address_mask(i) : 1;
}

static inline u64 repeat_index(const struct cpu *cpu, const struct insn *i, unsigned reg)
{
	return cpu->gpr[reg] & repeat_address_mask(i);
}

/* `n` elements are done: RSI (with `src`), RDI (with `dst`) and the count move on. */
void repeat_advance(struct cpu *cpu, const struct insn *i, bool src, bool dst, u64 n);

/* Linear address of `size` bytes at RSI (in the operand's segment) or RDI (in ES), with all checks. */
enum outcome repeat_linear(struct cpu *cpu, const struct insn *i, unsigned reg, unsigned size,
			   bool write, u64 *gva);

/*
 * How many whole elements from the one at RSI or RDI on stay in the page of its linear address, and below the
 * end of what the address size reaches.
 */
static inline u64 repeat_room(const struct cpu *cpu, const struct insn *i, unsigned reg, u64 gva)
{
	u64 page = (PAGE_SIZE - (gva & ~PAGE_MASK)) / i->size;
	u64 wrap = (repeat_address_mask(i) - repeat_index(cpu, i, reg)) / i->size;

	return MIN(page, wrap);
}

/*
 * One step of an instruction: one or more iterations, registers exact afterwards. On anything but OUTCOME_OK
 * rip is exact, too. *more: the condition of the repetition still holds.
 */
typedef enum outcome (*repeat_step)(struct cpu *cpu, const struct insn *i, bool *more);

/*
 * Repeats the step as the prefix says and continues with the next instruction; leaves between two steps when
 * somebody wants the CPU.
 */
enum outcome repeat_run(struct cpu *cpu, const struct insn *i, repeat_step step);

/* The last of F2 and F3, 0 without. Zydis tells them only where they change the meaning. */
u8 repeat_prefix(const struct x86_decoded *d);

#endif

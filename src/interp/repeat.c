/* SPDX-License-Identifier: BSD-2-Clause */
#include "interp/block.h"
#include "interp/repeat.h"
#include "sys/sys.h"

/* Index registers are as wide as addresses: 32-bit ones clear their upper half, 16-bit ones keep it. */
static void index_add(struct cpu *cpu, const struct insn *i, unsigned reg, s64 delta)
{
	u64 mask = repeat_address_mask(i), v = (cpu->gpr[reg] + (u64)delta) & mask;

	cpu->gpr[reg] = mask == 0xffff ? (cpu->gpr[reg] & ~0xffffull) | v : v;
}

void repeat_advance(struct cpu *cpu, const struct insn *i, bool src, bool dst, u64 n)
{
	s64 delta = (s64)(n * i->size);

	if (cpu->rflags_sys & RFLAGS_DF)
		delta = -delta;
	if (src)
		index_add(cpu, i, REG_RSI, delta);
	if (dst)
		index_add(cpu, i, REG_RDI, delta);
	if (i->sub & REPEAT)
		index_add(cpu, i, REG_RCX, -(s64)n);
}

enum outcome repeat_linear(struct cpu *cpu, const struct insn *i, unsigned reg, unsigned size,
			   bool write, u64 *gva)
{
	unsigned seg = reg == REG_RDI ? SEG_ES : i->seg;
	u64 ea = repeat_index(cpu, i, reg);
	enum outcome o;

	if (likely(cpu->mode == CODE_64)) {
		*gva = seg >= SEG_FS ? ea + cpu->seg[seg].base : ea;
		return OUTCOME_OK;
	}
	o = sys_linear(cpu, seg, ea, size, write, gva);
	return o ? insn_stop(cpu, i, o) : o;
}

/* Beside the outcomes: the instruction is unfinished, and somebody wants the CPU. */
#define LEAVE (-1)

/* A frame of its own, since `more` must be gone before the tail call. */
static int repeat_loop(struct cpu *cpu, const struct insn *i, repeat_step step)
{
	bool more = true;

	while (repeat_count(cpu, i)) {
		enum outcome o = step(cpu, i, &more);

		if (unlikely(o))
			return (int)o;
		if (!(i->sub & REPEAT) || !more)
			break;
		if (unlikely(cpu_wanted(cpu)) && repeat_count(cpu, i))
			return LEAVE;
	}
	return OUTCOME_OK;
}

/* Stops between two iterations: rip stays, what precedes in the block has retired. */
static enum outcome stop_between(struct cpu *cpu, const struct insn *i)
{
	cpu->icount += i->pos - 1;
	insn_sync(cpu, i);
	return OUTCOME_OK;
}

enum outcome repeat_run(struct cpu *cpu, const struct insn *i, repeat_step step)
{
	int o = repeat_loop(cpu, i, step);

	if (unlikely(o == LEAVE))
		return stop_between(cpu, i);
	if (unlikely(o))
		return (enum outcome)o;
	return insn_next_stored(cpu, i);
}

u8 repeat_prefix(const struct x86_decoded *d)
{
	u8 last = 0;

	for (unsigned k = 0; k < d->insn.raw.prefix_count; k++) {
		u8 v = d->insn.raw.prefixes[k].value;

		if (v == 0xf2 || v == 0xf3)
			last = v;
	}
	return last;
}

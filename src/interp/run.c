/* SPDX-License-Identifier: BSD-2-Clause */
/* The engine's loop: from block to block wherever direct links and the table of blocks end. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "interp/block.h"
#include "interp/interp.h"

int interp_init(struct cpu *cpu)
{
	struct interp *in = calloc(1, sizeof(*in));

	if (!in)
		return -ENOMEM;
	in->arena = mmap(NULL, BLOCK_ARENA_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (in->arena == MAP_FAILED) {
		free(in);
		return -ENOMEM;
	}
	block_flush(in);
	cpu->interp = in;
	return 0;
}

void interp_destroy(struct cpu *cpu)
{
	if (!cpu->interp)
		return;
	munmap(cpu->interp->arena, BLOCK_ARENA_SIZE);
	free(cpu->interp);
	cpu->interp = NULL;
}

void interp_flush(struct cpu *cpu)
{
	block_flush(cpu->interp);
}

/* Linear address of rip; #GP beyond the limit of CS (SDM Vol. 3A 5.3). */
static enum outcome rip_linear(struct cpu *cpu, u64 *lin)
{
	const struct segment *cs = &cpu->seg[SEG_CS];

	*lin = cpu->mode == CODE_64 ? cpu->rip : (u32)(cs->base + cpu->rip);
	if (cpu->mode == CODE_64 ? !cpu_canonical(cpu, cpu->rip) : cpu->rip > cs->limit)
		return cpu_fault_code(cpu, VEC_GP, 0);
	return OUTCOME_OK;
}

/* A direct branch inside its page waits to be linked to the block that has been found for it. */
static void link_resolve(struct interp *in, struct insn *from, struct block *b, u32 flushes)
{
	const struct insn *end = from;
	const struct block *source;

	if (flushes != in->flushes)
		return;
	while (end->len)
		end++;
	source = container_of(end - end->sub, struct block, insn[0]);
	if (source->page == b->page && source->gen == b->gen)
		from->aux = b->insn;
}

static enum outcome run_block(struct cpu *cpu)
{
	struct interp *in = cpu->interp;
	struct insn *from = in->link;
	u32 flushes = in->flushes;
	struct block *b = NULL;
	u64 lin = 0;
	enum outcome o = rip_linear(cpu, &lin);

	in->link = NULL;
	if (!o)
		o = block_get(cpu, lin, &b);
	if (unlikely(o))
		return o;
	if (from)
		link_resolve(in, from, b, flushes);
	/* Making a block may have made its page a watched one: nothing runs before all know. */
	if (cpu_wanted(cpu))
		return OUTCOME_RESYNC;
	cpu->gpr[REG_PAGE] = lin & PAGE_MASK;
	return insn_run(cpu, b->insn);
}

static enum outcome run_blocks(struct cpu *cpu)
{
	enum outcome o;

	/* RF holds for one instruction (SDM Vol. 3B 17.3.1.1). */
	if (unlikely(cpu->rflags_sys & RFLAGS_RF) && !cpu_wanted(cpu)) {
		o = interp_step(cpu);
		if (o)
			return o;
	}
	cpu->interp->link = NULL;
	do {
		if (cpu_wanted(cpu))
			return OUTCOME_RESYNC;
		o = run_block(cpu);
	} while (o == OUTCOME_OK);
	return o;
}

enum outcome interp_run(struct cpu *cpu)
{
	enum outcome o = run_blocks(cpu);

	interp_native_leave(cpu);
	return o;
}

/*
 * RF is cleared before the instruction, so that one which loads it (IRET) has its way, and put back
 * when the instruction has not retired.
 */
static enum outcome step(struct cpu *cpu)
{
	struct insn *i = cpu->interp->scratch;
	u64 rf = cpu->rflags_sys & RFLAGS_RF, rip = cpu->rip, lin = 0;
	enum outcome o;

	cpu->shadow = 0;
	o = rip_linear(cpu, &lin);
	if (!o)
		o = block_decode_one(cpu, lin, i);
	if (o)
		return o;
	cpu->gpr[REG_PAGE] = lin & PAGE_MASK;
	cpu->rflags_sys &= ~RFLAGS_RF;
	/* Branches look for events before they go on; this one keeps them from going on. */
	cpu_event_set(cpu, EVENT_LEAVE);
	o = insn_run(cpu, i);
	cpu_event_clear(cpu, EVENT_LEAVE);
	interp_native_leave(cpu);
	if (o == OUTCOME_RESYNC)
		o = OUTCOME_OK;
	if (o == OUTCOME_OK ? cpu->rip == rip && i->flags & (INSN_REP | INSN_REPNE)
			    : o != OUTCOME_HLT)
		cpu->rflags_sys |= rf;
	return o;
}

enum outcome interp_step(struct cpu *cpu)
{
	u64 rip = cpu->rip;
	u8 shadow = cpu->shadow;
	enum outcome o = step(cpu);

	/* What has not retired is executed again, perhaps after a vmexit, still in the shadow. */
	if ((o == OUTCOME_FAULT || o == OUTCOME_VMEXIT || o == OUTCOME_USEREXIT) && cpu->rip == rip)
		cpu->shadow = shadow;
	return o;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* The complete ways to memory: segmentation, page crossings, devices, and stores to running code.
 */
#include "interp/block.h"
#include "interp/handler.h"
#include "sys/sys.h"

enum outcome insn_linear_slow(struct cpu *cpu, const struct insn *i, unsigned size, bool write,
			      u64 *gva)
{
	u64 ea = insn_ea(cpu, i);

	if (cpu->mode == CODE_64) {
		*gva = i->flags & INSN_SEG_BASE ? ea + cpu->seg[i->seg].base : ea;
		return OUTCOME_OK;
	}
	return sys_linear(cpu, i->seg, ea, size, write, gva);
}

/* In 64-bit mode a non-canonical address relative to SS is #SS (SDM Vol. 3A 6.15, interrupt 12). */
enum outcome insn_stop_access(struct cpu *cpu, const struct insn *i, enum outcome o)
{
	if (o == OUTCOME_FAULT && cpu->mode == CODE_64 && cpu->fault.kind == FAULT_EXCEPTION &&
	    cpu->fault.vector == VEC_GP && i->flags & INSN_SEG_SS)
		cpu->fault.vector = VEC_SS;
	return insn_stop(cpu, i, o);
}

enum outcome insn_load_at(struct cpu *cpu, const struct insn *i, u64 gva, void *dst, unsigned size)
{
	const void *p = mmu_probe_read(cpu, gva, size);
	enum outcome o;

	if (p) {
		__builtin_memcpy(dst, p, size);
		return OUTCOME_OK;
	}
	o = mmu_read(cpu, gva, dst, size, MMU_READ);
	return likely(!o) ? o : insn_stop_access(cpu, i, o);
}

enum outcome insn_store_at(struct cpu *cpu, const struct insn *i, u64 gva, const void *src,
			   unsigned size)
{
	void *p = mmu_probe_write(cpu, gva, size);
	enum outcome o;

	if (p) {
		__builtin_memcpy(p, src, size);
		return OUTCOME_OK;
	}
	o = mmu_write(cpu, gva, src, size, MMU_WRITE);
	return likely(!o) ? o : insn_stop_access(cpu, i, o);
}

enum outcome insn_load(struct cpu *cpu, const struct insn *i, void *dst, unsigned size)
{
	u64 gva = 0;
	enum outcome o = insn_linear(cpu, i, size, false, &gva);

	return o ? insn_stop(cpu, i, o) : insn_load_at(cpu, i, gva, dst, size);
}

enum outcome insn_store(struct cpu *cpu, const struct insn *i, const void *src, unsigned size)
{
	u64 gva = 0;
	enum outcome o = insn_linear(cpu, i, size, true, &gva);

	return o ? insn_stop(cpu, i, o) : insn_store_at(cpu, i, gva, src, size);
}

enum outcome insn_load_rmw(struct cpu *cpu, const struct insn *i, void *dst, unsigned size,
			   u64 *gva)
{
	enum outcome o = insn_linear(cpu, i, size, true, gva);

	if (o)
		return insn_stop(cpu, i, o);
	if (!mmu_probe_write(cpu, *gva, size)) {
		o = mmu_check(cpu, *gva, size, MMU_WRITE);
		if (o)
			return insn_stop_access(cpu, i, o);
	}
	return insn_load_at(cpu, i, *gva, dst, size);
}

/* -- after a slow way ----------------------------------------------------------------------------
 */

static enum outcome leave_next(struct cpu *cpu, const struct insn *i)
{
	cpu->icount += i->pos;
	insn_sync_next(cpu, i);
	return OUTCOME_OK;
}

enum outcome insn_next_slow(struct cpu *cpu, const struct insn *i)
{
	if (cpu_wanted(cpu))
		return leave_next(cpu, i);
	NEXT(cpu, i);
}

/* The bytes of the block that i belongs to have changed since it was decoded. */
static bool running_stale(const struct cpu *cpu, const struct insn *i)
{
	const struct insn *first = i - (i->pos - 1);

	if (first == cpu->interp->scratch)
		return false;
	return !block_current(container_of(first, struct block, insn[0]));
}

enum outcome insn_next_stored(struct cpu *cpu, const struct insn *i)
{
	if (cpu_wanted(cpu) || running_stale(cpu, i))
		return leave_next(cpu, i);
	NEXT(cpu, i);
}

enum outcome insn_slow(struct cpu *cpu, const struct insn *i, insn_fn body)
{
	enum outcome o = body(cpu, i);

	if (unlikely(o))
		return o;
	return insn_next_stored(cpu, i);
}

enum outcome insn_slow_load(struct cpu *cpu, const struct insn *i, insn_fn body)
{
	enum outcome o = body(cpu, i);

	if (unlikely(o))
		return o;
	return insn_next_slow(cpu, i);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* What follows from the mode: code size, privilege level, and linear addresses. */
#include "sys/sys_impl.h"

void sys_mode_update(struct cpu *cpu)
{
	if (!cpu_protected(cpu))
		cpu->cpl = 0;
	else if (cpu_v86(cpu))
		cpu->cpl = 3;
	else
		cpu->cpl = cpu->seg[SEG_SS].attr >> 5 & 3;
	sys_mode_from_cs(cpu);
	mmu_update_mode(cpu);
}

static enum outcome segment_fault(struct cpu *cpu, unsigned seg)
{
	return cpu_fault_code(cpu, seg == SEG_SS ? VEC_SS : VEC_GP, 0);
}

/* Type and presence for an access (SDM Vol. 3A 5.5). */
static bool access_allowed(const struct cpu *cpu, const struct segment *s, bool write)
{
	if (!cpu_protected(cpu))
		return true;
	if (s->unusable || !(s->attr & SEG_ATTR_P))
		return false;
	if (s->attr & TYPE_CODE)
		return !write && s->attr & TYPE_READABLE;
	return !write || s->attr & TYPE_WRITABLE;
}

static bool limit_allows(const struct segment *s, u64 ea, unsigned size)
{
	u64 last = ea + size - 1;

	if ((s->attr & (TYPE_CODE | TYPE_DOWN)) == TYPE_DOWN)
		return ea > s->limit && last <= (s->attr & SEG_ATTR_DB ? 0xffffffff : 0xffff);
	return last <= s->limit;
}

enum outcome sys_linear(struct cpu *cpu, unsigned seg, u64 ea, unsigned size, bool write, u64 *gva)
{
	const struct segment *s = &cpu->seg[seg];

	if (cpu->mode == CODE_64) {
		u64 lin = seg == SEG_FS || seg == SEG_GS ? ea + s->base : ea;

		*gva = lin;
		if (likely(cpu_canonical(cpu, lin) && cpu_canonical(cpu, lin + size - 1)))
			return OUTCOME_OK;
		return segment_fault(cpu, seg);
	}
	*gva = (u32)(s->base + ea);
	if (unlikely(!limit_allows(s, ea, size) || !access_allowed(cpu, s, write)))
		return segment_fault(cpu, seg);
	return OUTCOME_OK;
}

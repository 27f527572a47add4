/* SPDX-License-Identifier: BSD-2-Clause */
/* Far RET and IRET: returning to the same or an outer level (SDM Vol. 2A IRET, Vol. 2B RET). */
#include "sys/sys_impl.h"

/* RFLAGS that IRET may change at any level, and those that need CPL 0. */
#define IRET_FLAGS	(RFLAGS_ARITH | RFLAGS_TF | RFLAGS_DF | RFLAGS_NT)
#define IRET_FLAGS_WIDE (IRET_FLAGS | RFLAGS_RF | RFLAGS_AC | RFLAGS_ID)
#define IRET_FLAGS_CPL0 (RFLAGS_IOPL | RFLAGS_VIF | RFLAGS_VIP)

static enum outcome gp0(struct cpu *cpu)
{
	return cpu_fault_code(cpu, VEC_GP, 0);
}

/* What a return pops, and where it goes. */
struct ret {
	struct sys_stack stack;
	u64 rip, cs, rflags;
	struct segment code;
	unsigned cpl;
};

/* -- code and stack segments of a return ------------------------------------------------------- */

static enum outcome return_code_check(struct cpu *cpu, const struct desc *d)
{
	unsigned rpl = sel_rpl(d->selector);

	if (!desc_is_code(d) || rpl < cpu->cpl)
		return sys_fault_sel(cpu, VEC_GP, d->selector, 0);
	if (desc_conforming(d) ? desc_dpl(d) > rpl : desc_dpl(d) != rpl)
		return sys_fault_sel(cpu, VEC_GP, d->selector, 0);
	if (cpu_long_mode(cpu) && desc_long_code(d) && desc_attr(d) & SEG_ATTR_DB)
		return sys_fault_sel(cpu, VEC_GP, d->selector, 0);
	if (!desc_present(d))
		return sys_fault_sel(cpu, VEC_NP, d->selector, 0);
	return OUTCOME_OK;
}

static enum outcome return_code(struct cpu *cpu, struct ret *r)
{
	struct desc d;
	enum outcome o;

	if (sel_null((u16)r->cs))
		return gp0(cpu);
	o = sys_desc_read(cpu, (u16)r->cs, VEC_GP, 0, &d);
	if (!o)
		o = return_code_check(cpu, &d);
	if (o)
		return o;
	r->code = desc_segment(&d);
	r->cpl = sel_rpl((u16)r->cs);
	o = sys_rip_check(cpu, &r->code, r->rip, 0);
	return o ? o : sys_desc_access(cpu, &d);
}

static bool to_64bit(const struct cpu *cpu, const struct ret *r)
{
	return cpu_long_mode(cpu) && r->code.attr & SEG_ATTR_L;
}

/* SS of the level that is returned to; null is for 64-bit code below level 3 only. */
static enum outcome return_stack(struct cpu *cpu, const struct ret *r, u16 sel, struct segment *ss)
{
	if (sel_null(sel) && to_64bit(cpu, r) && r->cpl != 3) {
		if (sel_rpl(sel) != r->cpl)
			return sys_fault_sel(cpu, VEC_GP, sel, 0);
		*ss = sys_null_segment(sel, r->cpl);
		return OUTCOME_OK;
	}
	return sys_stack_segment(cpu, sel, r->cpl, VEC_GP, 0, ss);
}

/* RSP for a new SS: only SP when the new stack is a 16-bit one. */
static void set_rsp(struct cpu *cpu, const struct ret *r, u64 rsp)
{
	if (to_64bit(cpu, r))
		cpu->gpr[REG_RSP] = rsp;
	else if (cpu->seg[SEG_SS].attr & SEG_ATTR_DB)
		cpu->gpr[REG_RSP] = (u32)rsp;
	else
		cpu->gpr[REG_RSP] = (cpu->gpr[REG_RSP] & ~0xffffull) | (u16)rsp;
}

/* Pops RSP and SS and goes to an outer level (or, in 64-bit mode with IRET, to any). */
static enum outcome return_outer(struct cpu *cpu, struct ret *r, unsigned size, u16 pop_bytes)
{
	bool lower = r->cpl > cpu->cpl;
	struct segment stack;
	u64 rsp, ss;
	enum outcome o = sys_stack_pop(cpu, &r->stack, &rsp, size);

	if (!o)
		o = sys_stack_pop(cpu, &r->stack, &ss, size);
	if (!o)
		o = return_stack(cpu, r, (u16)ss, &stack);
	if (o)
		return o;
	cpu->seg[SEG_SS] = stack;
	set_rsp(cpu, r, rsp + pop_bytes);
	sys_enter(cpu, &r->code, r->rip, r->cpl);
	if (lower)
		sys_segments_lower(cpu);
	return OUTCOME_OK;
}

static enum outcome pop_rip_cs(struct cpu *cpu, struct ret *r, unsigned size)
{
	enum outcome o;

	sys_stack_current(cpu, &r->stack);
	o = sys_stack_pop(cpu, &r->stack, &r->rip, size);
	return o ? o : sys_stack_pop(cpu, &r->stack, &r->cs, size);
}

/* -- far RET ----------------------------------------------------------------------------------- */

static void stack_release(struct sys_stack *s, u16 n)
{
	s->sp = (s->sp & ~s->mask) | ((s->sp + n) & s->mask);
}

static enum outcome far_ret_real(struct cpu *cpu, struct ret *r, u16 pop_bytes)
{
	if ((u32)r->rip > cpu->seg[SEG_CS].limit)
		return gp0(cpu);
	stack_release(&r->stack, pop_bytes);
	sys_stack_commit(cpu, &r->stack);
	sys_segment_load_real(cpu, SEG_CS, (u16)r->cs);
	cpu->rip = r->rip;
	sys_mode_from_cs(cpu);
	return OUTCOME_OK;
}

enum outcome sys_far_ret(struct cpu *cpu, unsigned size, u16 pop_bytes)
{
	struct ret r;
	enum outcome o = pop_rip_cs(cpu, &r, size);

	if (o)
		return o;
	if (sys_real_or_v86(cpu))
		return far_ret_real(cpu, &r, pop_bytes);
	o = return_code(cpu, &r);
	if (o)
		return o;
	stack_release(&r.stack, pop_bytes);
	if (r.cpl > cpu->cpl)
		return return_outer(cpu, &r, size, pop_bytes);
	sys_stack_commit(cpu, &r.stack);
	sys_enter(cpu, &r.code, r.rip, cpu->cpl);
	return OUTCOME_OK;
}

/* -- IRET -------------------------------------------------------------------------------------- */

static void set_flags(struct cpu *cpu, u64 value, u64 mask)
{
	cpu_rflags_set(cpu, (cpu_rflags(cpu) & ~mask) | (value & mask));
}

/* NMIs may come again (SDM Vol. 3A 6.7.1). */
static void unmask_nmi(struct cpu *cpu)
{
	if (!cpu->nmi_masked)
		return;
	cpu->nmi_masked = false;
	cpu_event_set(cpu, EVENT_NMI | EVENT_VMX);
}

/* Flags that IRET at `cpl` may change. */
static u64 iret_mask(const struct cpu *cpu, unsigned size, unsigned cpl)
{
	u64 mask = size == 2 ? IRET_FLAGS : IRET_FLAGS_WIDE;

	if (cpl <= sys_iopl(cpu))
		mask |= RFLAGS_IF;
	if (cpl == 0)
		mask |= size == 2 ? RFLAGS_IOPL : IRET_FLAGS_CPL0;
	return mask;
}

static enum outcome iret_real(struct cpu *cpu, struct ret *r, unsigned size)
{
	u64 mask = IRET_FLAGS | RFLAGS_IF | RFLAGS_IOPL;

	if (size == 4)
		mask |= RFLAGS_RF | RFLAGS_AC | RFLAGS_ID;
	if (cpu_v86(cpu))
		mask &= ~RFLAGS_IOPL;
	if ((u32)r->rip > cpu->seg[SEG_CS].limit)
		return gp0(cpu);
	sys_stack_commit(cpu, &r->stack);
	sys_segment_load_real(cpu, SEG_CS, (u16)r->cs);
	cpu->rip = r->rip;
	sys_mode_from_cs(cpu);
	set_flags(cpu, r->rflags, mask);
	return OUTCOME_OK;
}

/* With CR4.VME and IOPL below 3, IF stands for VIF (SDM Vol. 3B 20.3.3.4). */
static enum outcome iret_vme(struct cpu *cpu, struct ret *r, unsigned size)
{
	bool wants_if = r->rflags & RFLAGS_IF;
	u64 mask = IRET_FLAGS;

	if (!(cpu->cr4 & CR4_VME) || size != 2 || r->rflags & RFLAGS_TF ||
	    (wants_if && cpu->rflags_sys & RFLAGS_VIP))
		return gp0(cpu);
	if ((u32)r->rip > cpu->seg[SEG_CS].limit)
		return gp0(cpu);
	sys_stack_commit(cpu, &r->stack);
	sys_segment_load_real(cpu, SEG_CS, (u16)r->cs);
	cpu->rip = r->rip;
	sys_mode_from_cs(cpu);
	set_flags(cpu, (r->rflags & mask) | (wants_if ? RFLAGS_VIF : 0), mask | RFLAGS_VIF);
	return OUTCOME_OK;
}

/* From level 0 into virtual-8086 mode: six more words are on the stack. */
static enum outcome iret_to_v86(struct cpu *cpu, struct ret *r)
{
	static const u8 order[] = {SEG_SS, SEG_ES, SEG_DS, SEG_FS, SEG_GS};
	u64 esp, sel[ARRAY_SIZE(order)];
	enum outcome o = sys_stack_pop(cpu, &r->stack, &esp, 4);

	for (unsigned n = 0; n < ARRAY_SIZE(order) && !o; n++)
		o = sys_stack_pop(cpu, &r->stack, &sel[n], 4);
	if (o)
		return o;
	if ((u32)r->rip > 0xffff)
		return gp0(cpu);
	cpu_rflags_set(cpu, r->rflags);
	for (unsigned n = 0; n < ARRAY_SIZE(order); n++)
		sys_segment_load_real(cpu, order[n], (u16)sel[n]);
	sys_segment_load_real(cpu, SEG_CS, (u16)r->cs);
	cpu->gpr[REG_RSP] = (u32)esp;
	cpu->rip = (u16)r->rip;
	sys_mode_update(cpu);
	return OUTCOME_OK;
}

static enum outcome iret_task(struct cpu *cpu, u64 rip_next)
{
	const struct segment *tr = &cpu->seg[SEG_TR];
	enum outcome o;
	u16 link;

	if (cpu_long_mode(cpu))
		return gp0(cpu);
	o = sys_read(cpu, (u32)tr->base, &link, 2);
	if (o)
		return o;
	return sys_task_switch(cpu, link, TASK_IRET, rip_next, false, 0);
}

/*
 * The flags change after the segments, because they are judged by the old CPL and IOPL; AC and IF
 * then count for the new level.
 */
static enum outcome iret_protected(struct cpu *cpu, struct ret *r, unsigned size)
{
	u64 mask = iret_mask(cpu, size, cpu->cpl);
	bool had_ac = cpu->rflags_sys & RFLAGS_AC;
	enum outcome o = return_code(cpu, r);

	if (o)
		return o;
	if (r->cpl > cpu->cpl || cpu->mode == CODE_64) {
		o = return_outer(cpu, r, size, 0);
		if (o)
			return o;
	} else {
		sys_stack_commit(cpu, &r->stack);
		sys_enter(cpu, &r->code, r->rip, cpu->cpl);
	}
	set_flags(cpu, r->rflags, mask);
	if (had_ac != !!(cpu->rflags_sys & RFLAGS_AC))
		mmu_update_mode(cpu);
	return OUTCOME_OK;
}

static enum outcome iret_any(struct cpu *cpu, unsigned size, u64 rip_next)
{
	struct ret r;
	enum outcome o;

	if (cpu_protected(cpu) && !cpu_v86(cpu) && cpu->rflags_sys & RFLAGS_NT)
		return iret_task(cpu, rip_next);
	o = pop_rip_cs(cpu, &r, size);
	if (!o)
		o = sys_stack_pop(cpu, &r.stack, &r.rflags, size);
	if (o)
		return o;
	if (!cpu_protected(cpu))
		return iret_real(cpu, &r, size);
	if (cpu_v86(cpu))
		return sys_iopl(cpu) == 3 ? iret_real(cpu, &r, size) : iret_vme(cpu, &r, size);
	if (r.rflags & RFLAGS_VM && cpu->cpl == 0 && size == 4 && !cpu_long_mode(cpu))
		return iret_to_v86(cpu, &r);
	return iret_protected(cpu, &r, size);
}

enum outcome sys_iret(struct cpu *cpu, unsigned size, u64 rip_next)
{
	enum outcome o = iret_any(cpu, size, rip_next);

	if (!o)
		unmask_nmi(cpu);
	return o;
}

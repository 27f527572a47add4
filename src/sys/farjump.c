/* SPDX-License-Identifier: BSD-2-Clause */
/* Far JMP, CALL and RET, direct and through call gates (SDM Vol. 2A CALL, JMP; Vol. 2B RET). */
#include "sys/sys_impl.h"

static enum outcome gp_sel(struct cpu *cpu, u16 selector)
{
	return sys_fault_sel(cpu, VEC_GP, selector, 0);
}

enum outcome sys_rip_check(struct cpu *cpu, const struct segment *cs, u64 rip, u16 ext)
{
	bool good;

	if (cpu_long_mode(cpu) && cs->attr & SEG_ATTR_L)
		good = cpu_canonical(cpu, rip);
	else
		good = (u32)rip <= cs->limit;
	return good ? OUTCOME_OK : cpu_fault_code(cpu, VEC_GP, ext);
}

void sys_enter(struct cpu *cpu, const struct segment *cs, u64 rip, unsigned cpl)
{
	cpu->seg[SEG_CS] = *cs;
	cpu->seg[SEG_CS].selector = (u16)((cs->selector & ~SEL_RPL) | cpl);
	cpu->rip = cpu_long_mode(cpu) && cs->attr & SEG_ATTR_L ? rip : (u32)rip;
	sys_mode_from_cs(cpu);
	if (cpu->cpl == cpl)
		return;
	sys_cpl_set(cpu, cpl);
	mmu_update_mode(cpu);
}

static u64 truncate(u64 v, unsigned size)
{
	return size == 8 ? v : size == 4 ? (u32)v : (u16)v;
}

/* -- real-address and virtual-8086 mode -------------------------------------------------------- */

static void enter_real(struct cpu *cpu, u16 selector, u64 rip)
{
	sys_segment_load_real(cpu, SEG_CS, selector);
	cpu->rip = rip;
	sys_mode_from_cs(cpu);
}

static enum outcome jump_real(struct cpu *cpu, u16 selector, u64 target)
{
	if ((u32)target > cpu->seg[SEG_CS].limit)
		return cpu_fault_code(cpu, VEC_GP, 0);
	enter_real(cpu, selector, (u32)target);
	return OUTCOME_OK;
}

/* Return address of a far call on the stack `s`: CS, then RIP. */
static enum outcome push_return(struct cpu *cpu, struct sys_stack *s, unsigned size, u64 rip)
{
	enum outcome o = sys_stack_push(cpu, s, cpu->seg[SEG_CS].selector, size);

	return o ? o : sys_stack_push(cpu, s, rip, size);
}

static enum outcome call_real(struct cpu *cpu, u16 selector, u64 target, unsigned size,
			      u64 rip_next)
{
	struct sys_stack s;
	enum outcome o;

	if ((u32)target > cpu->seg[SEG_CS].limit)
		return cpu_fault_code(cpu, VEC_GP, 0);
	sys_stack_current(cpu, &s);
	o = push_return(cpu, &s, size, rip_next);
	if (o)
		return o;
	sys_stack_commit(cpu, &s);
	enter_real(cpu, selector, (u32)target);
	return OUTCOME_OK;
}

/* -- to a code segment ------------------------------------------------------------------------- */

/* Privilege and presence of a code segment for JMP and CALL without a gate. */
static enum outcome check_code(struct cpu *cpu, const struct desc *d)
{
	unsigned rpl = sel_rpl(d->selector), dpl = desc_dpl(d);

	if (cpu_long_mode(cpu) && desc_long_code(d) && desc_attr(d) & SEG_ATTR_DB)
		return gp_sel(cpu, d->selector);
	if (desc_conforming(d) ? dpl > cpu->cpl : rpl > cpu->cpl || dpl != cpu->cpl)
		return gp_sel(cpu, d->selector);
	if (!desc_present(d))
		return sys_fault_sel(cpu, VEC_NP, d->selector, 0);
	return OUTCOME_OK;
}

static enum outcome code_segment(struct cpu *cpu, const struct desc *d, u64 target,
				 struct segment *cs)
{
	enum outcome o = check_code(cpu, d);

	if (o)
		return o;
	*cs = desc_segment(d);
	o = sys_rip_check(cpu, cs, target, 0);
	return o ? o : sys_desc_access(cpu, d);
}

static enum outcome jump_code(struct cpu *cpu, const struct desc *d, u64 target)
{
	struct segment cs;
	enum outcome o = code_segment(cpu, d, target, &cs);

	if (!o)
		sys_enter(cpu, &cs, target, cpu->cpl);
	return o;
}

static enum outcome call_code(struct cpu *cpu, const struct desc *d, u64 target, unsigned size,
			      u64 rip_next)
{
	struct sys_stack s;
	struct segment cs;
	enum outcome o = code_segment(cpu, d, target, &cs);

	if (o)
		return o;
	sys_stack_current(cpu, &s);
	o = push_return(cpu, &s, size, rip_next);
	if (o)
		return o;
	sys_stack_commit(cpu, &s);
	sys_enter(cpu, &cs, target, cpu->cpl);
	return OUTCOME_OK;
}

/* -- call gates -------------------------------------------------------------------------------- */

struct gate {
	unsigned size;	 /* of what is pushed */
	unsigned params; /* words of `size` to copy */
	u64 target;
	struct desc code;
};

static enum outcome gate_code_check(struct cpu *cpu, const struct gate *g)
{
	const struct desc *d = &g->code;

	if (!desc_is_code(d) || desc_dpl(d) > cpu->cpl)
		return gp_sel(cpu, d->selector);
	if (cpu_long_mode(cpu) && (!desc_long_code(d) || desc_attr(d) & SEG_ATTR_DB))
		return gp_sel(cpu, d->selector);
	if (!desc_present(d))
		return sys_fault_sel(cpu, VEC_NP, d->selector, 0);
	return OUTCOME_OK;
}

/* The gate's own checks, and its code segment's. */
static enum outcome gate_open(struct cpu *cpu, const struct desc *d, struct gate *g)
{
	bool wide = cpu_long_mode(cpu);
	enum outcome o;

	if (desc_dpl(d) < MAX((unsigned)cpu->cpl, sel_rpl(d->selector)))
		return gp_sel(cpu, d->selector);
	if (!desc_present(d))
		return sys_fault_sel(cpu, VEC_NP, d->selector, 0);
	g->size = wide ? 8 : desc_type(d) == DESC_CALL32 ? 4 : 2;
	g->params = wide ? 0 : d->lo >> 32 & 31;
	g->target = wide ? gate_offset64(d) : truncate(gate_offset32(d), g->size);
	if (sel_null(gate_selector(d)))
		return cpu_fault_code(cpu, VEC_GP, 0);
	o = sys_desc_read(cpu, gate_selector(d), VEC_GP, 0, &g->code);
	return o ? o : gate_code_check(cpu, g);
}

static enum outcome jump_gate(struct cpu *cpu, const struct desc *d)
{
	struct segment cs;
	struct gate g;
	enum outcome o = gate_open(cpu, d, &g);

	if (o)
		return o;
	if (!desc_conforming(&g.code) && desc_dpl(&g.code) != cpu->cpl)
		return gp_sel(cpu, g.code.selector);
	cs = desc_segment(&g.code);
	o = sys_rip_check(cpu, &cs, g.target, 0);
	if (!o)
		o = sys_desc_access(cpu, &g.code);
	if (!o)
		sys_enter(cpu, &cs, g.target, cpu->cpl);
	return o;
}

/* The inner stack that the TSS names for `cpl`. */
static enum outcome inner_stack(struct cpu *cpu, unsigned cpl, struct sys_stack *s)
{
	struct segment ss;
	enum outcome o;
	u16 sel;
	u32 esp;
	u64 rsp;

	if (cpu_long_mode(cpu)) {
		ss = sys_null_segment((u16)cpl, cpl);
		o = sys_tss_rsp(cpu, cpl, 0, &rsp);
		if (!o)
			sys_stack_new(cpu, s, &ss, rsp, true, cpl, 0);
		return o;
	}
	o = sys_tss_stack(cpu, cpl, 0, &sel, &esp);
	if (!o)
		o = sys_stack_segment(cpu, sel, cpl, VEC_TS, 0, &ss);
	if (!o)
		sys_stack_new(cpu, s, &ss, esp, false, cpl, sel & ~SEL_RPL);
	return o;
}

static enum outcome copy_params(struct cpu *cpu, struct sys_stack *to, const struct gate *g)
{
	struct sys_stack from;
	enum outcome o = OUTCOME_OK;
	u64 value[31];

	sys_stack_current(cpu, &from);
	for (unsigned n = 0; n < g->params && !o; n++)
		o = sys_stack_pop(cpu, &from, &value[n], g->size);
	for (unsigned n = g->params; n-- > 0 && !o;)
		o = sys_stack_push(cpu, to, value[n], g->size);
	return o;
}

static enum outcome call_inner(struct cpu *cpu, const struct gate *g, const struct segment *cs,
			       u64 rip_next)
{
	unsigned cpl = desc_dpl(&g->code);
	struct sys_stack s;
	enum outcome o = inner_stack(cpu, cpl, &s);

	if (!o)
		o = sys_rip_check(cpu, cs, g->target, 0);
	if (!o)
		o = sys_stack_push(cpu, &s, cpu->seg[SEG_SS].selector, g->size);
	if (!o)
		o = sys_stack_push(cpu, &s, cpu->gpr[REG_RSP], g->size);
	if (!o)
		o = copy_params(cpu, &s, g);
	if (!o)
		o = push_return(cpu, &s, g->size, rip_next);
	if (!o)
		o = sys_desc_access(cpu, &g->code);
	if (o)
		return o;
	cpu->seg[SEG_SS] = s.ss;
	sys_stack_commit(cpu, &s);
	sys_enter(cpu, cs, g->target, cpl);
	return OUTCOME_OK;
}

static enum outcome call_same(struct cpu *cpu, const struct gate *g, const struct segment *cs,
			      u64 rip_next)
{
	struct sys_stack s;
	enum outcome o = sys_rip_check(cpu, cs, g->target, 0);

	sys_stack_current(cpu, &s);
	/* A 64-bit gate's frame is a 64-bit stack's, also out of compatibility mode. */
	if (g->size == 8)
		sys_stack_new(cpu, &s, &cpu->seg[SEG_SS], cpu->gpr[REG_RSP], true, cpu->cpl, 0);
	if (!o)
		o = push_return(cpu, &s, g->size, rip_next);
	if (!o)
		o = sys_desc_access(cpu, &g->code);
	if (o)
		return o;
	sys_stack_commit(cpu, &s);
	sys_enter(cpu, cs, g->target, cpu->cpl);
	return OUTCOME_OK;
}

static enum outcome call_gate(struct cpu *cpu, const struct desc *d, u64 rip_next)
{
	struct segment cs;
	struct gate g;
	enum outcome o = gate_open(cpu, d, &g);

	if (o)
		return o;
	cs = desc_segment(&g.code);
	if (!desc_conforming(&g.code) && desc_dpl(&g.code) < cpu->cpl)
		return call_inner(cpu, &g, &cs, rip_next);
	return call_same(cpu, &g, &cs, rip_next);
}

/* -- task gates and TSSs ----------------------------------------------------------------------- */

static enum outcome task_transfer(struct cpu *cpu, const struct desc *d, bool call, u64 rip_next)
{
	u16 selector = d->selector;

	if (desc_dpl(d) < MAX((unsigned)cpu->cpl, sel_rpl(selector)))
		return gp_sel(cpu, selector);
	if (desc_type(d) == DESC_TASK_GATE) {
		if (!desc_present(d))
			return sys_fault_sel(cpu, VEC_NP, selector, 0);
		selector = gate_selector(d);
	}
	return sys_task_switch(cpu, selector, call ? TASK_CALL : TASK_JMP, rip_next, false, 0);
}

static enum outcome transfer_system(struct cpu *cpu, const struct desc *d, bool call, u64 rip_next)
{
	unsigned type = desc_type(d);

	if (type == DESC_CALL32 || (type == DESC_CALL16 && !cpu_long_mode(cpu)))
		return call ? call_gate(cpu, d, rip_next) : jump_gate(cpu, d);
	if (cpu_long_mode(cpu))
		return gp_sel(cpu, d->selector);
	if (type == DESC_TASK_GATE || type == DESC_TSS16 || type == DESC_TSS32)
		return task_transfer(cpu, d, call, rip_next);
	return gp_sel(cpu, d->selector);
}

/* -- entry points ------------------------------------------------------------------------------ */

static enum outcome transfer_read(struct cpu *cpu, u16 selector, struct desc *d)
{
	if (sel_null(selector))
		return cpu_fault_code(cpu, VEC_GP, 0);
	return sys_desc_read_system(cpu, selector, VEC_GP, 0, d);
}

enum outcome sys_far_jmp(struct cpu *cpu, u16 selector, u64 target, unsigned size, u64 rip_next)
{
	struct desc d;
	enum outcome o;

	target = truncate(target, size);
	if (sys_real_or_v86(cpu))
		return jump_real(cpu, selector, target);
	o = transfer_read(cpu, selector, &d);
	if (o)
		return o;
	if (desc_is_code(&d))
		return jump_code(cpu, &d, target);
	return desc_is_system(&d) ? transfer_system(cpu, &d, false, rip_next)
				  : gp_sel(cpu, selector);
}

enum outcome sys_far_call(struct cpu *cpu, u16 selector, u64 target, unsigned size, u64 rip_next)
{
	struct desc d;
	enum outcome o;

	target = truncate(target, size);
	if (sys_real_or_v86(cpu))
		return call_real(cpu, selector, target, size, rip_next);
	o = transfer_read(cpu, selector, &d);
	if (o)
		return o;
	if (desc_is_code(&d))
		return call_code(cpu, &d, target, size, rip_next);
	return desc_is_system(&d) ? transfer_system(cpu, &d, true, rip_next)
				  : gp_sel(cpu, selector);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Delivery of interrupts and exceptions (SDM Vol. 3A chapter 6, Vol. 3B 20.3). */
#include "sys/sys_impl.h"

/* An event on its way through a gate. */
struct delivery {
	const struct event *ev;
	u16 ext; /* 1 when the CPU, not an instruction, raised it: bit 0 of error codes (6.13) */
	struct desc gate;
	u64 target;
	struct desc code;
	struct segment cs;
	unsigned cpl; /* of the handler */
};

static bool is_soft(const struct event *ev)
{
	return ev->type == EVENT_SOFT_INT || ev->type == EVENT_SOFT_EXCEPTION;
}

/* An error code that names the IDT entry. */
static enum outcome idt_fault(struct cpu *cpu, const struct delivery *d, u8 vector)
{
	return cpu_fault_code(cpu, vector, (u32)d->ev->vector << 3 | 2 | d->ext);
}

/* The image of RFLAGS: RF is set for faults, so that they do not hit a breakpoint again (17.3.1.1).
 */
static u64 flags_image(const struct cpu *cpu, const struct event *ev)
{
	u64 flags = cpu_rflags(cpu);

	if (ev->type == EVENT_HARD_EXCEPTION && ev->vector != VEC_DB)
		flags |= RFLAGS_RF;
	return flags;
}

/* -- real-address mode ------------------------------------------------------------------------- */

static enum outcome push_real_frame(struct cpu *cpu, const struct event *ev, u64 flags,
				    struct sys_stack *s)
{
	enum outcome o;

	sys_stack_current(cpu, s);
	o = sys_stack_push(cpu, s, flags, 2);
	if (!o)
		o = sys_stack_push(cpu, s, cpu->seg[SEG_CS].selector, 2);
	return o ? o : sys_stack_push(cpu, s, ev->rip, 2);
}

static void enter_vector(struct cpu *cpu, u32 vector, const struct sys_stack *s)
{
	sys_stack_commit(cpu, s);
	sys_segment_load_real(cpu, SEG_CS, (u16)(vector >> 16));
	cpu->rip = (u16)vector;
	sys_mode_from_cs(cpu);
}

static enum outcome deliver_real(struct cpu *cpu, const struct event *ev)
{
	struct sys_stack s;
	enum outcome o;
	u32 vector;

	if (ev->vector * 4u + 3 > cpu->idt.limit)
		return cpu_fault_code(cpu, VEC_GP, 0);
	o = sys_read(cpu, (u32)(cpu->idt.base + ev->vector * 4u), &vector, 4);
	if (!o)
		o = push_real_frame(cpu, ev, cpu_rflags(cpu), &s);
	if (o)
		return o;
	enter_vector(cpu, vector, &s);
	cpu_rflags_set(cpu, cpu_rflags(cpu) & ~(RFLAGS_IF | RFLAGS_TF | RFLAGS_AC | RFLAGS_RF));
	return OUTCOME_OK;
}

/* -- virtual-8086 mode: INT n (20.3.3) --------------------------------------------------------- */

/* The TSS's interrupt redirection bitmap: 32 bytes below the I/O bitmap. */
static enum outcome redirected(struct cpu *cpu, u8 vector, bool *redirect)
{
	const struct segment *tr = &cpu->seg[SEG_TR];
	enum outcome o;
	u16 map;
	u8 byte;

	*redirect = false;
	if (!(cpu->cr4 & CR4_VME) || tr->limit < 103)
		return OUTCOME_OK;
	o = sys_read(cpu, (u32)(tr->base + 102), &map, 2);
	if (o)
		return o;
	if (map < 32 || (u32)map - 32 + vector / 8 > tr->limit)
		return cpu_fault_code(cpu, VEC_GP, 0);
	o = sys_read(cpu, (u32)(tr->base + map - 32 + vector / 8), &byte, 1);
	if (!o)
		*redirect = !(byte >> (vector % 8) & 1);
	return o;
}

/* To the 8086 program's own handler, with VIF in the place of IF when IOPL is below 3. */
static enum outcome deliver_v86_own(struct cpu *cpu, const struct event *ev)
{
	u64 flags = cpu_rflags(cpu), clear = RFLAGS_TF;
	struct sys_stack s;
	enum outcome o;
	u32 vector;

	if (sys_iopl(cpu) < 3) {
		flags = (flags & ~RFLAGS_IF) | RFLAGS_IOPL;
		flags |= cpu->rflags_sys & RFLAGS_VIF ? RFLAGS_IF : 0;
		clear |= RFLAGS_VIF;
	} else {
		clear |= RFLAGS_IF;
	}
	o = mmu_read(cpu, ev->vector * 4u, &vector, 4, MMU_READ);
	if (!o)
		o = push_real_frame(cpu, ev, flags, &s);
	if (o)
		return o;
	enter_vector(cpu, vector, &s);
	cpu_rflags_set(cpu, cpu_rflags(cpu) & ~clear);
	return OUTCOME_OK;
}

/* -- gates ------------------------------------------------------------------------------------- */

static bool gate_type_valid(const struct cpu *cpu, const struct desc *g)
{
	unsigned type = desc_type(g);

	if (!desc_is_system(g))
		return false;
	if (type == DESC_INT32 || type == DESC_TRAP32)
		return true;
	return !cpu_long_mode(cpu) &&
	       (type == DESC_INT16 || type == DESC_TRAP16 || type == DESC_TASK_GATE);
}

static enum outcome read_gate(struct cpu *cpu, struct delivery *d)
{
	unsigned size = cpu_long_mode(cpu) ? 16 : 8;
	u32 offset = d->ev->vector * size;
	u64 gva = cpu->idt.base + offset, raw[2] = {0, 0};
	enum outcome o;

	if (offset + size - 1 > cpu->idt.limit)
		return idt_fault(cpu, d, VEC_GP);
	o = sys_read(cpu, size == 16 ? gva : (u32)gva, raw, size);
	if (o)
		return o;
	d->gate.lo = raw[0];
	d->gate.hi = raw[1];
	if (!gate_type_valid(cpu, &d->gate))
		return idt_fault(cpu, d, VEC_GP);
	if (is_soft(d->ev) && desc_dpl(&d->gate) < cpu->cpl)
		return idt_fault(cpu, d, VEC_GP);
	if (!desc_present(&d->gate))
		return idt_fault(cpu, d, VEC_NP);
	return OUTCOME_OK;
}

static enum outcome handler_check(struct cpu *cpu, const struct delivery *d)
{
	const struct desc *c = &d->code;
	u16 attr = desc_attr(c);

	if (!desc_is_code(c) || desc_dpl(c) > cpu->cpl)
		return sys_fault_sel(cpu, VEC_GP, c->selector, d->ext);
	if (cpu_long_mode(cpu) && (attr & (SEG_ATTR_L | SEG_ATTR_DB)) != SEG_ATTR_L)
		return sys_fault_sel(cpu, VEC_GP, c->selector, d->ext);
	/* Out of virtual-8086 mode only level 0 is reached. */
	if (cpu_v86(cpu) && (desc_conforming(c) || desc_dpl(c)))
		return sys_fault_sel(cpu, VEC_GP, c->selector, d->ext);
	if (!desc_present(c))
		return sys_fault_sel(cpu, VEC_NP, c->selector, d->ext);
	return OUTCOME_OK;
}

static enum outcome find_handler(struct cpu *cpu, struct delivery *d)
{
	u16 sel = gate_selector(&d->gate);
	enum outcome o;

	if (sel_null(sel))
		return cpu_fault_code(cpu, VEC_GP, d->ext);
	o = sys_desc_read(cpu, sel, VEC_GP, d->ext, &d->code);
	if (!o)
		o = handler_check(cpu, d);
	if (o)
		return o;
	d->cpl = desc_conforming(&d->code) ? cpu->cpl : desc_dpl(&d->code);
	d->cs = desc_segment(&d->code);
	return OUTCOME_OK;
}

static bool is_interrupt_gate(const struct desc *g)
{
	return desc_type(g) == DESC_INT32 || desc_type(g) == DESC_INT16;
}

static void handler_flags(struct cpu *cpu, const struct delivery *d)
{
	u64 clear = RFLAGS_TF | RFLAGS_NT | RFLAGS_RF | RFLAGS_VM;

	if (is_interrupt_gate(&d->gate))
		clear |= RFLAGS_IF;
	cpu_rflags_set(cpu, cpu_rflags(cpu) & ~clear);
}

/* -- IA-32e mode (6.14) ------------------------------------------------------------------------ */

static enum outcome long_stack(struct cpu *cpu, const struct delivery *d, u64 *rsp)
{
	unsigned ist = d->gate.lo >> 32 & 7;
	enum outcome o = OUTCOME_OK;

	if (ist)
		o = sys_tss_rsp(cpu, 3 + ist, d->ext, rsp);
	else if (d->cpl < cpu->cpl)
		o = sys_tss_rsp(cpu, d->cpl, d->ext, rsp);
	else
		*rsp = cpu->gpr[REG_RSP];
	*rsp &= ~0xfull;
	return o;
}

static enum outcome long_push(struct cpu *cpu, const struct delivery *d, u64 *rsp)
{
	const struct event *ev = d->ev;
	u64 frame[6];
	unsigned n = 0;

	if (ev->has_error)
		frame[n++] = ev->error;
	frame[n++] = ev->rip;
	frame[n++] = cpu->seg[SEG_CS].selector;
	frame[n++] = flags_image(cpu, ev);
	frame[n++] = cpu->gpr[REG_RSP];
	frame[n++] = cpu->seg[SEG_SS].selector;
	*rsp -= n * 8;
	if (!cpu_canonical(cpu, *rsp) || !cpu_canonical(cpu, *rsp + n * 8 - 1))
		return cpu_fault_code(cpu, VEC_SS, d->ext);
	if (d->cpl != 3)
		return sys_write(cpu, *rsp, frame, n * 8);
	return mmu_write(cpu, *rsp, frame, n * 8, MMU_WRITE);
}

static enum outcome deliver_long(struct cpu *cpu, struct delivery *d)
{
	bool inner = d->cpl < cpu->cpl;
	enum outcome o;
	u64 rsp;

	d->target = gate_offset64(&d->gate);
	o = long_stack(cpu, d, &rsp);
	if (!o)
		o = sys_rip_check(cpu, &d->cs, d->target, d->ext);
	if (!o)
		o = long_push(cpu, d, &rsp);
	if (!o)
		o = sys_desc_access(cpu, &d->code);
	if (o)
		return o;
	if (inner)
		cpu->seg[SEG_SS] = sys_null_segment((u16)d->cpl, cpu->cpl);
	cpu->gpr[REG_RSP] = rsp;
	handler_flags(cpu, d);
	sys_enter(cpu, &d->cs, d->target, d->cpl);
	return OUTCOME_OK;
}

/* -- protected mode (6.12) --------------------------------------------------------------------- */

static unsigned gate_size(const struct desc *g)
{
	return desc_type(g) & 8 ? 4 : 2;
}

/* GS, FS, DS, ES of virtual-8086 mode. */
static enum outcome push_v86_segments(struct cpu *cpu, struct sys_stack *s, unsigned size)
{
	static const u8 order[] = {SEG_GS, SEG_FS, SEG_DS, SEG_ES};
	enum outcome o = OUTCOME_OK;

	for (unsigned n = 0; n < ARRAY_SIZE(order) && !o; n++)
		o = sys_stack_push(cpu, s, cpu->seg[order[n]].selector, size);
	return o;
}

static enum outcome push_frame(struct cpu *cpu, const struct delivery *d, struct sys_stack *s)
{
	unsigned size = gate_size(&d->gate);
	const struct event *ev = d->ev;
	enum outcome o = sys_stack_push(cpu, s, flags_image(cpu, ev), size);

	if (!o)
		o = sys_stack_push(cpu, s, cpu->seg[SEG_CS].selector, size);
	if (!o)
		o = sys_stack_push(cpu, s, ev->rip, size);
	if (!o && ev->has_error)
		o = sys_stack_push(cpu, s, ev->error, size);
	return o;
}

static enum outcome inner_stack(struct cpu *cpu, const struct delivery *d, struct sys_stack *s)
{
	struct segment ss;
	enum outcome o;
	u16 sel;
	u32 esp;

	o = sys_tss_stack(cpu, d->cpl, d->ext, &sel, &esp);
	if (!o)
		o = sys_stack_segment(cpu, sel, d->cpl, VEC_TS, d->ext, &ss);
	if (!o)
		sys_stack_new(cpu, s, &ss, esp, false, d->cpl, (sel & ~SEL_RPL) | d->ext);
	return o;
}

static enum outcome push_inner(struct cpu *cpu, const struct delivery *d, struct sys_stack *s)
{
	unsigned size = gate_size(&d->gate);
	enum outcome o = inner_stack(cpu, d, s);

	if (!o && cpu_v86(cpu))
		o = push_v86_segments(cpu, s, size);
	if (!o)
		o = sys_stack_push(cpu, s, cpu->seg[SEG_SS].selector, size);
	if (!o)
		o = sys_stack_push(cpu, s, cpu->gpr[REG_RSP], size);
	return o ? o : push_frame(cpu, d, s);
}

static void drop_v86_segments(struct cpu *cpu)
{
	static const u8 order[] = {SEG_GS, SEG_FS, SEG_DS, SEG_ES};

	for (unsigned n = 0; n < ARRAY_SIZE(order); n++)
		cpu->seg[order[n]] = sys_null_segment(0, 0);
}

static enum outcome deliver_gate(struct cpu *cpu, struct delivery *d)
{
	bool inner = d->cpl < cpu->cpl, v86 = cpu_v86(cpu);
	struct sys_stack s;
	enum outcome o;

	d->target = gate_size(&d->gate) == 4 ? gate_offset32(&d->gate) : d->gate.lo & 0xffff;
	o = sys_rip_check(cpu, &d->cs, d->target, d->ext);
	if (o)
		return o;
	if (inner) {
		o = push_inner(cpu, d, &s);
	} else {
		sys_stack_current(cpu, &s);
		s.error = d->ext;
		o = push_frame(cpu, d, &s);
	}
	if (!o)
		o = sys_desc_access(cpu, &d->code);
	if (o)
		return o;
	if (inner)
		cpu->seg[SEG_SS] = s.ss;
	sys_stack_commit(cpu, &s);
	handler_flags(cpu, d);
	if (v86)
		drop_v86_segments(cpu);
	sys_enter(cpu, &d->cs, d->target, d->cpl);
	return OUTCOME_OK;
}

/* -- entry point ------------------------------------------------------------------------------- */

static enum outcome deliver_protected(struct cpu *cpu, struct delivery *d)
{
	const struct event *ev = d->ev;
	enum outcome o = read_gate(cpu, d);

	if (o)
		return o;
	if (desc_type(&d->gate) == DESC_TASK_GATE)
		return sys_task_switch(cpu, gate_selector(&d->gate), TASK_GATE, ev->rip,
				       ev->has_error, ev->error);
	o = find_handler(cpu, d);
	if (o)
		return o;
	return cpu_long_mode(cpu) ? deliver_long(cpu, d) : deliver_gate(cpu, d);
}

enum outcome sys_event_deliver(struct cpu *cpu, const struct event *ev)
{
	struct delivery d;
	enum outcome o;
	bool own;

	d.ev = ev;
	d.ext = !is_soft(ev);
	if (!cpu_protected(cpu))
		return deliver_real(cpu, ev);
	if (cpu_v86(cpu) && ev->type == EVENT_SOFT_INT) {
		o = redirected(cpu, ev->vector, &own);
		if (o)
			return o;
		if (own)
			return deliver_v86_own(cpu, ev);
		if (sys_iopl(cpu) < 3)
			return cpu_fault_code(cpu, VEC_GP, 0);
	}
	return deliver_protected(cpu, &d);
}

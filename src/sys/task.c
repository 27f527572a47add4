/* SPDX-License-Identifier: BSD-2-Clause */
/* Task-state segments and task switches (SDM Vol. 3A chapter 7). */
#include "sys/sys_impl.h"

#define TSS16_BUSY_LIMIT 43u
#define TSS32_LIMIT	 103u

/* -- stacks out of the TSS --------------------------------------------------------------------- */

static enum outcome tss_fault(struct cpu *cpu, u16 ext)
{
	return sys_fault_sel(cpu, VEC_TS, cpu->seg[SEG_TR].selector, ext);
}

static enum outcome tss_read(struct cpu *cpu, u32 offset, void *dst, unsigned size, u16 ext)
{
	const struct segment *tr = &cpu->seg[SEG_TR];
	u64 gva = tr->base + offset;

	if (offset + size - 1 > tr->limit)
		return tss_fault(cpu, ext);
	return sys_read(cpu, cpu_long_mode(cpu) ? gva : (u32)gva, dst, size);
}

enum outcome sys_tss_rsp(struct cpu *cpu, unsigned index, u16 ext, u64 *rsp)
{
	return tss_read(cpu, 4 + 8 * index, rsp, 8, ext);
}

enum outcome sys_tss_stack(struct cpu *cpu, unsigned cpl, u16 ext, u16 *ss, u32 *esp)
{
	bool wide = cpu->seg[SEG_TR].attr & 8;
	enum outcome o;
	u16 frame16[2];
	u32 frame32[2];

	if (wide) {
		o = tss_read(cpu, 4 + 8 * cpl, frame32, 8, ext);
		*esp = frame32[0];
		*ss = (u16)frame32[1];
	} else {
		o = tss_read(cpu, 2 + 4 * cpl, frame16, 4, ext);
		*esp = frame16[0];
		*ss = frame16[1];
	}
	return o;
}

/* -- images (7.2.1 and 7.6) -------------------------------------------------------------------- */

struct tss32 {
	u32 link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags;
	u32 gpr[8];
	u32 seg[6]; /* ES CS SS DS FS GS */
	u32 ldt;
	u16 trap, iomap;
};

struct tss16 {
	u16 link, sp0, ss0, sp1, ss1, sp2, ss2, ip, flags;
	u16 gpr[8];
	u16 seg[4];
	u16 ldt;
};

_Static_assert(sizeof(struct tss32) == 104, "32-bit TSS");
_Static_assert(sizeof(struct tss16) == 44, "16-bit TSS");

/* The part of a TSS that a switch saves and loads, of either size. */
struct task {
	u32 cr3, eip, eflags, gpr[8];
	u16 seg[6], ldt;
	bool trap;
};

static enum outcome load_task(struct cpu *cpu, u64 base, bool wide, struct task *t)
{
	struct tss32 w;
	struct tss16 n;
	enum outcome o;

	memset(t, 0, sizeof(*t));
	if (wide) {
		o = mmu_read(cpu, (u32)base, &w, 64, MMU_READ | MMU_SYSTEM);
		if (!o)
			o = mmu_read(cpu, (u32)(base + 64), (u8 *)&w + 64, 40,
				     MMU_READ | MMU_SYSTEM);
		t->cr3 = w.cr3;
		t->eip = w.eip;
		t->eflags = w.eflags;
		memcpy(t->gpr, w.gpr, sizeof(t->gpr));
		for (unsigned i = 0; i < 6; i++)
			t->seg[i] = (u16)w.seg[i];
		t->ldt = (u16)w.ldt;
		t->trap = w.trap & 1;
		return o;
	}
	o = mmu_read(cpu, (u32)base, &n, sizeof(n), MMU_READ | MMU_SYSTEM);
	t->eip = n.ip;
	t->eflags = n.flags;
	for (unsigned i = 0; i < 8; i++)
		t->gpr[i] = n.gpr[i] | 0xffff0000;
	memcpy(t->seg, n.seg, sizeof(n.seg));
	t->ldt = n.ldt;
	return o;
}

/* Saves the dynamic fields (EIP to GS) of the task that is left. */
static enum outcome save_task(struct cpu *cpu, u64 base, bool wide, u64 rip, u64 flags)
{
	enum outcome o;

	if (wide) {
		u32 out[16] = {(u32)rip, (u32)flags};

		for (unsigned i = 0; i < 8; i++)
			out[2 + i] = (u32)cpu->gpr[i];
		for (unsigned i = 0; i < 6; i++)
			out[10 + i] = cpu->seg[i].selector;
		return mmu_write(cpu, (u32)(base + 32), out, sizeof(out), MMU_WRITE | MMU_SYSTEM);
	}
	u16 out[14] = {(u16)rip, (u16)flags};

	for (unsigned i = 0; i < 8; i++)
		out[2 + i] = (u16)cpu->gpr[i];
	for (unsigned i = 0; i < 4; i++)
		out[10 + i] = cpu->seg[i].selector;
	o = mmu_write(cpu, (u32)(base + 14), out, sizeof(out), MMU_WRITE | MMU_SYSTEM);
	return o;
}

/* -- a switch ---------------------------------------------------------------------------------- */

struct task_switch {
	enum task_source source;
	u16 ext;
	u64 rip_next;
	struct desc old, new;
	bool old_wide, new_wide;
	struct task task;
};

static enum outcome check_new(struct cpu *cpu, u16 selector, struct task_switch *t)
{
	u8 vector = t->source == TASK_IRET ? VEC_TS : VEC_GP;
	unsigned type, want_busy = t->source == TASK_IRET ? TYPE_BUSY : 0;
	enum outcome o;

	if (sel_null(selector) || selector & SEL_TI)
		return sys_fault_sel(cpu, vector, selector, t->ext);
	o = sys_desc_read(cpu, selector, vector, t->ext, &t->new);
	if (o)
		return o;
	type = desc_type(&t->new);
	if (!desc_is_system(&t->new) || (type & 5) != 1 || (type & TYPE_BUSY) != want_busy)
		return sys_fault_sel(cpu, vector, selector, t->ext);
	if (!desc_present(&t->new))
		return sys_fault_sel(cpu, VEC_NP, selector, t->ext);
	t->new_wide = type & 8;
	if (desc_limit(&t->new) < (t->new_wide ? TSS32_LIMIT : TSS16_BUSY_LIMIT))
		return sys_fault_sel(cpu, VEC_TS, selector, t->ext);
	return OUTCOME_OK;
}

/* Both images must be accessible before anything is changed. */
static enum outcome check_images(struct cpu *cpu, const struct task_switch *t)
{
	enum outcome o = mmu_check(cpu, (u32)cpu->seg[SEG_TR].base, t->old_wide ? 104 : 44,
				   MMU_WRITE | MMU_SYSTEM);

	return o ? o
		 : mmu_check(cpu, (u32)desc_base(&t->new), t->new_wide ? 104 : 44,
			     MMU_WRITE | MMU_SYSTEM);
}

static enum outcome leave_old(struct cpu *cpu, struct task_switch *t)
{
	u64 flags = cpu_rflags(cpu);
	enum outcome o = OUTCOME_OK;

	if (t->source == TASK_IRET)
		flags &= ~RFLAGS_NT;
	if (t->source == TASK_IRET || t->source == TASK_JMP)
		o = sys_desc_busy(cpu, &t->old, false);
	return o ? o : save_task(cpu, cpu->seg[SEG_TR].base, t->old_wide, t->rip_next, flags);
}

static enum outcome enter_new(struct cpu *cpu, struct task_switch *t)
{
	u64 base = desc_base(&t->new);
	u16 link = cpu->seg[SEG_TR].selector;
	enum outcome o = load_task(cpu, base, t->new_wide, &t->task);

	if (!o && (t->source == TASK_CALL || t->source == TASK_GATE)) {
		o = sys_write(cpu, (u32)base, &link, 2);
		t->task.eflags |= RFLAGS_NT;
	}
	if (!o && t->source != TASK_IRET)
		o = sys_desc_busy(cpu, &t->new, true);
	return o;
}

static void load_registers(struct cpu *cpu, const struct task_switch *t)
{
	cpu->seg[SEG_TR] = (struct segment){.selector = t->new.selector,
					    .base = desc_base(&t->new),
					    .limit = desc_limit(&t->new),
					    .attr = desc_attr(&t->new) | TYPE_BUSY};
	cpu->cr0 |= CR0_TS;
	cpu_rflags_set(cpu, t->task.eflags);
	cpu->rip = t->task.eip;
	for (unsigned i = 0; i < 8; i++)
		cpu->gpr[i] = t->task.gpr[i];
	cpu->dr[7] &= ~0x55ull; /* local breakpoints */
}

static enum outcome load_cr3(struct cpu *cpu, const struct task_switch *t)
{
	if (!t->new_wide || !(cpu->cr0 & CR0_PG))
		return OUTCOME_OK;
	return sys_cr3_write(cpu, t->task.cr3);
}

/* -- segments of the new task: faults are #TS, in its context (table 7-1) ---------------------- */

static enum outcome task_ldt(struct cpu *cpu, u16 sel, u16 ext)
{
	struct desc d;
	enum outcome o;

	cpu->seg[SEG_LDTR] = sys_null_segment(sel, 0);
	if (sel_null(sel))
		return OUTCOME_OK;
	if (sel & SEL_TI)
		return sys_fault_sel(cpu, VEC_TS, sel, ext);
	o = sys_desc_read(cpu, sel, VEC_TS, ext, &d);
	if (o)
		return o;
	if (!desc_is_system(&d) || desc_type(&d) != DESC_LDT || !desc_present(&d))
		return sys_fault_sel(cpu, VEC_TS, sel, ext);
	cpu->seg[SEG_LDTR] = (struct segment){.selector = sel,
					      .base = desc_base(&d),
					      .limit = desc_limit(&d),
					      .attr = desc_attr(&d)};
	return OUTCOME_OK;
}

static enum outcome task_cs(struct cpu *cpu, u16 sel, u16 ext)
{
	unsigned cpl = sel_rpl(sel);
	struct desc d;
	enum outcome o;

	if (sel_null(sel))
		return cpu_fault_code(cpu, VEC_TS, ext);
	o = sys_desc_read(cpu, sel, VEC_TS, ext, &d);
	if (o)
		return o;
	if (!desc_is_code(&d) || (desc_conforming(&d) ? desc_dpl(&d) > cpl : desc_dpl(&d) != cpl))
		return sys_fault_sel(cpu, VEC_TS, sel, ext);
	if (!desc_present(&d))
		return sys_fault_sel(cpu, VEC_NP, sel, ext);
	cpu->seg[SEG_CS] = desc_segment(&d);
	return sys_desc_access(cpu, &d);
}

static enum outcome task_data(struct cpu *cpu, unsigned seg, u16 sel, u16 ext)
{
	struct desc d;
	enum outcome o;

	cpu->seg[seg] = sys_null_segment(sel, 0);
	if (sel_null(sel))
		return OUTCOME_OK;
	o = sys_desc_read(cpu, sel, VEC_TS, ext, &d);
	if (o)
		return o;
	if (desc_is_system(&d) || (desc_is_code(&d) && !(desc_type(&d) & TYPE_READABLE)) ||
	    (!desc_conforming(&d) && MAX(sel_rpl(sel), cpu->cpl) > desc_dpl(&d)))
		return sys_fault_sel(cpu, VEC_TS, sel, ext);
	if (!desc_present(&d))
		return sys_fault_sel(cpu, VEC_NP, sel, ext);
	cpu->seg[seg] = desc_segment(&d);
	return sys_desc_access(cpu, &d);
}

static void task_v86(struct cpu *cpu, const struct task *t)
{
	for (unsigned seg = 0; seg < 6; seg++)
		sys_segment_load_real(cpu, seg, t->seg[seg]);
	sys_mode_update(cpu);
}

static enum outcome task_segments(struct cpu *cpu, const struct task_switch *t)
{
	static const u8 data[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};
	const struct task *task = &t->task;
	unsigned cpl = sel_rpl(task->seg[SEG_CS]);
	struct segment ss;
	enum outcome o = task_ldt(cpu, task->ldt, t->ext);

	if (o)
		return o;
	if (task->eflags & RFLAGS_VM) {
		task_v86(cpu, task);
		return OUTCOME_OK;
	}
	o = task_cs(cpu, task->seg[SEG_CS], t->ext);
	if (!o)
		o = sys_stack_segment(cpu, task->seg[SEG_SS], cpl, VEC_TS, t->ext, &ss);
	if (o)
		return o;
	cpu->seg[SEG_SS] = ss;
	sys_mode_update(cpu);
	for (unsigned n = 0; n < ARRAY_SIZE(data) && !o; n++)
		o = task_data(cpu, data[n], task->seg[data[n]], t->ext);
	return o;
}

static enum outcome push_error(struct cpu *cpu, const struct task_switch *t, u32 error)
{
	struct sys_stack s;
	enum outcome o;

	sys_stack_current(cpu, &s);
	s.error = t->ext;
	o = sys_stack_push(cpu, &s, error, t->new_wide ? 4 : 2);
	if (!o)
		sys_stack_commit(cpu, &s);
	return o;
}

/* What comes after the commit point: faults belong to the new task. */
static enum outcome arrive(struct cpu *cpu, const struct task_switch *t, bool has_error, u32 error)
{
	enum outcome o;

	load_registers(cpu, t);
	o = load_cr3(cpu, t);
	if (!o)
		o = task_segments(cpu, t);
	if (!o && has_error)
		o = push_error(cpu, t, error);
	if (!o)
		o = sys_rip_check(cpu, &cpu->seg[SEG_CS], cpu->rip, t->ext);
	if (!o && t->task.trap) {
		cpu->pending_db |= DR6_BT;
		cpu_event_set(cpu, EVENT_STEP);
	}
	return o;
}

enum outcome sys_task_switch(struct cpu *cpu, u16 selector, enum task_source source, u64 rip_next,
			     bool has_error, u32 error)
{
	struct task_switch t = {.source = source, .ext = source == TASK_GATE, .rip_next = rip_next};
	enum outcome o = check_new(cpu, selector, &t);

	t.old_wide = cpu->seg[SEG_TR].attr & 8;
	if (!o)
		o = sys_desc_read(cpu, cpu->seg[SEG_TR].selector, VEC_TS, t.ext, &t.old);
	if (!o)
		o = check_images(cpu, &t);
	if (!o)
		o = leave_old(cpu, &t);
	if (!o)
		o = enter_new(cpu, &t);
	return o ? o : arrive(cpu, &t, has_error, error);
}

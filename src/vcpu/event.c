/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What happens between two instructions: exceptions and their combinations, interrupts, NMIs, INIT
 * and SIPI, in the order of SDM Vol. 3A 6.9 (table 6-2), each first offered to L1 in guest mode.
 */
#include <errno.h>
#include <string.h>

#include "interp/interp.h"
#include "irq/irq.h"
#include "mmu/mmu.h"
#include "vcpu/pv.h"
#include "vcpu/run.h"

/* -- faults -------------------------------------------------------------------------------------
 */

enum fault_class { BENIGN, CONTRIBUTORY, PAGE_FAULT, DOUBLE_FAULT };

/* SDM Vol. 3A table 6-4. */
static enum fault_class class_of(const struct event *ev)
{
	if (ev->type != EVENT_HARD_EXCEPTION)
		return BENIGN;
	switch (ev->vector) {
	case VEC_DE:
	case VEC_TS:
	case VEC_NP:
	case VEC_SS:
	case VEC_GP:
	case VEC_CP:
		return CONTRIBUTORY;
	case VEC_PF:
	case VEC_VE:
		return PAGE_FAULT;
	case VEC_DF:
		return DOUBLE_FAULT;
	}
	return BENIGN;
}

/* SDM Vol. 3A table 6-5: does `second`, raised while `first` was delivered, make a double fault? */
static bool is_double(const struct event *first, const struct event *second)
{
	enum fault_class a = class_of(first), b = class_of(second);

	return (a == CONTRIBUTORY && b == CONTRIBUTORY) ||
	       (a == PAGE_FAULT && (b == CONTRIBUTORY || b == PAGE_FAULT));
}

static enum event_type type_of(const struct fault *f)
{
	if (f->icebp)
		return EVENT_PRIV_SOFT_EXCEPTION;
	if (f->int_n)
		return EVENT_SOFT_INT;
	if (!f->soft)
		return EVENT_HARD_EXCEPTION;
	return f->vector == VEC_BP || f->vector == VEC_OF ? EVENT_SOFT_EXCEPTION : EVENT_SOFT_INT;
}

static struct event event_of(struct cpu *cpu, const struct fault *f)
{
	return (struct event){.type = type_of(f),
			      .vector = f->vector,
			      .has_error = f->has_error,
			      .error = f->error,
			      .rip = cpu->rip};
}

/* What an exception leaves in registers beside the stack frame (SDM Vol. 3A 6.15). */
static void fault_registers(struct cpu *cpu, const struct fault *f)
{
	if (f->vector == VEC_PF && !f->soft)
		cpu->cr2 = f->cr2;
	if (f->vector == VEC_DB && !f->int_n) {
		cpu->dr[6] = (cpu->dr[6] & ~0xfull) | f->dr6;
		cpu->dr[7] &= ~DR7_GD;
	}
	if (!f->trap && !f->soft)
		cpu->rflags_sys |= RFLAGS_RF;
}

static struct fault double_fault(void)
{
	return (struct fault){.kind = FAULT_EXCEPTION, .vector = VEC_DF, .has_error = true};
}

/* Does L1, or user space's debugger, take the fault? Then *r says how to go on. */
static bool fault_taken(struct vcpu *v, const struct fault *f, const struct event *during, int *r)
{
	struct cpu *cpu = &v->cpu;

	if (cpu->guest_mode && virt_fault_intercept(cpu, f, during) == OUTCOME_VMEXIT) {
		*r = event_vmexit(v);
		return true;
	}
	*r = RUN_EXIT;
	return !during && debug_takes(v, f);
}

/* What sys_event_deliver() ended with, other than a fault. */
static int delivered(struct vcpu *v, enum outcome o)
{
	if (o != OUTCOME_OK && o != OUTCOME_RESYNC)
		return run_judge(v, o);
	if (v->cpu.guest_mode && virt_wants_step(&v->cpu))
		virt_stepped(&v->cpu);
	return RUN_AGAIN;
}

/*
 * Delivers f; `during` is the event whose delivery raised it, or NULL. A software exception's
 * return address is the next instruction, but until it is delivered rip is that of the instruction.
 */
static int deliver_fault(struct vcpu *v, struct fault f, const struct event *during)
{
	struct cpu *cpu = &v->cpu;
	struct event first, ev;
	int r;

	for (;;) {
		ev = event_of(cpu, &f);
		if (f.soft)
			cpu->rip -= f.len;
		if (fault_taken(v, &f, during, &r))
			return r;
		if (during && class_of(during) == DOUBLE_FAULT && class_of(&ev) != BENIGN)
			return event_shutdown(v);
		if (during && is_double(during, &ev)) {
			f = double_fault();
			ev = event_of(cpu, &f);
			if (fault_taken(v, &f, during, &r))
				return r;
		}
		fault_registers(cpu, &f);
		cpu->shadow = 0;
		enum outcome o = sys_event_deliver(cpu, &ev);

		if (o != OUTCOME_FAULT)
			return delivered(v, o);
		first = ev;
		during = &first;
		f = cpu->fault;
	}
}

int event_fault(struct vcpu *v)
{
	v->cpu.halted = false;
	return deliver_fault(v, v->cpu.fault, NULL);
}

int event_deliver(struct vcpu *v, const struct event *ev)
{
	struct cpu *cpu = &v->cpu;
	enum outcome o;

	cpu->shadow = 0;
	cpu->halted = false;
	if (ev->type == EVENT_TYPE_NMI)
		cpu->nmi_masked = true;
	o = sys_event_deliver(cpu, ev);
	if (o == OUTCOME_FAULT)
		return deliver_fault(v, cpu->fault, ev);
	return delivered(v, o);
}

int event_shutdown(struct vcpu *v)
{
	if (v->cpu.guest_mode && virt_triple_fault(&v->cpu) == OUTCOME_VMEXIT)
		return event_vmexit(v);
	return exit_reason(v, KVM_EXIT_SHUTDOWN);
}

/* -- guest mode ---------------------------------------------------------------------------------
 */

/* Both directions: everything that is pending is to be asked for anew. */
static void mode_changed(struct vcpu *v)
{
	u32 nmi = atomic_load_explicit(&v->nmi_pending, memory_order_relaxed) ? EVENT_NMI : 0;

	v->cpu.if_events = 0;
	cpu_event_set(&v->cpu, EVENT_IRQ | EVENT_VMX | nmi);
}

/*
 * Lets the timer fire no later than at the deadline. It stays armed over vmexits, as the next entry's
 * deadline is mostly the same or later; when it fires too early, look_vmx() comes here again.
 */
static void preempt_update(struct vcpu *v)
{
	u64 deadline = virt_preemption_deadline(&v->cpu);
	u64 armed = atomic_load_explicit(&v->preempt_armed, memory_order_relaxed);

	if (!deadline || (armed && armed <= deadline))
		return;
	atomic_store_explicit(&v->preempt_armed, deadline, memory_order_relaxed);
	timer_arm(&v->preempt, deadline);
}

void event_vmentry(struct vcpu *v)
{
	mode_changed(v);
	if (v->cpu.guest_mode && virt_entered_halted(&v->cpu))
		v->cpu.halted = true;
}

int event_vmexit(struct vcpu *v)
{
	enum outcome o = virt_exit(&v->cpu);

	v->stats.vmexits++;
	v->cpu.halted = false;
	v->cpu.pending_db = 0;
	mode_changed(v);
	if (o == OUTCOME_SHUTDOWN)
		return exit_reason(v, KVM_EXIT_SHUTDOWN);
	return RUN_AGAIN;
}

/* -- events at a boundary: each RUN_GO when there is nothing (more) to do
 * -------------------------- */

static int look_pause(struct vcpu *v)
{
	vm_leave(v->vm, v);
	vm_enter(v->vm, v);
	return RUN_GO;
}

static int look_kick(struct vcpu *v)
{
	return wait_interrupted(v) ? -EINTR : RUN_GO;
}

static int look_tlb(struct vcpu *v)
{
	mmu_flush_all(&v->cpu);
	/* Decoded code refers to its slot's generations, and the slot may be gone. */
	interp_flush(&v->cpu);
	return RUN_GO;
}

static int look_watch(struct vcpu *v)
{
	mmu_drop_watched(&v->cpu);
	return RUN_GO;
}

void event_memory(struct vcpu *v)
{
	u32 events = atomic_load(&v->cpu.events) & (EVENT_TLB | EVENT_WATCH);

	cpu_event_clear(&v->cpu, events);
	if (events & EVENT_TLB)
		look_tlb(v);
	if (events & EVENT_WATCH)
		look_watch(v);
}

static int look_request(struct vcpu *v)
{
	pv_update(v);
	if (v->triple_fault) {
		v->triple_fault = false;
		return event_shutdown(v);
	}
	if (v->inject.kind != FAULT_NONE) {
		struct fault f = v->inject;

		v->inject.kind = FAULT_NONE;
		return deliver_fault(v, f, NULL);
	}
	if (v->eoi_exit) {
		v->eoi_exit = false;
		v->cpu.user = (struct userexit){.kind = USER_IOAPIC_EOI, .code = v->eoi_vector};
		return exit_fill(v);
	}
	if (v->tpr_exit) {
		v->tpr_exit = false;
		return exit_reason(v, KVM_EXIT_SET_TPR);
	}
	return RUN_GO;
}

/* INIT (SDM Vol. 3A 9.1): application processors then wait for a SIPI. */
static int look_init(struct vcpu *v)
{
	if (v->cpu.guest_mode && virt_init_intercept(&v->cpu) == OUTCOME_VMEXIT)
		return event_vmexit(v);
	v->init_held = virt_init_blocked(&v->cpu);
	if (v->init_held)
		return RUN_GO;
	vcpu_init(v);
	v->mp_state = vcpu_is_bsp(v) ? KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_INIT_RECEIVED;
	return RUN_AGAIN;
}

static int look_sipi(struct vcpu *v)
{
	struct segment *cs = &v->cpu.seg[SEG_CS];
	u8 vector = atomic_load(&v->cpu.sipi_vector);

	if (v->mp_state != KVM_MP_STATE_INIT_RECEIVED)
		return RUN_GO;
	cs->selector = (u16)(vector << 8);
	cs->base = (u64)vector << 12;
	v->cpu.rip = 0;
	v->mp_state = KVM_MP_STATE_RUNNABLE;
	return RUN_AGAIN;
}

/* The trap of the previous instruction: TF, data and I/O breakpoints. MOV SS holds it back. */
static int look_trap(struct vcpu *v)
{
	struct cpu *cpu = &v->cpu;
	struct fault f = {.kind = FAULT_EXCEPTION, .vector = VEC_DB, .trap = true};

	if (!cpu->pending_db || cpu->shadow & SHADOW_MOVSS)
		return RUN_GO;
	f.dr6 = cpu->pending_db;
	cpu->pending_db = 0;
	cpu->halted = false;
	return deliver_fault(v, f, NULL);
}

/* MTF, preemption timer, windows: virt/ wants to be asked at every look, and clears the event
 * itself. */
static int look_vmx(struct vcpu *v)
{
	if (!v->cpu.guest_mode) {
		cpu_event_clear(&v->cpu, EVENT_VMX);
		return RUN_GO;
	}
	if (virt_pending(&v->cpu) == OUTCOME_VMEXIT)
		return event_vmexit(v);
	preempt_update(v);
	return RUN_GO;
}

static int look_nmi(struct vcpu *v)
{
	struct cpu *cpu = &v->cpu;
	const struct event nmi = {.type = EVENT_TYPE_NMI, .vector = VEC_NMI, .rip = cpu->rip};

	if (!atomic_load(&v->nmi_pending))
		return RUN_GO;
	if (cpu->guest_mode && virt_nmi_intercept(cpu) == OUTCOME_VMEXIT) {
		atomic_fetch_sub(&v->nmi_pending, 1);
		return event_vmexit(v);
	}
	if (cpu->nmi_masked || cpu->shadow || debug_blocks(v))
		return RUN_GO; /* raised again by the run loop */
	atomic_fetch_sub(&v->nmi_pending, 1);
	v->stats.nmis++;
	return event_deliver(v, &nmi);
}

/* An external interrupt that L1 wants: it leaves guest mode whatever L2's IF says. */
static int external_exit(struct vcpu *v)
{
	bool ack = virt_intr_acks(&v->cpu);
	int vector = 0;

	if (ack) {
		vector = irq_vcpu_ack_interrupt(v->lapic);
		if (vector < 0)
			return RUN_GO;
	}
	if (virt_external_exit(&v->cpu, ack, (u8)vector) == OUTCOME_VMEXIT)
		return event_vmexit(v);
	return RUN_GO;
}

static int deliver_interrupt(struct vcpu *v, int vector)
{
	struct event ev = {.type = EVENT_EXTERNAL, .vector = (u8)vector, .rip = v->cpu.rip};

	v->stats.interrupts++;
	return event_deliver(v, &ev);
}

/* By the guest, or by user space's debugger. */
static bool interrupts_blocked(const struct vcpu *v)
{
	return !(v->cpu.rflags_sys & RFLAGS_IF) || v->cpu.shadow || debug_blocks(v);
}

static int look_irq(struct vcpu *v)
{
	struct cpu *cpu = &v->cpu;
	int vector;

	cpu->if_events &= ~EVENT_IRQ;
	if (!v->lapic || !irq_vcpu_has_interrupt(v->lapic))
		return RUN_GO;
	if (cpu->guest_mode && virt_wants_external(cpu))
		return external_exit(v);
	if (interrupts_blocked(v)) {
		cpu->if_events |= EVENT_IRQ;
		return RUN_GO;
	}
	vector = irq_vcpu_ack_interrupt(v->lapic);
	if (vector < 0)
		return RUN_GO;
	cpu_event_set(cpu, EVENT_IRQ); /* there may be more */
	return deliver_interrupt(v, vector);
}

/* Without irqchip: KVM_INTERRUPT's vector, then user space's wish for the window. */
static int look_user_int(struct vcpu *v)
{
	struct cpu *cpu = &v->cpu;
	int vector = v->user_irq;

	cpu->if_events &= ~EVENT_USER_INT;
	if (vector < 0 && !v->run->request_interrupt_window)
		return RUN_GO;
	if (vector >= 0 && cpu->guest_mode && virt_wants_external(cpu)) {
		bool ack = virt_intr_acks(cpu);

		if (ack)
			v->user_irq = -1;
		virt_external_exit(cpu, ack, (u8)vector);
		return event_vmexit(v);
	}
	if (interrupts_blocked(v)) {
		cpu->if_events |= EVENT_USER_INT;
		return RUN_GO;
	}
	if (vector >= 0) {
		v->user_irq = -1;
		cpu_event_set(cpu, EVENT_USER_INT);
		return deliver_interrupt(v, vector);
	}
	if (vcpu_ready_for_injection(v))
		return exit_reason(v, KVM_EXIT_IRQ_WINDOW_OPEN);
	return RUN_GO;
}

/* In the order of priority. An event is cleared before it is handled, so that none is lost. */
static const struct {
	u32 event;
	int (*look)(struct vcpu *v);
} table[] = {
	{EVENT_PAUSE, look_pause}, {EVENT_KICK, look_kick},	  {EVENT_TLB, look_tlb},
	{EVENT_WATCH, look_watch}, {EVENT_REQUEST, look_request}, {EVENT_INIT, look_init},
	{EVENT_SIPI, look_sipi},   {EVENT_VMX, look_vmx},	  {EVENT_STEP, look_trap},
	{EVENT_NMI, look_nmi},	   {EVENT_IRQ, look_irq},	  {EVENT_USER_INT, look_user_int},
};

int event_look(struct vcpu *v)
{
	struct cpu *cpu = &v->cpu;

	for (unsigned i = 0; i < ARRAY_SIZE(table); i++) {
		u32 event = table[i].event;
		int r;

		if (event == EVENT_VMX && cpu->guest_mode)
			cpu_event_set(cpu, EVENT_VMX);
		if (!(atomic_load_explicit(&cpu->events, memory_order_acquire) & event))
			continue;
		if (event != EVENT_VMX)
			cpu_event_clear(cpu, event);
		r = table[i].look(v);
		if (r != RUN_GO)
			return r;
	}
	if (debug_must_step(v))
		cpu_event_set(cpu, EVENT_STEP);
	return RUN_GO;
}

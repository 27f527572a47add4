/* SPDX-License-Identifier: BSD-2-Clause */
/* KVM_RUN: events, engine, outcome, until there is something for user space. */
#include <errno.h>

#include "interp/interp.h"
#include "vcpu/pv.h"
#include "vcpu/run.h"

/* -- outcomes -----------------------------------------------------------------------------------
 */

static int halt(struct vcpu *v)
{
	v->stats.halts++;
	if (!v->lapic)
		return exit_reason(v, KVM_EXIT_HLT);
	v->cpu.halted = true;
	return RUN_GO;
}

int run_judge(struct vcpu *v, enum outcome o)
{
	switch (o) {
	case OUTCOME_OK:
	case OUTCOME_RESYNC:
		return RUN_GO;
	case OUTCOME_FAULT:
		return event_fault(v);
	case OUTCOME_VMEXIT:
		return event_vmexit(v);
	case OUTCOME_USEREXIT:
		return exit_fill(v);
	case OUTCOME_HLT:
		return halt(v);
	case OUTCOME_SHUTDOWN:
		return event_shutdown(v);
	}
	return RUN_GO;
}

/* -- the engine ---------------------------------------------------------------------------------
 */

/* The instruction whose loads user space has answered: exactly this one, with nothing in between.
 */
static enum outcome execute_restarted(struct vcpu *v)
{
	enum outcome o = debug_step(v);

	v->restart = false;
	if (o != OUTCOME_USEREXIT)
		v->cpu.io.ndone = v->cpu.io.next = 0;
	return o;
}

static int execute(struct vcpu *v)
{
	struct cpu *cpu = &v->cpu;
	bool was_guest = cpu->guest_mode;
	enum outcome o;

	if (unlikely(v->restart))
		o = execute_restarted(v);
	else if (unlikely(atomic_load_explicit(&cpu->events, memory_order_relaxed) & EVENT_STEP))
		o = debug_step(v);
	else if (unlikely(was_guest && virt_wants_step(cpu)))
		o = debug_step(v);
	else
		o = interp_run(cpu);
	if (unlikely(cpu->guest_mode != was_guest))
		event_vmentry(v);
	if (unlikely(cpu->io.nposted)) {
		v->held = o;
		return exit_posted(v);
	}
	return run_judge(v, o);
}

/* -- the loop -----------------------------------------------------------------------------------
 */

/* States that the engine leaves behind without an event of their own. */
static void raise_implied(struct vcpu *v)
{
	struct cpu *cpu = &v->cpu;
	u32 ev = 0;

	if (cpu->shadow || cpu->pending_db)
		ev |= EVENT_STEP;
	if (cpu->if_events && cpu->rflags_sys & RFLAGS_IF && !cpu->shadow)
		ev |= cpu->if_events;
	if (!cpu->nmi_masked && atomic_load_explicit(&v->nmi_pending, memory_order_relaxed))
		ev |= EVENT_NMI;
	if (unlikely(v->init_held) && !virt_init_blocked(cpu))
		ev |= EVENT_INIT;
	if (unlikely(ev))
		cpu_event_set(cpu, ev);
}

#define WAKE_EVENTS                                                                                \
	(EVENT_KICK | EVENT_IRQ | EVENT_NMI | EVENT_INIT | EVENT_SIPI | EVENT_VMX |                \
	 EVENT_USER_INT | EVENT_REQUEST)

static int look(struct vcpu *v)
{
	struct event ev;

	if (v->cpu.guest_mode && virt_injected_event(&v->cpu, &ev))
		return event_deliver(v, &ev);
	raise_implied(v);
	if (v->cpu.guest_mode || atomic_load_explicit(&v->cpu.events, memory_order_acquire))
		return event_look(v);
	return RUN_GO;
}

static int loop(struct vcpu *v)
{
	int r = RUN_GO;

	while (r > 0) {
		if (likely(!v->restart))
			r = look(v);
		if (r != RUN_GO)
			continue;
		if (v->cpu.halted) {
			r = wait_event(v, WAKE_EVENTS);
			continue;
		}
		if (v->pv.eoi)
			pv_eoi_offer(v);
		r = execute(v);
		if (v->pv.eoi)
			pv_eoi_collect(v);
	}
	return r;
}

/* -- entry --------------------------------------------------------------------------------------
 */

static int interrupted(struct vcpu *v)
{
	v->stats.signals++;
	exit_reason(v, KVM_EXIT_INTR);
	return -EINTR;
}

/* An application processor before its INIT-SIPI. As KVM does, it answers EAGAIN when its time has
 * come. */
static int wait_for_sipi(struct vcpu *v)
{
	int r;

	if (v->run->immediate_exit)
		return -EINTR;
	do {
		r = event_look(v);
		if (r > 0 && v->mp_state != KVM_MP_STATE_RUNNABLE)
			r = wait_event(v, EVENT_KICK | EVENT_INIT | EVENT_SIPI);
	} while (r > 0 && v->mp_state != KVM_MP_STATE_RUNNABLE);
	return r > 0 ? -EAGAIN : r == -EINTR ? interrupted(v) : r;
}

/* Finishes what the last userexit left open: the answer to a load, stores still to be handed out.
 */
static int finish_access(struct vcpu *v)
{
	enum outcome held = v->held;

	exit_complete(v);
	if (v->cpu.io.nposted)
		return exit_posted(v);
	v->held = OUTCOME_OK;
	if (held != OUTCOME_OK)
		return run_judge(v, held);
	if (v->restart)
		return execute(v);
	return RUN_GO;
}

static int run_in_guest(struct vcpu *v)
{
	int r;

	event_memory(v);
	r = finish_access(v);

	if (r > 0 && v->mp_state != KVM_MP_STATE_RUNNABLE)
		return wait_for_sipi(v);
	if (r > 0 && v->run->immediate_exit)
		return -EINTR; /* and nothing new in kvm_run: user space wanted the access finished */
	if (r > 0 && wait_interrupted(v))
		return interrupted(v);
	if (r > 0)
		r = loop(v);
	return r == -EINTR ? interrupted(v) : r;
}

/* What user space may have changed in kvm_run. */
static void take_requests(struct vcpu *v)
{
	if (!v->lapic)
		v->cr8 = v->run->cr8 & 15;
	if (v->signals.mask_set)
		cpu_event_set(&v->cpu, EVENT_KICK); /* what is blocked outside may be pending */
	if (v->user_irq >= 0 || v->run->request_interrupt_window)
		cpu_event_set(&v->cpu, EVENT_USER_INT);
}

int vcpu_run(struct vcpu *v)
{
	int r;

	signals_enter(&v->signals);
	take_requests(v);
	vm_enter(v->vm, v);
	r = run_in_guest(v);
	vm_leave(v->vm, v);
	v->stats.exits++;
	exit_common(v);
	signals_leave(&v->signals);
	return r;
}

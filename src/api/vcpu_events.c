/* SPDX-License-Identifier: BSD-2-Clause */
/* Events under way, activity state, LAPIC, and what user space injects. */
#include <string.h>

#include "api/api.h"
#include "irq/irq.h"

/* -- KVM_GET/SET_VCPU_EVENTS ----------------------------------------------------------------------
 */

int vcpu_get_events(struct object *o, void *arg)
{
	struct vcpu *v = o->vcpu;
	struct kvm_vcpu_events *e = arg;
	const struct fault *f = &v->inject;

	memset(e, 0, sizeof(*e));
	if (f->kind == FAULT_EXCEPTION) {
		e->exception.injected = 1;
		e->exception.nr = f->vector;
		e->exception.has_error_code = f->has_error;
		e->exception.error_code = f->error;
	}
	if (!v->lapic && v->user_irq >= 0) {
		e->interrupt.injected = 1;
		e->interrupt.nr = (u8)v->user_irq;
	}
	e->interrupt.shadow = v->cpu.shadow;
	e->nmi.pending = (u8)atomic_load(&v->nmi_pending);
	e->nmi.masked = v->cpu.nmi_masked;
	e->flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW |
		   KVM_VCPUEVENT_VALID_SMM;
	e->smi.latched_init = !!(atomic_load(&v->cpu.events) & EVENT_INIT);
	if (v->vm->exception_payload)
		e->flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	if (v->vm->triple_fault_event) {
		e->triple_fault.pending = v->triple_fault;
		e->flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	}
	return 0;
}

#define EVENT_FLAGS                                                                                \
	(KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |                       \
	 KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM | KVM_VCPUEVENT_VALID_PAYLOAD |      \
	 KVM_VCPUEVENT_VALID_TRIPLE_FAULT)

static bool events_valid(const struct vcpu *v, const struct kvm_vcpu_events *e)
{
	bool exception = e->exception.injected;

	if (e->flags & ~(u32)EVENT_FLAGS)
		return false;
	if (e->flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT && !v->vm->triple_fault_event)
		return false;
	if (e->flags & KVM_VCPUEVENT_VALID_PAYLOAD) {
		if (!v->vm->exception_payload)
			return false;
		exception |= e->exception.pending;
	}
	if (exception && (e->exception.nr > 31 || e->exception.nr == VEC_NMI))
		return false;
	/* there is no system management mode */
	return !(e->flags & KVM_VCPUEVENT_VALID_SMM) || !(e->smi.smm || e->smi.pending);
}

/* A payload is what CR2 or DR6 will be when the exception is delivered. */
static void set_exception(struct vcpu *v, const struct kvm_vcpu_events *e)
{
	bool payload = e->flags & KVM_VCPUEVENT_VALID_PAYLOAD;
	struct fault *f = &v->inject;

	*f = (struct fault){.kind = FAULT_NONE};
	if (!e->exception.injected && !(payload && e->exception.pending))
		return;
	*f = (struct fault){.kind = FAULT_EXCEPTION,
			    .vector = e->exception.nr,
			    .has_error = e->exception.has_error_code,
			    .error = e->exception.error_code,
			    .trap = e->exception.nr == VEC_DB || e->exception.nr == VEC_BP ||
				    e->exception.nr == VEC_OF,
			    .cr2 = v->cpu.cr2};
	if (payload && e->exception.pending && e->exception_has_payload) {
		f->cr2 = e->exception.nr == VEC_PF ? e->exception_payload : f->cr2;
		f->dr6 = e->exception.nr == VEC_DB ? e->exception_payload & ~DR6_FIXED : 0;
	}
}

int vcpu_set_events(struct object *o, void *arg)
{
	struct vcpu *v = o->vcpu;
	const struct kvm_vcpu_events *e = arg;

	if (!events_valid(v, e))
		return -EINVAL;
	set_exception(v, e);
	if (e->interrupt.injected && !e->interrupt.soft)
		v->user_irq = e->interrupt.nr;
	else if (!v->lapic)
		v->user_irq = -1;
	if (e->flags & KVM_VCPUEVENT_VALID_SHADOW)
		v->cpu.shadow = e->interrupt.shadow & (SHADOW_STI | SHADOW_MOVSS);
	if (e->flags & KVM_VCPUEVENT_VALID_NMI_PENDING)
		atomic_store(&v->nmi_pending, MIN(e->nmi.pending, 2));
	v->cpu.nmi_masked = e->nmi.masked;
	if (e->flags & KVM_VCPUEVENT_VALID_SIPI_VECTOR && v->lapic)
		atomic_store(&v->cpu.sipi_vector, (u8)e->sipi_vector);
	if (e->flags & KVM_VCPUEVENT_VALID_SMM && v->lapic && e->smi.latched_init)
		cpu_event_set(&v->cpu, EVENT_INIT);
	if (e->flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT)
		v->triple_fault = e->triple_fault.pending;
	cpu_event_set(&v->cpu, EVENT_REQUEST | EVENT_NMI | EVENT_USER_INT);
	return 0;
}

/* -- activity state -------------------------------------------------------------------------------
 */

int vcpu_get_mp_state(struct object *o, void *arg)
{
	((struct kvm_mp_state *)arg)->mp_state = vcpu_mp_state(o->vcpu);
	return 0;
}

int vcpu_set_mp_state(struct object *o, void *arg)
{
	const struct kvm_mp_state *s = arg;
	struct vcpu *v = o->vcpu;

	switch (s->mp_state) {
	case KVM_MP_STATE_RUNNABLE:
		break;
	case KVM_MP_STATE_UNINITIALIZED:
	case KVM_MP_STATE_INIT_RECEIVED:
	case KVM_MP_STATE_HALTED:
	case KVM_MP_STATE_SIPI_RECEIVED:
		if (v->lapic)
			break;
		return -EINVAL;
	default:
		return -EINVAL;
	}
	if (s->mp_state != KVM_MP_STATE_SIPI_RECEIVED) {
		vcpu_mp_state_set(v, s->mp_state);
		return 0;
	}
	vcpu_mp_state_set(v, KVM_MP_STATE_INIT_RECEIVED);
	cpu_event_set(&v->cpu, EVENT_SIPI);
	return 0;
}

/* -- injection ------------------------------------------------------------------------------------
 */

int vcpu_interrupt(struct object *o, void *arg)
{
	const struct kvm_interrupt *irq = arg;
	struct vcpu *v = o->vcpu;

	if (irq->irq > 255)
		return -EINVAL;
	if (v->lapic)
		return irq_vcpu_set_extint(v->lapic, irq->irq);
	v->user_irq = (int)irq->irq;
	cpu_event_set(&v->cpu, EVENT_USER_INT);
	return 0;
}

int vcpu_user_nmi(struct object *o, void *arg)
{
	vcpu_nmi(o->vcpu);
	return 0;
}

int vcpu_get_lapic(struct object *o, void *arg)
{
	if (!o->vcpu->lapic)
		return -EINVAL;
	lapic_get_state(o->vcpu->lapic, arg);
	return 0;
}

int vcpu_set_lapic(struct object *o, void *arg)
{
	if (!o->vcpu->lapic)
		return -EINVAL;
	return lapic_set_state(o->vcpu->lapic, arg);
}

/* A page through which a patched guest shares its TPR: not there (KVM_CAP_VAPIC), but it can be turned off. */
int vcpu_set_vapic(struct object *o, void *arg)
{
	const struct kvm_vapic_addr *v = arg;

	return o->vcpu->lapic && !v->vapic_addr ? 0 : -EINVAL;
}

/* Banks and their controls as at power-on (SDM Vol. 3B 15.3). */
int vcpu_setup_mce(struct object *o, void *arg)
{
	u64 cap = *(u64 *)arg, banks = cap & 0xff;
	struct cpu_msrs *msr = &o->vcpu->cpu.msr;

	if (!banks || banks > MCE_BANKS || cap & ~(MCE_CAPS | 0xff | 0xff0000))
		return -EINVAL;
	msr->mcg_cap = cap;
	if (cap & BIT(8))
		msr->mcg_ctl = ~0ull;
	for (u64 i = 0; i < banks; i++)
		msr->mc[4 * i] = ~0ull;
	return 0;
}

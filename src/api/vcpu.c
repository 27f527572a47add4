/* SPDX-License-Identifier: BSD-2-Clause */
/* The vCPU descriptor: KVM_RUN, and the table of its requests. */
#include <string.h>

#include "api/api.h"
#include "virt/virt.h"

/* -- KVM_RUN ------------------------------------------------------------------------------------
 */

/* Registers in kvm_run: taken before, given after (KVM_CAP_SYNC_REGS). */
static int sync_in(struct object *o)
{
	struct kvm_run *run = o->vcpu->run;
	struct kvm_sync_regs *s = &run->s.regs;
	u64 dirty = run->kvm_dirty_regs;
	int r = 0;

	if ((run->kvm_valid_regs | dirty) & ~(u64)KVM_SYNC_X86_VALID_FIELDS)
		return -EINVAL;
	if (likely(!dirty))
		return 0;
	vm_enter(o->vm, o->vcpu);
	if (dirty & KVM_SYNC_X86_REGS)
		r = vcpu_set_regs(o, &s->regs);
	if (!r && dirty & KVM_SYNC_X86_SREGS)
		r = vcpu_set_sregs(o, &s->sregs);
	if (!r && dirty & KVM_SYNC_X86_EVENTS)
		r = vcpu_set_events(o, &s->events);
	vm_leave(o->vm, o->vcpu);
	run->kvm_dirty_regs = 0;
	return r ? -EINVAL : 0;
}

static void sync_out(struct object *o)
{
	struct kvm_run *run = o->vcpu->run;
	u64 valid = run->kvm_valid_regs;

	if (valid & KVM_SYNC_X86_REGS)
		vcpu_get_regs(o, &run->s.regs.regs);
	if (valid & KVM_SYNC_X86_SREGS)
		vcpu_get_sregs(o, &run->s.regs.sregs);
	if (valid & KVM_SYNC_X86_EVENTS)
		vcpu_get_events(o, &run->s.regs.events);
}

static int run(struct object *o, void *arg)
{
	int r;

	if (arg)
		return -EINVAL;
	r = sync_in(o);
	if (r)
		return r;
	r = vcpu_run(o->vcpu);
	sync_out(o);
	return r;
}

/* A signal set as the kernel has it: 8 bytes. NULL: the thread's own again. */
static int set_signal_mask(struct object *o, void *arg)
{
	struct kvm_signal_mask *user = arg;
	u32 len;
	u64 mask;

	if (!arg) {
		signals_set_mask(&o->vcpu->signals, false, 0);
		return 0;
	}
	if (user_read(&len, &user->len, sizeof(len)))
		return -EFAULT;
	if (len != sizeof(mask))
		return -EINVAL;
	if (user_read(&mask, user->sigset, sizeof(mask)))
		return -EFAULT;
	signals_set_mask(&o->vcpu->signals, true, mask);
	return 0;
}

/* -- small ones -----------------------------------------------------------------------------------
 */

static int set_guest_debug(struct object *o, void *arg)
{
	return vcpu_debug_set(o->vcpu, arg);
}

/* The guest was stopped: its watchdogs are to know. Without kvmclock there is nothing to tell. */
static int kvmclock_ctrl(struct object *o, void *arg)
{
	struct vcpu *v = o->vcpu;

	if (!(v->pv.system_time & 1))
		return -EINVAL;
	v->pv.guest_stopped = true;
	atomic_store(&v->clock_update, true);
	cpu_event_set(&v->cpu, EVENT_REQUEST);
	return 0;
}

int vcpu_get_nested_state(struct object *o, void *arg)
{
	struct kvm_nested_state *user = arg;
	u64 buffer[(sizeof(struct kvm_nested_state) + 2 * 4096) / sizeof(u64)] = {0};
	u32 room, need;
	int r;

	if (!o->params.nested)
		return -EINVAL;
	if (user_read(&room, &user->size, sizeof(room)))
		return -EFAULT;
	r = virt_nested_state_get(&o->vcpu->cpu, (void *)buffer, sizeof(buffer));
	if (r < 0)
		return r;
	need = (u32)r;
	if (need > room)
		return user_write(&user->size, &need, sizeof(need)) ? -EFAULT : -E2BIG;
	return user_write(user, buffer, need);
}

int vcpu_set_nested_state(struct object *o, void *arg)
{
	u64 buffer[(sizeof(struct kvm_nested_state) + 2 * 4096) / sizeof(u64)] = {0};
	struct kvm_nested_state *state = (void *)buffer;
	u32 size;

	if (!o->params.nested)
		return -EINVAL;
	if (user_read(state, arg, sizeof(*state)))
		return -EFAULT;
	size = state->size;
	if (size < sizeof(*state) || size > sizeof(buffer))
		return -EINVAL;
	if (user_read(buffer, arg, size))
		return -EFAULT;
	state->size = size;
	return virt_nested_state_set(&o->vcpu->cpu, state, size);
}

const struct ioctl_entry vcpu_ioctls[] = {
	{KVM_RUN, run, ARG_VALUE | NO_LOCK},
	{KVM_GET_REGS, vcpu_get_regs, ARG_STRUCT},
	{KVM_SET_REGS, vcpu_set_regs, ARG_STRUCT},
	{KVM_GET_SREGS, vcpu_get_sregs, ARG_STRUCT},
	{KVM_SET_SREGS, vcpu_set_sregs, ARG_STRUCT},
	{KVM_GET_SREGS2, vcpu_get_sregs2, ARG_STRUCT},
	{KVM_SET_SREGS2, vcpu_set_sregs2, ARG_STRUCT},
	{KVM_GET_DEBUGREGS, vcpu_get_debugregs, ARG_STRUCT},
	{KVM_SET_DEBUGREGS, vcpu_set_debugregs, ARG_STRUCT},
	{KVM_TRANSLATE, vcpu_translate, ARG_STRUCT},
	{KVM_GET_FPU, vcpu_get_fpu, ARG_STRUCT},
	{KVM_SET_FPU, vcpu_set_fpu, ARG_STRUCT},
	{KVM_GET_XSAVE, vcpu_get_xsave, ARG_STRUCT},
	{KVM_GET_XSAVE2, vcpu_get_xsave, ARG_STRUCT},
	{KVM_SET_XSAVE, vcpu_set_xsave, ARG_STRUCT},
	{KVM_GET_XCRS, vcpu_get_xcrs, ARG_STRUCT},
	{KVM_SET_XCRS, vcpu_set_xcrs, ARG_STRUCT},
	{KVM_GET_VCPU_EVENTS, vcpu_get_events, ARG_STRUCT},
	{KVM_SET_VCPU_EVENTS, vcpu_set_events, ARG_STRUCT},
	{KVM_GET_MP_STATE, vcpu_get_mp_state, ARG_STRUCT},
	{KVM_SET_MP_STATE, vcpu_set_mp_state, ARG_STRUCT},
	{KVM_INTERRUPT, vcpu_interrupt, ARG_STRUCT},
	{KVM_NMI, vcpu_user_nmi, ARG_VALUE},
	{KVM_GET_LAPIC, vcpu_get_lapic, ARG_STRUCT},
	{KVM_SET_LAPIC, vcpu_set_lapic, ARG_STRUCT},
	{KVM_SET_VAPIC_ADDR, vcpu_set_vapic, ARG_STRUCT},
	{KVM_X86_SETUP_MCE, vcpu_setup_mce, ARG_STRUCT},
	{KVM_GET_MSRS, vcpu_get_msrs, ARG_VALUE},
	{KVM_SET_MSRS, vcpu_set_msrs, ARG_VALUE},
	{KVM_GET_TSC_KHZ, vcpu_get_tsc_khz, ARG_VALUE},
	{KVM_SET_TSC_KHZ, vcpu_set_tsc_khz, ARG_VALUE},
	{KVM_HAS_DEVICE_ATTR, vcpu_has_attr, ARG_STRUCT},
	{KVM_GET_DEVICE_ATTR, vcpu_get_attr, ARG_STRUCT},
	{KVM_SET_DEVICE_ATTR, vcpu_set_attr, ARG_STRUCT},
	{KVM_SET_CPUID, vcpu_set_cpuid, ARG_VALUE},
	{KVM_SET_CPUID2, vcpu_set_cpuid2, ARG_VALUE},
	{KVM_GET_CPUID2, vcpu_get_cpuid2, ARG_VALUE},
	{KVM_SET_SIGNAL_MASK, set_signal_mask, ARG_VALUE},
	{KVM_SET_GUEST_DEBUG, set_guest_debug, ARG_STRUCT},
	{KVM_KVMCLOCK_CTRL, kvmclock_ctrl, ARG_VALUE},
	{KVM_GET_NESTED_STATE, vcpu_get_nested_state, ARG_VALUE},
	{KVM_SET_NESTED_STATE, vcpu_set_nested_state, ARG_VALUE},
	{KVM_ENABLE_CAP, caps_enable_vcpu, ARG_STRUCT},
	{0, NULL, 0},
};

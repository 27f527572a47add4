/* SPDX-License-Identifier: BSD-2-Clause */
/* KVM_GET_NESTED_STATE and KVM_SET_NESTED_STATE, in KVM's format
 * (Documentation/virt/kvm/api.rst 4.114). */
#include <errno.h>
#include <string.h>

#include "mmu/mmu.h"
#include "virt/vmx.h"

#define SIZE_EMPTY ((u32)sizeof(struct kvm_nested_state))
#define SIZE_VMCS  (SIZE_EMPTY + VMCS12_SIZE)

static void fill_guest_mode(const struct cpu *cpu, struct kvm_nested_state *s)
{
	const struct vmx *vmx = cpu->vmx;

	s->flags |= KVM_STATE_NESTED_GUEST_MODE;
	if (vmx->inject)
		s->flags |= KVM_STATE_NESTED_RUN_PENDING;
	if (vmx->mtf_due)
		s->flags |= KVM_STATE_NESTED_MTF_PENDING;
	if (vmx->timer_on) {
		s->hdr.vmx.flags |= KVM_STATE_VMX_PREEMPTION_TIMER_DEADLINE;
		/* In ticks of the timer, from L1's TSC 0. */
		s->hdr.vmx.preemption_timer_deadline =
			vmx->timer_tsc >> bits(CAP(&vmx->caps, MISC), 4, 0);
	}
}

static void fill_header(const struct cpu *cpu, struct kvm_nested_state *s)
{
	const struct vmx *vmx = cpu->vmx;

	memset(s, 0, sizeof(*s));
	s->format = KVM_STATE_NESTED_FORMAT_VMX;
	s->size = SIZE_EMPTY;
	s->hdr.vmx.vmxon_pa = NO_VMCS;
	s->hdr.vmx.vmcs12_pa = NO_VMCS;
	if (!vmx || !vmx->vmxon)
		return;
	s->hdr.vmx.vmxon_pa = vmx->vmxon_pa;
	s->hdr.vmx.vmcs12_pa = vmx->current;
	if (vmx->current != NO_VMCS)
		s->size = SIZE_VMCS;
	if (cpu->guest_mode)
		fill_guest_mode(cpu, s);
}

int virt_nested_state_get(struct cpu *cpu, struct kvm_nested_state *state, u32 size)
{
	struct kvm_nested_state header;

	fill_header(cpu, &header);
	if (size < header.size)
		return (int)header.size;
	memcpy(state, &header, sizeof(header));
	if (header.size == SIZE_EMPTY)
		return (int)header.size;
	if (cpu->guest_mode)
		vmx_save_guest(cpu);
	memset(state->data.vmx->vmcs12, 0, VMCS12_SIZE);
	memcpy(state->data.vmx->vmcs12, &cpu->vmx->vmcs, sizeof(struct vmcs12));
	return (int)header.size;
}

/* -- setting
 * ---------------------------------------------------------------------------------------------- */

static int check_header(const struct cpu *cpu, const struct kvm_nested_state *s)
{
	const struct kvm_vmx_nested_state_hdr *h = &s->hdr.vmx;

	if (s->format != KVM_STATE_NESTED_FORMAT_VMX || h->smm.flags ||
	    h->flags & ~(u32)KVM_STATE_VMX_PREEMPTION_TIMER_DEADLINE)
		return -EINVAL;
	if (s->flags & ~(u32)(KVM_STATE_NESTED_GUEST_MODE | KVM_STATE_NESTED_RUN_PENDING |
			      KVM_STATE_NESTED_MTF_PENDING))
		return -EINVAL;
	if (h->vmxon_pa == NO_VMCS)
		return h->vmcs12_pa != NO_VMCS || s->flags ? -EINVAL : 0;
	if (!cpu->vmx || !cpu->vmx->params.nested || !vmx_page_valid(cpu, h->vmxon_pa))
		return -EINVAL;
	if (h->vmcs12_pa == NO_VMCS)
		return s->flags & KVM_STATE_NESTED_GUEST_MODE ? -EINVAL : 0;
	return h->vmcs12_pa == h->vmxon_pa || !vmx_page_valid(cpu, h->vmcs12_pa) ? -EINVAL : 0;
}

/* Enters guest mode as a VM entry would, with L2's state as KVM_GET_NESTED_STATE left it in the
 * VMCS. */
static int restore_guest_mode(struct cpu *cpu, const struct kvm_nested_state *s)
{
	struct vmx *vmx = cpu->vmx;
	bool run_pending = s->flags & KVM_STATE_NESTED_RUN_PENDING;
	u64 qual;

	vmx_unpack_controls(&vmx->vmcs, &vmx->ctls);
	if (!vmx_check_controls(cpu) || !vmx_check_injection(cpu) || !vmx_check_host(cpu) ||
	    !vmx_check_guest(cpu, &qual) || !vmx_check_guest_rip(cpu) ||
	    !vmx_check_guest_nonreg(cpu))
		return -EINVAL;
	if (!vmx_load_guest(cpu, run_pending))
		return -EINVAL;
	mmu_flush_all(cpu);
	vmx_event_entry(cpu, run_pending);
	vmx->mtf_due |= !!(s->flags & KVM_STATE_NESTED_MTF_PENDING);
	if (vmx->timer_on && s->hdr.vmx.flags & KVM_STATE_VMX_PREEMPTION_TIMER_DEADLINE)
		vmx_timer_start(cpu, s->hdr.vmx.preemption_timer_deadline
					     << bits(CAP(&vmx->caps, MISC), 4, 0));
	return 0;
}

int virt_nested_state_set(struct cpu *cpu, const struct kvm_nested_state *state, u32 size)
{
	struct vmx *vmx = cpu->vmx;
	int err;

	if (size < SIZE_EMPTY || state->size < SIZE_EMPTY || size < state->size)
		return -EINVAL;
	err = check_header(cpu, state);
	if (err)
		return err;
	virt_reset(cpu);
	mmu_context_switch(cpu);
	if (state->hdr.vmx.vmxon_pa == NO_VMCS)
		return 0;
	vmx->vmxon = true;
	vmx->vmxon_pa = state->hdr.vmx.vmxon_pa;
	if (state->hdr.vmx.vmcs12_pa == NO_VMCS)
		return 0;
	if (state->size < SIZE_VMCS)
		return -EINVAL;
	memcpy(&vmx->vmcs, state->data.vmx->vmcs12, sizeof(vmx->vmcs));
	if (vmx->vmcs.revision != VMCS12_REVISION)
		return -EINVAL;
	vmx->current = state->hdr.vmx.vmcs12_pa;
	if (!(state->flags & KVM_STATE_NESTED_GUEST_MODE))
		return 0;
	return restore_guest_mode(cpu, state);
}

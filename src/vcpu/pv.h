/* SPDX-License-Identifier: BSD-2-Clause */
/* KVM's paravirtual interfaces; private to vcpu/. */
#ifndef VCPU_PV_H
#define VCPU_PV_H

#include <linux/kvm_para.h>

#undef MSR_KVM_WALL_CLOCK
#undef MSR_KVM_SYSTEM_TIME
#undef MSR_KVM_WALL_CLOCK_NEW
#undef MSR_KVM_SYSTEM_TIME_NEW
#undef MSR_KVM_ASYNC_PF_EN
#undef MSR_KVM_STEAL_TIME
#undef MSR_KVM_POLL_CONTROL

#include "vcpu/vcpu.h"

/* Power-on. */
void pv_reset(struct vcpu *v);
/* Writes the time page when that was asked for (EVENT_REQUEST). */
void pv_update(struct vcpu *v);
/* Before the guest runs on: lets it skip the EOI of the vector in service where that is right. */
void pv_eoi_offer(struct vcpu *v);
/* After the guest ran, before interrupts are looked at: was it skipped? */
void pv_eoi_collect(struct vcpu *v);
/* VMCALL, VMMCALL outside guest mode. */
enum outcome pv_hypercall(struct cpu *cpu);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* The vCPU's INTR: the PIC, or the VMM's KVM_INTERRUPT, through the virtual wire; then its LAPIC.
 */
#include "irq/internal.h"

bool irq_vcpu_accepts_pic(const struct lapic *l)
{
	u32 lint0 = reg_get(l, LAPIC_LVT_LINT0);

	if (!lapic_is_enabled(l))
		return true;
	return !(lint0 & LVT_MASKED) && (lint0 >> 8 & 7) == DELIVER_EXTINT;
}

bool irq_vcpu_has_extint(struct lapic *l)
{
	bool high = irq_vm_mode(l->vm) == IRQ_MODE_KERNEL ? atomic_load(&l->vm->pic.output)
							  : atomic_load(&l->extint) >= 0;

	return high && irq_vcpu_accepts_pic(l);
}

int irq_vcpu_ack_extint(struct lapic *l)
{
	int vector;

	if (!irq_vcpu_has_extint(l))
		return -1;
	if (irq_vm_mode(l->vm) != IRQ_MODE_KERNEL)
		return atomic_exchange(&l->extint, -1);
	pthread_mutex_lock(&l->vm->lock);
	vector = pic_ack(l->vm);
	pthread_mutex_unlock(&l->vm->lock);
	return vector;
}

int irq_vcpu_set_extint(struct lapic *l, u32 vector)
{
	int none = -1;

	if (vector > 255)
		return -EINVAL;
	if (irq_vm_mode(l->vm) == IRQ_MODE_KERNEL)
		return -ENXIO;
	if (!atomic_compare_exchange_strong(&l->extint, &none, (int)vector))
		return -EEXIST;
	l->ops->kick(l->vcpu);
	return 0;
}

bool irq_vcpu_has_interrupt(struct lapic *l)
{
	return lapic_pending_vector(l) >= 0 || irq_vcpu_has_extint(l);
}

int irq_vcpu_ack_interrupt(struct lapic *l)
{
	int vector = irq_vcpu_ack_extint(l);

	if (vector >= 0)
		return vector;
	vector = lapic_pending_vector(l);
	if (vector >= 0)
		lapic_ack(l, vector);
	return vector;
}

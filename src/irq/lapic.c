/* SPDX-License-Identifier: BSD-2-Clause */
/* The local APIC: its life, and how vectors come, are ordered and go (SDM Vol. 3A 11.8). */
#include <stdlib.h>

#include "irq/internal.h"

u32 lapic_get_id(const struct lapic *l)
{
	return l->id;
}

u32 lapic_x2apic_ldr(u32 id)
{
	return (id >> 4) << 16 | 1u << (id & 15);
}

/* Version 14h with six LVT entries; with the IOAPIC in the VMM, a guest may suppress broadcasts. */
u32 lapic_version(const struct lapic *l)
{
	bool directed = irq_vm_mode(l->vm) == IRQ_MODE_SPLIT && l->has_x2apic;

	return 0x14 | 5 << 16 | (directed ? VERSION_DIRECTED : 0);
}

void lapic_set_features(struct lapic *l, bool x2apic, bool tsc_deadline)
{
	l->has_x2apic = x2apic;
	l->has_deadline = tsc_deadline;
	reg_set(l, REG_VERSION, lapic_version(l));
}

static void lapic_reset_vectors(struct lapic *l)
{
	for (int i = 0; i < 4; i++) {
		atomic_store(&l->irr[i], 0);
		atomic_store(&l->tmr[i], 0);
		l->isr[i] = 0;
	}
	l->highest_isr = -1;
	atomic_store(&l->errors, 0);
}

void lapic_reset(struct lapic *l, bool init)
{
	bool bsp = irq_vm_is_bsp(l->vm, l->id);
	u32 id = reg_get(l, REG_ID);

	lapic_timer_stop(l);
	for (unsigned offset = 0; offset < 0x400; offset += 16)
		reg_set(l, offset, 0);
	if (!init) {
		atomic_store(&l->base, 0xfee00000 | LAPIC_BASE_ENABLE | (bsp ? LAPIC_BASE_BSP : 0));
		id = l->id << 24;
		atomic_store(&l->extint, -1);
	}
	reg_set(l, REG_ID, id);
	reg_set(l, REG_VERSION, lapic_version(l));
	for (unsigned lvt = LAPIC_LVT_TIMER; lvt <= LAPIC_LVT_ERROR; lvt += 16)
		reg_set(l, lvt, LVT_MASKED);
	/* As after a firmware that left the virtual wire: KVM does the same. */
	if (bsp)
		reg_set(l, LAPIC_LVT_LINT0, DELIVER_EXTINT << 8);
	reg_set(l, REG_DFR, 0xffffffff);
	reg_set(l, REG_SVR, 0xff);
	if (lapic_is_x2apic(l))
		reg_set(l, REG_LDR, lapic_x2apic_ldr(l->id));
	lapic_reset_vectors(l);
}

struct lapic *lapic_create(struct irq_vm *vm, u32 vcpu_id, void *vcpu,
			   const struct irq_vcpu_ops *ops)
{
	u32 nr = atomic_load(&vm->nr_lapics);
	struct lapic *l;

	if (irq_vm_mode(vm) == IRQ_MODE_NONE || vcpu_id >= IRQ_MAX_VCPU_ID || nr >= IRQ_MAX_VCPUS ||
	    atomic_load(&vm->by_id[vcpu_id]))
		return NULL;
	l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	l->vm = vm;
	l->id = vcpu_id;
	l->vcpu = vcpu;
	l->ops = ops;
	l->has_x2apic = l->has_deadline = true;
	lapic_timer_init(l);
	lapic_reset(l, false);

	pthread_mutex_lock(&vm->lock);
	atomic_store(&vm->by_id[vcpu_id], l);
	atomic_store(&vm->lapics[nr], l);
	atomic_store(&vm->nr_lapics, nr + 1);
	pthread_mutex_unlock(&vm->lock);
	return l;
}

void lapic_destroy(struct lapic *l)
{
	struct irq_vm *vm;

	if (!l)
		return;
	vm = l->vm;
	timer_cancel_sync(&l->timer);
	/* The room's own threads deliver under the mutex: after this none of them has it. */
	pthread_mutex_lock(&vm->lock);
	for (u32 i = 0, last = atomic_load(&vm->nr_lapics) - 1; i <= last; i++) {
		if (atomic_load(&vm->lapics[i]) != l)
			continue;
		atomic_store(&vm->lapics[i], atomic_load(&vm->lapics[last]));
		atomic_store(&vm->nr_lapics, last);
		break;
	}
	atomic_store(&vm->by_id[l->id], NULL);
	pthread_mutex_unlock(&vm->lock);
	pthread_mutex_destroy(&l->timer_lock);
	free(l);
}

void lapic_error(struct lapic *l, u32 esr_bit)
{
	/* Only a new error interrupts, so an LVT error entry with an illegal vector ends here. */
	if (!(atomic_fetch_or(&l->errors, esr_bit) & esr_bit))
		lapic_local_deliver(l, LAPIC_LVT_ERROR);
}

int lapic_post(struct lapic *l, u8 vector, bool level)
{
	if (!lapic_is_enabled(l) || !lapic_is_soft_enabled(l))
		return 0;
	if (vector < 16) {
		lapic_error(l, ESR_RECEIVE_ILLEGAL);
		return 0;
	}
	if (avec_test(l->tmr, vector) != level) {
		if (level)
			avec_set(l->tmr, vector);
		else
			avec_clear(l->tmr, vector);
	}
	/* Who set the bit has kicked, or is about to. */
	if (!avec_set(l->irr, vector))
		return 0;
	l->ops->kick(l->vcpu);
	return 1;
}

void lapic_local_deliver(struct lapic *l, unsigned lvt)
{
	u32 entry = reg_get(l, lvt);
	bool lint = lvt == LAPIC_LVT_LINT0 || lvt == LAPIC_LVT_LINT1;

	if (!lapic_is_enabled(l) || (entry & LVT_MASKED))
		return;
	/* SDM Vol. 3A 11.5.1: a performance counter interrupt masks its entry. */
	if (lvt == LAPIC_LVT_PERF)
		atomic_fetch_or(&l->regs[lvt >> 4], (u32)LVT_MASKED);
	switch (entry >> 8 & 7) {
	case DELIVER_FIXED:
		lapic_post(l, entry & 0xff, lint && (entry & LVT_LEVEL));
		break;
	case DELIVER_SMI:
		if (l->ops->smi)
			l->ops->smi(l->vcpu);
		break;
	case DELIVER_NMI:
		l->ops->nmi(l->vcpu);
		break;
	case DELIVER_INIT:
		l->ops->init(l->vcpu);
		break;
	case DELIVER_EXTINT:
		l->ops->kick(l->vcpu);
		break;
	}
}

/* SDM Vol. 3A 11.8.3.1 */
u8 lapic_ppr(const struct lapic *l)
{
	u8 tpr = reg_get(l, REG_TPR);
	u8 isr = l->highest_isr < 0 ? 0 : l->highest_isr & 0xf0;

	return (tpr & 0xf0) >= isr ? tpr : isr;
}

int lapic_highest_irr(const struct lapic *l)
{
	return avec_highest(l->irr);
}

int lapic_highest_isr(const struct lapic *l)
{
	return l->highest_isr;
}

int lapic_pending_vector(struct lapic *l)
{
	int v = avec_highest(l->irr);

	if (v < 0 || (v & 0xf0) <= (lapic_ppr(l) & 0xf0) || !lapic_is_enabled(l))
		return -1;
	return v;
}

void lapic_update_isr(struct lapic *l)
{
	l->highest_isr = -1;
	for (int i = 3; i >= 0; i--) {
		if (!l->isr[i])
			continue;
		l->highest_isr = i * 64 + 63 - __builtin_clzll(l->isr[i]);
		return;
	}
}

void lapic_ack(struct lapic *l, u8 vector)
{
	avec_clear(l->irr, vector);
	vec_set(l->isr, vector);
	l->highest_isr = MAX(l->highest_isr, vector);
}

int lapic_eoi(struct lapic *l)
{
	int vector = l->highest_isr;

	if (vector < 0)
		return -1;
	l->isr[vector / 64] &= ~BIT(vector % 64);
	lapic_update_isr(l);
	irq_eoi_broadcast(l, vector);
	lapic_recheck(l);
	return vector;
}

bool lapic_may_skip_eoi(struct lapic *l)
{
	int v = l->highest_isr;

	return v >= 0 && avec_highest(l->irr) < 0 && !avec_test(l->tmr, v) &&
	       !avec_test(l->vm->eoi_vectors, v) && !avec_test(l->vm->split_vectors, v);
}

void lapic_recheck(struct lapic *l)
{
	if (irq_vcpu_has_interrupt(l))
		l->ops->kick(l->vcpu);
}

u8 lapic_get_cr8(const struct lapic *l)
{
	return reg_get(l, REG_TPR) >> 4 & 15;
}

void lapic_set_cr8(struct lapic *l, u8 cr8)
{
	reg_set(l, REG_TPR, (cr8 & 15) << 4);
	lapic_recheck(l);
}

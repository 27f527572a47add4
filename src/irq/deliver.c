/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupt messages: which LAPICs they are for, and what they do there (SDM Vol. 3A 11.6.2). */
#include "irq/internal.h"

/* SDM Vol. 3A 11.6.2.2; 11.12.10.2 for x2APIC */
static bool logical_matches(const struct lapic *t, bool x2apic, u32 dest)
{
	u32 ldr = reg_get(t, REG_LDR);

	if (x2apic)
		return ldr >> 16 == dest >> 16 && (ldr & dest & 0xffff);
	ldr >>= 24;
	if (reg_get(t, REG_DFR) >> 28 == 0xf)
		return ldr & dest & 0xff;
	return ldr >> 4 == dest >> 4 && (ldr & dest & 0xf);
}

/* In xAPIC mode the vCPU's full id is good as well, or nobody could reach a vCPU above 255. */
static bool physical_matches(const struct lapic *t, bool x2apic, u32 dest)
{
	if (x2apic || t->id > 0xff)
		if (dest == t->id)
			return true;
	return !x2apic && dest == reg_get(t, REG_ID) >> 24;
}

static bool is_broadcast(const struct lapic *t, const struct lapic *source, bool x2apic, u32 dest)
{
	if (!x2apic)
		return dest == 0xff;
	if (dest == 0xff && !source && !atomic_load(&t->vm->no_broadcast_quirk))
		return true;
	return dest == 0xffffffff;
}

static bool is_destination(const struct lapic *t, const struct lapic *source,
			   const struct irq_msg *msg)
{
	u64 base = lapic_base(t);
	bool x2apic = base_is_x2apic(base);

	if (!(base & LAPIC_BASE_ENABLE))
		return false;
	switch (msg->shorthand) {
	case 1:
		return t == source;
	case 2:
		return true;
	case 3:
		return t != source;
	}
	if (is_broadcast(t, source, x2apic, msg->dest))
		return true;
	return msg->logical ? logical_matches(t, x2apic, msg->dest)
			    : physical_matches(t, x2apic, msg->dest);
}

/* Returns 1 if it did something, 0 if it merged, -1 if it was dropped. */
static int deliver_one(struct lapic *t, const struct irq_msg *msg)
{
	switch (msg->delivery) {
	case DELIVER_FIXED:
	case DELIVER_LOWEST:
		if ((msg->level && !msg->assert) || !lapic_is_soft_enabled(t))
			return -1;
		return lapic_post(t, msg->vector, msg->level);
	case DELIVER_SMI:
		if (!t->ops->smi)
			return -1;
		t->ops->smi(t->vcpu);
		return 1;
	case DELIVER_NMI:
		t->ops->nmi(t->vcpu);
		return 1;
	case DELIVER_INIT:
		/* The de-assert only synchronized arbitration ids, long ago. */
		if (msg->level && !msg->assert)
			return -1;
		t->ops->init(t->vcpu);
		return 1;
	case DELIVER_SIPI:
		t->ops->sipi(t->vcpu, msg->vector);
		return 1;
	}
	return -1; /* ExtINT comes through LINT0 only */
}

/* One of the destinations that are enabled, the same one for a vector as long as they stay. */
static struct lapic *choose_lowest(struct irq_vm *vm, struct lapic *source,
				   const struct irq_msg *msg)
{
	u32 nr = atomic_load(&vm->nr_lapics), count = 0, pick;

	for (u32 i = 0; i < nr; i++) {
		struct lapic *t = atomic_load(&vm->lapics[i]);

		count += is_destination(t, source, msg) && lapic_is_soft_enabled(t);
	}
	if (!count)
		return NULL;
	pick = msg->vector % count;
	for (u32 i = 0; i < nr; i++) {
		struct lapic *t = atomic_load(&vm->lapics[i]);

		if (is_destination(t, source, msg) && lapic_is_soft_enabled(t) && !pick--)
			return t;
	}
	return NULL;
}

/* The one LAPIC that a physical destination names, if its id is its vCPU's, as nearly always. */
static struct lapic *find_direct(struct irq_vm *vm, struct lapic *source, const struct irq_msg *msg)
{
	struct lapic *t;

	if (msg->shorthand == 1)
		return source;
	if (msg->shorthand || msg->logical || msg->dest == 0xff || msg->dest >= IRQ_MAX_VCPU_ID)
		return NULL;
	t = atomic_load(&vm->by_id[msg->dest]);
	return t && is_destination(t, source, msg) ? t : NULL;
}

int irq_vm_deliver(struct irq_vm *vm, struct lapic *source, const struct irq_msg *msg)
{
	struct lapic *t = find_direct(vm, source, msg);
	u32 nr = atomic_load(&vm->nr_lapics);
	int taken = -1;

	if (t)
		return deliver_one(t, msg);
	if (msg->delivery == DELIVER_LOWEST || msg->redir_hint) {
		t = choose_lowest(vm, source, msg);
		return t ? deliver_one(t, msg) : -1;
	}
	for (u32 i = 0; i < nr; i++) {
		int n;

		t = atomic_load(&vm->lapics[i]);
		n = is_destination(t, source, msg) ? deliver_one(t, msg) : -1;
		if (n >= 0)
			taken = MAX(taken, 0) + n;
	}
	return taken;
}

void irq_eoi_broadcast(struct lapic *l, u8 vector)
{
	struct irq_vm *vm = l->vm;
	bool level = avec_test(l->tmr, vector);

	if (reg_get(l, REG_SVR) & SVR_SUPPRESS_EOI)
		return;
	if (irq_vm_mode(vm) == IRQ_MODE_SPLIT) {
		if (level && avec_test(vm->split_vectors, vector) && l->ops->ioapic_eoi)
			l->ops->ioapic_eoi(l->vcpu, vector);
		return;
	}
	if (!level && !avec_test(vm->eoi_vectors, vector))
		return;
	pthread_mutex_lock(&vm->lock);
	ioapic_eoi(vm, vector);
	pthread_mutex_unlock(&vm->lock);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* GSIs to pins and messages, and the way back from a pin's EOI.  The table is under the VM's mutex.
 */
#include <stdlib.h>
#include <string.h>

#include "irq/internal.h"

/* ---- messages */

static struct irq_msg decode_msi(const struct irq_vm *vm, u32 lo, u32 hi, u32 data)
{
	bool wide = atomic_load(&vm->x2apic_format);

	return (struct irq_msg){
		.dest = (lo >> 12 & 0xff) | (wide ? hi & 0xffffff00 : 0),
		.vector = data & 0xff,
		.delivery = data >> 8 & 7,
		.logical = lo & BIT(2),
		.redir_hint = lo & BIT(3),
		.level = data & BIT(15),
		.assert = true,
	};
}

static bool msi_is_invalid(const struct irq_vm *vm, u32 hi)
{
	return atomic_load(&vm->x2apic_format) && (hi & 0xff);
}

int irq_vm_signal_msi(struct irq_vm *vm, const struct kvm_msi *msi)
{
	struct irq_msg msg = decode_msi(vm, msi->address_lo, msi->address_hi, msi->data);
	int taken;

	if (irq_vm_mode(vm) == IRQ_MODE_NONE || (msi->flags & ~KVM_MSI_VALID_DEVID) ||
	    msi_is_invalid(vm, msi->address_hi))
		return -EINVAL;
	taken = irq_vm_deliver(vm, NULL, &msg);
	return MAX(taken, 0);
}

/* ---- lines */

static int route_set(struct irq_vm *vm, const struct route *r, unsigned source, bool level)
{
	struct irq_msg msg;

	if (!r->msi) {
		if (r->chip == KVM_IRQCHIP_IOAPIC)
			return ioapic_set_line(vm, r->pin, source, level);
		return pic_set_line(vm, r->pin + (r->chip == KVM_IRQCHIP_PIC_SLAVE ? 8 : 0), source,
				    level);
	}
	if (!level)
		return -1;
	msg = decode_msi(vm, r->m.address_lo, r->m.address_hi, r->m.data);
	return irq_vm_deliver(vm, NULL, &msg);
}

int routing_set_line(struct irq_vm *vm, unsigned source, u32 gsi, bool level)
{
	struct route_table *t = &vm->routing;
	int taken = -1;

	if (gsi >= IRQ_MAX_ROUTES)
		return -1;
	for (unsigned i = t->first[gsi]; i < t->first[gsi + 1]; i++) {
		int n = route_set(vm, &t->routes[i], source, level);

		if (n >= 0)
			taken = MAX(taken, 0) + n;
	}
	return taken;
}

int irq_vm_set_line(struct irq_vm *vm, u32 gsi, bool level)
{
	int taken;

	if (irq_vm_mode(vm) == IRQ_MODE_NONE)
		return -ENXIO;
	pthread_mutex_lock(&vm->lock);
	taken = routing_set_line(vm, IRQ_SOURCE_VMM, gsi, level);
	pthread_mutex_unlock(&vm->lock);
	return taken;
}

/* ---- from pins to those who wait for their EOI */

static bool pit_drives(const struct irq_vm *vm, int gsi)
{
	return gsi == 0 && vm->pit.present && vm->pit.reinject;
}

bool routing_pin_is_watched(struct irq_vm *vm, unsigned pin)
{
	int gsi = vm->routing.gsi_of_pin[KVM_IRQCHIP_IOAPIC][pin];

	return gsi >= 0 && (pit_drives(vm, gsi) || irqfd_watches(vm, gsi));
}

void routing_notify_acked(struct irq_vm *vm, unsigned chip, unsigned pin)
{
	int gsi = vm->routing.gsi_of_pin[chip][pin];

	if (gsi < 0)
		return;
	irqfd_notify_acked(vm, gsi);
	if (pit_drives(vm, gsi))
		pit_acked(&vm->pit);
}

/* A tick that was sent while the pin was masked will never be acknowledged. */
void routing_notify_masked(struct irq_vm *vm, unsigned chip, unsigned pin, bool masked)
{
	if (!masked && pit_drives(vm, vm->routing.gsi_of_pin[chip][pin]))
		pit_reset_reinject(&vm->pit);
}

/* ---- the table */

static int by_gsi(const void *a, const void *b)
{
	const struct route *x = a, *y = b;

	return (x->gsi > y->gsi) - (x->gsi < y->gsi);
}

static int convert_pin(const struct irq_vm *vm, const struct kvm_irq_routing_entry *e,
		       struct route *r)
{
	unsigned pins = e->u.irqchip.irqchip == KVM_IRQCHIP_IOAPIC ? IRQ_IOAPIC_PINS : 8;

	if (irq_vm_mode(vm) != IRQ_MODE_KERNEL || e->flags ||
	    e->u.irqchip.irqchip > KVM_IRQCHIP_IOAPIC || e->u.irqchip.pin >= pins)
		return -EINVAL;
	r->chip = e->u.irqchip.irqchip;
	r->pin = e->u.irqchip.pin;
	return 0;
}

static int convert_entry(const struct irq_vm *vm, const struct kvm_irq_routing_entry *e,
			 struct route *r)
{
	*r = (struct route){.gsi = e->gsi};
	if (e->gsi >= IRQ_MAX_ROUTES)
		return -EINVAL;
	if (e->type == KVM_IRQ_ROUTING_IRQCHIP)
		return convert_pin(vm, e, r);
	if (e->type != KVM_IRQ_ROUTING_MSI || (e->flags & ~KVM_MSI_VALID_DEVID) ||
	    msi_is_invalid(vm, e->u.msi.address_hi))
		return -EINVAL;
	r->msi = true;
	r->m = e->u.msi;
	return 0;
}

/* A GSI goes to at most one pin of each chip, or to one message and nothing else. */
static bool routes_clash(const struct route *routes, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		for (unsigned j = i + 1; j < nr && routes[j].gsi == routes[i].gsi; j++)
			if (routes[i].msi || routes[j].msi || routes[i].chip == routes[j].chip)
				return true;
	return false;
}

static void install(struct irq_vm *vm, struct route *routes, unsigned nr)
{
	struct route_table *t = &vm->routing;
	u64 split[4] = {0};
	unsigned next = 0;

	free(t->routes);
	t->routes = routes;
	t->nr = nr;
	memset(t->gsi_of_pin, 0xff, sizeof(t->gsi_of_pin));
	for (unsigned gsi = 0; gsi < IRQ_MAX_ROUTES; gsi++) {
		t->first[gsi] = next;
		for (; next < nr && routes[next].gsi == gsi; next++) {
			const struct route *r = &routes[next];

			if (!r->msi)
				t->gsi_of_pin[r->chip][r->pin] = gsi;
			else if (gsi < vm->split_pins)
				vec_set(split, r->m.data & 0xff);
		}
	}
	t->first[IRQ_MAX_ROUTES] = next;
	for (unsigned i = 0; i < 4; i++)
		atomic_store(&vm->split_vectors[i], split[i]);
	ioapic_update_eoi_vectors(vm);
}

int irq_vm_set_routing(struct irq_vm *vm, const struct kvm_irq_routing_entry *entries, unsigned nr)
{
	struct route *routes;
	int err = 0;

	if (irq_vm_mode(vm) == IRQ_MODE_NONE || nr > IRQ_MAX_ROUTES)
		return -EINVAL;
	routes = calloc(nr + 1, sizeof(*routes));
	if (!routes)
		return -ENOMEM;
	for (unsigned i = 0; i < nr && !err; i++)
		err = convert_entry(vm, &entries[i], &routes[i]);
	qsort(routes, nr, sizeof(*routes), by_gsi);
	if (err || routes_clash(routes, nr)) {
		free(routes);
		return -EINVAL;
	}
	pthread_mutex_lock(&vm->lock);
	install(vm, routes, nr);
	pthread_mutex_unlock(&vm->lock);
	return 0;
}

int routing_set_default(struct irq_vm *vm)
{
	struct kvm_irq_routing_entry e[IRQ_PIC_PINS + IRQ_IOAPIC_PINS] = {0};

	if (irq_vm_mode(vm) == IRQ_MODE_SPLIT)
		return irq_vm_set_routing(vm, NULL, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(e); i++) {
		bool io = i >= IRQ_PIC_PINS;

		e[i].type = KVM_IRQ_ROUTING_IRQCHIP;
		e[i].gsi = io ? i - IRQ_PIC_PINS : i;
		e[i].u.irqchip.irqchip = io ? KVM_IRQCHIP_IOAPIC : i / 8;
		e[i].u.irqchip.pin = io ? i - IRQ_PIC_PINS : i % 8;
	}
	return irq_vm_set_routing(vm, e, ARRAY_SIZE(e));
}

void routing_free(struct irq_vm *vm)
{
	free(vm->routing.routes);
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>
#include "vmm/intr.h"

void intr_init(struct intr *intr, const struct kvm_dev *kvm, int vm_fd)
{
	memset(intr, 0, sizeof(*intr));
	intr->kvm = kvm;
	intr->vm_fd = vm_fd;
	pthread_mutex_init(&intr->lock, NULL);
}

static struct kvm_irq_routing_entry intr_wire(unsigned line, unsigned chip, unsigned pin)
{
	return (struct kvm_irq_routing_entry){
		.gsi = line,
		.type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = {.irqchip = chip, .pin = pin},
	};
}

int intr_route(struct intr *intr)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry wires[IRQ_LINES + 16];
	} table = {0};
	struct kvm_irq_routing_entry *wire = table.wires;

	for (unsigned line = 0; line < IRQ_LINES; line++) {
		if (line == 2)
			continue;
		if (line < 16)
			*wire++ = intr_wire(line, line / 8, line % 8);
		*wire++ = intr_wire(line, KVM_IRQCHIP_IOAPIC, line ? line : 2);
	}
	table.head.nr = wire - table.wires;
	return kvmdev_ioctl(intr->kvm, intr->vm_fd, KVM_SET_GSI_ROUTING, &table);
}

void intr_set(struct intr *intr, unsigned line, unsigned source, bool level)
{
	struct kvm_irq_level arg = {.irq = line};
	u64 old, new;

	if (line >= IRQ_LINES)
		return;
	pthread_mutex_lock(&intr->lock);
	old = intr->sources[line];
	new = level ? old | BIT(source) : old & ~BIT(source);
	intr->sources[line] = new;
	arg.level = new != 0;
	if (!!old != !!new)
		kvmdev_ioctl(intr->kvm, intr->vm_fd, KVM_IRQ_LINE, &arg);
	pthread_mutex_unlock(&intr->lock);
}

int intr_send_msi(struct intr *intr, u64 address, u32 data)
{
	struct kvm_msi msi = {
		.address_lo = (u32)address,
		.address_hi = address >> 32,
		.data = data,
	};
	int ret = kvmdev_ioctl(intr->kvm, intr->vm_fd, KVM_SIGNAL_MSI, &msi);

	return ret < 0 ? ret : 0;
}

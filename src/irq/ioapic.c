/* SPDX-License-Identifier: BSD-2-Clause */
/* The IOAPIC with 24 pins (Intel 82093AA data sheet).  All with the VM's mutex held. */
#include <string.h>

#include "irq/internal.h"

#define IOAPIC_VERSION (0x11 | (IRQ_IOAPIC_PINS - 1) << 16)

#define RTE_MASKED     BIT(16)
#define RTE_LEVEL      BIT(15)
#define RTE_REMOTE_IRR BIT(14)
#define RTE_LOW	       BIT(13)
#define RTE_PENDING    BIT(12)
#define RTE_LOGICAL    BIT(11)

void ioapic_init(struct ioapic *io)
{
	memset(io, 0, sizeof(*io));
	io->s.base_address = IOAPIC_BASE;
	for (unsigned pin = 0; pin < IRQ_IOAPIC_PINS; pin++)
		io->s.redirtbl[pin].bits = RTE_MASKED;
}

/* Sends the pin's message.  A level waits for the EOI of the last one. */
static int service(struct irq_vm *vm, unsigned pin)
{
	u64 rte = vm->ioapic.s.redirtbl[pin].bits;
	struct irq_msg msg = {
		.dest = rte >> 56,
		.vector = rte & 0xff,
		.delivery = rte >> 8 & 7,
		.logical = rte & RTE_LOGICAL,
		.level = rte & RTE_LEVEL,
		.assert = true,
	};
	int taken;

	if ((rte & RTE_MASKED) || ((rte & RTE_LEVEL) && (rte & RTE_REMOTE_IRR)))
		return -1;
	taken = irq_vm_deliver(vm, NULL, &msg);
	if ((rte & RTE_LEVEL) && taken >= 0)
		vm->ioapic.s.redirtbl[pin].bits |= RTE_REMOTE_IRR;
	else if (taken >= 0)
		vm->ioapic.irr_delivered |= 1u << pin;
	return taken;
}

int ioapic_set_line(struct irq_vm *vm, unsigned pin, unsigned source, bool level)
{
	struct ioapic *io = &vm->ioapic;
	u64 rte = io->s.redirtbl[pin].bits;
	u32 bit = 1u << pin, old = io->s.irr;

	if (level)
		io->sources[pin] |= 1 << source;
	else
		io->sources[pin] &= ~(1 << source);
	if (!io->sources[pin]) {
		io->s.irr &= ~bit;
		io->irr_delivered &= ~bit;
		return 1;
	}
	io->s.irr |= bit;
	if (!(rte & RTE_LEVEL)) {
		if (old & bit)
			return 0;
		io->irr_delivered &= ~bit;
	} else if (rte & RTE_REMOTE_IRR) {
		return 0;
	}
	return service(vm, pin);
}

void ioapic_eoi(struct irq_vm *vm, u8 vector)
{
	struct ioapic *io = &vm->ioapic;

	for (unsigned pin = 0; pin < IRQ_IOAPIC_PINS; pin++) {
		u64 *rte = (u64 *)&io->s.redirtbl[pin].bits;

		if ((*rte & 0xff) != vector)
			continue;
		/* Those who wait may lower the line, or raise it again. */
		routing_notify_acked(vm, KVM_IRQCHIP_IOAPIC, pin);
		if (!(*rte & RTE_LEVEL))
			continue;
		*rte &= ~RTE_REMOTE_IRR;
		if (io->s.irr >> pin & 1)
			service(vm, pin);
	}
}

void ioapic_update_eoi_vectors(struct irq_vm *vm)
{
	u64 vectors[4] = {0};

	for (unsigned pin = 0; pin < IRQ_IOAPIC_PINS; pin++)
		if (routing_pin_is_watched(vm, pin))
			vec_set(vectors, vm->ioapic.s.redirtbl[pin].bits & 0xff);
	for (unsigned i = 0; i < 4; i++)
		atomic_store(&vm->eoi_vectors[i], vectors[i]);
}

/* ---- registers */

static void write_entry(struct irq_vm *vm, unsigned pin, bool high, u32 val)
{
	struct ioapic *io = &vm->ioapic;
	u64 *rte = (u64 *)&io->s.redirtbl[pin].bits, old = *rte;
	u64 keep = old & (RTE_REMOTE_IRR | RTE_PENDING);

	if (high)
		*rte = (u32)old | (u64)(val & 0xff000000) << 32;
	else
		*rte = (old & MASK(63, 32)) | (val & 0x1afff & ~RTE_PENDING) | keep;
	/* Software without an EOI register clears remote IRR so: edge and back to level. */
	if (!(*rte & RTE_LEVEL))
		*rte &= ~RTE_REMOTE_IRR;
	ioapic_update_eoi_vectors(vm);
	if ((old ^ *rte) & RTE_MASKED)
		routing_notify_masked(vm, KVM_IRQCHIP_IOAPIC, pin, *rte & RTE_MASKED);
	if ((*rte & RTE_LEVEL) && (io->s.irr >> pin & 1))
		service(vm, pin);
}

static u32 read_indirect(const struct kvm_ioapic_state *s)
{
	unsigned pin = (s->ioregsel - 0x10) >> 1;
	u64 rte;

	switch (s->ioregsel) {
	case 0: /* id */
	case 2: /* arbitration id */
		return (s->id & 15) << 24;
	case 1:
		return IOAPIC_VERSION;
	}
	if (s->ioregsel < 0x10 || pin >= IRQ_IOAPIC_PINS)
		return s->ioregsel < 0x10 ? 0 : ~0u;
	rte = s->redirtbl[pin].bits;
	return s->ioregsel & 1 ? rte >> 32 : rte;
}

static void write_indirect(struct irq_vm *vm, u32 val)
{
	struct kvm_ioapic_state *s = &vm->ioapic.s;
	unsigned pin = (s->ioregsel - 0x10) >> 1;

	if (s->ioregsel == 0)
		s->id = val >> 24 & 15;
	else if (s->ioregsel >= 0x10 && pin < IRQ_IOAPIC_PINS)
		write_entry(vm, pin, s->ioregsel & 1, val);
}

u32 ioapic_read(struct irq_vm *vm, unsigned offset)
{
	switch (offset) {
	case 0:
		return vm->ioapic.s.ioregsel;
	case 0x10:
		return read_indirect(&vm->ioapic.s);
	}
	return 0;
}

void ioapic_write(struct irq_vm *vm, unsigned offset, u32 val)
{
	switch (offset) {
	case 0:
		vm->ioapic.s.ioregsel = val & 0xff;
		break;
	case 0x10:
		write_indirect(vm, val);
		break;
	}
}

/* An edge that was delivered is not pending at the other side. */
void ioapic_get_state(struct irq_vm *vm, struct kvm_ioapic_state *s)
{
	*s = vm->ioapic.s;
	s->irr &= ~vm->ioapic.irr_delivered;
}

void ioapic_set_state(struct irq_vm *vm, const struct kvm_ioapic_state *s)
{
	struct ioapic *io = &vm->ioapic;
	u32 irr = s->irr;

	__atomic_store_n(&io->s.base_address, s->base_address, __ATOMIC_RELAXED);
	io->s.ioregsel = s->ioregsel & 0xff;
	io->s.id = s->id & 15;
	memcpy(io->s.redirtbl, s->redirtbl, sizeof(io->s.redirtbl));
	io->s.irr = 0;
	io->irr_delivered = 0;
	ioapic_update_eoi_vectors(vm);
	for (unsigned pin = 0; pin < IRQ_IOAPIC_PINS; pin++) {
		if (!(irr >> pin & 1))
			continue;
		io->s.irr |= 1u << pin;
		service(vm, pin);
	}
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* The pair of 8259A interrupt controllers with edge/level control registers (Intel 8259A data
 * sheet, 82371 PIIX data sheet for ELCR).  All with the VM's mutex held. */
#include <string.h>

#include "irq/internal.h"

#define SLAVE_PIN 2

void pic_init(struct pic *pic)
{
	memset(pic, 0, sizeof(*pic));
	/* IRQ 0, 1, 2, 8 and 13 are always edge-triggered. */
	pic->half[0].elcr_mask = 0xf8;
	pic->half[1].elcr_mask = 0xde;
}

/* The highest-priority bit of `set` as a distance from the highest priority, 8 for none. */
static unsigned priority_of(const struct kvm_pic_state *s, u8 set)
{
	unsigned prio = 0;

	if (!set)
		return 8;
	while (!(set >> ((prio + s->priority_add) & 7) & 1))
		prio++;
	return prio;
}

/* The pin to deliver, or -1: unmasked requests above what is in service. */
static int pending_pin(const struct pic *pic, unsigned half)
{
	const struct kvm_pic_state *s = &pic->half[half];
	unsigned prio = priority_of(s, s->irr & ~s->imr);
	u8 in_service = s->isr;

	if (prio == 8)
		return -1;
	if (s->special_mask)
		in_service &= ~s->imr;
	/* Special fully nested: the slave may interrupt its own interrupt at the master. */
	if (s->special_fully_nested_mode && half == 0)
		in_service &= ~(1 << SLAVE_PIN);
	if (prio >= priority_of(s, in_service))
		return -1;
	return (prio + s->priority_add) & 7;
}

/* An edge sets IRR; a level keeps it as long as it is high.  Returns 1, or 0 if it was set. */
static int set_pin(struct kvm_pic_state *s, unsigned pin, bool level)
{
	u8 mask = 1 << pin;
	int fresh = 1;

	if (s->elcr & mask) {
		if (level) {
			fresh = !(s->irr & mask);
			s->irr |= mask;
			s->last_irr |= mask;
		} else {
			s->irr &= ~mask;
			s->last_irr &= ~mask;
		}
	} else if (level) {
		if (!(s->last_irr & mask)) {
			fresh = !(s->irr & mask);
			s->irr |= mask;
		}
		s->last_irr |= mask;
	} else {
		s->last_irr &= ~mask;
	}
	return s->imr & mask ? -1 : fresh;
}

void pic_update(struct irq_vm *vm)
{
	struct pic *pic = &vm->pic;
	u32 nr = atomic_load(&vm->nr_lapics);
	bool high;

	set_pin(&pic->half[0], SLAVE_PIN, pending_pin(pic, 1) >= 0);
	high = pending_pin(pic, 0) >= 0;
	if (atomic_exchange(&pic->output, high) || !high)
		return;
	for (u32 i = 0; i < nr; i++) {
		struct lapic *l = atomic_load(&vm->lapics[i]);

		if (irq_vcpu_accepts_pic(l))
			l->ops->kick(l->vcpu);
	}
}

int pic_set_line(struct irq_vm *vm, unsigned pin, unsigned source, bool level)
{
	struct pic *pic = &vm->pic;
	int ret;

	if (level)
		pic->sources[pin] |= 1 << source;
	else
		pic->sources[pin] &= ~(1 << source);
	ret = set_pin(&pic->half[pin >> 3], pin & 7, pic->sources[pin]);
	pic_update(vm);
	return ret;
}

static void notify_acked(struct irq_vm *vm, unsigned half, unsigned pin)
{
	routing_notify_acked(vm, half ? KVM_IRQCHIP_PIC_SLAVE : KVM_IRQCHIP_PIC_MASTER, pin);
}

static void end_of_interrupt(struct irq_vm *vm, unsigned half, unsigned pin)
{
	vm->pic.half[half].isr &= ~(1 << pin);
	notify_acked(vm, half, pin);
}

static void acknowledge(struct irq_vm *vm, unsigned half, unsigned pin)
{
	struct kvm_pic_state *s = &vm->pic.half[half];

	s->isr |= 1 << pin;
	if (!(s->elcr & (1 << pin)))
		s->irr &= ~(1 << pin);
	if (!s->auto_eoi)
		return;
	if (s->rotate_on_auto_eoi)
		s->priority_add = (pin + 1) & 7;
	end_of_interrupt(vm, half, pin);
}

/* INTA: the vector.  A request that went away meanwhile reads as a spurious pin 7. */
int pic_ack(struct irq_vm *vm)
{
	struct pic *pic = &vm->pic;
	int pin = pending_pin(pic, 0), slave_pin;
	u8 vector;

	if (pin < 0)
		return -1;
	vector = pic->half[0].irq_base + pin;
	acknowledge(vm, 0, pin);
	if (pin == SLAVE_PIN) {
		slave_pin = pending_pin(pic, 1);
		if (slave_pin >= 0)
			acknowledge(vm, 1, slave_pin);
		vector = pic->half[1].irq_base + (slave_pin >= 0 ? slave_pin : 7);
	}
	pic_update(vm);
	return vector;
}

/* ---- commands */

/* ICW1 begins the initialization.  Edges that were latched are lost: who waits for their end is
 * told. */
static void write_icw1(struct irq_vm *vm, unsigned half, u8 val)
{
	struct kvm_pic_state *s = &vm->pic.half[half];
	u8 lost = s->irr & ~s->elcr;

	s->init4 = val & 1;
	s->last_irr = 0;
	s->irr &= s->elcr;
	s->imr = 0;
	s->isr = 0;
	s->priority_add = 0;
	s->special_mask = 0;
	s->read_reg_select = 0;
	if (!s->init4) {
		s->special_fully_nested_mode = 0;
		s->auto_eoi = 0;
	}
	s->init_state = 1;
	for (unsigned pin = 0; pin < 8; pin++)
		if (lost >> pin & 1)
			notify_acked(vm, half, pin);
}

static void write_ocw3(struct kvm_pic_state *s, u8 val)
{
	if (val & 4)
		s->poll = 1;
	if (val & 2)
		s->read_reg_select = val & 1;
	if (val & 0x40)
		s->special_mask = val >> 5 & 1;
}

static void write_ocw2(struct irq_vm *vm, unsigned half, u8 val)
{
	struct kvm_pic_state *s = &vm->pic.half[half];
	unsigned prio, pin = val & 7;

	switch (val >> 5) {
	case 0: /* rotate in automatic EOI mode: clear, set */
	case 4:
		s->rotate_on_auto_eoi = val >> 7;
		break;
	case 1: /* non-specific EOI, with rotation */
	case 5:
		prio = priority_of(s, s->isr);
		if (prio == 8)
			break;
		pin = (prio + s->priority_add) & 7;
		if (val >> 5 == 5)
			s->priority_add = (pin + 1) & 7;
		end_of_interrupt(vm, half, pin);
		break;
	case 3: /* specific EOI, with rotation */
	case 7:
		if (val >> 5 == 7)
			s->priority_add = (pin + 1) & 7;
		end_of_interrupt(vm, half, pin);
		break;
	case 6: /* set priority */
		s->priority_add = (pin + 1) & 7;
		break;
	}
}

static void write_command(struct irq_vm *vm, unsigned half, u8 val)
{
	if (val & 0x10)
		write_icw1(vm, half, val);
	else if (val & 8)
		write_ocw3(&vm->pic.half[half], val);
	else
		write_ocw2(vm, half, val);
}

static void write_mask(struct irq_vm *vm, unsigned half, u8 val)
{
	struct kvm_pic_state *s = &vm->pic.half[half];
	u8 changed = s->imr ^ val;

	s->imr = val;
	for (unsigned pin = 0; pin < 8; pin++)
		if (changed >> pin & 1)
			routing_notify_masked(vm,
					      half ? KVM_IRQCHIP_PIC_SLAVE : KVM_IRQCHIP_PIC_MASTER,
					      pin, val >> pin & 1);
}

static void write_data(struct irq_vm *vm, unsigned half, u8 val)
{
	struct kvm_pic_state *s = &vm->pic.half[half];

	switch (s->init_state) {
	case 0:
		write_mask(vm, half, val);
		break;
	case 1: /* ICW2 */
		s->irq_base = val & 0xf8;
		s->init_state = 2;
		break;
	case 2: /* ICW3: the cascade is wired as it is */
		s->init_state = s->init4 ? 3 : 0;
		break;
	case 3: /* ICW4 */
		s->special_fully_nested_mode = val >> 4 & 1;
		s->auto_eoi = val >> 1 & 1;
		s->init_state = 0;
		break;
	}
}

void pic_write(struct irq_vm *vm, u16 port, u8 val)
{
	unsigned half = port >> 7 & 1;

	if (port == 0x4d0 || port == 0x4d1)
		vm->pic.half[port & 1].elcr = val & vm->pic.half[port & 1].elcr_mask;
	else if (port & 1)
		write_data(vm, half, val);
	else
		write_command(vm, half, val);
	pic_update(vm);
}

/* A poll is an acknowledge by software: bit 7 and the pin. */
static u8 poll_read(struct irq_vm *vm, unsigned half)
{
	int pin = pending_pin(&vm->pic, half);

	vm->pic.half[half].poll = 0;
	if (pin < 0)
		return 0;
	acknowledge(vm, half, pin);
	if (half)
		acknowledge(vm, 0, SLAVE_PIN);
	pic_update(vm);
	return 0x80 | pin;
}

u8 pic_read(struct irq_vm *vm, u16 port)
{
	unsigned half = port >> 7 & 1;
	struct kvm_pic_state *s = &vm->pic.half[half];

	if (port == 0x4d0 || port == 0x4d1)
		return vm->pic.half[port & 1].elcr;
	if (s->poll)
		return poll_read(vm, half);
	if (port & 1)
		return s->imr;
	return s->read_reg_select ? s->isr : s->irr;
}

void pic_get_state(struct irq_vm *vm, unsigned half, struct kvm_pic_state *s)
{
	*s = vm->pic.half[half];
}

/* The VMM's state is not trusted: what indexes or decides is brought into range. */
void pic_set_state(struct irq_vm *vm, unsigned half, const struct kvm_pic_state *s)
{
	struct kvm_pic_state *to = &vm->pic.half[half];
	u8 elcr_mask = to->elcr_mask;

	*to = *s;
	to->elcr_mask = elcr_mask;
	to->priority_add &= 7;
	to->init_state &= 3;
	pic_update(vm);
}

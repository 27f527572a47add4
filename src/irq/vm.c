/* SPDX-License-Identifier: BSD-2-Clause */
/* The VM's interrupt controllers together: their life, their state ioctls, their ports and
 * registers. */
#include <stdlib.h>
#include <string.h>

#include "irq/internal.h"

struct irq_vm *irq_vm_create(void)
{
	struct irq_vm *vm = calloc(1, sizeof(*vm));

	if (!vm)
		return NULL;
	vm->timers = timer_queue_create();
	if (!vm->timers) {
		free(vm);
		return NULL;
	}
	pthread_mutex_init(&vm->lock, NULL);
	pthread_rwlock_init(&vm->ioevent_lock, NULL);
	memset(vm->routing.gsi_of_pin, 0xff, sizeof(vm->routing.gsi_of_pin));
	vm->bus_cycle_ns = 1;
	vm->epoll = vm->stop_fd = -1;
	return vm;
}

void irq_vm_destroy(struct irq_vm *vm)
{
	if (!vm)
		return;
	irqfd_stop(vm);
	timer_queue_destroy(vm->timers);
	ioevent_free(vm);
	routing_free(vm);
	pthread_rwlock_destroy(&vm->ioevent_lock);
	pthread_mutex_destroy(&vm->lock);
	free(vm);
}

enum irq_mode irq_vm_mode(const struct irq_vm *vm)
{
	return atomic_load_explicit(&vm->mode, memory_order_acquire);
}

int irq_vm_create_irqchip(struct irq_vm *vm, bool has_vcpus)
{
	if (irq_vm_mode(vm) != IRQ_MODE_NONE)
		return -EEXIST;
	if (has_vcpus)
		return -EINVAL;
	pic_init(&vm->pic);
	ioapic_init(&vm->ioapic);
	atomic_store(&vm->mode, IRQ_MODE_KERNEL);
	return routing_set_default(vm);
}

int irq_vm_enable_split(struct irq_vm *vm, unsigned nr_pins, bool has_vcpus)
{
	if (nr_pins > IRQ_MAX_ROUTES)
		return -EINVAL;
	if (irq_vm_mode(vm) != IRQ_MODE_NONE || has_vcpus)
		return -EEXIST;
	vm->split_pins = nr_pins;
	atomic_store(&vm->mode, IRQ_MODE_SPLIT);
	return routing_set_default(vm);
}

int irq_vm_create_pit(struct irq_vm *vm, const struct kvm_pit_config *cfg)
{
	if (irq_vm_mode(vm) != IRQ_MODE_KERNEL)
		return -ENOENT;
	if (vm->pit.present)
		return -EEXIST;
	pthread_mutex_lock(&vm->lock);
	pit_init(vm, cfg);
	ioapic_update_eoi_vectors(vm);
	pthread_mutex_unlock(&vm->lock);
	return 0;
}

int irq_vm_set_x2apic_api(struct irq_vm *vm, u64 flags)
{
	const u64 wide = KVM_X2APIC_API_USE_32BIT_IDS;
	const u64 no_quirk = KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK;

	if (flags & ~(wide | no_quirk))
		return -EINVAL;
	if (flags & wide)
		atomic_store(&vm->x2apic_format, true);
	if (flags & no_quirk)
		atomic_store(&vm->no_broadcast_quirk, true);
	return 0;
}

int irq_vm_set_bus_cycle_ns(struct irq_vm *vm, u64 ns)
{
	/* 32 bits of count and 7 of divider must fit in 64 bits of ns. */
	if (!ns || ns >= BIT(24))
		return -EINVAL;
	if (atomic_load(&vm->nr_lapics))
		return -EBUSY;
	vm->bus_cycle_ns = ns;
	return 0;
}

void irq_vm_set_bsp(struct irq_vm *vm, u32 vcpu_id)
{
	vm->bsp = vcpu_id;
}

bool irq_vm_is_bsp(const struct irq_vm *vm, u32 vcpu_id)
{
	return vm->bsp == vcpu_id;
}

/* ---- state */

int irq_vm_get_irqchip(struct irq_vm *vm, struct kvm_irqchip *chip)
{
	int err = 0;

	if (irq_vm_mode(vm) != IRQ_MODE_KERNEL)
		return -ENXIO;
	pthread_mutex_lock(&vm->lock);
	switch (chip->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE:
		pic_get_state(vm, chip->chip_id, &chip->chip.pic);
		break;
	case KVM_IRQCHIP_IOAPIC:
		ioapic_get_state(vm, &chip->chip.ioapic);
		break;
	default:
		err = -EINVAL;
	}
	pthread_mutex_unlock(&vm->lock);
	return err;
}

int irq_vm_set_irqchip(struct irq_vm *vm, const struct kvm_irqchip *chip)
{
	int err = 0;

	if (irq_vm_mode(vm) != IRQ_MODE_KERNEL)
		return -ENXIO;
	pthread_mutex_lock(&vm->lock);
	switch (chip->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE:
		pic_set_state(vm, chip->chip_id, &chip->chip.pic);
		break;
	case KVM_IRQCHIP_IOAPIC:
		ioapic_set_state(vm, &chip->chip.ioapic);
		break;
	default:
		err = -EINVAL;
	}
	pthread_mutex_unlock(&vm->lock);
	return err;
}

int irq_vm_get_pit(struct irq_vm *vm, struct kvm_pit_state2 *state)
{
	if (!vm->pit.present)
		return -ENXIO;
	pthread_mutex_lock(&vm->lock);
	pit_get_state(&vm->pit, state);
	pthread_mutex_unlock(&vm->lock);
	return 0;
}

int irq_vm_set_pit(struct irq_vm *vm, const struct kvm_pit_state2 *state)
{
	if (!vm->pit.present)
		return -ENXIO;
	pthread_mutex_lock(&vm->lock);
	pit_set_state(&vm->pit, state);
	pthread_mutex_unlock(&vm->lock);
	return 0;
}

int irq_vm_set_reinject(struct irq_vm *vm, const struct kvm_reinject_control *ctl)
{
	if (!vm->pit.present)
		return -ENXIO;
	pthread_mutex_lock(&vm->lock);
	vm->pit.reinject = ctl->pit_reinject;
	pit_reset_reinject(&vm->pit);
	ioapic_update_eoi_vectors(vm);
	pthread_mutex_unlock(&vm->lock);
	return 0;
}

/* ---- ports and registers */

static bool is_pic_port(u16 port)
{
	return port == 0x4d0 || port == 0x4d1 || (port & ~0x81) == 0x20;
}

static bool is_pit_port(const struct irq_vm *vm, u16 port)
{
	return vm->pit.present && ((port & ~3) == 0x40 || (port == 0x61 && vm->pit.speaker));
}

bool irq_pio_read(struct irq_vm *vm, u16 port, unsigned len, u32 *val)
{
	bool pic = is_pic_port(port);

	if (irq_vm_mode(vm) != IRQ_MODE_KERNEL || !(pic || is_pit_port(vm, port)))
		return false;
	pthread_mutex_lock(&vm->lock);
	if (pic)
		*val = len == 1 ? pic_read(vm, port) : 0;
	else
		*val = pit_read(&vm->pit, port);
	pthread_mutex_unlock(&vm->lock);
	return true;
}

bool irq_pio_write(struct irq_vm *vm, u16 port, unsigned len, u32 val)
{
	bool pic = is_pic_port(port);

	if (irq_vm_mode(vm) != IRQ_MODE_KERNEL || !(pic || is_pit_port(vm, port)))
		return false;
	pthread_mutex_lock(&vm->lock);
	if (!pic)
		pit_write(&vm->pit, port, val);
	else if (len == 1)
		pic_write(vm, port, val);
	pthread_mutex_unlock(&vm->lock);
	return true;
}

static bool is_ioapic(const struct irq_vm *vm, u64 gpa)
{
	u64 base = __atomic_load_n(&vm->ioapic.s.base_address, __ATOMIC_RELAXED);

	return irq_vm_mode(vm) == IRQ_MODE_KERNEL && gpa - base < IOAPIC_LENGTH;
}

bool irq_mmio_read(struct irq_vm *vm, u64 gpa, unsigned len, u64 *val)
{
	if (!is_ioapic(vm, gpa))
		return false;
	pthread_mutex_lock(&vm->lock);
	*val = ioapic_read(vm, gpa & 0xff);
	pthread_mutex_unlock(&vm->lock);
	if (len < 4)
		*val &= MASK(8 * len - 1, 0);
	return true;
}

bool irq_mmio_write(struct irq_vm *vm, u64 gpa, unsigned len, u64 val)
{
	if (!is_ioapic(vm, gpa))
		return false;
	if (len < 4)
		val &= MASK(8 * len - 1, 0);
	pthread_mutex_lock(&vm->lock);
	ioapic_write(vm, gpa & 0xff, val);
	pthread_mutex_unlock(&vm->lock);
	return true;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* What the CPU asks of its VM: MSRs of devices, CR8, and accesses that the library's devices
 * answer. */
#include <string.h>

#include "cpu/features.h"
#include "irq/irq.h"
#include "vcpu/pv.h"
#include "vcpu/run.h"

#define X2APIC_MSRS 0x100

static bool is_x2apic(u32 index)
{
	return index - MSR_X2APIC_BASE < X2APIC_MSRS;
}

/* -- MSRs ---------------------------------------------------------------------------------------
 */

#define FEATURE_CONTROL_LOCK  BIT(0)
#define FEATURE_CONTROL_VMXON BIT(2)

/* Once locked, it stays until reset (SDM Vol. 3C 23.7). */
static bool feature_control_write(struct cpu *cpu, u64 value, bool host)
{
	u64 allowed =
		FEATURE_CONTROL_LOCK | (cpu_has(cpu, FEATURE_VMX) ? FEATURE_CONTROL_VMXON : 0);

	if (!host && cpu->msr.feature_control & FEATURE_CONTROL_LOCK)
		return false;
	if (value & ~allowed)
		return false;
	cpu->msr.feature_control = value;
	return true;
}

static bool msr_read(struct cpu *cpu, u32 index, u64 *value, bool host)
{
	struct vcpu *v = vcpu_of(cpu);

	if (index == MSR_APIC_BASE) {
		*value = v->lapic ? lapic_get_base(v->lapic) : v->apic_base;
		return true;
	}
	if (index == MSR_TSC_DEADLINE) {
		*value = v->lapic ? lapic_get_tsc_deadline(v->lapic) : 0;
		return true;
	}
	if (is_x2apic(index))
		return v->lapic && lapic_msr_read(v->lapic, index, value);
	if (index == MSR_FEATURE_CONTROL && (host || cpu_has(cpu, FEATURE_VMX))) {
		*value = cpu->msr.feature_control;
		return true;
	}
	if (virt_msr_read(cpu, index, value, host))
		return true;
	return pv_msr_read(v, index, value);
}

static bool apic_base_write(struct vcpu *v, u64 value, bool host)
{
	u64 reserved = v->cpu.phys_bits < 64 ? ~0ull << v->cpu.phys_bits : 0;

	if (v->lapic)
		return lapic_set_base(v->lapic, value, reserved, host);
	v->apic_base = value;
	return true;
}

static bool msr_write(struct cpu *cpu, u32 index, u64 value, bool host)
{
	struct vcpu *v = vcpu_of(cpu);

	if (index == MSR_APIC_BASE)
		return apic_base_write(v, value, host);
	if (index == MSR_TSC_DEADLINE) {
		if (v->lapic)
			lapic_set_tsc_deadline(v->lapic, value);
		return true;
	}
	if (is_x2apic(index))
		return v->lapic && lapic_msr_write(v->lapic, index, value);
	if (index == MSR_FEATURE_CONTROL && (host || cpu_has(cpu, FEATURE_VMX)))
		return feature_control_write(cpu, value, host);
	if (virt_msr_write(cpu, index, value, host))
		return true;
	return pv_msr_write(v, index, value);
}

/* -- CR8 ----------------------------------------------------------------------------------------
 */

static u8 tpr_read(struct cpu *cpu)
{
	struct vcpu *v = vcpu_of(cpu);

	return v->lapic ? lapic_get_cr8(v->lapic) : v->cr8;
}

/* Without irqchip, user space is told when a lower TPR may let an interrupt through. */
static void tpr_write(struct cpu *cpu, u8 tpr)
{
	struct vcpu *v = vcpu_of(cpu);

	if (v->lapic) {
		lapic_set_cr8(v->lapic, tpr);
		return;
	}
	if (tpr < v->cr8) {
		v->tpr_exit = true;
		cpu_event_set(cpu, EVENT_REQUEST);
	}
	v->cr8 = tpr;
}

/* -- devices ------------------------------------------------------------------------------------
 */

static bool in_zone(const struct kvm_coalesced_mmio_zone *z, bool pio, u64 addr, unsigned size)
{
	return !!z->pio == pio && addr >= z->addr && addr - z->addr + size <= z->size;
}

/*
 * Coalesced writes go to the first vCPU's ring, whichever vCPU makes them: the kernel has one ring
 * for all. A full ring (one entry stays free) sends the write to user space the usual way.
 */
static bool coalesce(struct vm *vm, bool pio, u64 addr, unsigned size, u64 value)
{
	struct kvm_coalesced_mmio_ring *ring;
	bool found = false;
	u32 last, next;

	if (likely(!atomic_load_explicit(&vm->nzones, memory_order_relaxed)))
		return false;
	pthread_mutex_lock(&vm->ring_lock);
	for (unsigned i = 0; i < vm->nzones && !found; i++)
		found = in_zone(&vm->zones[i], pio, addr, size);
	ring = (void *)((u8 *)vm->vcpus[0]->run + VCPU_PAGE_RING * PAGE_SIZE);
	last = *(volatile u32 *)&ring->last;
	next = (last + 1) % KVM_COALESCED_MMIO_MAX;
	if (!found || last >= KVM_COALESCED_MMIO_MAX || next == *(volatile u32 *)&ring->first) {
		pthread_mutex_unlock(&vm->ring_lock);
		return false;
	}
	ring->coalesced_mmio[last].phys_addr = addr;
	ring->coalesced_mmio[last].len = size;
	memcpy(ring->coalesced_mmio[last].data, &value, MIN(size, 8u));
	ring->coalesced_mmio[last].pio = pio;
	atomic_thread_fence(memory_order_release);
	*(volatile u32 *)&ring->last = next;
	pthread_mutex_unlock(&vm->ring_lock);
	return true;
}

static bool at_lapic(struct vcpu *v, u64 gpa)
{
	return v->lapic && (gpa & PAGE_MASK) == lapic_mmio_page(v->lapic);
}

static bool mmio_read(struct cpu *cpu, u64 gpa, unsigned size, u64 *value)
{
	struct vcpu *v = vcpu_of(cpu);

	if (at_lapic(v, gpa)) {
		*value = lapic_mmio_read(v->lapic, gpa & ~PAGE_MASK, size);
		return true;
	}
	return irq_mmio_read(v->vm->irq, gpa, size, value);
}

static bool mmio_write(struct cpu *cpu, u64 gpa, unsigned size, u64 value)
{
	struct vcpu *v = vcpu_of(cpu);

	if (at_lapic(v, gpa)) {
		lapic_mmio_write(v->lapic, gpa & ~PAGE_MASK, size, value);
		return true;
	}
	return irq_ioevent_signal(v->vm->irq, false, gpa, size, value) ||
	       irq_mmio_write(v->vm->irq, gpa, size, value) ||
	       coalesce(v->vm, false, gpa, size, value);
}

static bool pio_read(struct cpu *cpu, u16 port, unsigned size, u32 *value)
{
	return irq_pio_read(vcpu_of(cpu)->vm->irq, port, size, value);
}

static bool pio_write(struct cpu *cpu, u16 port, unsigned size, u32 value)
{
	struct vm *vm = vcpu_of(cpu)->vm;

	return irq_ioevent_signal(vm->irq, true, port, size, value) ||
	       irq_pio_write(vm->irq, port, size, value) || coalesce(vm, true, port, size, value);
}

static void tsc_changed(struct cpu *cpu)
{
	struct vcpu *v = vcpu_of(cpu);

	vcpu_tsc_offset_set(v, cpu->tsc_offset);
}

const struct cpu_ops vcpu_cpu_ops = {
	.msr_read = msr_read,
	.msr_write = msr_write,
	.tpr_read = tpr_read,
	.tpr_write = tpr_write,
	.mmio_read = mmio_read,
	.mmio_write = mmio_write,
	.pio_read = pio_read,
	.pio_write = pio_write,
	.tsc_changed = tsc_changed,
	.hypercall = pv_hypercall,
};

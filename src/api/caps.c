/* SPDX-License-Identifier: BSD-2-Clause */
/* KVM_CHECK_EXTENSION and KVM_ENABLE_CAP. What is not in the table is not there. */
#include <unistd.h>

#include "api/api.h"
#include "api/compat.h"
#include "cpu/cpuid.h"
#include "irq/irq.h"

#define NESTED_STATE_SIZE (128 + 2 * 4096) /* header, and the two pages of struct vmcs12's data */
#define MEM_SLOTS	  32764

static const struct {
	long cap;
	int value;
} table[] = {
	{KVM_CAP_USER_MEMORY, 1},
	{KVM_CAP_USER_MEMORY2, 1},
	{KVM_CAP_DESTROY_MEMORY_REGION_WORKS, 1},
	{KVM_CAP_JOIN_MEMORY_REGIONS_WORKS, 1},
	{KVM_CAP_NR_MEMSLOTS, MEM_SLOTS},
	{KVM_CAP_READONLY_MEM, 1},
	{KVM_CAP_SYNC_MMU, 1},
	{KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
	 KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET},
	{KVM_CAP_COALESCED_MMIO, KVM_COALESCED_MMIO_PAGE_OFFSET},
	{KVM_CAP_COALESCED_PIO, 1},
	{KVM_CAP_CHECK_EXTENSION_VM, 1},
	{KVM_CAP_ENABLE_CAP_VM, 1},
	{KVM_CAP_ENABLE_CAP, 1},
	{KVM_CAP_MAX_VCPUS, VM_MAX_VCPUS},
	{KVM_CAP_MAX_VCPU_ID, VM_MAX_VCPU_ID},
	{KVM_CAP_HLT, 1},
	{KVM_CAP_NOP_IO_DELAY, 1},
	{KVM_CAP_PCI_SEGMENT, 1},
	{KVM_CAP_SET_TSS_ADDR, 1},
	{KVM_CAP_SET_IDENTITY_MAP_ADDR, 1},
	{KVM_CAP_SET_BOOT_CPU_ID, 1},
	{KVM_CAP_IMMEDIATE_EXIT, 1},
	{KVM_CAP_INTERNAL_ERROR_DATA, 1},
	/* interrupts */
	{KVM_CAP_IRQCHIP, 1},
	{KVM_CAP_SPLIT_IRQCHIP, 1},
	{KVM_CAP_IRQ_INJECT_STATUS, 1},
	{KVM_CAP_IRQ_ROUTING, IRQ_MAX_ROUTES},
	{KVM_CAP_SIGNAL_MSI, 1},
	{KVM_CAP_IRQFD, 1},
	{KVM_CAP_IRQFD_RESAMPLE, 1},
	{KVM_CAP_IOEVENTFD, 1},
	{KVM_CAP_IOEVENTFD_NO_LENGTH, 1},
	{KVM_CAP_IOEVENTFD_ANY_LENGTH, 1},
	{KVM_CAP_PIT, 1},
	{KVM_CAP_PIT2, 1},
	{KVM_CAP_PIT_STATE2, 1},
	{KVM_CAP_REINJECT_CONTROL, 1},
	{KVM_CAP_IOAPIC_POLARITY_IGNORED, 1},
	{KVM_CAP_X2APIC_API, KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK},
	{KVM_CAP_X86_APIC_BUS_CYCLES_NS, 1},
	{KVM_CAP_USER_NMI, 1},
	/* CPU state */
	{KVM_CAP_EXT_CPUID, 1},
	{KVM_CAP_EXT_EMUL_CPUID, 1},
	{KVM_CAP_MP_STATE, 1},
	{KVM_CAP_VCPU_EVENTS, 1},
	{KVM_CAP_X86_ROBUST_SINGLESTEP, 1},
	{KVM_CAP_DEBUGREGS, 1},
	{KVM_CAP_XSAVE, 1},
	{KVM_CAP_XSAVE2, sizeof(struct kvm_xsave)},
	{KVM_CAP_XCRS, 1},
	{KVM_CAP_SREGS2, 1},
	{KVM_CAP_SYNC_REGS, KVM_SYNC_X86_VALID_FIELDS},
	{KVM_CAP_SET_GUEST_DEBUG, 1},
	{KVM_CAP_SET_GUEST_DEBUG2, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP |
					   KVM_GUESTDBG_USE_SW_BP | KVM_GUESTDBG_USE_HW_BP |
					   KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP |
					   KVM_GUESTDBG_BLOCKIRQ},
	{KVM_CAP_GET_MSR_FEATURES, 1},
	{KVM_CAP_MCE, MCE_BANKS},
	{KVM_CAP_EXCEPTION_PAYLOAD, 1},
	{KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1},
	{KVM_CAP_DISABLE_QUIRKS, 1},
	/* time */
	{KVM_CAP_CLOCKSOURCE, 1},
	{KVM_CAP_ADJUST_CLOCK, KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC},
	{KVM_CAP_KVMCLOCK_CTRL, 1},
	{KVM_CAP_TSC_CONTROL, 1},
	{KVM_CAP_GET_TSC_KHZ, 1},
	{KVM_CAP_TSC_DEADLINE_TIMER, 1},
	{KVM_CAP_VCPU_ATTRIBUTES, 1},
#ifdef KVM_CAP_VM_TSC_CONTROL
	{KVM_CAP_VM_TSC_CONTROL, 1},
#endif
};

int caps_check(const struct virt_params *params, long cap)
{
	if (cap == KVM_CAP_NR_VCPUS)
		return (int)MIN(sysconf(_SC_NPROCESSORS_ONLN), VM_MAX_VCPUS);
	if (cap == KVM_CAP_NESTED_STATE)
		return params->nested ? NESTED_STATE_SIZE : 0;
	for (unsigned i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i].cap == cap)
			return table[i].value;
	return 0;
}

/* -- enabling -----------------------------------------------------------------------------------
 */

static int enable_manual_dirty(struct vm *vm, u64 mode)
{
	u64 allowed = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;

	if (mode & allowed)
		allowed |= KVM_DIRTY_LOG_INITIALLY_SET;
	if (mode & ~allowed)
		return -EINVAL;
	vm->manual_dirty = mode;
	return 0;
}

/* Once, not below the boot processor's id. */
static int enable_max_vcpu_id(struct vm *vm, u64 max)
{
	if (max > VM_MAX_VCPU_ID || vm->nvcpus || vm->bsp_id > max)
		return -EINVAL;
	if (vm->max_vcpu_id && vm->max_vcpu_id != max)
		return -EINVAL;
	vm->max_vcpu_id = (u32)max;
	return 0;
}

int caps_enable_vm(struct object *o, void *arg)
{
	const struct kvm_enable_cap *cap = arg;
	struct vm *vm = o->vm;

	if (cap->flags)
		return -EINVAL;
	switch (cap->cap) {
	case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
		return enable_manual_dirty(vm, cap->args[0]);
	case KVM_CAP_SPLIT_IRQCHIP:
		if (cap->args[0] > IRQ_MAX_ROUTES)
			return -EINVAL;
		return irq_vm_enable_split(vm->irq, (unsigned)cap->args[0], vm->nvcpus);
	case KVM_CAP_X2APIC_API:
		return irq_vm_set_x2apic_api(vm->irq, cap->args[0]);
	case KVM_CAP_X86_APIC_BUS_CYCLES_NS:
		if (irq_vm_mode(vm->irq) == IRQ_MODE_NONE)
			return cap->args[0] ? -ENXIO : -EINVAL;
		if (vm->nvcpus)
			return -EINVAL;
		return irq_vm_set_bus_cycle_ns(vm->irq, cap->args[0]);
	case KVM_CAP_MAX_VCPU_ID:
		return enable_max_vcpu_id(vm, cap->args[0]);
	case KVM_CAP_X86_TRIPLE_FAULT_EVENT:
		vm->triple_fault_event = cap->args[0];
		return 0;
	case KVM_CAP_EXCEPTION_PAYLOAD:
		vm->exception_payload = cap->args[0];
		return 0;
	case KVM_CAP_DISABLE_QUIRKS:
		return 0; /* there are none */
	}
	return -EINVAL;
}

/* Those that KVM has on x86 concern Hyper-V and PV features. */
int caps_enable_vcpu(struct object *o, void *arg)
{
	return -EINVAL;
}

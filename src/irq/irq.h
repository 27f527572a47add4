/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The interrupt controllers that KVM has in the kernel, in software: PIC pair, IOAPIC, PIT, GSI
 * routing, MSI, irqfd, ioeventfd - one set per VM, struct irq_vm - and a local APIC per vCPU,
 * struct lapic.  This header is the room's only door.
 *
 * Threads.  Each function below is marked
 *   [any]  any thread may call it, at any time between create and destroy;
 *   [vcpu] only the thread that has the vCPU (runs it, or holds its mutex for an ioctl);
 *   [vm]   the VM's ioctls: any thread, but nobody else calls create/destroy meanwhile.
 *
 * Locks.  One mutex per VM guards PIC, IOAPIC, PIT, routing and irqfds.  A LAPIC's registers belong
 * to its vCPU's thread; what other threads need (IRR, TMR, ids, mode, LVTs) is atomic.
 * The callbacks of struct irq_vcpu_ops are called from any thread AND MAYBE WITH THE VM'S MUTEX
 * HELD: they set atomic bits and wake the vCPU (a leaf mutex of their own is fine), and never call
 * back into this room, nor wait for a thread that might be in it.
 *
 * Errors.  Negative errno with KVM's meaning where an int is returned, unless said otherwise.
 */
#ifndef IRQ_IRQ_H
#define IRQ_IRQ_H

#include <linux/kvm.h>

#include "base/types.h"

struct irq_vm;
struct lapic;

/* Limits, as Linux x86 has them. */
#define IRQ_MAX_VCPUS	1024 /* KVM_CAP_MAX_VCPUS */
#define IRQ_MAX_VCPU_ID 4096 /* KVM_CAP_MAX_VCPU_ID; ids are below it */
#define IRQ_MAX_ROUTES	4096 /* KVM_CAP_IRQ_ROUTING; GSIs are below it too */

/* What a vCPU does for its LAPIC; `vcpu` is the pointer given to lapic_create().  See "Locks" above
 * for what these may do.  smi may be NULL: SMIs are dropped then. */
struct irq_vcpu_ops {
	/* Something may be deliverable now: make the vCPU look (lapic_pending_vector() and
	 * irq_vcpu_has_extint()) before its next instruction, and wake it if it is halted.  Also
	 * called by the vCPU's own thread, when an EOI or a lower TPR uncovers a vector. */
	void (*kick)(void *vcpu);
	/* Latch an NMI; an INIT (the vCPU's thread then calls lapic_reset(lapic, true)); a start-up
	 * IPI, where the vCPU ignores one that it does not wait for.  Each must kick as well. */
	void (*nmi)(void *vcpu);
	void (*init)(void *vcpu);
	void (*sipi)(void *vcpu, u8 vector);
	/* [vcpu] The guest's TSC now. */
	u64 (*guest_tsc)(void *vcpu);
	/* [vcpu] When the guest's TSC reaches `guest_tsc`: ns of CLOCK_MONOTONIC; UINT64_MAX for
	 * never. */
	u64 (*tsc_deadline_to_ns)(void *vcpu, u64 guest_tsc);
	void (*smi)(void *vcpu);
	/* [vcpu] Split irqchip: an EOI for a vector of the VMM's IOAPIC.  The vCPU leaves with
	 * KVM_EXIT_IOAPIC_EOI after the current instruction. */
	void (*ioapic_eoi)(void *vcpu, u8 vector);
};

enum irq_mode {
	IRQ_MODE_NONE,	 /* no interrupt controller here, no LAPICs: KVM_INTERRUPT only */
	IRQ_MODE_SPLIT,	 /* LAPICs only: KVM_CAP_SPLIT_IRQCHIP */
	IRQ_MODE_KERNEL, /* everything: KVM_CREATE_IRQCHIP */
};

/* ------------------------------------------------------------------ the VM */

/* A VM's interrupt state in IRQ_MODE_NONE.  NULL without memory. */
struct irq_vm *irq_vm_create(void);

/* Frees it, its threads, irqfds and ioeventfds.  After every lapic_destroy().  Takes NULL. */
void irq_vm_destroy(struct irq_vm *vm);

/* [any] The mode; it changes only before the first vCPU exists. */
enum irq_mode irq_vm_mode(const struct irq_vm *vm);

/* [vm] KVM_CREATE_IRQCHIP: PIC, IOAPIC and the default routing (GSI n to PIC pin n for n < 16 and
 * to IOAPIC pin n for n < 24).  -EEXIST if there is an irqchip, -EINVAL if there are vCPUs. */
int irq_vm_create_irqchip(struct irq_vm *vm, bool has_vcpus);

/* [vm] KVM_CAP_SPLIT_IRQCHIP with `nr_pins` GSIs reserved for the VMM's IOAPIC(s).  -EINVAL beyond
 * IRQ_MAX_ROUTES, -EEXIST if there is an irqchip or a vCPU. */
int irq_vm_enable_split(struct irq_vm *vm, unsigned nr_pins, bool has_vcpus);

/* [vm] KVM_CREATE_PIT2 (`cfg->flags`: KVM_PIT_SPEAKER_DUMMY).  -ENOENT without PIC and IOAPIC,
 * -EEXIST a second time. */
int irq_vm_create_pit(struct irq_vm *vm, const struct kvm_pit_config *cfg);

/* [vm] KVM_CAP_X2APIC_API: KVM_X2APIC_API_USE_32BIT_IDS and ..._DISABLE_BROADCAST_QUIRK.  -EINVAL
 * for other bits. */
int irq_vm_set_x2apic_api(struct irq_vm *vm, u64 flags);

/* [vm] KVM_CAP_X86_APIC_BUS_CYCLES_NS: one cycle of the LAPIC timer, in ns (1 at first).  -EINVAL
 * for 0, -EBUSY when there are LAPICs. */
int irq_vm_set_bus_cycle_ns(struct irq_vm *vm, u64 ns);

/* [vm] KVM_BOOT_CPU id: which vCPU gets the BSP flag of IA32_APIC_BASE at power-up (0 at first). */
void irq_vm_set_bsp(struct irq_vm *vm, u32 vcpu_id);

/* [any] Is this id the BSP's? */
bool irq_vm_is_bsp(const struct irq_vm *vm, u32 vcpu_id);

/* [vm] KVM_GET_IRQCHIP, KVM_SET_IRQCHIP; `chip->chip_id` chooses.  -ENXIO without irqchip, -EINVAL
 * for an unknown one. */
int irq_vm_get_irqchip(struct irq_vm *vm, struct kvm_irqchip *chip);
int irq_vm_set_irqchip(struct irq_vm *vm, const struct kvm_irqchip *chip);

/* [vm] KVM_GET_PIT2, KVM_SET_PIT2 (GET_PIT and SET_PIT are these without flags), and
 * KVM_REINJECT_CONTROL.  -ENXIO without PIT. */
int irq_vm_get_pit(struct irq_vm *vm, struct kvm_pit_state2 *state);
int irq_vm_set_pit(struct irq_vm *vm, const struct kvm_pit_state2 *state);
int irq_vm_set_reinject(struct irq_vm *vm, const struct kvm_reinject_control *ctl);

/* ----------------------------------------------- lines, messages, routing */

/* [vm] KVM_SET_GSI_ROUTING: `nr` entries replace the table.  -EINVAL as KVM has it: without an
 * irqchip, beyond the limits, for unknown kinds, pins or flags, for two entries of a GSI on one
 * chip. */
int irq_vm_set_routing(struct irq_vm *vm, const struct kvm_irq_routing_entry *entries, unsigned nr);

/* [any] KVM_IRQ_LINE: the level that the VMM drives on `gsi`.  Sources of one pin are ORed. Returns
 * KVM_IRQ_LINE_STATUS's answer: how many vCPUs got it, 0 if it merged with a pending one, -1 if it
 * was masked or lost; or -ENXIO without an irqchip. */
int irq_vm_set_line(struct irq_vm *vm, u32 gsi, bool level);

/* [any] KVM_SIGNAL_MSI.  Positive if delivered, 0 if no vCPU took it; -EINVAL as KVM has it. */
int irq_vm_signal_msi(struct irq_vm *vm, const struct kvm_msi *msi);

/* [vm] KVM_IRQFD: assign, deassign, resample.  The descriptors are duplicated, the VMM may close
 * its own.  -EBADF, -EINVAL, -EBUSY (assigned already), -ENOENT as KVM has it. */
int irq_vm_irqfd(struct irq_vm *vm, const struct kvm_irqfd *args);

/* [vm] KVM_IOEVENTFD: assign and deassign.  -EINVAL, -EEXIST, -ENOENT, -EBADF as KVM has it. */
int irq_vm_ioeventfd(struct irq_vm *vm, const struct kvm_ioeventfd *args);

/* [any] A guest's write of `len` bytes, `val`, to `addr` in the port (pio) or physical address
 * space: is there an ioeventfd for it?  Then it is signalled and the write is done.  Cheap without
 * any. */
bool irq_ioevent_signal(struct irq_vm *vm, bool pio, u64 addr, unsigned len, u64 val);

/* [any] A guest's access to ports: PIC 20-21 and a0-a1, ELCR 4d0-4d1, PIT 40-43, 61.  False: not
 * ours (there is no such chip in this VM).  len 1, 2 or 4; as in KVM only len 1 does anything with
 * the PIC. */
bool irq_pio_read(struct irq_vm *vm, u16 port, unsigned len, u32 *val);
bool irq_pio_write(struct irq_vm *vm, u16 port, unsigned len, u32 val);

/* [any] A guest's access to the IOAPIC's registers (fec00000, 100h bytes).  False: not ours. */
bool irq_mmio_read(struct irq_vm *vm, u64 gpa, unsigned len, u64 *val);
bool irq_mmio_write(struct irq_vm *vm, u64 gpa, unsigned len, u64 val);

/* --------------------------------------------- a vCPU's view of interrupts */

/* [any] Does the PIC (or, in split mode, a KVM_INTERRUPT of the VMM) hold an interrupt that this
 * vCPU takes through LINT0 or with its LAPIC disabled?  Lock-free. */
bool irq_vcpu_has_extint(struct lapic *lapic);

/* [vcpu] Acknowledges that interrupt: its vector, or -1 if it went away. */
int irq_vcpu_ack_extint(struct lapic *lapic);

/* [vcpu] KVM_INTERRUPT in split mode: -EEXIST when one is pending, -ENXIO with the PIC in here,
 * -EINVAL beyond 255. */
int irq_vcpu_set_extint(struct lapic *lapic, u32 vector);

/* [any] Would the vCPU take an external interrupt of the PIC (LINT0 unmasked in ExtINT mode, or
 * LAPIC disabled)?  Part of kvm_run.ready_for_interrupt_injection in split mode. */
bool irq_vcpu_accepts_pic(const struct lapic *lapic);

/* [vcpu] Is anything deliverable, apart from RFLAGS.IF and shadows: extint or a LAPIC vector? */
bool irq_vcpu_has_interrupt(struct lapic *lapic);

/* [vcpu] Takes the interrupt to deliver now, the PIC's first, acknowledged; -1 if none. */
int irq_vcpu_ack_interrupt(struct lapic *lapic);

/* ---------------------------------------------------------------- the LAPIC */

/* [vm] The LAPIC of a new vCPU, in power-up state (IA32_APIC_BASE: fee00000, enabled, BSP flag by
 * irq_vm_is_bsp()).  `ops` must outlive it.  Only in the modes SPLIT and KERNEL (else the vCPU has
 * none).  NULL without memory, for an id in use or out of range, or without irqchip. */
struct lapic *lapic_create(struct irq_vm *vm, u32 vcpu_id, void *vcpu,
			   const struct irq_vcpu_ops *ops);

/* [vm] When no thread can deliver to it any more: at the end of the VM.  Takes NULL. */
void lapic_destroy(struct lapic *lapic);

/* [vcpu] Power-up reset, or with `init` the INIT reset, which keeps IA32_APIC_BASE and the id (SDM
 * Vol. 3A 11.4.7). */
void lapic_reset(struct lapic *lapic, bool init);

/* [vcpu] What CPUID gives the guest: bit 21 and 24 of leaf 1 ECX.  Both on at first. */
void lapic_set_features(struct lapic *lapic, bool x2apic, bool tsc_deadline);

/* [vcpu] The highest vector that is in IRR and above the processor priority, or -1.  Constant time.
 */
int lapic_pending_vector(struct lapic *lapic);

/* [vcpu] Delivers `vector` (from lapic_pending_vector()): from IRR to ISR, PPR rises. */
void lapic_ack(struct lapic *lapic, u8 vector);

/* [vcpu] The highest vector in IRR (regardless of priority) or in ISR, -1 if none.  For virt/. */
int lapic_highest_irr(const struct lapic *lapic);
int lapic_highest_isr(const struct lapic *lapic);

/* [vcpu] An EOI for the highest vector in service; returns that vector or -1. */
int lapic_eoi(struct lapic *lapic);

/* [vcpu] PV EOI (MSR_KVM_PV_EOI_EN): may the guest skip the EOI of the vector in service, because
 * nothing waits for it?  Then set the guest's bit, and when the bit is found cleared, lapic_eoi().
 */
bool lapic_may_skip_eoi(struct lapic *lapic);

/* [vcpu] CR8: bits 7-4 of TPR.  Reads are the task priority class (0-15). */
u8 lapic_get_cr8(const struct lapic *lapic);
void lapic_set_cr8(struct lapic *lapic, u8 cr8);

/* [any] Fixed interrupt for this LAPIC, dropped if it is software-disabled: sets IRR (lock-free),
 * kicks. `level` sets TMR.  Returns 1, or 0 if it was in IRR already or the LAPIC is off. */
int lapic_post(struct lapic *lapic, u8 vector, bool level);

/* What a LAPIC register write of ICR, an IOAPIC entry or an MSI says. */
struct irq_msg {
	u32 dest; /* 8 bit in xAPIC format, 32 bit in x2APIC format */
	u8 vector;
	u8 delivery;	 /* 0 fixed, 1 lowest, 2 SMI, 4 NMI, 5 INIT, 6 SIPI, 7 ExtINT */
	u8 shorthand;	 /* 0 none, 1 self, 2 all, 3 all but self */
	bool logical;	 /* destination mode */
	bool level;	 /* trigger mode */
	bool assert;	 /* only INIT looks at it */
	bool redir_hint; /* of an MSI: to one of the destinations */
};

/* [any] Sends it; `source` is the sender's LAPIC for IPIs, NULL for IOAPIC and MSI.  Returns how
 * many vCPUs took it, 0 if it merged with pending ones, -1 if there was no destination. */
int irq_vm_deliver(struct irq_vm *vm, struct lapic *source, const struct irq_msg *msg);

/* [any] Signals a local interrupt pin or source through its LVT entry: `lvt` is the register's
 * offset (LAPIC_LVT...).  Masked entries drop it.  For KVM_NMI-like LINT1 users and PMIs. */
#define LAPIC_LVT_TIMER	  0x320
#define LAPIC_LVT_THERMAL 0x330
#define LAPIC_LVT_PERF	  0x340
#define LAPIC_LVT_LINT0	  0x350
#define LAPIC_LVT_LINT1	  0x360
#define LAPIC_LVT_ERROR	  0x370
void lapic_local_deliver(struct lapic *lapic, unsigned lvt);

/* [vcpu] IA32_APIC_BASE (1bh).  A write by the guest that sets a bit of `reserved` (those above
 * MAXPHYADDR; the fixed ones and, without x2APIC in CPUID, bit 10 are added here) or makes a wrong
 * transition (SDM Vol. 3A 11.12.5) returns false, for #GP.  `host`: any valid mode from any. */
u64 lapic_get_base(const struct lapic *lapic);
bool lapic_set_base(struct lapic *lapic, u64 value, u64 reserved, bool host);
#define LAPIC_BASE_BSP	  BIT(8)
#define LAPIC_BASE_X2APIC BIT(10)
#define LAPIC_BASE_ENABLE BIT(11)

/* [any] Is it enabled in IA32_APIC_BASE (then CPUID.1:EDX.APIC is 1)?  In x2APIC mode? */
bool lapic_is_enabled(const struct lapic *lapic);
bool lapic_is_x2apic(const struct lapic *lapic);

/* [any] The page of its registers while it is in xAPIC mode, else ~0.  The mmu must not put that
 * page into a TLB. */
u64 lapic_mmio_page(const struct lapic *lapic);

/* [vcpu] An access to that page, `offset` 0-fff, len 1, 2, 4 or 8.  Odd accesses read what KVM
 * gives and write nothing. */
u64 lapic_mmio_read(struct lapic *lapic, unsigned offset, unsigned len);
void lapic_mmio_write(struct lapic *lapic, unsigned offset, unsigned len, u64 val);

/* [vcpu] The x2APIC MSRs 800-8ff.  False: #GP (not in x2APIC mode, no such register, read-only,
 * write-only, reserved bits). */
bool lapic_msr_read(struct lapic *lapic, u32 msr, u64 *val);
bool lapic_msr_write(struct lapic *lapic, u32 msr, u64 val);

/* [vcpu] IA32_TSC_DEADLINE (6e0h).  Reads 0 and ignores writes unless the timer is in that mode. */
u64 lapic_get_tsc_deadline(struct lapic *lapic);
void lapic_set_tsc_deadline(struct lapic *lapic, u64 tsc);

/* [vcpu] The guest's TSC was set, offset or scaled anew: moves an armed deadline. */
void lapic_tsc_changed(struct lapic *lapic);

/* [vcpu] KVM_GET_LAPIC, KVM_SET_LAPIC.  The mode comes from IA32_APIC_BASE, set before.  -EINVAL
 * for an x2APIC id that is not the vCPU's. */
void lapic_get_state(struct lapic *lapic, struct kvm_lapic_state *state);
int lapic_set_state(struct lapic *lapic, const struct kvm_lapic_state *state);

/* [any] The vCPU's id, which is its x2APIC id. */
u32 lapic_get_id(const struct lapic *lapic);

#endif

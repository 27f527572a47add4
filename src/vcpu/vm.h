/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtual machine: memory, interrupt controllers, vCPUs, clock; and the run lock, which a vCPU's
 * thread holds for reading while it is in guest code. Every function may be called from any thread.
 */
#ifndef VCPU_VM_H
#define VCPU_VM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/timer.h"
#include "base/types.h"
#include "virt/virt.h"

struct mem;
struct irq_vm;
struct vcpu;

#define VM_MAX_VCPUS	 1024
#define VM_MAX_VCPU_ID	 4096
#define VM_MAX_COALESCED 64

/* Guest time: kvmclock's zero and the TSC that the vCPUs share. Guarded by vm->clock_lock. */
struct vm_clock {
	s64 offset;	/* kvmclock ns = CLOCK_MONOTONIC ns + offset */
	u64 tsc_offset; /* of the vCPUs that are in step */
	u32 tsc_khz;	/* default for new vCPUs */
	u64 last_write; /* when user space last set a TSC (ns), and */
	u64 last_value; /* to what */
};

struct vm {
	struct mem *mem;
	struct irq_vm *irq;
	struct timer_queue *timers;
	struct virt_params virt;
	pthread_mutex_t lock; /* of the VM's ioctls */

	_Atomic u32 nvcpus; /* vcpus[0 .. nvcpus) are there until the VM goes */
	struct vcpu *vcpus[VM_MAX_VCPUS];

	/* run lock: see vm_enter() */
	pthread_mutex_t run_mutex;
	pthread_cond_t run_cond;
	unsigned in_guest, pausers;
	bool paused;

	/* the ticker: see vm.c */
	pthread_t ticker;
	pthread_cond_t tick_cond;
	bool ticker_on, ticker_idle, ticker_stop;

	pthread_mutex_t clock_lock;
	struct vm_clock clock;

	/* coalesced MMIO: zones, and the lock of the ring in the vCPUs' first page 2 */
	pthread_mutex_t ring_lock;
	_Atomic unsigned nzones;
	struct kvm_coalesced_mmio_zone zones[VM_MAX_COALESCED];

	u64 tss_addr, identity_addr;
	u32 bsp_id;
	u32 max_vcpu_id;  /* KVM_CAP_MAX_VCPU_ID; 0: not set */
	u32 nr_mmu_pages; /* KVM_SET_NR_MMU_PAGES */
	bool triple_fault_event, exception_payload;
	u64 manual_dirty; /* KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 */
};

/* NULL with *err = -errno. */
struct vm *vm_create(const struct virt_params *params, int *err);
/* No vCPU is in guest code any more, and nobody else knows the VM. Destroys the vCPUs, too. */
void vm_destroy(struct vm *vm);

/* The run lock for reading: around guest code. vm_enter() waits while somebody pauses the VM. */
void vm_enter(struct vm *vm, struct vcpu *v);
void vm_leave(struct vm *vm, struct vcpu *v);

/* The run lock for writing: all vCPUs are out of guest code in between. Not from inside guest code.
 */
void vm_pause(struct vm *vm);
void vm_resume(struct vm *vm);

/* Sets events on every vCPU, and wakes those that wait. */
void vm_event_all(struct vm *vm, u32 events);

/* KVM_GET_CLOCK's ns now; and sets it. */
u64 vm_clock_ns(struct vm *vm);
void vm_clock_set(struct vm *vm, u64 ns);
/* Makes every vCPU write its kvmclock page again. */
void vm_clock_changed(struct vm *vm);

/* The host's TSC frequency, measured once. */
u32 clock_host_tsc_khz(void);
u64 clock_host_tsc(void);
/* One moment in both clocks: TSC and CLOCK_MONOTONIC ns. Constant. */
void clock_host_base(u64 *tsc, u64 *ns);

#endif

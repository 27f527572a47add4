/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The run loop of a vCPU: events, engine, outcome. It is the one judge of what becomes an
 * exception, a vmexit or a userexit.
 *
 * Functions marked [any] may be called from any thread; all others by the thread that holds the
 * vCPU's lock, which is the one inside one of its ioctls.
 */
#ifndef VCPU_VCPU_H
#define VCPU_VCPU_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>

#include "cpu/cpu.h"
#include "irq/irq.h"
#include "sys/sys.h"
#include "vcpu/signals.h"
#include "vcpu/vm.h"

/* The pages of a vCPU's memory file: kvm_run, data of port accesses, coalesced MMIO ring. */
#define VCPU_PAGE_RUN	0
#define VCPU_PAGE_PIO	1
#define VCPU_PAGE_RING	KVM_COALESCED_MMIO_PAGE_OFFSET
#define VCPU_NPAGES	3
#define VCPU_MMAP_SIZE	(VCPU_NPAGES * PAGE_SIZE)
#define VCPU_PIO_OFFSET (VCPU_PAGE_PIO * PAGE_SIZE)

/* What the paravirtual MSRs of KVM hold, and where they point (vcpu/pv.c). */
struct vcpu_pv {
	u64 system_time, wall_clock; /* the MSRs' values; bit 0 of system_time enables */
	bool old_msrs;		     /* written by their old numbers */
	u32 clock_version;
	bool guest_stopped; /* KVM_KVMCLOCK_CTRL */
	u64 eoi, poll_control, steal;
	bool eoi_pending; /* the guest may skip the EOI of the vector in service */
	u64 steal_last;	  /* run delay of the thread when last accounted, ns */
};

struct vcpu {
	struct cpu cpu; /* first: the engine's pointer is ours */
	struct vm *vm;
	struct lapic *lapic; /* NULL without an irqchip in the library */
	struct kvm_run *run;
	int fd; /* the memory file behind run */
	pthread_mutex_t lock;

	/* -- any thread -------------------------------------------------------------------------
	 */
	_Atomic bool in_guest; /* between vm_enter and vm_leave */
	_Atomic bool sleeping; /* waiting at wake_fd */
	_Atomic u32 nmi_pending;
	_Atomic bool clock_update; /* the time page must be written before the guest runs on */
	int wake_fd;

	/* -- the vCPU's thread ------------------------------------------------------------------
	 */
	u32 mp_state; /* RUNNABLE, UNINITIALIZED or INIT_RECEIVED; halting is cpu.halted */
	/*
	 * What the engine returned, while the stores that it posted before that are handed to user
	 * space first; and whether the instruction that user space has answered is to be executed
	 * again.
	 */
	enum outcome held;
	bool restart;
	int user_irq; /* KVM_INTERRUPT without irqchip: the vector, or -1 */
	u8 cr8;	      /* without irqchip, as is */
	u64 apic_base;
	bool debug_hw; /* cpu.dr holds the debugger's breakpoints, and this the guest's registers */
	u64 guest_dr[8];
	bool tpr_exit, eoi_exit; /* leave with KVM_EXIT_SET_TPR, KVM_EXIT_IOAPIC_EOI */
	bool triple_fault;	 /* set by KVM_SET_VCPU_EVENTS */
	u8 eoi_vector;
	struct fault inject; /* set by KVM_SET_VCPU_EVENTS: to deliver first */
	struct signals signals;
	struct kvm_guest_debug debug;
	struct vcpu_pv pv;
	struct timer preempt;	   /* sets EVENT_VMX at virt_preemption_deadline() */
	bool init_held;		   /* an INIT waits for the end of VMX root operation */
	_Atomic u64 preempt_armed; /* when it fires; 0: it has */
	struct vcpu_stats {
		u64 exits, halts, interrupts, nmis, signals, io, mmio, vmexits;
	} stats;
};

static inline struct vcpu *vcpu_of(struct cpu *cpu)
{
	return container_of(cpu, struct vcpu, cpu);
}

/* A vCPU in power-on state. `fd` is a memory file of VCPU_MMAP_SIZE bytes, which the caller keeps
 * open. NULL with *err = -errno. */
struct vcpu *vcpu_create(struct vm *vm, u32 id, int fd, int *err);
void vcpu_destroy(struct vcpu *v);

/* KVM_RUN after the checks of the arguments: 0 with v->run filled, or -EINTR, -EAGAIN, -EFAULT. */
int vcpu_run(struct vcpu *v);

/* [any] Sets events and wakes the vCPU if it waits. */
void vcpu_event(struct vcpu *v, u32 events);
/* [any] Latches an NMI. */
void vcpu_nmi(struct vcpu *v);

/* INIT and RESET as the CPU sees them; also IPIs end here. */
void vcpu_init(struct vcpu *v);
bool vcpu_is_bsp(const struct vcpu *v);

/* Registers were set from outside: forgets accesses under way. */
void vcpu_abandon_io(struct vcpu *v);

/* May KVM_INTERRUPT be used now (kvm_run.ready_for_interrupt_injection)? */
bool vcpu_ready_for_injection(struct vcpu *v);

/* KVM_SET_GUEST_DEBUG. */
int vcpu_debug_set(struct vcpu *v, const struct kvm_guest_debug *dbg);

/* What KVM_GET/SET_MP_STATE speak of. */
u32 vcpu_mp_state(const struct vcpu *v);
void vcpu_mp_state_set(struct vcpu *v, u32 state);

/* The guest's TSC (L1's) now; set it so that it reads `value` now; and its frequency. */
u64 vcpu_tsc(const struct vcpu *v);
void vcpu_tsc_set(struct vcpu *v, u64 value);
void vcpu_tsc_offset_set(struct vcpu *v, u64 offset);
void vcpu_tsc_khz_set(struct vcpu *v, u32 khz);

/* KVM's MSRs (kvmclock, PV EOI, steal time, poll control). false: not one of them, or a bad value.
 */
bool pv_msr_read(struct vcpu *v, u32 index, u64 *value);
bool pv_msr_write(struct vcpu *v, u32 index, u64 value);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtual machine: KVM's VM, its RAM, buses, interrupt lines and vCPUs. Devices get a pointer
 * to it and hang themselves on its buses and its event loop.
 */
#ifndef VMM_MACHINE_H
#define VMM_MACHINE_H

#include <pthread.h>
#include "vmm/bus.h"
#include "vmm/intr.h"
#include "vmm/kvm.h"
#include "vmm/loop.h"
#include "vmm/ram.h"

#define MACHINE_MAX_CPUS 64

/* KVM's own pages, below the firmware's place at the end of the first 4 GiB. */
#define MACHINE_IDENTITY_MAP 0xfeffc000ull
#define MACHINE_TSS	     0xfeffd000ull

/* Why the machine stopped. */
enum machine_end {
	MACHINE_RUNNING,
	MACHINE_POWEROFF,     /* the guest powered itself off */
	MACHINE_RESET,	      /* the guest asked for a reset */
	MACHINE_TRIPLE_FAULT, /* KVM_EXIT_SHUTDOWN */
	MACHINE_HALTED,	      /* a vCPU halted for ever */
	MACHINE_QUIT,	      /* the user quit at the console */
	MACHINE_SIGNAL,	      /* SIGTERM, SIGHUP or SIGINT; see end_signal */
	MACHINE_ERROR,	      /* KVM could not go on; the message is already printed */
};

struct coalesced;

struct machine_cpu {
	struct machine *machine;
	unsigned id; /* index and APIC id */
	int fd;
	struct kvm_run *run;
	pthread_t thread;
	bool started;
	u64 userexits; /* by this vCPU's thread only; others may read a stale value */
};

struct machine {
	struct kvm_dev *kvm;
	int vm_fd;
	struct ram ram;
	struct bus pio, mmio;
	struct intr intr;
	struct loop loop;
	struct coalesced *coalesced; /* or NULL */
	unsigned cpu_count;
	struct machine_cpu cpu[MACHINE_MAX_CPUS];
	int end; /* enum machine_end, atomic */
	int end_signal;
};

struct machine_config {
	struct ram_config ram;
	unsigned cpus;
};

/*
 * Creates the VM on an open KVM: irqchip, PIT, RAM, and vCPUs without CPUID or state. Prints what
 * is wrong; returns 0 or a negative errno, after which machine_destroy() frees the rest.
 */
int machine_create(struct machine *m, struct kvm_dev *kvm, const struct machine_config *config);
/* Frees everything; the vCPUs must have stopped. */
void machine_destroy(struct machine *m);
/* Starts a thread for each vCPU. Returns 0 or a negative errno. */
int machine_start(struct machine *m);
/* Serves the event loop until somebody stops the machine, then stops the vCPUs. */
enum machine_end machine_run(struct machine *m);
/* Ends the machine; the first reason stays. Any thread; returns at once. */
void machine_stop(struct machine *m, enum machine_end why);

/*
 * Makes KVM signal `eventfd` instead of a userexit when the guest writes `len` bytes (0: any
 * length) at an address. With `match`, only when the value is `data`. Returns 0 or a negative
 * errno.
 */
int machine_ioeventfd(struct machine *m, bool pio, u64 addr, unsigned len, int eventfd, bool assign,
		      bool match, u64 data);

/* Creates vCPU `id`. (machine_cpu.c, for machine.c only, as the next two.) */
int machine_cpu_create(struct machine *m, unsigned id);
/* The vCPU's thread: runs it until the machine stops. */
void *machine_cpu_thread(void *cpu);
/* Makes the vCPU leave KVM_RUN; after machine_stop() it does not come back. Any thread. */
void machine_cpu_kick(struct machine_cpu *cpu);

/* ioctl on a vCPU: 0 or more, or a negative errno. */
int machine_cpu_ioctl(struct machine_cpu *cpu, unsigned long request, void *arg);
/* Prints registers and the bytes at RIP. From the vCPU's thread, or while it does not run. */
void machine_cpu_dump(struct machine_cpu *cpu);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Coalesced port writes: KVM keeps writes that need no answer in a ring, and the VMM sees them at the
 * next userexit. Under nesting a userexit costs tens of microseconds, and a console has one per
 * character.
 */
#ifndef VMM_COALESCED_H
#define VMM_COALESCED_H

#include "vmm/machine.h"

struct coalesced {
	struct machine *machine;
	pthread_mutex_t lock;
	struct kvm_coalesced_mmio_ring *ring; /* NULL: not in use */
	int timer_fd;			      /* for a guest that writes and then has no userexit */
};

/* Finds the ring of a machine with vCPUs. Where KVM has none, the functions below do nothing. */
int coalesced_init(struct coalesced *c, struct machine *m);
/* Frees the timer. */
void coalesced_destroy(struct coalesced *c);
/* Has writes of `len` bytes at a port coalesced, if KVM can. */
void coalesced_add_port(struct coalesced *c, u16 port, unsigned len);
/* Performs the writes that wait. After each KVM_RUN, before its userexit is handled; any thread. */
void coalesced_drain(struct coalesced *c);

#endif

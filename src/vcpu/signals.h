/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signals and KVM_RUN. The kernel's KVM_RUN is a system call: a signal ends it, and the handler
 * runs when it has returned. Here the same comes about by blocking signals around the engine and
 * looking at what is pending. A handler may therefore leave by longjmp, and never finds the engine
 * half-way.
 *
 * This header and signals.c stay apart from cpu/, because <signal.h> has its own REG_RAX.
 */
#ifndef VCPU_SIGNALS_H
#define VCPU_SIGNALS_H

#include <pthread.h>
#include <sys/types.h>

#include "base/types.h"

struct signals {
	bool mask_set;	  /* by KVM_SET_SIGNAL_MASK: */
	sigset_t mask;	  /* what KVM_RUN blocks */
	sigset_t outside; /* the thread's mask outside KVM_RUN */
	sigset_t fd_mask;
	int fd; /* a signalfd, see signals_fd() */
};

void signals_init(struct signals *s);
void signals_destroy(struct signals *s);

/* KVM_SET_SIGNAL_MASK: 64 bits, bit n-1 is signal n; or none. */
void signals_set_mask(struct signals *s, bool set, u64 mask);

/* Blocks signals for the time of KVM_RUN, and restores the thread's mask. */
void signals_enter(struct signals *s);
void signals_leave(struct signals *s);

/* Is a signal pending that would interrupt KVM_RUN? */
bool signals_pending(struct signals *s);

/* A descriptor that is readable when one is; -1 when there is none to be had. */
int signals_fd(struct signals *s);

/* A thread that never sees a signal. Returns 0 or an errno. */
int signals_thread(pthread_t *thread, void *(*fn)(void *arg), void *arg);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parts of the run loop; private to vcpu/. Functions that return int follow KVM's convention
 * inside KVM_RUN: above 0, go on; 0, a userexit is in v->run; below 0, an errno for KVM_RUN.
 */
#ifndef VCPU_RUN_H
#define VCPU_RUN_H

#include "vcpu/vcpu.h"

#define RUN_EXIT  0 /* back to user space */
#define RUN_GO	  1 /* run the guest */
#define RUN_AGAIN 2 /* something was delivered: look at the events again first */

/* run.c */
/* What the engine's outcome means. */
int run_judge(struct vcpu *v, enum outcome o);

/* event.c */
/* Handles cpu->events at an instruction boundary. */
int event_look(struct vcpu *v);
/* Only those about guest memory: before anything touches it, when slots may have changed meanwhile. */
void event_memory(struct vcpu *v);
/* Delivers cpu->fault, with double and triple faults, or the vmexit that L1 wants instead. */
int event_fault(struct vcpu *v);
/* Delivers an event that is not a fault of the current instruction. */
int event_deliver(struct vcpu *v, const struct event *ev);
/* Performs cpu->vmexit. */
int event_vmexit(struct vcpu *v);
int event_shutdown(struct vcpu *v);
/* After a VM entry by the engine. */
void event_vmentry(struct vcpu *v);

/* exit.c */
/* Fills v->run from cpu->user. */
int exit_fill(struct vcpu *v);
/* Hands out the next posted store. */
int exit_posted(struct vcpu *v);
/* Takes user space's answer to the last userexit. */
void exit_complete(struct vcpu *v);
/* A userexit without more words than its reason. */
int exit_reason(struct vcpu *v, u32 reason);
/* Fields of kvm_run that tell about every userexit. */
void exit_common(struct vcpu *v);

/* wait.c */
/* Must KVM_RUN end with EINTR: is a signal pending that counts, or immediate_exit set? */
bool wait_interrupted(struct vcpu *v);
/* Waits outside guest code for an event of `mask`. RUN_GO, or -EINTR. */
int wait_event(struct vcpu *v, u32 mask);

/* debug.c */
/* Must instructions be executed one by one? */
bool debug_must_step(const struct vcpu *v);
/* Executes one instruction, with breakpoints and TF. */
enum outcome debug_step(struct vcpu *v);
/* Does user space's debugger want this #DB or #BP? Then v->run is filled. */
bool debug_takes(struct vcpu *v, const struct fault *f);

/* Does it hold back interrupts and NMIs (KVM_GUESTDBG_BLOCKIRQ)? */
static inline bool debug_blocks(const struct vcpu *v)
{
	u32 both = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_BLOCKIRQ;

	return (v->debug.control & both) == both;
}

/* ops.c */
extern const struct cpu_ops vcpu_cpu_ops;

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One-shot timers on CLOCK_MONOTONIC.  A queue has one thread, started by the first timer_arm(),
 * in which the callbacks run, one at a time, with all signals blocked and no lock of the queue
 * held: a callback may arm and cancel any timer of its queue.  Any thread may call anything here.
 */
#ifndef BASE_TIMER_H
#define BASE_TIMER_H

#include "base/types.h"

struct timer_queue;

/* A deadline and what to do at it.  Embed it; the fields belong to timer.c. */
struct timer {
	struct timer_queue *queue;
	void (*fn)(void *arg);
	void *arg;
	u64 deadline; /* ns, CLOCK_MONOTONIC */
	size_t slot;  /* place in the heap, or TIMER_IDLE */
};

#define TIMER_IDLE ((size_t)-1)

/* CLOCK_MONOTONIC now, in ns. */
u64 timer_now_ns(void);

/* NULL without memory. */
struct timer_queue *timer_queue_create(void);

/* Ends the thread (a running callback is waited for), forgets armed timers.  Takes NULL.  Not from
 * a callback. */
void timer_queue_destroy(struct timer_queue *queue);

/* Makes `t` an idle timer of `queue`. */
void timer_init(struct timer *t, struct timer_queue *queue, void (*fn)(void *arg), void *arg);

/* Lets fn(arg) run once at or soon after `deadline`; replaces an earlier deadline of `t`.  Returns
 * 0 or -errno when the thread or the heap's memory could not be had. */
int timer_arm(struct timer *t, u64 deadline);

/* Takes `t` out of the queue.  Its callback may be about to run or running all the same: a callback
 * checks under its owner's lock whether it still applies. */
void timer_cancel(struct timer *t);

/* As timer_cancel(), and when it returns, the callback is not running any more.  Not from a
 * callback, nor with a lock held that the callback takes. */
void timer_cancel_sync(struct timer *t);

#endif

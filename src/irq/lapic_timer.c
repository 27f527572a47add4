/* SPDX-License-Identifier: BSD-2-Clause */
/* The LAPIC's timer: one-shot, periodic, TSC deadline (SDM Vol. 3A 11.5.4). */
#include "irq/internal.h"

static bool mode_is_deadline(const struct lapic *l)
{
	return reg_get(l, LAPIC_LVT_TIMER) & LVT_TIMER_DEADLINE;
}

static bool mode_is_periodic(const struct lapic *l)
{
	return reg_get(l, LAPIC_LVT_TIMER) & LVT_TIMER_PERIODIC;
}

/* ns per count: the bus cycle times 1 to 128, which bits 3, 1 and 0 of the divide register say. */
static u64 tick_ns(const struct lapic *l)
{
	u32 tdcr = reg_get(l, REG_TDCR);
	unsigned shift = (((tdcr & 3) | (tdcr & 8) >> 1) + 1) & 7;

	return l->vm->bus_cycle_ns << shift;
}

/* A deadline was reached: arms the next one of a periodic timer, leaving out those missed. */
static void timer_next(struct lapic *l, u64 now)
{
	if (!mode_is_periodic(l) || !l->period) {
		l->deadline = 0;
		l->tsc_deadline = 0;
		return;
	}
	l->deadline += ((now - l->deadline) / l->period + 1) * l->period;
	timer_arm(&l->timer, l->deadline);
}

/* In the timer thread.  A deadline that was moved meanwhile is not reached yet. */
static void timer_fire(void *arg)
{
	struct lapic *l = arg;
	u64 now = timer_now_ns();
	bool fire;

	pthread_mutex_lock(&l->timer_lock);
	fire = l->deadline && l->deadline <= now;
	if (fire)
		timer_next(l, now);
	pthread_mutex_unlock(&l->timer_lock);
	if (fire)
		lapic_local_deliver(l, LAPIC_LVT_TIMER);
}

void lapic_timer_init(struct lapic *l)
{
	pthread_mutex_init(&l->timer_lock, NULL);
	timer_init(&l->timer, l->vm->timers, timer_fire, l);
}

/* With the lock held. */
static void timer_stop_locked(struct lapic *l)
{
	if (l->deadline)
		timer_cancel(&l->timer);
	l->deadline = l->period = l->tsc_deadline = 0;
}

void lapic_timer_stop(struct lapic *l)
{
	pthread_mutex_lock(&l->timer_lock);
	timer_stop_locked(l);
	pthread_mutex_unlock(&l->timer_lock);
}

void lapic_timer_start(struct lapic *l, u32 count)
{
	u64 tick = tick_ns(l);

	if (mode_is_deadline(l))
		return;
	pthread_mutex_lock(&l->timer_lock);
	timer_stop_locked(l);
	if (count && reg_get(l, REG_TMICT)) {
		l->period = reg_get(l, REG_TMICT) * tick;
		if (mode_is_periodic(l))
			l->period = MAX(l->period, IRQ_MIN_PERIOD_NS);
		l->deadline = timer_now_ns() + count * tick;
		timer_arm(&l->timer, l->deadline);
	}
	pthread_mutex_unlock(&l->timer_lock);
}

u32 lapic_timer_count(struct lapic *l)
{
	u64 now = timer_now_ns(), left = 0;

	if (mode_is_deadline(l))
		return 0;
	pthread_mutex_lock(&l->timer_lock);
	if (l->deadline > now)
		left = l->deadline - now;
	else if (l->deadline && l->period && mode_is_periodic(l))
		left = l->period - (now - l->deadline) % l->period;
	pthread_mutex_unlock(&l->timer_lock);
	/* A count that is not over is not 0. */
	left = (left + tick_ns(l) - 1) / tick_ns(l);
	return MIN(left, reg_get(l, REG_TMICT));
}

void lapic_timer_set_divide(struct lapic *l, u32 tdcr)
{
	u32 count = lapic_timer_count(l);

	reg_set(l, REG_TDCR, tdcr & 0xb);
	lapic_timer_start(l, count);
}

/* SDM Vol. 3A 11.5.4.1: a change between deadline mode and the others disarms the timer. */
void lapic_timer_set_lvt(struct lapic *l, u32 lvt)
{
	u32 changed = lvt ^ reg_get(l, LAPIC_LVT_TIMER);

	reg_set(l, LAPIC_LVT_TIMER, lvt);
	if (changed & LVT_TIMER_DEADLINE) {
		lapic_timer_stop(l);
		reg_set(l, REG_TMICT, 0);
	}
}

u64 lapic_get_tsc_deadline(struct lapic *l)
{
	u64 tsc;

	if (!lapic_is_enabled(l) || !mode_is_deadline(l))
		return 0;
	pthread_mutex_lock(&l->timer_lock);
	tsc = l->tsc_deadline;
	pthread_mutex_unlock(&l->timer_lock);
	return tsc;
}

void lapic_set_tsc_deadline(struct lapic *l, u64 tsc)
{
	bool late;
	u64 ns;

	if (!lapic_is_enabled(l) || !mode_is_deadline(l))
		return;
	late = tsc && tsc <= l->ops->guest_tsc(l->vcpu);
	ns = tsc && !late ? l->ops->tsc_deadline_to_ns(l->vcpu, tsc) : UINT64_MAX;
	pthread_mutex_lock(&l->timer_lock);
	/* Guests move their deadline at every tick: timer_arm() replaces, no need to cancel. */
	l->tsc_deadline = late ? 0 : tsc;
	if (ns != UINT64_MAX) {
		l->deadline = MAX(ns, 1);
		timer_arm(&l->timer, l->deadline);
	} else {
		if (l->deadline)
			timer_cancel(&l->timer);
		l->deadline = 0;
	}
	pthread_mutex_unlock(&l->timer_lock);
	if (late)
		lapic_local_deliver(l, LAPIC_LVT_TIMER);
}

void lapic_tsc_changed(struct lapic *l)
{
	u64 tsc = lapic_get_tsc_deadline(l);

	if (tsc)
		lapic_set_tsc_deadline(l, tsc);
}

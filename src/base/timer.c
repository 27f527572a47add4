/* SPDX-License-Identifier: BSD-2-Clause */
/* A binary heap of deadlines and the thread that waits for the first of them. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#include "base/timer.h"

struct timer_queue {
	pthread_mutex_t lock;
	pthread_cond_t wake; /* the first deadline changed, or stop */
	pthread_cond_t idle; /* a callback returned */
	struct timer **heap;
	size_t count, room;
	struct timer *running;
	u64 waiting_for; /* what the thread sleeps for; UINT64_MAX without deadline */
	bool started, stop;
	pthread_t thread;
};

u64 timer_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

struct timer_queue *timer_queue_create(void)
{
	struct timer_queue *q = calloc(1, sizeof(*q));
	pthread_condattr_t attr;

	if (!q)
		return NULL;
	pthread_mutex_init(&q->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&q->wake, &attr);
	pthread_cond_init(&q->idle, NULL);
	pthread_condattr_destroy(&attr);
	return q;
}

void timer_queue_destroy(struct timer_queue *q)
{
	if (!q)
		return;
	pthread_mutex_lock(&q->lock);
	q->stop = true;
	pthread_cond_signal(&q->wake);
	pthread_mutex_unlock(&q->lock);
	if (q->started)
		pthread_join(q->thread, NULL);
	for (size_t i = 0; i < q->count; i++)
		q->heap[i]->slot = TIMER_IDLE;
	free(q->heap);
	pthread_cond_destroy(&q->wake);
	pthread_cond_destroy(&q->idle);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

void timer_init(struct timer *t, struct timer_queue *q, void (*fn)(void *arg), void *arg)
{
	*t = (struct timer){.queue = q, .fn = fn, .arg = arg, .slot = TIMER_IDLE};
}

/* Puts `t` at place `i`, or where the heap's order wants it on the way up. */
static void heap_up(struct timer_queue *q, struct timer *t, size_t i)
{
	while (i && q->heap[(i - 1) / 2]->deadline > t->deadline) {
		q->heap[i] = q->heap[(i - 1) / 2];
		q->heap[i]->slot = i;
		i = (i - 1) / 2;
	}
	q->heap[i] = t;
	t->slot = i;
}

static void heap_down(struct timer_queue *q, struct timer *t, size_t i)
{
	for (size_t child; (child = 2 * i + 1) < q->count; i = child) {
		if (child + 1 < q->count && q->heap[child + 1]->deadline < q->heap[child]->deadline)
			child++;
		if (q->heap[child]->deadline >= t->deadline)
			break;
		q->heap[i] = q->heap[child];
		q->heap[i]->slot = i;
	}
	q->heap[i] = t;
	t->slot = i;
}

static void heap_remove(struct timer_queue *q, struct timer *t)
{
	size_t i = t->slot;
	struct timer *last;

	if (i == TIMER_IDLE)
		return;
	t->slot = TIMER_IDLE;
	last = q->heap[--q->count];
	if (last == t)
		return;
	if (i && q->heap[(i - 1) / 2]->deadline > last->deadline)
		heap_up(q, last, i);
	else
		heap_down(q, last, i);
}

/* Makes room for one more. */
static int heap_reserve(struct timer_queue *q)
{
	size_t room = q->room ? 2 * q->room : 16;
	struct timer **heap;

	if (q->count < q->room)
		return 0;
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): the heap holds pointers */
	heap = realloc(q->heap, room * sizeof(*heap));
	if (!heap)
		return -ENOMEM;
	q->heap = heap;
	q->room = room;
	return 0;
}

/* Sleeps until `deadline` or until something earlier is armed. */
static void queue_wait(struct timer_queue *q, u64 deadline)
{
	struct timespec ts = {deadline / 1000000000, deadline % 1000000000};

	q->waiting_for = deadline;
	if (deadline == UINT64_MAX)
		pthread_cond_wait(&q->wake, &q->lock);
	else
		pthread_cond_timedwait(&q->wake, &q->lock, &ts);
	q->waiting_for = 0;
}

static void queue_run_first(struct timer_queue *q)
{
	struct timer *t = q->heap[0];
	void (*fn)(void *) = t->fn;
	void *arg = t->arg;

	heap_remove(q, t);
	q->running = t;
	pthread_mutex_unlock(&q->lock);
	fn(arg);
	pthread_mutex_lock(&q->lock);
	q->running = NULL;
	pthread_cond_broadcast(&q->idle);
}

static void *queue_thread(void *arg)
{
	struct timer_queue *q = arg;

	/* The default slack of 50 us is much to a guest's timer. */
	prctl(PR_SET_TIMERSLACK, 1ul);
	pthread_mutex_lock(&q->lock);
	while (!q->stop) {
		u64 first = q->count ? q->heap[0]->deadline : UINT64_MAX;

		if (first <= timer_now_ns())
			queue_run_first(q);
		else
			queue_wait(q, first);
	}
	pthread_mutex_unlock(&q->lock);
	return NULL;
}

/* The VMM's signals are for the VMM's threads. */
static int queue_start(struct timer_queue *q)
{
	sigset_t all, old;
	int err;

	if (q->started)
		return 0;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&q->thread, NULL, queue_thread, q);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	q->started = !err;
	return -err;
}

int timer_arm(struct timer *t, u64 deadline)
{
	struct timer_queue *q = t->queue;
	int err;

	pthread_mutex_lock(&q->lock);
	heap_remove(q, t);
	err = heap_reserve(q);
	if (!err)
		err = queue_start(q);
	if (!err) {
		t->deadline = deadline;
		heap_up(q, t, q->count++);
		if (deadline < q->waiting_for)
			pthread_cond_signal(&q->wake);
	}
	pthread_mutex_unlock(&q->lock);
	return err;
}

void timer_cancel(struct timer *t)
{
	pthread_mutex_lock(&t->queue->lock);
	heap_remove(t->queue, t);
	pthread_mutex_unlock(&t->queue->lock);
}

void timer_cancel_sync(struct timer *t)
{
	struct timer_queue *q = t->queue;

	pthread_mutex_lock(&q->lock);
	heap_remove(q, t);
	while (q->running == t)
		pthread_cond_wait(&q->idle, &q->lock);
	pthread_mutex_unlock(&q->lock);
}

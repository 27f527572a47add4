/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The VM: its parts, the run lock, and the ticker.
 *
 * The ticker is a thread that, while some vCPU is in guest code, asks each of those every
 * millisecond to look at its pending signals and at immediate_exit (EVENT_KICK). Signals are
 * blocked inside KVM_RUN: their handlers run at its end, as with a system call, and never in the
 * middle of the engine. What a device thread has to say does not wait for the ticker: it sets the
 * vCPU's events itself.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "irq/irq.h"
#include "mem/mem.h"
#include "vcpu/vcpu.h"
#include "vcpu/vm.h"

#define TICK_NS	   1000000
#define IDLE_TICKS 20 /* without a running vCPU: then the ticker sleeps */

void vm_event_all(struct vm *vm, u32 events)
{
	u32 n = atomic_load(&vm->nvcpus);

	for (u32 i = 0; i < n; i++)
		vcpu_event(vm->vcpus[i], events);
}

/* Pages became watched. vCPUs that wait will look when they run again: no need to wake them. */
static void watch(void *arg)
{
	struct vm *vm = arg;
	u32 n = atomic_load(&vm->nvcpus);

	for (u32 i = 0; i < n; i++)
		cpu_event_set(&vm->vcpus[i]->cpu, EVENT_WATCH);
}

/* -- the ticker ---------------------------------------------------------------------------------
 */

static void kick_running(struct vm *vm)
{
	u32 n = atomic_load(&vm->nvcpus);

	for (u32 i = 0; i < n; i++)
		if (atomic_load_explicit(&vm->vcpus[i]->in_guest, memory_order_relaxed))
			cpu_event_set(&vm->vcpus[i]->cpu, EVENT_KICK);
}

/* Sleeps a tick. run_mutex is held; false: the VM is ending. */
static bool ticker_wait(struct vm *vm, unsigned *idle)
{
	const struct timespec tick = {0, TICK_NS};

	*idle = vm->in_guest ? 0 : *idle + 1;
	if (*idle > IDLE_TICKS) {
		vm->ticker_idle = true;
		while (!vm->in_guest && !vm->ticker_stop)
			pthread_cond_wait(&vm->tick_cond, &vm->run_mutex);
		vm->ticker_idle = false;
		*idle = 0;
	}
	if (vm->ticker_stop)
		return false;
	pthread_mutex_unlock(&vm->run_mutex);
	nanosleep(&tick, NULL);
	pthread_mutex_lock(&vm->run_mutex);
	return !vm->ticker_stop;
}

static void *ticker_main(void *arg)
{
	struct vm *vm = arg;
	unsigned idle = 0;

	pthread_setname_np(pthread_self(), "nestkvm-tick");
	pthread_mutex_lock(&vm->run_mutex);
	while (ticker_wait(vm, &idle))
		kick_running(vm);
	pthread_mutex_unlock(&vm->run_mutex);
	return NULL;
}

/* Starts it at the first KVM_RUN. Without a thread to be had, signals wait for the next userexit.
 */
static void ticker_start(struct vm *vm)
{
	vm->ticker_on = !signals_thread(&vm->ticker, ticker_main, vm);
}

static void ticker_end(struct vm *vm)
{
	if (!vm->ticker_on)
		return;
	pthread_mutex_lock(&vm->run_mutex);
	vm->ticker_stop = true;
	pthread_cond_signal(&vm->tick_cond);
	pthread_mutex_unlock(&vm->run_mutex);
	pthread_join(vm->ticker, NULL);
}

/* -- the run lock -------------------------------------------------------------------------------
 */

void vm_enter(struct vm *vm, struct vcpu *v)
{
	pthread_mutex_lock(&vm->run_mutex);
	while (vm->pausers)
		pthread_cond_wait(&vm->run_cond, &vm->run_mutex);
	vm->in_guest++;
	atomic_store_explicit(&v->in_guest, true, memory_order_relaxed);
	if (unlikely(!vm->ticker_on))
		ticker_start(vm);
	else if (unlikely(vm->ticker_idle))
		pthread_cond_signal(&vm->tick_cond);
	pthread_mutex_unlock(&vm->run_mutex);
}

void vm_leave(struct vm *vm, struct vcpu *v)
{
	pthread_mutex_lock(&vm->run_mutex);
	atomic_store_explicit(&v->in_guest, false, memory_order_relaxed);
	if (!--vm->in_guest && vm->pausers)
		pthread_cond_broadcast(&vm->run_cond);
	pthread_mutex_unlock(&vm->run_mutex);
}

void vm_pause(struct vm *vm)
{
	u32 n = atomic_load(&vm->nvcpus);

	pthread_mutex_lock(&vm->run_mutex);
	vm->pausers++;
	for (u32 i = 0; i < n; i++)
		cpu_event_set(&vm->vcpus[i]->cpu, EVENT_PAUSE);
	while (vm->in_guest || vm->paused)
		pthread_cond_wait(&vm->run_cond, &vm->run_mutex);
	vm->paused = true;
	pthread_mutex_unlock(&vm->run_mutex);
}

void vm_resume(struct vm *vm)
{
	pthread_mutex_lock(&vm->run_mutex);
	vm->pausers--;
	vm->paused = false;
	pthread_cond_broadcast(&vm->run_cond);
	pthread_mutex_unlock(&vm->run_mutex);
}

/* -- life ---------------------------------------------------------------------------------------
 */

static void init_locks(struct vm *vm)
{
	pthread_mutex_init(&vm->lock, NULL);
	pthread_mutex_init(&vm->run_mutex, NULL);
	pthread_mutex_init(&vm->clock_lock, NULL);
	pthread_mutex_init(&vm->ring_lock, NULL);
	pthread_cond_init(&vm->run_cond, NULL);
	pthread_cond_init(&vm->tick_cond, NULL);
}

static void destroy_locks(struct vm *vm)
{
	pthread_cond_destroy(&vm->tick_cond);
	pthread_cond_destroy(&vm->run_cond);
	pthread_mutex_destroy(&vm->ring_lock);
	pthread_mutex_destroy(&vm->clock_lock);
	pthread_mutex_destroy(&vm->run_mutex);
	pthread_mutex_destroy(&vm->lock);
}

struct vm *vm_create(const struct virt_params *params, int *err)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	*err = -ENOMEM;
	if (!vm)
		return NULL;
	vm->virt = *params;
	init_locks(vm);
	vm->mem = mem_create(watch, vm);
	vm->irq = irq_vm_create();
	vm->timers = timer_queue_create();
	if (!vm->mem || !vm->irq || !vm->timers) {
		vm_destroy(vm);
		return NULL;
	}
	vm->clock.tsc_khz = clock_host_tsc_khz();
	vm_clock_set(vm, 0);
	vm->clock.tsc_offset = -clock_host_tsc();
	*err = 0;
	return vm;
}

void vm_destroy(struct vm *vm)
{
	ticker_end(vm);
	for (u32 i = 0; i < vm->nvcpus; i++)
		vcpu_destroy(vm->vcpus[i]);
	irq_vm_destroy(vm->irq);
	timer_queue_destroy(vm->timers);
	if (vm->mem)
		mem_destroy(vm->mem);
	destroy_locks(vm);
	free(vm);
}

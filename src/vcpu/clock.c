/* SPDX-License-Identifier: BSD-2-Clause */
/* Time: the host's TSC, a vCPU's TSC made from it, and kvmclock's nanoseconds. */
#include <pthread.h>
#include <x86intrin.h>

#include "irq/irq.h"
#include "vcpu/vcpu.h"

#define TSC_SCALE_BITS 48
#define NSEC_PER_SEC   1000000000ull
#define CALIBRATE_NS   10000000ull

u64 clock_host_tsc(void)
{
	return __rdtsc();
}

/* A TSC value and the CLOCK_MONOTONIC time it belongs to: the tightest of a few pairs. */
static void sample(u64 *tsc, u64 *ns)
{
	u64 best = ~0ull;

	*tsc = *ns = 0;

	for (int i = 0; i < 16; i++) {
		u64 before = __rdtsc(), now = timer_now_ns(), after = __rdtsc();

		if (after - before >= best)
			continue;
		best = after - before;
		*tsc = before + best / 2;
		*ns = now;
	}
}

/* Facts about the host, measured once: the TSC's rate, and one moment in both clocks. */
static struct {
	u32 khz;
	u64 tsc, ns;
} host;

static void calibrate(void)
{
	u64 tsc0, ns0;

	sample(&tsc0, &ns0);
	do
		sample(&host.tsc, &host.ns);
	while (host.ns - ns0 < CALIBRATE_NS);
	host.khz = (u32)((unsigned __int128)(host.tsc - tsc0) * 1000000 / (host.ns - ns0));
}

u32 clock_host_tsc_khz(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, calibrate);
	return host.khz;
}

void clock_host_base(u64 *tsc, u64 *ns)
{
	clock_host_tsc_khz();
	*tsc = host.tsc;
	*ns = host.ns;
}

/* The time since the base by the TSC, as the guests count it. */
static u64 host_ns(void)
{
	u32 khz = clock_host_tsc_khz();

	return host.ns + (u64)((unsigned __int128)(__rdtsc() - host.tsc) * 1000000 / khz);
}

/* -- a vCPU's TSC -------------------------------------------------------------------------------
 */

u64 vcpu_tsc(const struct vcpu *v)
{
	return cpu_tsc_at(&v->cpu, __rdtsc());
}

void vcpu_tsc_offset_set(struct vcpu *v, u64 offset)
{
	v->cpu.tsc_offset = offset;
	if (v->lapic)
		lapic_tsc_changed(v->lapic);
	atomic_store(&v->clock_update, true);
	cpu_event_set(&v->cpu, EVENT_REQUEST);
}

static bool tsc_in_step(const struct vm_clock *c, u64 value, u64 now)
{
	u64 elapsed = (u64)((unsigned __int128)(now - c->last_write) * c->tsc_khz / 1000000);
	s64 diff = (s64)(value - (c->last_value + elapsed)), second = (s64)c->tsc_khz * 1000;

	return !value || (diff < second && -diff < second);
}

/*
 * Like KVM, takes writes of (nearly) the same value within a second for an attempt to keep vCPUs in
 * step, and gives all of them the same offset then.
 */
void vcpu_tsc_set(struct vcpu *v, u64 value)
{
	struct vm_clock *c = &v->vm->clock;
	u64 offset = v->cpu.tsc_offset + value - vcpu_tsc(v);
	u64 now = timer_now_ns();

	pthread_mutex_lock(&v->vm->clock_lock);
	if (c->last_write && v->cpu.tsc_khz == c->tsc_khz && tsc_in_step(c, value, now))
		offset = c->tsc_offset;
	else
		c->tsc_offset = offset;
	c->last_write = now;
	c->last_value = value;
	pthread_mutex_unlock(&v->vm->clock_lock);
	vcpu_tsc_offset_set(v, offset);
}

/* Changes the rate; the TSC goes on from where it is. */
void vcpu_tsc_khz_set(struct vcpu *v, u32 khz)
{
	u64 host = __rdtsc(), now = cpu_tsc_at(&v->cpu, host);
	u32 host_rate = clock_host_tsc_khz();

	v->cpu.tsc_khz = khz;
	v->cpu.tsc_scale = khz == host_rate
				   ? BIT(TSC_SCALE_BITS)
				   : (u64)(((unsigned __int128)khz << TSC_SCALE_BITS) / host_rate);
	v->cpu.tsc_offset = 0;
	vcpu_tsc_offset_set(v, now - cpu_tsc_at(&v->cpu, host));
}

/* -- kvmclock -----------------------------------------------------------------------------------
 */

u64 vm_clock_ns(struct vm *vm)
{
	pthread_mutex_lock(&vm->clock_lock);
	u64 ns = host_ns() + (u64)vm->clock.offset;

	pthread_mutex_unlock(&vm->clock_lock);
	return ns;
}

void vm_clock_set(struct vm *vm, u64 ns)
{
	pthread_mutex_lock(&vm->clock_lock);
	vm->clock.offset = (s64)(ns - host_ns());
	pthread_mutex_unlock(&vm->clock_lock);
	vm_clock_changed(vm);
}

void vm_clock_changed(struct vm *vm)
{
	u32 n = atomic_load(&vm->nvcpus);

	for (u32 i = 0; i < n; i++) {
		atomic_store(&vm->vcpus[i]->clock_update, true);
		cpu_event_set(&vm->vcpus[i]->cpu, EVENT_REQUEST);
	}
}

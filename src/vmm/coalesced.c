/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include "vmm/coalesced.h"

#define RING_ENTRIES                                                                               \
	((PAGE_SIZE - sizeof(struct kvm_coalesced_mmio_ring)) / sizeof(struct kvm_coalesced_mmio))
#define DRAIN_PERIOD_NS 20000000

static void coalesced_on_timer(void *opaque, u32 events)
{
	struct coalesced *c = opaque;
	u64 count;

	if (read(c->timer_fd, &count, sizeof(count)) == sizeof(count))
		coalesced_drain(c);
}

int coalesced_init(struct coalesced *c, struct machine *m)
{
	int page = kvmdev_has_cap(m->kvm, KVM_CAP_COALESCED_MMIO);

	memset(c, 0, sizeof(*c));
	c->machine = m;
	c->timer_fd = -1;
	pthread_mutex_init(&c->lock, NULL);
	if (page <= 0 || (page + 1) * PAGE_SIZE > m->kvm->run_size ||
	    !kvmdev_has_cap(m->kvm, KVM_CAP_COALESCED_PIO))
		return 0;
	c->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (c->timer_fd < 0)
		return -errno;
	c->ring = (void *)((u8 *)m->cpu[0].run + page * PAGE_SIZE);
	return loop_add(&m->loop, c->timer_fd, EPOLLIN, coalesced_on_timer, c);
}

void coalesced_destroy(struct coalesced *c)
{
	if (c->timer_fd < 0)
		return;
	loop_remove(&c->machine->loop, c->timer_fd);
	close(c->timer_fd);
	c->timer_fd = -1;
	c->ring = NULL;
}

void coalesced_add_port(struct coalesced *c, u16 port, unsigned len)
{
	static const struct itimerspec period = {
		.it_value.tv_nsec = DRAIN_PERIOD_NS,
		.it_interval.tv_nsec = DRAIN_PERIOD_NS,
	};
	struct kvm_coalesced_mmio_zone zone = {.addr = port, .size = len, .pio = 1};
	struct machine *m = c->machine;

	if (c->ring && !kvmdev_ioctl(m->kvm, m->vm_fd, KVM_REGISTER_COALESCED_MMIO, &zone))
		timerfd_settime(c->timer_fd, 0, &period, NULL);
}

/* KVM writes entries and moves `last`; we read entries and move `first`. */
static void coalesced_drain_locked(struct coalesced *c)
{
	struct kvm_coalesced_mmio_ring *ring = c->ring;
	u32 first = ring->first;

	while (first < RING_ENTRIES && first != __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE)) {
		struct kvm_coalesced_mmio *e = &ring->coalesced_mmio[first];
		struct bus *bus = e->pio ? &c->machine->pio : &c->machine->mmio;
		u64 value = 0;

		memcpy(&value, e->data, MIN(e->len, 8u));
		if (e->len)
			bus_write(bus, e->phys_addr, MIN(e->len, 8u), value);
		first = (first + 1) % RING_ENTRIES;
		__atomic_store_n(&ring->first, first, __ATOMIC_RELEASE);
	}
}

void coalesced_drain(struct coalesced *c)
{
	struct kvm_coalesced_mmio_ring *ring = c->ring;

	if (!ring || ring->first == __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE))
		return;
	pthread_mutex_lock(&c->lock);
	coalesced_drain_locked(c);
	pthread_mutex_unlock(&c->lock);
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <string.h>
#include "vmm/bus.h"

void bus_init(struct bus *bus)
{
	memset(bus, 0, sizeof(*bus));
	pthread_rwlock_init(&bus->lock, NULL);
}

/* Index of the first range that ends after `addr`. */
static unsigned bus_search(const struct bus *bus, u64 addr)
{
	unsigned lo = 0, hi = bus->count;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		const struct bus_range *r = &bus->range[mid];

		if (r->start + (r->len - 1) < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int bus_insert(struct bus *bus, const struct bus_range *new)
{
	unsigned i = bus_search(bus, new->start);
	u64 last = new->start + (new->len - 1);

	if (!new->len || last < new->start)
		return -EINVAL;
	if (i < bus->count && bus->range[i].start <= last)
		return -EEXIST;
	if (bus->count == BUS_MAX_RANGES)
		return -ENOSPC;
	memmove(&bus->range[i + 1], &bus->range[i], (bus->count - i) * sizeof(*new));
	bus->range[i] = *new;
	bus->count++;
	return 0;
}

int bus_add(struct bus *bus, u64 start, u64 len, const struct bus_ops *ops, void *opaque)
{
	struct bus_range new = {.start = start, .len = len, .ops = ops, .opaque = opaque};
	int ret;

	pthread_rwlock_wrlock(&bus->lock);
	ret = bus_insert(bus, &new);
	pthread_rwlock_unlock(&bus->lock);
	return ret;
}

void bus_remove(struct bus *bus, u64 start)
{
	unsigned i;

	pthread_rwlock_wrlock(&bus->lock);
	i = bus_search(bus, start);
	if (i < bus->count && bus->range[i].start == start) {
		bus->count--;
		memmove(&bus->range[i], &bus->range[i + 1],
			(bus->count - i) * sizeof(bus->range[0]));
	}
	pthread_rwlock_unlock(&bus->lock);
}

/* Copies the range out, so that a device's handler may change the bus (a BAR that moves). */
static bool bus_find(struct bus *bus, u64 addr, struct bus_range *out)
{
	bool found = false;
	unsigned i;

	pthread_rwlock_rdlock(&bus->lock);
	i = bus_search(bus, addr);
	if (i < bus->count && bus->range[i].start <= addr) {
		*out = bus->range[i];
		found = true;
	}
	pthread_rwlock_unlock(&bus->lock);
	return found;
}

u64 bus_read(struct bus *bus, u64 addr, unsigned len)
{
	struct bus_range r;

	if (!bus_find(bus, addr, &r) || !r.ops->read)
		return MASK(8 * len - 1, 0);
	return r.ops->read(r.opaque, addr - r.start, len) & MASK(8 * len - 1, 0);
}

void bus_write(struct bus *bus, u64 addr, unsigned len, u64 value)
{
	struct bus_range r;

	if (bus_find(bus, addr, &r) && r.ops->write)
		r.ops->write(r.opaque, addr - r.start, len, value & MASK(8 * len - 1, 0));
}

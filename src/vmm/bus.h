/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A bus: address ranges and who answers them. There are two, port I/O and MMIO. An access that
 * nobody answers reads as all ones and writes nowhere, as on a PC.
 */
#ifndef VMM_BUS_H
#define VMM_BUS_H

#include <pthread.h>
#include "base/types.h"

/*
 * Called without a lock held, from any vCPU's thread and from several at once: a device locks its
 * own state. `offset` counts from the range's start, `len` is 1, 2, 4 or 8 and may reach over the
 * end.
 */
struct bus_ops {
	u64 (*read)(void *opaque, u64 offset, unsigned len);
	void (*write)(void *opaque, u64 offset, unsigned len, u64 value);
};

struct bus_range {
	u64 start, len;
	const struct bus_ops *ops;
	void *opaque;
};

#define BUS_MAX_RANGES 256

struct bus {
	pthread_rwlock_t lock;
	unsigned count;
	struct bus_range range[BUS_MAX_RANGES]; /* sorted by start, not overlapping */
};

/* Makes an empty bus. */
void bus_init(struct bus *bus);
/* Adds a range; -EEXIST when it overlaps another, -ENOSPC when the table is full. Any thread. */
int bus_add(struct bus *bus, u64 start, u64 len, const struct bus_ops *ops, void *opaque);
/* Removes the range that starts at `start`. Accesses under way in other threads may still end. */
void bus_remove(struct bus *bus, u64 start);
/* Reads `len` (1 to 8) bytes. Any thread. */
u64 bus_read(struct bus *bus, u64 addr, unsigned len);
/* Writes `len` (1 to 8) bytes. Any thread. */
void bus_write(struct bus *bus, u64 addr, unsigned len, u64 value);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest RAM: one host mapping, seen by the guest in two pieces, below 3 GiB and from 4 GiB up. The
 * gap between holds PCI windows, the IOAPIC, the local APICs and KVM's own pages.
 */
#ifndef VMM_RAM_H
#define VMM_RAM_H

#include "base/types.h"

#define RAM_LOW_MAX    0xc0000000ull  /* RAM below the gap ends here at the latest */
#define RAM_HIGH_START 0x100000000ull /* RAM above the gap starts here */

struct ram {
	u8 *host;
	u64 size;
	u64 low_size;  /* bytes below the gap */
	u64 high_size; /* bytes from RAM_HIGH_START up */
	u64 map_size;  /* bytes mapped, a multiple of the backing's page size */
};

struct ram_config {
	u64 size;
	const char *path; /* file or directory (tmpfs, hugetlbfs) to map, or NULL for anonymous
			     memory */
	bool prealloc;	  /* touch all pages at start */
	bool no_hugepages;
};

/* Maps the RAM. Prints what is wrong; returns 0 or a negative errno. */
int ram_create(struct ram *ram, const struct ram_config *config);
/* Unmaps it. */
void ram_destroy(struct ram *ram);

/*
 * Host address of [gpa, gpa + len), or NULL unless all of it is RAM without a gap inside. For DMA,
 * boot and tables. Any thread; the guest may change the bytes at any time.
 */
static inline void *ram_ptr(const struct ram *ram, u64 gpa, u64 len)
{
	if (gpa < ram->low_size)
		return len <= ram->low_size - gpa ? ram->host + gpa : NULL;
	if (gpa < RAM_HIGH_START || gpa - RAM_HIGH_START >= ram->high_size)
		return NULL;
	gpa -= RAM_HIGH_START;
	return len <= ram->high_size - gpa ? ram->host + ram->low_size + gpa : NULL;
}

/* Copies into guest RAM; -EFAULT when [gpa, gpa + len) is not all RAM. */
int ram_write(const struct ram *ram, u64 gpa, const void *data, u64 len);
/* Copies out of guest RAM; -EFAULT when [gpa, gpa + len) is not all RAM. */
int ram_read(const struct ram *ram, u64 gpa, void *data, u64 len);
/* Fills guest RAM with zeros; -EFAULT when [gpa, gpa + len) is not all RAM. */
int ram_zero(const struct ram *ram, u64 gpa, u64 len);

#endif

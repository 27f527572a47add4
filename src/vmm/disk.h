/* SPDX-License-Identifier: BSD-2-Clause */
/* A raw disk image or block device of the host. */
#ifndef VMM_DISK_H
#define VMM_DISK_H

#include <sys/uio.h>
#include "base/types.h"

#define DISK_SECTOR 512
#define DISK_ID_LEN 20

struct disk {
	int fd;
	bool read_only;
	bool block_device;
	u64 size; /* bytes, a multiple of the sector */
	char id[DISK_ID_LEN + 1];
};

/*
 * Opens and locks an image, so that no two guests write to it. Prints what is wrong; returns 0 or a
 * negative errno.
 */
int disk_open(struct disk *disk, const char *path, bool read_only);
/* Makes what was written durable, and closes. */
void disk_close(struct disk *disk);
/* Whether [off, off + len) lies on the disk, in whole sectors. */
bool disk_range_ok(const struct disk *disk, u64 off, u64 len);
/*
 * Reads or writes all of `len` bytes at `off`; the pieces are used up. 0 or a negative errno, when a
 * part may have been transferred.
 */
int disk_transfer(struct disk *disk, bool write, struct iovec *iov, unsigned count, u64 off,
		  u64 len);
/* Makes what was written durable. 0 or a negative errno. */
int disk_flush(struct disk *disk);
/* Gives space back; what is read there is undefined. 0 or a negative errno. */
int disk_discard(struct disk *disk, u64 off, u64 len);
/* Zeros a range; with `unmap` space may be given back. 0 or a negative errno. */
int disk_zero(struct disk *disk, u64 off, u64 len, bool unmap);

#endif

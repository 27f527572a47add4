/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes a cpio archive of the kind that Linux takes as an initramfs ("newc"). */
#ifndef CLI_CPIO_H
#define CLI_CPIO_H

#include "base/types.h"

struct cpio {
	u8 *data;
	size_t len, capacity;
	u32 inode;  /* last number given */
	char *dirs; /* names of the folders so far, each ended by a newline */
	int error;  /* first failure, a negative errno; later calls do nothing */
};

/* An empty archive; cpio_free() releases what it holds. */
void cpio_init(struct cpio *cpio);
void cpio_free(struct cpio *cpio);

/* Add an entry; folders above it are added by themselves. Paths are absolute. Failures are kept. */
void cpio_add_data(struct cpio *cpio, const char *path, u32 mode, const void *data, size_t len);
void cpio_add_link(struct cpio *cpio, const char *path, const char *target);
void cpio_add_dir(struct cpio *cpio, const char *path);
/* Adds the host's file `from`. */
void cpio_add_file(struct cpio *cpio, const char *path, u32 mode, const char *from);

/* Ends the archive. 0, or the negative errno of what failed before. */
int cpio_finish(struct cpio *cpio);
/* Ends the archive and writes it to a new file. 0 or a negative errno, also of what failed before.
 */
int cpio_write(struct cpio *cpio, const char *file);

/* Reads a whole file. On success *data is to be freed. 0 or a negative errno. */
int cpio_read_file(const char *file, u8 **data, size_t *len);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* Finds a Linux kernel for guests: a file, an installed one, a cached or a downloaded Debian
 * package. */
#ifndef CLI_KERNEL_PKG_H
#define CLI_KERNEL_PKG_H

#include "base/types.h"

struct kernel {
	char image[4096];   /* bzImage or ELF vmlinux */
	char modules[4096]; /* folder with modules.order; "" when there is none */
	char release[128];  /* as uname -r; "" when the image does not say */
	char origin[32];    /* "given", "installed", "cached" or "downloaded" */
};

/*
 * wanted:  a file; a version such as "6.1" or "6.12" (Debian's cloud kernel), "6.1-amd64" (the
 *          ordinary one), the name of a Debian package, or NULL for any.
 * modules: the folder of its modules (/lib/modules/RELEASE), or NULL to look for it.
 * Prints what takes long, and what fails, on standard error. 0 or a negative errno.
 */
int kernel_find(const char *wanted, const char *modules, struct kernel *kernel);

/*
 * Reads a kernel image; a bzImage whose content can be unpacked becomes the ELF vmlinux inside, so
 * that no level has to unpack it again. On success *data is to be freed. 0 or a negative errno.
 */
int kernel_read(const char *image, u8 **data, size_t *len);

/* The release in a bzImage's header, "" when there is none. */
void kernel_read_release(const char *image, char release[128]);

#endif

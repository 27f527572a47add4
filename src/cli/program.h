/* SPDX-License-Identifier: BSD-2-Clause */
/* Puts a dynamically linked program of this machine into a guest's initramfs. */
#ifndef CLI_PROGRAM_H
#define CLI_PROGRAM_H

#include "cli/cpio.h"

/*
 * Adds the ELF program `from` as `path`, its interpreter, and, in /lib, the libraries that it
 * needs. Debug information is left out. 0, or a negative errno: -ENOEXEC when it is no 64-bit ELF
 * file, -ELIBACC when a library is not found (its name then is in `missing`).
 */
int program_add(struct cpio *cpio, const char *path, const char *from, char missing[256]);

#endif

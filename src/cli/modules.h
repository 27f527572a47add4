/* SPDX-License-Identifier: BSD-2-Clause */
/* Kernel modules from a /lib/modules/RELEASE folder, with what they depend on, unpacked. */
#ifndef CLI_MODULES_H
#define CLI_MODULES_H

#include "cli/cpio.h"

struct module_list;

/*
 * Reads a folder's modules.order. 0 or a negative errno (-ENOENT: no modules there). A module that
 * the kernel has built in (modules.builtin) counts as found.
 */
int modules_open(const char *dir, struct module_list **list);
void modules_close(struct module_list *list);

/*
 * Adds the module to the archive, after the modules that it needs, and a line for each to the list
 * of what process 1 loads; each module once. `condition` ("", "intel:" or "amd:") holds for those
 * it needs, too, so what both need is added first. `params` is "" or
 * module parameters. 0, -ENOENT when there is no such module, -EBADMSG when it is corrupt.
 */
int modules_add(struct module_list *list, struct cpio *cpio, const char *condition,
		const char *name, const char *params);

/* Writes the list for process 1 into the archive. */
void modules_finish(struct module_list *list, struct cpio *cpio);

#endif

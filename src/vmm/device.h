/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices that the user asks for: "--disk FILE,ro" is kind "disk" with arguments "FILE,ro". The
 * table in device.c maps kinds to the functions that make them.
 */
#ifndef VMM_DEVICE_H
#define VMM_DEVICE_H

#include "vmm/console.h"
#include "vmm/machine.h"
#include "vmm/pci.h"

#define BOARD_MAX_CLEANUPS 64

/* What a device may plug into. */
struct board {
	struct machine *machine;
	struct pci *pci;
	struct console *console;
	const char *name;   /* the guest's, or NULL */
	unsigned net_count; /* network cards so far */
	unsigned cleanup_count;
	struct {
		void (*fn)(void *opaque);
		void *opaque;
	} cleanup[BOARD_MAX_CLEANUPS];
};

struct device_kind {
	const char *name;
	/* Makes one from its arguments; prints what is wrong. 0 or a negative errno. */
	int (*create)(struct board *board, const char *args);
};

/* Makes a device of a kind; -ENODEV for a kind that is not there. */
int device_create(struct board *board, const char *kind, const char *args);
/*
 * Has `fn` called when the machine ends, after the vCPUs have stopped and before the machine is
 * freed; the last one registered first. For flushing disks and joining threads. 0 or -ENOSPC.
 */
int board_on_end(struct board *board, void (*fn)(void *opaque), void *opaque);
/* Calls them. */
void board_end(struct board *board);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <string.h>
#include "vmm/device.h"
#include "vmm/msg.h"
#include "vmm/virtio_devices.h"

/* One line for each kind; the last one ends the table. */
static const struct device_kind kinds[] = {
	{"console", virtio_console_create}, {"disk", virtio_blk_create},
	{"net", virtio_net_create},	    {"rng", virtio_rng_create},
	{"vsock", virtio_vsock_create},	    {NULL, NULL},
};

int device_create(struct board *board, const char *kind, const char *args)
{
	for (const struct device_kind *k = kinds; k->name; k++)
		if (!strcmp(k->name, kind))
			return k->create(board, args);
	return msg_fail(-ENODEV, "there is no device of kind %s", kind);
}

int board_on_end(struct board *board, void (*fn)(void *opaque), void *opaque)
{
	if (board->cleanup_count == BOARD_MAX_CLEANUPS)
		return -ENOSPC;
	board->cleanup[board->cleanup_count].fn = fn;
	board->cleanup[board->cleanup_count].opaque = opaque;
	board->cleanup_count++;
	return 0;
}

void board_end(struct board *board)
{
	while (board->cleanup_count) {
		board->cleanup_count--;
		board->cleanup[board->cleanup_count].fn(
			board->cleanup[board->cleanup_count].opaque);
	}
}

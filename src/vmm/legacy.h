/* SPDX-License-Identifier: BSD-2-Clause */
/* What every PC has at fixed ports and a kernel pokes at: keyboard controller, POST port, reset
 * port. */
#ifndef VMM_LEGACY_H
#define VMM_LEGACY_H

#include "vmm/machine.h"

struct i8042 {
	struct machine *machine;
	pthread_mutex_t lock;
	u8 config;	/* the controller's command byte */
	u8 output_port; /* bit 0: not reset, bit 1: A20 */
	u8 command;	/* waits for its data byte, or 0 */
	u8 data;	/* output buffer */
	bool full;
};

/* The keyboard controller, without a keyboard: self-tests, A20, reset by 0xfe. 0 or -errno. */
int i8042_init(struct i8042 *kbc, struct machine *m);

struct legacy {
	struct machine *machine;
	u8 port92;
	u8 reset;
};

/* Ports 0x80 (POST), 0x92 (fast A20 and reset). 0 or a negative errno. */
int legacy_init(struct legacy *legacy, struct machine *m);
/* A write to port 0xcf9, which pci.c gets as a part of 0xcf8. */
void legacy_write_reset(struct machine *m, u8 value);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* A 16550A UART at COM1: National Semiconductor PC16550D. */
#ifndef VMM_SERIAL_H
#define VMM_SERIAL_H

#include "vmm/console.h"

#define SERIAL_FIFO 64 /* more than a 16550A's 16, which no driver can tell */

struct serial {
	struct console *con; /* or NULL */
	struct intr *intr;
	pthread_mutex_t lock;
	u8 ier, fcr, lcr, mcr, scr, dll, dlm;
	bool thre_pending; /* transmitter-empty interrupt not yet acknowledged */
	bool overrun;
	unsigned polls; /* reads of LSR in a row */
	u8 fifo[SERIAL_FIFO];
	unsigned head, count;
};

/* Puts the UART on the port bus, on a console or (NULL) with nothing plugged in. 0 or -errno. */
int serial_init(struct serial *s, struct machine *m, struct console *con);

#endif

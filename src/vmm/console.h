/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The user's end of a guest console: standard input and output, in raw mode when they are a
 * terminal. One guest device (serial or virtio) is attached to it.
 */
#ifndef VMM_CONSOLE_H
#define VMM_CONSOLE_H

#include <pthread.h>
#include <termios.h>
#include "vmm/machine.h"

/* Takes input for the guest; returns how many of `len` bytes it had room for. Loop thread. */
typedef size_t (*console_input_fn)(void *opaque, const u8 *data, size_t len);

struct console {
	struct machine *machine;
	int in_fd, out_fd;
	int wait_fd;  /* what the loop watches: in_fd, or an eventfd when in_fd is a plain file */
	int timer_fd; /* flushes output that no line end pushed */
	bool watching, eof;
	bool raw, escape;
	struct termios saved;
	console_input_fn input;
	void *input_opaque;
	u8 in[256];
	size_t in_len; /* read but not yet taken by the guest */

	pthread_mutex_t lock; /* guards what follows */
	u8 out[4096];
	size_t out_len;
	bool timer_armed;
	int error; /* errno of the first write that failed */
};

/* Attaches to descriptors in_fd (-1: no input) and out_fd; raw mode on a terminal. 0 or -errno. */
int console_open(struct console *con, struct machine *m, int in_fd, int out_fd);
/* Flushes and restores the terminal. Returns 0, or the first error of writing (-ENOSPC, ...). */
int console_close(struct console *con);
/* Sets the guest device that takes input. */
void console_attach(struct console *con, console_input_fn input, void *opaque);
/* The guest device has room again. Any thread. */
void console_resume_input(struct console *con);
/*
 * Output from the guest: written at a line's end, when the buffer is full, or 5 ms later. Waits
 * while the reader is slow, so nothing is lost. Any thread.
 */
void console_write(struct console *con, const u8 *data, size_t len);
/* Writes what is buffered. Any thread. */
void console_flush(struct console *con);
/* Restores the terminal's settings; async-signal-safe, may be called any time. */
void console_restore_terminal(void);

#endif

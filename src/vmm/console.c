/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include "vmm/console.h"
#include "vmm/msg.h"

#define FLUSH_DELAY_NS	5000000
#define RESUME_DELAY_NS 1000000 /* lets the guest leave its interrupt handler */
#define POLL_MS		100
#define ESCAPE_KEY	0x01 /* Ctrl-A, as in QEMU and lkvm */

/* For signal handlers: the terminal is the process's, so this one is global. */
static struct {
	volatile sig_atomic_t active;
	int fd;
	struct termios saved;
} terminal;

void console_restore_terminal(void)
{
	if (!terminal.active)
		return;
	terminal.active = 0;
	tcsetattr(terminal.fd, TCSANOW, &terminal.saved);
}

/* A fault in the VMM itself: leave the user a usable terminal, then die of it. */
static void console_on_fatal(int sig)
{
	console_restore_terminal();
	signal(sig, SIG_DFL);
	raise(sig);
}

static void console_set_raw(struct console *con)
{
	static const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
	struct termios t;
	pid_t foreground;

	if (con->in_fd < 0 || tcgetattr(con->in_fd, &con->saved) < 0)
		return;
	/* In the background, changing our controlling terminal would stop us (SIGTTOU). */
	foreground = tcgetpgrp(con->in_fd);
	if (foreground >= 0 && foreground != getpgrp())
		return;
	terminal.fd = con->in_fd;
	terminal.saved = con->saved;
	terminal.active = 1;
	for (size_t i = 0; i < ARRAY_SIZE(fatal); i++)
		signal(fatal[i], console_on_fatal);
	atexit(console_restore_terminal);
	t = con->saved;
	cfmakeraw(&t);
	t.c_oflag = con->saved.c_oflag; /* our own messages end lines with \n only */
	tcsetattr(con->in_fd, TCSANOW, &t);
	con->raw = true;
}

/* Waits for room; false when there is none and the machine has ended meanwhile. */
static bool console_wait_room(struct console *con)
{
	struct pollfd p = {.fd = con->out_fd, .events = POLLOUT};

	while (poll(&p, 1, POLL_MS) <= 0)
		if (__atomic_load_n(&con->machine->end, __ATOMIC_ACQUIRE) != MACHINE_RUNNING)
			return false;
	return true;
}

static void console_fail(struct console *con, int err)
{
	if (con->error)
		return;
	con->error = err;
	if (err == EPIPE) {
		con->machine->end_signal = SIGPIPE;
		machine_stop(con->machine, MACHINE_SIGNAL);
	} else {
		msg_fail(0, "console output is lost: %s", strerror(err));
	}
}

static void console_flush_locked(struct console *con)
{
	const u8 *data = con->out;
	size_t len = con->out_len;

	while (len && console_wait_room(con)) {
		ssize_t n = write(con->out_fd, data, len);

		if (n > 0) {
			data += n;
			len -= n;
		} else if (n < 0 && errno != EINTR && errno != EAGAIN) {
			console_fail(con, errno);
			break;
		}
	}
	con->out_len = 0;
}

void console_flush(struct console *con)
{
	pthread_mutex_lock(&con->lock);
	console_flush_locked(con);
	pthread_mutex_unlock(&con->lock);
}

void console_write(struct console *con, const u8 *data, size_t len)
{
	static const struct itimerspec delay = {.it_value.tv_nsec = FLUSH_DELAY_NS};
	bool line_end = false;

	pthread_mutex_lock(&con->lock);
	for (size_t i = 0; i < len; i++) {
		con->out[con->out_len++] = data[i];
		line_end |= data[i] == '\n';
		if (con->out_len == sizeof(con->out))
			console_flush_locked(con);
	}
	if (line_end) {
		console_flush_locked(con);
	} else if (con->out_len && !con->timer_armed) {
		con->timer_armed = true;
		timerfd_settime(con->timer_fd, 0, &delay, NULL);
	}
	pthread_mutex_unlock(&con->lock);
}

static void console_on_timer(void *opaque, u32 events)
{
	struct console *con = opaque;
	u64 count;
	ssize_t n = read(con->timer_fd, &count, sizeof(count));

	(void)n;
	pthread_mutex_lock(&con->lock);
	con->timer_armed = false;
	console_flush_locked(con);
	pthread_mutex_unlock(&con->lock);
}

static void console_do_escape(struct console *con, u8 key)
{
	switch (key) {
	case 'x':
		machine_stop(con->machine, MACHINE_QUIT);
		break;
	case ESCAPE_KEY:
	case 'a':
		con->in[con->in_len++] = ESCAPE_KEY;
		break;
	case 'h':
	case '?':
		fprintf(stderr, "\nCtrl-A x  quit\nCtrl-A a  send Ctrl-A\nCtrl-A h  this help\n");
		break;
	}
}

/* Keeps what is for the guest; only a terminal has an escape key, data in a pipe passes as it is.
 */
static void console_filter(struct console *con, const u8 *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (con->escape) {
			con->escape = false;
			console_do_escape(con, data[i]);
		} else if (con->raw && data[i] == ESCAPE_KEY) {
			con->escape = true;
		} else {
			con->in[con->in_len++] = data[i];
		}
	}
}

static void console_push_input(struct console *con)
{
	size_t taken = 0;

	if (con->input && con->in_len)
		taken = con->input(con->input_opaque, con->in, con->in_len);
	con->in_len -= taken;
	memmove(con->in, con->in + taken, con->in_len);
}

static void console_on_input(void *opaque, u32 events);

/*
 * Watches or not. The descriptor leaves the loop meanwhile: the end of a pipe would be reported
 * again and again, and there may be data in it that the guest has no room for yet.
 */
static int console_watch(struct console *con, bool on)
{
	struct loop *loop = &con->machine->loop;

	if (con->watching == on || con->eof || con->in_fd < 0)
		return 0;
	con->watching = on;
	if (on)
		return loop_add(loop, con->wait_fd, EPOLLIN, console_on_input, con);
	loop_remove(loop, con->wait_fd);
	return 0;
}

static void console_on_input(void *opaque, u32 events)
{
	struct console *con = opaque;
	u8 data[sizeof(con->in)];
	ssize_t n = read(con->in_fd, data, sizeof(con->in) - con->in_len);

	if (n > 0) {
		console_filter(con, data, n);
	} else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
		console_watch(con, false);
		con->eof = true;
	}
	console_push_input(con);
	console_watch(con, con->in_len < sizeof(con->in));
}

/* The timer is the door back into the loop's thread, where input belongs. */
static void console_on_resume(void *opaque, u32 events)
{
	struct console *con = opaque;

	console_on_timer(con, events);
	if (!con->in_len)
		return;
	console_push_input(con);
	console_watch(con, con->in_len < sizeof(con->in));
}

void console_resume_input(struct console *con)
{
	static const struct itimerspec delay = {.it_value.tv_nsec = RESUME_DELAY_NS};

	if (!con->in_len)
		return;
	pthread_mutex_lock(&con->lock);
	con->timer_armed = true;
	timerfd_settime(con->timer_fd, 0, &delay, NULL);
	pthread_mutex_unlock(&con->lock);
}

static int console_watch_input(struct console *con)
{
	int ret;

	con->wait_fd = con->in_fd;
	ret = console_watch(con, true);
	if (ret != -EPERM)
		return ret;
	/* A plain file is always ready, as is an eventfd that nobody reads. */
	con->wait_fd = eventfd(1, EFD_CLOEXEC);
	con->watching = false;
	return console_watch(con, true);
}

int console_open(struct console *con, struct machine *m, int in_fd, int out_fd)
{
	int ret;

	memset(con, 0, sizeof(*con));
	con->machine = m;
	con->in_fd = in_fd;
	con->out_fd = out_fd;
	pthread_mutex_init(&con->lock, NULL);
	con->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (con->timer_fd < 0)
		return -errno;
	ret = loop_add(&m->loop, con->timer_fd, EPOLLIN, console_on_resume, con);
	if (!ret && in_fd >= 0)
		ret = console_watch_input(con);
	if (!ret)
		console_set_raw(con);
	return ret;
}

int console_close(struct console *con)
{
	console_flush(con);
	console_restore_terminal();
	loop_remove(&con->machine->loop, con->timer_fd);
	close(con->timer_fd);
	return -con->error;
}

void console_attach(struct console *con, console_input_fn input, void *opaque)
{
	con->input = input;
	con->input_opaque = opaque;
}

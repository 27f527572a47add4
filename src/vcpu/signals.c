/* SPDX-License-Identifier: BSD-2-Clause */
/* See signals.h. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "vcpu/signals.h"

/* Signals that the code itself can raise stay as they are. */
static const int synchronous[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};

void signals_init(struct signals *s)
{
	memset(s, 0, sizeof(*s));
	s->fd = -1;
}

void signals_destroy(struct signals *s)
{
	if (s->fd >= 0)
		close(s->fd);
}

void signals_set_mask(struct signals *s, bool set, u64 mask)
{
	s->mask_set = set;
	sigemptyset(&s->mask);
	for (int sig = 1; sig <= 64; sig++)
		if (set && mask >> (sig - 1) & 1)
			sigaddset(&s->mask, sig);
}

static void blocked_set(sigset_t *set)
{
	sigfillset(set);
	for (unsigned i = 0; i < ARRAY_SIZE(synchronous); i++)
		sigdelset(set, synchronous[i]);
}

void signals_enter(struct signals *s)
{
	sigset_t set;

	blocked_set(&set);
	pthread_sigmask(SIG_BLOCK, &set, &s->outside);
}

void signals_leave(struct signals *s)
{
	pthread_sigmask(SIG_SETMASK, &s->outside, NULL);
}

/* The mask of KVM_RUN as the kernel has it. */
static const sigset_t *effective_mask(const struct signals *s)
{
	return s->mask_set ? &s->mask : &s->outside;
}

/* The kernel drops ignored signals when they are sent, but not while they are blocked. */
static bool ignored(int sig)
{
	struct sigaction sa;

	if (sigaction(sig, NULL, &sa) || sa.sa_flags & SA_SIGINFO)
		return false;
	if (sa.sa_handler == SIG_IGN)
		return true;
	return sa.sa_handler == SIG_DFL && (sig == SIGCHLD || sig == SIGURG || sig == SIGWINCH);
}

static void discard(int sig)
{
	const struct timespec now = {0, 0};
	sigset_t one;

	sigemptyset(&one);
	sigaddset(&one, sig);
	sigtimedwait(&one, NULL, &now);
}

bool signals_pending(struct signals *s)
{
	const sigset_t *mask = effective_mask(s);
	sigset_t pending;

	if (sigpending(&pending) || sigisemptyset(&pending))
		return false;
	for (int sig = 1; sig <= SIGRTMAX; sig++) {
		if (sigismember(&pending, sig) != 1 || sigismember(mask, sig) == 1)
			continue;
		if (!ignored(sig))
			return true;
		discard(sig);
	}
	return false;
}

int signals_fd(struct signals *s)
{
	const sigset_t *mask = effective_mask(s);
	sigset_t wanted;

	blocked_set(&wanted);
	for (int sig = 1; sig <= SIGRTMAX; sig++)
		if (sigismember(mask, sig) == 1)
			sigdelset(&wanted, sig);
	if (s->fd < 0 || memcmp(&wanted, &s->fd_mask, sizeof(wanted)))
		s->fd = signalfd(s->fd, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
	s->fd_mask = wanted;
	return s->fd;
}

int signals_thread(pthread_t *thread, void *(*fn)(void *arg), void *arg)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(thread, NULL, fn, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}

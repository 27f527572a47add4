/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The user network: a private network 10.0.2.0/24 with DHCP, DNS (10.0.2.3) and a gateway
 * (10.0.2.2, where the host's loopback answers), by libslirp. It wants to be told which of its
 * descriptors are ready by poll(2), so it gets a thread for that. All calls of libslirp are made
 * under the card's lock.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <slirp/libslirp.h>
#include "base/timer.h"
#include "vmm/msg.h"
#include "vmm/net.h"

#define QUEUE_FRAMES 256 /* frames that wait for the guest; more are dropped */
#define MAX_TIMERS   4

struct waiting {
	size_t len;
	u8 *frame;
};

struct user_timer {
	SlirpTimerCb fn;
	void *arg;
	s64 expire_ms; /* 0: not armed */
	bool used;
};

struct net_user {
	struct net_end end;
	Slirp *slirp;
	pthread_t thread;
	bool running, stop; /* stop under the card's lock */
	int wake_fd;
	struct pollfd *fds; /* of the thread; [0] is wake_fd */
	size_t fd_count, fd_room;
	struct user_timer timer[MAX_TIMERS];
	unsigned first, count; /* frames that wait, a ring */
	struct waiting queue[QUEUE_FRAMES];
};

static void user_wake(struct net_user *user)
{
	u64 one = 1;
	ssize_t n = write(user->wake_fd, &one, sizeof(one));

	(void)n;
}

/* -- frames ------------------------------------------------------------------------------------ */

static void user_drain(struct net_user *user)
{
	struct net_card *card = user->end.card;

	while (user->count) {
		struct waiting *w = &user->queue[user->first];

		if (!card->receive(card, w->frame, w->len))
			return;
		free(w->frame);
		user->first = (user->first + 1) % QUEUE_FRAMES;
		user->count--;
	}
}

/* libslirp has a frame for the guest. */
static ssize_t user_on_packet(const void *frame, size_t len, void *opaque)
{
	struct net_user *user = opaque;
	struct net_card *card = user->end.card;
	struct waiting *w;

	if (!user->count && card->receive(card, frame, len))
		return len;
	if (user->count == QUEUE_FRAMES)
		return len; /* dropped: TCP comes again */
	w = &user->queue[(user->first + user->count) % QUEUE_FRAMES];
	w->frame = malloc(len);
	if (!w->frame)
		return len;
	memcpy(w->frame, frame, len);
	w->len = len;
	user->count++;
	return len;
}

static void user_send(struct net_end *end, const u8 *frame, size_t len)
{
	struct net_user *user = container_of(end, struct net_user, end);

	slirp_input(user->slirp, frame, len);
	user_wake(user);
}

static void user_resume(struct net_end *end)
{
	user_drain(container_of(end, struct net_user, end));
}

/* -- what libslirp asks for -------------------------------------------------------------------- */

static void user_on_guest_error(const char *msg, void *opaque)
{
}

static s64 user_clock(void *opaque)
{
	return timer_now_ns();
}

static void *user_timer_new(SlirpTimerCb fn, void *arg, void *opaque)
{
	struct net_user *user = opaque;

	for (unsigned i = 0; i < MAX_TIMERS; i++) {
		if (user->timer[i].used)
			continue;
		user->timer[i] = (struct user_timer){.fn = fn, .arg = arg, .used = true};
		return &user->timer[i];
	}
	return NULL;
}

static void user_timer_free(void *timer, void *opaque)
{
	if (timer)
		*(struct user_timer *)timer = (struct user_timer){0};
}

static void user_timer_mod(void *timer, s64 expire_ms, void *opaque)
{
	if (timer)
		((struct user_timer *)timer)->expire_ms = expire_ms;
	user_wake(opaque);
}

static void user_on_poll_fd(int fd, void *opaque)
{
}

static void user_notify(void *opaque)
{
	user_wake(opaque);
}

static const SlirpCb user_callbacks = {
	.send_packet = user_on_packet,
	.guest_error = user_on_guest_error,
	.clock_get_ns = user_clock,
	.timer_new = user_timer_new,
	.timer_free = user_timer_free,
	.timer_mod = user_timer_mod,
	.register_poll_fd = user_on_poll_fd,
	.unregister_poll_fd = user_on_poll_fd,
	.notify = user_notify,
};

/* -- the thread -------------------------------------------------------------------------------- */

static const struct {
	int slirp;
	short poll;
} event_map[] = {
	{SLIRP_POLL_IN, POLLIN},   {SLIRP_POLL_OUT, POLLOUT}, {SLIRP_POLL_PRI, POLLPRI},
	{SLIRP_POLL_ERR, POLLERR}, {SLIRP_POLL_HUP, POLLHUP},
};

static int user_add_poll(int fd, int events, void *opaque)
{
	struct net_user *user = opaque;
	struct pollfd *p;

	if (user->fd_count == user->fd_room) {
		size_t room = user->fd_room + 64;
		struct pollfd *more = realloc(user->fds, room * sizeof(*more));

		if (!more)
			return -1;
		user->fds = more;
		user->fd_room = room;
	}
	p = &user->fds[user->fd_count];
	*p = (struct pollfd){.fd = fd};
	for (size_t i = 0; i < ARRAY_SIZE(event_map); i++)
		if (events & event_map[i].slirp)
			p->events |= event_map[i].poll;
	return user->fd_count++;
}

static int user_get_revents(int index, void *opaque)
{
	struct net_user *user = opaque;
	int events = 0;

	if (index < 0 || (size_t)index >= user->fd_count)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(event_map); i++)
		if (user->fds[index].revents & event_map[i].poll)
			events |= event_map[i].slirp;
	return events;
}

static u32 user_timer_wait(const struct net_user *user, u32 wait)
{
	s64 now = timer_now_ns() / 1000000;

	for (unsigned i = 0; i < MAX_TIMERS; i++) {
		s64 left = user->timer[i].expire_ms - now;

		if (user->timer[i].expire_ms && left < (s64)wait)
			wait = MAX(left, 0);
	}
	return wait;
}

static void user_run_timers(struct net_user *user)
{
	s64 now = timer_now_ns() / 1000000;

	for (unsigned i = 0; i < MAX_TIMERS; i++) {
		struct user_timer *t = &user->timer[i];

		if (!t->expire_ms || t->expire_ms > now)
			continue;
		t->expire_ms = 0;
		t->fn(t->arg);
	}
}

static void user_wait(struct net_user *user, pthread_mutex_t *lock)
{
	u32 wait = UINT32_MAX;
	u64 count;
	int n;

	user->fd_count = 0;
	if (user_add_poll(user->wake_fd, SLIRP_POLL_IN, user) < 0)
		wait = 100;
	slirp_pollfds_fill(user->slirp, &wait, user_add_poll, user);
	wait = user_timer_wait(user, wait);
	pthread_mutex_unlock(lock);
	n = poll(user->fds, user->fd_count, wait > INT32_MAX ? -1 : (int)wait);
	while (read(user->wake_fd, &count, sizeof(count)) > 0)
		;
	pthread_mutex_lock(lock);
	slirp_pollfds_poll(user->slirp, n < 0, user_get_revents, user);
}

static void *user_thread(void *opaque)
{
	struct net_user *user = opaque;
	pthread_mutex_t *lock = user->end.card->lock;

	pthread_setname_np(pthread_self(), "net-user");
	pthread_mutex_lock(lock);
	while (!user->stop) {
		user_wait(user, lock);
		user_run_timers(user);
	}
	pthread_mutex_unlock(lock);
	return NULL;
}

static int user_start_thread(struct net_user *user)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&user->thread, NULL, user_thread, user);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	user->running = !err;
	return -err;
}

/* -- life -------------------------------------------------------------------------------------- */

static void user_destroy(struct net_end *end)
{
	struct net_user *user = container_of(end, struct net_user, end);

	if (user->running) {
		pthread_mutex_lock(end->card->lock);
		user->stop = true;
		pthread_mutex_unlock(end->card->lock);
		user_wake(user);
		pthread_join(user->thread, NULL);
	}
	if (user->slirp)
		slirp_cleanup(user->slirp);
	for (; user->count; user->count--, user->first = (user->first + 1) % QUEUE_FRAMES)
		free(user->queue[user->first].frame);
	if (user->wake_fd >= 0)
		close(user->wake_fd);
	free(user->fds);
	free(user);
}

static const struct net_end_ops user_ops = {user_send, user_resume, user_destroy};

/* "[ADDR]:PORT", where an empty address is `any`. */
static int user_parse_place(const char *text, size_t len, u32 any, struct in_addr *addr, int *port)
{
	char place[64], *colon, *end;

	if (len >= sizeof(place))
		return -EINVAL;
	memcpy(place, text, len);
	place[len] = 0;
	colon = strchr(place, ':');
	if (!colon)
		return -EINVAL;
	*colon = 0;
	addr->s_addr = htonl(any);
	if (*place && inet_pton(AF_INET, place, addr) != 1)
		return -EINVAL;
	*port = strtol(colon + 1, &end, 10);
	return end == colon + 1 || *end || *port < 1 || *port > 65535 ? -EINVAL : 0;
}

/* "tcp:[ADDR]:PORT-[ADDR]:PORT", the host's place first, as QEMU has it. */
static int user_forward(struct net_user *user, const char *spec, size_t len)
{
	bool udp = len > 4 && !strncmp(spec, "udp:", 4);
	const char *dash = memchr(spec, '-', len);
	struct in_addr host, guest;
	int host_port, guest_port;

	if (len < 5 || (!udp && strncmp(spec, "tcp:", 4)) || !dash ||
	    user_parse_place(spec + 4, dash - spec - 4, INADDR_LOOPBACK, &host, &host_port) < 0 ||
	    user_parse_place(dash + 1, spec + len - dash - 1, 0, &guest, &guest_port) < 0)
		return msg_fail(-EINVAL, "hostfwd= wants tcp:[ADDR]:PORT-[ADDR]:PORT, not %.*s",
				(int)len, spec);
	if (slirp_add_hostfwd(user->slirp, udp, host, host_port, guest, guest_port) < 0)
		return msg_fail(-EADDRINUSE, "cannot forward port %d of the host: %s", host_port,
				strerror(errno));
	return 0;
}

static int user_parse_args(struct net_user *user, const char *args)
{
	int ret = 0;

	while (*args && !ret) {
		size_t len = strcspn(args, ",");

		if (len > 8 && !strncmp(args, "hostfwd=", 8))
			ret = user_forward(user, args + 8, len - 8);
		else
			ret = msg_fail(-EINVAL, "the user network does not know %.*s", (int)len,
				       args);
		args += len + (args[len] == ',');
	}
	return ret;
}

static int user_open(struct net_user *user, const char *args)
{
	SlirpConfig config = {
		.version = 1,
		.in_enabled = true,
		.vnetwork.s_addr = htonl(0x0a000200),
		.vnetmask.s_addr = htonl(0xffffff00),
		.vhost.s_addr = htonl(0x0a000202),
		.vdhcp_start.s_addr = htonl(0x0a00020f),
		.vnameserver.s_addr = htonl(0x0a000203),
	};
	int ret;

	user->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (user->wake_fd < 0)
		return -errno;
	user->slirp = slirp_new(&config, &user_callbacks, user);
	if (!user->slirp)
		return msg_fail(-ENOMEM, "cannot make the user network");
	ret = user_parse_args(user, args);
	return ret ? ret : user_start_thread(user);
}

int net_user_create(struct net_card *card, const char *args, struct net_end **end)
{
	struct net_user *user = calloc(1, sizeof(*user));
	int ret;

	if (!user)
		return -ENOMEM;
	user->end = (struct net_end){.ops = &user_ops, .card = card};
	user->wake_fd = -1;
	ret = user_open(user, args);
	if (ret)
		user_destroy(&user->end);
	else
		*end = &user->end;
	return ret;
}

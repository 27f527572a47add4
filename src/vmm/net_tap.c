/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <net/if.h>
#include <linux/if_tun.h>
#include "vmm/msg.h"
#include "vmm/net.h"

#define BATCH 64 /* frames for one turn of the loop */

struct net_tap {
	struct net_end end;
	int fd;
	bool watching;
	size_t pending; /* bytes in frame that the card had no room for */
	u8 frame[NET_MAX_FRAME];
};

static void tap_watch(struct net_tap *tap, bool on)
{
	if (tap->watching != on)
		loop_modify(tap->end.card->loop, tap->fd, on ? EPOLLIN : 0);
	tap->watching = on;
}

static bool tap_deliver(struct net_tap *tap)
{
	struct net_card *card = tap->end.card;

	if (tap->pending && !card->receive(card, tap->frame, tap->pending))
		return false;
	tap->pending = 0;
	return true;
}

static void tap_readable(void *opaque, u32 events)
{
	struct net_tap *tap = opaque;
	struct net_card *card = tap->end.card;
	bool room = true;

	pthread_mutex_lock(card->lock);
	for (int i = 0; i < BATCH && (room = tap_deliver(tap)); i++) {
		ssize_t n = read(tap->fd, tap->frame, sizeof(tap->frame));

		if (n <= 0)
			break;
		tap->pending = n;
	}
	tap_watch(tap, room);
	pthread_mutex_unlock(card->lock);
}

static void tap_send(struct net_end *end, const u8 *frame, size_t len)
{
	struct net_tap *tap = container_of(end, struct net_tap, end);
	ssize_t n = write(tap->fd, frame, len);

	(void)n; /* a full queue drops, as a wire does */
}

static void tap_resume(struct net_end *end)
{
	struct net_tap *tap = container_of(end, struct net_tap, end);

	tap_watch(tap, tap_deliver(tap));
}

static void tap_destroy(struct net_end *end)
{
	struct net_tap *tap = container_of(end, struct net_tap, end);

	close(tap->fd);
	free(tap);
}

static const struct net_end_ops tap_ops = {tap_send, tap_resume, tap_destroy};

static int tap_open(const char *name)
{
	struct ifreq req = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	int fd;

	if (!*name || strlen(name) >= sizeof(req.ifr_name))
		return msg_fail(-EINVAL, "tap= wants the name of a TAP device, not %s", name);
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return msg_fail(-errno, "cannot open /dev/net/tun: %s", strerror(errno));
	strcpy(req.ifr_name, name);
	if (ioctl(fd, TUNSETIFF, &req) < 0) {
		int err = -errno;

		close(fd);
		return msg_fail(err, "cannot use the TAP device %s: %s", name, strerror(-err));
	}
	return fd;
}

int net_tap_create(struct net_card *card, const char *name, struct net_end **end)
{
	struct net_tap *tap = calloc(1, sizeof(*tap));
	int ret;

	if (!tap)
		return -ENOMEM;
	tap->end = (struct net_end){.ops = &tap_ops, .card = card};
	ret = tap->fd = tap_open(name);
	if (ret >= 0)
		ret = loop_add(card->loop, tap->fd, EPOLLIN, tap_readable, tap);
	if (ret < 0) {
		if (tap->fd >= 0)
			close(tap->fd);
		free(tap);
		return ret;
	}
	tap->watching = true;
	*end = &tap->end;
	return 0;
}

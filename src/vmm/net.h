/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The far end of a network card's cable: a TAP device of the host, or a network of this process's
 * own (libslirp) that needs no privileges.
 */
#ifndef VMM_NET_H
#define VMM_NET_H

#include <pthread.h>
#include <sys/uio.h>
#include "vmm/loop.h"

#define NET_MAX_FRAME 65550 /* an Ethernet frame without its checksum, at most */

struct net_end;

struct net_end_ops {
	/* A frame from the guest; it may be dropped. The card's lock is held. */
	void (*send)(struct net_end *end, const u8 *frame, size_t len);
	/* The card has room for frames again. The card's lock is held. */
	void (*resume)(struct net_end *end);
	/* Frees it; the card's thread has ended. */
	void (*destroy)(struct net_end *end);
};

/* The card, as its far end sees it. */
struct net_card {
	struct loop *loop;     /* of the card's thread */
	pthread_mutex_t *lock; /* held around every call in both directions */
	/* Gives the guest a frame; false when it has no room, and resume() will come. */
	bool (*receive)(struct net_card *card, const u8 *frame, size_t len);
};

struct net_end {
	const struct net_end_ops *ops;
	struct net_card *card;
};

/*
 * Makes an end of the user network. `args` are forwardings "hostfwd=..." with commas between, or
 * empty. Prints what is wrong; 0 or a negative errno.
 */
int net_user_create(struct net_card *card, const char *args, struct net_end **end);
/* Makes an end at the host's TAP device `name`, which the user may open. The same. */
int net_tap_create(struct net_card *card, const char *name, struct net_end **end);

#endif

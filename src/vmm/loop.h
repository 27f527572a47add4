/* SPDX-License-Identifier: BSD-2-Clause */
/* The event loop of the VMM's main thread: console input, timers, network, signals. */
#ifndef VMM_LOOP_H
#define VMM_LOOP_H

#include <pthread.h>
#include <sys/epoll.h>
#include "base/types.h"

/* Called in the loop's thread with the EPOLL* events that came. */
typedef void (*loop_fn)(void *opaque, u32 events);

struct loop_entry {
	int fd;
	loop_fn fn;
	void *opaque;
	bool dead;
	struct loop_entry *next;
};

struct loop {
	int epoll_fd, stop_fd;
	bool stop;
	pthread_mutex_t lock;	    /* guards the list */
	struct loop_entry *entries; /* dead ones are freed between rounds */
};

/* Returns 0 or a negative errno. */
int loop_init(struct loop *loop);
/* Frees the loop; it closes no descriptor that was added. */
void loop_destroy(struct loop *loop);
/* Watches `fd` for EPOLL* events; 0 or a negative errno (-EPERM: a file that is always ready). Any
 * thread. */
int loop_add(struct loop *loop, int fd, u32 events, loop_fn fn, void *opaque);
/* Changes the watched events. Any thread. */
int loop_modify(struct loop *loop, int fd, u32 events);
/* Stops watching. Any thread, but a call of `fn` may still be under way outside the loop's thread.
 */
void loop_remove(struct loop *loop, int fd);
/* Serves events until loop_stop(). */
void loop_run(struct loop *loop);
/* Makes loop_run() return. Any thread, and signal handlers. */
void loop_stop(struct loop *loop);

#endif

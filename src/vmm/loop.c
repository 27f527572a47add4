/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "vmm/loop.h"

#define LOOP_BATCH 16

static void loop_on_stop(void *opaque, u32 events)
{
	struct loop *loop = opaque;

	__atomic_store_n(&loop->stop, true, __ATOMIC_RELEASE);
}

int loop_init(struct loop *loop)
{
	memset(loop, 0, sizeof(*loop));
	pthread_mutex_init(&loop->lock, NULL);
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	loop->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->epoll_fd < 0 || loop->stop_fd < 0)
		return -errno;
	return loop_add(loop, loop->stop_fd, EPOLLIN, loop_on_stop, loop);
}

void loop_destroy(struct loop *loop)
{
	while (loop->entries) {
		struct loop_entry *e = loop->entries;

		loop->entries = e->next;
		free(e);
	}
	close(loop->epoll_fd);
	close(loop->stop_fd);
}

int loop_add(struct loop *loop, int fd, u32 events, loop_fn fn, void *opaque)
{
	struct loop_entry *e = calloc(1, sizeof(*e));
	struct epoll_event ev = {.events = events, .data.ptr = e};

	if (!e)
		return -ENOMEM;
	*e = (struct loop_entry){.fd = fd, .fn = fn, .opaque = opaque};
	pthread_mutex_lock(&loop->lock);
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		int err = -errno;

		pthread_mutex_unlock(&loop->lock);
		free(e);
		return err;
	}
	e->next = loop->entries;
	loop->entries = e;
	pthread_mutex_unlock(&loop->lock);
	return 0;
}

static struct loop_entry *loop_find(struct loop *loop, int fd)
{
	for (struct loop_entry *e = loop->entries; e; e = e->next)
		if (e->fd == fd && !e->dead)
			return e;
	return NULL;
}

int loop_modify(struct loop *loop, int fd, u32 events)
{
	struct epoll_event ev = {.events = events};
	int ret = -ENOENT;

	pthread_mutex_lock(&loop->lock);
	ev.data.ptr = loop_find(loop, fd);
	if (ev.data.ptr)
		ret = epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, fd, &ev) < 0 ? -errno : 0;
	pthread_mutex_unlock(&loop->lock);
	return ret;
}

void loop_remove(struct loop *loop, int fd)
{
	struct loop_entry *e;

	pthread_mutex_lock(&loop->lock);
	e = loop_find(loop, fd);
	if (e) {
		epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
		e->dead = true;
	}
	pthread_mutex_unlock(&loop->lock);
}

/* Between rounds no event in hand points at an entry any more. */
static void loop_free_dead(struct loop *loop)
{
	struct loop_entry **link = &loop->entries;

	pthread_mutex_lock(&loop->lock);
	while (*link) {
		struct loop_entry *e = *link;

		if (e->dead) {
			*link = e->next;
			free(e);
		} else {
			link = &e->next;
		}
	}
	pthread_mutex_unlock(&loop->lock);
}

void loop_run(struct loop *loop)
{
	struct epoll_event ev[LOOP_BATCH];

	while (!__atomic_load_n(&loop->stop, __ATOMIC_ACQUIRE)) {
		int n = epoll_wait(loop->epoll_fd, ev, LOOP_BATCH, -1);

		for (int i = 0; i < n; i++) {
			struct loop_entry *e = ev[i].data.ptr;

			if (!e->dead)
				e->fn(e->opaque, ev[i].events);
		}
		loop_free_dead(loop);
	}
}

void loop_stop(struct loop *loop)
{
	u64 one = 1;
	ssize_t n = write(loop->stop_fd, &one, sizeof(one));

	(void)n;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Which file descriptors are ours: the library's only global state. */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "api/api.h"
#include "nestkvm.h"

static struct {
	pthread_mutex_t lock;
	struct object **at; /* by descriptor */
	int size;
	unsigned fork_count; /* raised in each child */
	pthread_once_t once;
} table = {.lock = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT};

/* -- fork: the child finds the table unlocked, and its objects to be its parent's
 * ------------------- */

static void fork_prepare(void)
{
	pthread_mutex_lock(&table.lock);
}

static void fork_parent(void)
{
	pthread_mutex_unlock(&table.lock);
}

static void fork_child(void)
{
	table.fork_count++;
	pthread_mutex_unlock(&table.lock);
}

static void watch_forks(void)
{
	pthread_atfork(fork_prepare, fork_parent, fork_child);
}

bool object_is_ours(const struct object *o)
{
	return o->fork_count == table.fork_count;
}

/* -- objects ------------------------------------------------------------------------------------
 */

struct object *object_create(enum object_kind kind, struct object *parent)
{
	struct object *o = calloc(1, sizeof(*o));

	pthread_once(&table.once, watch_forks);
	if (!o)
		return NULL;
	o->kind = kind;
	o->refs = 1;
	o->fork_count = table.fork_count;
	if (parent) {
		o->params = parent->params;
		o->vm = parent->vm;
	}
	if (kind == OBJECT_VCPU) {
		o->parent = parent;
		atomic_fetch_add(&parent->refs, 1);
	}
	return o;
}

/* A VM goes with its last reference; its threads are in the process that made it. */
void object_put(struct object *o)
{
	while (o && atomic_fetch_sub(&o->refs, 1) == 1) {
		struct object *parent = o->parent;

		if (o->kind == OBJECT_VM && o->vm && object_is_ours(o))
			vm_destroy(o->vm);
		free(o);
		o = parent;
	}
}

struct object *object_get(int fd)
{
	struct object *o = NULL;

	pthread_mutex_lock(&table.lock);
	if (fd >= 0 && fd < table.size)
		o = table.at[fd];
	if (o)
		atomic_fetch_add(&o->refs, 1);
	pthread_mutex_unlock(&table.lock);
	return o;
}

static int grow(int fd)
{
	int size = MAX(64, (fd + 1) * 2);
	struct object **at;

	if (fd < table.size)
		return 0;
	at = realloc(table.at, (size_t)size * sizeof(*at));
	if (!at)
		return -ENOMEM;
	for (int i = table.size; i < size; i++)
		at[i] = NULL;
	table.at = at;
	table.size = size;
	return 0;
}

/* An object found at a new descriptor was closed behind our back. */
int object_install(int fd, struct object *o)
{
	struct object *old = NULL;
	int r;

	pthread_mutex_lock(&table.lock);
	r = grow(fd);
	if (!r) {
		old = table.at[fd];
		table.at[fd] = o;
	}
	pthread_mutex_unlock(&table.lock);
	object_put(old);
	return r ? r : fd;
}

int nestkvm_close(int fd)
{
	struct object *o = NULL;

	pthread_mutex_lock(&table.lock);
	if (fd >= 0 && fd < table.size) {
		o = table.at[fd];
		table.at[fd] = NULL;
	}
	pthread_mutex_unlock(&table.lock);
	if (!o)
		return -EBADF;
	close(fd);
	object_put(o);
	return 0;
}

int nestkvm_is_fd(int fd)
{
	struct object *o = object_get(fd);

	object_put(o);
	return o != NULL;
}

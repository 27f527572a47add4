/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Executable memory for stubs: one memfd, mapped twice, so that no mapping is ever writable and
 * executable. A mapping is filled once from front to back, and stays until the process ends.
 */
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "interp/native.h"

/*
 * Room for all stubs of all forms, most of which differ only in their 8-bit immediates (some 70000 stubs
 * in 4 MiB). Pages are taken as they are filled; a Linux guest with its user space takes few.
 */
#define POOL_SIZE  (16u << 20)
#define HASH_SLOTS (1u << 18)

struct slot {
	u32 start; /* offset + 1 in the pool */
	u32 len;
};

/*
 * Shared by all vCPUs of the process, since stubs are code without state. Written under the lock
 * only.
 */
static struct pool {
	pthread_mutex_t lock;
	pid_t owner; /* after fork() the child must not write to its parent's pool */
	u8 *write, *exec;
	u32 used, nslots;
	struct slot slots[HASH_SLOTS];
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool pool_map(int fd)
{
	u8 *w, *x;

	if (ftruncate(fd, POOL_SIZE))
		return false;
	w = mmap(NULL, POOL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (w == MAP_FAILED)
		return false;
	x = mmap(NULL, POOL_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	if (x == MAP_FAILED) {
		munmap(w, POOL_SIZE);
		return false;
	}
	pool.write = w;
	pool.exec = x;
	return true;
}

/* A child starts anew; the stubs that it inherited stay mapped, for its decoded code refers to
 * them. */
static bool pool_open(void)
{
	int fd;
	bool ok;

	if (pool.exec && pool.owner == getpid())
		return true;
	pool.exec = NULL;
	pool.used = 0;
	pool.nslots = 0;
	memset(pool.slots, 0, sizeof(pool.slots));
	fd = memfd_create("nestkvm-stubs", MFD_CLOEXEC);
	if (fd < 0)
		return false;
	ok = pool_map(fd);
	close(fd);
	pool.owner = getpid();
	return ok;
}

static u32 hash(const u8 *code, unsigned len)
{
	u32 h = 2166136261u;

	for (unsigned n = 0; n < len; n++)
		h = (h ^ code[n]) * 16777619u;
	return h ^ h >> 15;
}

static u8 *pool_lookup(const u8 *code, unsigned len)
{
	u32 n = hash(code, len) & (HASH_SLOTS - 1);
	struct slot *s;

	for (s = &pool.slots[n]; s->start; n = (n + 1) & (HASH_SLOTS - 1), s = &pool.slots[n])
		if (s->len == len && !memcmp(pool.write + s->start - 1, code, len))
			return pool.exec + s->start - 1;
	if (pool.nslots >= HASH_SLOTS * 3 / 4 || pool.used + len > POOL_SIZE)
		return NULL;
	s->start = pool.used + 1;
	s->len = len;
	pool.nslots++;
	memcpy(pool.write + pool.used, code, len);
	pool.used += (u32)ALIGN_UP(len, 16);
	return pool.exec + s->start - 1;
}

native_fn native_pool_get(const u8 *code, unsigned len)
{
	u8 *p = NULL;

	pthread_mutex_lock(&pool.lock);
	if (pool_open())
		p = pool_lookup(code, len);
	pthread_mutex_unlock(&pool.lock);
	return (native_fn)(void *)p;
}

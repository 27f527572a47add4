/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Arguments in the caller's memory. A bad pointer must give EFAULT and not a signal, so the kernel
 * copies: process_vm_readv() on ourselves. Where a sandbox forbids that, pointers are trusted.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "api/api.h"

static bool forbidden(void)
{
	return errno == ENOSYS || errno == EPERM || errno == EACCES;
}

int user_read(void *dst, const void *user, size_t len)
{
	struct iovec local = {dst, len}, remote = {(void *)user, len};
	int saved = errno, r = 0;

	if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) != (ssize_t)len) {
		if (forbidden() && user)
			memcpy(dst, user, len);
		else
			r = -EFAULT;
	}
	errno = saved;
	return r;
}

int user_write(void *user, const void *src, size_t len)
{
	struct iovec local = {(void *)src, len}, remote = {user, len};
	int saved = errno, r = 0;

	if (process_vm_writev(getpid(), &local, 1, &remote, 1, 0) != (ssize_t)len) {
		if (forbidden() && user)
			memcpy(user, src, len);
		else
			r = -EFAULT;
	}
	errno = saved;
	return r;
}

void *user_read_array(const void *user, size_t head, size_t elem, u32 max, int *err)
{
	size_t len;
	void *p;
	u32 n;

	*err = user_read(&n, user, sizeof(n));
	if (*err)
		return NULL;
	*err = -E2BIG;
	if (n > max)
		return NULL;
	*err = -ENOMEM;
	len = head + (size_t)n * elem;
	p = malloc(len);
	if (!p)
		return NULL;
	*err = user_read(p, user, len);
	memcpy(p, &n, sizeof(n)); /* whatever another thread makes of it meanwhile */
	if (!*err)
		return p;
	free(p);
	return NULL;
}

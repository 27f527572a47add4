/* SPDX-License-Identifier: BSD-2-Clause */
/* Format: Documentation/driver-api/early-userspace/buffer-format.rst of Linux. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cli/cpio.h"

#define CPIO_MAGIC   "070701"
#define CPIO_TRAILER "TRAILER!!!"
#define CPIO_ALIGN   4

void cpio_init(struct cpio *cpio)
{
	*cpio = (struct cpio){.data = NULL};
}

void cpio_free(struct cpio *cpio)
{
	free(cpio->data);
	free(cpio->dirs);
	cpio_init(cpio);
}

static void cpio_append(struct cpio *cpio, const void *data, size_t len)
{
	size_t need = ALIGN_UP(cpio->len + len, CPIO_ALIGN);

	if (cpio->error)
		return;
	if (need > cpio->capacity) {
		size_t capacity = MAX(need, cpio->capacity * 2);
		u8 *grown = realloc(cpio->data, capacity);

		if (!grown) {
			cpio->error = -ENOMEM;
			return;
		}
		cpio->data = grown;
		cpio->capacity = capacity;
	}
	if (len)
		memcpy(cpio->data + cpio->len, data, len);
	memset(cpio->data + cpio->len + len, 0, need - cpio->len - len);
	cpio->len = need;
}

static void cpio_entry(struct cpio *cpio, const char *path, u32 mode, const void *data, size_t len)
{
	char header[6 + 13 * 8 + 4096];
	int n;

	if (len > UINT32_MAX) {
		cpio->error = -EFBIG;
		return;
	}
	path += *path == '/';
	n = snprintf(header, sizeof(header),
		     CPIO_MAGIC "%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s",
		     ++cpio->inode, mode, 0, 0, 1, 0, (u32)len, 0, 0, 0, 0, (u32)strlen(path) + 1,
		     0, path);
	if (n >= (int)sizeof(header)) {
		cpio->error = -ENAMETOOLONG;
		return;
	}
	cpio_append(cpio, header, n + 1);
	cpio_append(cpio, data, len);
}

static bool cpio_has_dir(const struct cpio *cpio, const char *path, size_t len)
{
	for (const char *p = cpio->dirs; p && *p; p = strchr(p, '\n') + 1)
		if (!strncmp(p, path, len) && p[len] == '\n')
			return true;
	return false;
}

static void cpio_remember_dir(struct cpio *cpio, const char *path)
{
	size_t old = cpio->dirs ? strlen(cpio->dirs) : 0;
	char *dirs = realloc(cpio->dirs, old + strlen(path) + 2);

	if (!dirs) {
		cpio->error = -ENOMEM;
		return;
	}
	cpio->dirs = dirs;
	sprintf(dirs + old, "%s\n", path);
}

/* Adds the folders above `path`. */
static void cpio_add_parents(struct cpio *cpio, const char *path)
{
	char dir[4096];

	for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		if ((size_t)(slash - path) >= sizeof(dir) || cpio_has_dir(cpio, path, slash - path))
			continue;
		memcpy(dir, path, slash - path);
		dir[slash - path] = 0;
		cpio_remember_dir(cpio, dir);
		cpio_entry(cpio, dir, S_IFDIR | 0755, NULL, 0);
	}
}

void cpio_add_dir(struct cpio *cpio, const char *path)
{
	cpio_add_parents(cpio, path);
	if (cpio_has_dir(cpio, path, strlen(path)))
		return;
	cpio_remember_dir(cpio, path);
	cpio_entry(cpio, path, S_IFDIR | 0755, NULL, 0);
}

void cpio_add_data(struct cpio *cpio, const char *path, u32 mode, const void *data, size_t len)
{
	cpio_add_parents(cpio, path);
	cpio_entry(cpio, path, S_IFREG | mode, data, len);
}

void cpio_add_link(struct cpio *cpio, const char *path, const char *target)
{
	cpio_add_parents(cpio, path);
	cpio_entry(cpio, path, S_IFLNK | 0777, target, strlen(target));
}

void cpio_add_file(struct cpio *cpio, const char *path, u32 mode, const char *from)
{
	size_t len;
	u8 *data;
	int ret = cpio_read_file(from, &data, &len);

	if (ret < 0) {
		cpio->error = cpio->error ? cpio->error : ret;
		return;
	}
	cpio_add_data(cpio, path, mode, data, len);
	free(data);
}

static int write_all(int fd, const u8 *p, size_t len)
{
	while (len) {
		ssize_t n = write(fd, p, MIN(len, 1u << 30));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= n;
	}
	return 0;
}

int cpio_finish(struct cpio *cpio)
{
	cpio_entry(cpio, CPIO_TRAILER, 0, NULL, 0);
	return cpio->error;
}

int cpio_write(struct cpio *cpio, const char *file)
{
	int fd, ret = cpio_finish(cpio);

	if (ret < 0)
		return ret;
	fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	ret = write_all(fd, cpio->data, cpio->len);
	if (close(fd) < 0 && !ret)
		ret = -errno;
	return ret;
}

int cpio_read_file(const char *file, u8 **data, size_t *len)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC), ret = 0;
	struct stat st;
	size_t done = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return -EINVAL;
	}
	*data = malloc(st.st_size + 1);
	while (*data && done < (size_t)st.st_size) {
		ssize_t n = read(fd, *data + done, st.st_size - done);

		if (n <= 0) {
			ret = n < 0 ? -errno : -EIO;
			break;
		}
		done += n;
	}
	close(fd);
	if (!*data)
		return -ENOMEM;
	if (ret < 0)
		free(*data);
	*len = done;
	return ret;
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "vmm/msg.h"
#include "vmm/ram.h"

#define HUGETLBFS_FS_MAGIC 0x958458f6
#define HUGE_PAGE	   (2ull << 20)

/* In a directory the backing file has no name: it vanishes with the process. */
static int ram_open_backing(const char *path)
{
	char name[4096];
	struct stat st;
	int fd;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
		snprintf(name, sizeof(name), "%s/nestkvm-ram-XXXXXX", path);
		fd = mkostemp(name, O_CLOEXEC);
		if (fd >= 0)
			unlink(name);
	} else {
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	}
	return fd < 0 ? -errno : fd;
}

static u64 ram_backing_page(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) == 0 && fs.f_type == HUGETLBFS_FS_MAGIC)
		return fs.f_bsize;
	return PAGE_SIZE;
}

static int ram_map_file(struct ram *ram, const char *path)
{
	int fd = ram_open_backing(path), ret = 0;

	if (fd < 0)
		return msg_fail(fd, "cannot open memory file %s: %s", path, strerror(-fd));
	ram->map_size = ALIGN_UP(ram->size, ram_backing_page(fd));
	if (ftruncate(fd, ram->map_size) < 0) {
		ret = msg_fail(-errno, "cannot size memory file %s: %s", path, strerror(errno));
	} else {
		ram->host = mmap(NULL, ram->map_size, PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_NORESERVE, fd, 0);
		if (ram->host == MAP_FAILED)
			ret = msg_fail(-errno, "cannot map memory file %s: %s", path,
				       strerror(errno));
	}
	close(fd);
	return ret;
}

/* Aligned to 2 MiB, so that the host can back guest 2-MiB pages with its own. */
static int ram_map_anonymous(struct ram *ram, bool no_hugepages)
{
	u8 *p, *start;

	ram->map_size = ALIGN_UP(ram->size, PAGE_SIZE);
	p = mmap(NULL, ram->map_size + HUGE_PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return msg_fail(-errno, "cannot allocate %llu MiB of guest memory: %s",
				(unsigned long long)ram->size >> 20, strerror(errno));
	start = (u8 *)ALIGN_UP((uintptr_t)p, HUGE_PAGE);
	if (start > p)
		munmap(p, start - p);
	munmap(start + ram->map_size, p + HUGE_PAGE - start);
	if (!no_hugepages)
		madvise(start, ram->map_size, MADV_HUGEPAGE);
	ram->host = start;
	return 0;
}

int ram_create(struct ram *ram, const struct ram_config *config)
{
	int ret;

	memset(ram, 0, sizeof(*ram));
	ram->size = config->size;
	ram->low_size = MIN(ram->size, RAM_LOW_MAX);
	ram->high_size = ram->size - ram->low_size;
	ret = config->path ? ram_map_file(ram, config->path)
			   : ram_map_anonymous(ram, config->no_hugepages);
	if (ret < 0) {
		ram->host = NULL;
		return ret;
	}
	madvise(ram->host, ram->map_size, MADV_DONTDUMP);
	if (config->prealloc && madvise(ram->host, ram->map_size, MADV_POPULATE_WRITE) < 0) {
		ret = msg_fail(-errno, "cannot preallocate guest memory: %s", strerror(errno));
		ram_destroy(ram);
	}
	return ret;
}

void ram_destroy(struct ram *ram)
{
	if (ram->host)
		munmap(ram->host, ram->map_size);
	ram->host = NULL;
}

int ram_write(const struct ram *ram, u64 gpa, const void *data, u64 len)
{
	void *p = ram_ptr(ram, gpa, len);

	if (!p)
		return -EFAULT;
	memcpy(p, data, len);
	return 0;
}

int ram_read(const struct ram *ram, u64 gpa, void *data, u64 len)
{
	const void *p = ram_ptr(ram, gpa, len);

	if (!p)
		return -EFAULT;
	memcpy(data, p, len);
	return 0;
}

int ram_zero(const struct ram *ram, u64 gpa, u64 len)
{
	void *p = ram_ptr(ram, gpa, len);

	if (!p)
		return -EFAULT;
	memset(p, 0, len);
	return 0;
}

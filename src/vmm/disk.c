/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include "vmm/disk.h"
#include "vmm/msg.h"

#define ZERO_CHUNK 65536

/* Open-file-description locks end with the descriptor, whoever else opens and closes the file. */
static int disk_lock(const struct disk *disk)
{
	struct flock lock = {.l_type = disk->read_only ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET};

	if (fcntl(disk->fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	/* Some filesystems have no locks; only a lock that is held is a reason to stop. */
	return errno == EAGAIN || errno == EACCES ? -EBUSY : 0;
}

static int disk_find_size(struct disk *disk)
{
	struct stat st;

	if (fstat(disk->fd, &st) < 0)
		return -errno;
	if (S_ISBLK(st.st_mode)) {
		disk->block_device = true;
		return ioctl(disk->fd, BLKGETSIZE64, &disk->size) < 0 ? -errno : 0;
	}
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode))
		return -ENOTBLK;
	disk->size = st.st_size;
	return 0;
}

static void disk_set_id(struct disk *disk, const char *path)
{
	const char *slash = strrchr(path, '/');

	snprintf(disk->id, sizeof(disk->id), "%s", slash ? slash + 1 : path);
}

int disk_open(struct disk *disk, const char *path, bool read_only)
{
	int ret;

	memset(disk, 0, sizeof(*disk));
	disk->read_only = read_only;
	disk_set_id(disk, path);
	disk->fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (disk->fd < 0)
		return msg_fail(-errno, "cannot open the disk %s: %s", path, strerror(errno));
	ret = disk_find_size(disk);
	if (ret < 0)
		msg_fail(ret, "%s is no disk: %s", path, strerror(-ret));
	else if (disk->size < DISK_SECTOR)
		ret = msg_fail(-EINVAL, "the disk %s is empty", path);
	else if ((ret = disk_lock(disk)) < 0)
		msg_fail(ret, "the disk %s is in use by another process", path);
	if (ret < 0) {
		close(disk->fd);
		return ret;
	}
	if (disk->size % DISK_SECTOR)
		msg_warn("the last %u bytes of %s are no whole sector, and left out",
			 (unsigned)(disk->size % DISK_SECTOR), path);
	disk->size -= disk->size % DISK_SECTOR;
	return 0;
}

void disk_close(struct disk *disk)
{
	if (!disk->read_only && disk_flush(disk) < 0)
		msg_warn("the disk %s could not be written out: %s", disk->id, strerror(errno));
	close(disk->fd);
}

bool disk_range_ok(const struct disk *disk, u64 off, u64 len)
{
	return off % DISK_SECTOR == 0 && len % DISK_SECTOR == 0 && off <= disk->size &&
	       len <= disk->size - off;
}

/* Drops `n` bytes from the front of the pieces. */
static void iov_advance(struct iovec **iov, unsigned *count, size_t n)
{
	while (*count && n >= (*iov)->iov_len) {
		n -= (*iov)->iov_len;
		(*iov)++;
		(*count)--;
	}
	if (*count) {
		(*iov)->iov_base = (u8 *)(*iov)->iov_base + n;
		(*iov)->iov_len -= n;
	}
}

int disk_transfer(struct disk *disk, bool write, struct iovec *iov, unsigned count, u64 off,
		  u64 len)
{
	while (len) {
		ssize_t n = write ? pwritev(disk->fd, iov, count, off)
				  : preadv(disk->fd, iov, count, off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0 || (u64)n > len)
			return -EIO; /* the file has shrunk */
		iov_advance(&iov, &count, n);
		off += n;
		len -= n;
	}
	return 0;
}

int disk_flush(struct disk *disk)
{
	return fdatasync(disk->fd) < 0 ? -errno : 0;
}

static int disk_fallocate(struct disk *disk, int mode, u64 off, u64 len)
{
	return fallocate(disk->fd, mode | FALLOC_FL_KEEP_SIZE, off, len) < 0 ? -errno : 0;
}

/* Discarding is a hint: what the host cannot do is not an error. */
int disk_discard(struct disk *disk, u64 off, u64 len)
{
	int ret = 0;
	u64 range[2] = {off, len};

	if (!len)
		return 0;
	if (disk->block_device)
		ret = ioctl(disk->fd, BLKDISCARD, range) < 0 ? -errno : 0;
	else
		ret = disk_fallocate(disk, FALLOC_FL_PUNCH_HOLE, off, len);
	return ret == -EOPNOTSUPP || ret == -ENOTTY || ret == -EINVAL ? 0 : ret;
}

static int disk_write_zeros(struct disk *disk, u64 off, u64 len)
{
	static const u8 zeros[ZERO_CHUNK];

	while (len) {
		struct iovec iov = {(void *)zeros, MIN(len, (u64)ZERO_CHUNK)};
		u64 n = iov.iov_len;
		int ret = disk_transfer(disk, true, &iov, 1, off, n);

		if (ret)
			return ret;
		off += n;
		len -= n;
	}
	return 0;
}

int disk_zero(struct disk *disk, u64 off, u64 len, bool unmap)
{
	if (!len)
		return 0;
	if (!disk->block_device &&
	    !disk_fallocate(disk, unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE, off, len))
		return 0;
	return disk_write_zeros(disk, off, len);
}

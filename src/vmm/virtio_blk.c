/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-blk (virtio 1.2, section 5.2): requests are done one after the other, in order. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/virtio_blk.h>
#include "vmm/disk.h"
#include "vmm/msg.h"
#include "vmm/virtio.h"
#include "vmm/virtio_devices.h"

#define SEG_MAX		 (VIRTQ_MAX_SIZE - 2) /* a request has a header and a status, too */
#define MAX_RANGES	 16
#define MAX_RANGE_BLOCKS (1u << 22) /* sectors: 2 GiB */

struct virtio_blk {
	struct virtio_dev dev;
	struct disk disk;
	struct virtq_buf buf;
};

static u8 blk_status(int ret)
{
	if (ret == -EOPNOTSUPP)
		return VIRTIO_BLK_S_UNSUPP;
	return ret ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK;
}

/* Data starts behind the header, or ends before the status byte. */
static int blk_transfer(struct virtio_blk *blk, bool write, u64 sector, u32 *written)
{
	struct virtq_buf *buf = &blk->buf;
	struct iovec iov[VIRTQ_MAX_IOV];
	u64 len, off = sector * DISK_SECTOR;
	unsigned n;
	int ret;

	len = write ? buf->out_len - sizeof(struct virtio_blk_outhdr) : buf->in_len - 1;
	if (sector > blk->disk.size / DISK_SECTOR || !disk_range_ok(&blk->disk, off, len))
		return -EINVAL;
	if (write && blk->disk.read_only)
		return -EROFS;
	if (write)
		n = virtq_iov_slice(buf->iov, buf->out_count, sizeof(struct virtio_blk_outhdr), len,
				    iov);
	else
		n = virtq_iov_slice(buf->in, buf->in_count, 0, len, iov);
	ret = disk_transfer(&blk->disk, write, iov, n, off, len);
	if (!write && !ret)
		*written = len;
	return ret;
}

static int blk_clear_range(struct virtio_blk *blk, u32 type,
			   const struct virtio_blk_discard_write_zeroes *range)
{
	u64 off = range->sector * DISK_SECTOR, len = (u64)range->num_sectors * DISK_SECTOR;
	bool unmap = range->flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;

	/* A discard has no flags (5.2.6.2). */
	if (range->flags & ~(type == VIRTIO_BLK_T_DISCARD ? 0 : 1))
		return -EOPNOTSUPP;
	if (range->sector > blk->disk.size / DISK_SECTOR || !disk_range_ok(&blk->disk, off, len) ||
	    range->num_sectors > MAX_RANGE_BLOCKS)
		return -EINVAL;
	return type == VIRTIO_BLK_T_DISCARD ? disk_discard(&blk->disk, off, len)
					    : disk_zero(&blk->disk, off, len, unmap);
}

/* Discard and write-zeroes carry an array of ranges. */
static int blk_clear(struct virtio_blk *blk, u32 type)
{
	struct virtio_blk_discard_write_zeroes range[MAX_RANGES];
	u64 len = blk->buf.out_len - sizeof(struct virtio_blk_outhdr);
	int ret = 0;

	if (blk->disk.read_only)
		return -EROFS;
	if (!len || len % sizeof(range[0]) || len > sizeof(range))
		return -EINVAL;
	virtq_buf_read(&blk->buf, sizeof(struct virtio_blk_outhdr), range, len);
	for (unsigned i = 0; i < len / sizeof(range[0]) && !ret; i++)
		ret = blk_clear_range(blk, type, &range[i]);
	return ret;
}

static int blk_get_id(struct virtio_blk *blk, u32 *written)
{
	u64 room = MIN(blk->buf.in_len - 1, (u64)VIRTIO_BLK_ID_BYTES);

	*written = virtq_buf_write(&blk->buf, 0, blk->disk.id, room);
	return 0;
}

static int blk_execute(struct virtio_blk *blk, const struct virtio_blk_outhdr *hdr, u32 *written)
{
	switch (hdr->type) {
	case VIRTIO_BLK_T_IN:
		return blk_transfer(blk, false, hdr->sector, written);
	case VIRTIO_BLK_T_OUT:
		return blk_transfer(blk, true, hdr->sector, written);
	case VIRTIO_BLK_T_FLUSH:
		return blk->disk.read_only ? 0 : disk_flush(&blk->disk);
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return blk_clear(blk, hdr->type);
	case VIRTIO_BLK_T_GET_ID:
		return blk_get_id(blk, written);
	default:
		return -EOPNOTSUPP;
	}
}

static void blk_serve(struct virtio_blk *blk)
{
	struct virtio_blk_outhdr hdr;
	u32 written = 0;
	u8 status;

	/* Without a header or a place for the status there is nothing to answer (5.2.6.1). */
	if (virtq_buf_read(&blk->buf, 0, &hdr, sizeof(hdr)) < sizeof(hdr) || !blk->buf.in_len) {
		virtio_break(&blk->dev);
		return;
	}
	status = blk_status(blk_execute(blk, &hdr, &written));
	virtq_buf_write(&blk->buf, blk->buf.in_len - 1, &status, 1);
	virtio_push(&blk->dev, 0, blk->buf.head, written + 1);
	virtio_signal(&blk->dev, 0);
}

static void blk_kicked(struct virtio_dev *dev, unsigned queue)
{
	struct virtio_blk *blk = container_of(dev, struct virtio_blk, dev);

	while (virtio_pop(dev, 0, &blk->buf))
		blk_serve(blk);
}

static void blk_destroy(struct virtio_dev *dev)
{
	struct virtio_blk *blk = container_of(dev, struct virtio_blk, dev);

	disk_close(&blk->disk);
	free(blk);
}

static const struct virtio_ops blk_ops = {.kicked = blk_kicked, .destroy = blk_destroy};

static void blk_init(struct virtio_blk *blk)
{
	u64 features =
		BIT(VIRTIO_BLK_F_SEG_MAX) | BIT(VIRTIO_BLK_F_BLK_SIZE) | BIT(VIRTIO_BLK_F_FLUSH);
	struct virtio_blk_config config = {
		.capacity = blk->disk.size / DISK_SECTOR,
		.seg_max = SEG_MAX,
		.blk_size = DISK_SECTOR,
		.max_discard_sectors = MAX_RANGE_BLOCKS,
		.max_discard_seg = MAX_RANGES,
		.discard_sector_alignment = 1,
		.max_write_zeroes_sectors = MAX_RANGE_BLOCKS,
		.max_write_zeroes_seg = MAX_RANGES,
		.write_zeroes_may_unmap = 1,
	};

	features |= blk->disk.read_only
			    ? BIT(VIRTIO_BLK_F_RO)
			    : BIT(VIRTIO_BLK_F_DISCARD) | BIT(VIRTIO_BLK_F_WRITE_ZEROES);
	virtio_init(&blk->dev, "virtio-blk", VIRTIO_TYPE_BLK, &blk_ops, features, 1);
	blk->dev.config_len = MIN(sizeof(config), (size_t)VIRTIO_MAX_CONFIG);
	memcpy(blk->dev.config, &config, blk->dev.config_len);
}

/* "FILE" or "FILE,ro"; a file's name may have commas. */
static int blk_open(struct virtio_blk *blk, const char *args)
{
	size_t len = strlen(args);
	bool ro = len > 3 && !strcmp(args + len - 3, ",ro");
	char *path = strndup(args, ro ? len - 3 : len);
	int ret = path ? disk_open(&blk->disk, path, ro) : -ENOMEM;

	free(path);
	return ret;
}

int virtio_blk_create(struct board *board, const char *args)
{
	struct virtio_blk *blk = calloc(1, sizeof(*blk));
	int ret;

	if (!blk)
		return -ENOMEM;
	ret = blk_open(blk, args);
	if (ret) {
		free(blk);
		return ret;
	}
	blk_init(blk);
	return virtio_attach(&blk->dev, board);
}

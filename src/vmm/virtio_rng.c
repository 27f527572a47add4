/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-rng (virtio 1.2, section 5.4): the host's random numbers. */
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include "vmm/virtio.h"
#include "vmm/virtio_devices.h"

#define MAX_BYTES 65536 /* of one request; the guest asks again for more */

struct virtio_rng {
	struct virtio_dev dev;
	struct virtq_buf buf;
};

static size_t rng_fill(const struct virtq_buf *buf)
{
	size_t done = 0;

	while (done < MIN(buf->in_len, (u64)MAX_BYTES)) {
		u8 bytes[256]; /* up to this size getrandom() is not interrupted */

		if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
			break;
		done += virtq_buf_write(buf, done, bytes, sizeof(bytes));
	}
	return done;
}

static void rng_kicked(struct virtio_dev *dev, unsigned queue)
{
	struct virtio_rng *rng = container_of(dev, struct virtio_rng, dev);

	while (virtio_pop(dev, queue, &rng->buf))
		virtio_push(dev, queue, rng->buf.head, rng_fill(&rng->buf));
	virtio_signal(dev, queue);
}

static void rng_destroy(struct virtio_dev *dev)
{
	free(container_of(dev, struct virtio_rng, dev));
}

static const struct virtio_ops rng_ops = {.kicked = rng_kicked, .destroy = rng_destroy};

int virtio_rng_create(struct board *board, const char *args)
{
	struct virtio_rng *rng = calloc(1, sizeof(*rng));

	if (!rng)
		return -ENOMEM;
	virtio_init(&rng->dev, "virtio-rng", VIRTIO_TYPE_RNG, &rng_ops, 0, 1);
	return virtio_attach(&rng->dev, board);
}

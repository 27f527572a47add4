/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-console (virtio 1.2, section 5.3) with one port, hvc0. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <linux/virtio_console.h>
#include "vmm/virtio.h"
#include "vmm/virtio_devices.h"

enum { QUEUE_RX, QUEUE_TX, QUEUES };

struct virtio_console {
	struct virtio_dev dev;
	struct console *console;
	struct virtq_buf rx, tx;
};

/* In the main loop's thread: the user has typed. */
static size_t console_input(void *opaque, const u8 *data, size_t len)
{
	struct virtio_console *con = opaque;
	struct virtio_dev *dev = &con->dev;
	size_t done = 0;

	pthread_mutex_lock(&dev->lock);
	while (done < len && virtio_pop(dev, QUEUE_RX, &con->rx)) {
		size_t n = virtq_buf_write(&con->rx, 0, data + done, len - done);

		if (!n) { /* buffers of no bytes would keep this loop busy */
			virtio_break(dev);
			break;
		}
		virtio_push(dev, QUEUE_RX, con->rx.head, n);
		done += n;
	}
	virtio_signal(dev, QUEUE_RX);
	pthread_mutex_unlock(&dev->lock);
	return done;
}

/*
 * A slow reader makes console_write() wait, and must not make the guest's other accesses or the
 * user's input wait. It only reads from the guest's RAM, so a reset meanwhile does no harm.
 */
static void console_output(struct virtio_console *con)
{
	struct virtio_dev *dev = &con->dev;
	u32 epoch = dev->epoch;

	pthread_mutex_unlock(&dev->lock);
	for (unsigned i = 0; i < con->tx.out_count; i++)
		console_write(con->console, con->tx.iov[i].iov_base, con->tx.iov[i].iov_len);
	pthread_mutex_lock(&dev->lock);
	if (dev->epoch == epoch)
		virtio_push(dev, QUEUE_TX, con->tx.head, 0);
}

static void console_kicked(struct virtio_dev *dev, unsigned queue)
{
	struct virtio_console *con = container_of(dev, struct virtio_console, dev);

	if (queue == QUEUE_RX) {
		console_resume_input(con->console);
		return;
	}
	while (virtio_pop(dev, QUEUE_TX, &con->tx))
		console_output(con);
	virtio_signal(dev, QUEUE_TX);
}

static void console_destroy(struct virtio_dev *dev)
{
	struct virtio_console *con = container_of(dev, struct virtio_console, dev);

	console_attach(con->console, NULL, NULL);
	free(con);
}

static const struct virtio_ops console_ops = {.kicked = console_kicked, .destroy = console_destroy};

/* The terminal's size at the start, so that editors in the guest fit. */
static u64 console_set_size(struct virtio_console_config *config, int fd)
{
	struct winsize size;

	if (ioctl(fd, TIOCGWINSZ, &size) < 0 || !size.ws_col || !size.ws_row)
		return 0;
	config->cols = size.ws_col;
	config->rows = size.ws_row;
	return BIT(VIRTIO_CONSOLE_F_SIZE);
}

int virtio_console_create(struct board *board, const char *args)
{
	struct virtio_console *con = calloc(1, sizeof(*con));
	struct virtio_console_config config = {.max_nr_ports = 1};
	u64 features;
	int ret;

	if (!con)
		return -ENOMEM;
	features = console_set_size(&config, board->console->out_fd);
	con->console = board->console;
	virtio_init(&con->dev, "virtio-console", VIRTIO_TYPE_CONSOLE, &console_ops, features,
		    QUEUES);
	con->dev.config_len = sizeof(config);
	memcpy(con->dev.config, &config, sizeof(config));
	ret = virtio_attach(&con->dev, board);
	if (!ret)
		console_attach(board->console, console_input, con);
	return ret;
}

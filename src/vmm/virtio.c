/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "vmm/virtio.h"

#define ISR_QUEUE  1
#define ISR_CONFIG 2

bool virtio_is_live(const struct virtio_dev *dev)
{
	return (dev->status & (VIRTIO_DRIVER_OK | VIRTIO_NEEDS_RESET)) == VIRTIO_DRIVER_OK;
}

/* -- interrupts -------------------------------------------------------------------------------- */

/* With MSI-X the interrupt status is not used (4.1.4.5). */
static void virtio_interrupt(struct virtio_dev *dev, u16 vector, u8 isr)
{
	if (pci_msix_enabled(&dev->pci)) {
		if (vector != VIRTQ_NO_VECTOR)
			pci_msix_notify(&dev->pci, vector);
		return;
	}
	pthread_mutex_lock(&dev->isr_lock);
	dev->isr |= isr;
	pci_intx_set(&dev->pci, true);
	pthread_mutex_unlock(&dev->isr_lock);
}

u8 virtio_read_isr(struct virtio_dev *dev)
{
	u8 isr;

	pthread_mutex_lock(&dev->isr_lock);
	isr = dev->isr;
	dev->isr = 0;
	pci_intx_set(&dev->pci, false);
	pthread_mutex_unlock(&dev->isr_lock);
	return isr;
}

void virtio_signal(struct virtio_dev *dev, unsigned queue)
{
	struct virtq *q = &dev->queue[queue];

	if (virtio_is_live(dev) && virtq_wants_signal(q))
		virtio_interrupt(dev, q->vector, ISR_QUEUE);
}

void virtio_break(struct virtio_dev *dev)
{
	bool live = virtio_is_live(dev);

	dev->status |= VIRTIO_NEEDS_RESET;
	if (live)
		virtio_interrupt(dev, dev->config_vector, ISR_CONFIG);
}

/* -- queues ------------------------------------------------------------------------------------ */

int virtio_pop(struct virtio_dev *dev, unsigned queue, struct virtq_buf *buf)
{
	int ret;

	if (!virtio_is_live(dev))
		return 0;
	ret = virtq_pop(&dev->queue[queue], buf);
	if (ret >= 0)
		return ret;
	virtio_break(dev);
	return 0;
}

void virtio_push(struct virtio_dev *dev, unsigned queue, u16 head, u32 written)
{
	virtq_push(&dev->queue[queue], head, written);
}

void virtio_kick(struct virtio_dev *dev, unsigned queue)
{
	u64 one = 1;
	ssize_t n;

	if (queue >= dev->queue_count || dev->kick[queue].fd < 0)
		return;
	n = write(dev->kick[queue].fd, &one, sizeof(one));
	(void)n;
}

static void virtio_on_kick(void *opaque, u32 events)
{
	struct virtio_kick *kick = opaque;
	struct virtio_dev *dev = kick->dev;
	u64 count;
	ssize_t n = read(kick->fd, &count, sizeof(count));

	(void)n;
	pthread_mutex_lock(&dev->lock);
	if (virtio_is_live(dev))
		dev->ops->kicked(dev, kick - dev->kick);
	pthread_mutex_unlock(&dev->lock);
}

/* -- status ------------------------------------------------------------------------------------ */

static void virtio_reset(struct virtio_dev *dev)
{
	if (dev->ops->reset)
		dev->ops->reset(dev);
	dev->epoch++;
	dev->status = 0;
	dev->driver_features = 0;
	dev->feature_select = dev->driver_feature_select = 0;
	dev->queue_select = 0;
	dev->config_vector = VIRTQ_NO_VECTOR;
	for (unsigned i = 0; i < dev->queue_count; i++)
		virtq_reset(&dev->queue[i], &dev->machine->ram, VIRTQ_MAX_SIZE);
	if (dev->pci.pci)
		virtio_read_isr(dev);
}

static bool virtio_features_fit(const struct virtio_dev *dev)
{
	return !(dev->driver_features & ~dev->features) &&
	       (dev->driver_features & VIRTIO_FEATURE_VERSION_1);
}

static void virtio_start(struct virtio_dev *dev)
{
	for (unsigned i = 0; i < dev->queue_count; i++) {
		struct virtq *q = &dev->queue[i];

		q->event_idx = dev->driver_features & VIRTIO_FEATURE_EVENT_IDX;
		q->indirect = dev->driver_features & VIRTIO_FEATURE_INDIRECT;
		virtio_kick(dev, i); /* buffers may be there already */
	}
}

/* The driver sets bits one after the other (3.1.1); only a reset, 0, clears them. */
void virtio_set_status(struct virtio_dev *dev, u8 status)
{
	u8 set = status & ~dev->status;

	if (!status) {
		virtio_reset(dev);
		return;
	}
	if ((set & VIRTIO_FEATURES_OK) && !virtio_features_fit(dev))
		set &= ~VIRTIO_FEATURES_OK;
	if (!((dev->status | set) & VIRTIO_FEATURES_OK))
		set &= ~VIRTIO_DRIVER_OK;
	dev->status |= set & ~VIRTIO_NEEDS_RESET;
	if (set & VIRTIO_DRIVER_OK)
		virtio_start(dev);
}

/* -- life -------------------------------------------------------------------------------------- */

void virtio_init(struct virtio_dev *dev, const char *name, enum virtio_type type,
		 const struct virtio_ops *ops, u64 features, unsigned queues)
{
	memset(dev, 0, sizeof(*dev));
	dev->ops = ops;
	dev->features = features | VIRTIO_FEATURE_INDIRECT | VIRTIO_FEATURE_EVENT_IDX |
			VIRTIO_FEATURE_VERSION_1;
	dev->queue_count = queues;
	dev->loop.epoll_fd = -1;
	pthread_mutex_init(&dev->lock, NULL);
	pthread_mutex_init(&dev->isr_lock, NULL);
	for (unsigned i = 0; i < VIRTIO_MAX_QUEUES; i++)
		dev->kick[i] = (struct virtio_kick){.dev = dev, .fd = -1};
	virtio_pci_init(dev, name, type);
}

int virtio_init_loop(struct virtio_dev *dev)
{
	return dev->loop.epoll_fd < 0 ? loop_init(&dev->loop) : 0;
}

static int virtio_open_kicks(struct virtio_dev *dev)
{
	for (unsigned i = 0; i < dev->queue_count; i++) {
		int ret;

		dev->kick[i].fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (dev->kick[i].fd < 0)
			return -errno;
		ret = loop_add(&dev->loop, dev->kick[i].fd, EPOLLIN, virtio_on_kick, &dev->kick[i]);
		if (ret)
			return ret;
	}
	return 0;
}

static void virtio_close(struct virtio_dev *dev)
{
	for (unsigned i = 0; i < dev->queue_count; i++)
		if (dev->kick[i].fd >= 0)
			close(dev->kick[i].fd);
	if (dev->loop.epoll_fd >= 0)
		loop_destroy(&dev->loop);
}

static void *virtio_thread(void *opaque)
{
	struct virtio_dev *dev = opaque;

	pthread_setname_np(pthread_self(), dev->pci.name);
	loop_run(&dev->loop);
	return NULL;
}

/* Signals are the main thread's. */
static int virtio_start_thread(struct virtio_dev *dev)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&dev->thread, NULL, virtio_thread, dev);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	dev->running = !err;
	return -err;
}

static void virtio_end(void *opaque)
{
	struct virtio_dev *dev = opaque;

	if (dev->running) {
		loop_stop(&dev->loop);
		pthread_join(dev->thread, NULL);
	}
	virtio_pci_drop_ioeventfds(dev);
	virtio_close(dev);
	dev->ops->destroy(dev);
}

int virtio_attach(struct virtio_dev *dev, struct board *board)
{
	int ret;

	dev->machine = board->machine;
	virtio_reset(dev);
	ret = virtio_init_loop(dev);
	if (!ret)
		ret = virtio_open_kicks(dev);
	if (!ret)
		ret = pci_register(board->pci, &dev->pci);
	if (ret) {
		virtio_close(dev);
		dev->ops->destroy(dev);
		return ret;
	}
	virtio_pci_update_ioeventfds(dev);
	/* From here on the bus knows the device, so it is freed with the board only. */
	ret = virtio_start_thread(dev);
	return board_on_end(board, virtio_end, dev) ?: ret;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A driver's end of virtio devices, on a machine without a KVM: RAM, PCI bus, and functions that
 * set a device up and hand it buffers. Interrupt ioctls go nowhere.
 */
#ifndef UNIT_VIRTIO_FIXTURE_H
#define UNIT_VIRTIO_FIXTURE_H

#include <stdlib.h>
#include <string.h>
#include <linux/virtio_pci.h>
#include "vmm/virtio.h"
#include "vmm/virtio_devices.h"

#define DESC_AT	   0x10000 /* of queue 0; queue n has its rings QUEUE_STEP n further */
#define AVAIL_AT   0x12000
#define USED_AT	   0x14000
#define QUEUE_STEP 0x8000
#define DATA_AT	   0x80000
#define RING_SIZE  16

struct virtio_fixture {
	struct kvm_dev kvm;
	struct machine m;
	struct console con;
	struct pci pci;
	struct board board;
	u8 ram[2 << 20];
};

static inline struct virtio_fixture *fixture_create(int out_fd)
{
	struct virtio_fixture *f = calloc(1, sizeof(*f));

	f->kvm.fd = -1;
	f->m.kvm = &f->kvm;
	f->m.vm_fd = -1;
	f->m.ram.host = f->ram;
	f->m.ram.size = f->m.ram.low_size = sizeof(f->ram);
	bus_init(&f->m.pio);
	bus_init(&f->m.mmio);
	intr_init(&f->m.intr, &f->kvm, -1);
	if (loop_init(&f->m.loop) || pci_init(&f->pci, &f->m) ||
	    console_open(&f->con, &f->m, -1, out_fd))
		abort();
	f->board = (struct board){.machine = &f->m, .pci = &f->pci, .console = &f->con};
	return f;
}

static inline void fixture_destroy(struct virtio_fixture *f)
{
	board_end(&f->board);
	console_close(&f->con);
	loop_destroy(&f->m.loop);
	free(f);
}

/* The device in a slot; the first one is in slot 1. */
static inline struct virtio_dev *fixture_device(struct virtio_fixture *f, unsigned slot)
{
	return container_of(f->pci.device[slot], struct virtio_dev, pci);
}

static inline u64 common_get(struct virtio_fixture *f, struct virtio_dev *dev, u64 off,
			     unsigned len)
{
	return bus_read(&f->m.mmio, dev->pci.bar[0].addr + off, len);
}

static inline void common_set(struct virtio_fixture *f, struct virtio_dev *dev, u64 off,
			      unsigned len, u64 value)
{
	bus_write(&f->m.mmio, dev->pci.bar[0].addr + off, len, value);
}

static inline void fixture_negotiate(struct virtio_fixture *f, struct virtio_dev *dev, u64 features)
{
	common_set(f, dev, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	common_set(f, dev, VIRTIO_PCI_COMMON_STATUS, 1, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
	common_set(f, dev, VIRTIO_PCI_COMMON_GFSELECT, 4, 0);
	common_set(f, dev, VIRTIO_PCI_COMMON_GF, 4, (u32)features);
	common_set(f, dev, VIRTIO_PCI_COMMON_GFSELECT, 4, 1);
	common_set(f, dev, VIRTIO_PCI_COMMON_GF, 4, features >> 32);
	common_set(f, dev, VIRTIO_PCI_COMMON_STATUS, 1,
		   VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK);
}

static inline void fixture_queue(struct virtio_fixture *f, struct virtio_dev *dev, unsigned queue)
{
	common_set(f, dev, VIRTIO_PCI_COMMON_Q_SELECT, 2, queue);
	common_set(f, dev, VIRTIO_PCI_COMMON_Q_SIZE, 2, RING_SIZE);
	common_set(f, dev, VIRTIO_PCI_COMMON_Q_DESCLO, 8, DESC_AT + queue * QUEUE_STEP);
	common_set(f, dev, VIRTIO_PCI_COMMON_Q_AVAILLO, 8, AVAIL_AT + queue * QUEUE_STEP);
	common_set(f, dev, VIRTIO_PCI_COMMON_Q_USEDLO, 8, USED_AT + queue * QUEUE_STEP);
	common_set(f, dev, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
}

/* Resets the device, and starts it with empty rings. */
static inline void fixture_start(struct virtio_fixture *f, struct virtio_dev *dev, u64 features)
{
	fixture_negotiate(f, dev, features | VIRTIO_FEATURE_VERSION_1);
	memset(f->ram + DESC_AT, 0, DATA_AT - DESC_AT);
	for (unsigned q = 0; q < dev->queue_count; q++)
		fixture_queue(f, dev, q);
	common_set(f, dev, VIRTIO_PCI_COMMON_STATUS, 1,
		   VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK);
}

static inline void fixture_desc(struct virtio_fixture *f, unsigned queue, unsigned i, u64 addr,
				u32 len, u16 flags, u16 next)
{
	struct virtq_desc d = {addr, len, flags, next};

	memcpy(f->ram + DESC_AT + queue * QUEUE_STEP + sizeof(d) * i, &d, sizeof(d));
}

static inline u16 *fixture_word(struct virtio_fixture *f, u64 at, unsigned queue, unsigned i)
{
	return (u16 *)(f->ram + at + queue * QUEUE_STEP) + i;
}

/* Makes the chain that starts at descriptor `head` available. */
static inline void fixture_offer(struct virtio_fixture *f, unsigned queue, u16 head)
{
	u16 *idx = fixture_word(f, AVAIL_AT, queue, 1);

	*fixture_word(f, AVAIL_AT, queue, 2 + *idx % RING_SIZE) = head;
	__atomic_store_n(idx, *idx + 1, __ATOMIC_RELEASE);
}

/* Has the device serve a queue, here and now. */
static inline void fixture_serve(struct virtio_dev *dev, unsigned queue)
{
	pthread_mutex_lock(&dev->lock);
	if (virtio_is_live(dev))
		dev->ops->kicked(dev, queue);
	pthread_mutex_unlock(&dev->lock);
}

static inline u16 fixture_used(struct virtio_fixture *f, unsigned queue)
{
	return __atomic_load_n(fixture_word(f, USED_AT, queue, 1), __ATOMIC_ACQUIRE);
}

#endif

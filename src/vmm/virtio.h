/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtio device on PCI (virtio 1.2, sections 2 and 4.1): modern only, MSI-X or INTx. This is what
 * all kinds of device have in common; each kind fills in a struct virtio_dev and attaches it.
 *
 * Each device has a thread with an event loop, in which its queues are served and its host
 * descriptors watched. The guest's notifications reach it through eventfds, so a vCPU never waits
 * for a device, except to reset it.
 */
#ifndef VMM_VIRTIO_H
#define VMM_VIRTIO_H

#include "vmm/device.h"
#include "vmm/virtio_queue.h"

#define VIRTIO_MAX_QUEUES 8
#define VIRTIO_MAX_CONFIG 64

/* Device types (virtio 1.2, section 5). */
enum virtio_type {
	VIRTIO_TYPE_NET = 1,
	VIRTIO_TYPE_BLK = 2,
	VIRTIO_TYPE_CONSOLE = 3,
	VIRTIO_TYPE_RNG = 4,
	VIRTIO_TYPE_VSOCK = 19,
};

/* Device status (2.1). */
#define VIRTIO_ACKNOWLEDGE 0x01
#define VIRTIO_DRIVER	   0x02
#define VIRTIO_DRIVER_OK   0x04
#define VIRTIO_FEATURES_OK 0x08
#define VIRTIO_NEEDS_RESET 0x40
#define VIRTIO_FAILED	   0x80

/* Features of every device (6). */
#define VIRTIO_FEATURE_INDIRECT	 BIT(28)
#define VIRTIO_FEATURE_EVENT_IDX BIT(29)
#define VIRTIO_FEATURE_VERSION_1 BIT(32)

struct virtio_dev;

/* What a kind of device does; the device's lock is held, except in destroy. */
struct virtio_ops {
	/* The queue may have new buffers. In the device's thread. */
	void (*kicked)(struct virtio_dev *dev, unsigned queue);
	/* The driver reset the device: forget what is under way. NULL: there is nothing. */
	void (*reset)(struct virtio_dev *dev);
	/* The machine has ended and so has the device's thread: free everything. */
	void (*destroy)(struct virtio_dev *dev);
};

struct virtio_kick {
	struct virtio_dev *dev;
	int fd; /* eventfd, or -1 */
};

struct virtio_dev {
	struct pci_device pci;
	const struct virtio_ops *ops;
	struct machine *machine;
	struct loop loop;
	pthread_t thread;
	bool running; /* the thread is there */
	unsigned queue_count;
	struct virtio_kick kick[VIRTIO_MAX_QUEUES];
	u64 ioeventfd_addr; /* where KVM signals the kicks itself; 0: nowhere */
	u8 pci_cfg_cap;	    /* offset of the capability that accesses BARs */

	pthread_mutex_t isr_lock; /* guards isr and the INTx line; taken inside lock */
	u8 isr;

	pthread_mutex_t lock; /* guards what follows; taken inside the PCI bus's lock */
	u64 features, driver_features;
	u32 feature_select, driver_feature_select;
	u16 queue_select, config_vector;
	u8 status, generation;
	u32 epoch; /* counts resets: who unlocks while it holds a buffer compares it */
	u8 config[VIRTIO_MAX_CONFIG]; /* device-specific, read-only to the guest */
	unsigned config_len;
	struct virtq queue[VIRTIO_MAX_QUEUES];
};

/*
 * Starts a device. `features` are the device's own; those of every device are added. The caller
 * then fills in config and config_len.
 */
void virtio_init(struct virtio_dev *dev, const char *name, enum virtio_type type,
		 const struct virtio_ops *ops, u64 features, unsigned queues);
/*
 * Plugs it into the board and starts its thread. The board then owns it: ops->destroy is called at
 * the machine's end, or at once when this fails. Returns 0 or a negative errno.
 */
int virtio_attach(struct virtio_dev *dev, struct board *board);
/* Creates dev->loop, when descriptors are to be added before virtio_attach(). 0 or -errno. */
int virtio_init_loop(struct virtio_dev *dev);

/* Whether the driver runs the device. Lock held. */
bool virtio_is_live(const struct virtio_dev *dev);
/*
 * Takes the next buffer of a queue: 1, or 0 when there is none. A broken ring makes the device ask
 * for a reset, and is empty. Lock held.
 */
int virtio_pop(struct virtio_dev *dev, unsigned queue, struct virtq_buf *buf);
/* Returns a buffer to the guest, without an interrupt. Lock held. */
void virtio_push(struct virtio_dev *dev, unsigned queue, u16 head, u32 written);
/* Interrupts the guest for the buffers returned, if it wants that. Lock held. */
void virtio_signal(struct virtio_dev *dev, unsigned queue);
/* The guest broke the rules: the device asks for a reset (2.1.2). Lock held. */
void virtio_break(struct virtio_dev *dev);

/* The rest is virtio.c's, for virtio_pci.c. The driver writes the status. Lock held. */
void virtio_set_status(struct virtio_dev *dev, u8 status);
/* The driver notifies a queue. Any thread, no lock. */
void virtio_kick(struct virtio_dev *dev, unsigned queue);
/* Reads the interrupt status, which clears it and the line. Any thread, no lock. */
u8 virtio_read_isr(struct virtio_dev *dev);
/* Sets up the PCI side of a device that virtio_init() has started: identity, BARs, capabilities. */
void virtio_pci_init(struct virtio_dev *dev, const char *name, enum virtio_type type);
/* Makes KVM signal the kicks at BAR 0's present place. After pci_register(). */
void virtio_pci_update_ioeventfds(struct virtio_dev *dev);
/* Makes KVM forget the eventfds. */
void virtio_pci_drop_ioeventfds(struct virtio_dev *dev);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Split virtqueues (virtio 1.2, section 2.7), the device's side. Everything in the rings belongs to
 * the guest and may be anything at any time: values are read once, checked, and kept. A ring that
 * breaks the rules is marked broken and gives nothing more until it is reset.
 *
 * One thread at a time: the device's lock is held for all of these.
 */
#ifndef VMM_VIRTIO_QUEUE_H
#define VMM_VIRTIO_QUEUE_H

#include <sys/uio.h>
#include "vmm/ram.h"

#define VIRTQ_MAX_SIZE	256 /* descriptors in a queue */
#define VIRTQ_NO_VECTOR 0xffff
#define VIRTQ_MAX_IOV	256 /* pieces of one buffer */

/* Descriptor flags. */
#define VIRTQ_DESC_NEXT	    1
#define VIRTQ_DESC_WRITE    2
#define VIRTQ_DESC_INDIRECT 4

struct virtq_desc {
	u64 addr;
	u32 len;
	u16 flags, next;
};

struct virtq_used_elem {
	u32 id, len;
};

struct virtq {
	const struct ram *ram;
	u16 max_size; /* what the device offers */
	u16 size;     /* what the driver chose: a power of two */
	u16 vector;   /* of MSI-X */
	bool enabled, broken;
	bool event_idx, indirect; /* as negotiated */
	u64 desc, avail, used;	  /* guest-physical addresses */
	u16 next_avail, next_used;
	u16 signalled; /* next_used when the guest was last interrupted */
};

/* A buffer that the guest has made available: what the device reads, then what it may write. */
struct virtq_buf {
	u16 head;
	unsigned in_count, out_count;
	u64 in_len, out_len;
	struct iovec *in;		 /* the device may write here (points into iov) */
	struct iovec iov[VIRTQ_MAX_IOV]; /* [0, out_count): the device reads */
};

/* Puts the queue into its state after reset. */
void virtq_reset(struct virtq *q, const struct ram *ram, u16 max_size);
/* The driver enables the queue: 0, or -EINVAL for a size or an address that cannot be. */
int virtq_enable(struct virtq *q);
/* Takes the next buffer. 1, 0 when there is none, -EPROTO when the ring is (or was) broken. */
int virtq_pop(struct virtq *q, struct virtq_buf *buf);
/* Gives the last popped buffer back unused, so that the next virtq_pop() takes it again. */
void virtq_unpop(struct virtq *q);
/* Returns a buffer with `written` bytes in its writable part. */
void virtq_push(struct virtq *q, u16 head, u32 written);
/* Whether the guest wants an interrupt for what was pushed since the last time. */
bool virtq_wants_signal(struct virtq *q);

/* Copies out of a buffer's readable part, from byte `off`; returns how many there were. */
size_t virtq_buf_read(const struct virtq_buf *buf, size_t off, void *dst, size_t len);
/* Copies into a buffer's writable part, from byte `off`; returns how many had room. */
size_t virtq_buf_write(const struct virtq_buf *buf, size_t off, const void *src, size_t len);
/*
 * The part [off, off + len) of `count` pieces, into dst (room for VIRTQ_MAX_IOV); returns the
 * number of pieces.
 */
unsigned virtq_iov_slice(const struct iovec *iov, unsigned count, size_t off, size_t len,
			 struct iovec *dst);

#endif

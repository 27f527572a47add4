/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <string.h>
#include "vmm/virtio_queue.h"

/* Layout of the available and used rings (virtio 1.2, 2.7.6 and 2.7.8). */
#define RING_FLAGS	   0
#define RING_IDX	   2
#define RING_ENTRIES	   4
#define AVAIL_NO_INTERRUPT 1

static u64 desc_bytes(const struct virtq *q)
{
	return sizeof(struct virtq_desc) * q->size;
}

static u64 avail_bytes(const struct virtq *q)
{
	return RING_ENTRIES + 2ull * q->size + 2; /* used_event is the last word */
}

static u64 used_bytes(const struct virtq *q)
{
	return RING_ENTRIES + sizeof(struct virtq_used_elem) * q->size + 2; /* avail_event */
}

/* The places were checked when the queue was enabled, and RAM does not move. */
static u16 *avail_word(const struct virtq *q, u64 off)
{
	return ram_ptr(q->ram, q->avail + off, 2);
}

static u16 *used_word(const struct virtq *q, u64 off)
{
	return ram_ptr(q->ram, q->used + off, 2);
}

static u16 load16(const u16 *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static void store16(u16 *p, u16 value)
{
	__atomic_store_n(p, value, __ATOMIC_RELEASE);
}

void virtq_reset(struct virtq *q, const struct ram *ram, u16 max_size)
{
	*q = (struct virtq){.vector = VIRTQ_NO_VECTOR};
	q->ram = ram;
	q->max_size = q->size = max_size;
}

/* Alignments: virtio 1.2, section 2.7. */
int virtq_enable(struct virtq *q)
{
	if (!q->size || q->size > q->max_size || (q->size & (q->size - 1)))
		return -EINVAL;
	if (q->desc % 16 || q->avail % 2 || q->used % 4)
		return -EINVAL;
	if (!ram_ptr(q->ram, q->desc, desc_bytes(q)) ||
	    !ram_ptr(q->ram, q->avail, avail_bytes(q)) || !ram_ptr(q->ram, q->used, used_bytes(q)))
		return -EINVAL;
	q->enabled = true;
	return 0;
}

static int virtq_break(struct virtq *q)
{
	q->broken = true;
	return -EPROTO;
}

/* A walk along one chain; `table` changes when it goes through an indirect descriptor. */
struct chain {
	u64 table;
	u32 entries; /* of the table */
	u32 left;    /* descriptors that may still come: bounds a loop */
	bool indirect;
};

static int chain_read(const struct virtq *q, const struct chain *c, u32 i, struct virtq_desc *d)
{
	if (i >= c->entries)
		return -EPROTO;
	return ram_read(q->ram, c->table + sizeof(*d) * i, d, sizeof(*d)) ? -EPROTO : 0;
}

/* The table's length must be a multiple of a descriptor's, and no table may be in a table (2.7.5.3).
 */
static int chain_enter(const struct virtq *q, struct chain *c, const struct virtq_desc *d)
{
	u32 entries = d->len / sizeof(struct virtq_desc);

	if (!q->indirect || c->indirect || (d->flags & VIRTQ_DESC_NEXT) || !entries ||
	    d->len % sizeof(struct virtq_desc))
		return -EPROTO;
	*c = (struct chain){
		.table = d->addr,
		.entries = entries,
		.left = MIN(entries, (u32)VIRTQ_MAX_IOV),
		.indirect = true,
	};
	return 0;
}

static int buf_add(const struct virtq *q, struct virtq_buf *buf, const struct virtq_desc *d)
{
	unsigned n = buf->out_count + buf->in_count;
	void *host = ram_ptr(q->ram, d->addr, d->len);

	if (n == VIRTQ_MAX_IOV || (!host && d->len))
		return -EPROTO;
	if (d->flags & VIRTQ_DESC_WRITE) {
		buf->in_count++;
		buf->in_len += d->len;
	} else if (buf->in_count) {
		return -EPROTO; /* readable parts come first (2.7.4.2) */
	} else {
		buf->out_count++;
		buf->out_len += d->len;
	}
	buf->iov[n] = (struct iovec){.iov_base = host, .iov_len = d->len};
	return 0;
}

/* Follows the chain from the buffer's head. */
static int buf_fill(const struct virtq *q, struct virtq_buf *buf)
{
	struct chain c = {.table = q->desc, .entries = q->size, .left = q->size};
	struct virtq_desc d;
	u32 next = buf->head;
	int ret;

	do {
		if (!c.left--)
			return -EPROTO;
		ret = chain_read(q, &c, next, &d);
		if (ret)
			return ret;
		next = d.next;
		if (d.flags & VIRTQ_DESC_INDIRECT) {
			ret = chain_enter(q, &c, &d);
			d.flags = VIRTQ_DESC_NEXT;
			next = 0;
		} else {
			ret = buf_add(q, buf, &d);
		}
		if (ret)
			return ret;
	} while (d.flags & VIRTQ_DESC_NEXT);
	buf->in = buf->iov + buf->out_count;
	return 0;
}

/* How many buffers wait; negative when the index has run away. */
static int virtq_pending(struct virtq *q)
{
	u16 n = load16(avail_word(q, RING_IDX)) - q->next_avail;

	return n <= q->size ? n : virtq_break(q);
}

/* Nothing there: asks for a notification of the next one, then looks again, as it may have come. */
static int virtq_arm(struct virtq *q)
{
	if (!q->event_idx)
		return 0;
	store16(used_word(q, used_bytes(q) - 2), q->next_avail);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return virtq_pending(q);
}

int virtq_pop(struct virtq *q, struct virtq_buf *buf)
{
	int n;

	if (q->broken)
		return -EPROTO;
	if (!q->enabled)
		return 0;
	n = virtq_pending(q);
	if (!n)
		n = virtq_arm(q);
	if (n <= 0)
		return n;
	buf->in_count = buf->out_count = 0;
	buf->in_len = buf->out_len = 0;
	buf->head = load16(avail_word(q, RING_ENTRIES + 2 * (q->next_avail & (q->size - 1))));
	if (buf_fill(q, buf))
		return virtq_break(q);
	q->next_avail++;
	return 1;
}

void virtq_unpop(struct virtq *q)
{
	q->next_avail--;
}

void virtq_push(struct virtq *q, u16 head, u32 written)
{
	struct virtq_used_elem elem = {.id = head, .len = written};
	u64 off = RING_ENTRIES + sizeof(elem) * (q->next_used & (q->size - 1));

	if (!q->enabled || q->broken)
		return;
	ram_write(q->ram, q->used + off, &elem, sizeof(elem));
	q->next_used++;
	store16(used_word(q, RING_IDX), q->next_used);
}

/* The guest's index was passed when it lies in [old, new) (2.7.7.2). */
static bool event_passed(u16 event, u16 new, u16 old)
{
	return (u16)(new - event - 1) < (u16)(new - old);
}

bool virtq_wants_signal(struct virtq *q)
{
	u16 old = q->signalled, new = q->next_used;

	if (!q->enabled || q->broken || old == new)
		return false;
	q->signalled = new;
	/* The used index must be out before the guest's wish is read. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!q->event_idx)
		return !(load16(avail_word(q, RING_FLAGS)) & AVAIL_NO_INTERRUPT);
	return event_passed(load16(avail_word(q, avail_bytes(q) - 2)), new, old);
}

size_t virtq_buf_read(const struct virtq_buf *buf, size_t off, void *dst, size_t len)
{
	struct iovec part[VIRTQ_MAX_IOV];
	unsigned n = virtq_iov_slice(buf->iov, buf->out_count, off, len, part);
	u8 *p = dst;

	for (unsigned i = 0; i < n; i++) {
		memcpy(p, part[i].iov_base, part[i].iov_len);
		p += part[i].iov_len;
	}
	return p - (u8 *)dst;
}

size_t virtq_buf_write(const struct virtq_buf *buf, size_t off, const void *src, size_t len)
{
	struct iovec part[VIRTQ_MAX_IOV];
	unsigned n = virtq_iov_slice(buf->in, buf->in_count, off, len, part);
	const u8 *p = src;

	for (unsigned i = 0; i < n; i++) {
		memcpy(part[i].iov_base, p, part[i].iov_len);
		p += part[i].iov_len;
	}
	return p - (const u8 *)src;
}

unsigned virtq_iov_slice(const struct iovec *iov, unsigned count, size_t off, size_t len,
			 struct iovec *dst)
{
	unsigned n = 0;

	for (; count && len; count--, iov++) {
		size_t take;

		if (off >= iov->iov_len) {
			off -= iov->iov_len;
			continue;
		}
		take = MIN(iov->iov_len - off, len);
		dst[n++] = (struct iovec){(u8 *)iov->iov_base + off, take};
		len -= take;
		off = 0;
	}
	return n;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest-physical memory of one VM: memory slots, and the pages that somebody watches.
 *
 * The one gate for stores: a TLB write entry exists only for a page whose watch byte is 0. A store
 * to a watched page asks mem_store_watched() first, which logs it as dirty and tells the decoded
 * code about it. Everything else that writes guest memory (accessed bits, VMCS, kvmclock) uses
 * mem_write().
 *
 * Threads: lookups and accesses may run in any thread that holds the VM's run lock for reading
 * (vCPU threads hold it inside KVM_RUN); functions that change slots need it held for writing, so
 * that no vCPU is in guest code. The watch and dirty bits are atomic.
 */
#ifndef MEM_MEM_H
#define MEM_MEM_H

#include <stdatomic.h>
#include <linux/kvm.h>

#include "base/types.h"

#define MEM_WATCH_DIRTY 1u /* clean, and dirty logging is on */
#define MEM_WATCH_CODE	2u /* holds decoded code */
#define MEM_WATCH_RO	4u /* read-only slot: stores go to user space as MMIO */

/* What decoded code knows about a page: all vCPUs' blocks check `gen`. */
struct mem_code {
	_Atomic u32 gen; /* raised when bytes that were decoded have changed */
	u32 pad;
	_Atomic u64 chunks; /* which 64-byte pieces of the page have been decoded */
};

struct mem_slot {
	u32 id; /* KVM's slot number: address space id in bits 31:16 */
	u32 flags;
	u64 gpa;
	u64 npages;
	u64 size;
	u8 *hva;
	_Atomic u8 *watch;     /* a byte a page */
	_Atomic u64 *dirty;    /* a bit a page; NULL without KVM_MEM_LOG_DIRTY_PAGES */
	struct mem_code *code; /* one a page; untouched ones cost no memory */
};

struct mem;

/*
 * Called when pages have become watched: must set EVENT_WATCH on every vCPU, so that each drops its
 * TLB write entries of watched pages before it runs its next block. Any thread.
 */
typedef void (*mem_watch_fn)(void *arg);

/* Returns NULL when out of memory. */
struct mem *mem_create(mem_watch_fn watch, void *arg);
void mem_destroy(struct mem *mem);

/*
 * KVM_SET_USER_MEMORY_REGION, with KVM's rules for alignment, overlap, flags, moves and deletion.
 * Run lock for writing. Returns 0, -EINVAL, -EEXIST, -ENOMEM. *changed: TLBs must be flushed.
 */
int mem_set_slot(struct mem *mem, const struct kvm_userspace_memory_region *r, bool *changed);

/* The slot that holds gpa, or NULL. */
struct mem_slot *mem_find(const struct mem *mem, u64 gpa);
/* The slot with KVM's number, or NULL. */
struct mem_slot *mem_slot_by_id(const struct mem *mem, u32 id);

/* The host address of gpa inside slot. */
static inline u8 *mem_slot_hva(const struct mem_slot *s, u64 gpa)
{
	return s->hva + (gpa - s->gpa);
}

static inline _Atomic u8 *mem_slot_watch(const struct mem_slot *s, u64 gpa)
{
	return &s->watch[(gpa - s->gpa) >> PAGE_SHIFT];
}

static inline struct mem_code *mem_slot_code(const struct mem_slot *s, u64 gpa)
{
	return &s->code[(gpa - s->gpa) >> PAGE_SHIFT];
}

/*
 * Guest-physical accesses of any length. Both return 0 or -EFAULT when a part has no memory (or is
 * read-only, for writes); what precedes that part has been transferred.
 */
int mem_read(const struct mem *mem, u64 gpa, void *dst, u64 len);
int mem_write(struct mem *mem, u64 gpa, const void *src, u64 len);

/*
 * A host pointer for `len` bytes at gpa inside one page, or NULL when there is no memory. For
 * writing the page is marked dirty and its decoded code dropped first.
 */
void *mem_ptr(struct mem *mem, u64 gpa, u64 len, bool write);

/* Compare-and-exchange of a naturally aligned 4- or 8-byte word; 1 exchanged, 0 lost, -EFAULT. */
int mem_cmpxchg(struct mem *mem, u64 gpa, unsigned size, u64 old, u64 new);

/*
 * A store of len bytes to gpa (inside one page) of a watched page is about to happen. Marks the
 * page dirty, and when decoded bytes are touched raises the page's code generation. Returns the
 * watch bits that remain (a write entry may be made when it is 0), MEM_WATCH_RO when the store must
 * not happen.
 */
u8 mem_store_watched(struct mem_slot *s, u64 gpa, u64 len);

/*
 * Bytes [gpa, gpa+len) of one page are about to be decoded: watches them. Call before reading them.
 * Returns the page's code record, NULL when gpa has no memory. When the page becomes watched, other
 * vCPUs drop their write entries (and raise the generation if they had any, see mem_code_touch).
 */
struct mem_code *mem_code_watch(struct mem *mem, u64 gpa, u64 len);

/* Raises the code generation of the page unconditionally (a write entry existed while code was
 * made). */
void mem_code_touch(struct mem_slot *s, u64 gpa);

/* Dirty log. Run lock for writing for both. 0, -ENOENT, -EINVAL. `bitmap` has (npages+63)/64 words.
 */
int mem_dirty_get(struct mem *mem, u32 slot, u64 *bitmap, bool clear);
int mem_dirty_clear(struct mem *mem, u32 slot, u64 first_page, u32 num_pages, const u64 *bitmap);

#endif

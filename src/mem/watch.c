/* SPDX-License-Identifier: BSD-2-Clause */
/* Watched pages: the dirty log, and pages that hold decoded code. */
#include <errno.h>

#include "mem/mem.h"
#include "mem/mem_impl.h"

static u64 page_index(const struct mem_slot *s, u64 gpa)
{
	return (gpa - s->gpa) >> PAGE_SHIFT;
}

/* The 64-byte pieces of its page that [gpa, gpa+len) touches. */
static u64 chunk_mask(u64 gpa, u64 len)
{
	unsigned first = bits(gpa, 11, 6), last = bits(gpa + (len ? len - 1 : 0), 11, 6);

	return MASK(last, first);
}

/* The first store since the page was harvested. */
static void dirty_mark(struct mem_slot *s, u64 page)
{
	if (s->dirty)
		atomic_fetch_or(&s->dirty[page / 64], BIT(page % 64));
	atomic_fetch_and(&s->watch[page], (u8)~MEM_WATCH_DIRTY);
}

/*
 * Decoded bytes are about to change. The watch goes first, the generation last: whoever decodes in
 * between sees the old generation, and decodes again.
 */
static void code_drop(struct mem_slot *s, u64 page)
{
	atomic_store(&s->code[page].chunks, 0);
	atomic_fetch_and(&s->watch[page], (u8)~MEM_WATCH_CODE);
	atomic_fetch_add(&s->code[page].gen, 1);
}

u8 mem_store_watched(struct mem_slot *s, u64 gpa, u64 len)
{
	u64 page = page_index(s, gpa);
	u8 watch = atomic_load(&s->watch[page]);

	if (watch & MEM_WATCH_RO)
		return watch;
	if (watch & MEM_WATCH_DIRTY)
		dirty_mark(s, page);
	if (watch & MEM_WATCH_CODE && atomic_load(&s->code[page].chunks) & chunk_mask(gpa, len))
		code_drop(s, page);
	return atomic_load(&s->watch[page]);
}

struct mem_code *mem_code_watch(struct mem *mem, u64 gpa, u64 len)
{
	struct mem_slot *s = mem_find(mem, gpa);
	u64 page, mask = chunk_mask(gpa, len);

	if (!s)
		return NULL;
	page = page_index(s, gpa);
	if ((atomic_load(&s->code[page].chunks) & mask) != mask)
		atomic_fetch_or(&s->code[page].chunks, mask);
	if (!(atomic_fetch_or(&s->watch[page], MEM_WATCH_CODE) & MEM_WATCH_CODE))
		mem->watch(mem->watch_arg);
	return &s->code[page];
}

void mem_code_touch(struct mem_slot *s, u64 gpa)
{
	code_drop(s, page_index(s, gpa));
}

static int dirty_slot(const struct mem *mem, u32 id, struct mem_slot **s)
{
	if (id >> 16 || (id & 0xffff) >= MEM_SLOTS_MAX)
		return -EINVAL;
	*s = mem_slot_by_id(mem, id);
	return *s && (*s)->dirty ? 0 : -ENOENT;
}

/* Pages named by `mask` in word `w` become clean and watched again. */
static void dirty_rewatch(struct mem_slot *s, u64 w, u64 mask)
{
	for (; mask; mask &= mask - 1)
		atomic_fetch_or(&s->watch[w * 64 + (unsigned)__builtin_ctzll(mask)],
				MEM_WATCH_DIRTY);
}

int mem_dirty_get(struct mem *mem, u32 slot, u64 *bitmap, bool clear)
{
	struct mem_slot *s;
	int err = dirty_slot(mem, slot, &s);
	bool any = false;

	if (err)
		return err;
	for (u64 w = 0; w < (s->npages + 63) / 64; w++) {
		bitmap[w] = clear ? atomic_exchange(&s->dirty[w], 0) : atomic_load(&s->dirty[w]);
		if (clear && bitmap[w]) {
			dirty_rewatch(s, w, bitmap[w]);
			any = true;
		}
	}
	if (any)
		mem->watch(mem->watch_arg);
	return 0;
}

int mem_dirty_clear(struct mem *mem, u32 slot, u64 first_page, u32 num_pages, const u64 *bitmap)
{
	struct mem_slot *s;
	int err = dirty_slot(mem, slot, &s);

	if (err)
		return err;
	if (first_page % 64 || first_page > s->npages || num_pages > s->npages - first_page ||
	    (num_pages % 64 && num_pages != s->npages - first_page))
		return -EINVAL;
	for (u64 i = 0; i < (num_pages + 63ull) / 64; i++) {
		u64 w = first_page / 64 + i, n = num_pages - i * 64;
		u64 mask = bitmap[i] & (n < 64 ? BIT(n) - 1 : ~0ull);

		mask &= atomic_fetch_and(&s->dirty[w], ~mask);
		dirty_rewatch(s, w, mask);
	}
	mem->watch(mem->watch_arg);
	return 0;
}

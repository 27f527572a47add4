/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory slots and guest-physical accesses. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mem/mem.h"
#include "mem/mem_impl.h"

struct mem *mem_create(mem_watch_fn watch, void *arg)
{
	struct mem *mem = calloc(1, sizeof(*mem));

	if (!mem)
		return NULL;
	mem->watch = watch;
	mem->watch_arg = arg;
	return mem;
}

/* Per-page arrays come from mmap: pages of them that nobody touches cost nothing. */
static void *array_alloc(u64 bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void array_free(void *p, u64 bytes)
{
	if (p)
		munmap(p, bytes);
}

static u64 dirty_bytes(const struct mem_slot *s)
{
	return (s->npages + 63) / 64 * 8;
}

static void slot_free(struct mem_slot *s)
{
	if (!s)
		return;
	array_free((void *)s->watch, s->npages);
	array_free(s->code, s->npages * sizeof(*s->code));
	array_free((void *)s->dirty, dirty_bytes(s));
	free(s);
}

void mem_destroy(struct mem *mem)
{
	for (unsigned i = 0; i < mem->nslots; i++)
		slot_free(mem->slots[i]);
	free(mem->slots);
	free(mem);
}

struct mem_slot *mem_find(const struct mem *mem, u64 gpa)
{
	unsigned lo = 0, hi = mem->nslots;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		struct mem_slot *s = mem->slots[mid];

		if (gpa - s->gpa < s->size)
			return s;
		if (gpa < s->gpa)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}

struct mem_slot *mem_slot_by_id(const struct mem *mem, u32 id)
{
	for (unsigned i = 0; i < mem->nslots; i++)
		if (mem->slots[i]->id == id)
			return mem->slots[i];
	return NULL;
}

/* KVM's checks of the argument itself, before it looks at other slots. */
static int region_check(const struct kvm_userspace_memory_region *r)
{
	if (r->flags & ~(u32)(KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY))
		return -EINVAL;
	if (r->slot >> 16 || (r->slot & 0xffff) >= MEM_SLOTS_MAX)
		return -EINVAL;
	if (!IS_ALIGNED(r->memory_size, PAGE_SIZE) || !IS_ALIGNED(r->guest_phys_addr, PAGE_SIZE) ||
	    !IS_ALIGNED(r->userspace_addr, PAGE_SIZE))
		return -EINVAL;
	if (r->userspace_addr + r->memory_size < r->userspace_addr ||
	    (r->userspace_addr + r->memory_size) >> 47)
		return -EINVAL;
	if (r->guest_phys_addr + r->memory_size < r->guest_phys_addr ||
	    r->memory_size >> PAGE_SHIFT > MEM_SLOT_PAGES_MAX)
		return -EINVAL;
	return 0;
}

static bool overlaps(const struct mem *mem, const struct kvm_userspace_memory_region *r)
{
	for (unsigned i = 0; i < mem->nslots; i++) {
		const struct mem_slot *s = mem->slots[i];

		if (s->id != r->slot && r->guest_phys_addr < s->gpa + s->size &&
		    s->gpa < r->guest_phys_addr + r->memory_size)
			return true;
	}
	return false;
}

static void slot_remove(struct mem *mem, struct mem_slot *s)
{
	unsigned i = 0;

	while (mem->slots[i] != s)
		i++;
	memmove(&mem->slots[i], &mem->slots[i + 1], (mem->nslots - i - 1) * sizeof(s));
	mem->nslots--;
}

/* Keeps the array sorted by gpa. Room has been made before. */
static void slot_insert(struct mem *mem, struct mem_slot *s)
{
	unsigned i = mem->nslots++;

	for (; i > 0 && mem->slots[i - 1]->gpa > s->gpa; i--)
		mem->slots[i] = mem->slots[i - 1];
	mem->slots[i] = s;
}

static int slots_reserve(struct mem *mem)
{
	struct mem_slot **p;

	if (mem->nslots < mem->capacity)
		return 0;
	p = realloc(mem->slots, (mem->capacity * 2 + 8) * sizeof(*p));
	if (!p)
		return -ENOMEM;
	mem->slots = p;
	mem->capacity = mem->capacity * 2 + 8;
	return 0;
}

/* Read-only is a watch bit that never goes away; dirty logging starts with every page clean. */
static void slot_watch_init(struct mem_slot *s, u8 set, u8 clear)
{
	for (u64 i = 0; i < s->npages; i++) {
		if (clear)
			atomic_fetch_and(&s->watch[i], (u8)~clear);
		if (set)
			atomic_fetch_or(&s->watch[i], set);
	}
}

static int dirty_start(struct mem_slot *s)
{
	s->dirty = array_alloc(dirty_bytes(s));
	if (!s->dirty)
		return -ENOMEM;
	slot_watch_init(s, MEM_WATCH_DIRTY, 0);
	return 0;
}

static void dirty_stop(struct mem_slot *s)
{
	array_free((void *)s->dirty, dirty_bytes(s));
	s->dirty = NULL;
	slot_watch_init(s, 0, MEM_WATCH_DIRTY);
}

static struct mem_slot *slot_new(const struct kvm_userspace_memory_region *r)
{
	struct mem_slot *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->id = r->slot;
	s->flags = r->flags;
	s->gpa = r->guest_phys_addr;
	s->size = r->memory_size;
	s->npages = r->memory_size >> PAGE_SHIFT;
	s->hva = (u8 *)(uintptr_t)r->userspace_addr;
	s->watch = array_alloc(s->npages);
	s->code = array_alloc(s->npages * sizeof(*s->code));
	if (!s->watch || !s->code || (r->flags & KVM_MEM_LOG_DIRTY_PAGES && dirty_start(s))) {
		slot_free(s);
		return NULL;
	}
	if (r->flags & KVM_MEM_READONLY)
		slot_watch_init(s, MEM_WATCH_RO, 0);
	return s;
}

static int slot_create(struct mem *mem, const struct kvm_userspace_memory_region *r)
{
	struct mem_slot *s;

	if (overlaps(mem, r))
		return -EEXIST;
	if (slots_reserve(mem))
		return -ENOMEM;
	s = slot_new(r);
	if (!s)
		return -ENOMEM;
	slot_insert(mem, s);
	return 0;
}

/* An existing slot may move, or change its dirty logging; nothing else (api.rst 4.35). */
static int slot_change(struct mem *mem, struct mem_slot *s,
		       const struct kvm_userspace_memory_region *r, bool *changed)
{
	bool log = r->flags & KVM_MEM_LOG_DIRTY_PAGES;

	if (r->userspace_addr != (uintptr_t)s->hva || r->memory_size != s->size ||
	    (r->flags ^ s->flags) & KVM_MEM_READONLY)
		return -EINVAL;
	if (r->guest_phys_addr != s->gpa && overlaps(mem, r))
		return -EEXIST;
	*changed = r->guest_phys_addr != s->gpa || r->flags != s->flags;
	if (log && !s->dirty && dirty_start(s))
		return -ENOMEM;
	if (!log && s->dirty)
		dirty_stop(s);
	slot_remove(mem, s);
	s->gpa = r->guest_phys_addr;
	s->flags = r->flags;
	slot_insert(mem, s);
	return 0;
}

int mem_set_slot(struct mem *mem, const struct kvm_userspace_memory_region *r, bool *changed)
{
	struct mem_slot *s = mem_slot_by_id(mem, r->slot);
	int err = region_check(r);

	*changed = false;
	if (err)
		return err;
	if (!r->memory_size) {
		if (!s)
			return -EINVAL;
		slot_remove(mem, s);
		slot_free(s);
		*changed = true;
		return 0;
	}
	if (s)
		return slot_change(mem, s, r, changed);
	*changed = true;
	return slot_create(mem, r);
}

void *mem_ptr(struct mem *mem, u64 gpa, u64 len, bool write)
{
	struct mem_slot *s = mem_find(mem, gpa);

	if (!s)
		return NULL;
	if (write && atomic_load_explicit(mem_slot_watch(s, gpa), memory_order_acquire) &&
	    mem_store_watched(s, gpa, len) & MEM_WATCH_RO)
		return NULL;
	return mem_slot_hva(s, gpa);
}

static u64 page_part(u64 gpa, u64 len)
{
	return MIN(len, PAGE_SIZE - (gpa & ~PAGE_MASK));
}

int mem_read(const struct mem *mem, u64 gpa, void *dst, u64 len)
{
	while (len) {
		u64 n = page_part(gpa, len);
		struct mem_slot *s = mem_find(mem, gpa);

		if (!s)
			return -EFAULT;
		memcpy(dst, mem_slot_hva(s, gpa), n);
		gpa += n;
		dst = (u8 *)dst + n;
		len -= n;
	}
	return 0;
}

int mem_write(struct mem *mem, u64 gpa, const void *src, u64 len)
{
	while (len) {
		u64 n = page_part(gpa, len);
		void *p = mem_ptr(mem, gpa, n, true);

		if (!p)
			return -EFAULT;
		memcpy(p, src, n);
		gpa += n;
		src = (const u8 *)src + n;
		len -= n;
	}
	return 0;
}

int mem_cmpxchg(struct mem *mem, u64 gpa, unsigned size, u64 old, u64 new)
{
	void *p = mem_ptr(mem, gpa, size, true);
	u32 old32 = (u32)old;

	if (!p)
		return -EFAULT;
	if (size == 4)
		return atomic_compare_exchange_strong((_Atomic u32 *)p, &old32, (u32) new);
	return atomic_compare_exchange_strong((_Atomic u64 *)p, &old, new);
}

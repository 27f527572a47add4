/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory slots, the dirty log, and coalesced MMIO zones. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "api/api.h"
#include "mem/mem.h"

/*
 * The kernel answers KVM_RUN with EFAULT when a guest finds no memory behind a slot. Here that would be a
 * signal, so a slot must be mapped from the start.
 */
static bool is_mapped(const struct kvm_userspace_memory_region *r)
{
	return !r->memory_size || !IS_ALIGNED(r->userspace_addr, PAGE_SIZE) ||
	       !msync((void *)(uintptr_t)r->userspace_addr, r->memory_size, MS_ASYNC);
}

/* Also for KVM_SET_USER_MEMORY_REGION2: its structure begins alike, and nothing more applies. */
int vm_set_memory(struct object *o, void *arg)
{
	struct vm *vm = o->vm;
	bool changed = false;
	int r;

	if (!is_mapped(arg))
		return -EINVAL;
	vm_pause(vm);
	r = mem_set_slot(vm->mem, arg, &changed);
	if (changed)
		vm_event_all(vm, EVENT_TLB | EVENT_WATCH);
	vm_resume(vm);
	return r;
}

/* -- dirty log ----------------------------------------------------------------------------------
 */

/* What the slot needs for its bitmap, in bytes; 0: no such log. */
static size_t bitmap_size(struct vm *vm, u32 slot)
{
	const struct mem_slot *s = mem_slot_by_id(vm->mem, slot);

	return s && s->dirty ? (s->npages + 63) / 64 * sizeof(u64) : 0;
}

int vm_get_dirty_log(struct object *o, void *arg)
{
	const struct kvm_dirty_log *log = arg;
	struct vm *vm = o->vm;
	size_t len;
	u64 *bitmap;
	int r;

	if (log->slot >= 1u << 16)
		return -EINVAL;
	len = bitmap_size(vm, log->slot);
	if (!len)
		return -ENOENT;
	bitmap = calloc(1, len);
	if (!bitmap)
		return -ENOMEM;
	vm_pause(vm);
	r = mem_dirty_get(vm->mem, log->slot, bitmap, !vm->manual_dirty);
	vm_resume(vm);
	if (!r)
		r = user_write(log->dirty_bitmap, bitmap, len);
	free(bitmap);
	return r;
}

/* The bitmap covers pages from first_page on: KVM takes it by whole words of 64. */
int vm_clear_dirty_log(struct object *o, void *arg)
{
	const struct kvm_clear_dirty_log *log = arg;
	size_t len = ((size_t)log->num_pages + 63) / 64 * sizeof(u64);
	struct vm *vm = o->vm;
	u64 *bitmap;
	int r;

	if (log->slot >= 1u << 16 || log->first_page & 63)
		return -EINVAL;
	if (!bitmap_size(vm, log->slot))
		return -ENOENT;
	if (len > bitmap_size(vm, log->slot))
		return -EINVAL;
	bitmap = malloc(len + 1);
	if (!bitmap)
		return -ENOMEM;
	r = user_read(bitmap, log->dirty_bitmap, len);
	if (!r) {
		vm_pause(vm);
		r = mem_dirty_clear(vm->mem, log->slot, log->first_page, log->num_pages, bitmap);
		vm_resume(vm);
	}
	free(bitmap);
	return r;
}

/* -- coalesced MMIO -----------------------------------------------------------------------------
 */

int vm_register_coalesced(struct object *o, void *arg)
{
	const struct kvm_coalesced_mmio_zone *zone = arg;
	struct vm *vm = o->vm;
	int r = -ENOSPC;

	if (zone->pio > 1)
		return -EINVAL;
	pthread_mutex_lock(&vm->ring_lock);
	if (vm->nzones < VM_MAX_COALESCED) {
		vm->zones[vm->nzones] = *zone;
		vm->nzones++;
		r = 0;
	}
	pthread_mutex_unlock(&vm->ring_lock);
	return r;
}

/* Takes out every zone that lies in the given one, as KVM does; finding none is no error. */
int vm_unregister_coalesced(struct object *o, void *arg)
{
	const struct kvm_coalesced_mmio_zone *zone = arg;
	struct vm *vm = o->vm;
	unsigned kept = 0;

	if (zone->pio > 1)
		return -EINVAL;
	pthread_mutex_lock(&vm->ring_lock);
	for (unsigned i = 0; i < vm->nzones; i++) {
		const struct kvm_coalesced_mmio_zone *z = &vm->zones[i];
		bool inside = z->pio == zone->pio && zone->addr >= z->addr &&
			      zone->addr + zone->size <= z->addr + z->size;

		if (!inside)
			vm->zones[kept++] = *z;
	}
	vm->nzones = kept;
	pthread_mutex_unlock(&vm->ring_lock);
	return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Accesses that miss the TLB's fast path: refill, page crossing, watched pages, devices, data
 * breakpoints and alignment checks.
 */
#include <string.h>

#include "mmu/mmu_impl.h"

/* -- data breakpoints (SDM Vol. 3B 17.2.4 and 17.2.5) ---------------------------------------------
 */

static u64 breakpoint_len(const struct cpu *cpu, unsigned n)
{
	static const u8 len[4] = {1, 2, 8, 4};

	return len[cpu->dr[7] >> (18 + 4 * n) & 3];
}

/* Breakpoint n is on and of the kind write (1) or read/write (3). */
static bool breakpoint_watches(const struct cpu *cpu, unsigned n, bool write)
{
	unsigned kind = cpu->dr[7] >> (16 + 4 * n) & 3;

	return cpu->dr[7] >> (2 * n) & 3 && (kind == 3 || (kind == 1 && write));
}

u64 mmu_breakpoint_hits(const struct cpu *cpu, u64 gva, unsigned size, bool write)
{
	u64 hits = 0;

	for (unsigned n = 0; n < 4; n++) {
		u64 len = breakpoint_len(cpu, n), start = ALIGN_DOWN(cpu->dr[n], len);

		if (breakpoint_watches(cpu, n, write) && gva < start + len && start < gva + size)
			hits |= BIT(n);
	}
	return hits;
}

bool mmu_page_has_breakpoint(const struct cpu *cpu, u64 gva)
{
	if (likely(!(cpu->dr[7] & 0xff)))
		return false;
	return mmu_breakpoint_hits(cpu, gva & PAGE_MASK, PAGE_SIZE, true);
}

/* The trap comes after the instruction; the run loop finds it in pending_db. */
static void breakpoints_note(struct cpu *cpu, u64 gva, unsigned size, bool write)
{
	u64 hits;

	if (likely(!(cpu->dr[7] & 0xff)))
		return;
	hits = mmu_breakpoint_hits(cpu, gva, size, write);
	if (!hits)
		return;
	cpu->pending_db |= hits;
	cpu_event_set(cpu, EVENT_STEP);
}

/* -- translation ----------------------------------------------------------------------------------
 */

struct xlat {
	u64 gpa;
	struct mem_slot *slot; /* NULL: no memory there */
};

/* One page: checks, walks, and refills the TLB. */
static enum outcome translate(struct cpu *cpu, u64 gva, unsigned access, struct xlat *x)
{
	unsigned may = EPT_MAY_READ | EPT_MAY_WRITE | EPT_MAY_EXEC;
	enum outcome o;
	struct walk w;

	if (cpu_long_mode(cpu) && !cpu_canonical(cpu, gva))
		return cpu_fault_code(cpu, VEC_GP, 0);
	access = mmu_access_of(cpu, access);
	o = walk_linear(cpu, gva, access, &w);
	if (o)
		return o;
	if (cpu->nested.kind != NESTED_NONE) {
		u64 gpa;

		o = ept_translate(cpu, w.gpa, access, gva, true, true, &gpa, &may);
		if (o)
			return o;
		w.gpa = gpa;
	}
	x->gpa = w.gpa;
	x->slot = mem_find(cpu->mem, w.gpa);
	if (x->slot)
		tlb_fill(cpu, gva, &w, access, x->slot, may);
	return OUTCOME_OK;
}

static enum outcome alignment_check(struct cpu *cpu, u64 gva, unsigned size, unsigned access)
{
	bool on = cpu->cpl == 3 && cpu->rflags_sys & RFLAGS_AC && cpu->cr0 & CR0_AM;

	if (likely(!on) || access & (MMU_SYSTEM | MMU_EXEC) || size > 8 || size & (size - 1) ||
	    IS_ALIGNED(gva, size))
		return OUTCOME_OK;
	return cpu_fault_code(cpu, VEC_AC, 0);
}

/* Linear addresses wrap at 4 GiB outside 64-bit mode. */
static u64 linear_wrap(const struct cpu *cpu, u64 gva)
{
	return cpu_long_mode(cpu) && cpu->mode == CODE_64 ? gva : (u32)gva;
}

/* An access of up to two pages. */
struct span {
	u64 gva[2];
	unsigned len[2], count;
	struct xlat x[2];
};

static enum outcome span_translate(struct cpu *cpu, u64 gva, unsigned size, unsigned access,
				   struct span *s)
{
	unsigned room = PAGE_SIZE - (gva & ~PAGE_MASK);
	enum outcome o = alignment_check(cpu, gva, size, access);

	s->count = size > room ? 2 : 1;
	s->gva[0] = gva;
	s->len[0] = MIN(size, room);
	s->gva[1] = linear_wrap(cpu, gva + room);
	s->len[1] = size - s->len[0];
	for (unsigned i = 0; i < s->count && !o; i++)
		o = translate(cpu, s->gva[i], access, &s->x[i]);
	if (!o)
		breakpoints_note(cpu, gva, size, access & MMU_WRITE);
	return o;
}

/* -- devices --------------------------------------------------------------------------------------
 */

/* The largest access that is cut into pieces for a device. */
#define DEVICE_ACCESS_MAX 64

/* User space answers a load of at most 8 bytes; the instruction is then executed again. */
static enum outcome device_read_user(struct cpu *cpu, u64 gpa, void *dst, unsigned size)
{
	struct cpu_io *io = &cpu->io;

	if (io->next < io->ndone && io->done[io->next].addr == gpa &&
	    io->done[io->next].size == size) {
		memcpy(dst, &io->done[io->next++].data, size);
		return OUTCOME_OK;
	}
	io->cur = (struct io_access){.addr = gpa, .size = (u8)size, .count = 1};
	io->in_flight = true;
	cpu->user.kind = USER_MMIO;
	return OUTCOME_USEREXIT;
}

static enum outcome device_read(struct cpu *cpu, u64 gpa, void *dst, unsigned size)
{
	while (size) {
		unsigned n = MIN(size, 8u);
		u64 value = 0;
		enum outcome o;

		if (cpu->ops->mmio_read(cpu, gpa, n, &value)) {
			memcpy(dst, &value, n);
		} else {
			o = device_read_user(cpu, gpa, dst, n);
			if (o)
				return o;
		}
		gpa += n;
		dst = (u8 *)dst + n;
		size -= n;
	}
	return OUTCOME_OK;
}

static void device_write(struct cpu *cpu, u64 gpa, const void *src, unsigned size)
{
	struct cpu_io *io = &cpu->io;

	for (; size; size -= MIN(size, 8u), gpa += 8, src = (const u8 *)src + 8) {
		unsigned n = MIN(size, 8u);
		u64 value = 0;

		memcpy(&value, src, n);
		if (cpu->ops->mmio_write(cpu, gpa, n, value))
			continue;
		io->posted[io->nposted].addr = gpa;
		io->posted[io->nposted].data = value;
		io->posted[io->nposted++].size = (u8)n;
		cpu_event_set(cpu, EVENT_REQUEST);
	}
}

static bool is_device(const struct xlat *x, bool write)
{
	return !x->slot || (write && x->slot->flags & KVM_MEM_READONLY);
}

/* More than a vector register at once (XSAVE and the like) is not an access that devices answer. */
static enum outcome device_too_large(struct cpu *cpu)
{
	cpu->user.kind = USER_INTERNAL;
	return OUTCOME_USEREXIT;
}

/* Room for one more instruction's stores? If not they must be handed out first. */
static enum outcome device_write_room(struct cpu *cpu, const struct span *s)
{
	for (unsigned i = 0; i < s->count; i++) {
		bool device = is_device(&s->x[i], true);

		if (device && s->len[0] + s->len[1] > DEVICE_ACCESS_MAX)
			return device_too_large(cpu);
		if (device && cpu->io.nposted + 9 > IO_REPLAY_MAX) {
			cpu->user.kind = USER_NONE;
			return OUTCOME_USEREXIT;
		}
	}
	return OUTCOME_OK;
}

/* -- loads and stores -----------------------------------------------------------------------------
 */

/* Naturally aligned accesses of up to 8 bytes are single-copy atomic (SDM Vol. 3A 8.1.1). */
static void copy(void *dst, const void *src, unsigned size)
{
	switch (size) {
	case 1:
		*(volatile u8 *)dst = *(const volatile u8 *)src;
		break;
	case 2:
		*(volatile u16 *)dst = *(const volatile u16 *)src;
		break;
	case 4:
		*(volatile u32 *)dst = *(const volatile u32 *)src;
		break;
	case 8:
		*(volatile u64 *)dst = *(const volatile u64 *)src;
		break;
	default:
		memcpy(dst, src, size);
	}
}

static enum outcome part_read(struct cpu *cpu, const struct xlat *x, void *dst, unsigned len)
{
	if (!x->slot && len > DEVICE_ACCESS_MAX)
		return device_too_large(cpu);
	if (!x->slot)
		return device_read(cpu, x->gpa, dst, len);
	copy(dst, mem_slot_hva(x->slot, x->gpa), len);
	return OUTCOME_OK;
}

enum outcome mmu_read(struct cpu *cpu, u64 gva, void *dst, unsigned size, unsigned access)
{
	u8 *out = dst;
	struct span s;
	enum outcome o = span_translate(cpu, gva, size, access, &s);

	for (unsigned i = 0; i < s.count && !o; i++) {
		o = part_read(cpu, &s.x[i], out, s.len[i]);
		out += s.len[i];
	}
	return o;
}

static void part_write(struct cpu *cpu, const struct xlat *x, const void *src, unsigned len)
{
	_Atomic u8 *watch;

	if (is_device(x, true)) {
		device_write(cpu, x->gpa, src, len);
		return;
	}
	watch = mem_slot_watch(x->slot, x->gpa);
	if (unlikely(atomic_load(watch)))
		mem_store_watched(x->slot, x->gpa, len);
	copy(mem_slot_hva(x->slot, x->gpa), src, len);
	/* Another vCPU may have decoded these bytes just before the store. */
	if (unlikely(atomic_load(watch) & MEM_WATCH_CODE))
		mem_store_watched(x->slot, x->gpa, len);
}

enum outcome mmu_write(struct cpu *cpu, u64 gva, const void *src, unsigned size, unsigned access)
{
	const u8 *in = src;
	struct span s;
	enum outcome o = span_translate(cpu, gva, size, access | MMU_WRITE, &s);

	if (!o)
		o = device_write_room(cpu, &s);
	for (unsigned i = 0; i < s.count && !o; i++) {
		part_write(cpu, &s.x[i], in, s.len[i]);
		in += s.len[i];
	}
	return o;
}

enum outcome mmu_ptr(struct cpu *cpu, u64 gva, unsigned size, unsigned access, void **ptr)
{
	struct span s;
	enum outcome o = span_translate(cpu, gva, size, access, &s);

	*ptr = NULL;
	if (o || s.count > 1 || !s.x[0].slot)
		return o;
	if (access & MMU_WRITE) {
		if (s.x[0].slot->flags & KVM_MEM_READONLY)
			return OUTCOME_OK;
		if (atomic_load(mem_slot_watch(s.x[0].slot, s.x[0].gpa)))
			mem_store_watched(s.x[0].slot, s.x[0].gpa, size);
	}
	*ptr = mem_slot_hva(s.x[0].slot, s.x[0].gpa);
	return OUTCOME_OK;
}

enum outcome mmu_check(struct cpu *cpu, u64 gva, unsigned size, unsigned access)
{
	u64 db = cpu->pending_db;
	struct span s;
	enum outcome o = span_translate(cpu, gva, size, access, &s);

	cpu->pending_db = db; /* nothing has been accessed yet */
	return o;
}

enum outcome mmu_fetch(struct cpu *cpu, u64 gva, u64 *gpa, u8 **hva)
{
	struct tlb_entry *e = mmu_tlb_entry(cpu, gva);
	enum outcome o;
	struct xlat x;

	if (e->exec == ((gva & PAGE_MASK) | cpu->tlb_ctx)) {
		*gpa = cpu->mmu->info[e - cpu->tlb].gpa | (gva & ~PAGE_MASK);
		*hva = (u8 *)(gva + e->addend);
		return OUTCOME_OK;
	}
	o = translate(cpu, gva, MMU_EXEC, &x);
	if (o)
		return o;
	*gpa = x.gpa;
	*hva = x.slot ? mem_slot_hva(x.slot, x.gpa) : NULL;
	return OUTCOME_OK;
}

bool mmu_translate(struct cpu *cpu, u64 gva, u64 *gpa, bool *writable, bool *user)
{
	unsigned may;
	struct walk w;

	if (cpu_long_mode(cpu) && !cpu_canonical(cpu, gva))
		return false;
	if (walk_linear(cpu, gva, MMU_READ | MMU_SYSTEM | MMU_QUIET, &w))
		return false;
	if (cpu->nested.kind != NESTED_NONE &&
	    ept_translate(cpu, w.gpa, MMU_READ | MMU_QUIET, gva, true, true, &w.gpa, &may))
		return false;
	*gpa = w.gpa;
	if (writable)
		*writable = w.writable;
	if (user)
		*user = w.user;
	return true;
}

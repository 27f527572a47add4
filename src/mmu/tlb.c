/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The software TLB and the address spaces that its tags name.
 *
 * Flushing an address space costs nothing: it gets a fresh ASID, and what carries the old one is
 * never matched again. When the ASIDs run out, the whole TLB is wiped.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mmu/mmu_impl.h"

int mmu_init(struct cpu *cpu)
{
	struct mmu *mmu = aligned_alloc(64, ALIGN_UP(sizeof(*mmu), 64));

	if (!mmu)
		return -ENOMEM;
	memset(mmu, 0, sizeof(*mmu));
	memset(mmu->ept, 0xff, sizeof(mmu->ept));
	cpu->mmu = mmu;
	cpu->tlb = mmu->tlb;
	tlb_wipe(mmu);
	if (!cpu->phys_bits) /* until CPUID says */
		cpu->phys_bits = 36;
	mmu_context_switch(cpu);
	return 0;
}

void mmu_destroy(struct cpu *cpu)
{
	free(cpu->mmu);
	cpu->mmu = NULL;
	cpu->tlb = NULL;
}

void tlb_wipe(struct mmu *mmu)
{
	memset(mmu->tlb, 0xff, sizeof(mmu->tlb));
	for (unsigned i = 0; i < NSPACES; i++)
		mmu->spaces[i].asid = 0;
	mmu->next_asid = 0;
	mmu->space = NULL;
}

/* -- address spaces -------------------------------------------------------------------------------
 */

/* The control bits that change what a page-table entry means or permits. */
static u32 space_mode(const struct cpu *cpu)
{
	u32 mode = 0;

	mode |= cpu->cr0 & CR0_PG ? 1 : 0;
	mode |= cpu->cr0 & CR0_WP ? 2 : 0;
	mode |= cpu->cr4 & CR4_PAE ? 4 : 0;
	mode |= cpu->cr4 & CR4_PSE ? 8 : 0;
	mode |= cpu->cr4 & CR4_SMEP ? 16 : 0;
	mode |= cpu->cr4 & CR4_SMAP ? 32 : 0;
	mode |= cpu->cr4 & CR4_LA57 ? 64 : 0;
	mode |= cpu->efer & EFER_NXE ? 128 : 0;
	mode |= cpu->efer & EFER_LMA ? 256 : 0;
	mode |= cpu->cr4 & CR4_PKE ? 512 : 0;
	return mode;
}

static struct space_key space_key_of(const struct cpu *cpu)
{
	struct space_key key = {0};

	key.nested_root = cpu->nested.kind == NESTED_NONE ? 0 : cpu->nested.root;
	key.mode = space_mode(cpu);
	key.pkru = cpu->cr4 & CR4_PKE ? cpu->fpu.pkru : 0;
	key.vpid = cpu->vpid;
	if (cpu->cr4 & CR4_PCIDE && cpu->cr0 & CR0_PG)
		key.pcid = cpu->cr3 & 0xfff;
	return key;
}

static bool key_equal(const struct space_key *a, const struct space_key *b)
{
	return a->nested_root == b->nested_root && a->mode == b->mode && a->pkru == b->pkru &&
	       a->vpid == b->vpid && a->pcid == b->pcid;
}

static struct space *space_slot(struct mmu *mmu, const struct space_key *key)
{
	u64 h = key->nested_root ^ ((u64)key->vpid << 40) ^ ((u64)key->mode << 16) ^ key->pcid ^
		((u64)key->pkru << 20);

	return &mmu->spaces[(h * 0x9e3779b97f4a7c15ull) >> 58];
}

static void space_start(struct mmu *mmu, struct space *s, const struct space_key *key)
{
	if (mmu->next_asid >= ASID_MAX)
		tlb_wipe(mmu);
	*s = (struct space){.key = *key, .asid = ++mmu->next_asid, .large_lo = {~0ull, ~0ull}};
}

void mmu_context_switch(struct cpu *cpu)
{
	struct mmu *mmu = cpu->mmu;
	struct space_key key = space_key_of(cpu);
	struct space *s = mmu->space;

	if (!s || !s->asid || !key_equal(&s->key, &key)) {
		s = space_slot(mmu, &key);
		if (!s->asid || !key_equal(&s->key, &key))
			space_start(mmu, s, &key);
		mmu->space = s;
	}
	ept_select(cpu);
	mmu_update_mode(cpu);
}

static enum ctx_kind supervisor_kind(const struct cpu *cpu, bool system)
{
	if (cpu->cr4 & CR4_SMAP && (system || !(cpu->rflags_sys & RFLAGS_AC)))
		return CTX_KERNEL;
	return CTX_KERNEL_USER;
}

static enum ctx_kind current_kind(const struct cpu *cpu)
{
	if (cpu->cpl != 3)
		return supervisor_kind(cpu, false);
	return cpu->rflags_sys & RFLAGS_AC && cpu->cr0 & CR0_AM ? CTX_ALIGN : CTX_USER;
}

static u32 ctx_of(const struct mmu *mmu, enum ctx_kind kind)
{
	return (u32)mmu->space->asid << CTX_KIND_BITS | kind;
}

/* Spreads the contexts over the TLB, so that the kernels of L1 and L2 do not fight for entries. */
static u64 ctx_xor(u32 ctx)
{
	return ctx * 0x9e3779b1u >> (32 - TLB_BITS);
}

void mmu_update_mode(struct cpu *cpu)
{
	cpu->tlb_ctx = ctx_of(cpu->mmu, current_kind(cpu));
	cpu->tlb_xor = (u64)ctx_xor(cpu->tlb_ctx) << TLB_ENTRY_SHIFT;
}

/* -- refill ---------------------------------------------------------------------------------------
 */

static unsigned tlb_index(u64 gva, u32 ctx)
{
	return (unsigned)((gva >> PAGE_SHIFT) ^ ctx_xor(ctx)) & (TLB_SIZE - 1);
}

void *mmu_probe_system(const struct cpu *cpu, u64 gva, unsigned size, bool write)
{
	u32 ctx = ctx_of(cpu->mmu, supervisor_kind(cpu, true));
	const struct tlb_entry *e = &cpu->tlb[tlb_index(gva, ctx)];

	if (likely((write ? e->write : e->read) == (((gva + size - 1) & PAGE_MASK) | ctx)))
		return (void *)(gva + e->addend);
	return NULL;
}

static void space_note_large(struct space *s, u64 gva, unsigned shift)
{
	unsigned half = gva >> 63;
	u64 lo = ALIGN_DOWN(gva, BIT(shift)), hi = lo + BIT(shift) - 1;

	s->large_lo[half] = MIN(s->large_lo[half], lo);
	s->large_hi[half] = MAX(s->large_hi[half], hi);
	s->large_shift = MAX(s->large_shift, (u8)shift);
}

/* May the kind of access that `ctx` stands for store without asking anybody? */
static bool may_write(const struct cpu *cpu, const struct walk *w, enum ctx_kind kind, unsigned may)
{
	if (!w->dirty || !(may & EPT_MAY_WRITE))
		return false;
	if (cpu->cr4 & CR4_PKE && w->user && cpu->fpu.pkru >> (2 * w->pkey) & 3)
		return false;
	return w->writable || (kind != CTX_USER && !(cpu->cr0 & CR0_WP));
}

static bool may_read(const struct cpu *cpu, const struct walk *w, unsigned may)
{
	if (!(may & EPT_MAY_READ))
		return false;
	return !(cpu->cr4 & CR4_PKE && w->user && cpu->fpu.pkru >> (2 * w->pkey) & 1);
}

/*
 * The walk allowed `access`; the entry gets what follows from it: reading (unless only execution
 * was asked for and reading by this context may be forbidden), writing where no flag, watch or
 * breakpoint wants to know.
 */
void tlb_fill(struct cpu *cpu, u64 gva, const struct walk *w, unsigned access, struct mem_slot *s,
	      unsigned may)
{
	struct mmu *mmu = cpu->mmu;
	enum ctx_kind kind = access & MMU_SYSTEM ? supervisor_kind(cpu, true) : current_kind(cpu);
	u32 ctx = ctx_of(mmu, kind);
	struct tlb_entry *e = &mmu->tlb[tlb_index(gva, ctx)];
	struct tlb_info *info = &mmu->info[e - mmu->tlb];
	u64 tag = (gva & PAGE_MASK) | ctx, gpa = w->gpa & PAGE_MASK;
	bool had_exec = e->exec == tag && info->gpa == gpa && info->slot == s;
	bool data = kind != CTX_ALIGN && !mmu_page_has_breakpoint(cpu, gva) &&
		    !(kind == CTX_KERNEL && w->user);
	bool user_ok = kind != CTX_USER || w->user;

	info->gpa = gpa;
	info->slot = s;
	e->addend = (u64)mem_slot_hva(s, gpa) - (gva & PAGE_MASK);
	e->read = data && user_ok && may_read(cpu, w, may) ? tag : TLB_INVALID;
	e->write = e->read != TLB_INVALID && may_write(cpu, w, kind, may) &&
				   !atomic_load(mem_slot_watch(s, gpa))
			   ? tag
			   : TLB_INVALID;
	e->exec = access & MMU_EXEC || had_exec ? tag : TLB_INVALID;
	if (w->shift > PAGE_SHIFT)
		space_note_large(mmu->space, gva, w->shift);
}

void mmu_drop_watched(struct cpu *cpu)
{
	struct mmu *mmu = cpu->mmu;

	for (unsigned i = 0; i < TLB_SIZE; i++) {
		struct tlb_entry *e = &mmu->tlb[i];
		struct tlb_info *info = &mmu->info[i];
		u8 watch;

		if (e->write == TLB_INVALID)
			continue;
		watch = atomic_load(mem_slot_watch(info->slot, info->gpa));
		if (!watch)
			continue;
		e->write = TLB_INVALID;
		if (watch & MEM_WATCH_CODE)
			mem_code_touch(info->slot, info->gpa);
	}
}

/* -- invalidation ---------------------------------------------------------------------------------
 */

/* The caller selects the context again. */
static void space_drop(struct space *s)
{
	s->asid = 0;
}

void mmu_flush_all(struct cpu *cpu)
{
	tlb_wipe(cpu->mmu);
	memset(cpu->mmu->ept, 0xff, sizeof(cpu->mmu->ept));
	mmu_context_switch(cpu);
}

/* The address space under whatever paging mode and PKRU it has been used, not only the present ones. */
void mmu_flush_cr3(struct cpu *cpu)
{
	struct space_key key = space_key_of(cpu);

	for (unsigned i = 0; i < NSPACES; i++) {
		struct space *s = &cpu->mmu->spaces[i];

		if (s->key.vpid == key.vpid && s->key.nested_root == key.nested_root &&
		    s->key.pcid == key.pcid)
			space_drop(s);
	}
	mmu_context_switch(cpu);
}

static void drop_vpid(struct cpu *cpu, u16 vpid)
{
	for (unsigned i = 0; i < NSPACES; i++)
		if (cpu->mmu->spaces[i].key.vpid == vpid)
			space_drop(&cpu->mmu->spaces[i]);
	mmu_context_switch(cpu);
}

void mmu_mode_changed(struct cpu *cpu)
{
	drop_vpid(cpu, cpu->vpid);
}

static void entry_drop(struct mmu *mmu, u64 gva, u16 asid)
{
	for (unsigned kind = 0; kind < 4; kind++) {
		u32 ctx = (u32)asid << CTX_KIND_BITS | kind;
		struct tlb_entry *e = &mmu->tlb[tlb_index(gva, ctx)];
		u64 tag = (gva & PAGE_MASK) | ctx;

		if (e->read == tag || e->write == tag || e->exec == tag)
			e->read = e->write = e->exec = TLB_INVALID;
	}
}

/* INVLPG of a byte of a large page drops the whole page (SDM Vol. 3A 4.10.4.1). */
static void space_invlpg(struct mmu *mmu, struct space *s, u64 gva)
{
	unsigned half = gva >> 63;
	u64 first;

	if (gva < s->large_lo[half] || gva > s->large_hi[half]) {
		entry_drop(mmu, gva, s->asid);
		return;
	}
	if (s->large_shift > 22) {
		space_drop(s);
		return;
	}
	first = ALIGN_DOWN(gva, BIT(s->large_shift));
	for (u64 off = 0; off < BIT(s->large_shift); off += PAGE_SIZE)
		entry_drop(mmu, first + off, s->asid);
}

/*
 * All spaces of the VPID and EPT: the page may be global, and other PCIDs' entries for it must then
 * go, too; those that are not global may.
 */
void mmu_invlpg(struct cpu *cpu, u64 gva)
{
	struct mmu *mmu = cpu->mmu;
	struct space_key key = space_key_of(cpu);

	for (unsigned i = 0; i < NSPACES; i++) {
		struct space *s = &mmu->spaces[i];

		if (s->asid && s->key.vpid == key.vpid && s->key.nested_root == key.nested_root)
			space_invlpg(mmu, s, gva);
	}
	mmu_context_switch(cpu);
}

void mmu_invpcid(struct cpu *cpu, unsigned type, u16 pcid, u64 gva)
{
	struct mmu *mmu = cpu->mmu;
	struct space_key key = space_key_of(cpu);

	for (unsigned i = 0; i < NSPACES; i++) {
		struct space *s = &mmu->spaces[i];

		if (!s->asid || s->key.vpid != key.vpid || s->key.nested_root != key.nested_root)
			continue;
		if (type >= 2)
			space_drop(s);
		else if (s->key.pcid == pcid && type == 0)
			space_invlpg(mmu, s, gva);
		else if (s->key.pcid == pcid)
			space_drop(s);
	}
	mmu_context_switch(cpu);
}

void mmu_invvpid(struct cpu *cpu, unsigned type, u16 vpid, u64 gva)
{
	struct mmu *mmu = cpu->mmu;

	for (unsigned i = 0; i < NSPACES; i++) {
		struct space *s = &mmu->spaces[i];

		if (!s->asid || (type == 2 ? s->key.vpid == 0 : s->key.vpid != vpid))
			continue;
		if (type == 0)
			space_invlpg(mmu, s, gva);
		else
			space_drop(s);
	}
	mmu_context_switch(cpu);
}

void mmu_invept(struct cpu *cpu, bool all, u64 eptp)
{
	struct mmu *mmu = cpu->mmu;

	for (unsigned i = 0; i < NSPACES; i++) {
		struct space *s = &mmu->spaces[i];

		if (s->asid && s->key.nested_root && (all || s->key.nested_root == eptp))
			space_drop(s);
	}
	for (unsigned i = 0; i < NEPTS; i++)
		if (all || mmu->epts[i].eptp == eptp)
			mmu->epts[i].id = 0;
	mmu_context_switch(cpu);
}

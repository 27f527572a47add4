/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One page walker for 32-bit, PAE, 4-level and 5-level paging (SDM Vol. 3A chapter 4), each entry
 * of which is itself translated where nested paging is on.
 */
#include <stdatomic.h>

#include "mmu/mmu_impl.h"

#define PTE_P	      BIT(0)
#define PTE_W	      BIT(1)
#define PTE_U	      BIT(2)
#define PTE_A	      BIT(5)
#define PTE_D	      BIT(6)
#define PTE_PS	      BIT(7)
#define PTE_G	      BIT(8)
#define PTE_NX	      BIT(63)
#define PTE_PAT_LARGE BIT(12)

#define MAX_LEVELS 5

/* Where a walk stands. */
struct steps {
	_Atomic u64 *entry[MAX_LEVELS]; /* host addresses, for the A and D flags */
	u64 gpa[MAX_LEVELS], value[MAX_LEVELS];
	unsigned count;
	unsigned entry_size;
	bool user, writable, nx; /* what the entries so far allow together */
};

static u64 phys_mask(const struct cpu *cpu)
{
	return MASK(cpu->phys_bits - 1, PAGE_SHIFT);
}

/* Bits of any entry that must be 0 (SDM Vol. 3A 4.5.2, table 4-14 and following). */
static u64 reserved_bits(const struct cpu *cpu, unsigned entry_size)
{
	u64 rsvd;

	if (entry_size == 4)
		return 0;
	rsvd = MASK(51, 12) & ~phys_mask(cpu);
	if (!(cpu->efer & EFER_NXE))
		rsvd |= PTE_NX;
	if (!(cpu->efer & EFER_LMA))
		rsvd |= MASK(62, 52);
	return rsvd;
}

static bool has_1g_pages(const struct cpu *cpu)
{
	return cpu->features[FEAT_80000001_EDX] & BIT(26);
}

/* Is the present entry at `shift` a page, and are its reserved bits clear? */
static bool entry_is_page(const struct cpu *cpu, u64 pte, unsigned shift, unsigned entry_size)
{
	if (shift == 12)
		return true;
	if (!(pte & PTE_PS))
		return false;
	return entry_size == 8 ? shift <= 30 : (cpu->cr4 & CR4_PSE) != 0;
}

static bool entry_reserved_ok(const struct cpu *cpu, u64 pte, unsigned shift, unsigned entry_size)
{
	if (pte & reserved_bits(cpu, entry_size))
		return false;
	if (shift == 12 || !(pte & PTE_PS))
		return true;
	if (entry_size == 4) /* PSE-36: bits 39:32 in 20:13, bit 21 reserved */
		return !(cpu->cr4 & CR4_PSE) ||
		       !(pte &
			 (BIT(21) | (cpu->phys_bits < 40 ? MASK(20, cpu->phys_bits - 19) : 0)));
	if (shift > 30 || (shift == 30 && !has_1g_pages(cpu)))
		return false;
	return !(pte & MASK(shift - 1, 13));
}

static u64 page_base(const struct cpu *cpu, u64 pte, unsigned shift, unsigned entry_size)
{
	if (entry_size == 4 && shift == 22)
		return (pte & MASK(31, 22)) | bits(pte, 20, 13) << 32;
	return pte & phys_mask(cpu) & ~(BIT(shift) - 1);
}

static enum outcome page_fault(struct cpu *cpu, u64 gva, unsigned access, u32 error)
{
	if (access & MMU_QUIET)
		return OUTCOME_FAULT;
	if (access & MMU_WRITE)
		error |= PF_W;
	if (access & MMU_USER)
		error |= PF_U;
	/* I/D is reported where fetches can be told apart (SDM Vol. 3A 4.7). */
	if (access & MMU_EXEC &&
	    (cpu->cr4 & CR4_SMEP || (cpu->cr4 & CR4_PAE && cpu->efer & EFER_NXE)))
		error |= PF_I;
	return cpu_fault_page(cpu, gva, error);
}

/*
 * Reads the entry at gpa. With nested paging the access is a read, or a write where EPT keeps
 * accessed and dirty flags (SDM Vol. 3C 28.3.3.2).
 */
static enum outcome entry_read(struct cpu *cpu, u64 gva, unsigned access, u64 gpa, struct steps *st)
{
	unsigned n = st->count, may;
	struct mem_slot *s;

	if (cpu->nested.kind != NESTED_NONE) {
		unsigned how = cpu->nested.root & BIT(6) ? MMU_WRITE : MMU_READ;
		enum outcome o = ept_translate(cpu, gpa, how | (access & MMU_QUIET), gva, true,
					       false, &gpa, &may);
		if (o)
			return o;
	}
	s = mem_find(cpu->mem, gpa);
	if (!s) /* no memory answers: as if the entry were not present */
		return page_fault(cpu, gva, access, 0);
	st->entry[n] = (_Atomic u64 *)mem_slot_hva(s, gpa);
	st->gpa[n] = gpa;
	st->value[n] =
		st->entry_size == 8
			? atomic_load_explicit(st->entry[n], memory_order_relaxed)
			: atomic_load_explicit((_Atomic u32 *)st->entry[n], memory_order_relaxed);
	st->count++;
	return OUTCOME_OK;
}

/* Access rights for the whole translation (SDM Vol. 3A 4.6.1). */
static bool rights_ok(const struct cpu *cpu, unsigned access, const struct steps *st)
{
	bool nx = st->nx && cpu->efer & EFER_NXE;

	if (access & MMU_USER) {
		if (!st->user)
			return false;
		return access & MMU_EXEC ? !nx : !(access & MMU_WRITE) || st->writable;
	}
	if (access & MMU_EXEC)
		return !nx && !(st->user && cpu->cr4 & CR4_SMEP);
	if (st->user && cpu->cr4 & CR4_SMAP &&
	    (access & MMU_SYSTEM || !(cpu->rflags_sys & RFLAGS_AC)))
		return false;
	return !(access & MMU_WRITE) || st->writable || !(cpu->cr0 & CR0_WP);
}

/* Protection keys of user pages (SDM Vol. 3A 4.6.2); fetches are exempt. */
static bool pkey_ok(const struct cpu *cpu, unsigned access, const struct steps *st, unsigned key)
{
	unsigned rights = cpu->fpu.pkru >> (2 * key) & 3;

	if (!(cpu->cr4 & CR4_PKE) || !(cpu->efer & EFER_LMA) || !st->user || access & MMU_EXEC)
		return true;
	if (rights & 1)
		return false;
	return !(rights & 2) || !(access & MMU_WRITE) ||
	       (!(access & MMU_USER) && !(cpu->cr0 & CR0_WP));
}

/* Sets `bits` in entry n. false: it changed under us, walk again. */
static bool entry_set(struct cpu *cpu, struct steps *st, unsigned n, u64 set)
{
	u64 old = st->value[n];

	if ((old & set) == set)
		return true;
	if (mem_cmpxchg(cpu->mem, st->gpa[n], st->entry_size, old, old | set) == 0)
		return false;
	st->value[n] |= set;
	return true;
}

/* Accessed in all, dirty in the last for a write (SDM Vol. 3A 4.8). */
static bool flags_update(struct cpu *cpu, struct steps *st, unsigned access)
{
	unsigned last = st->count - 1;

	if (access & MMU_QUIET)
		return true;
	for (unsigned n = 0; n < last; n++)
		if (!entry_set(cpu, st, n, PTE_A))
			return false;
	return entry_set(cpu, st, last, access & MMU_WRITE ? PTE_A | PTE_D : PTE_A);
}

/* The tables from `table` on, whose entries map 1 << shift bytes. */
static enum outcome walk_levels(struct cpu *cpu, u64 gva, unsigned access, u64 table,
				unsigned shift, struct steps *st, struct walk *w)
{
	unsigned index_bits = st->entry_size == 8 ? 9 : 10;
	u64 pte;

	for (;; shift -= index_bits) {
		u64 index = gva >> shift & (BIT(index_bits) - 1);
		enum outcome o = entry_read(cpu, gva, access, table + index * st->entry_size, st);

		if (o)
			return o;
		pte = st->value[st->count - 1];
		if (!(pte & PTE_P))
			return page_fault(cpu, gva, access, 0);
		if (!entry_reserved_ok(cpu, pte, shift, st->entry_size))
			return page_fault(cpu, gva, access, PF_P | PF_RSVD);
		st->user &= !!(pte & PTE_U);
		st->writable &= !!(pte & PTE_W);
		st->nx |= st->entry_size == 8 && pte & PTE_NX;
		if (entry_is_page(cpu, pte, shift, st->entry_size))
			break;
		table = st->entry_size == 8 ? pte & phys_mask(cpu) : pte & MASK(31, 12);
	}
	w->shift = (u8)shift;
	w->gpa = page_base(cpu, pte, shift, st->entry_size) | (gva & (BIT(shift) - 1));
	w->global = pte & PTE_G && cpu->cr4 & CR4_PGE;
	w->pkey = st->entry_size == 8 ? (u8)bits(pte, 62, 59) : 0;
	return OUTCOME_OK;
}

static enum outcome walk_tables(struct cpu *cpu, u64 gva, unsigned access, struct steps *st,
				struct walk *w)
{
	if (cpu->efer & EFER_LMA)
		return walk_levels(cpu, gva, access, cpu->cr3 & phys_mask(cpu),
				   cpu->cr4 & CR4_LA57 ? 48 : 39, st, w);
	if (cpu->cr4 & CR4_PAE) {
		u64 pdpte = cpu->pdpte[bits(gva, 31, 30)];

		if (!(pdpte & PTE_P))
			return page_fault(cpu, gva, access, 0);
		return walk_levels(cpu, gva, access, pdpte & phys_mask(cpu), 21, st, w);
	}
	return walk_levels(cpu, gva, access, cpu->cr3 & MASK(31, 12), 22, st, w);
}

static enum outcome walk_once(struct cpu *cpu, u64 gva, unsigned access, struct walk *w,
			      bool *again)
{
	struct steps st = {.user = true, .writable = true};
	enum outcome o;

	*again = false;
	st.entry_size = cpu->cr4 & CR4_PAE ? 8 : 4;
	o = walk_tables(cpu, gva, access, &st, w);
	if (o)
		return o;
	if (!rights_ok(cpu, access, &st))
		return page_fault(cpu, gva, access, PF_P);
	if (!pkey_ok(cpu, access, &st, w->pkey))
		return page_fault(cpu, gva, access, PF_P | PF_PK);
	*again = !flags_update(cpu, &st, access);
	w->user = st.user;
	w->writable = st.writable;
	w->exec = !(st.nx && cpu->efer & EFER_NXE);
	w->dirty = st.value[st.count - 1] & PTE_D;
	return OUTCOME_OK;
}

enum outcome walk_linear(struct cpu *cpu, u64 gva, unsigned access, struct walk *w)
{
	bool again;
	enum outcome o;

	if (!(cpu->cr0 & CR0_PG)) {
		*w = (struct walk){.gpa = gva,
				   .writable = true,
				   .user = true,
				   .exec = true,
				   .dirty = true,
				   .shift = 12};
		return OUTCOME_OK;
	}
	do {
		o = walk_once(cpu, gva, access, w, &again);
	} while (!o && again);
	return o;
}

/* SDM Vol. 3A 4.4.1: bits 2:1, 8:5 and those above MAXPHYADDR of a present PDPTE are reserved. */
bool mmu_load_pdptes(struct cpu *cpu, u64 cr3)
{
	u64 rsvd = MASK(2, 1) | MASK(8, 5) | (MASK(63, 12) & ~phys_mask(cpu));
	u64 pdpte[4];

	for (unsigned i = 0; i < 4; i++) {
		u64 gpa = (cr3 & MASK(31, 5)) + i * 8;

		if (mmu_ngpa_to_gpa(cpu, gpa, MMU_READ, &gpa) ||
		    mem_read(cpu->mem, gpa, &pdpte[i], 8))
			return false;
		if (pdpte[i] & PTE_P && pdpte[i] & rsvd)
			return false;
	}
	__builtin_memcpy(cpu->pdpte, pdpte, sizeof(pdpte));
	return true;
}

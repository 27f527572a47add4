/* SPDX-License-Identifier: BSD-2-Clause */
/* EPT: ngpa to gpa (SDM Vol. 3C 28.3), with a small cache of its own. */
#include <string.h>

#include "mmu/mmu_impl.h"

#define EPT_RWX	   7u
#define EPT_A	   BIT(8)
#define EPT_D	   BIT(9)
#define EPT_PS	   BIT(7)
#define EPTP_AD	   BIT(6)
#define EPT_LEVELS 4

/* Exit qualification of an EPT violation (SDM Vol. 3C table 27-7). */
#define QUAL_PERMS_SHIFT 3
#define QUAL_GLA_VALID	 BIT(7)
#define QUAL_GLA_FINAL	 BIT(8)

/* Selects the id under which the current EPT's translations are cached. */
void ept_select(struct cpu *cpu)
{
	struct mmu *mmu = cpu->mmu;
	u64 root = cpu->nested.root;
	struct ept_root *r = &mmu->epts[(root >> PAGE_SHIFT) % NEPTS];

	if (cpu->nested.kind == NESTED_NONE)
		return;
	if (!r->id || r->eptp != root) {
		if (mmu->next_ept == 4095) {
			memset(mmu->epts, 0, sizeof(mmu->epts));
			memset(mmu->ept, 0xff, sizeof(mmu->ept));
			mmu->next_ept = 0;
		}
		r->eptp = root;
		r->id = ++mmu->next_ept;
	}
	mmu->ept_id = r->id;
}

static enum outcome ept_violation(struct cpu *cpu, u64 ngpa, unsigned access, u64 perms, u64 gla,
				  bool gla_valid, bool final)
{
	u64 qual = access & MMU_EXEC ? 4 : access & MMU_WRITE ? 2 : 1;

	if (access & MMU_QUIET)
		return OUTCOME_FAULT;
	qual |= perms << QUAL_PERMS_SHIFT;
	/* A paging-structure access under A/D flags counts as a read and a write. */
	if (!final && cpu->nested.root & EPTP_AD)
		qual |= 3;
	if (gla_valid)
		qual |= QUAL_GLA_VALID | (final ? QUAL_GLA_FINAL : 0);
	cpu->fault = (struct fault){.kind = FAULT_EPT, .qual = qual, .gpa = ngpa, .gla = gla};
	return OUTCOME_FAULT;
}

static enum outcome ept_misconfig(struct cpu *cpu, u64 ngpa, unsigned access)
{
	if (!(access & MMU_QUIET))
		cpu->fault = (struct fault){.kind = FAULT_EPT_MISCONF, .gpa = ngpa};
	return OUTCOME_FAULT;
}

/* SDM Vol. 3C 28.3.3.1; execute-only translations are not offered. */
static bool entry_misconfigured(const struct cpu *cpu, u64 e, unsigned shift, bool page)
{
	unsigned type = (unsigned)bits(e, 5, 3);

	if ((e & 3) == 2 || (e & EPT_RWX) == 4)
		return true;
	if (e & MASK(51, 12) & ~MASK(cpu->phys_bits - 1, 12))
		return true;
	if (!page)
		return shift > 30 ? e & MASK(7, 3) : e & MASK(6, 3);
	if (type == 2 || type == 3 || type == 7)
		return true;
	return shift > 12 && e & MASK(shift - 1, 12);
}

static bool entry_set(struct cpu *cpu, u64 gpa, u64 *e, u64 set)
{
	if ((*e & set) == set)
		return true;
	if (mem_cmpxchg(cpu->mem, gpa, 8, *e, *e | set) == 0)
		return false;
	*e |= set;
	return true;
}

struct ept_path {
	u64 gpa[EPT_LEVELS], value[EPT_LEVELS];
	unsigned count, shift;
	u64 perms;
};

/* Walks down to a page. OUTCOME_FAULT has been reported. */
static enum outcome ept_walk(struct cpu *cpu, u64 ngpa, unsigned access, u64 gla, bool gla_valid,
			     bool final, struct ept_path *p)
{
	u64 table = cpu->nested.root & MASK(cpu->phys_bits - 1, 12);

	p->perms = EPT_RWX;
	p->count = 0;
	for (p->shift = 39;; p->shift -= 9) {
		u64 gpa = table + bits(ngpa, p->shift + 8, p->shift) * 8, e;
		bool page;

		if (mem_read(cpu->mem, gpa, &e, 8))
			return ept_misconfig(cpu, ngpa, access);
		p->gpa[p->count] = gpa;
		p->value[p->count++] = e;
		if (!(e & EPT_RWX))
			return ept_violation(cpu, ngpa, access, 0, gla, gla_valid, final);
		page = p->shift == 12 || (p->shift <= 30 && e & EPT_PS);
		if (entry_misconfigured(cpu, e, p->shift, page))
			return ept_misconfig(cpu, ngpa, access);
		p->perms &= e;
		if (page)
			return OUTCOME_OK;
		table = e & MASK(cpu->phys_bits - 1, 12);
	}
}

static bool ept_allowed(u64 perms, unsigned access)
{
	if (access & MMU_EXEC)
		return perms & 4;
	return access & MMU_WRITE ? (perms & 3) == 3 : perms & 1;
}

/* false: an entry changed under us. */
static bool ept_flags_update(struct cpu *cpu, struct ept_path *p, unsigned access)
{
	unsigned last = p->count - 1;

	if (!(cpu->nested.root & EPTP_AD) || access & MMU_QUIET)
		return true;
	for (unsigned n = 0; n < last; n++)
		if (!entry_set(cpu, p->gpa[n], &p->value[n], EPT_A))
			return false;
	return entry_set(cpu, p->gpa[last], &p->value[last],
			 access & MMU_WRITE ? EPT_A | EPT_D : EPT_A);
}

static unsigned ept_may(const struct cpu *cpu, const struct ept_path *p)
{
	bool dirty = !(cpu->nested.root & EPTP_AD) || p->value[p->count - 1] & EPT_D;
	unsigned may = (p->perms & 1 ? EPT_MAY_READ : 0) | (p->perms & 4 ? EPT_MAY_EXEC : 0);

	return may | ((p->perms & 3) == 3 && dirty ? EPT_MAY_WRITE : 0);
}

static unsigned access_needs(unsigned access)
{
	return access & MMU_EXEC ? EPT_MAY_EXEC : access & MMU_WRITE ? EPT_MAY_WRITE : EPT_MAY_READ;
}

enum outcome ept_translate(struct cpu *cpu, u64 ngpa, unsigned access, u64 gla, bool gla_valid,
			   bool final, u64 *gpa, unsigned *may)
{
	struct mmu *mmu = cpu->mmu;
	struct ept_entry *c = &mmu->ept[(ngpa >> PAGE_SHIFT) % EPT_CACHE_SIZE];
	u64 tag = (ngpa & PAGE_MASK) | mmu->ept_id, page;
	struct ept_path p;
	enum outcome o;

	if (c->tag == tag && c->gpa & access_needs(access)) {
		*gpa = (c->gpa & PAGE_MASK) | (ngpa & ~PAGE_MASK);
		*may = c->gpa & EPT_RWX;
		return OUTCOME_OK;
	}
	if (ngpa >> 48)
		return ept_violation(cpu, ngpa, access, 0, gla, gla_valid, final);
	do {
		o = ept_walk(cpu, ngpa, access, gla, gla_valid, final, &p);
		if (o)
			return o;
		if (!ept_allowed(p.perms, access))
			return ept_violation(cpu, ngpa, access, p.perms, gla, gla_valid, final);
	} while (!ept_flags_update(cpu, &p, access));
	page = p.value[p.count - 1] & MASK(cpu->phys_bits - 1, p.shift);
	page |= ngpa & (BIT(p.shift) - 1) & PAGE_MASK;
	*may = ept_may(cpu, &p);
	*gpa = page | (ngpa & ~PAGE_MASK);
	c->tag = tag;
	c->gpa = page | *may;
	return OUTCOME_OK;
}

enum outcome mmu_ngpa_to_gpa(struct cpu *cpu, u64 ngpa, unsigned access, u64 *gpa)
{
	unsigned may;

	if (cpu->nested.kind == NESTED_NONE) {
		*gpa = ngpa;
		return OUTCOME_OK;
	}
	return ept_translate(cpu, ngpa, access, 0, false, false, gpa, &may);
}

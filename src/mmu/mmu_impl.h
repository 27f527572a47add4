/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Private to mmu/: address spaces, page walks, refills.
 */
#ifndef MMU_MMU_IMPL_H
#define MMU_MMU_IMPL_H

#include "mem/mem.h"
#include "mmu/mmu.h"

/*
 * Low two bits of a context: who accesses. Entries are never made for CTX_ALIGN but to execute, so
 * that every data access of a program under #AC takes the slow path, which checks alignment.
 */
enum ctx_kind {
	CTX_USER = 0,
	CTX_KERNEL = 1,	     /* user pages are out of bounds (SMAP) */
	CTX_KERNEL_USER = 2, /* supervisor that may touch user pages */
	CTX_ALIGN = 3,	     /* user with alignment checks */
};

#define CTX_KIND_BITS 2
#define ASID_MAX      1022u /* 1023 is TLB_INVALID's */

/* The name of an address space: translations with equal names may share TLB entries. */
struct space_key {
	u64 nested_root; /* EPTP, 0 outside nested paging */
	u32 mode;	 /* paging-mode bits, see space_mode() */
	u32 pkru;	 /* where protection keys are on */
	u16 vpid;
	u16 pcid;
};

struct space {
	struct space_key key;
	u16 asid; /* 0: free */
	/* Bounds of the large pages that have been split into entries, lower and upper half
	 * (INVLPG). */
	u64 large_lo[2], large_hi[2];
	u8 large_shift;
};

#define NSPACES 64

/* What a refill knows of a TLB entry beyond the hot part. */
struct tlb_info {
	u64 gpa; /* of the page */
	struct mem_slot *slot;
};

/* A cache of the last nested translations: ngpa page to gpa page. */
#define EPT_CACHE_SIZE 512
#define EPT_MAY_READ   1u
#define EPT_MAY_WRITE  2u /* and the dirty flag is set where it is kept */
#define EPT_MAY_EXEC   4u

struct ept_entry {
	u64 tag; /* ngpa page | id of the EPT */
	u64 gpa; /* page | EPT_MAY_* */
};

struct ept_root {
	u64 eptp;
	u16 id; /* 0: free */
};

#define NEPTS 8

struct mmu {
	struct tlb_entry tlb[TLB_SIZE];
	struct tlb_info info[TLB_SIZE];
	struct space spaces[NSPACES];
	struct space *space;
	u16 next_asid;
	struct ept_entry ept[EPT_CACHE_SIZE];
	struct ept_root epts[NEPTS];
	u16 next_ept, ept_id;
};

/* A translation as a walk found it. */
struct walk {
	u64 gpa;
	bool writable, user, exec; /* by the page tables, not by who asks */
	bool dirty;		   /* stores need not set anything */
	bool global;
	u8 shift; /* of the guest's page: 12, 21, 22, 30 */
	u8 pkey;
};

/* Bits of `access` beyond enum mmu_access. */
#define MMU_USER 0x100u /* access at CPL 3 */
#define MMU_QUIET                                                                                  \
	0x200u /* no A/D updates and no faults reported (OUTCOME_FAULT without cpu->fault) */

/* walk.c: the guest's own paging, with nested paging underneath. Checks permissions for `access`.
 */
enum outcome walk_linear(struct cpu *cpu, u64 gva, unsigned access, struct walk *w);

/*
 * ept.c: ngpa to gpa. gla: the linear address for the exit qualification; `final`: it is the
 * translation of that address, not a paging-structure entry of it. *may: EPT_MAY_*.
 */
enum outcome ept_translate(struct cpu *cpu, u64 ngpa, unsigned access, u64 gla, bool gla_valid,
			   bool final, u64 *gpa, unsigned *may);
void ept_select(struct cpu *cpu);

/* tlb.c */
void tlb_fill(struct cpu *cpu, u64 gva, const struct walk *w, unsigned access, struct mem_slot *s,
	      unsigned may);
void tlb_wipe(struct mmu *mmu);

/* access.c */
static inline unsigned mmu_access_of(const struct cpu *cpu, unsigned access)
{
	return cpu->cpl == 3 && !(access & MMU_SYSTEM) ? access | MMU_USER : access;
}

/* Data breakpoints that cover some byte of the page, or of [gva, gva+size) (DR6 bits). */
bool mmu_page_has_breakpoint(const struct cpu *cpu, u64 gva);
u64 mmu_breakpoint_hits(const struct cpu *cpu, u64 gva, unsigned size, bool write);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest-virtual memory: translation, the software TLB, and every access that the guest makes.
 *
 * A TLB entry's tag is the page's linear address with a 12-bit context in its low bits. The context
 * names an address space (PCID or CR3, VPID, EPTP) and the kind of access: user, supervisor with
 * SMAP in force, supervisor without. So a change of CPL, of EFLAGS.AC, of CR3 or of the guest only
 * changes cpu->tlb_ctx; nothing is flushed.
 *
 * All functions run in the vCPU's thread.
 */
#ifndef MMU_MMU_H
#define MMU_MMU_H

#include "base/types.h"
#include "cpu/cpu.h"

#define TLB_BITS 12
#define TLB_SIZE (1u << TLB_BITS)

#define TLB_ENTRY_SHIFT 5 /* log2 of an entry's size */

/* An invalid tag: its context (all ones) is never in use. */
#define TLB_INVALID (~0ull)

struct tlb_entry {
	u64 read, write,
		exec; /* tag when that access is allowed without asking, else TLB_INVALID */
	u64 addend;   /* hva = gva + addend */
};

_Static_assert(sizeof(struct tlb_entry) == 1 << TLB_ENTRY_SHIFT, "mmu_tlb_entry counts on it");

/* The host address that a matching entry gives. It is never NULL, which callers' tests profit from. */
static inline void *mmu_tlb_host(const struct tlb_entry *e, u64 gva)
{
	void *p = (void *)(gva + e->addend);

	if (!p)
		__builtin_unreachable();
	return p;
}

static inline struct tlb_entry *mmu_tlb_entry(const struct cpu *cpu, u64 gva)
{
	u64 offset = (gva >> (PAGE_SHIFT - TLB_ENTRY_SHIFT)) ^ cpu->tlb_xor;

	return (void *)((u8 *)cpu->tlb + (offset & ((TLB_SIZE - 1) << TLB_ENTRY_SHIFT)));
}

/*
 * The host address of [gva, gva+size) for reading (writing) when the TLB has it and it lies in one
 * page; NULL sends the caller to mmu_read/mmu_write/mmu_ptr.
 */
static inline void *mmu_probe_read(const struct cpu *cpu, u64 gva, unsigned size)
{
	struct tlb_entry *e = mmu_tlb_entry(cpu, gva);

	if (likely(e->read == (((gva + size - 1) & PAGE_MASK) | cpu->tlb_ctx)))
		return mmu_tlb_host(e, gva);
	return NULL;
}

static inline void *mmu_probe_write(const struct cpu *cpu, u64 gva, unsigned size)
{
	struct tlb_entry *e = mmu_tlb_entry(cpu, gva);

	if (likely(e->write == (((gva + size - 1) & PAGE_MASK) | cpu->tlb_ctx)))
		return mmu_tlb_host(e, gva);
	return NULL;
}

/*
 * The same for implicit supervisor accesses (descriptor tables, TSS, inner stacks) at any CPL.
 */
void *mmu_probe_system(const struct cpu *cpu, u64 gva, unsigned size, bool write);

/* Kinds of access for the slow functions. */
enum mmu_access {
	MMU_READ = 0,
	MMU_WRITE = 1, /* also: read for a later write */
	MMU_EXEC = 2,
	MMU_SYSTEM =
		4, /* implicit supervisor access (descriptor tables, TSS): CPL does not count */
		   /* Bits from 0x100 up are mmu/'s own. */
};

/* Returns 0, -ENOMEM. */
int mmu_init(struct cpu *cpu);
void mmu_destroy(struct cpu *cpu);

/*
 * Slow, complete accesses of 1 to 64 bytes at a *linear* address: TLB refill, page crossing (both
 * pages are checked before anything is written), watched pages, MMIO, data breakpoints,
 * non-canonical addresses (#GP; callers with SS as segment turn it into #SS through `flags` SEG
 * below). On anything but OUTCOME_OK nothing has been written. `access` is MMU_READ or MMU_WRITE,
 * with MMU_SYSTEM.
 */
enum outcome mmu_read(struct cpu *cpu, u64 gva, void *dst, unsigned size, unsigned access);
enum outcome mmu_write(struct cpu *cpu, u64 gva, const void *src, unsigned size, unsigned access);

/*
 * A host pointer to [gva, gva+size) inside one page of plain memory that may be read (or, with
 * MMU_WRITE, read and written) directly now. *ptr is NULL with OUTCOME_OK when there is no such
 * pointer (MMIO, crosses a page): then use mmu_read/mmu_write on a copy. For a write the page's
 * watchers have been told.
 */
enum outcome mmu_ptr(struct cpu *cpu, u64 gva, unsigned size, unsigned access, void **ptr);

/*
 * Checks that [gva, gva+size) can be accessed (size 1 to 4096), as if it had been, without doing
 * it.
 */
enum outcome mmu_check(struct cpu *cpu, u64 gva, unsigned size, unsigned access);

/*
 * For instruction fetch: translates gva (of the current CS mode) to a guest-physical address and a
 * host pointer to its byte. OUTCOME_FAULT as usual. *hva is NULL when it is not plain memory (then
 * the instruction cannot be executed: user.kind USER_INTERNAL).
 */
enum outcome mmu_fetch(struct cpu *cpu, u64 gva, u64 *gpa, u8 **hva);

/* Read-only translation for KVM_TRANSLATE, debuggers and tests: no A/D bits, no faults.
 * `writable` and `user` may be NULL. */
bool mmu_translate(struct cpu *cpu, u64 gva, u64 *gpa, bool *writable, bool *user);

/*
 * Guest-physical accesses by the CPU itself in guest mode go through EPT/NPT: translates an ngpa of
 * the current guest (identity outside guest mode). OUTCOME_FAULT with FAULT_EPT etc.
 */
enum outcome mmu_ngpa_to_gpa(struct cpu *cpu, u64 ngpa, unsigned access, u64 *gpa);

/*
 * Loads the four PDPTEs of PAE paging from cr3 into cpu->pdpte, checking reserved bits.
 * false: invalid (the caller raises #GP or fails the VM entry).
 */
bool mmu_load_pdptes(struct cpu *cpu, u64 cr3);

/*
 * Recomputes cpu->tlb_ctx after a change of CPL or EFLAGS.AC only. Cheap.
 */
void mmu_update_mode(struct cpu *cpu);

/*
 * Recomputes the context after any change of CR3, CR0, CR4, EFER, PKRU, guest_mode, nested, vpid or CPL:
 * selects the tags of the new address space. The paging-mode bits are part of its name, so nothing
 * is flushed: VM entries and exits call only this. Cheap.
 */
void mmu_context_switch(struct cpu *cpu);

/*
 * After a MOV to CR0 or CR4 or a WRMSR of EFER that changed a paging bit (PG, WP, PAE, PSE, PGE,
 * PCIDE, SMEP, SMAP, PKE, LA57, NXE, LME): mmu_context_switch(), and flushes what
 * belongs to the current VPID (SDM Vol. 3A 4.10.4.1).
 */
void mmu_mode_changed(struct cpu *cpu);

/* MOV to CR3 without bit 63: drops non-global entries of the current PCID; context is current. */
void mmu_flush_cr3(struct cpu *cpu);
/* Everything, all contexts (EVENT_TLB: to be handled before EVENT_WATCH when memory slots have
 * changed). */
void mmu_flush_all(struct cpu *cpu);
/* INVLPG in the current context (and global pages in all PCIDs). */
void mmu_invlpg(struct cpu *cpu, u64 gva);
/* INVPCID types 0 to 3 (SDM Vol. 2A INVPCID). */
void mmu_invpcid(struct cpu *cpu, unsigned type, u16 pcid, u64 gva);
/* INVVPID types 0 to 3; vpid 0 is L1's own. */
void mmu_invvpid(struct cpu *cpu, unsigned type, u16 vpid, u64 gva);
/* INVEPT: single context (eptp) or all. */
void mmu_invept(struct cpu *cpu, bool all, u64 eptp);
/* Drops write entries of watched pages, raising the code generation of those that hold code
 * (EVENT_WATCH). */
void mmu_drop_watched(struct cpu *cpu);

/*
 * Physical address checks for page-table and control-structure addresses: bits above MAXPHYADDR
 * clear.
 */
static inline bool mmu_phys_valid(const struct cpu *cpu, u64 gpa)
{
	return !(gpa >> cpu->phys_bits);
}

#endif

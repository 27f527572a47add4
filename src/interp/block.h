/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Decoded code: blocks, the pages they come from, and how control finds the next block.
 *
 * A block is found by the host address of its first byte, which says which memory it was decoded
 * from whatever linear or guest-physical address it has now, and the code mode. It may run while
 * the page's code generation (mem/) is the one it was decoded under. Blocks of one page link to one
 * another directly; what leaves the page probes the TLB and the table of blocks (block_go).
 *
 * Private to interp/.
 */
#ifndef INTERP_BLOCK_H
#define INTERP_BLOCK_H

#include "interp/handler.h"
#include "mem/mem.h"

#define BLOCK_HASH_BITS	 15
#define BLOCK_MAX_INSNS	 48
#define BLOCK_ARENA_SIZE (24u << 20)
#define PAGE_HASH_BITS	 12
#define BLOCK_NONE	 0xff /* insn.sub of a terminator outside any block */

/* A page that code was decoded from, as this vCPU knows it. */
struct code_page {
	const u8 *hva;
	u64 gpa;
	struct mem_code *code;
	u32 gen;    /* of the blocks that were made last */
	u64 chunks; /* decoded under gen, and */
	u64 hash;   /* a hash of their bytes: devices write memory without telling */
	struct code_page *next;
};

struct block {
	u64 key; /* host address of the first byte, code mode in the top byte; 0: forgotten */
	const struct mem_code *code;
	u32 gen;
	u16 count;
	struct code_page *page;
	struct block *next;
	struct insn insn[]; /* count instructions and a terminator */
};

struct interp {
	/* Heads of hash chains; never NULL: ends in `none`, which no key matches. */
	struct block *heads[1u << BLOCK_HASH_BITS];
	struct block none;
	struct insn *link; /* a direct branch inside its page that waits for its target's block */
	u32 flushes;	   /* of the arena */
	u8 *arena;
	size_t used;
	struct code_page *pages[1u << PAGE_HASH_BITS];
	struct insn scratch[2]; /* interp_step's instruction and a terminator */
};

static inline u64 block_key(const u8 *hva, enum code_mode mode)
{
	return (u64)hva | (u64)mode << 56;
}

static inline u32 block_hash(u64 key)
{
	return (u32)(key ^ key >> 12) & ((1u << BLOCK_HASH_BITS) - 1);
}

static inline bool block_current(const struct block *b)
{
	return b->gen == atomic_load_explicit(&b->code->gen, memory_order_acquire);
}

static inline bool cpu_wanted(const struct cpu *cpu)
{
	return atomic_load_explicit(&cpu->events, memory_order_relaxed) != 0;
}

/*
 * Chooses the handler of *d for a guest with these features, or one that raises #UD. false: the
 * latter (or the instruction ends its block for another reason).
 */
bool interp_select_insn(struct x86_decoded *d, struct insn *i, const u32 *features);
/*
 * *i, a `first`, is followed in its block by the conditional branch `jcc` (64-bit mode): makes one handler do
 * both where there is one.
 */
void interp_fuse(struct insn *i, ZydisMnemonic first, ZydisMnemonic jcc);
/* For what x86_decode() refused. */
void interp_select_bad(const struct x86_decoded *d, struct insn *i);

/*
 * The block at linear address lin, made if need be. OUTCOME_FAULT when it cannot be fetched.
 */
enum outcome block_get(struct cpu *cpu, u64 lin, struct block **b);
/* Decodes the one instruction at lin into i (fetch faults as in block_get). */
enum outcome block_decode_one(struct cpu *cpu, u64 lin, struct insn *i);
void block_flush(struct interp *in);

/* The end of a block's array: i->len is 0 there and nowhere else, i->aux is the block. */
enum outcome block_op_end(struct cpu *cpu, const struct insn *i);

/*
 * Goes on at linear address lin (64-bit mode; canonical, or else the engine's loop faults on its
 * fetch). OUTCOME_OK with rip set tells interp_run to look for the block.
 */
static inline enum outcome block_go64(struct cpu *cpu, u64 lin)
{
	const struct tlb_entry *e = mmu_tlb_entry(cpu, lin);
	u64 key = (lin + e->addend) | (u64)CODE_64 << 56;
	const struct block *b = cpu->interp->heads[block_hash(key)];

	if (likely(e->exec == ((lin & PAGE_MASK) | cpu->tlb_ctx) && b->key == key &&
		   block_current(b) && !cpu_wanted(cpu))) {
		cpu->gpr[REG_PAGE] = lin & PAGE_MASK;
		return insn_jump(cpu, b->insn);
	}
	cpu->rip = lin;
	return OUTCOME_OK;
}

/* Goes on at a direct branch's target in the same page: i->disp is its offset there, i->aux its
 * block. */
static inline enum outcome block_go_near(struct cpu *cpu, const struct insn *i)
{
	const struct insn *t = i->aux;

	if (likely(t && !cpu_wanted(cpu)))
		return insn_jump(cpu, t);
	cpu->interp->link = (struct insn *)i;
	cpu->rip = cpu->gpr[REG_PAGE] + (s64)i->disp;
	return OUTCOME_OK;
}

#endif

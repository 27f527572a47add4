/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "interp/block.h"

void block_flush(struct interp *in)
{
	for (unsigned k = 0; k < ARRAY_SIZE(in->heads); k++)
		in->heads[k] = &in->none;
	memset(in->pages, 0, sizeof(in->pages));
	in->used = 0;
	in->flushes++;
	in->link = NULL;
}

static void *arena_alloc(struct interp *in, size_t size)
{
	void *p = in->arena + in->used;

	in->used += ALIGN_UP(size, 16);
	return p;
}

/* -- pages ------------------------------------------------------------------------------------- */

static u64 chunk_hash(const u8 *chunk, unsigned n)
{
	const u64 *w = (const u64 *)chunk;
	u64 h = n + 1;

	for (unsigned k = 0; k < 8; k += 2)
		h += (w[k] + h) * 0x9e3779b97f4a7c15ull ^
		     (w[k + 1] + (h >> 29)) * 0xc2b2ae3d27d4eb4full;
	return h ^ h >> 32;
}

static u64 page_hash(const struct code_page *p)
{
	u64 h = 0;

	for (u64 left = p->chunks; left; left &= left - 1) {
		unsigned n = __builtin_ctzll(left);

		h += chunk_hash(p->hva + 64 * n, n);
	}
	return h;
}

static struct code_page **page_bucket(struct interp *in, const u8 *hva)
{
	u64 n = (u64)hva >> PAGE_SHIFT;

	return &in->pages[(n ^ n >> PAGE_HASH_BITS) & (ARRAY_SIZE(in->pages) - 1)];
}

static struct code_page *page_find(struct interp *in, const u8 *hva)
{
	struct code_page *p = *page_bucket(in, hva);

	while (p && p->hva != hva)
		p = p->next;
	return p;
}

static void page_renew(struct code_page *p)
{
	p->gen = atomic_load(&p->code->gen);
	p->chunks = p->hash = 0;
}

/*
 * The page's translation is new in the TLB: a device may have filled the page since. Blocks whose
 * bytes have changed are dropped everywhere.
 */
static void page_verify(struct cpu *cpu, struct code_page *p)
{
	if (p->gen != atomic_load(&p->code->gen)) {
		page_renew(p);
	} else if (p->chunks && page_hash(p) != p->hash) {
		mem_code_touch(mem_find(cpu->mem, p->gpa), p->gpa);
		page_renew(p);
	}
}

static struct code_page *page_make(struct cpu *cpu, u64 gpa, const u8 *hva)
{
	struct interp *in = cpu->interp;
	struct code_page **bucket = page_bucket(in, hva), *p = page_find(in, hva);

	if (!p) {
		p = arena_alloc(in, sizeof(*p));
		p->hva = hva;
		p->next = *bucket;
		*bucket = p;
		p->code = NULL;
	}
	if (p->code && p->gpa != gpa) /* the same memory in another slot */
		mem_code_touch(mem_find(cpu->mem, p->gpa), p->gpa);
	if (!p->code || p->gpa != gpa) {
		p->gpa = gpa;
		p->code = mem_slot_code(mem_find(cpu->mem, gpa), gpa);
		page_renew(p);
	}
	return p;
}

/* Bytes [off, end) of the page are about to be decoded. */
static void page_watch(struct cpu *cpu, struct code_page *p, unsigned off, unsigned end)
{
	for (unsigned n = off / 64; n * 64 < end; n++) {
		if (p->chunks & BIT(n))
			continue;
		mem_code_watch(cpu->mem, p->gpa + 64 * n, 64);
		p->chunks |= BIT(n);
		p->hash += chunk_hash(p->hva + 64 * n, n);
	}
}

/* -- decoding ---------------------------------------------------------------------------------- */

static bool ends_block(const struct x86_decoded *d)
{
	switch (d->insn.meta.category) {
	case ZYDIS_CATEGORY_CALL:
	case ZYDIS_CATEGORY_RET:
	case ZYDIS_CATEGORY_UNCOND_BR:
	case ZYDIS_CATEGORY_INTERRUPT:
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_SYSRET:
		return true;
	default:
		return false;
	}
}

static void insn_end(struct insn *i, u16 off, unsigned count)
{
	memset(i, 0, sizeof(*i));
	i->fn = block_op_end;
	i->off = off;
	i->disp = off;
	i->sub = count;
	i->pos = MIN(count, BLOCK_MAX_INSNS);
}

/* Fills b from page offset `off`; false: the very first instruction crosses into the next page. */
static bool block_fill(struct cpu *cpu, struct block *b, unsigned off)
{
	ZydisMnemonic previous = ZYDIS_MNEMONIC_INVALID;
	struct x86_decoded d;
	unsigned n = 0;
	bool more = true;

	while (more && n < BLOCK_MAX_INSNS && off < PAGE_SIZE) {
		page_watch(cpu, b->page, off, MIN(off + INSN_MAX_LEN, PAGE_SIZE));
		d.off = off;
		if (x86_decode(&d, cpu->mode, b->page->hva + off, PAGE_SIZE - off)) {
			more = interp_select_insn(&d, &b->insn[n], cpu->features) &&
			       !ends_block(&d);
			if (n && cpu->mode == CODE_64 &&
			    d.insn.meta.category == ZYDIS_CATEGORY_COND_BR)
				interp_fuse(&b->insn[n - 1], previous, d.insn.mnemonic);
			previous = d.insn.mnemonic;
		} else if (d.insn.length) {
			interp_select_bad(&d, &b->insn[n]);
			more = false;
		} else {
			break;
		}
		b->insn[n].pos = n + 1;
		off += b->insn[n++].len;
	}
	insn_end(&b->insn[n], off, n);
	b->count = n;
	return n;
}

/* -- instructions that cross a page --------------------------------------------------------------
 */

/* What a crossing instruction looked like, kept behind its block. */
struct crossing {
	u8 first; /* bytes in the first page */
	u8 len;
	u8 bytes[16];
};

/* Host address of the page at lin for execution. */
static enum outcome fetch_page(struct cpu *cpu, u64 lin, u8 **hva)
{
	const struct tlb_entry *e = mmu_tlb_entry(cpu, lin);
	u64 gpa;

	if (likely(e->exec == ((lin & PAGE_MASK) | cpu->tlb_ctx))) {
		*hva = (u8 *)(lin + e->addend);
		return OUTCOME_OK;
	}
	return mmu_fetch(cpu, lin, &gpa, hva);
}

static enum outcome fetch_failed(struct cpu *cpu)
{
	cpu->user.kind = USER_INTERNAL;
	return OUTCOME_USEREXIT;
}

/* The first page's bytes are watched; the second's are compared here, at each entry of the block.
 */
static enum outcome crossing_check(struct cpu *cpu, const struct insn *i)
{
	const struct crossing *c = i->aux;
	struct block *b = container_of(i, struct block, insn[0]);
	u64 lin = cpu->gpr[REG_PAGE] + PAGE_SIZE;
	u8 *hva = NULL;
	enum outcome o = fetch_page(cpu, cpu->mode == CODE_64 ? lin : (u32)lin, &hva);

	if (o)
		return insn_stop(cpu, i, o);
	if (hva && !memcmp(hva, c->bytes + c->first, c->len - c->first))
		return OUTCOME_OK;
	b->key = 0;
	insn_sync(cpu, i);
	return OUTCOME_RESYNC;
}

static enum outcome op_crossing(struct cpu *cpu, const struct insn *i)
{
	enum outcome o = crossing_check(cpu, i);

	if (unlikely(o))
		return o == OUTCOME_RESYNC ? OUTCOME_OK : o;
	NEXT(cpu, i);
}

/* Decodes an instruction that starts at `lin`, `first` bytes (at hva) before the end of its page.
 */
static enum outcome decode_crossing(struct cpu *cpu, u64 lin, const u8 *hva, unsigned first,
				    struct x86_decoded *d, struct insn *i)
{
	u8 bytes[16] = {0}, *second = NULL;
	u64 next = (lin & PAGE_MASK) + PAGE_SIZE;
	enum outcome o;

	memcpy(bytes, hva, first);
	o = fetch_page(cpu, cpu->mode == CODE_64 ? next : (u32)next, &second);
	if (o)
		return o;
	if (!second)
		return fetch_failed(cpu);
	memcpy(bytes + first, second, sizeof(bytes) - first);
	d->off = lin & (PAGE_SIZE - 1);
	if (x86_decode(d, cpu->mode, bytes, sizeof(bytes)))
		interp_select_insn(d, i, cpu->features);
	else
		interp_select_bad(d, i);
	i->pos = 1;
	return OUTCOME_OK;
}

static enum outcome block_cross(struct cpu *cpu, struct block *b, u64 lin)
{
	unsigned off = lin & (PAGE_SIZE - 1);
	struct crossing *c = (struct crossing *)&b->insn[3];
	struct x86_decoded d;
	enum outcome o =
		decode_crossing(cpu, lin, b->page->hva + off, PAGE_SIZE - off, &d, &b->insn[1]);

	if (o)
		return o;
	c->first = PAGE_SIZE - off;
	c->len = MIN(MAX(d.insn.length, c->first + 1u), INSN_MAX_LEN);
	memcpy(c->bytes, d.bytes, sizeof(c->bytes));
	memset(&b->insn[0], 0, sizeof(b->insn[0]));
	b->insn[0].fn = op_crossing;
	b->insn[0].aux = c;
	b->insn[0].off = off;
	b->insn[0].len = 1;
	insn_end(&b->insn[2], off + b->insn[1].len, 2);
	b->insn[2].pos = 1;
	b->count = 3;
	return OUTCOME_OK;
}

/* -- blocks --------------------------------------------------------------------------------------
 */

#define BLOCK_MAX_SIZE (sizeof(struct block) + (BLOCK_MAX_INSNS + 2) * sizeof(struct insn))

static enum outcome block_make(struct cpu *cpu, struct code_page *page, u64 lin, struct block **out)
{
	struct interp *in = cpu->interp;
	unsigned off = lin & (PAGE_SIZE - 1);
	struct block *b = (struct block *)(in->arena + in->used), **head;
	enum outcome o;

	b->key = block_key(page->hva + off, cpu->mode);
	b->code = page->code;
	b->gen = page->gen;
	b->page = page;
	if (!block_fill(cpu, b, off)) {
		o = block_cross(cpu, b, lin);
		if (o)
			return o;
	}
	arena_alloc(in, sizeof(*b) + (b->count + 1) * sizeof(struct insn));
	head = &in->heads[block_hash(b->key)];
	b->next = *head;
	*head = b;
	*out = b;
	return OUTCOME_OK;
}

/* Looks for a block, drops outdated ones on the way and puts what it finds in front. */
static struct block *block_find(struct interp *in, u64 key)
{
	struct block **head = &in->heads[block_hash(key)], **link = head, *b;

	while ((b = *link) != &in->none) {
		if (!b->key || !block_current(b)) {
			*link = b->next;
		} else if (b->key == key) {
			*link = b->next;
			b->next = *head;
			*head = b;
			return b;
		} else {
			link = &b->next;
		}
	}
	return NULL;
}

/* The page of lin, fetched and known. */
static enum outcome page_get(struct cpu *cpu, u64 lin, struct code_page **page)
{
	const struct tlb_entry *e = mmu_tlb_entry(cpu, lin);
	struct interp *in = cpu->interp;
	bool fresh = e->exec != ((lin & PAGE_MASK) | cpu->tlb_ctx);
	u64 gpa = 0;
	u8 *hva = (u8 *)((lin & PAGE_MASK) + e->addend);
	enum outcome o;

	*page = fresh ? NULL : page_find(in, hva);
	if (!*page) {
		/* Faults name the address of the instruction, not of its page. */
		o = mmu_fetch(cpu, lin, &gpa, &hva);
		if (o)
			return o;
		if (!hva)
			return fetch_failed(cpu);
		gpa &= PAGE_MASK;
		hva -= lin & ~PAGE_MASK;
		if (in->used + sizeof(struct code_page) + 2 * BLOCK_MAX_SIZE > BLOCK_ARENA_SIZE)
			block_flush(in);
		*page = page_make(cpu, gpa, hva);
	}
	if (fresh)
		page_verify(cpu, *page);
	else if ((*page)->gen != atomic_load(&(*page)->code->gen))
		page_renew(*page);
	return OUTCOME_OK;
}

enum outcome block_get(struct cpu *cpu, u64 lin, struct block **b)
{
	struct interp *in = cpu->interp;
	struct code_page *page = NULL;
	enum outcome o;

	if (in->used + sizeof(struct code_page) + 2 * BLOCK_MAX_SIZE > BLOCK_ARENA_SIZE)
		block_flush(in);
	o = page_get(cpu, lin, &page);
	if (o)
		return o;
	*b = block_find(in, block_key(page->hva + (lin & (PAGE_SIZE - 1)), cpu->mode));
	return *b ? OUTCOME_OK : block_make(cpu, page, lin, b);
}

enum outcome block_decode_one(struct cpu *cpu, u64 lin, struct insn *i)
{
	unsigned left = PAGE_SIZE - (lin & (PAGE_SIZE - 1));
	struct x86_decoded d;
	u8 *hva = NULL;
	enum outcome o = fetch_page(cpu, lin, &hva);

	if (o)
		return o;
	if (!hva)
		return fetch_failed(cpu);
	d.off = lin & (PAGE_SIZE - 1);
	if (x86_decode(&d, cpu->mode, hva, left))
		interp_select_insn(&d, &i[0], cpu->features);
	else if (d.insn.length)
		interp_select_bad(&d, &i[0]);
	else
		o = decode_crossing(cpu, lin, hva, left, &d, &i[0]);
	if (o)
		return o;
	i[0].pos = 1;
	insn_end(&i[1], i[0].off + i[0].len, BLOCK_NONE);
	return OUTCOME_OK;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MOVS, STOS, LODS, CMPS, SCAS, with and without repeat prefixes (SDM Vol. 2B, REP).
 *
 * A repeated instruction proceeds in runs: as many elements as lie in one page on each side and are in the
 * TLB are handled on host pointers at once; what is not there is handled as one element by the
 * complete accesses, which brings it there. Registers are exact after every run, so that faults and events can
 * come between any two.
 */
#include <string.h>

#include "interp/repeat.h"

/* A run: host pointers to n elements on the sides that the instruction has. n is 0: one at a time. */
struct run {
	u8 *src, *dst;
	u64 n;
};

static bool run_side(struct cpu *cpu, const struct insn *i, struct run *r, unsigned reg, bool write)
{
	u64 gva = 0;
	void *p;

	if (repeat_linear(cpu, i, reg, i->size, write, &gva))
		return false;
	r->n = MIN(r->n, repeat_room(cpu, i, reg, gva));
	if (!r->n ||
	    (cpu->mode != CODE_64 && repeat_linear(cpu, i, reg, (u32)r->n * i->size, write, &gva)))
		return false;
	p = write ? mmu_probe_write(cpu, gva, 1) : mmu_probe_read(cpu, gva, 1);
	if (reg == REG_RDI)
		r->dst = p;
	else
		r->src = p;
	return p;
}

/* Upward, not stepped, and long enough to be worth it. */
static bool run_find(struct cpu *cpu, const struct insn *i, bool src, bool dst, bool write,
		     struct run *r)
{
	r->n = repeat_count(cpu, i);
	if (r->n < 2 || cpu->rflags_sys & (RFLAGS_DF | RFLAGS_TF))
		return false;
	if (src && !run_side(cpu, i, r, REG_RSI, false))
		return false;
	return !dst || run_side(cpu, i, r, REG_RDI, write);
}

/* -- MOVS ---------------------------------------------------------------------------------------- */

/* Element by element where the destination starts inside the source: the pattern propagates. */
static void copy_up(u8 *dst, const u8 *src, u64 n, unsigned size)
{
	u64 bytes = n * size;

	if ((u64)(dst - src) >= bytes) {
		memmove(dst, src, bytes);
		return;
	}
	for (u64 k = 0; k < bytes; k += size)
		memmove(dst + k, src + k, size);
}

static enum outcome movs_one(struct cpu *cpu, const struct insn *i)
{
	u64 src = 0, dst = 0, v = 0;
	enum outcome o = repeat_linear(cpu, i, REG_RSI, i->size, false, &src);

	if (!o)
		o = insn_load_at(cpu, i, src, &v, i->size);
	if (!o)
		o = repeat_linear(cpu, i, REG_RDI, i->size, true, &dst);
	if (!o)
		o = insn_store_at(cpu, i, dst, &v, i->size);
	if (!o)
		repeat_advance(cpu, i, true, true, 1);
	return o;
}

static enum outcome movs_step(struct cpu *cpu, const struct insn *i, bool *more)
{
	struct run r = {0};

	if (!run_find(cpu, i, true, true, true, &r))
		return movs_one(cpu, i);
	copy_up(r.dst, r.src, r.n, i->size);
	repeat_advance(cpu, i, true, true, r.n);
	return OUTCOME_OK;
}

static enum outcome op_movs(struct cpu *cpu, const struct insn *i)
{
	return repeat_run(cpu, i, movs_step);
}

/* -- STOS ---------------------------------------------------------------------------------------- */

static void fill(u8 *dst, u64 v, u64 n, unsigned size)
{
	switch (size) {
	case 1:
		memset(dst, (u8)v, n);
		break;
	case 2:
		for (u64 k = 0; k < n; k++)
			((u16 *)dst)[k] = (u16)v;
		break;
	case 4:
		for (u64 k = 0; k < n; k++)
			((u32 *)dst)[k] = (u32)v;
		break;
	default:
		for (u64 k = 0; k < n; k++)
			((u64 *)dst)[k] = v;
	}
}

static enum outcome stos_one(struct cpu *cpu, const struct insn *i)
{
	u64 dst = 0;
	enum outcome o = repeat_linear(cpu, i, REG_RDI, i->size, true, &dst);

	if (!o)
		o = insn_store_at(cpu, i, dst, &cpu->gpr[REG_RAX], i->size);
	if (!o)
		repeat_advance(cpu, i, false, true, 1);
	return o;
}

static enum outcome stos_step(struct cpu *cpu, const struct insn *i, bool *more)
{
	struct run r = {0};

	if (!run_find(cpu, i, false, true, true, &r))
		return stos_one(cpu, i);
	fill(r.dst, cpu->gpr[REG_RAX], r.n, i->size);
	repeat_advance(cpu, i, false, true, r.n);
	return OUTCOME_OK;
}

static enum outcome op_stos(struct cpu *cpu, const struct insn *i)
{
	return repeat_run(cpu, i, stos_step);
}

/* -- LODS ---------------------------------------------------------------------------------------- */

static enum outcome lods_step(struct cpu *cpu, const struct insn *i, bool *more)
{
	u64 src = 0, v = 0;
	enum outcome o = repeat_linear(cpu, i, REG_RSI, i->size, false, &src);

	if (!o)
		o = insn_load_at(cpu, i, src, &v, i->size);
	if (o)
		return o;
	gpr_write(cpu, 8 * REG_RAX, i->size, v);
	repeat_advance(cpu, i, true, false, 1);
	return OUTCOME_OK;
}

static enum outcome op_lods(struct cpu *cpu, const struct insn *i)
{
	return repeat_run(cpu, i, lods_step);
}

/* -- CMPS and SCAS ------------------------------------------------------------------------------- */

static u64 load_element(const u8 *p, unsigned size)
{
	u64 v = 0;

	memcpy(&v, p, size);
	return v;
}

/* The flags of a - b; the host knows them best. */
#define COMPARE(type)                                                                              \
	__asm__("cmp %2, %1\n\tseto %%al\n\tlahf" : "=&a"(cc) : "r"((type)a), "r"((type)b) : "cc")

static u16 compare(u64 a, u64 b, unsigned size)
{
	u16 cc;

	switch (size) {
	case 1:
		__asm__("cmpb %b2, %b1\n\tseto %%al\n\tlahf" : "=&a"(cc) : "q"(a), "q"(b) : "cc");
		break;
	case 2:
		COMPARE(u16);
		break;
	case 4:
		COMPARE(u32);
		break;
	default:
		COMPARE(u64);
	}
	return cc;
}

/* Sets the flags of the last comparison; does the repetition's condition still hold? */
static bool compared(struct cpu *cpu, const struct insn *i, u64 a, u64 b)
{
	cpu->cc = compare(a, b, i->size);
	return !(i->sub & (a == b ? REPEAT_DIFFERENT : REPEAT_EQUAL));
}

/*
 * The element at which a run of comparisons ends: the first that breaks the condition, or the last.
 * b steps through r->dst; a through r->src, or is AL..RAX.
 */
static u64 compare_run(const struct insn *i, const struct run *r, u64 acc, u64 *a, u64 *b)
{
	u64 k;

	for (k = 0;; k++) {
		*a = r->src ? load_element(r->src + k * i->size, i->size) : acc;
		*b = load_element(r->dst + k * i->size, i->size);
		if (i->sub & (*a == *b ? REPEAT_DIFFERENT : REPEAT_EQUAL) || k + 1 == r->n)
			return k;
	}
}

static u64 accumulator(const struct cpu *cpu, const struct insn *i)
{
	return cpu->gpr[REG_RAX] & MASK(8 * i->size - 1, 0);
}

static enum outcome cmps_load(struct cpu *cpu, const struct insn *i, u64 *a, u64 *b)
{
	u64 src = 0, dst = 0;
	enum outcome o = repeat_linear(cpu, i, REG_RSI, i->size, false, &src);

	if (!o)
		o = insn_load_at(cpu, i, src, a, i->size);
	if (!o)
		o = repeat_linear(cpu, i, REG_RDI, i->size, false, &dst);
	if (!o)
		o = insn_load_at(cpu, i, dst, b, i->size);
	return o;
}

static enum outcome cmps_step(struct cpu *cpu, const struct insn *i, bool *more)
{
	struct run r = {0};
	u64 a = 0, b = 0, n = 1;

	if (run_find(cpu, i, true, true, false, &r)) {
		n = compare_run(i, &r, 0, &a, &b) + 1;
	} else {
		enum outcome o = cmps_load(cpu, i, &a, &b);

		if (o)
			return o;
	}
	*more = compared(cpu, i, a, b);
	repeat_advance(cpu, i, true, true, n);
	return OUTCOME_OK;
}

static enum outcome op_cmps(struct cpu *cpu, const struct insn *i)
{
	return repeat_run(cpu, i, cmps_step);
}

static enum outcome scas_step(struct cpu *cpu, const struct insn *i, bool *more)
{
	struct run r = {0};
	u64 a = accumulator(cpu, i), b = 0, n = 1, dst = 0;

	if (run_find(cpu, i, false, true, false, &r)) {
		n = compare_run(i, &r, a, &a, &b) + 1;
	} else {
		enum outcome o = repeat_linear(cpu, i, REG_RDI, i->size, false, &dst);

		if (!o)
			o = insn_load_at(cpu, i, dst, &b, i->size);
		if (o)
			return o;
	}
	*more = compared(cpu, i, a, b);
	repeat_advance(cpu, i, false, true, n);
	return OUTCOME_OK;
}

static enum outcome op_scas(struct cpu *cpu, const struct insn *i)
{
	return repeat_run(cpu, i, scas_step);
}

/* -- selection ----------------------------------------------------------------------------------- */

/* The segment of the side that overrides apply to. */
static u8 source_segment(const struct x86_decoded *d)
{
	for (unsigned k = 0; k < d->insn.operand_count; k++) {
		const ZydisDecodedOperand *op = &d->ops[k];

		if (op->type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    ZydisRegisterGetId(op->mem.base) == REG_RSI)
			return (u8)(op->mem.segment - ZYDIS_REGISTER_ES);
	}
	return SEG_DS;
}

static bool select_string(const struct x86_decoded *d, struct insn *i, insn_fn fn, unsigned size,
			  bool compares)
{
	u8 rep = repeat_prefix(d);

	/* MOVSD and CMPSD are also names of SSE2 instructions. */
	if (d->insn.meta.category != ZYDIS_CATEGORY_STRINGOP)
		return false;
	i->size = (u8)size;
	i->seg = source_segment(d);
	i->flags &= (u16) ~(INSN_SEG_SS | INSN_SEG_BASE);
	if (i->seg == SEG_SS)
		i->flags |= INSN_SEG_SS;
	if (rep)
		i->sub = REPEAT;
	if (rep && compares)
		i->sub |= rep == 0xf3 ? REPEAT_EQUAL : REPEAT_DIFFERENT;
	i->fn = fn;
	return true;
}

#define SELECT(name, fn, size, compares)                                                           \
	static bool select_##name(const struct x86_decoded *d, struct insn *i)                     \
	{                                                                                          \
		return select_string(d, i, fn, size, compares);                                    \
	}

SELECT(movsb, op_movs, 1, false)
SELECT(movsw, op_movs, 2, false)
SELECT(movsd, op_movs, 4, false)
SELECT(movsq, op_movs, 8, false)
SELECT(stosb, op_stos, 1, false)
SELECT(stosw, op_stos, 2, false)
SELECT(stosd, op_stos, 4, false)
SELECT(stosq, op_stos, 8, false)
SELECT(lodsb, op_lods, 1, false)
SELECT(lodsw, op_lods, 2, false)
SELECT(lodsd, op_lods, 4, false)
SELECT(lodsq, op_lods, 8, false)
SELECT(cmpsb, op_cmps, 1, true)
SELECT(cmpsw, op_cmps, 2, true)
SELECT(cmpsd, op_cmps, 4, true)
SELECT(cmpsq, op_cmps, 8, true)
SELECT(scasb, op_scas, 1, true)
SELECT(scasw, op_scas, 2, true)
SELECT(scasd, op_scas, 4, true)
SELECT(scasq, op_scas, 8, true)

const struct interp_select interp_string[] = {
	{ZYDIS_MNEMONIC_MOVSB, select_movsb},
	{ZYDIS_MNEMONIC_MOVSW, select_movsw},
	{ZYDIS_MNEMONIC_MOVSD, select_movsd},
	{ZYDIS_MNEMONIC_MOVSQ, select_movsq},
	{ZYDIS_MNEMONIC_STOSB, select_stosb},
	{ZYDIS_MNEMONIC_STOSW, select_stosw},
	{ZYDIS_MNEMONIC_STOSD, select_stosd},
	{ZYDIS_MNEMONIC_STOSQ, select_stosq},
	{ZYDIS_MNEMONIC_LODSB, select_lodsb},
	{ZYDIS_MNEMONIC_LODSW, select_lodsw},
	{ZYDIS_MNEMONIC_LODSD, select_lodsd},
	{ZYDIS_MNEMONIC_LODSQ, select_lodsq},
	{ZYDIS_MNEMONIC_CMPSB, select_cmpsb},
	{ZYDIS_MNEMONIC_CMPSW, select_cmpsw},
	{ZYDIS_MNEMONIC_CMPSD, select_cmpsd},
	{ZYDIS_MNEMONIC_CMPSQ, select_cmpsq},
	{ZYDIS_MNEMONIC_SCASB, select_scasb},
	{ZYDIS_MNEMONIC_SCASW, select_scasw},
	{ZYDIS_MNEMONIC_SCASD, select_scasd},
	{ZYDIS_MNEMONIC_SCASQ, select_scasq},
	{0, NULL},
};

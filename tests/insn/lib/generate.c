/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random states in which an instruction can run: operands that are interesting for it, and every
 * address inside the arena (where parts are missing on purpose) or not canonical.
 */
#include <string.h>

#include "state.h"

static bool chance(unsigned percent)
{
	return random_below(100) < percent;
}

/* -- values --------------------------------------------------------------------------------------------- */

static u64 edge64(void)
{
	static const u64 edges[] = {0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff};
	u64 v;

	switch (random_below(6)) {
	case 0:
		return edges[random_below(ARRAY_SIZE(edges))];
	case 1:
		return (u64)0 - edges[random_below(ARRAY_SIZE(edges))];
	case 2:
		v = 1ull << random_below(64);
		return v - random_below(2);
	case 3:
		return random64() >> random_below(64);
	default:
		return random64();
	}
}

static u32 float32(void)
{
	static const u32 edges[] = {
		0x00000000, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000,
		0x7fc00000, 0x7f800001, 0xffc12345, 0x00000001, 0x807fffff, 0x00800000,
		0x7f7fffff, 0x4f000000, 0xcf000000, 0x5f000000, 0x3f000000, 0x4b7fffff,
		0x3fc00000, 0x40200000, 0x1f800000, 0x60000000,
	};

	return chance(60) ? edges[random_below(ARRAY_SIZE(edges))] : (u32)random64();
}

static u64 float64(void)
{
	static const u64 edges[] = {
		0x0000000000000000, 0x8000000000000000, 0x3ff0000000000000, 0xbff0000000000000,
		0x7ff0000000000000, 0xfff0000000000000, 0x7ff8000000000000, 0x7ff0000000000001,
		0xfff8000000012345, 0x0000000000000001, 0x800fffffffffffff, 0x0010000000000000,
		0x7fefffffffffffff, 0x41e0000000000000, 0xc1e0000000000000, 0x43e0000000000000,
		0x3fe0000000000000, 0x36a0000000000000, 0x47f0000000000000, 0x3810000000000000,
		0x4004000000000000, 0x1ff0000000000000, 0x6000000000000000,
	};

	return chance(60) ? edges[random_below(ARRAY_SIZE(edges))] : random64();
}

static void fill_bytes(u8 *p, unsigned size)
{
	unsigned kind = (unsigned)random_below(4);

	for (unsigned n = 0; n < size; n += 8) {
		u64 v = kind == 0 ? float64() : kind == 1 ? edge64() : random64();

		if (kind == 2)
			v = (u64)float32() << 32 | float32();
		memcpy(p + n, &v, MIN(8, size - n));
	}
}

static void fill_float80(u8 *p)
{
	static const u16 exponents[] = {0,	1,	0x3fff, 0x3ffe, 0x4000, 0x7ffe, 0x7fff,
					0x3f80, 0x407f, 0x3bff, 0x43ff, 0x3f6a, 0x403e, 0x401e};
	u64 significand = chance(30) ? 1ull << 63 : random64() | 1ull << 63;
	u16 exponent = exponents[random_below(ARRAY_SIZE(exponents))];

	if (chance(10))
		significand = random64() >> random_below(64);
	if (chance(10))
		significand = 0;
	if (chance(30))
		exponent = (u16)(0x3fff + random_below(70) - 10);
	memcpy(p, &significand, 8);
	exponent |= (u16)(random64() & 0x8000);
	memcpy(p + 8, &exponent, 2);
}

/* -- vector and x87 state ------------------------------------------------------------------------------ */

static void fill_x87(u8 *x, bool used)
{
	if (!used && !chance(20)) {
		XSAVE_FCW(x) = 0x37f;
		return;
	}
	XSAVE_FCW(x) = (u16)(0x37f ^ (random64() & 0xc00));
	if (chance(20))
		XSAVE_FCW(x) = (u16)(0x40 | (random64() & 0x1f3f));
	if (chance(70))
		XSAVE_FCW(x) |= 0x3f;
	if ((XSAVE_FCW(x) & 0x300) == 0x100) /* reserved precision */
		XSAVE_FCW(x) |= 0x200;
	XSAVE_FSW(x) = (u16)(random64() & 0x7f00);
	if (chance(20))
		XSAVE_FSW(x) |= random64() & 0x7f;
	if (XSAVE_FSW(x) & ~XSAVE_FCW(x) & 0x3f)
		XSAVE_FSW(x) |= 0x8080;
	XSAVE_FTW(x) = chance(70) ? 0xff : (u8)random64();
	for (unsigned n = 0; n < 8; n++)
		fill_float80(XSAVE_ST(x, n));
}

static void fill_vectors(u8 *x)
{
	XSAVE_BV(x) = XCR0_X87 | XCR0_SSE | XCR0_AVX;
	XSAVE_MXCSR(x) = 0x1f80;
	if (chance(30))
		XSAVE_MXCSR(x) = (u32)(0x1f80 | (random64() & 0xe07f));
	if (chance(20))
		XSAVE_MXCSR(x) = (u32)(random64() & 0xffff);
	for (unsigned n = 0; n < 16; n++) {
		fill_bytes(XSAVE_XMM(x, n), 16);
		fill_bytes(XSAVE_YMMH(x, n), 16);
	}
}

/* -- addresses ------------------------------------------------------------------------------------------- */

/* Where an operand goes: mostly where it can be, sometimes where it faults or half faults. */
static u64 pick_target(void)
{
	static const u8 aligns[] = {1, 2, 4, 8, 16, 16, 32, 64};
	u64 align = aligns[random_below(ARRAY_SIZE(aligns))];

	switch (random_below(24)) {
	case 0:
	case 1:
		return PAGE(DATA_PAGE + 1) - random_below(64);
	case 2:
	case 3:
		return PAGE(DATA_PAGE + 2) - random_below(64);
	case 4:
		return PAGE(DATA_PAGE + 2) + random_below(512);
	case 5:
		return PAGE(DATA_PAGE) - random_below(40);
	case 6:
		return PAGE(RO_PAGE) + random_below(3000);
	case 7:
		if (trial_mode == CODE_32)
			return 0xf0000000;
		return chance(50) ? 0x0000900000000000ull + random_below(4096)
				  : 0xffff7ffffffff000ull;
	default:
		return ALIGN_DOWN(PAGE(DATA_PAGE) + 1024 + random_below(DATA_SIZE - 2048), align);
	}
}

static bool is_gpr(ZydisRegister r)
{
	ZydisRegisterClass c = ZydisRegisterGetClass(r);

	return c == ZYDIS_REGCLASS_GPR64 || c == ZYDIS_REGCLASS_GPR32 || c == ZYDIS_REGCLASS_GPR16;
}

static u64 gpr_of(const struct state *s, ZydisRegister r)
{
	if (r == ZYDIS_REGISTER_AL)
		return s->gpr[0] & 0xff;
	return is_gpr(r) ? s->gpr[ZydisRegisterGetId(r)] : 0;
}

static u64 effective(const struct trial *t, const struct x86_decoded *d,
		     const ZydisDecodedOperand *op)
{
	u64 ea = gpr_of(&t->s, op->mem.base) + gpr_of(&t->s, op->mem.index) * op->mem.scale +
		 (u64)op->mem.disp.value;
	unsigned width = d->insn.address_width;

	if (op->mem.base == ZYDIS_REGISTER_RIP)
		ea += CODE_ADDR + t->len;
	return width == 64 ? ea : ea & MASK(width - 1, 0);
}

/* Moves the operand to `target`, by its base register or by its displacement. */
static bool place(struct trial *t, const struct x86_decoded *d, ZydisDecodedOperand *op, u64 target)
{
	u64 miss = target - effective(t, d, op);
	if (is_gpr(op->mem.base)) {
		t->s.gpr[ZydisRegisterGetId(op->mem.base)] += miss;
		return true;
	}
	if (d->insn.raw.disp.size < 32 ||
	    (d->insn.raw.disp.size == 32 && (u64)(s32)target != target))
		return false;
	op->mem.disp.value += (s64)miss;
	if (d->insn.raw.disp.size == 32 && op->mem.disp.value != (s32)op->mem.disp.value)
		return false;
	memcpy(t->code + d->insn.raw.disp.offset, &op->mem.disp.value, d->insn.raw.disp.size / 8);
	return true;
}

/* In the arena with room on both sides for strings, bit offsets and stack frames, or not canonical. */
static bool address_safe(u64 ea)
{
	if (ea >= PAGE(1) + 0xc00 && ea < PAGE(7) + 2048)
		return true;
	if (trial_mode == CODE_32)
		return ea - 0xf0000000 < 0x1000;
	return (u64)sext(ea, 47) != ea && (ea & 0xfffffffff) < (1 << 20);
}

/* The index registers of a gather: near enough to the base. */
static void fill_indices(struct trial *t, const ZydisDecodedOperand *op, bool qword)
{
	unsigned n = (unsigned)ZydisRegisterGetId(op->mem.index);
	u8 v[32];

	for (unsigned k = 0; k < 8; k++) {
		s64 index = (s64)random_below(chance(5) ? 1024 : 64) - 32;

		if (qword && k < 4)
			memcpy(v + 8 * k, &index, 8);
		else if (!qword)
			memcpy(v + 4 * k, &index, 4);
	}
	memcpy(XSAVE_XMM(t->s.xsave, n), v, 16);
	memcpy(XSAVE_YMMH(t->s.xsave, n), v + 16, 16);
}

static bool qword_index(ZydisMnemonic m)
{
	return m == ZYDIS_MNEMONIC_VGATHERQPD || m == ZYDIS_MNEMONIC_VGATHERQPS ||
	       m == ZYDIS_MNEMONIC_VPGATHERQD || m == ZYDIS_MNEMONIC_VPGATHERQQ;
}

static bool is_memory(const ZydisDecodedOperand *op)
{
	return op->type == ZYDIS_OPERAND_TYPE_MEMORY && op->mem.type != ZYDIS_MEMOP_TYPE_AGEN;
}

/* BT and its kin with a register offset reach beyond their operand. */
static void tame_bit_offset(struct trial *t, const struct x86_decoded *d)
{
	const ZydisDecodedOperand *op = &d->ops[1];

	if (d->insn.meta.category != ZYDIS_CATEGORY_BITBYTE ||
	    d->ops[0].type != ZYDIS_OPERAND_TYPE_MEMORY || op->type != ZYDIS_OPERAND_TYPE_REGISTER)
		return;
	t->s.gpr[ZydisRegisterGetId(op->reg.value)] = random_below(4096) - 2048;
}

static bool is_rep(const struct x86_decoded *d)
{
	return d->insn.attributes &
	       (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE);
}

/* One register is base and index. */
static bool is_doubled(const ZydisDecodedOperand *op)
{
	return is_gpr(op->mem.base) && op->mem.base == op->mem.index;
}

static bool place_operand(struct trial *t, struct x86_decoded *d, ZydisDecodedOperand *op)
{
	if (op->mem.type == ZYDIS_MEMOP_TYPE_VSIB)
		fill_indices(t, op, qword_index(d->insn.mnemonic));
	else if (is_gpr(op->mem.index) && chance(80))
		t->s.gpr[ZydisRegisterGetId(op->mem.index)] = random_below(256);
	tame_bit_offset(t, d);
	if (!is_doubled(op))
		return place(t, d, op, pick_target());
	t->s.gpr[ZydisRegisterGetId(op->mem.base)] = (PAGE(DATA_PAGE) + 2048) / (1 + op->mem.scale);
	return true;
}

static bool place_operands(struct trial *t, struct x86_decoded *d)
{
	for (unsigned n = 0; n < d->insn.operand_count; n++)
		if (is_memory(&d->ops[n]) && !place_operand(t, d, &d->ops[n]))
			return false;
	/* One operand's registers may have moved another. */
	for (unsigned n = 0; n < 16 && trial_mode == CODE_32; n++)
		t->s.gpr[n] = n < 8 ? (u32)t->s.gpr[n] : 0;
	for (unsigned n = 0; n < d->insn.operand_count; n++)
		if (is_memory(&d->ops[n]) && !address_safe(effective(t, d, &d->ops[n])))
			return false;
	return true;
}

/* -- special cases ----------------------------------------------------------------------------------------- */

/* POPF must not set TF, NT or AC in the process that tests. */
static bool tame_popf(struct trial *t)
{
	u64 offset = t->s.gpr[REG_RSP] - PAGE(DATA_PAGE);
	u64 v = 0;

	if (offset >= DATA_SIZE) /* faults, unless it is in the read-only page */
		return t->s.gpr[REG_RSP] - PAGE(RO_PAGE) + 8 > PAGE_SIZE + 8;
	memcpy(&v, t->data + offset, MIN(8, DATA_SIZE - offset));
	v &= ~(RFLAGS_TF | RFLAGS_NT | RFLAGS_AC);
	memcpy(t->data + offset, &v, MIN(8, DATA_SIZE - offset));
	return true;
}

/* An indirect branch and RET find their target where they look for it. */
static bool set_target(struct trial *t, const struct x86_decoded *d)
{
	const u64 target = CODE_ADDR + t->len + BRANCH_REACH;

	for (unsigned n = 0; n < d->insn.operand_count; n++) {
		const ZydisDecodedOperand *op = &d->ops[n];
		u64 offset;

		if (!(op->actions & ZYDIS_OPERAND_ACTION_MASK_READ))
			continue;
		if (op->type == ZYDIS_OPERAND_TYPE_REGISTER && is_gpr(op->reg.value) &&
		    op->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT) {
			if (op->reg.value == ZYDIS_REGISTER_RSP)
				return false;
			t->s.gpr[ZydisRegisterGetId(op->reg.value)] = target;
		}
		offset = op->type == ZYDIS_OPERAND_TYPE_MEMORY
				 ? effective(t, d, op) - PAGE(DATA_PAGE)
				 : DATA_SIZE;
		if (offset <= DATA_SIZE - 8)
			memcpy(t->data + offset, &target, 8);
		else if (offset - (RO_PAGE - DATA_PAGE) * PAGE_SIZE < PAGE_SIZE)
			return false; /* anywhere */
	}
	return true;
}

static void fill_registers(struct trial *t)
{
	for (unsigned n = 0; n < 16; n++)
		t->s.gpr[n] = edge64();
	t->s.gpr[REG_RSP] = PAGE(DATA_PAGE) + 1024 + random_below(DATA_SIZE - 2048);
	if (chance(80))
		t->s.gpr[REG_RSP] = ALIGN_DOWN(t->s.gpr[REG_RSP], 16);
	t->s.gpr[REG_RBP] = PAGE(DATA_PAGE) + 1024 + random_below(DATA_SIZE - 2048);
	t->s.rip = CODE_ADDR;
	t->s.rflags = RFLAGS_FIXED | RFLAGS_IF | (random64() & RFLAGS_ARITH);
	if (chance(30))
		t->s.rflags |= RFLAGS_DF;
}

static bool uses_x87(const struct x86_decoded *d)
{
	for (unsigned n = 0; n < d->insn.operand_count; n++) {
		ZydisRegisterClass c = ZydisRegisterGetClass(d->ops[n].reg.value);

		if (d->ops[n].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    (c == ZYDIS_REGCLASS_X87 || c == ZYDIS_REGCLASS_MMX))
			return true;
	}
	return d->insn.meta.category == ZYDIS_CATEGORY_X87_ALU ||
	       d->insn.mnemonic == ZYDIS_MNEMONIC_EMMS;
}

bool trial_fill(struct trial *t, struct x86_decoded *d)
{
	memset(t->s.xsave, 0, XSAVE_SIZE);
	fill_registers(t);
	fill_vectors(t->s.xsave);
	fill_x87(t->s.xsave, uses_x87(d));
	fill_bytes(t->data, DATA_SIZE);
	if (d->insn.meta.category == ZYDIS_CATEGORY_X87_ALU)
		for (unsigned n = 0; n + 16 <= DATA_SIZE; n += 16)
			fill_float80(t->data + n);
	if (is_rep(d))
		t->s.gpr[REG_RCX] = random_below(24);
	if (!place_operands(t, d))
		return false;
	if (is_rep(d) && t->s.gpr[REG_RCX] > 24)
		return false;
	if (is_branch(d))
		return set_target(t, d);
	if (d->insn.mnemonic == ZYDIS_MNEMONIC_POPF || d->insn.mnemonic == ZYDIS_MNEMONIC_POPFD ||
	    d->insn.mnemonic == ZYDIS_MNEMONIC_POPFQ)
		return tame_popf(t);
	return true;
}

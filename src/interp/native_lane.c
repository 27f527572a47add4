/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Masked moves and gathers, lane by lane: a lane whose mask is clear touches no memory, and a fault
 * is that of the first lane that has one.
 */
#include "interp/native.h"

#define VEC_BYTES 32

/* i->pad[]: shape of the operands. */
#define LANE_ELEM  NATIVE_OP3	    /* bytes of an element */
#define LANE_INDEX NATIVE_ALIGN	    /* gathers: bytes of an index; its register is in NATIVE_FOP */
#define LANE_BYTES (NATIVE_FOP + 1) /* bytes of the vector */

static void vec_get(const struct cpu *cpu, unsigned n, u8 *v)
{
	memcpy(v, FPU_XMM(&cpu->fpu, n), 16);
	memcpy(v + 16, cpu->fpu.ymm_hi[n], 16);
}

static void vec_set(struct cpu *cpu, unsigned n, const u8 *v)
{
	memcpy(FPU_XMM(&cpu->fpu, n), v, 16);
	memcpy(cpu->fpu.ymm_hi[n], v + 16, 16);
}

/* An element's mask is its top bit. */
static bool lane_on(const u8 *mask, unsigned lane, unsigned elem)
{
	return mask[(lane + 1) * elem - 1] & 0x80;
}

/* A byte or an element at gva: never crosses what the caller has not asked for. */
static enum outcome lane_read(struct cpu *cpu, const struct insn *i, u64 gva, u8 *dst,
			      unsigned elem)
{
	const void *p = mmu_probe_read(cpu, gva, elem);
	enum outcome o;

	if (p) {
		memcpy(dst, p, elem);
		return OUTCOME_OK;
	}
	o = mmu_read(cpu, gva, dst, elem, MMU_READ);
	return o == OUTCOME_OK ? o : insn_stop_access(cpu, i, o);
}

/* -- VMASKMOVPS, VMASKMOVPD, VPMASKMOVD, VPMASKMOVQ: dst vector, src vector, reg mask
 * ---------------- */

static enum outcome run_mask_load(struct cpu *cpu, const struct insn *i)
{
	unsigned elem = i->pad[LANE_ELEM], bytes = i->pad[LANE_BYTES];
	u8 mask[VEC_BYTES], v[VEC_BYTES] = {0};
	enum outcome o = native_check(cpu, i);
	u64 gva;

	if (o != OUTCOME_OK)
		return o;
	vec_get(cpu, i->reg, mask);
	o = insn_linear(cpu, i, bytes, false, &gva);
	for (unsigned n = 0; n < bytes / elem && o == OUTCOME_OK; n++)
		if (lane_on(mask, n, elem))
			o = lane_read(cpu, i, gva + n * elem, v + n * elem, elem);
	if (o != OUTCOME_OK)
		return insn_stop(cpu, i, o);
	vec_set(cpu, i->dst, v);
	return OUTCOME_OK;
}
SLOW_HANDLER(do_mask_load, run_mask_load)

/* Stores the lanes of v that are on, or none of them. */
static enum outcome lanes_store(struct cpu *cpu, const struct insn *i, u64 gva, const u8 *v,
				const u8 *mask)
{
	unsigned elem = i->pad[LANE_ELEM], lanes = i->pad[LANE_BYTES] / elem;
	enum outcome o = OUTCOME_OK;

	for (unsigned n = 0; n < lanes && o == OUTCOME_OK; n++)
		if (lane_on(mask, n, elem))
			o = mmu_check(cpu, gva + n * elem, elem, MMU_WRITE);
	for (unsigned n = 0; n < lanes && o == OUTCOME_OK; n++)
		if (lane_on(mask, n, elem))
			o = mmu_write(cpu, gva + n * elem, v + n * elem, elem, MMU_WRITE);
	return o == OUTCOME_OK ? o : insn_stop_access(cpu, i, o);
}

static enum outcome run_mask_store(struct cpu *cpu, const struct insn *i)
{
	u8 mask[VEC_BYTES], v[VEC_BYTES];
	enum outcome o = native_check(cpu, i);
	u64 gva;

	if (o != OUTCOME_OK)
		return o;
	vec_get(cpu, i->reg, mask);
	vec_get(cpu, i->src, v);
	o = insn_linear(cpu, i, i->pad[LANE_BYTES], true, &gva);
	if (o == OUTCOME_OK)
		o = lanes_store(cpu, i, gva, v, mask);
	return o == OUTCOME_OK ? o : insn_stop(cpu, i, o);
}
SLOW_HANDLER(do_mask_store, run_mask_store)

/* -- MASKMOVDQU, MASKMOVQ: bytes to [rDI]; src vector, reg mask
 * --------------------------------------- */

static void byte_operands(const struct cpu *cpu, const struct insn *i, u8 *v, u8 *mask)
{
	unsigned top = FPU_TOP(FPU_FSW(&cpu->fpu));

	if (i->sub != NATIVE_MMX) {
		vec_get(cpu, i->src, v);
		vec_get(cpu, i->reg, mask);
		return;
	}
	memcpy(v, FPU_ST(&cpu->fpu, (i->src - top) & 7), 8);
	memcpy(mask, FPU_ST(&cpu->fpu, (i->reg - top) & 7), 8);
}

static enum outcome run_maskmov_bytes(struct cpu *cpu, const struct insn *i)
{
	u8 mask[VEC_BYTES], v[VEC_BYTES];
	enum outcome o = native_check(cpu, i);
	u64 gva;

	if (o != OUTCOME_OK)
		return o;
	byte_operands(cpu, i, v, mask);
	if (i->sub == NATIVE_MMX)
		native_mmx_enter(&cpu->fpu); /* even if the store faults */
	o = insn_linear(cpu, i, i->pad[LANE_BYTES], true, &gva);
	if (o == OUTCOME_OK)
		o = lanes_store(cpu, i, gva, v, mask);
	return o == OUTCOME_OK ? o : insn_stop(cpu, i, o);
}
SLOW_HANDLER(do_maskmov_bytes, run_maskmov_bytes)

/* -- gathers: dst vector, reg mask, index register in NATIVE_FOP
 * --------------------------------------- */

static s64 gather_index(const struct cpu *cpu, const struct insn *i, unsigned lane)
{
	u8 v[VEC_BYTES];
	s64 wide;
	s32 narrow;

	vec_get(cpu, i->pad[NATIVE_FOP], v);
	if (i->pad[LANE_INDEX] == 8) {
		memcpy(&wide, v + 8 * lane, 8);
		return wide;
	}
	memcpy(&narrow, v + 4 * lane, 4);
	return narrow;
}

/* The linear address of one lane: the insn's own address with the lane's index in place of a
 * register. */
static enum outcome gather_linear(struct cpu *cpu, const struct insn *i, unsigned lane, u64 *gva)
{
	struct insn one = *i;
	enum outcome o;

	one.index = 8 * REG_ZERO;
	one.base = 8 * REG_ZERO;
	/* REG_ZERO lends itself as the base while the address is computed. */
	cpu->gpr[REG_ZERO] = GPR(cpu, i->base, u64) + ((u64)gather_index(cpu, i, lane) << i->scale);
	one.scale = 0;
	o = insn_linear(cpu, &one, i->pad[LANE_ELEM], false, gva);
	cpu->gpr[REG_ZERO] = 0;
	return o == OUTCOME_OK ? o : insn_stop(cpu, i, o);
}

/* Each lane that is done shows in the destination and in the mask (SDM Vol. 2C VGATHERDPS). */
static enum outcome gather_lane(struct cpu *cpu, const struct insn *i, unsigned lane)
{
	unsigned elem = i->pad[LANE_ELEM];
	u8 v[VEC_BYTES], mask[VEC_BYTES];
	enum outcome o;
	u64 gva;

	vec_get(cpu, i->reg, mask);
	if (!lane_on(mask, lane, elem))
		return OUTCOME_OK;
	vec_get(cpu, i->dst, v);
	o = gather_linear(cpu, i, lane, &gva);
	if (o == OUTCOME_OK)
		o = lane_read(cpu, i, gva, v + lane * elem, elem);
	if (o != OUTCOME_OK)
		return o;
	memset(mask + lane * elem, 0, elem);
	vec_set(cpu, i->dst, v);
	vec_set(cpu, i->reg, mask);
	return OUTCOME_OK;
}

static enum outcome run_gather(struct cpu *cpu, const struct insn *i)
{
	unsigned elem = i->pad[LANE_ELEM], wider = MAX(elem, i->pad[LANE_INDEX]);
	unsigned lanes = i->pad[LANE_BYTES] / wider;
	u8 v[VEC_BYTES], zero[VEC_BYTES] = {0};
	enum outcome o = native_check(cpu, i);

	for (unsigned n = 0; n < lanes && o == OUTCOME_OK; n++)
		o = gather_lane(cpu, i, n);
	if (o != OUTCOME_OK)
		return o;
	vec_get(cpu, i->dst, v);
	memset(v + lanes * elem, 0, VEC_BYTES - lanes * elem);
	vec_set(cpu, i->dst, v);
	vec_set(cpu, i->reg, zero);
	return OUTCOME_OK;
}
SLOW_HANDLER(do_gather, run_gather)

/* -- selection
 * ------------------------------------------------------------------------------------------ */

static u8 vec_number(const ZydisDecodedOperand *op)
{
	return (u8)ZydisRegisterGetId(op->reg.value);
}

static bool select_vmaskmov(const struct x86_decoded *d, struct insn *i, u8 elem)
{
	bool load = d->ops[0].type == ZYDIS_OPERAND_TYPE_REGISTER;

	i->sub = NATIVE_AVX;
	i->pad[LANE_ELEM] = elem;
	i->pad[LANE_BYTES] = d->insn.raw.vex.L ? 32 : 16;
	i->reg = vec_number(&d->ops[1]);
	if (load)
		i->dst = vec_number(&d->ops[0]);
	else
		i->src = vec_number(&d->ops[2]);
	i->fn = load ? do_mask_load : do_mask_store;
	return true;
}

static bool select_maskmov_bytes(const struct x86_decoded *d, struct insn *i, u8 bytes,
				 enum native_class class)
{
	i->sub = class;
	i->pad[LANE_ELEM] = 1;
	i->pad[LANE_BYTES] = bytes;
	i->src = vec_number(&d->ops[0]);
	i->reg = vec_number(&d->ops[1]);
	i->fn = do_maskmov_bytes;
	return true;
}

/* Two equal registers among destination, index and mask are #UD: no stub, no handler. */
static bool select_gather(const struct x86_decoded *d, struct insn *i, u8 index, u8 elem)
{
	u8 index_reg = (u8)ZydisRegisterGetId(d->ops[1].mem.index);

	i->sub = NATIVE_AVX;
	i->pad[LANE_ELEM] = elem;
	i->pad[LANE_INDEX] = index;
	i->pad[LANE_BYTES] = d->insn.raw.vex.L ? 32 : 16;
	i->pad[NATIVE_FOP] = index_reg;
	i->dst = vec_number(&d->ops[0]);
	i->reg = vec_number(&d->ops[2]);
	i->fn = do_gather;
	return i->dst != i->reg && i->dst != index_reg && i->reg != index_reg;
}

bool native_select_lane(const struct x86_decoded *d, struct insn *i)
{
	switch (d->insn.mnemonic) {
	case ZYDIS_MNEMONIC_VMASKMOVPS:
	case ZYDIS_MNEMONIC_VPMASKMOVD:
		return select_vmaskmov(d, i, 4);
	case ZYDIS_MNEMONIC_VMASKMOVPD:
	case ZYDIS_MNEMONIC_VPMASKMOVQ:
		return select_vmaskmov(d, i, 8);
	case ZYDIS_MNEMONIC_MASKMOVDQU:
		return select_maskmov_bytes(d, i, 16, NATIVE_SSE);
	case ZYDIS_MNEMONIC_VMASKMOVDQU:
		return select_maskmov_bytes(d, i, 16, NATIVE_AVX);
	case ZYDIS_MNEMONIC_MASKMOVQ:
		return select_maskmov_bytes(d, i, 8, NATIVE_MMX);
	case ZYDIS_MNEMONIC_VGATHERDPS:
	case ZYDIS_MNEMONIC_VPGATHERDD:
		return select_gather(d, i, 4, 4);
	case ZYDIS_MNEMONIC_VGATHERDPD:
	case ZYDIS_MNEMONIC_VPGATHERDQ:
		return select_gather(d, i, 4, 8);
	case ZYDIS_MNEMONIC_VGATHERQPS:
	case ZYDIS_MNEMONIC_VPGATHERQD:
		return select_gather(d, i, 8, 4);
	case ZYDIS_MNEMONIC_VGATHERQPD:
	case ZYDIS_MNEMONIC_VPGATHERQQ:
		return select_gather(d, i, 8, 8);
	default:
		return false;
	}
}

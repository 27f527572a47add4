/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a decoded instruction to its handler: the generic operands, then the themes in order, then
 * the native executor.
 */
#include <pthread.h>
#include <string.h>

#include "interp/block.h"
#include "interp/handler.h"

static const struct interp_select *const themes[] = {
	interp_alu,   interp_mov,    interp_shift,   interp_muldiv,  interp_branch, interp_string,
	interp_stack, interp_bit,    interp_xchg,    interp_misc,    interp_io,	    interp_xsave,
	interp_vmx,   interp_system, interp_control, interp_farjump,
};

/* A mnemonic may have a few themes (MOV has general, segment and control registers). */
#define SELECT_MAX 4

static interp_select_fn selects[ZYDIS_MNEMONIC_MAX_VALUE + 1][SELECT_MAX];
static pthread_once_t selects_once = PTHREAD_ONCE_INIT;

static void select_add(ZydisMnemonic m, interp_select_fn fn)
{
	for (unsigned k = 0; k < SELECT_MAX; k++) {
		if (!selects[m][k]) {
			selects[m][k] = fn;
			return;
		}
	}
}

static void selects_init(void)
{
	for (unsigned t = 0; t < ARRAY_SIZE(themes); t++)
		for (const struct interp_select *s = themes[t]; s->select; s++)
			select_add(s->mnemonic, s->select);
}

/* -- generic operands ----------------------------------------------------------------------------
 */

static u8 gpr_offset(ZydisRegister r)
{
	if (r >= ZYDIS_REGISTER_AL && r <= ZYDIS_REGISTER_BL)
		return 8 * (r - ZYDIS_REGISTER_AL);
	if (r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH)
		return 8 * (r - ZYDIS_REGISTER_AH) + 1;
	if (r >= ZYDIS_REGISTER_SPL && r <= ZYDIS_REGISTER_R15B)
		return 8 * (r - ZYDIS_REGISTER_SPL + REG_RSP);
	if (r >= ZYDIS_REGISTER_AX && r <= ZYDIS_REGISTER_R15W)
		return 8 * (r - ZYDIS_REGISTER_AX);
	if (r >= ZYDIS_REGISTER_EAX && r <= ZYDIS_REGISTER_R15D)
		return 8 * (r - ZYDIS_REGISTER_EAX);
	if (r >= ZYDIS_REGISTER_RAX && r <= ZYDIS_REGISTER_R15)
		return 8 * (r - ZYDIS_REGISTER_RAX);
	return 8 * REG_ZERO;
}

static u8 segment_number(ZydisRegister r)
{
	return r >= ZYDIS_REGISTER_ES && r <= ZYDIS_REGISTER_GS ? r - ZYDIS_REGISTER_ES : SEG_DS;
}

/* Number of any register inside its class: XMM3 is 3, CR4 is 4. */
static u8 register_number(ZydisRegister r)
{
	ZyanI8 id = ZydisRegisterGetId(r);

	return id < 0 ? 0 : (u8)id;
}

/* Displacement of a RIP-relative operand from the page. */
static s64 rip_relative(const struct x86_decoded *d, const ZydisDecodedOperand *op)
{
	return op->mem.disp.value + d->off + d->insn.length;
}

static void fill_mem(const struct x86_decoded *d, const ZydisDecodedOperand *op, struct insn *i)
{
	i->flags |= INSN_MEM;
	i->mem_size = op->size / 8;
	i->seg = segment_number(op->mem.segment);
	i->base = gpr_offset(op->mem.base);
	i->index = gpr_offset(op->mem.index);
	i->scale = op->mem.scale ? __builtin_ctz(op->mem.scale) : 0;
	i->disp = (s32)op->mem.disp.value;
	if (op->mem.base == ZYDIS_REGISTER_RIP || op->mem.base == ZYDIS_REGISTER_EIP) {
		i->base = 8 * REG_PAGE;
		i->disp = (s32)rip_relative(d, op);
	}
	if (i->seg == SEG_SS)
		i->flags |= INSN_SEG_SS;
	if (d->mode == CODE_64 && i->seg >= SEG_FS)
		i->flags |= INSN_SEG_BASE;
}

static void fill_address_size(const struct x86_decoded *d, struct insn *i)
{
	if (d->insn.address_width == 64)
		i->flags |= INSN_ADDR64;
	else
		i->flags |= d->insn.address_width == 16 ? INSN_ADDR16 : INSN_ADDR32;
}

static void fill_prefixes(const struct x86_decoded *d, struct insn *i)
{
	ZydisInstructionAttributes a = d->insn.attributes;

	if (a & ZYDIS_ATTRIB_HAS_LOCK)
		i->flags |= INSN_LOCK;
	if (a & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE))
		i->flags |= INSN_REP;
	if (a & ZYDIS_ATTRIB_HAS_REPNE)
		i->flags |= INSN_REPNE;
}

static void fill_reg(struct insn *i, unsigned n, ZydisRegister r)
{
	u8 off = gpr_offset(r);

	if (off == 8 * REG_ZERO && r != ZYDIS_REGISTER_NONE) {
		i->reg = register_number(r);
		return;
	}
	if (n == 0)
		i->dst = off;
	else if (n == 1)
		i->src = off;
	else
		i->reg = off;
}

static unsigned operand_size(const struct x86_decoded *d)
{
	const ZydisDecodedOperand *op = &d->ops[0];

	if (d->insn.operand_count_visible && op->size &&
	    (op->type == ZYDIS_OPERAND_TYPE_REGISTER || op->type == ZYDIS_OPERAND_TYPE_MEMORY) &&
	    op->size <= 512)
		return op->size / 8;
	return d->insn.operand_width / 8;
}

/*
 * An absolute 64-bit displacement (MOV AL, moffs64) does not fit insn.disp: the address is then in
 * imm and the themes that have such operands (mov) look there.
 */
static void fill_moffs(const ZydisDecodedOperand *op, struct insn *i)
{
	if ((s64)i->disp != op->mem.disp.value && i->base == 8 * REG_ZERO)
		i->imm = (u64)op->mem.disp.value;
}

void interp_fill(const struct x86_decoded *d, struct insn *i)
{
	memset(i, 0, sizeof(*i));
	i->off = d->off;
	i->len = d->insn.length;
	i->size = operand_size(d);
	i->base = i->index = i->dst = i->src = 8 * REG_ZERO;
	fill_prefixes(d, i);
	fill_address_size(d, i);
	for (unsigned n = 0; n < d->insn.operand_count_visible; n++) {
		const ZydisDecodedOperand *op = &d->ops[n];

		if (op->type == ZYDIS_OPERAND_TYPE_REGISTER)
			fill_reg(i, n, op->reg.value);
		else if (op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
			i->imm = op->imm.value.u;
	}
	for (unsigned n = 0; n < d->insn.operand_count; n++) {
		if (d->ops[n].type == ZYDIS_OPERAND_TYPE_MEMORY) {
			fill_mem(d, &d->ops[n], i);
			fill_moffs(&d->ops[n], i);
			break;
		}
	}
}

/* -- selection -----------------------------------------------------------------------------------
 */

/* Without their features these two are BSR and BSF with an ignored prefix. */
static void degrade(struct x86_decoded *d, const u32 *features)
{
	if (d->insn.mnemonic == ZYDIS_MNEMONIC_LZCNT && !(features[FEAT_80000001_ECX] & BIT(5)))
		d->insn.mnemonic = ZYDIS_MNEMONIC_BSR;
	else if (d->insn.mnemonic == ZYDIS_MNEMONIC_TZCNT && !(features[FEAT_7_0_EBX] & BIT(3)))
		d->insn.mnemonic = ZYDIS_MNEMONIC_BSF;
	else
		return;
	d->insn.meta.isa_set = ZYDIS_ISA_SET_I386;
}

static enum outcome op_undefined(struct cpu *cpu, const struct insn *i)
{
	return insn_stop(cpu, i, cpu_fault(cpu, VEC_UD));
}

static enum outcome op_too_long(struct cpu *cpu, const struct insn *i)
{
	return insn_stop(cpu, i, cpu_fault_code(cpu, VEC_GP, 0));
}

/* insn.disp cannot hold the displacement of a RIP-relative operand 2 GiB away from its page. */
static enum outcome op_too_far(struct cpu *cpu, const struct insn *i)
{
	cpu->user.kind = USER_INTERNAL;
	return insn_stop(cpu, i, OUTCOME_USEREXIT);
}

static bool reaches_too_far(const struct x86_decoded *d)
{
	for (unsigned n = 0; n < d->insn.operand_count_visible; n++) {
		const ZydisDecodedOperand *op = &d->ops[n];

		if (op->type == ZYDIS_OPERAND_TYPE_MEMORY && op->mem.base == ZYDIS_REGISTER_RIP &&
		    rip_relative(d, op) > INT32_MAX)
			return true;
	}
	return false;
}

static void select_fault(struct insn *i, u16 off, insn_fn fn)
{
	memset(i, 0, sizeof(*i));
	i->off = off;
	i->len = 1;
	i->fn = fn;
}

static bool select_theme(const struct x86_decoded *d, struct insn *i)
{
	const interp_select_fn *s = selects[d->insn.mnemonic];

	for (unsigned k = 0; k < SELECT_MAX && s[k]; k++)
		if (s[k](d, i))
			return true;
	return false;
}

bool interp_select_insn(struct x86_decoded *d, struct insn *i, const u32 *features)
{
	pthread_once(&selects_once, selects_init);
	degrade(d, features);
	if (reaches_too_far(d)) {
		select_fault(i, d->off, op_too_far);
		i->len = d->insn.length;
		return false;
	}
	if (x86_feature_present(d, features)) {
		interp_fill(d, i);
		if (select_theme(d, i))
			return true;
		interp_fill(d, i);
		if (interp_native_select(d, i))
			return true;
	}
	select_fault(i, d->off, op_undefined);
	return false;
}

void interp_select_bad(const struct x86_decoded *d, struct insn *i)
{
	select_fault(i, d->off, d->insn.length > INSN_MAX_LEN ? op_too_long : op_undefined);
}

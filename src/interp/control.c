/* SPDX-License-Identifier: BSD-2-Clause */
/* Control, debug and descriptor-table registers, XCR0, and the instructions that look at
 * descriptors. */
#include "interp/system.h"

/* -- MOV to and from CRn (SDM Vol. 2B) --------------------------------------------------------- */

static enum outcome cr8_write(struct cpu *cpu, u64 value, bool *exits_after)
{
	if (value & ~15ull)
		return cpu_fault_code(cpu, VEC_GP, 0);
	if (!system_icpt(cpu, ICPT_TPR_SHADOW)) {
		cpu->ops->tpr_write(cpu, (u8)value);
		return OUTCOME_OK;
	}
	*exits_after = virt_tpr_write(cpu, (u8)value) == OUTCOME_VMEXIT;
	return OUTCOME_OK;
}

static enum outcome cr_write(struct cpu *cpu, unsigned cr, u64 value, bool *exits_after)
{
	switch (cr) {
	case 0:
		if (!virt_cr0_allowed(cpu, value))
			return cpu_fault_code(cpu, VEC_GP, 0);
		return sys_cr0_write(cpu, value);
	case 2:
		cpu->cr2 = value;
		return OUTCOME_OK;
	case 3:
		return sys_cr3_write(cpu, value);
	case 4:
		if (!virt_cr4_allowed(cpu, value))
			return cpu_fault_code(cpu, VEC_GP, 0);
		return sys_cr4_write(cpu, value);
	default:
		return cr8_write(cpu, value, exits_after);
	}
}

static const u64 cr_write_icpt[9] = {
	[0] = ICPT_CR0_WRITE, [3] = ICPT_CR3_LOAD, [4] = ICPT_CR4_WRITE, [8] = ICPT_CR8_LOAD};
static const u64 cr_read_icpt[9] = {[0] = ICPT_CR_READ,
				    [3] = ICPT_CR3_STORE,
				    [4] = ICPT_CR_READ,
				    [8] = ICPT_CR8_STORE | ICPT_TPR_SHADOW};

HANDLER op_mov_to_cr(struct cpu *cpu, const struct insn *i)
{
	u64 value = cpu->mode == CODE_64 ? GPR(cpu, i->src, u64) : GPR(cpu, i->src, u32);
	unsigned cr = i->reg;
	bool exits_after = false;
	enum outcome o = OUTCOME_OK;

	if (cpu->cpl)
		return system_gp0(cpu, i);
	if (system_icpt(cpu, cr_write_icpt[cr]))
		o = virt_icpt_cr_write(cpu, cr, i->src / 8, &value, i->len);
	if (!o)
		o = cr_write(cpu, cr, value, &exits_after);
	if (o)
		return insn_stop(cpu, i, o);
	/* Below the TPR threshold: a trap-like vmexit, rip being after the instruction. */
	o = system_end(cpu, i);
	return exits_after ? OUTCOME_VMEXIT : o;
}

static u64 cr_value(struct cpu *cpu, unsigned cr)
{
	switch (cr) {
	case 0:
		return cpu->cr0;
	case 2:
		return cpu->cr2;
	case 3:
		return cpu->cr3;
	case 4:
		return cpu->cr4;
	default:
		return cpu->ops->tpr_read(cpu);
	}
}

BODY mov_from_cr_body(struct cpu *cpu, const struct insn *i)
{
	enum outcome o = OUTCOME_OK;
	unsigned cr = i->reg;
	u64 value;

	if (cpu->cpl)
		return system_gp0(cpu, i);
	if (system_icpt(cpu, cr_read_icpt[cr]))
		o = virt_icpt_cr_read(cpu, cr, i->dst / 8, &value, i->len);
	else
		value = cr_value(cpu, cr);
	if (o)
		return insn_stop(cpu, i, o);
	gpr_write(cpu, i->dst, system_wide(cpu), value);
	return OUTCOME_OK;
}

SLOW_HANDLER(op_mov_from_cr, mov_from_cr_body)

/* -- MOV to and from DRn ----------------------------------------------------------------------- */

static enum outcome dr_check(struct cpu *cpu, const struct insn *i, unsigned gpr, bool write)
{
	enum outcome o = OUTCOME_OK;

	if (cpu->cpl)
		return system_gp0(cpu, i);
	if (system_icpt(cpu, ICPT_DR))
		o = virt_icpt_dr(cpu, i->reg, gpr, write, i->len);
	return o ? insn_stop(cpu, i, o) : o;
}

HANDLER op_mov_to_dr(struct cpu *cpu, const struct insn *i)
{
	u64 value = cpu->mode == CODE_64 ? GPR(cpu, i->src, u64) : GPR(cpu, i->src, u32);
	enum outcome o = dr_check(cpu, i, i->src / 8, true);

	return o ? o : system_end_if(cpu, i, sys_dr_write(cpu, i->reg, value));
}

BODY mov_from_dr_body(struct cpu *cpu, const struct insn *i)
{
	enum outcome o = dr_check(cpu, i, i->dst / 8, false);
	u64 value;

	if (o)
		return o;
	o = sys_dr_read(cpu, i->reg, &value);
	if (o)
		return insn_stop(cpu, i, o);
	gpr_write(cpu, i->dst, system_wide(cpu), value);
	return OUTCOME_OK;
}

SLOW_HANDLER(op_mov_from_dr, mov_from_dr_body)

/* -- CLTS, LMSW, SMSW -------------------------------------------------------------------------- */

#define LMSW_BITS (CR0_PE | CR0_MP | CR0_EM | CR0_TS)

HANDLER op_clts(struct cpu *cpu, const struct insn *i)
{
	enum outcome o = OUTCOME_OK;
	bool nop = false;

	if (cpu->cpl)
		return system_gp0(cpu, i);
	if (system_icpt(cpu, ICPT_CR0_WRITE))
		o = virt_icpt_clts(cpu, i->len, &nop);
	if (!o && !nop)
		o = sys_cr0_write(cpu, cpu->cr0 & ~CR0_TS);
	return system_end_if(cpu, i, o);
}

/* A 16-bit operand, register or memory. */
static enum outcome load_r16(struct cpu *cpu, const struct insn *i, u8 reg, u16 *value)
{
	if (i->flags & INSN_MEM)
		return insn_load(cpu, i, value, 2);
	*value = GPR(cpu, reg, u16);
	return OUTCOME_OK;
}

HANDLER op_lmsw(struct cpu *cpu, const struct insn *i)
{
	bool mem = i->flags & INSN_MEM;
	enum outcome o;
	u64 gva = 0;
	u16 value;

	if (cpu->cpl)
		return system_gp0(cpu, i);
	o = load_r16(cpu, i, i->dst, &value);
	if (o)
		return o;
	if (mem)
		(void)insn_linear(cpu, i, 2, false, &gva);
	if (system_icpt(cpu, ICPT_CR0_WRITE))
		o = virt_icpt_lmsw(cpu, &value, gva, mem, i->len);
	/* PE can be set, not cleared. */
	if (!o)
		o = cr_write(cpu, 0, (cpu->cr0 & ~(LMSW_BITS & ~CR0_PE)) | (value & LMSW_BITS),
			     NULL);
	return system_end_if(cpu, i, o);
}

static bool umip_forbids(const struct cpu *cpu)
{
	return cpu->cr4 & CR4_UMIP && cpu->cpl;
}

/* Stores a 16-bit value in memory, or a register of the operand's size. */
static enum outcome store_r16(struct cpu *cpu, const struct insn *i, u64 value)
{
	u16 low = (u16)value;

	if (i->flags & INSN_MEM)
		return insn_store(cpu, i, &low, 2);
	gpr_write(cpu, i->dst, i->size, value);
	return OUTCOME_OK;
}

BODY smsw_body(struct cpu *cpu, const struct insn *i)
{
	enum outcome o = OUTCOME_OK;
	u64 value = cpu->cr0;

	if (umip_forbids(cpu))
		return system_gp0(cpu, i);
	if (system_icpt(cpu, ICPT_CR_READ))
		o = virt_icpt_cr_read(cpu, 0, 0, &value, i->len);
	return o ? insn_stop(cpu, i, o) : store_r16(cpu, i, value);
}

SLOW_HANDLER(op_smsw, smsw_body)

/* -- LGDT, LIDT, SGDT, SIDT -------------------------------------------------------------------- */

/* i->sub: the instruction's number in table 27-10, bit 0: the IDT, bit 1: it loads. */
#define DTABLE_IDT  1u
#define DTABLE_LOAD 2u

static struct dtable *dtable_of(struct cpu *cpu, const struct insn *i)
{
	return i->sub & DTABLE_IDT ? &cpu->idt : &cpu->gdt;
}

static enum outcome dtable_icpt(struct cpu *cpu, const struct insn *i)
{
	u32 info = info_memory(i) | (i->size == 4 ? 1u << 11 : 0) | (u32)i->sub << 28;
	enum outcome o;

	if (!system_icpt(cpu, ICPT_DTABLE))
		return OUTCOME_OK;
	o = virt_icpt_operand(cpu, ICPT_DTABLE, i->len, info_displacement(cpu, i), info);
	return o ? insn_stop(cpu, i, o) : o;
}

HANDLER op_load_dtable(struct cpu *cpu, const struct insn *i)
{
	struct {
		u16 pad[3], limit;
		u64 base;
	} m = {.base = 0};
	enum outcome o;

	if (cpu->cpl)
		return system_gp0(cpu, i);
	o = dtable_icpt(cpu, i);
	if (!o)
		o = insn_load(cpu, i, &m.limit, cpu->mode == CODE_64 ? 10 : 6);
	if (o)
		return o;
	if (cpu->mode != CODE_64 && i->size == 2)
		m.base &= 0xffffff;
	if (cpu->mode == CODE_64 && !cpu_canonical(cpu, m.base))
		return system_gp0(cpu, i);
	*dtable_of(cpu, i) = (struct dtable){m.base, m.limit};
	return system_end(cpu, i);
}

BODY store_dtable_body(struct cpu *cpu, const struct insn *i)
{
	struct {
		u16 pad[3], limit;
		u64 base;
	} m = {.limit = dtable_of(cpu, i)->limit, .base = dtable_of(cpu, i)->base};
	enum outcome o;

	if (umip_forbids(cpu))
		return system_gp0(cpu, i);
	o = dtable_icpt(cpu, i);
	return o ? o : insn_store(cpu, i, &m.limit, cpu->mode == CODE_64 ? 10 : 6);
}

SLOW_HANDLER(op_store_dtable, store_dtable_body)

/* -- LLDT, LTR, SLDT, STR ---------------------------------------------------------------------- */

/* i->sub: the instruction's number in table 27-11, bit 0: TR, bit 1: it loads. */
#define LDT_TR_TR 1u

static enum outcome ldt_tr_icpt(struct cpu *cpu, const struct insn *i)
{
	u32 info = info_operand(i, i->dst) | (u32)i->sub << 28;
	enum outcome o;

	if (!system_icpt(cpu, ICPT_LDT_TR))
		return OUTCOME_OK;
	o = virt_icpt_operand(cpu, ICPT_LDT_TR, i->len, info_displacement(cpu, i), info);
	return o ? insn_stop(cpu, i, o) : o;
}

HANDLER op_load_ldt_tr(struct cpu *cpu, const struct insn *i)
{
	enum outcome o;
	u16 selector;

	if (system_real_or_v86(cpu))
		return system_ud(cpu, i);
	if (cpu->cpl)
		return system_gp0(cpu, i);
	o = ldt_tr_icpt(cpu, i);
	if (!o)
		o = load_r16(cpu, i, i->dst, &selector);
	if (o)
		return o;
	o = i->sub & LDT_TR_TR ? sys_ltr(cpu, selector) : sys_lldt(cpu, selector);
	return system_end_if(cpu, i, o);
}

BODY store_ldt_tr_body(struct cpu *cpu, const struct insn *i)
{
	enum outcome o;

	if (system_real_or_v86(cpu))
		return system_ud(cpu, i);
	if (umip_forbids(cpu))
		return system_gp0(cpu, i);
	o = ldt_tr_icpt(cpu, i);
	if (o)
		return o;
	return store_r16(cpu, i, cpu->seg[i->sub & LDT_TR_TR ? SEG_TR : SEG_LDTR].selector);
}

SLOW_HANDLER(op_store_ldt_tr, store_ldt_tr_body)

/* -- LAR, LSL, VERR, VERW ---------------------------------------------------------------------- */

BODY lar_lsl_body(struct cpu *cpu, const struct insn *i)
{
	enum outcome o;
	u32 value = 0;
	u16 selector;
	bool ok;

	if (system_real_or_v86(cpu))
		return system_ud(cpu, i);
	o = load_r16(cpu, i, i->src, &selector);
	if (o)
		return o;
	o = i->sub ? sys_lsl(cpu, selector, &ok, &value) : sys_lar(cpu, selector, &ok, &value);
	if (o)
		return insn_stop(cpu, i, o);
	if (ok)
		gpr_write(cpu, i->dst, i->size, value);
	system_set_zf(cpu, ok);
	return OUTCOME_OK;
}

BODY verify_body(struct cpu *cpu, const struct insn *i)
{
	enum outcome o;
	u16 selector;
	bool ok;

	if (system_real_or_v86(cpu))
		return system_ud(cpu, i);
	o = load_r16(cpu, i, i->dst, &selector);
	if (o)
		return o;
	o = sys_verify(cpu, selector, i->sub, &ok);
	if (o)
		return insn_stop(cpu, i, o);
	system_set_zf(cpu, ok);
	return OUTCOME_OK;
}

SLOW_HANDLER(op_lar_lsl, lar_lsl_body)
SLOW_HANDLER(op_verify, verify_body)

/* -- XGETBV, XSETBV ---------------------------------------------------------------------------- */

/* Index 1 is XINUSE: no component is ever known to be in its initial state. */
BODY xgetbv_body(struct cpu *cpu, const struct insn *i)
{
	u32 index = (u32)cpu->gpr[REG_RCX];

	if (!(cpu->cr4 & CR4_OSXSAVE))
		return system_ud(cpu, i);
	if (index > 1 || (index == 1 && !cpu_has(cpu, FEATURE_XGETBV1)))
		return system_gp0(cpu, i);
	system_set_edx_eax(cpu, cpu->xcr0);
	return OUTCOME_OK;
}

SLOW_HANDLER(op_xgetbv, xgetbv_body)

HANDLER op_xsetbv(struct cpu *cpu, const struct insn *i)
{
	enum outcome o = OUTCOME_OK;

	if (!(cpu->cr4 & CR4_OSXSAVE))
		return system_ud(cpu, i);
	if (cpu->cpl)
		return system_gp0(cpu, i);
	if (system_icpt(cpu, ICPT_XSETBV))
		o = virt_icpt_simple(cpu, ICPT_XSETBV, i->len);
	if (!o)
		o = sys_xsetbv(cpu, (u32)cpu->gpr[REG_RCX], system_edx_eax(cpu));
	return system_end_if(cpu, i, o);
}

/* -- selection --------------------------------------------------------------------------------- */

static bool cr_exists(unsigned cr)
{
	return cr == 0 || cr == 2 || cr == 3 || cr == 4 || cr == 8;
}

static bool is_class(const ZydisDecodedOperand *op, ZydisRegisterClass class)
{
	return op->type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       ZydisRegisterGetClass(op->reg.value) == class;
}

static bool select_mov(const struct x86_decoded *d, struct insn *i)
{
	if (is_class(&d->ops[0], ZYDIS_REGCLASS_CONTROL))
		i->fn = op_mov_to_cr;
	else if (is_class(&d->ops[1], ZYDIS_REGCLASS_CONTROL))
		i->fn = op_mov_from_cr;
	else if (is_class(&d->ops[0], ZYDIS_REGCLASS_DEBUG))
		i->fn = op_mov_to_dr;
	else if (is_class(&d->ops[1], ZYDIS_REGCLASS_DEBUG))
		i->fn = op_mov_from_dr;
	else
		return false;
	if (i->fn == op_mov_to_dr || i->fn == op_mov_from_dr)
		return i->reg < 8;
	return cr_exists(i->reg);
}

static const struct {
	ZydisMnemonic mnemonic;
	insn_fn fn;
	u8 sub;
} forms[] = {
	{ZYDIS_MNEMONIC_CLTS, op_clts, 0},	   {ZYDIS_MNEMONIC_LMSW, op_lmsw, 0},
	{ZYDIS_MNEMONIC_SMSW, op_smsw, 0},	   {ZYDIS_MNEMONIC_SGDT, op_store_dtable, 0},
	{ZYDIS_MNEMONIC_SIDT, op_store_dtable, 1}, {ZYDIS_MNEMONIC_LGDT, op_load_dtable, 2},
	{ZYDIS_MNEMONIC_LIDT, op_load_dtable, 3},  {ZYDIS_MNEMONIC_SLDT, op_store_ldt_tr, 0},
	{ZYDIS_MNEMONIC_STR, op_store_ldt_tr, 1},  {ZYDIS_MNEMONIC_LLDT, op_load_ldt_tr, 2},
	{ZYDIS_MNEMONIC_LTR, op_load_ldt_tr, 3},   {ZYDIS_MNEMONIC_LAR, op_lar_lsl, 0},
	{ZYDIS_MNEMONIC_LSL, op_lar_lsl, 1},	   {ZYDIS_MNEMONIC_VERR, op_verify, 0},
	{ZYDIS_MNEMONIC_VERW, op_verify, 1},	   {ZYDIS_MNEMONIC_XGETBV, op_xgetbv, 0},
	{ZYDIS_MNEMONIC_XSETBV, op_xsetbv, 0},
};

static bool select_form(const struct x86_decoded *d, struct insn *i)
{
	for (unsigned n = 0; n < ARRAY_SIZE(forms); n++) {
		if (forms[n].mnemonic != d->insn.mnemonic)
			continue;
		i->fn = forms[n].fn;
		i->sub = forms[n].sub;
		/* The operand size of memory forms is not that of what they access. */
		if (i->flags & INSN_MEM && i->fn != op_lar_lsl)
			i->size = d->insn.operand_width / 8;
		return true;
	}
	return false;
}

#define FORM(m)                                                                                    \
	{                                                                                          \
		ZYDIS_MNEMONIC_##m, select_form                                                    \
	}

const struct interp_select interp_control[] = {
	{ZYDIS_MNEMONIC_MOV, select_mov},
	FORM(CLTS),
	FORM(LMSW),
	FORM(SMSW),
	FORM(SGDT),
	FORM(SIDT),
	FORM(LGDT),
	FORM(LIDT),
	FORM(SLDT),
	FORM(STR),
	FORM(LLDT),
	FORM(LTR),
	FORM(LAR),
	FORM(LSL),
	FORM(VERR),
	FORM(VERW),
	FORM(XGETBV),
	FORM(XSETBV),
	{0, NULL},
};

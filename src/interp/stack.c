/* SPDX-License-Identifier: BSD-2-Clause */
/* PUSH, POP, PUSHA, POPA, PUSHF, POPF, ENTER, LEAVE. */
#include "interp/access.h"
#include "interp/stack.h"
#include "sys/sys.h"

#define SP(cpu) ((cpu)->gpr[REG_RSP])

u64 stack_mask(const struct cpu *cpu)
{
	if (cpu->mode == CODE_64)
		return ~0ull;
	return cpu->seg[SEG_SS].attr & SEG_ATTR_DB ? 0xffffffffu : 0xffff;
}

void stack_set(struct cpu *cpu, u64 sp)
{
	u64 mask = stack_mask(cpu);

	if (mask == 0xffff)
		GPR(cpu, 8 * REG_RSP, u16) = (u16)sp;
	else
		SP(cpu) = sp & mask;
}

static enum outcome stack_stop(struct cpu *cpu, const struct insn *i, enum outcome o)
{
	if (o == OUTCOME_FAULT && cpu->fault.kind == FAULT_EXCEPTION && cpu->fault.vector == VEC_GP)
		cpu->fault.vector = VEC_SS;
	return insn_stop(cpu, i, o);
}

static enum outcome stack_linear(struct cpu *cpu, u64 sp, unsigned size, bool write, u64 *gva)
{
	sp &= stack_mask(cpu);
	if (cpu->mode != CODE_64)
		return sys_linear(cpu, SEG_SS, sp, size, write, gva);
	*gva = sp;
	return OUTCOME_OK;
}

enum outcome stack_load(struct cpu *cpu, const struct insn *i, u64 sp, void *dst, unsigned size)
{
	u64 gva = 0;
	enum outcome o = stack_linear(cpu, sp, size, false, &gva);

	if (!o)
		o = mmu_read(cpu, gva, dst, size, MMU_READ);
	return likely(!o) ? o : stack_stop(cpu, i, o);
}

enum outcome stack_store(struct cpu *cpu, const struct insn *i, u64 sp, u64 value, unsigned size)
{
	u64 gva = 0;
	enum outcome o = stack_linear(cpu, sp, size, true, &gva);

	if (!o)
		o = mmu_write(cpu, gva, &value, size, MMU_WRITE);
	return likely(!o) ? o : stack_stop(cpu, i, o);
}

enum outcome stack_push(struct cpu *cpu, const struct insn *i, u64 value, unsigned size)
{
	enum outcome o = stack_store(cpu, i, SP(cpu) - size, value, size);

	if (!o)
		stack_set(cpu, SP(cpu) - size);
	return o;
}

/* -- PUSH -----------------------------------------------------------------------------------------
 */

BODY push_r_body(struct cpu *cpu, const struct insn *i)
{
	return stack_push(cpu, i, GPR(cpu, i->dst, u64), i->size);
}

BODY push_i_body(struct cpu *cpu, const struct insn *i)
{
	return stack_push(cpu, i, i->imm, i->size);
}

BODY push_m_body(struct cpu *cpu, const struct insn *i)
{
	u64 v = 0;
	enum outcome o = insn_load(cpu, i, &v, i->size);

	return o ? o : stack_push(cpu, i, v, i->size);
}

#define PUSH64(name, VALUE, body)                                                                  \
	HANDLER name(struct cpu *cpu, const struct insn *i)                                        \
	{                                                                                          \
		u64 sp = SP(cpu) - 8, *p = mmu_probe_write(cpu, sp, 8);                            \
		if (unlikely(!p))                                                                  \
			return insn_slow(cpu, i, body);                                            \
		*p = VALUE;                                                                        \
		SP(cpu) = sp;                                                                      \
		NEXT(cpu, i);                                                                      \
	}

PUSH64(push64_r, GPR(cpu, i->dst, u64), push_r_body)
PUSH64(push64_i, i->imm, push_i_body)

SLOW_HANDLER(push_r, push_r_body)
SLOW_HANDLER(push_i, push_i_body)
SLOW_HANDLER(push_m, push_m_body)

static bool is_segment(const ZydisDecodedOperand *op)
{
	return op->type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       ZydisRegisterGetClass(op->reg.value) == ZYDIS_REGCLASS_SEGMENT;
}

static bool select_push(const struct x86_decoded *d, struct insn *i)
{
	bool fast;

	if (is_segment(&d->ops[0]))
		return false;
	i->size = d->insn.operand_width / 8;
	fast = d->mode == CODE_64 && i->size == 8;
	if (i->flags & INSN_MEM && d->ops[0].type == ZYDIS_OPERAND_TYPE_MEMORY)
		i->fn = push_m;
	else if (d->ops[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		i->fn = fast ? push64_i : push_i;
	else
		i->fn = fast ? push64_r : push_r;
	return true;
}

/* -- POP ------------------------------------------------------------------------------------------
 */

/* POP rSP: the increment comes before the write (SDM Vol. 2B POP). */
BODY pop_r_body(struct cpu *cpu, const struct insn *i)
{
	u64 v = 0;
	enum outcome o = stack_load(cpu, i, SP(cpu), &v, i->size);

	if (o)
		return o;
	stack_set(cpu, SP(cpu) + i->size);
	gpr_write(cpu, i->dst, i->size, v);
	return OUTCOME_OK;
}

/* An address made from rSP uses its value after the increment; a fault restores it. */
BODY pop_m_body(struct cpu *cpu, const struct insn *i)
{
	u64 v = 0, sp = SP(cpu);
	enum outcome o = stack_load(cpu, i, sp, &v, i->size);

	if (o)
		return o;
	stack_set(cpu, sp + i->size);
	o = insn_store(cpu, i, &v, i->size);
	if (o)
		SP(cpu) = sp;
	return o;
}

HANDLER pop64_r(struct cpu *cpu, const struct insn *i)
{
	u64 sp = SP(cpu), *p = mmu_probe_read(cpu, sp, 8);

	if (unlikely(!p))
		return insn_slow(cpu, i, pop_r_body);
	SP(cpu) = sp + 8;
	GPR(cpu, i->dst, u64) = *p;
	NEXT(cpu, i);
}

SLOW_HANDLER(pop_r, pop_r_body)
SLOW_HANDLER(pop_m, pop_m_body)

static bool select_pop(const struct x86_decoded *d, struct insn *i)
{
	if (is_segment(&d->ops[0]))
		return false;
	i->size = d->insn.operand_width / 8;
	if (d->ops[0].type == ZYDIS_OPERAND_TYPE_MEMORY)
		i->fn = pop_m;
	else
		i->fn = d->mode == CODE_64 && i->size == 8 ? pop64_r : pop_r;
	return true;
}

/* -- PUSHA, POPA ----------------------------------------------------------------------------------
 */

/* All or nothing: the whole frame is checked first. */
BODY pusha_body(struct cpu *cpu, const struct insn *i)
{
	u64 sp = SP(cpu);
	enum outcome o = OUTCOME_OK;

	/* From the far end, so that a page fault comes before any store but those that repeat. */
	for (int n = 7; n >= 0 && !o; n--)
		o = stack_store(cpu, i, sp - (n + 1) * i->size, cpu->gpr[n], i->size);
	if (!o)
		stack_set(cpu, sp - 8 * i->size);
	return o;
}

BODY popa_body(struct cpu *cpu, const struct insn *i)
{
	u64 v[8] = {0}, sp = SP(cpu);
	enum outcome o = OUTCOME_OK;

	for (unsigned n = 0; n < 8 && !o; n++)
		o = stack_load(cpu, i, sp + n * i->size, &v[n], i->size);
	if (o)
		return o;
	for (unsigned n = 0; n < 8; n++)
		if (n != 3) /* rSP is skipped */
			gpr_write(cpu, 8 * (7 - n), i->size, v[n]);
	stack_set(cpu, sp + 8 * i->size);
	return OUTCOME_OK;
}

SLOW_HANDLER(pusha, pusha_body)
SLOW_HANDLER(popa, popa_body)

/* -- PUSHF, POPF ----------------------------------------------------------------------------------
 */

static unsigned iopl(const struct cpu *cpu)
{
	return bits(cpu->rflags_sys, 13, 12);
}

/* Virtual-8086 mode with IOPL below 3: VME's virtual IF, or #GP (SDM Vol. 3B 20.2.7, table 20-2).
 */
static bool v86_restricted(const struct cpu *cpu)
{
	return cpu_v86(cpu) && iopl(cpu) < 3;
}

BODY pushf_body(struct cpu *cpu, const struct insn *i)
{
	u64 v = cpu_rflags(cpu) & ~(RFLAGS_VM | RFLAGS_RF);

	if (v86_restricted(cpu)) {
		if (i->size != 2 || !(cpu->cr4 & CR4_VME))
			return insn_stop(cpu, i, cpu_fault_code(cpu, VEC_GP, 0));
		v = (v & ~RFLAGS_IF) | RFLAGS_IOPL;
		if (cpu->rflags_sys & RFLAGS_VIF)
			v |= RFLAGS_IF;
	}
	return stack_push(cpu, i, v, i->size);
}

/* What POPF may change at this privilege (SDM Vol. 2B POPF, table 4-16). */
static u64 popf_mask(const struct cpu *cpu, unsigned size)
{
	u64 mask = RFLAGS_ARITH | RFLAGS_TF | RFLAGS_DF | RFLAGS_NT;

	if (size > 2)
		mask |= RFLAGS_AC | RFLAGS_ID;
	if (!cpu_protected(cpu) || (cpu->cpl == 0 && !cpu_v86(cpu)))
		mask |= RFLAGS_IOPL | RFLAGS_IF;
	else if (cpu->cpl <= iopl(cpu))
		mask |= RFLAGS_IF;
	return mask;
}

/* POPF in virtual-8086 mode through VIF. */
static enum outcome popf_vme(struct cpu *cpu, const struct insn *i, u64 v)
{
	u64 mask = RFLAGS_ARITH | RFLAGS_TF | RFLAGS_DF | RFLAGS_NT;

	if (i->size != 2 || !(cpu->cr4 & CR4_VME) ||
	    (v & RFLAGS_IF && cpu->rflags_sys & RFLAGS_VIP) || v & RFLAGS_TF)
		return insn_stop(cpu, i, cpu_fault_code(cpu, VEC_GP, 0));
	v = (cpu_rflags(cpu) & ~mask & ~RFLAGS_VIF) | (v & mask) | (v & RFLAGS_IF ? RFLAGS_VIF : 0);
	cpu_rflags_set(cpu, v);
	stack_set(cpu, SP(cpu) + i->size);
	return OUTCOME_OK;
}

BODY popf_body(struct cpu *cpu, const struct insn *i)
{
	u64 v = 0, old = cpu_rflags(cpu), mask = popf_mask(cpu, i->size);
	enum outcome o;

	if (v86_restricted(cpu) && !(cpu->cr4 & CR4_VME))
		return insn_stop(cpu, i, cpu_fault_code(cpu, VEC_GP, 0));
	o = stack_load(cpu, i, SP(cpu), &v, i->size);
	if (o)
		return o;
	if (v86_restricted(cpu))
		return popf_vme(cpu, i, v);
	v = ((old & ~mask) | (v & mask)) & ~RFLAGS_RF;
	cpu_rflags_set(cpu, v);
	stack_set(cpu, SP(cpu) + i->size);
	return OUTCOME_OK;
}

/*
 * TF traps after the next instruction, IF may let a waiting interrupt in, AC changes what SMAP
 * allows: the world is looked at again unless only arithmetic flags are new.
 */
HANDLER popf(struct cpu *cpu, const struct insn *i)
{
	u64 old = cpu->rflags_sys, changed;
	enum outcome o = popf_body(cpu, i);

	if (unlikely(o))
		return o;
	changed = old ^ cpu->rflags_sys;
	if (changed & RFLAGS_AC)
		mmu_update_mode(cpu);
	if (changed & (RFLAGS_IF | RFLAGS_TF | RFLAGS_AC))
		END_BLOCK(cpu, i);
	NEXT(cpu, i);
}

SLOW_HANDLER(pushf, pushf_body)

/* -- ENTER, LEAVE ---------------------------------------------------------------------------------
 */

BODY leave_body(struct cpu *cpu, const struct insn *i)
{
	u64 v = 0, bp = cpu->gpr[REG_RBP];
	enum outcome o = stack_load(cpu, i, bp, &v, i->size);

	if (o)
		return o;
	stack_set(cpu, bp + i->size);
	gpr_write(cpu, 8 * REG_RBP, i->size, v);
	return OUTCOME_OK;
}

HANDLER leave64(struct cpu *cpu, const struct insn *i)
{
	u64 bp = cpu->gpr[REG_RBP], *p = mmu_probe_read(cpu, bp, 8);

	if (unlikely(!p))
		return insn_slow(cpu, i, leave_body);
	SP(cpu) = bp + 8;
	cpu->gpr[REG_RBP] = *p;
	NEXT(cpu, i);
}

/* Copies the enclosing frames' pointers: level - 1 of them, then the new frame's own. */
static enum outcome enter_nested(struct cpu *cpu, const struct insn *i, u64 *sp, unsigned level)
{
	u64 frame = *sp, bp = cpu->gpr[REG_RBP];
	enum outcome o = OUTCOME_OK;

	for (unsigned n = 1; n < level && !o; n++) {
		u64 v = 0;

		bp -= i->size;
		o = stack_load(cpu, i, bp, &v, i->size);
		if (o)
			return o;
		*sp -= i->size;
		o = stack_store(cpu, i, *sp, v, i->size);
	}
	if (o)
		return o;
	*sp -= i->size;
	return stack_store(cpu, i, *sp, frame, i->size);
}

BODY enter_body(struct cpu *cpu, const struct insn *i)
{
	unsigned bytes = i->imm32[0], level = i->imm32[1] & 31;
	u64 frame = SP(cpu) - i->size, sp = frame;
	enum outcome o = stack_store(cpu, i, sp, cpu->gpr[REG_RBP], i->size);

	if (!o && level)
		o = enter_nested(cpu, i, &sp, level);
	if (o)
		return o;
	sp -= bytes;
	/* The new top must be writable (SDM Vol. 2A ENTER). */
	if (cpu->mode == CODE_64 && (o = mmu_check(cpu, sp, 1, MMU_WRITE)))
		return stack_stop(cpu, i, o);
	stack_set(cpu, sp);
	gpr_write(cpu, 8 * REG_RBP, i->size,
		  cpu->mode == CODE_64 || i->size == 2
			  ? frame
			  : (frame & stack_mask(cpu)) | (cpu->gpr[REG_RBP] & ~stack_mask(cpu)));
	return OUTCOME_OK;
}

SLOW_HANDLER(leave, leave_body)
SLOW_HANDLER(enter, enter_body)

/* -- selection ------------------------------------------------------------------------------------
 */

static bool select_as(struct insn *i, unsigned size, insn_fn fn)
{
	i->size = size;
	i->fn = fn;
	return true;
}

#define SELECT(name, size, fn)                                                                     \
	static bool select_##name(const struct x86_decoded *d, struct insn *i)                     \
	{                                                                                          \
		return select_as(i, size, fn);                                                     \
	}

SELECT(pusha, 2, pusha)
SELECT(pushad, 4, pusha)
SELECT(popa, 2, popa)
SELECT(popad, 4, popa)
SELECT(pushf, 2, pushf)
SELECT(pushfd, 4, pushf)
SELECT(pushfq, 8, pushf)
SELECT(popf, 2, popf)
SELECT(popfd, 4, popf)
SELECT(popfq, 8, popf)

static bool select_leave(const struct x86_decoded *d, struct insn *i)
{
	unsigned size = d->insn.operand_width / 8;

	return select_as(i, size, d->mode == CODE_64 && size == 8 ? leave64 : leave);
}

static bool select_enter(const struct x86_decoded *d, struct insn *i)
{
	i->imm32[0] = (u32)d->ops[0].imm.value.u;
	i->imm32[1] = (u32)d->ops[1].imm.value.u;
	return select_as(i, d->insn.operand_width / 8, enter);
}

const struct interp_select interp_stack[] = {
	{ZYDIS_MNEMONIC_PUSH, select_push},
	{ZYDIS_MNEMONIC_POP, select_pop},
	{ZYDIS_MNEMONIC_PUSHA, select_pusha},
	{ZYDIS_MNEMONIC_PUSHAD, select_pushad},
	{ZYDIS_MNEMONIC_POPA, select_popa},
	{ZYDIS_MNEMONIC_POPAD, select_popad},
	{ZYDIS_MNEMONIC_PUSHF, select_pushf},
	{ZYDIS_MNEMONIC_PUSHFD, select_pushfd},
	{ZYDIS_MNEMONIC_PUSHFQ, select_pushfq},
	{ZYDIS_MNEMONIC_POPF, select_popf},
	{ZYDIS_MNEMONIC_POPFD, select_popfd},
	{ZYDIS_MNEMONIC_POPFQ, select_popfq},
	{ZYDIS_MNEMONIC_LEAVE, select_leave},
	{ZYDIS_MNEMONIC_ENTER, select_enter},
	{0, NULL},
};

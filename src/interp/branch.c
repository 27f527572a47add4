/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Near transfers of control. In 64-bit mode direct branches know their target's offset from their
 * page (insn.disp): inside the page they are linked, else they go by the table of blocks. The other
 * modes check CS's limit and always go by the loop.
 */
#include "interp/access.h"
#include "interp/block.h"
#include "interp/cond.h"
#include "interp/stack.h"

enum outcome block_op_end(struct cpu *cpu, const struct insn *i)
{
	cpu->icount += i->pos;
	if (i->sub == BLOCK_NONE) {
		insn_sync(cpu, i);
		return OUTCOME_OK;
	}
	if (cpu->mode == CODE_64 && i->off < PAGE_SIZE)
		return block_go_near(cpu, i);
	if (cpu->mode == CODE_64)
		return block_go64(cpu, cpu->gpr[REG_PAGE] + i->off);
	insn_sync(cpu, i);
	return OUTCOME_OK;
}

/* The usual case of cpu_canonical(): true for every address of 48 bits. */
static inline bool canonical48(u64 lin)
{
	return (u64)sext(lin, 48) == lin;
}

/* A target in any mode: #GP when the branch must not happen. rip is left at the branch then. */
static enum outcome target_check(struct cpu *cpu, const struct insn *i, u64 target)
{
	bool ok = cpu->mode == CODE_64 ? cpu_canonical(cpu, target)
				       : target <= cpu->seg[SEG_CS].limit;

	return ok ? OUTCOME_OK : insn_stop(cpu, i, cpu_fault_code(cpu, VEC_GP, 0));
}

/* Goes to an absolute rip in any mode, by the loop. */
static enum outcome leave_to(struct cpu *cpu, const struct insn *i, u64 target)
{
	enum outcome o = target_check(cpu, i, target);

	if (!o)
		cpu->rip = target;
	return o;
}

/* Target of a direct branch outside 64-bit mode: imm is the displacement, i->size the width of IP.
 */
static u64 legacy_target(const struct cpu *cpu, const struct insn *i)
{
	u64 target = insn_rip_next(cpu, i) + i->imm;

	return i->size == 2 ? (u16)target : (u32)target;
}

/* -- JMP, Jcc
 * -------------------------------------------------------------------------------------- */

/* Out of the page: i->disp is the target's offset from the page. */
static inline enum outcome go_far_page(struct cpu *cpu, const struct insn *i)
{
	u64 lin = cpu->gpr[REG_PAGE] + (s64)i->disp;

	if (unlikely(!canonical48(lin)))
		return leave_to(cpu, i, lin);
	return block_go64(cpu, lin);
}

HANDLER jmp_near(struct cpu *cpu, const struct insn *i)
{
	cpu->icount += i->pos;
	return block_go_near(cpu, i);
}

HANDLER jmp_far_page(struct cpu *cpu, const struct insn *i)
{
	cpu->icount += i->pos;
	return go_far_page(cpu, i);
}

HANDLER jmp_legacy(struct cpu *cpu, const struct insn *i)
{
	cpu->icount += i->pos;
	return leave_to(cpu, i, legacy_target(cpu, i));
}

#define JCC(c, C)                                                                                  \
	HANDLER j##c##_near(struct cpu *cpu, const struct insn *i)                                 \
	{                                                                                          \
		if (!COND_##c(cpu->cc))                                                            \
			NEXT(cpu, i);                                                              \
		cpu->icount += i->pos;                                                             \
		return block_go_near(cpu, i);                                                      \
	}                                                                                          \
	HANDLER j##c##_far_page(struct cpu *cpu, const struct insn *i)                             \
	{                                                                                          \
		if (!COND_##c(cpu->cc))                                                            \
			NEXT(cpu, i);                                                              \
		cpu->icount += i->pos;                                                             \
		return go_far_page(cpu, i);                                                        \
	}                                                                                          \
	HANDLER j##c##_legacy(struct cpu *cpu, const struct insn *i)                               \
	{                                                                                          \
		if (!COND_##c(cpu->cc))                                                            \
			NEXT(cpu, i);                                                              \
		return jmp_legacy(cpu, i);                                                         \
	}

FOR_CONDS(JCC)

/* Offset of a direct branch's target from its page. */
static s64 target_offset(const struct x86_decoded *d)
{
	return d->off + d->insn.length + d->ops[0].imm.value.s;
}

static bool select_direct(const struct x86_decoded *d, struct insn *i, insn_fn near, insn_fn far,
			  insn_fn legacy)
{
	s64 offset = target_offset(d);

	i->size = d->insn.operand_width / 8;
	if (d->mode != CODE_64) {
		i->fn = legacy;
		return true;
	}
	i->aux = NULL;
	i->disp = (s32)offset;
	i->fn = offset >= 0 && offset < (s64)PAGE_SIZE ? near : far;
	return offset == i->disp;
}

#define SELECT_JCC(c, C)                                                                           \
	static bool select_j##c(const struct x86_decoded *d, struct insn *i)                       \
	{                                                                                          \
		return select_direct(d, i, j##c##_near, j##c##_far_page, j##c##_legacy);           \
	}

FOR_CONDS(SELECT_JCC)

/* -- LOOP, JCXZ: the count is as wide as addresses
 * -------------------------------------------------- */

static u64 count_get(const struct cpu *cpu, const struct insn *i)
{
	u64 rcx = cpu->gpr[REG_RCX];

	if (i->flags & INSN_ADDR64)
		return rcx;
	return i->flags & INSN_ADDR16 ? (u16)rcx : (u32)rcx;
}

static void count_set(struct cpu *cpu, const struct insn *i, u64 v)
{
	if (i->flags & INSN_ADDR64)
		cpu->gpr[REG_RCX] = v;
	else if (i->flags & INSN_ADDR16)
		GPR(cpu, 8 * REG_RCX, u16) = (u16)v;
	else
		cpu->gpr[REG_RCX] = (u32)v;
}

static u64 direct_target(const struct cpu *cpu, const struct insn *i)
{
	if (cpu->mode == CODE_64)
		return cpu->gpr[REG_PAGE] + (s64)i->disp;
	return legacy_target(cpu, i);
}

enum { LOOP_ANY, LOOP_E, LOOP_NE };

/* The target is checked before the count changes. */
static enum outcome loop_taken(struct cpu *cpu, const struct insn *i, u64 count)
{
	u64 target = direct_target(cpu, i);
	enum outcome o = target_check(cpu, i, target);

	if (o)
		return o;
	count_set(cpu, i, count);
	cpu->icount += i->pos;
	if (cpu->mode == CODE_64)
		return block_go64(cpu, target);
	cpu->rip = target;
	return OUTCOME_OK;
}

HANDLER loop(struct cpu *cpu, const struct insn *i)
{
	u64 count = count_get(cpu, i) - 1;
	bool zf = cpu->cc & CC_ZF, zero;

	zero = i->flags & INSN_ADDR64 ? !count : i->flags & INSN_ADDR16 ? !(u16)count : !(u32)count;
	if (!zero && (i->sub == LOOP_ANY || zf == (i->sub == LOOP_E)))
		return loop_taken(cpu, i, count);
	count_set(cpu, i, count);
	NEXT(cpu, i);
}

HANDLER jcxz(struct cpu *cpu, const struct insn *i)
{
	u64 target;

	if (count_get(cpu, i))
		NEXT(cpu, i);
	target = direct_target(cpu, i);
	cpu->icount += i->pos;
	return leave_to(cpu, i, target);
}

static bool select_loop_kind(const struct x86_decoded *d, struct insn *i, unsigned kind)
{
	i->sub = kind;
	return select_direct(d, i, loop, loop, loop);
}

static bool select_loop(const struct x86_decoded *d, struct insn *i)
{
	return select_loop_kind(d, i, LOOP_ANY);
}

static bool select_loope(const struct x86_decoded *d, struct insn *i)
{
	return select_loop_kind(d, i, LOOP_E);
}

static bool select_loopne(const struct x86_decoded *d, struct insn *i)
{
	return select_loop_kind(d, i, LOOP_NE);
}

static bool select_jcxz(const struct x86_decoded *d, struct insn *i)
{
	return select_direct(d, i, jcxz, jcxz, jcxz);
}

/* -- CALL
 * ------------------------------------------------------------------------------------------ */

/* A call in any mode to a target that is checked here. */
static __attribute__((noinline)) enum outcome call_any(struct cpu *cpu, const struct insn *i,
						       u64 target)
{
	u64 next = insn_rip_next(cpu, i);
	enum outcome o = target_check(cpu, i, target);

	if (!o)
		o = stack_push(cpu, i, next, i->size);
	if (o)
		return o;
	cpu->icount += i->pos;
	cpu->rip = target;
	return OUTCOME_OK;
}

static enum outcome call_direct_slow(struct cpu *cpu, const struct insn *i)
{
	return call_any(cpu, i, direct_target(cpu, i));
}

/* The return address is written, or NULL: take the slow way. */
static inline u64 *call_push(struct cpu *cpu, const struct insn *i)
{
	u64 sp = cpu->gpr[REG_RSP] - 8, *p = mmu_probe_write(cpu, sp, 8);

	if (likely(p)) {
		*p = cpu->gpr[REG_PAGE] + i->off + i->len;
		cpu->gpr[REG_RSP] = sp;
		cpu->icount += i->pos;
	}
	return p;
}

HANDLER call_near(struct cpu *cpu, const struct insn *i)
{
	if (unlikely(!call_push(cpu, i)))
		return call_direct_slow(cpu, i);
	return block_go_near(cpu, i);
}

HANDLER call_far_page(struct cpu *cpu, const struct insn *i)
{
	u64 lin = cpu->gpr[REG_PAGE] + (s64)i->disp;

	if (unlikely(!canonical48(lin) || !call_push(cpu, i)))
		return call_direct_slow(cpu, i);
	return block_go64(cpu, lin);
}

HANDLER call_r64(struct cpu *cpu, const struct insn *i)
{
	u64 lin = GPR(cpu, i->dst, u64);

	if (unlikely(!canonical48(lin) || !call_push(cpu, i)))
		return call_any(cpu, i, lin);
	return block_go64(cpu, lin);
}

/* Loads an indirect branch's target of i->size bytes. */
static __attribute__((noinline)) enum outcome target_load(struct cpu *cpu, const struct insn *i,
							  u64 *target)
{
	*target = 0;
	if (i->flags & INSN_MEM)
		return insn_load(cpu, i, target, i->size);
	*target = GPR(cpu, i->dst, u64) & (i->size == 8 ? ~0ull : BIT(8 * i->size) - 1);
	return OUTCOME_OK;
}

HANDLER call_indirect(struct cpu *cpu, const struct insn *i)
{
	u64 target;
	enum outcome o = target_load(cpu, i, &target);

	return o ? o : call_any(cpu, i, target);
}

HANDLER call_m64(struct cpu *cpu, const struct insn *i)
{
	const u64 *p = ptr_read_g(cpu, i, 8);
	u64 lin;

	if (unlikely(!p))
		return call_indirect(cpu, i);
	lin = *p;
	if (unlikely(!canonical48(lin) || !call_push(cpu, i)))
		return call_any(cpu, i, lin);
	return block_go64(cpu, lin);
}

static bool select_call(const struct x86_decoded *d, struct insn *i)
{
	if (d->insn.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
		return false;
	if (d->ops[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		return select_direct(d, i, call_near, call_far_page, call_direct_slow);
	i->size = d->insn.operand_width / 8;
	i->fn = call_indirect;
	if (d->mode == CODE_64 && i->size == 8)
		i->fn = d->ops[0].type == ZYDIS_OPERAND_TYPE_MEMORY ? call_m64 : call_r64;
	if (d->ops[0].type == ZYDIS_OPERAND_TYPE_REGISTER)
		i->flags &= ~INSN_MEM; /* the hidden stack operand does not count */
	return true;
}

/* -- JMP
 * ------------------------------------------------------------------------------------------- */

HANDLER jmp_r64(struct cpu *cpu, const struct insn *i)
{
	u64 lin = GPR(cpu, i->dst, u64);

	cpu->icount += i->pos;
	if (unlikely(!canonical48(lin)))
		return leave_to(cpu, i, lin);
	return block_go64(cpu, lin);
}

HANDLER jmp_indirect(struct cpu *cpu, const struct insn *i)
{
	u64 target;
	enum outcome o = target_load(cpu, i, &target);

	if (o)
		return o;
	cpu->icount += i->pos;
	return leave_to(cpu, i, target);
}

HANDLER jmp_m64(struct cpu *cpu, const struct insn *i)
{
	const u64 *p = ptr_read_g(cpu, i, 8);
	u64 lin;

	if (unlikely(!p))
		return jmp_indirect(cpu, i);
	lin = *p;
	cpu->icount += i->pos;
	if (unlikely(!canonical48(lin)))
		return leave_to(cpu, i, lin);
	return block_go64(cpu, lin);
}

static bool select_jmp(const struct x86_decoded *d, struct insn *i)
{
	if (d->insn.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
		return false;
	if (d->ops[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		return select_direct(d, i, jmp_near, jmp_far_page, jmp_legacy);
	i->size = d->insn.operand_width / 8;
	i->fn = jmp_indirect;
	if (d->mode == CODE_64 && i->size == 8)
		i->fn = d->ops[0].type == ZYDIS_OPERAND_TYPE_MEMORY ? jmp_m64 : jmp_r64;
	return true;
}

/* -- RET
 * ------------------------------------------------------------------------------------------- */

/* imm: bytes of arguments to drop. */
HANDLER ret_any(struct cpu *cpu, const struct insn *i)
{
	u64 target = 0;
	enum outcome o = stack_load(cpu, i, cpu->gpr[REG_RSP], &target, i->size);

	if (!o)
		o = target_check(cpu, i, target);
	if (o)
		return o;
	stack_set(cpu, cpu->gpr[REG_RSP] + i->size + i->imm);
	cpu->icount += i->pos;
	cpu->rip = target;
	return OUTCOME_OK;
}

HANDLER ret64(struct cpu *cpu, const struct insn *i)
{
	u64 sp = cpu->gpr[REG_RSP], lin;
	const u64 *p = mmu_probe_read(cpu, sp, 8);

	if (unlikely(!p))
		return ret_any(cpu, i);
	lin = *p;
	if (unlikely(!canonical48(lin)))
		return ret_any(cpu, i);
	cpu->gpr[REG_RSP] = sp + 8 + i->imm;
	cpu->icount += i->pos;
	return block_go64(cpu, lin);
}

static bool select_ret(const struct x86_decoded *d, struct insn *i)
{
	if (d->insn.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
		return false;
	i->size = d->insn.operand_width / 8;
	i->imm = (u16)i->imm;
	i->fn = d->mode == CODE_64 && i->size == 8 ? ret64 : ret_any;
	return true;
}

#define J_ENTRY(c, C) {ZYDIS_MNEMONIC_J##C, select_j##c},

const struct interp_select interp_branch[] = {
	FOR_CONDS(J_ENTRY){ZYDIS_MNEMONIC_JMP, select_jmp},
	{ZYDIS_MNEMONIC_CALL, select_call},
	{ZYDIS_MNEMONIC_RET, select_ret},
	{ZYDIS_MNEMONIC_LOOP, select_loop},
	{ZYDIS_MNEMONIC_LOOPE, select_loope},
	{ZYDIS_MNEMONIC_LOOPNE, select_loopne},
	{ZYDIS_MNEMONIC_JCXZ, select_jcxz},
	{ZYDIS_MNEMONIC_JECXZ, select_jcxz},
	{ZYDIS_MNEMONIC_JRCXZ, select_jcxz},
	{0, NULL},
};

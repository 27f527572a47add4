/* SPDX-License-Identifier: BSD-2-Clause */
/* Far transfers, system calls, software interrupts, and moves to and from segment registers. */
#include "interp/system.h"

/*
 * A transfer that has not come off leaves rip at the instruction, except when a task switch has
 * passed the point where faults belong to the new task.
 */
static enum outcome transfer(struct cpu *cpu, const struct insn *i, enum outcome o, u16 task)
{
	if (likely(!o))
		return system_go(cpu, i);
	if (unlikely(cpu->seg[SEG_TR].selector != task))
		return o;
	return insn_stop(cpu, i, o);
}

static u16 current_task(const struct cpu *cpu)
{
	return cpu->seg[SEG_TR].selector;
}

/* -- far JMP, CALL, RET ------------------------------------------------------------------------ */

/* m16:16, m16:32, m16:64. */
static enum outcome load_pointer(struct cpu *cpu, const struct insn *i, u16 *selector, u64 *target)
{
	u8 m[10];
	enum outcome o = insn_load(cpu, i, m, i->size + 2);

	*target = 0;
	if (o)
		return o;
	__builtin_memcpy(target, m, i->size);
	__builtin_memcpy(selector, m + i->size, 2);
	return OUTCOME_OK;
}

/* In VMX non-root operation a switch of tasks exits; what is a task shows in the descriptor only.
 */
HANDLER op_far(struct cpu *cpu, const struct insn *i, bool call)
{
	u64 target = i->imm32[0], next = insn_rip_next(cpu, i);
	u16 selector = (u16)i->imm32[1], task = current_task(cpu);
	enum outcome o = OUTCOME_OK;

	if (i->flags & INSN_MEM)
		o = load_pointer(cpu, i, &selector, &target);
	if (o)
		return o;
	o = call ? sys_far_call(cpu, selector, target, i->size, next)
		 : sys_far_jmp(cpu, selector, target, i->size, next);
	return transfer(cpu, i, o, task);
}

HANDLER op_far_jmp(struct cpu *cpu, const struct insn *i)
{
	return op_far(cpu, i, false);
}

HANDLER op_far_call(struct cpu *cpu, const struct insn *i)
{
	return op_far(cpu, i, true);
}

HANDLER op_far_ret(struct cpu *cpu, const struct insn *i)
{
	return transfer(cpu, i, sys_far_ret(cpu, i->size, (u16)i->imm), current_task(cpu));
}

HANDLER op_iret(struct cpu *cpu, const struct insn *i)
{
	u16 task = current_task(cpu);

	return transfer(cpu, i, sys_iret(cpu, i->size, insn_rip_next(cpu, i)), task);
}

/* -- system calls ------------------------------------------------------------------------------ */

HANDLER op_syscall(struct cpu *cpu, const struct insn *i)
{
	return transfer(cpu, i, sys_syscall(cpu, insn_rip_next(cpu, i)), current_task(cpu));
}

HANDLER op_sysret(struct cpu *cpu, const struct insn *i)
{
	return transfer(cpu, i, sys_sysret(cpu, i->size), current_task(cpu));
}

HANDLER op_sysenter(struct cpu *cpu, const struct insn *i)
{
	return transfer(cpu, i, sys_sysenter(cpu), current_task(cpu));
}

HANDLER op_sysexit(struct cpu *cpu, const struct insn *i)
{
	return transfer(cpu, i, sys_sysexit(cpu, i->size), current_task(cpu));
}

/* -- software interrupts: the run loop delivers ------------------------------------------------ */

static enum outcome soft_event(struct cpu *cpu, const struct insn *i, u8 vector)
{
	cpu_fault(cpu, vector);
	cpu->fault.trap = true;
	cpu->fault.soft = true;
	cpu->fault.len = i->len;
	insn_sync_next(cpu, i);
	return OUTCOME_FAULT;
}

HANDLER op_int(struct cpu *cpu, const struct insn *i)
{
	enum outcome o = soft_event(cpu, i, (u8)i->imm);

	cpu->fault.int_n = true;
	return o;
}

HANDLER op_int3(struct cpu *cpu, const struct insn *i)
{
	return soft_event(cpu, i, VEC_BP);
}

HANDLER op_int1(struct cpu *cpu, const struct insn *i)
{
	enum outcome o = soft_event(cpu, i, VEC_DB);

	cpu->fault.icebp = true;
	return o;
}

HANDLER op_into(struct cpu *cpu, const struct insn *i)
{
	if (cpu->cc & CC_OF)
		return soft_event(cpu, i, VEC_OF);
	NEXT(cpu, i);
}

/* -- segment registers ------------------------------------------------------------------------- */

/*
 * A load of SS holds off interrupts and debug traps until after the next instruction (SDM Vol.
 * 3A 6.8.3): as with STI, the block does so by itself unless it ends here. Other segments need no
 * new block, for what a block does depends on CS alone.
 */
static enum outcome segment_loaded(struct cpu *cpu, const struct insn *i, unsigned seg)
{
	if (seg == SEG_SS && (system_last(i) || cpu->pending_db)) {
		cpu->shadow |= SHADOW_MOVSS;
		cpu_event_set(cpu, EVENT_STEP);
		return system_end(cpu, i);
	}
	return insn_next_slow(cpu, i);
}

HANDLER op_mov_to_seg(struct cpu *cpu, const struct insn *i)
{
	enum outcome o = OUTCOME_OK;
	u16 selector;

	if (i->flags & INSN_MEM)
		o = insn_load(cpu, i, &selector, 2);
	else
		selector = GPR(cpu, i->src, u16);
	if (o)
		return o;
	o = sys_segment_load(cpu, i->reg, selector);
	return o ? insn_stop(cpu, i, o) : segment_loaded(cpu, i, i->reg);
}

BODY mov_from_seg_body(struct cpu *cpu, const struct insn *i)
{
	u16 selector = cpu->seg[i->reg].selector;

	if (i->flags & INSN_MEM)
		return insn_store(cpu, i, &selector, 2);
	gpr_write(cpu, i->dst, i->size, selector);
	return OUTCOME_OK;
}

SLOW_HANDLER(op_mov_from_seg, mov_from_seg_body)

/* LDS, LES, LFS, LGS, LSS: i->sub is the segment. */
HANDLER op_load_far(struct cpu *cpu, const struct insn *i)
{
	u16 selector;
	u64 value;
	enum outcome o = load_pointer(cpu, i, &selector, &value);

	if (o)
		return o;
	o = sys_segment_load(cpu, i->sub, selector);
	if (o)
		return insn_stop(cpu, i, o);
	gpr_write(cpu, i->dst, i->size, value);
	return segment_loaded(cpu, i, SEG_DS);
}

/* -- PUSH and POP of segment registers --------------------------------------------------------- */

static u64 stack_mask(const struct cpu *cpu)
{
	if (cpu->mode == CODE_64)
		return ~0ull;
	return cpu->seg[SEG_SS].attr & SEG_ATTR_DB ? 0xffffffff : 0xffff;
}

static void stack_set(struct cpu *cpu, u64 sp, u64 mask)
{
	if (mask == 0xffff)
		GPR(cpu, 8 * REG_RSP, u16) = (u16)sp;
	else
		cpu->gpr[REG_RSP] = sp & mask;
}

/* Stack faults of the access are #SS. */
static enum outcome stack_stop(struct cpu *cpu, const struct insn *i, enum outcome o)
{
	if (o == OUTCOME_FAULT && cpu->fault.kind == FAULT_EXCEPTION && cpu->fault.vector == VEC_GP)
		cpu->fault.vector = VEC_SS;
	return insn_stop(cpu, i, o);
}

/* Only the selector is written where the operand is wider (SDM Vol. 2B PUSH); the rest stays. */
BODY push_seg_body(struct cpu *cpu, const struct insn *i)
{
	u64 mask = stack_mask(cpu), sp = (cpu->gpr[REG_RSP] - i->size) & mask, gva;
	u64 value = cpu->seg[i->reg].selector;
	enum outcome o = sys_linear(cpu, SEG_SS, sp, i->size, true, &gva);

	if (!o)
		o = mmu_write(cpu, gva, &value, i->size == 2 ? 2 : i->size, MMU_WRITE);
	if (o)
		return stack_stop(cpu, i, o);
	stack_set(cpu, sp, mask);
	return OUTCOME_OK;
}

SLOW_HANDLER(op_push_seg, push_seg_body)

HANDLER op_pop_seg(struct cpu *cpu, const struct insn *i)
{
	u64 mask = stack_mask(cpu), sp = cpu->gpr[REG_RSP] & mask, gva;
	enum outcome o = sys_linear(cpu, SEG_SS, sp, i->size, false, &gva);
	u16 selector = 0;

	if (!o)
		o = mmu_read(cpu, gva, &selector, 2, MMU_READ);
	if (o)
		return stack_stop(cpu, i, o);
	o = sys_segment_load(cpu, i->reg, selector);
	if (o)
		return insn_stop(cpu, i, o);
	stack_set(cpu, sp + i->size, mask);
	return segment_loaded(cpu, i, i->reg);
}

/* -- selection --------------------------------------------------------------------------------- */

static unsigned width(const struct x86_decoded *d)
{
	return d->insn.operand_width / 8;
}

static bool select_far(const struct x86_decoded *d, struct insn *i)
{
	const ZydisDecodedOperand *op = &d->ops[0];

	if (d->insn.meta.branch_type != ZYDIS_BRANCH_TYPE_FAR)
		return false;
	if (op->type == ZYDIS_OPERAND_TYPE_POINTER) {
		i->imm32[0] = op->ptr.offset;
		i->imm32[1] = op->ptr.segment;
		i->size = width(d);
	} else {
		i->size = op->size / 8 - 2;
	}
	i->fn = d->insn.mnemonic == ZYDIS_MNEMONIC_CALL ? op_far_call : op_far_jmp;
	return true;
}

static bool select_ret(const struct x86_decoded *d, struct insn *i)
{
	if (d->insn.meta.branch_type != ZYDIS_BRANCH_TYPE_FAR)
		return false;
	i->size = width(d);
	i->fn = op_far_ret;
	return true;
}

static bool select_iret(const struct x86_decoded *d, struct insn *i)
{
	i->size = d->insn.mnemonic == ZYDIS_MNEMONIC_IRETQ   ? 8
		  : d->insn.mnemonic == ZYDIS_MNEMONIC_IRETD ? 4
							     : 2;
	i->fn = op_iret;
	return true;
}

static bool select_system_call(const struct x86_decoded *d, struct insn *i)
{
	i->size = d->insn.attributes & ZYDIS_ATTRIB_HAS_REX && d->insn.raw.rex.W ? 8 : 4;
	switch (d->insn.mnemonic) {
	case ZYDIS_MNEMONIC_SYSCALL:
		i->fn = op_syscall;
		return true;
	case ZYDIS_MNEMONIC_SYSRET:
		i->fn = op_sysret;
		return true;
	case ZYDIS_MNEMONIC_SYSENTER:
		i->fn = op_sysenter;
		return true;
	default:
		i->fn = op_sysexit;
		return true;
	}
}

static bool select_int(const struct x86_decoded *d, struct insn *i)
{
	switch (d->insn.mnemonic) {
	case ZYDIS_MNEMONIC_INT3:
		i->fn = op_int3;
		return true;
	case ZYDIS_MNEMONIC_INT1:
		i->fn = op_int1;
		return true;
	case ZYDIS_MNEMONIC_INTO:
		i->fn = op_into;
		return d->mode != CODE_64;
	default:
		i->fn = op_int;
		return true;
	}
}

static bool is_segment(const ZydisDecodedOperand *op)
{
	return op->type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       ZydisRegisterGetClass(op->reg.value) == ZYDIS_REGCLASS_SEGMENT;
}

static bool select_mov(const struct x86_decoded *d, struct insn *i)
{
	if (is_segment(&d->ops[0])) {
		i->fn = op_mov_to_seg;
		return i->reg != SEG_CS;
	}
	if (!is_segment(&d->ops[1]))
		return false;
	i->fn = op_mov_from_seg;
	return true;
}

static bool select_push_pop(const struct x86_decoded *d, struct insn *i)
{
	if (!is_segment(&d->ops[0]))
		return false;
	i->size = width(d);
	i->fn = d->insn.mnemonic == ZYDIS_MNEMONIC_PUSH ? op_push_seg : op_pop_seg;
	return true;
}

static bool select_load_far(const struct x86_decoded *d, struct insn *i)
{
	static const struct {
		ZydisMnemonic mnemonic;
		u8 seg;
	} which[] = {{ZYDIS_MNEMONIC_LES, SEG_ES},
		     {ZYDIS_MNEMONIC_LDS, SEG_DS},
		     {ZYDIS_MNEMONIC_LSS, SEG_SS},
		     {ZYDIS_MNEMONIC_LFS, SEG_FS},
		     {ZYDIS_MNEMONIC_LGS, SEG_GS}};

	for (unsigned n = 0; n < ARRAY_SIZE(which); n++)
		if (which[n].mnemonic == d->insn.mnemonic)
			i->sub = which[n].seg;
	i->size = d->ops[0].size / 8;
	i->fn = op_load_far;
	return true;
}

const struct interp_select interp_farjump[] = {
	{ZYDIS_MNEMONIC_JMP, select_far},
	{ZYDIS_MNEMONIC_CALL, select_far},
	{ZYDIS_MNEMONIC_RET, select_ret},
	{ZYDIS_MNEMONIC_IRET, select_iret},
	{ZYDIS_MNEMONIC_IRETD, select_iret},
	{ZYDIS_MNEMONIC_IRETQ, select_iret},
	{ZYDIS_MNEMONIC_SYSCALL, select_system_call},
	{ZYDIS_MNEMONIC_SYSRET, select_system_call},
	{ZYDIS_MNEMONIC_SYSENTER, select_system_call},
	{ZYDIS_MNEMONIC_SYSEXIT, select_system_call},
	{ZYDIS_MNEMONIC_INT, select_int},
	{ZYDIS_MNEMONIC_INT3, select_int},
	{ZYDIS_MNEMONIC_INT1, select_int},
	{ZYDIS_MNEMONIC_INTO, select_int},
	{ZYDIS_MNEMONIC_MOV, select_mov},
	{ZYDIS_MNEMONIC_PUSH, select_push_pop},
	{ZYDIS_MNEMONIC_POP, select_push_pop},
	{ZYDIS_MNEMONIC_LDS, select_load_far},
	{ZYDIS_MNEMONIC_LES, select_load_far},
	{ZYDIS_MNEMONIC_LFS, select_load_far},
	{ZYDIS_MNEMONIC_LGS, select_load_far},
	{ZYDIS_MNEMONIC_LSS, select_load_far},
	{0, NULL},
};

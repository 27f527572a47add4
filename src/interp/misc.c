/* SPDX-License-Identifier: BSD-2-Clause */
/* Flag instructions, no-operations, BOUND, ARPL, SALC, PAUSE. */
#include "interp/access.h"
#include "virt/virt.h"

#define SIMPLE(op, stmt)                                                                           \
	HANDLER op(struct cpu *cpu, const struct insn *i)                                          \
	{                                                                                          \
		stmt;                                                                              \
		NEXT(cpu, i);                                                                      \
	}                                                                                          \
	static bool select_##op(const struct x86_decoded *d, struct insn *i)                       \
	{                                                                                          \
		i->fn = op;                                                                        \
		return true;                                                                       \
	}

#define AL(cpu) GPR(cpu, 8 * REG_RAX, u8)
#define AH(cpu) GPR(cpu, 8 * REG_RAX + 1, u8)

SIMPLE(clc, cpu->cc &= ~CC_CF)
SIMPLE(stc, cpu->cc |= CC_CF)
SIMPLE(cmc, cpu->cc ^= CC_CF)
SIMPLE(cld, cpu->rflags_sys &= ~RFLAGS_DF)
SIMPLE(std, cpu->rflags_sys |= RFLAGS_DF)
SIMPLE(lahf, AH(cpu) = (cpu->cc >> 8 & 0xd5) | 2)
SIMPLE(sahf, cpu->cc = (cpu->cc & CC_OF) | (AH(cpu) & 0xd5) << 8)
SIMPLE(salc, AL(cpu) = cpu->cc & CC_CF ? 0xff : 0)
SIMPLE(nop, (void)0)

/* -- PAUSE: a vmexit for those who want it
 * --------------------------------------------------------- */

BODY pause_icpt(struct cpu *cpu, const struct insn *i)
{
	return insn_stop(cpu, i, virt_icpt_simple(cpu, ICPT_PAUSE, i->len));
}

/* Spinning guests give way now and then; the host has fewer CPUs than it has vCPUs, often. */
HANDLER pause_op(struct cpu *cpu, const struct insn *i)
{
	if (unlikely(cpu->intercepts & ICPT_PAUSE))
		return insn_slow(cpu, i, pause_icpt);
	__builtin_ia32_pause();
	NEXT(cpu, i);
}

static bool select_pause(const struct x86_decoded *d, struct insn *i)
{
	i->fn = pause_op;
	return true;
}

/* -- BOUND, ARPL
 * ----------------------------------------------------------------------------------- */

BODY bound_body(struct cpu *cpu, const struct insn *i)
{
	unsigned n = 8 * i->size;
	u64 pair[2] = {0};
	s64 v, low, high;
	enum outcome o = insn_load(cpu, i, pair, 2 * i->size);

	if (o)
		return o;
	v = sext(GPR(cpu, i->dst, u64), n);
	low = sext(pair[0], n);
	high = sext(pair[0] >> n, n);
	if (v < low || v > high)
		return insn_stop(cpu, i, cpu_fault(cpu, VEC_BR));
	return OUTCOME_OK;
}

SLOW_HANDLER(bound, bound_body)

static bool select_bound(const struct x86_decoded *d, struct insn *i)
{
	i->fn = bound;
	return true;
}

/* Raises the RPL of the destination to the source's; ZF says whether. */
static u16 arpl_apply(u16 d, u16 s, bool *raised)
{
	*raised = (d & 3) < (s & 3);
	return *raised ? (d & ~3) | (s & 3) : d;
}

BODY arpl_body(struct cpu *cpu, const struct insn *i)
{
	u16 d = GPR(cpu, i->dst, u16), s = GPR(cpu, i->src, u16);
	bool raised;
	u64 gva;
	enum outcome o = OUTCOME_OK;

	if (!cpu_protected(cpu) || cpu_v86(cpu))
		return insn_stop(cpu, i, cpu_fault(cpu, VEC_UD));
	if (i->flags & INSN_MEM)
		o = insn_load_rmw(cpu, i, &d, 2, &gva);
	if (o)
		return o;
	d = arpl_apply(d, s, &raised);
	if (i->flags & INSN_MEM)
		o = insn_store_at(cpu, i, gva, &d, 2);
	else
		GPR(cpu, i->dst, u16) = d;
	if (!o)
		cpu->cc = (cpu->cc & ~CC_ZF) | (raised ? CC_ZF : 0);
	return o;
}

SLOW_HANDLER(arpl, arpl_body)

static bool select_arpl(const struct x86_decoded *d, struct insn *i)
{
	i->fn = arpl;
	return true;
}

const struct interp_select interp_misc[] = {
	{ZYDIS_MNEMONIC_CLC, select_clc},	  {ZYDIS_MNEMONIC_STC, select_stc},
	{ZYDIS_MNEMONIC_CMC, select_cmc},	  {ZYDIS_MNEMONIC_CLD, select_cld},
	{ZYDIS_MNEMONIC_STD, select_std},	  {ZYDIS_MNEMONIC_LAHF, select_lahf},
	{ZYDIS_MNEMONIC_SAHF, select_sahf},	  {ZYDIS_MNEMONIC_SALC, select_salc},
	{ZYDIS_MNEMONIC_NOP, select_nop},	  {ZYDIS_MNEMONIC_ENDBR32, select_nop},
	{ZYDIS_MNEMONIC_ENDBR64, select_nop},	  {ZYDIS_MNEMONIC_PREFETCH, select_nop},
	{ZYDIS_MNEMONIC_PREFETCHW, select_nop},	  {ZYDIS_MNEMONIC_PREFETCHWT1, select_nop},
	{ZYDIS_MNEMONIC_PREFETCHNTA, select_nop}, {ZYDIS_MNEMONIC_PREFETCHT0, select_nop},
	{ZYDIS_MNEMONIC_PREFETCHT1, select_nop},  {ZYDIS_MNEMONIC_PREFETCHT2, select_nop},
	{ZYDIS_MNEMONIC_PAUSE, select_pause},	  {ZYDIS_MNEMONIC_BOUND, select_bound},
	{ZYDIS_MNEMONIC_ARPL, select_arpl},	  {0, NULL},
};

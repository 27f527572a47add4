/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rules that the system instructions share: faults, privilege, intercepts, and how control goes on.
 *
 * A handler that only computes continues with NEXT; one that may have changed the mode, the address
 * space or RIP ends with system_end() or system_go(), which let the engine look for the next block.
 *
 * Private to interp/.
 */
#ifndef INTERP_SYSTEM_H
#define INTERP_SYSTEM_H

#include "cpu/features.h"
#include "interp/access.h"
#include "interp/block.h"
#include "interp/insn_info.h"
#include "sys/sys.h"
#include "virt/virt.h"

static inline enum outcome system_fault(struct cpu *cpu, const struct insn *i, u8 vector)
{
	return insn_stop(cpu, i, cpu_fault(cpu, vector));
}

static inline enum outcome system_ud(struct cpu *cpu, const struct insn *i)
{
	return system_fault(cpu, i, VEC_UD);
}

static inline enum outcome system_gp0(struct cpu *cpu, const struct insn *i)
{
	return insn_stop(cpu, i, cpu_fault_code(cpu, VEC_GP, 0));
}

/* L1 wants to be asked about any of these. */
static inline bool system_icpt(const struct cpu *cpu, u64 icpt)
{
	return unlikely(cpu->intercepts & icpt);
}

static inline bool system_real_or_v86(const struct cpu *cpu)
{
	return !cpu_protected(cpu) || cpu_v86(cpu);
}

static inline unsigned system_iopl(const struct cpu *cpu)
{
	return cpu->rflags_sys >> 12 & 3;
}

/* The instruction has retired; the block is left, and the engine goes on at the next instruction.
 */
static inline enum outcome system_end(struct cpu *cpu, const struct insn *i)
{
	cpu->icount += i->pos;
	insn_sync_next(cpu, i);
	return OUTCOME_OK;
}

/* The same when the instruction itself has set rip. */
static inline enum outcome system_go(struct cpu *cpu, const struct insn *i)
{
	cpu->icount += i->pos;
	if (likely(cpu->mode == CODE_64))
		return block_go64(cpu, cpu->rip);
	return OUTCOME_OK;
}

/* o is the outcome of something that has changed nothing unless it is OUTCOME_OK; then the end. */
static inline enum outcome system_end_if(struct cpu *cpu, const struct insn *i, enum outcome o)
{
	return likely(!o) ? system_end(cpu, i) : insn_stop(cpu, i, o);
}

/* Is i the last of its block? Then what holds "until after the next instruction" needs the run
 * loop. */
static inline bool system_last(const struct insn *i)
{
	return !i[1].len;
}

/* Size of the operand of MOV to and from CRs and DRs. */
static inline unsigned system_wide(const struct cpu *cpu)
{
	return cpu->mode == CODE_64 ? 8 : 4;
}

/* EDX:EAX. */
static inline u64 system_edx_eax(const struct cpu *cpu)
{
	return (u32)cpu->gpr[REG_RAX] | cpu->gpr[REG_RDX] << 32;
}

static inline void system_set_edx_eax(struct cpu *cpu, u64 v)
{
	cpu->gpr[REG_RAX] = (u32)v;
	cpu->gpr[REG_RDX] = v >> 32;
}

static inline void system_set_zf(struct cpu *cpu, bool zf)
{
	cpu->cc = (u16)(zf ? cpu->cc | CC_ZF : cpu->cc & ~CC_ZF);
}

#endif

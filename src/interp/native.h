/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The native executor: vector, x87 and newer integer instructions run as themselves on the host.
 *
 * A stub is a few bytes of host code that load the guest's operands into host registers, execute
 * the one instruction, and store the results. Its registers are normalised: explicit operand k of
 * the instruction always uses the same host register, and the guest's register numbers are read
 * from struct insn while it runs. So one stub serves all instructions of one form, their number is
 * bounded by the instruction set, and they are never freed. Stubs have no state; the process shares
 * them.
 *
 * Private to interp/native*.c.
 */
#ifndef INTERP_NATIVE_H
#define INTERP_NATIVE_H

#include <assert.h>
#include <string.h>

#include "interp/access.h"

/* `mem`: host memory of the instruction's memory operand, all of it accessible; or NULL. */
typedef void (*native_fn)(struct cpu *cpu, const struct insn *i, void *mem);

/*
 * insn.sub: what must be enabled for the instruction, and which state it changes beyond its
 * operands.
 */
enum native_class {
	NATIVE_INT,	/* nothing: POPCNT, CRC32, MOVBE, ... */
	NATIVE_BMI,	/* VEX without vector state: protected mode only */
	NATIVE_SSE,	/* legacy encoding, XMM */
	NATIVE_AVX,	/* VEX encoding, XMM and YMM */
	NATIVE_MMX,	/* MMX: turns the x87 state into MMX state */
	NATIVE_MMX_SSE, /* as NATIVE_MMX, and needs CR4.OSFXSR (conversions to and from XMM) */
	NATIVE_X87,
};

/*
 * insn.pad[]: the fourth register operand; the mask of an alignment check; whether only Intel's CPUs make
 * that check (SHA); x87: the opcode, two bytes.
 */
#define NATIVE_OP3	   0
#define NATIVE_ALIGN	   1
#define NATIVE_ALIGN_INTEL 2
#define NATIVE_FOP	   2

#define MXCSR_FLAGS 0x003fu
#define MXCSR_DAZ   0x0040u
#define MXCSR_MASKS 0x1f80u
#define MXCSR_FTZ   0x8000u
#define MXCSR_VALID 0xffffu

#define FPU_FOP(f)    (*(u16 *)&(f)->legacy[6])
#define FPU_FIP(f)    (*(u64 *)&(f)->legacy[8])
#define FPU_FDP(f)    (*(u64 *)&(f)->legacy[16])
#define FPU_ST(f, n)  (&(f)->legacy[32 + 16 * (n)])
#define FPU_TOP(fsw)  ((fsw) >> 11 & 7)
#define FSW_TOP	      0x3800u
#define FSW_ES	      0x0080u
#define FSW_B	      0x8000u
#define FSW_FLAGS     0x003fu
#define FSW_BUSY_BITS (FSW_ES | FSW_B)

/* -- native_pool.c: executable memory ---------------------------------------------------------- */

/*
 * The address of `len` bytes of code equal to `code`, added to the pool when new. NULL when
 * executable memory cannot be had. Any thread.
 */
native_fn native_pool_get(const u8 *code, unsigned len);

/* -- native_emit.c: making stubs --------------------------------------------------------------- */

/*
 * The stub for an integer or vector form; fills the register operands of *i. NULL: no stub for this
 * form.
 */
native_fn native_emit_vector(const struct x86_decoded *d, struct insn *i);
/* The stub for an x87 instruction. */
native_fn native_emit_x87(const struct x86_decoded *d);

/* -- native.c ---------------------------------------------------------------------------------- */

/* Whether the instruction may run now: OUTCOME_OK, or #UD, #NM, #MF with cpu->rip exact. */
enum outcome native_check(struct cpu *cpu, const struct insn *i);

static inline enum outcome native_fault(struct cpu *cpu, const struct insn *i, u8 vector)
{
	return insn_stop(cpu, i, cpu_fault(cpu, vector));
}

static inline enum outcome native_fault_gp(struct cpu *cpu, const struct insn *i)
{
	return insn_stop(cpu, i, cpu_fault_code(cpu, VEC_GP, 0));
}

/* An x87 exception waits to be delivered (SDM Vol. 1 8.6). */
static inline bool native_x87_pending(const struct fpu *f)
{
	return FPU_FSW(f) & ~FPU_FCW(f) & FSW_FLAGS;
}

/* -- the themes: each sets i->fn, or returns false -----------------------------------------------
 */
bool native_select_x87(const struct x86_decoded *d, struct insn *i);  /* native_x87.c */
bool native_select_lane(const struct x86_decoded *d, struct insn *i); /* native_lane.c */
bool native_select_misc(const struct x86_decoded *d, struct insn *i); /* native_misc.c */

/* native_feature.c: whether the host can execute it. */
bool native_host_has(const struct x86_decoded *d);

/* Turns the x87 state into MMX state: TOP 0, all registers valid (SDM Vol. 1 9.5.1). */
void native_mmx_enter(struct fpu *f);

static inline u32 native_mxcsr(void)
{
	return __builtin_ia32_stmxcsr();
}

static inline void native_mxcsr_load(u32 v)
{
	__builtin_ia32_ldmxcsr(v);
}

#endif

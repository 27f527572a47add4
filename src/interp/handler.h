/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For those who write handlers: how an instruction finds its handler, and the idioms that all
 * share. Private to interp/.
 */
#ifndef INTERP_HANDLER_H
#define INTERP_HANDLER_H

#include "x86/decode.h"
#include "x86/insn.h"
#include "mmu/mmu.h"

/*
 * Chooses the handler of a decoded instruction: fills *i (operands have been filled by the generic
 * part) and sets i->fn. false: this theme has no handler for this form; the native executor is
 * asked next, and after it the instruction raises #UD.
 */
typedef bool (*interp_select_fn)(const struct x86_decoded *d, struct insn *i);

struct interp_select {
	ZydisMnemonic mnemonic;
	interp_select_fn select;
};

/* A theme's table, ended by { 0, NULL }. Listed in select.c. */
extern const struct interp_select interp_alu[], interp_mov[], interp_shift[], interp_muldiv[],
	interp_branch[], interp_string[], interp_stack[], interp_bit[], interp_xchg[],
	interp_misc[];
/* System themes. */
extern const struct interp_select interp_system[], interp_farjump[], interp_io[], interp_control[],
	interp_xsave[], interp_vmx[];

/*
 * The native executor: a form that is neither privileged nor a control transfer runs as itself on
 * the host, from a stub made for it, on operands copied in and out. false: cannot.
 */
bool interp_native_select(const struct x86_decoded *d, struct insn *i);

/* Gives the thread its own MXCSR back, when the native executor has replaced it. */
void interp_native_leave_slow(struct cpu *cpu);

static inline void interp_native_leave(struct cpu *cpu)
{
	if (unlikely(cpu->mxcsr_live))
		interp_native_leave_slow(cpu);
}

/* Generic part of selection: operand sizes, registers, memory operand, immediate. */
void interp_fill(const struct x86_decoded *d, struct insn *i);

/* -- idioms -------------------------------------------------------------------------------------
 */

/*
 * Continue with the next instruction of the block. A handler ends in a tail call: no local variable
 * whose address has been taken may be in scope, so what needs one lives in a function of its own
 * (insn_slow).
 */
#define NEXT(cpu, i)                                                                                   \
	do {                                                                                           \
		const struct insn *next_ = (i) + 1;                                                    \
		/* keeps the compiler from fetching fn before it has moved on: one instruction less */ \
		__asm__("" : "+r"(next_));                                                             \
		return insn_jump((cpu), next_);                                                        \
	} while (0)

#if defined(__SANITIZE_ADDRESS__) || !defined(__OPTIMIZE__)
/* Builds without tail calls: back to the loop in insn_run() for each instruction. */
#define INSN_TRAMPOLINE 1
#define OUTCOME_JUMP	((enum outcome)0x100)

static inline enum outcome insn_jump(struct cpu *cpu, const struct insn *i)
{
	cpu->insn_next = i;
	return OUTCOME_JUMP;
}

static inline enum outcome insn_run(struct cpu *cpu, const struct insn *i)
{
	enum outcome o = i->fn(cpu, i);

	while (o == OUTCOME_JUMP)
		o = cpu->insn_next->fn(cpu, cpu->insn_next);
	return o;
}
#else
/* Continues at *i, in tail position. */
static inline enum outcome insn_jump(struct cpu *cpu, const struct insn *i)
{
	return i->fn(cpu, i);
}

/* Runs from *i until something returns an outcome. */
static inline enum outcome insn_run(struct cpu *cpu, const struct insn *i)
{
	return i->fn(cpu, i);
}
#endif

/* The instruction ends its block: rip moves on, and the run loop looks again at the world. */
#define END_BLOCK(cpu, i)                                                                          \
	do {                                                                                       \
		insn_sync_next((cpu), (i));                                                        \
		(cpu)->icount += (i)->pos;                                                         \
		return OUTCOME_RESYNC;                                                             \
	} while (0)

/* Linear addresses of the instruction and of the one after it; rip is that minus the CS base. */
static inline u64 insn_rip(const struct cpu *cpu, const struct insn *i)
{
	u64 lin = cpu->gpr[REG_PAGE] + i->off;

	return cpu->mode == CODE_64 ? lin : (u32)(lin - cpu->seg[SEG_CS].base);
}

static inline u64 insn_rip_next(const struct cpu *cpu, const struct insn *i)
{
	u64 lin = cpu->gpr[REG_PAGE] + i->off + i->len;

	if (cpu->mode == CODE_64)
		return lin;
	lin -= cpu->seg[SEG_CS].base;
	return cpu->mode == CODE_16 ? (u32)lin : (u32)lin;
}

/* Makes cpu->rip exact: at this instruction (faults, exits, restarts) or after it. */
static inline void insn_sync(struct cpu *cpu, const struct insn *i)
{
	cpu->rip = insn_rip(cpu, i);
}

static inline void insn_sync_next(struct cpu *cpu, const struct insn *i)
{
	cpu->rip = insn_rip_next(cpu, i);
}

/* For a slow path's outcome: rip is that of the instruction. */
static inline enum outcome insn_stop(struct cpu *cpu, const struct insn *i, enum outcome o)
{
	insn_sync(cpu, i);
	return o;
}

#define GPR(cpu, off, type) (*(type *)((u8 *)(cpu)->gpr + (off)))

/* Writes a general register of `size` bytes: 4-byte writes clear the upper half. */
static inline void gpr_write(struct cpu *cpu, u8 off, unsigned size, u64 v)
{
	switch (size) {
	case 1:
		GPR(cpu, off, u8) = (u8)v;
		break;
	case 2:
		GPR(cpu, off, u16) = (u16)v;
		break;
	case 4:
		GPR(cpu, off, u64) = (u32)v;
		break;
	default:
		GPR(cpu, off, u64) = v;
	}
}

/* Effective address of the memory operand, before segmentation. */
static inline u64 insn_ea(const struct cpu *cpu, const struct insn *i)
{
	u64 ea = GPR(cpu, i->base, u64) + (GPR(cpu, i->index, u64) << i->scale) + (s64)i->disp;

	if (unlikely(!(i->flags & INSN_ADDR64)))
		ea = i->flags & INSN_ADDR16 ? (u16)ea : (u32)ea;
	return ea;
}

/*
 * Linear address of the memory operand: with segment base and checks. The slow part is in
 * interp/memory.c. false: cpu->fault is set.
 */
enum outcome insn_linear_slow(struct cpu *cpu, const struct insn *i, unsigned size, bool write,
			      u64 *gva);

static inline enum outcome insn_linear(struct cpu *cpu, const struct insn *i, unsigned size,
				       bool write, u64 *gva)
{
	if (likely((i->flags & (INSN_ADDR64 | INSN_SEG_BASE)) == INSN_ADDR64)) {
		*gva = insn_ea(cpu, i);
		return OUTCOME_OK;
	}
	return insn_linear_slow(cpu, i, size, write, gva);
}

/* As insn_stop, for an access of the memory operand: #GP of a stack address becomes #SS. */
enum outcome insn_stop_access(struct cpu *cpu, const struct insn *i, enum outcome o);

/* What to return after an instruction that has gone a slow way: data breakpoints and other events.
 */
enum outcome insn_next_slow(struct cpu *cpu, const struct insn *i);
/* The same when it has stored something: it may have changed the code that follows. */
enum outcome insn_next_stored(struct cpu *cpu, const struct insn *i);

/*
 * Runs `body`, a handler that does its work and returns instead of continuing, and continues for
 * it. On anything but OUTCOME_OK the body has made rip exact (insn_stop).
 */
enum outcome insn_slow(struct cpu *cpu, const struct insn *i, insn_fn body);
/* The same for bodies that store nothing. */
enum outcome insn_slow_load(struct cpu *cpu, const struct insn *i, insn_fn body);

/*
 * Accesses of the memory operand, complete with segmentation, rip on failure and stack faults. rmw:
 * the load of a read-modify-write, checked for writing; *gva for the store (insn_store_at).
 */
enum outcome insn_load(struct cpu *cpu, const struct insn *i, void *dst, unsigned size);
enum outcome insn_store(struct cpu *cpu, const struct insn *i, const void *src, unsigned size);
enum outcome insn_load_rmw(struct cpu *cpu, const struct insn *i, void *dst, unsigned size,
			   u64 *gva);
enum outcome insn_load_at(struct cpu *cpu, const struct insn *i, u64 gva, void *dst, unsigned size);
enum outcome insn_store_at(struct cpu *cpu, const struct insn *i, u64 gva, const void *src,
			   unsigned size);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The native executor: which forms it takes, and the handlers that run their stubs.
 *
 * A handler checks that the instruction may run now (native_check), finds host memory for its
 * operand, and calls the stub. Only then does anything change, so that every fault finds the state
 * as it was.
 */
#include "interp/native.h"

/* -- availability ---------------------------------------------------------------------------------
 */

/* SDM Vol. 2A 2.4, exception types 1 to 8: legacy SSE. */
static u8 check_sse(const struct cpu *cpu)
{
	if (cpu->cr0 & CR0_EM || !(cpu->cr4 & CR4_OSFXSR))
		return VEC_UD;
	return cpu->cr0 & CR0_TS ? VEC_NM : 0;
}

static bool vex_recognised(const struct cpu *cpu)
{
	return cpu_protected(cpu) && !cpu_v86(cpu);
}

static u8 check_avx(const struct cpu *cpu)
{
	const u64 need = XCR0_SSE | XCR0_AVX;

	if (!vex_recognised(cpu) || !(cpu->cr4 & CR4_OSXSAVE) || (cpu->xcr0 & need) != need)
		return VEC_UD;
	return cpu->cr0 & CR0_TS ? VEC_NM : 0;
}

/*
 * With CR0.NE clear the error goes to an external interrupt controller that we do not wire up; as
 * with IGNNE# asserted, execution continues (SDM Vol. 1 8.7.2).
 */
static bool x87_must_fault(const struct cpu *cpu)
{
	return cpu->cr0 & CR0_NE && native_x87_pending(&cpu->fpu);
}

/* SDM Vol. 3A 12.1 and 2.5: MMX is #UD under emulation, x87 is #NM. */
static u8 check_mmx(const struct cpu *cpu, bool sse)
{
	if (cpu->cr0 & CR0_EM || (sse && !(cpu->cr4 & CR4_OSFXSR)))
		return VEC_UD;
	if (cpu->cr0 & CR0_TS)
		return VEC_NM;
	return x87_must_fault(cpu) ? VEC_MF : 0;
}

static u8 check_x87(const struct cpu *cpu)
{
	if (cpu->cr0 & (CR0_EM | CR0_TS))
		return VEC_NM;
	return x87_must_fault(cpu) ? VEC_MF : 0;
}

static u8 check_class(const struct cpu *cpu, enum native_class class)
{
	switch (class) {
	case NATIVE_INT:
		return 0;
	case NATIVE_BMI:
		return vex_recognised(cpu) ? 0 : VEC_UD;
	case NATIVE_SSE:
		return check_sse(cpu);
	case NATIVE_AVX:
		return check_avx(cpu);
	case NATIVE_MMX:
	case NATIVE_MMX_SSE:
		return check_mmx(cpu, class == NATIVE_MMX_SSE);
	case NATIVE_X87:
		return check_x87(cpu);
	}
	return VEC_UD;
}

enum outcome native_check(struct cpu *cpu, const struct insn *i)
{
	u8 vector = check_class(cpu, i->sub);

	return likely(!vector) ? OUTCOME_OK : native_fault(cpu, i, vector);
}

static inline enum outcome check_fast(struct cpu *cpu, const struct insn *i)
{
	if (likely(i->sub == NATIVE_SSE && !(cpu->cr0 & (CR0_EM | CR0_TS)) &&
		   cpu->cr4 & CR4_OSFXSR))
		return OUTCOME_OK;
	return native_check(cpu, i);
}

/* -- running a stub -------------------------------------------------------------------------------
 */

/* How a stub is run, beyond calling it. */
enum how {
	HOW_PLAIN,
	HOW_FP, /* reads and writes MXCSR */
	HOW_MMX,
	HOW_MMX_FP,
};

static inline void call_stub(struct cpu *cpu, const struct insn *i, void *mem)
{
	((native_fn)i->aux)(cpu, i, mem);
}

/* `mxcsr` masks all exceptions, so it is not 0. */
static __attribute__((noinline)) void mxcsr_enter(struct cpu *cpu, u32 mxcsr)
{
	if (!cpu->mxcsr_live)
		cpu->mxcsr_host = native_mxcsr();
	native_mxcsr_load(mxcsr);
}

void interp_native_leave_slow(struct cpu *cpu)
{
	native_mxcsr_load(cpu->mxcsr_host);
	cpu->mxcsr_live = 0;
}

/* Runs the stub with `mxcsr` in force; returns what it leaves. What was in force before comes back. */
static u32 call_with_mxcsr(struct cpu *cpu, const struct insn *i, void *mem, u32 mxcsr)
{
	u32 host = native_mxcsr(), after;

	if (mxcsr != host)
		native_mxcsr_load(mxcsr);
	call_stub(cpu, i, mem);
	after = native_mxcsr();
	if (after != host)
		native_mxcsr_load(host);
	return after;
}

/* What a stub can change in struct cpu. */
struct saved {
	struct fpu fpu;
	u64 gpr[16];
	u16 cc;
};

static void state_save(struct saved *s, const struct cpu *cpu)
{
	s->fpu = cpu->fpu;
	memcpy(s->gpr, cpu->gpr, sizeof(s->gpr));
	s->cc = cpu->cc;
}

static void state_restore(const struct saved *s, struct cpu *cpu)
{
	cpu->fpu = s->fpu;
	memcpy(cpu->gpr, s->gpr, sizeof(s->gpr));
	cpu->cc = s->cc;
}

#define SIMD_PRE 0x07u /* invalid, denormal, zero divide: found before computing */
#define SIMD_UE	 0x10u

/*
 * The exceptions that the instruction raises, found by running it masked (SDM Vol. 1 11.5.2). An
 * unmasked underflow needs a tiny result only, not an inexact one too: flush-to-zero tells tiny
 * results.
 */
static u32 simd_exceptions(struct cpu *cpu, const struct insn *i, void *mem, u32 mxcsr)
{
	u32 quiet = (mxcsr & ~MXCSR_FLAGS) | MXCSR_MASKS, flags;
	u32 unmasked = ~(mxcsr >> 7) & MXCSR_FLAGS;
	struct saved saved;

	state_save(&saved, cpu);
	/* Flush-to-zero counts only while underflow is masked (SDM Vol. 1 10.2.3.3). */
	if (unmasked & SIMD_UE)
		quiet &= ~MXCSR_FTZ;
	flags = call_with_mxcsr(cpu, i, mem, quiet) & MXCSR_FLAGS;
	state_restore(&saved, cpu);
	if (unmasked & SIMD_UE) {
		flags |= call_with_mxcsr(cpu, i, mem, quiet | MXCSR_FTZ) & SIMD_UE;
		state_restore(&saved, cpu);
	}
	/* No result is computed when an unmasked exception precedes it (SDM Vol. 1 4.9.2). */
	return flags & unmasked & SIMD_PRE ? flags & SIMD_PRE : flags;
}

/*
 * Some SIMD exception is unmasked. `scratch` stands in for the memory operand while trying (the
 * stub must not write to the guest's memory before it is known to complete).
 */
static enum outcome call_unmasked(struct cpu *cpu, const struct insn *i, void *mem, u32 mxcsr)
{
	u8 scratch[64];
	u32 flags;

	if (mem)
		memcpy(scratch, mem, i->mem_size);
	flags = simd_exceptions(cpu, i, scratch, mxcsr);
	if (flags & ~(mxcsr >> 7) & MXCSR_FLAGS) {
		FPU_MXCSR(&cpu->fpu) |= flags;
		return native_fault(cpu, i, cpu->cr4 & CR4_OSXMMEXCPT ? VEC_XM : VEC_UD);
	}
	call_with_mxcsr(cpu, i, mem, (mxcsr & ~MXCSR_FLAGS) | MXCSR_MASKS);
	FPU_MXCSR(&cpu->fpu) |= flags;
	return OUTCOME_OK;
}

static inline enum outcome call_fp(struct cpu *cpu, const struct insn *i, void *mem)
{
	u32 mxcsr = FPU_MXCSR(&cpu->fpu) & MXCSR_VALID;

	if (unlikely((mxcsr & MXCSR_MASKS) != MXCSR_MASKS))
		return call_unmasked(cpu, i, mem, mxcsr);
	/* The guest's value stays in the register, since another such instruction often follows. */
	if (unlikely(mxcsr != cpu->mxcsr_live))
		mxcsr_enter(cpu, mxcsr);
	call_stub(cpu, i, mem);
	cpu->mxcsr_live = native_mxcsr();
	FPU_MXCSR(&cpu->fpu) = cpu->mxcsr_live;
	return OUTCOME_OK;
}

ALWAYS_INLINE enum outcome call(struct cpu *cpu, const struct insn *i, void *mem, enum how how)
{
	switch (how) {
	case HOW_FP:
		return call_fp(cpu, i, mem);
	case HOW_MMX_FP:
		native_mmx_enter(&cpu->fpu); /* whether or not an exception follows */
		return call_fp(cpu, i, mem);
	case HOW_MMX:
		native_mmx_enter(&cpu->fpu);
		break;
	case HOW_PLAIN:
		break;
	}
	call_stub(cpu, i, mem);
	return OUTCOME_OK;
}

/* -- handlers -------------------------------------------------------------------------------------
 */

enum access { ACCESS_NONE, ACCESS_READ, ACCESS_WRITE };

/* The operand has no plain host memory in one page: work on a copy. */
static enum outcome run_copied(struct cpu *cpu, const struct insn *i, u64 gva, bool write,
			       enum how how)
{
	u8 copy[64] __attribute__((aligned(32)));
	enum outcome o;

	if (write)
		o = mmu_check(cpu, gva, i->mem_size, MMU_WRITE);
	else
		o = mmu_read(cpu, gva, copy, i->mem_size, MMU_READ);
	if (o != OUTCOME_OK)
		return insn_stop_access(cpu, i, o);
	o = call(cpu, i, copy, how);
	if (o != OUTCOME_OK || !write)
		return o;
	o = mmu_write(cpu, gva, copy, i->mem_size, MMU_WRITE);
	return o == OUTCOME_OK ? o : insn_stop_access(cpu, i, o);
}

static bool misaligned(const struct cpu *cpu, const struct insn *i, u64 gva)
{
	return gva & i->pad[NATIVE_ALIGN] && !(i->pad[NATIVE_ALIGN_INTEL] && cpu->vendor_amd);
}

/* The complete way to a memory operand. */
static enum outcome run_slow(struct cpu *cpu, const struct insn *i, bool write, enum how how)
{
	enum outcome o;
	void *p;
	u64 gva;

	o = insn_linear(cpu, i, i->mem_size, write, &gva);
	if (o != OUTCOME_OK)
		return insn_stop(cpu, i, o);
	if (misaligned(cpu, i, gva))
		return native_fault_gp(cpu, i);
	o = mmu_ptr(cpu, gva, i->mem_size, write ? MMU_WRITE : MMU_READ, &p);
	if (o != OUTCOME_OK)
		return insn_stop_access(cpu, i, o);
	return p ? call(cpu, i, p, how) : run_copied(cpu, i, gva, write, how);
}

/* The fast way: NULL sends the handler to the slow one. */
ALWAYS_INLINE void *probe(struct cpu *cpu, const struct insn *i, bool write)
{
	u64 gva;

	if (unlikely(insn_linear(cpu, i, i->mem_size, write, &gva) != OUTCOME_OK ||
		     gva & i->pad[NATIVE_ALIGN]))
		return NULL;
	return write ? mmu_probe_write(cpu, gva, i->mem_size)
		     : mmu_probe_read(cpu, gva, i->mem_size);
}

/* Defines handler `name`_reg: no memory operand. */
#define REG_HANDLER(name, how)                                                                     \
	static enum outcome name##_reg(struct cpu *cpu, const struct insn *i)                      \
	{                                                                                          \
		enum outcome o = check_fast(cpu, i);                                               \
                                                                                                   \
		if (likely(o == OUTCOME_OK))                                                       \
			o = call(cpu, i, NULL, how);                                               \
		if (unlikely(o != OUTCOME_OK))                                                     \
			return o;                                                                  \
		NEXT(cpu, i);                                                                      \
	}

/* Defines a handler that reads or writes memory. */
#define MEM_HANDLER(name, write, how)                                                              \
	BODY name##_body(struct cpu *cpu, const struct insn *i)                                    \
	{                                                                                          \
		return run_slow(cpu, i, write, how);                                               \
	}                                                                                          \
	static enum outcome name(struct cpu *cpu, const struct insn *i)                            \
	{                                                                                          \
		enum outcome o = check_fast(cpu, i);                                               \
		void *p;                                                                           \
                                                                                                   \
		if (unlikely(o != OUTCOME_OK))                                                     \
			return o;                                                                  \
		p = probe(cpu, i, write);                                                          \
		if (unlikely(!p))                                                                  \
			return insn_slow(cpu, i, name##_body);                                     \
		o = call(cpu, i, p, how);                                                          \
		if (unlikely(o != OUTCOME_OK))                                                     \
			return o;                                                                  \
		NEXT(cpu, i);                                                                      \
	}

#define HANDLERS(name, how)                                                                        \
	REG_HANDLER(name, how)                                                                     \
	MEM_HANDLER(name##_read, false, how)                                                       \
	MEM_HANDLER(name##_write, true, how)

HANDLERS(plain, HOW_PLAIN)
HANDLERS(fp, HOW_FP)
HANDLERS(mmx, HOW_MMX)
REG_HANDLER(mmx_fp, HOW_MMX_FP)
MEM_HANDLER(mmx_fp_read, false, HOW_MMX_FP)

static const insn_fn handlers[4][3] = {
	[HOW_PLAIN] = {plain_reg, plain_read, plain_write},
	[HOW_FP] = {fp_reg, fp_read, fp_write},
	[HOW_MMX] = {mmx_reg, mmx_read, mmx_write},
	[HOW_MMX_FP] = {mmx_fp_reg, mmx_fp_read, NULL},
};

/* -- selection ------------------------------------------------------------------------------------
 */

static bool has_reg_class(const struct x86_decoded *d, ZydisRegisterClass class)
{
	for (unsigned n = 0; n < d->insn.operand_count; n++)
		if (d->ops[n].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    ZydisRegisterGetClass(d->ops[n].reg.value) == class)
			return true;
	return false;
}

static bool is_mmx_conversion(ZydisMnemonic m)
{
	return m == ZYDIS_MNEMONIC_CVTPI2PS || m == ZYDIS_MNEMONIC_CVTPI2PD ||
	       m == ZYDIS_MNEMONIC_CVTPS2PI || m == ZYDIS_MNEMONIC_CVTTPS2PI ||
	       m == ZYDIS_MNEMONIC_CVTPD2PI || m == ZYDIS_MNEMONIC_CVTTPD2PI;
}

static enum native_class class_of(const struct x86_decoded *d)
{
	bool vector = has_reg_class(d, ZYDIS_REGCLASS_XMM) || has_reg_class(d, ZYDIS_REGCLASS_YMM);

	if (d->insn.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX)
		return vector ? NATIVE_AVX : NATIVE_BMI;
	if (has_reg_class(d, ZYDIS_REGCLASS_MMX))
		return vector ? NATIVE_MMX_SSE : NATIVE_MMX;
	return vector ? NATIVE_SSE : NATIVE_INT;
}

/* SDM Vol. 2A 2.4: types 2, 3 and 11 raise SIMD floating-point exceptions. */
static bool uses_mxcsr(const struct x86_decoded *d)
{
	switch (d->insn.meta.exception_class) {
	case ZYDIS_EXCEPTION_CLASS_SSE2:
	case ZYDIS_EXCEPTION_CLASS_SSE3:
	case ZYDIS_EXCEPTION_CLASS_AVX2:
	case ZYDIS_EXCEPTION_CLASS_AVX3:
	case ZYDIS_EXCEPTION_CLASS_AVX11:
		return true;
	default:
		return is_mmx_conversion(d->insn.mnemonic);
	}
}

static bool vex_aligned(ZydisMnemonic m)
{
	switch (m) {
	case ZYDIS_MNEMONIC_VMOVAPS:
	case ZYDIS_MNEMONIC_VMOVAPD:
	case ZYDIS_MNEMONIC_VMOVDQA:
	case ZYDIS_MNEMONIC_VMOVNTPS:
	case ZYDIS_MNEMONIC_VMOVNTPD:
	case ZYDIS_MNEMONIC_VMOVNTDQ:
	case ZYDIS_MNEMONIC_VMOVNTDQA:
		return true;
	default:
		return false;
	}
}

static bool sse_unaligned(ZydisMnemonic m)
{
	switch (m) {
	case ZYDIS_MNEMONIC_MOVUPS:
	case ZYDIS_MNEMONIC_MOVUPD:
	case ZYDIS_MNEMONIC_MOVDQU:
	case ZYDIS_MNEMONIC_LDDQU:
	case ZYDIS_MNEMONIC_PCMPESTRI:
	case ZYDIS_MNEMONIC_PCMPESTRM:
	case ZYDIS_MNEMONIC_PCMPISTRI:
	case ZYDIS_MNEMONIC_PCMPISTRM:
		return true;
	default:
		return false;
	}
}

/* The mask of the alignment check that raises #GP (SDM Vol. 2A 2.4). */
static u8 align_mask(const struct x86_decoded *d, unsigned size)
{
	if (d->insn.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX)
		return vex_aligned(d->insn.mnemonic) ? (u8)(size - 1) : 0;
	return size == 16 && !sse_unaligned(d->insn.mnemonic) ? 15 : 0;
}

static enum access select_memory(const struct x86_decoded *d, struct insn *i)
{
	for (unsigned n = 0; n < d->insn.operand_count_visible; n++) {
		const ZydisDecodedOperand *op = &d->ops[n];

		if (op->type != ZYDIS_OPERAND_TYPE_MEMORY)
			continue;
		i->mem_size = (u8)(op->size / 8);
		i->pad[NATIVE_ALIGN] = align_mask(d, i->mem_size);
		i->pad[NATIVE_ALIGN_INTEL] = d->insn.meta.isa_set == ZYDIS_ISA_SET_SHA;
		return op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE ? ACCESS_WRITE : ACCESS_READ;
	}
	return ACCESS_NONE;
}

static bool select_vector(const struct x86_decoded *d, struct insn *i)
{
	enum access access = select_memory(d, i);
	bool fp = uses_mxcsr(d);
	enum how how = fp ? HOW_FP : HOW_PLAIN;

	i->sub = class_of(d);
	if (i->sub == NATIVE_MMX || i->sub == NATIVE_MMX_SSE)
		how = fp ? HOW_MMX_FP : HOW_MMX;
	i->fn = handlers[how][access];
	i->aux = (const void *)native_emit_vector(d, i);
	return i->fn && i->aux;
}

bool interp_native_select(const struct x86_decoded *d, struct insn *i)
{
	if (native_select_x87(d, i))
		return true;
	if (!native_host_has(d))
		return false;
	return native_select_misc(d, i) || native_select_lane(d, i) || select_vector(d, i);
}

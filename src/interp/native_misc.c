/* SPDX-License-Identifier: BSD-2-Clause */
/* Vector and cache instructions that need no stub: MXCSR, fences, hints, clearing of registers. */
#include "interp/native.h"
#include "virt/virt.h"

static enum outcome do_nop(struct cpu *cpu, const struct insn *i)
{
	NEXT(cpu, i);
}

static enum outcome do_mfence(struct cpu *cpu, const struct insn *i)
{
	__builtin_ia32_mfence();
	NEXT(cpu, i);
}

/* CLFLUSH, CLFLUSHOPT, CLWB: ordered and checked as a load of a byte (SDM Vol. 2A CLFLUSH). */
static enum outcome run_clflush(struct cpu *cpu, const struct insn *i)
{
	enum outcome o;
	u64 gva;

	o = insn_linear(cpu, i, 1, false, &gva);
	if (o != OUTCOME_OK)
		return insn_stop(cpu, i, o);
	o = mmu_check(cpu, gva, 1, MMU_READ);
	if (o != OUTCOME_OK)
		return insn_stop_access(cpu, i, o);
	return OUTCOME_OK;
}
SLOW_HANDLER(do_clflush, run_clflush)

static enum outcome run_ldmxcsr(struct cpu *cpu, const struct insn *i)
{
	enum outcome o = native_check(cpu, i);
	u64 gva;
	u32 v;

	if (o != OUTCOME_OK)
		return o;
	o = insn_linear(cpu, i, 4, false, &gva);
	if (o != OUTCOME_OK)
		return insn_stop(cpu, i, o);
	o = mmu_read(cpu, gva, &v, 4, MMU_READ);
	if (o != OUTCOME_OK)
		return insn_stop_access(cpu, i, o);
	if (v & ~MXCSR_VALID)
		return native_fault_gp(cpu, i);
	FPU_MXCSR(&cpu->fpu) = v;
	return OUTCOME_OK;
}
SLOW_HANDLER(do_ldmxcsr, run_ldmxcsr)

static enum outcome run_stmxcsr(struct cpu *cpu, const struct insn *i)
{
	enum outcome o = native_check(cpu, i);
	u64 gva;

	if (o != OUTCOME_OK)
		return o;
	o = insn_linear(cpu, i, 4, true, &gva);
	if (o != OUTCOME_OK)
		return insn_stop(cpu, i, o);
	o = mmu_write(cpu, gva, &FPU_MXCSR(&cpu->fpu), 4, MMU_WRITE);
	if (o != OUTCOME_OK)
		return insn_stop_access(cpu, i, o);
	return OUTCOME_OK;
}
SLOW_HANDLER(do_stmxcsr, run_stmxcsr)

/* Outside 64-bit mode only registers 0 to 7 are cleared (SDM Vol. 2C VZEROALL). */
static unsigned vector_registers(const struct cpu *cpu)
{
	return cpu->mode == CODE_64 ? 16 : 8;
}

static enum outcome do_vzeroupper(struct cpu *cpu, const struct insn *i)
{
	enum outcome o = native_check(cpu, i);

	if (o != OUTCOME_OK)
		return o;
	memset(cpu->fpu.ymm_hi, 0, 16 * vector_registers(cpu));
	NEXT(cpu, i);
}

static enum outcome do_vzeroall(struct cpu *cpu, const struct insn *i)
{
	enum outcome o = native_check(cpu, i);

	if (o != OUTCOME_OK)
		return o;
	memset(cpu->fpu.ymm_hi, 0, 16 * vector_registers(cpu));
	memset(FPU_XMM(&cpu->fpu, 0), 0, 16 * vector_registers(cpu));
	NEXT(cpu, i);
}

static enum outcome do_emms(struct cpu *cpu, const struct insn *i)
{
	enum outcome o = native_check(cpu, i);

	if (o != OUTCOME_OK)
		return o;
	native_mmx_enter(&cpu->fpu);
	FPU_FTW(&cpu->fpu) = 0;
	NEXT(cpu, i);
}

/*
 * RDRAND, RDSEED: a stub, unless L1 intercepts it, with the register and the operand size as VM-exit
 * instruction information (SDM Vol. 3C table 27-12).
 */
static enum outcome random_run(struct cpu *cpu, const struct insn *i, u64 icpt)
{
	static const u8 size_code[] = {[2] = 0, [4] = 1, [8] = 2};
	enum outcome o;

	if (unlikely(cpu->intercepts & icpt)) {
		u32 info = (u32)(i->dst / 8) << 3 | (u32)size_code[i->mem_size] << 11;

		o = virt_icpt_operand(cpu, icpt, i->len, 0, info);
		if (o != OUTCOME_OK)
			return insn_stop(cpu, i, o);
	}
	((native_fn)i->aux)(cpu, i, NULL);
	NEXT(cpu, i);
}

static enum outcome do_rdrand(struct cpu *cpu, const struct insn *i)
{
	return random_run(cpu, i, ICPT_RDRAND);
}

static enum outcome do_rdseed(struct cpu *cpu, const struct insn *i)
{
	return random_run(cpu, i, ICPT_RDSEED);
}

static bool select_random(const struct x86_decoded *d, struct insn *i, insn_fn fn)
{
	i->fn = fn;
	i->mem_size = (u8)(d->ops[0].size / 8);
	i->aux = (const void *)native_emit_vector(d, i);
	return i->aux;
}

static bool take(struct insn *i, insn_fn fn, enum native_class class)
{
	i->fn = fn;
	i->sub = class;
	return true;
}

bool native_select_misc(const struct x86_decoded *d, struct insn *i)
{
	if (d->insn.meta.category == ZYDIS_CATEGORY_PREFETCH)
		return take(i, do_nop, NATIVE_INT);
	switch (d->insn.mnemonic) {
	case ZYDIS_MNEMONIC_LFENCE:
	case ZYDIS_MNEMONIC_SFENCE:
	case ZYDIS_MNEMONIC_MFENCE:
		return take(i, do_mfence, NATIVE_INT);
	case ZYDIS_MNEMONIC_CLFLUSH:
	case ZYDIS_MNEMONIC_CLFLUSHOPT:
	case ZYDIS_MNEMONIC_CLWB:
		return take(i, do_clflush, NATIVE_INT);
	case ZYDIS_MNEMONIC_LDMXCSR:
		return take(i, do_ldmxcsr, NATIVE_SSE);
	case ZYDIS_MNEMONIC_VLDMXCSR:
		return take(i, do_ldmxcsr, NATIVE_AVX);
	case ZYDIS_MNEMONIC_STMXCSR:
		return take(i, do_stmxcsr, NATIVE_SSE);
	case ZYDIS_MNEMONIC_VSTMXCSR:
		return take(i, do_stmxcsr, NATIVE_AVX);
	case ZYDIS_MNEMONIC_VZEROUPPER:
		return take(i, do_vzeroupper, NATIVE_AVX);
	case ZYDIS_MNEMONIC_VZEROALL:
		return take(i, do_vzeroall, NATIVE_AVX);
	case ZYDIS_MNEMONIC_EMMS:
		return take(i, do_emms, NATIVE_MMX);
	case ZYDIS_MNEMONIC_RDRAND:
		return select_random(d, i, do_rdrand);
	case ZYDIS_MNEMONIC_RDSEED:
		return select_random(d, i, do_rdseed);
	default:
		return false;
	}
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Identification, time, MSRs, interrupt flag, cache and TLB control, FS and GS bases, random
 * numbers. */
#include <sys/random.h>

#include "cpu/cpuid.h"
#include "interp/system.h"

/* -- CPUID, RDTSC, RDPMC ----------------------------------------------------------------------- */

#define MISC_FEATURES_CPUID_FAULT BIT(0)

BODY cpuid_body(struct cpu *cpu, const struct insn *i)
{
	u32 regs[4];

	if (unlikely(cpu->msr.misc_features & MISC_FEATURES_CPUID_FAULT && cpu->cpl))
		return system_gp0(cpu, i);
	if (system_icpt(cpu, ICPT_CPUID)) {
		enum outcome o = virt_icpt_simple(cpu, ICPT_CPUID, i->len);

		if (o)
			return insn_stop(cpu, i, o);
	}
	cpu_cpuid(cpu, (u32)cpu->gpr[REG_RAX], (u32)cpu->gpr[REG_RCX], regs);
	cpu->gpr[REG_RAX] = regs[0];
	cpu->gpr[REG_RBX] = regs[1];
	cpu->gpr[REG_RCX] = regs[2];
	cpu->gpr[REG_RDX] = regs[3];
	return OUTCOME_OK;
}

SLOW_HANDLER(op_cpuid, cpuid_body)

static bool tsc_forbidden(const struct cpu *cpu)
{
	return cpu->cr4 & CR4_TSD && cpu->cpl;
}

static enum outcome simple_icpt(struct cpu *cpu, const struct insn *i, u64 icpt)
{
	enum outcome o = OUTCOME_OK;

	if (system_icpt(cpu, icpt))
		o = virt_icpt_simple(cpu, icpt, i->len);
	return o ? insn_stop(cpu, i, o) : o;
}

BODY rdtsc_body(struct cpu *cpu, const struct insn *i)
{
	enum outcome o;

	if (tsc_forbidden(cpu))
		return system_gp0(cpu, i);
	o = simple_icpt(cpu, i, ICPT_RDTSC);
	if (!o)
		system_set_edx_eax(cpu, cpu_tsc(cpu));
	return o;
}

/* RDTSCP has no control of its own that exits: RDTSC exiting does (SDM Vol. 3C 25.1.3). */
BODY rdtscp_body(struct cpu *cpu, const struct insn *i)
{
	enum outcome o;

	if (system_icpt(cpu, ICPT_RDTSCP_UD))
		return system_ud(cpu, i);
	if (tsc_forbidden(cpu))
		return system_gp0(cpu, i);
	o = simple_icpt(cpu, i, ICPT_RDTSCP);
	if (o)
		return o;
	system_set_edx_eax(cpu, cpu_tsc(cpu));
	cpu->gpr[REG_RCX] = (u32)cpu->msr.tsc_aux;
	return OUTCOME_OK;
}

BODY rdpid_body(struct cpu *cpu, const struct insn *i)
{
	if (system_icpt(cpu, ICPT_RDTSCP_UD))
		return system_ud(cpu, i);
	GPR(cpu, i->dst, u64) = (u32)cpu->msr.tsc_aux;
	return OUTCOME_OK;
}

/* There are no counters: every index is invalid. */
BODY rdpmc_body(struct cpu *cpu, const struct insn *i)
{
	enum outcome o;

	if (cpu->cpl && !(cpu->cr4 & CR4_PCE))
		return system_gp0(cpu, i);
	o = simple_icpt(cpu, i, ICPT_RDPMC);
	return o ? o : system_gp0(cpu, i);
}

SLOW_HANDLER(op_rdtsc, rdtsc_body)
SLOW_HANDLER(op_rdtscp, rdtscp_body)
SLOW_HANDLER(op_rdpid, rdpid_body)
SLOW_HANDLER(op_rdpmc, rdpmc_body)

/* -- MSRs -------------------------------------------------------------------------------------- */

static enum outcome msr_check(struct cpu *cpu, const struct insn *i, bool write)
{
	enum outcome o = OUTCOME_OK;

	if (cpu->cpl)
		return system_gp0(cpu, i);
	if (system_icpt(cpu, ICPT_MSR))
		o = virt_icpt_msr(cpu, (u32)cpu->gpr[REG_RCX], write, i->len);
	return o ? insn_stop(cpu, i, o) : o;
}

BODY rdmsr_body(struct cpu *cpu, const struct insn *i)
{
	enum outcome o = msr_check(cpu, i, false);
	u64 value;

	if (o)
		return o;
	if (!sys_msr_read(cpu, (u32)cpu->gpr[REG_RCX], &value, false))
		return system_gp0(cpu, i);
	system_set_edx_eax(cpu, value);
	return OUTCOME_OK;
}

SLOW_HANDLER(op_rdmsr, rdmsr_body)

HANDLER op_wrmsr(struct cpu *cpu, const struct insn *i)
{
	enum outcome o = msr_check(cpu, i, true);

	if (o)
		return o;
	if (!sys_msr_write(cpu, (u32)cpu->gpr[REG_RCX], system_edx_eax(cpu), false))
		return system_gp0(cpu, i);
	return system_end(cpu, i);
}

/* -- HLT, MONITOR, MWAIT ----------------------------------------------------------------------- */

HANDLER op_hlt(struct cpu *cpu, const struct insn *i)
{
	enum outcome o;

	if (cpu->cpl)
		return system_gp0(cpu, i);
	o = simple_icpt(cpu, i, ICPT_HLT);
	if (o)
		return o;
	cpu->icount += i->pos;
	insn_sync_next(cpu, i);
	return OUTCOME_HLT;
}

/* Above CPL 0 they are #UD (SDM Vol. 2B MONITOR). As in KVM, waiting ends at once. */
static enum outcome idle_check(struct cpu *cpu, const struct insn *i, u64 icpt)
{
	if (!cpu_has(cpu, FEATURE_MONITOR) || cpu->cpl)
		return system_ud(cpu, i);
	return simple_icpt(cpu, i, icpt);
}

BODY monitor_body(struct cpu *cpu, const struct insn *i)
{
	return idle_check(cpu, i, ICPT_MONITOR);
}

BODY mwait_body(struct cpu *cpu, const struct insn *i)
{
	return idle_check(cpu, i, ICPT_MWAIT);
}

SLOW_HANDLER(op_monitor, monitor_body)
SLOW_HANDLER(op_mwait, mwait_body)

/* -- CLI, STI ---------------------------------------------------------------------------------- */

/* IF itself may be changed; else with PVI or VME the virtual one (SDM Vol. 2A CLI, table 3-7). */
static bool if_allowed(const struct cpu *cpu)
{
	return !cpu_protected(cpu) || cpu->cpl <= system_iopl(cpu);
}

static bool vif_allowed(const struct cpu *cpu)
{
	if (cpu_v86(cpu))
		return cpu->cr4 & CR4_VME;
	return cpu->cr4 & CR4_PVI && cpu->cpl == 3;
}

BODY cli_body(struct cpu *cpu, const struct insn *i)
{
	if (!vif_allowed(cpu))
		return system_gp0(cpu, i);
	cpu->rflags_sys &= ~RFLAGS_VIF;
	return OUTCOME_OK;
}

HANDLER op_cli(struct cpu *cpu, const struct insn *i)
{
	if (unlikely(!if_allowed(cpu)))
		return insn_slow(cpu, i, cli_body);
	cpu->rflags_sys &= ~RFLAGS_IF;
	NEXT(cpu, i);
}

BODY sti_body(struct cpu *cpu, const struct insn *i)
{
	if (!vif_allowed(cpu) || cpu->rflags_sys & RFLAGS_VIP)
		return system_gp0(cpu, i);
	cpu->rflags_sys |= RFLAGS_VIF;
	return OUTCOME_OK;
}

/*
 * Interrupts are held off until after the next instruction. Inside a block they are anyway, because
 * only its end looks at events; at the end of one, or when something waits for IF, the run loop must
 * step that instruction.
 */
HANDLER op_sti(struct cpu *cpu, const struct insn *i)
{
	if (unlikely(!if_allowed(cpu)))
		return insn_slow(cpu, i, sti_body);
	if (cpu->rflags_sys & RFLAGS_IF)
		NEXT(cpu, i);
	cpu->rflags_sys |= RFLAGS_IF;
	if (likely(!cpu->if_events && !system_last(i)))
		NEXT(cpu, i);
	cpu_event_set(cpu, cpu->if_events);
	cpu->shadow |= SHADOW_STI;
	cpu_event_set(cpu, EVENT_STEP);
	return system_end(cpu, i);
}

/* -- STAC, CLAC -------------------------------------------------------------------------------- */

BODY ac_body(struct cpu *cpu, const struct insn *i)
{
	if (cpu->cpl)
		return system_ud(cpu, i);
	if (i->sub)
		cpu->rflags_sys |= RFLAGS_AC;
	else
		cpu->rflags_sys &= ~RFLAGS_AC;
	mmu_update_mode(cpu);
	return OUTCOME_OK;
}

SLOW_HANDLER(op_ac, ac_body)

/* -- PKRU -------------------------------------------------------------------------------------- */

BODY rdpkru_body(struct cpu *cpu, const struct insn *i)
{
	if (!(cpu->cr4 & CR4_PKE))
		return system_ud(cpu, i);
	if ((u32)cpu->gpr[REG_RCX])
		return system_gp0(cpu, i);
	system_set_edx_eax(cpu, cpu->fpu.pkru);
	return OUTCOME_OK;
}

BODY wrpkru_body(struct cpu *cpu, const struct insn *i)
{
	if (!(cpu->cr4 & CR4_PKE))
		return system_ud(cpu, i);
	if ((u32)cpu->gpr[REG_RCX] || (u32)cpu->gpr[REG_RDX])
		return system_gp0(cpu, i);
	cpu->fpu.pkru = (u32)cpu->gpr[REG_RAX];
	mmu_context_switch(cpu);
	return OUTCOME_OK;
}

SLOW_HANDLER(op_rdpkru, rdpkru_body)
SLOW_HANDLER(op_wrpkru, wrpkru_body)

/* -- caches and TLB ---------------------------------------------------------------------------- */

static enum outcome cache_flush(struct cpu *cpu, const struct insn *i, u64 icpt)
{
	return cpu->cpl ? system_gp0(cpu, i) : simple_icpt(cpu, i, icpt);
}

BODY invd_body(struct cpu *cpu, const struct insn *i)
{
	return cache_flush(cpu, i, ICPT_INVD);
}

BODY wbinvd_body(struct cpu *cpu, const struct insn *i)
{
	return cache_flush(cpu, i, ICPT_WBINVD);
}

SLOW_HANDLER(op_invd, invd_body)
SLOW_HANDLER(op_wbinvd, wbinvd_body)

/* The address is not checked: no limit, no canonical form (SDM Vol. 2A INVLPG). */
static u64 invlpg_address(const struct cpu *cpu, const struct insn *i)
{
	u64 ea = insn_ea(cpu, i);

	if (cpu->mode != CODE_64)
		return (u32)(ea + cpu->seg[i->seg].base);
	return i->flags & INSN_SEG_BASE ? ea + cpu->seg[i->seg].base : ea;
}

HANDLER op_invlpg(struct cpu *cpu, const struct insn *i)
{
	u64 gva = invlpg_address(cpu, i);
	enum outcome o = OUTCOME_OK;

	if (cpu->cpl)
		return system_gp0(cpu, i);
	if (system_icpt(cpu, ICPT_INVLPG))
		o = virt_icpt_operand(cpu, ICPT_INVLPG, i->len, gva, 0);
	if (o)
		return insn_stop(cpu, i, o);
	mmu_invlpg(cpu, gva);
	return system_end(cpu, i);
}

/* SDM Vol. 2A INVPCID: what makes a type and descriptor invalid. */
static bool invpcid_valid(const struct cpu *cpu, u64 type, const u64 desc[2])
{
	if (type > 3)
		return false;
	if (type >= 2)
		return true;
	if (desc[0] >> 12 || (desc[0] && !(cpu->cr4 & CR4_PCIDE)))
		return false;
	return type == 1 || cpu_canonical(cpu, desc[1]);
}

HANDLER op_invpcid(struct cpu *cpu, const struct insn *i)
{
	u64 type = GPR(cpu, i->dst, u64), desc[2];
	enum outcome o = OUTCOME_OK;

	if (system_icpt(cpu, ICPT_INVPCID_UD))
		return system_ud(cpu, i);
	if (cpu_protected(cpu) && cpu->cpl)
		return system_gp0(cpu, i);
	if (system_icpt(cpu, ICPT_INVPCID))
		o = virt_icpt_operand(cpu, ICPT_INVPCID, i->len, info_displacement(cpu, i),
				      info_memory(i) | (u32)(i->dst / 8) << 28);
	if (o)
		return insn_stop(cpu, i, o);
	o = insn_load(cpu, i, desc, 16);
	if (o)
		return o;
	if (cpu->mode != CODE_64)
		type = (u32)type;
	if (!invpcid_valid(cpu, type, desc))
		return system_gp0(cpu, i);
	mmu_invpcid(cpu, (unsigned)type, (u16)desc[0], desc[1]);
	return system_end(cpu, i);
}

/* -- SWAPGS, FS and GS bases ------------------------------------------------------------------- */

HANDLER op_swapgs(struct cpu *cpu, const struct insn *i)
{
	u64 base = cpu->seg[SEG_GS].base;

	if (unlikely(cpu->mode != CODE_64))
		return system_ud(cpu, i);
	if (unlikely(cpu->cpl))
		return system_gp0(cpu, i);
	cpu->seg[SEG_GS].base = cpu->msr.kernel_gs_base;
	cpu->msr.kernel_gs_base = base;
	NEXT(cpu, i);
}

static bool fsgsbase_usable(const struct cpu *cpu)
{
	return cpu->mode == CODE_64 && cpu->cr4 & CR4_FSGSBASE;
}

/* i->sub is the segment. */
HANDLER op_rdbase(struct cpu *cpu, const struct insn *i)
{
	if (unlikely(!fsgsbase_usable(cpu)))
		return system_ud(cpu, i);
	gpr_write(cpu, i->dst, i->size, cpu->seg[i->sub].base);
	NEXT(cpu, i);
}

HANDLER op_wrbase(struct cpu *cpu, const struct insn *i)
{
	u64 base = GPR(cpu, i->dst, u64);

	if (unlikely(!fsgsbase_usable(cpu)))
		return system_ud(cpu, i);
	if (i->size == 4)
		base = (u32)base;
	if (unlikely(!cpu_canonical(cpu, base)))
		return system_gp0(cpu, i);
	cpu->seg[i->sub].base = base;
	NEXT(cpu, i);
}

/* -- RDRAND, RDSEED ---------------------------------------------------------------------------- */

/* From the host kernel's generator, which is there whether the host's CPU has the instructions or
 * not. */
static enum outcome random_body(struct cpu *cpu, const struct insn *i, u64 icpt)
{
	u32 info = (u32)(i->dst / 8) << 3 | (i->size == 8 ? 2u : i->size == 4 ? 1u : 0) << 11;
	enum outcome o = OUTCOME_OK;
	u64 value = 0;

	if (system_icpt(cpu, icpt))
		o = virt_icpt_operand(cpu, icpt, i->len, 0, info);
	if (o)
		return insn_stop(cpu, i, o);
	bool good = getrandom(&value, sizeof(value), GRND_NONBLOCK) == sizeof(value);

	gpr_write(cpu, i->dst, i->size, good ? value : 0);
	cpu->cc = good ? CC_CF : 0;
	return OUTCOME_OK;
}

BODY rdrand_body(struct cpu *cpu, const struct insn *i)
{
	return random_body(cpu, i, ICPT_RDRAND);
}

BODY rdseed_body(struct cpu *cpu, const struct insn *i)
{
	return random_body(cpu, i, ICPT_RDSEED);
}

SLOW_HANDLER(op_rdrand, rdrand_body)
SLOW_HANDLER(op_rdseed, rdseed_body)

/* -- selection --------------------------------------------------------------------------------- */

static const struct {
	ZydisMnemonic mnemonic;
	insn_fn fn;
	u8 sub;
} forms[] = {
	{ZYDIS_MNEMONIC_CPUID, op_cpuid, 0},
	{ZYDIS_MNEMONIC_RDTSC, op_rdtsc, 0},
	{ZYDIS_MNEMONIC_RDTSCP, op_rdtscp, 0},
	{ZYDIS_MNEMONIC_RDPID, op_rdpid, 0},
	{ZYDIS_MNEMONIC_RDPMC, op_rdpmc, 0},
	{ZYDIS_MNEMONIC_RDMSR, op_rdmsr, 0},
	{ZYDIS_MNEMONIC_WRMSR, op_wrmsr, 0},
	{ZYDIS_MNEMONIC_HLT, op_hlt, 0},
	{ZYDIS_MNEMONIC_MONITOR, op_monitor, 0},
	{ZYDIS_MNEMONIC_MWAIT, op_mwait, 0},
	{ZYDIS_MNEMONIC_CLI, op_cli, 0},
	{ZYDIS_MNEMONIC_STI, op_sti, 0},
	{ZYDIS_MNEMONIC_STAC, op_ac, 1},
	{ZYDIS_MNEMONIC_CLAC, op_ac, 0},
	{ZYDIS_MNEMONIC_RDPKRU, op_rdpkru, 0},
	{ZYDIS_MNEMONIC_WRPKRU, op_wrpkru, 0},
	{ZYDIS_MNEMONIC_INVD, op_invd, 0},
	{ZYDIS_MNEMONIC_WBINVD, op_wbinvd, 0},
	{ZYDIS_MNEMONIC_INVLPG, op_invlpg, 0},
	{ZYDIS_MNEMONIC_INVPCID, op_invpcid, 0},
	{ZYDIS_MNEMONIC_SWAPGS, op_swapgs, 0},
	{ZYDIS_MNEMONIC_RDFSBASE, op_rdbase, SEG_FS},
	{ZYDIS_MNEMONIC_RDGSBASE, op_rdbase, SEG_GS},
	{ZYDIS_MNEMONIC_WRFSBASE, op_wrbase, SEG_FS},
	{ZYDIS_MNEMONIC_WRGSBASE, op_wrbase, SEG_GS},
	{ZYDIS_MNEMONIC_RDRAND, op_rdrand, 0},
	{ZYDIS_MNEMONIC_RDSEED, op_rdseed, 0},
};

static bool select_form(const struct x86_decoded *d, struct insn *i)
{
	for (unsigned n = 0; n < ARRAY_SIZE(forms); n++) {
		if (forms[n].mnemonic == d->insn.mnemonic) {
			i->fn = forms[n].fn;
			i->sub = forms[n].sub;
			return true;
		}
	}
	return false;
}

#define FORM(m)                                                                                    \
	{                                                                                          \
		ZYDIS_MNEMONIC_##m, select_form                                                    \
	}

const struct interp_select interp_system[] = {
	FORM(CPUID),  FORM(RDTSC),    FORM(RDTSCP),   FORM(RDPID),    FORM(RDPMC),    FORM(RDMSR),
	FORM(WRMSR),  FORM(HLT),      FORM(MONITOR),  FORM(MWAIT),    FORM(CLI),      FORM(STI),
	FORM(STAC),   FORM(CLAC),     FORM(INVD),     FORM(WBINVD),   FORM(INVLPG),   FORM(INVPCID),
	FORM(SWAPGS), FORM(RDFSBASE), FORM(RDGSBASE), FORM(WRFSBASE), FORM(WRGSBASE), FORM(RDPKRU),
	FORM(WRPKRU), FORM(RDRAND),   FORM(RDSEED),   {0, NULL},
};

/* SPDX-License-Identifier: BSD-2-Clause */
/* All MSRs: those with effects here, the rest by cpu/ (storage) and the rooms above (cpu->ops). */
#include <x86intrin.h>

#include "cpu/msr.h"
#include "sys/sys_impl.h"

#define SFMASK_ALLOWED 0xffffffffull

/* Canonical for the widest paging that the CPU has (SDM Vol. 4, "canonical address"). */
static bool canonical(const struct cpu *cpu, u64 value)
{
	return (u64)sext(value, cpu_has(cpu, FEATURE_LA57) ? 57 : 48) == value;
}

/* -- EFER (SDM Vol. 3A 2.2.1) ------------------------------------------------------------------ */

bool sys_efer_valid(const struct cpu *cpu, u64 efer)
{
	u64 allowed = EFER_LMA;

	if (cpu_has(cpu, FEATURE_SYSCALL))
		allowed |= EFER_SCE;
	if (cpu_has(cpu, FEATURE_LM))
		allowed |= EFER_LME;
	if (cpu_has(cpu, FEATURE_NX))
		allowed |= EFER_NXE;
	if (cpu_has(cpu, FEATURE_SVM))
		allowed |= EFER_SVME;
	if (cpu_has(cpu, FEATURE_FFXSR))
		allowed |= EFER_FFXSR;
	return !(efer & ~allowed);
}

static bool efer_write(struct cpu *cpu, u64 value, bool host)
{
	u64 changed;

	/* User space may set it before CPUID. */
	if (!sys_efer_valid(cpu, value) && !(host && !cpu->ncpuid))
		return false;
	if (!host)
		value = (value & ~EFER_LMA) | (cpu->efer & EFER_LMA);
	changed = value ^ cpu->efer;
	if (!host && changed & EFER_LME && cpu->cr0 & CR0_PG)
		return false;
	cpu->efer = value;
	if (changed & (EFER_NXE | EFER_LMA))
		mmu_mode_changed(cpu);
	if (changed & EFER_LMA)
		sys_mode_update(cpu);
	return true;
}

/* -- the time stamp counter -------------------------------------------------------------------- */

static void tsc_moved(struct cpu *cpu)
{
	if (cpu->ops && cpu->ops->tsc_changed)
		cpu->ops->tsc_changed(cpu);
}

/* A write moves the offset; IA32_TSC_ADJUST follows (SDM Vol. 3B 17.17.3). */
static void tsc_write(struct cpu *cpu, u64 value, bool host)
{
	/* In guest mode, too, it is L1's TSC that is written (SDM Vol. 3C 25.3). */
	u64 by = value - cpu_tsc_at(cpu, __rdtsc());

	cpu->tsc_offset += by;
	if (!host)
		cpu->msr.tsc_adjust += by;
	tsc_moved(cpu);
}

static void tsc_adjust_write(struct cpu *cpu, u64 value, bool host)
{
	if (!host) {
		cpu->tsc_offset += value - cpu->msr.tsc_adjust;
		tsc_moved(cpu);
	}
	cpu->msr.tsc_adjust = value;
}

/* -- words with a canonical check, or none ----------------------------------------------------- */

static u64 *address_msr(struct cpu *cpu, u32 index)
{
	switch (index) {
	case MSR_LSTAR:
		return &cpu->msr.lstar;
	case MSR_CSTAR:
		return &cpu->msr.cstar;
	case MSR_FS_BASE:
		return &cpu->seg[SEG_FS].base;
	case MSR_GS_BASE:
		return &cpu->seg[SEG_GS].base;
	case MSR_KERNEL_GS_BASE:
		return &cpu->msr.kernel_gs_base;
	case MSR_SYSENTER_ESP:
		return &cpu->msr.sysenter_esp;
	case MSR_SYSENTER_EIP:
		return &cpu->msr.sysenter_eip;
	default:
		return NULL;
	}
}

static bool tsc_aux_present(const struct cpu *cpu)
{
	return cpu_has(cpu, FEATURE_RDTSCP) || cpu_has(cpu, FEATURE_RDPID);
}

static enum msr_result own_read(struct cpu *cpu, u32 index, u64 *value, bool host)
{
	switch (index) {
	case MSR_EFER:
		*value = cpu->efer;
		return MSR_OK;
	case MSR_STAR:
		*value = cpu->msr.star;
		return MSR_OK;
	case MSR_SFMASK:
		*value = cpu->msr.sfmask;
		return MSR_OK;
	case MSR_SYSENTER_CS:
		*value = cpu->msr.sysenter_cs;
		return MSR_OK;
	case MSR_TSC:
		*value = host ? cpu_tsc(cpu) - (cpu->guest_mode ? cpu->tsc_offset_l2 : 0)
			      : cpu_tsc(cpu);
		return MSR_OK;
	case MSR_TSC_ADJUST:
		*value = cpu->msr.tsc_adjust;
		return host || cpu_has(cpu, FEATURE_TSC_ADJUST) ? MSR_OK : MSR_BAD;
	case MSR_TSC_AUX:
		*value = cpu->msr.tsc_aux;
		return host || tsc_aux_present(cpu) ? MSR_OK : MSR_BAD;
	case MSR_XSS:
		*value = cpu->xss;
		return host || cpu_has(cpu, FEATURE_XSAVES) ? MSR_OK : MSR_BAD;
	default:
		return MSR_UNKNOWN;
	}
}

static enum msr_result tsc_aux_write(struct cpu *cpu, u64 value, bool host)
{
	if ((!host && !tsc_aux_present(cpu)) || value >> 32)
		return MSR_BAD;
	cpu->msr.tsc_aux = value;
	return MSR_OK;
}

static enum msr_result own_write(struct cpu *cpu, u32 index, u64 value, bool host)
{
	switch (index) {
	case MSR_EFER:
		return efer_write(cpu, value, host) ? MSR_OK : MSR_BAD;
	case MSR_STAR:
		cpu->msr.star = value;
		return MSR_OK;
	case MSR_SFMASK:
		if (value & ~SFMASK_ALLOWED)
			return MSR_BAD;
		cpu->msr.sfmask = value;
		return MSR_OK;
	case MSR_SYSENTER_CS:
		cpu->msr.sysenter_cs = (u32)value;
		return MSR_OK;
	case MSR_TSC:
		tsc_write(cpu, value, host);
		return MSR_OK;
	case MSR_TSC_ADJUST:
		if (!host && !cpu_has(cpu, FEATURE_TSC_ADJUST))
			return MSR_BAD;
		tsc_adjust_write(cpu, value, host);
		return MSR_OK;
	case MSR_TSC_AUX:
		return tsc_aux_write(cpu, value, host);
	case MSR_XSS:
		/* There are no supervisor components. */
		return value || (!host && !cpu_has(cpu, FEATURE_XSAVES)) ? MSR_BAD : MSR_OK;
	default:
		return MSR_UNKNOWN;
	}
}

/* The LAPIC's, which guests use most: they need not be looked for anywhere else. */
static bool is_lapic_msr(u32 index)
{
	return index - MSR_X2APIC_BASE < 0x100 || index == MSR_TSC_DEADLINE;
}

bool sys_msr_read(struct cpu *cpu, u32 index, u64 *value, bool host)
{
	const u64 *word = address_msr(cpu, index);
	enum msr_result r;

	*value = 0;
	if (is_lapic_msr(index))
		return cpu->ops && cpu->ops->msr_read &&
		       cpu->ops->msr_read(cpu, index, value, host);
	if (word) {
		*value = *word;
		return true;
	}
	r = own_read(cpu, index, value, host);
	if (r == MSR_UNKNOWN)
		r = cpu_msr_read(cpu, index, value, host);
	if (r == MSR_UNKNOWN)
		return cpu->ops && cpu->ops->msr_read &&
		       cpu->ops->msr_read(cpu, index, value, host);
	return r == MSR_OK;
}

bool sys_msr_write(struct cpu *cpu, u32 index, u64 value, bool host)
{
	u64 *word = address_msr(cpu, index);
	enum msr_result r;

	if (is_lapic_msr(index))
		return cpu->ops && cpu->ops->msr_write &&
		       cpu->ops->msr_write(cpu, index, value, host);
	if (word) {
		if (!canonical(cpu, value))
			return false;
		*word = value;
		return true;
	}
	r = own_write(cpu, index, value, host);
	if (r == MSR_UNKNOWN)
		r = cpu_msr_write(cpu, index, value, host);
	if (r == MSR_UNKNOWN)
		return cpu->ops && cpu->ops->msr_write &&
		       cpu->ops->msr_write(cpu, index, value, host);
	return r == MSR_OK;
}

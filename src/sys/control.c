/* SPDX-License-Identifier: BSD-2-Clause */
/* Control and debug registers, XCR0 (SDM Vol. 3A 2.5 and 2.6, Vol. 3B 17.2). */
#include "cpu/cpuid.h"
#include "sys/sys_impl.h"

#define CR0_DEFINED                                                                                \
	(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | \
	 CR0_PG)
/* Bits that change what a translation means: the MMU starts anew. */
#define CR0_MMU (CR0_PE | CR0_PG | CR0_WP)
#define CR4_MMU (CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP | CR4_PKE | CR4_LA57)
/* Changes that load the PDPTEs again (SDM Vol. 3A 4.4.1). */
#define CR0_PDPTE   (CR0_CD | CR0_NW | CR0_PG)
#define CR4_PDPTE   (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP)
#define CR3_NOFLUSH BIT(63)

static enum outcome gp0(struct cpu *cpu)
{
	return cpu_fault_code(cpu, VEC_GP, 0);
}

static bool pae_paging(u64 cr0, u64 cr4, u64 efer)
{
	return cr0 & CR0_PG && cr4 & CR4_PAE && !(efer & EFER_LMA);
}

/* -- CR0 --------------------------------------------------------------------------------------- */

bool sys_cr0_valid(const struct cpu *cpu, u64 cr0)
{
	if (cr0 >> 32)
		return false;
	if (cr0 & CR0_NW && !(cr0 & CR0_CD))
		return false;
	return !(cr0 & CR0_PG) || cr0 & CR0_PE;
}

/* Turning paging on with EFER.LME enters IA-32e mode (SDM Vol. 3A 9.8.5). */
static bool paging_on_allowed(const struct cpu *cpu)
{
	if (!(cpu->efer & EFER_LME))
		return true;
	return cpu->cr4 & CR4_PAE && !(cpu->seg[SEG_CS].attr & SEG_ATTR_L);
}

static bool paging_off_allowed(const struct cpu *cpu)
{
	return cpu->mode != CODE_64 && !(cpu->cr4 & CR4_PCIDE);
}

/* EFER.LMA follows CR0.PG and EFER.LME. */
static u64 efer_for(const struct cpu *cpu, u64 cr0)
{
	return cr0 & CR0_PG && cpu->efer & EFER_LME ? cpu->efer | EFER_LMA : cpu->efer & ~EFER_LMA;
}

enum outcome sys_cr0_write(struct cpu *cpu, u64 value)
{
	u64 cr0, changed, efer;

	if (!sys_cr0_valid(cpu, value))
		return gp0(cpu);
	cr0 = (value & CR0_DEFINED) | CR0_ET;
	changed = cr0 ^ cpu->cr0;
	if (changed & CR0_PG && !(cr0 & CR0_PG ? paging_on_allowed(cpu) : paging_off_allowed(cpu)))
		return gp0(cpu);
	efer = efer_for(cpu, cr0);
	if (changed & CR0_PDPTE && pae_paging(cr0, cpu->cr4, efer) &&
	    !mmu_load_pdptes(cpu, cpu->cr3))
		return gp0(cpu);
	cpu->cr0 = cr0;
	cpu->efer = efer;
	if (changed & CR0_MMU)
		mmu_mode_changed(cpu);
	if (changed & (CR0_PE | CR0_PG | CR0_AM))
		sys_mode_update(cpu);
	return OUTCOME_OK;
}

/* -- CR3 --------------------------------------------------------------------------------------- */

enum outcome sys_cr3_write(struct cpu *cpu, u64 value)
{
	bool pcid = cpu->cr4 & CR4_PCIDE, noflush = pcid && value & CR3_NOFLUSH;

	if (pcid)
		value &= ~CR3_NOFLUSH;
	if (cpu_long_mode(cpu)) {
		if (!mmu_phys_valid(cpu, value))
			return gp0(cpu);
	} else if (pae_paging(cpu->cr0, cpu->cr4, cpu->efer)) {
		if (!mmu_load_pdptes(cpu, value))
			return gp0(cpu);
	}
	cpu->cr3 = value;
	if (noflush)
		mmu_context_switch(cpu);
	else
		mmu_flush_cr3(cpu);
	return OUTCOME_OK;
}

/* -- CR4 --------------------------------------------------------------------------------------- */

/* CR4 bits that exist when CPUID has a feature; 0 for those that always do. */
static const struct {
	u64 bit;
	int feature;
} cr4_bits[] = {
	{CR4_VME | CR4_PVI, FEATURE_VME}, {CR4_TSD, FEATURE_TSC},     {CR4_DE, FEATURE_DE},
	{CR4_PSE, FEATURE_PSE},		  {CR4_PAE, FEATURE_PAE},     {CR4_MCE, FEATURE_MCE},
	{CR4_PGE, FEATURE_PGE},		  {CR4_OSFXSR, FEATURE_FXSR}, {CR4_OSXMMEXCPT, FEATURE_SSE},
	{CR4_UMIP, FEATURE_UMIP},	  {CR4_LA57, FEATURE_LA57},   {CR4_VMXE, FEATURE_VMX},
	{CR4_FSGSBASE, FEATURE_FSGSBASE}, {CR4_PCIDE, FEATURE_PCID},  {CR4_OSXSAVE, FEATURE_XSAVE},
	{CR4_SMEP, FEATURE_SMEP},	  {CR4_SMAP, FEATURE_SMAP},   {CR4_PKE, FEATURE_PKU},
};

u64 sys_cr4_reserved(const struct cpu *cpu)
{
	u64 allowed = CR4_PCE;

	/* Without any CPUID (before KVM_SET_CPUID2) nothing newer than the i486's extensions is
	 * refused: KVM has these bits always. */
	allowed |= CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE |
		   CR4_OSFXSR | CR4_OSXMMEXCPT;
	for (unsigned n = 0; n < ARRAY_SIZE(cr4_bits); n++)
		if (cpu_has(cpu, cr4_bits[n].feature))
			allowed |= cr4_bits[n].bit;
	return ~allowed;
}

bool sys_cr4_valid(const struct cpu *cpu, u64 cr4)
{
	return !(cr4 & sys_cr4_reserved(cpu));
}

static bool cr4_change_allowed(const struct cpu *cpu, u64 cr4)
{
	u64 changed = cr4 ^ cpu->cr4;

	if (cpu_long_mode(cpu)) {
		if (!(cr4 & CR4_PAE) || changed & CR4_LA57)
			return false;
	}
	if (changed & cr4 & CR4_PCIDE)
		return cpu_long_mode(cpu) && !(cpu->cr3 & 0xfff);
	return true;
}

enum outcome sys_cr4_write(struct cpu *cpu, u64 value)
{
	u64 changed = value ^ cpu->cr4;

	if (!sys_cr4_valid(cpu, value) || !cr4_change_allowed(cpu, value))
		return gp0(cpu);
	if (changed & CR4_PDPTE && pae_paging(cpu->cr0, value, cpu->efer)) {
		if (!mmu_load_pdptes(cpu, cpu->cr3))
			return gp0(cpu);
	}
	cpu->cr4 = value;
	if (changed & CR4_MMU)
		mmu_mode_changed(cpu);
	return OUTCOME_OK;
}

/* -- debug registers (SDM Vol. 3B 17.2) -------------------------------------------------------- */

#define DR6_WRITABLE 0xe00full
#define DR7_WRITABLE 0xffff23ffull

/* DR4 and DR5 are other names of DR6 and DR7, unless CR4.DE is set. */
static enum outcome dr_number(struct cpu *cpu, unsigned *dr)
{
	if (*dr > 7)
		return cpu_fault(cpu, VEC_UD);
	if (*dr == 4 || *dr == 5) {
		if (cpu->cr4 & CR4_DE)
			return cpu_fault(cpu, VEC_UD);
		*dr += 2;
	}
	if (!(cpu->dr[7] & DR7_GD))
		return OUTCOME_OK;
	/* General detect: a fault before the access (17.2.4). */
	cpu_fault(cpu, VEC_DB);
	cpu->fault.dr6 = DR6_BD;
	return OUTCOME_FAULT;
}

/* The TLB's entries know where data breakpoints lie; the run loop steps for the others. */
static void breakpoints_changed(struct cpu *cpu)
{
	if (!(cpu->dr[7] & 0xff))
		return;
	mmu_flush_all(cpu);
	cpu_event_set(cpu, EVENT_STEP);
}

enum outcome sys_dr_write(struct cpu *cpu, unsigned dr, u64 value)
{
	enum outcome o = dr_number(cpu, &dr);

	if (o)
		return o;
	if (dr >= 6 && value >> 32)
		return gp0(cpu);
	if (dr == 6)
		cpu->dr[6] = (value & DR6_WRITABLE) | DR6_FIXED;
	else if (dr == 7)
		cpu->dr[7] = (value & DR7_WRITABLE) | DR7_FIXED;
	else
		cpu->dr[dr] = value;
	if (dr != 6)
		breakpoints_changed(cpu);
	return OUTCOME_OK;
}

enum outcome sys_dr_read(struct cpu *cpu, unsigned dr, u64 *value)
{
	enum outcome o = dr_number(cpu, &dr);

	if (!o)
		*value = cpu->dr[dr];
	return o;
}

/* -- XCR0 (SDM Vol. 1 13.3) -------------------------------------------------------------------- */

enum outcome sys_xsetbv(struct cpu *cpu, u32 index, u64 value)
{
	u64 allowed = cpu_xcr0_allowed(cpu);

	if (index || value & ~allowed || !(value & XCR0_X87))
		return gp0(cpu);
	if (value & XCR0_AVX && !(value & XCR0_SSE))
		return gp0(cpu);
	cpu->xcr0 = value;
	return OUTCOME_OK;
}

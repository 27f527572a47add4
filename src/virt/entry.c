/* SPDX-License-Identifier: BSD-2-Clause */
/* VM entry from where it can no longer be VMfail (SDM Vol. 3C 26.3 to 26.7). */
#include <string.h>

#include "mmu/mmu.h"
#include "virt/vmx.h"

/* -- 26.3.2: loading guest state
 * ------------------------------------------------------------------- */

/* ET, CD and NW do not change (26.3.2.1). */
static void load_crs(struct cpu *cpu)
{
	const struct vmcs12 *v = &cpu->vmx->vmcs;
	u64 keep = CR0_CD | CR0_NW;

	cpu->cr0 = (v->guest_cr0 & ~keep & 0xffffffff) | (cpu->cr0 & keep) | CR0_ET;
	cpu->cr3 = v->guest_cr3;
	cpu->cr4 = v->guest_cr4;
}

static void load_efer(struct cpu *cpu, bool from_vmcs)
{
	const struct vmx *vmx = cpu->vmx;
	bool ia32e = vmx->ctls.entry & ENTRY_IA32E;

	if (from_vmcs && vmx->ctls.entry & ENTRY_LOAD_EFER) {
		cpu->efer = vmx->vmcs.guest_efer;
		return;
	}
	cpu->efer = ia32e ? cpu->efer | EFER_LMA : cpu->efer & ~EFER_LMA;
	if (cpu->cr0 & CR0_PG)
		cpu->efer = ia32e ? cpu->efer | EFER_LME : cpu->efer & ~EFER_LME;
}

static void load_msrs(struct cpu *cpu, bool from_vmcs)
{
	const struct vmx *vmx = cpu->vmx;
	const struct vmcs12 *v = &vmx->vmcs;

	cpu->msr.sysenter_cs = v->guest_sysenter_cs;
	cpu->msr.sysenter_esp = v->guest_sysenter_esp;
	cpu->msr.sysenter_eip = v->guest_sysenter_eip;
	if (from_vmcs && vmx->ctls.entry & ENTRY_LOAD_DEBUG) {
		cpu->dr[7] = (v->guest_dr7 & 0xffff2fff) | DR7_FIXED;
		cpu->msr.debugctl = v->guest_debugctl;
	}
	if (from_vmcs && vmx->ctls.entry & ENTRY_LOAD_PAT)
		cpu->msr.pat = v->guest_pat;
	load_efer(cpu, from_vmcs);
}

static void load_segments(struct cpu *cpu)
{
	const struct vmcs12 *v = &cpu->vmx->vmcs;

	for (unsigned i = 0; i < NSEGS; i++) {
		struct segment *s = &cpu->seg[i];

		s->selector = v->guest_selector[i];
		s->base = v->guest_base[i];
		s->limit = v->guest_limit[i];
		s->attr = (u16)v->guest_ar[i];
		s->unusable = v->guest_ar[i] & AR_UNUSABLE;
	}
	cpu->gdt.base = v->guest_gdtr_base;
	cpu->gdt.limit = (u16)v->guest_gdtr_limit;
	cpu->idt.base = v->guest_idtr_base;
	cpu->idt.limit = (u16)v->guest_idtr_limit;
}

/* PAE paging: the PDPTEs come from the VMCS with EPT, else from memory (26.3.2.4). */
static bool load_pdptes(struct cpu *cpu)
{
	const struct vmx *vmx = cpu->vmx;

	if (!(cpu->cr0 & CR0_PG) || !(cpu->cr4 & CR4_PAE) || cpu_long_mode(cpu))
		return true;
	if (!vmx_has_ept(vmx))
		return mmu_load_pdptes(cpu, cpu->cr3);
	memcpy(cpu->pdpte, vmx->vmcs.guest_pdpte, sizeof(cpu->pdpte));
	return true;
}

static void select_address_space(struct cpu *cpu)
{
	const struct vmx *vmx = cpu->vmx;
	const struct vmcs12 *v = &vmx->vmcs;

	cpu->nested.kind = vmx_has_ept(vmx) ? NESTED_EPT : NESTED_NONE;
	cpu->nested.root = v->eptp;
	cpu->vpid = vmx->ctls.cpu2 & CPU2_VPID ? v->vpid : 0;
	cpu->tsc_offset_l2 = vmx->ctls.cpu & CPU_TSC_OFFSET ? v->tsc_offset : 0;
}

bool vmx_load_guest(struct cpu *cpu, bool from_vmcs)
{
	const struct vmcs12 *v = &cpu->vmx->vmcs;

	load_crs(cpu);
	load_msrs(cpu, from_vmcs);
	load_segments(cpu);
	select_address_space(cpu);
	if (!load_pdptes(cpu))
		return false;
	cpu->guest_mode = true;
	cpu->gpr[REG_RSP] = v->guest_rsp;
	cpu->rip = v->guest_rip;
	cpu_rflags_set(cpu, v->guest_rflags);
	cpu->shadow = v->guest_interruptibility & (SHADOW_STI | SHADOW_MOVSS);
	cpu->nmi_masked = v->guest_interruptibility & GUEST_BLOCK_NMI;
	vmx_unpack_intercepts(cpu);
	sys_mode_update(cpu);
	return true;
}

/* Without VPIDs, entries and exits invalidate what belongs to VPID 0 (28.4.3.1). */
static void switch_address_space(struct cpu *cpu)
{
	if (cpu->vmx->ctls.cpu2 & CPU2_VPID)
		mmu_context_switch(cpu);
	else
		mmu_invvpid(cpu, 1, 0, 0);
}

/* -- the order of it all
 * ----------------------------------------------------------------------------- */

static bool check_guest_state(struct cpu *cpu, u64 *qual)
{
	struct vmx *vmx = cpu->vmx;
	bool v86 = vmx->vmcs.guest_rflags & RFLAGS_VM;

	*qual = 0;
	if (!vmx_check_guest_rip(cpu) || !vmx_check_guest_nonreg(cpu))
		return false;
	if (vmx->checked & VMCS_CHECK_GUEST && v86 == vmx->checked_v86)
		return true;
	if (!vmx_check_guest(cpu, qual))
		return false;
	vmx->checked |= VMCS_CHECK_GUEST;
	vmx->checked_v86 = v86;
	return true;
}

#define QUAL_PDPTE 2

enum outcome vmx_enter(struct cpu *cpu)
{
	struct vmx *vmx = cpu->vmx;
	u32 bad;
	u64 qual;

	if (!check_guest_state(cpu, &qual))
		return vmx_entry_failed(cpu, REASON_ENTRY_GUEST_STATE, qual);
	if (!vmx_load_guest(cpu, true))
		return vmx_entry_failed(cpu, REASON_ENTRY_GUEST_STATE, QUAL_PDPTE);
	bad = vmx_msr_load(cpu, vmx->vmcs.entry_msr_load, vmx->vmcs.entry_msr_load_count, true);
	if (bad)
		return vmx_entry_failed(cpu, REASON_ENTRY_MSR_LOAD, bad);
	switch_address_space(cpu);
	vmx->vmcs.launched = 1;
	vmx_event_entry(cpu, true);
	return OUTCOME_RESYNC;
}

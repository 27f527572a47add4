/* SPDX-License-Identifier: BSD-2-Clause */
/* VM exit: L2's state into the VMCS, L1's out of it (SDM Vol. 3C chapter 27). */
#include "mem/mem.h"
#include "mmu/mmu.h"
#include "virt/vmx.h"

/* VMX-abort indicators (27.7). */
#define ABORT_SAVE_MSRS 1
#define ABORT_PDPTES	2
#define ABORT_LOAD_MSRS 4

/* -- 27.2: exit information
 * -------------------------------------------------------------------------- */

static void record_exit(struct cpu *cpu)
{
	struct vmx *vmx = cpu->vmx;
	struct vmcs12 *v = &vmx->vmcs;
	const struct vmexit *e = &cpu->vmexit;

	v->exit_reason = e->reason;
	v->exit_qual = e->qual;
	v->exit_intr_info = e->intr_info;
	v->exit_intr_error = e->intr_error;
	v->exit_insn_len = e->insn_len;
	v->exit_insn_info = e->insn_info;
	v->guest_physical = e->gpa;
	v->guest_linear = e->gla;
	v->idt_info = vmx->idt_info;
	v->idt_error = vmx->idt_error;
	vmx->idt_info = 0;
	vmx->idt_error = 0;
	v->entry_intr_info &= ~(u32)INTR_VALID;
}

/* -- 27.3: saving guest state
 * ------------------------------------------------------------------------ */

static void save_controlled(struct cpu *cpu)
{
	struct vmx *vmx = cpu->vmx;
	struct vmcs12 *v = &vmx->vmcs;

	if (vmx->ctls.exit & EXIT_SAVE_DEBUG) {
		v->guest_dr7 = cpu->dr[7];
		v->guest_debugctl = cpu->msr.debugctl;
	}
	if (vmx->ctls.exit & EXIT_SAVE_PAT)
		v->guest_pat = cpu->msr.pat;
	if (vmx->ctls.exit & EXIT_SAVE_EFER)
		v->guest_efer = cpu->efer;
	if (vmx->ctls.exit & EXIT_SAVE_TIMER)
		v->preemption_timer = vmx_timer_remaining(cpu);
	/* As IA32_VMX_MISC bit 5 promises. */
	v->entry_controls = (v->entry_controls & ~(u32)ENTRY_IA32E) |
			    (cpu_long_mode(cpu) ? (u32)ENTRY_IA32E : 0);
}

static void save_segments(struct cpu *cpu)
{
	struct vmcs12 *v = &cpu->vmx->vmcs;

	for (unsigned i = 0; i < NSEGS; i++) {
		const struct segment *s = &cpu->seg[i];

		v->guest_selector[i] = s->selector;
		v->guest_base[i] = s->base;
		v->guest_limit[i] = s->limit;
		v->guest_ar[i] = (s->attr & 0xf0ffu) | (s->unusable ? (u32)AR_UNUSABLE : 0);
	}
	v->guest_gdtr_base = cpu->gdt.base;
	v->guest_gdtr_limit = cpu->gdt.limit;
	v->guest_idtr_base = cpu->idt.base;
	v->guest_idtr_limit = cpu->idt.limit;
}

static void save_nonreg(struct cpu *cpu)
{
	struct vmcs12 *v = &cpu->vmx->vmcs;
	u64 pending = cpu->pending_db & (MASK(3, 0) | DR6_BS);

	v->guest_interruptibility = cpu->shadow | (cpu->nmi_masked ? (u32)GUEST_BLOCK_NMI : 0);
	v->guest_activity = cpu->halted ? GUEST_HLT : GUEST_ACTIVE;
	v->guest_pending_dbg = pending | (pending & MASK(3, 0) ? PENDING_DBG_ENABLED : 0);
}

void vmx_save_guest(struct cpu *cpu)
{
	struct vmx *vmx = cpu->vmx;
	struct vmcs12 *v = &vmx->vmcs;

	v->guest_cr0 = cpu->cr0;
	v->guest_cr3 = cpu->cr3;
	v->guest_cr4 = cpu->cr4;
	v->guest_rsp = cpu->gpr[REG_RSP];
	v->guest_rip = cpu->rip;
	v->guest_rflags = cpu_rflags(cpu);
	v->guest_sysenter_cs = (u32)cpu->msr.sysenter_cs;
	v->guest_sysenter_esp = cpu->msr.sysenter_esp;
	v->guest_sysenter_eip = cpu->msr.sysenter_eip;
	if (vmx_has_ept(vmx))
		__builtin_memcpy(v->guest_pdpte, cpu->pdpte, sizeof(cpu->pdpte));
	save_controlled(cpu);
	save_segments(cpu);
	save_nonreg(cpu);
}

/* -- 27.5: loading host state
 * ------------------------------------------------------------------------ */

static void load_host_crs(struct cpu *cpu)
{
	const struct vmx *vmx = cpu->vmx;
	const struct vmcs12 *v = &vmx->vmcs;
	u64 keep = CR0_CD | CR0_NW;
	bool host64 = vmx->ctls.exit & EXIT_HOST_64;

	cpu->cr0 = (v->host_cr0 & ~keep & 0xffffffff) | (cpu->cr0 & keep) | CR0_ET;
	cpu->cr3 = v->host_cr3;
	cpu->cr4 = host64 ? v->host_cr4 | CR4_PAE : v->host_cr4 & ~CR4_PCIDE;
}

static void load_host_msrs(struct cpu *cpu)
{
	const struct vmx *vmx = cpu->vmx;
	const struct vmcs12 *v = &vmx->vmcs;
	u64 lm = EFER_LMA | EFER_LME;

	cpu->dr[7] = DR7_FIXED;
	cpu->msr.debugctl = 0;
	cpu->msr.sysenter_cs = v->host_sysenter_cs;
	cpu->msr.sysenter_esp = v->host_sysenter_esp;
	cpu->msr.sysenter_eip = v->host_sysenter_eip;
	if (vmx->ctls.exit & EXIT_LOAD_PAT)
		cpu->msr.pat = v->host_pat;
	if (vmx->ctls.exit & EXIT_LOAD_EFER)
		cpu->efer = v->host_efer;
	cpu->efer = vmx->ctls.exit & EXIT_HOST_64 ? cpu->efer | lm : cpu->efer & ~lm;
}

#define AR_CODE (SEG_ATTR_G | SEG_ATTR_P | SEG_ATTR_S | 11u)
#define AR_DATA (SEG_ATTR_G | SEG_ATTR_DB | SEG_ATTR_P | SEG_ATTR_S | 3u)
#define AR_TSS	(SEG_ATTR_P | 11u)

static void load_host_data_segment(struct cpu *cpu, unsigned seg, u16 selector, u64 base)
{
	cpu->seg[seg] = (struct segment){.selector = selector,
					 .base = base,
					 .limit = 0xffffffff,
					 .attr = AR_DATA,
					 .unusable = !selector};
}

static void load_host_segments(struct cpu *cpu)
{
	const struct vmcs12 *v = &cpu->vmx->vmcs;
	u16 size = cpu->vmx->ctls.exit & EXIT_HOST_64 ? SEG_ATTR_L : SEG_ATTR_DB;

	cpu->seg[SEG_CS] = (struct segment){
		.selector = v->host_cs, .limit = 0xffffffff, .attr = AR_CODE | size};
	load_host_data_segment(cpu, SEG_SS, v->host_ss, 0);
	load_host_data_segment(cpu, SEG_DS, v->host_ds, 0);
	load_host_data_segment(cpu, SEG_ES, v->host_es, 0);
	load_host_data_segment(cpu, SEG_FS, v->host_fs, v->host_fs_base);
	load_host_data_segment(cpu, SEG_GS, v->host_gs, v->host_gs_base);
	cpu->seg[SEG_TR] = (struct segment){
		.selector = v->host_tr, .base = v->host_tr_base, .limit = 0x67, .attr = AR_TSS};
	cpu->seg[SEG_LDTR] = (struct segment){.unusable = true};
	cpu->gdt = (struct dtable){.base = v->host_gdtr_base, .limit = 0xffff};
	cpu->idt = (struct dtable){.base = v->host_idtr_base, .limit = 0xffff};
}

static void leave_guest_mode(struct cpu *cpu)
{
	cpu->guest_mode = false;
	cpu->intercepts = 0;
	cpu->nested.kind = NESTED_NONE;
	cpu->vpid = 0;
	cpu->tsc_offset_l2 = 0;
	cpu->shadow = 0;
	cpu->pending_db = 0;
	cpu->halted = false;
}

static enum outcome abort_vmx(struct cpu *cpu, u32 indicator)
{
	struct vmx *vmx = cpu->vmx;

	vmx->vmcs.abort = indicator;
	vmx_vmcs_flush(cpu);
	return OUTCOME_SHUTDOWN;
}

static enum outcome load_host(struct cpu *cpu)
{
	struct vmx *vmx = cpu->vmx;
	const struct vmcs12 *v = &vmx->vmcs;

	leave_guest_mode(cpu);
	load_host_crs(cpu);
	load_host_msrs(cpu);
	load_host_segments(cpu);
	cpu->gpr[REG_RSP] = v->host_rsp;
	cpu->rip = v->host_rip;
	cpu_rflags_set(cpu, RFLAGS_FIXED);
	if (!cpu_long_mode(cpu) && cpu->cr4 & CR4_PAE && !mmu_load_pdptes(cpu, cpu->cr3))
		return abort_vmx(cpu, ABORT_PDPTES);
	sys_mode_update(cpu);
	if (vmx->ctls.cpu2 & CPU2_VPID)
		mmu_context_switch(cpu);
	else
		mmu_invvpid(cpu, 1, 0, 0);
	if (vmx_msr_load(cpu, v->exit_msr_load, v->exit_msr_load_count, false))
		return abort_vmx(cpu, ABORT_LOAD_MSRS);
	return OUTCOME_OK;
}

/* -- the two ways out
 * ---------------------------------------------------------------------------------- */

/* NMIs are blocked after an exit that one caused; virtual blocking ends with the guest (27.5.5). */
static bool nmi_masked_after(const struct cpu *cpu)
{
	if (cpu->vmexit.reason == REASON_EXCEPTION_NMI &&
	    INTR_TYPE(cpu->vmexit.intr_info) == EVENT_TYPE_NMI)
		return true;
	return !(cpu->vmx->ctls.pin & PIN_VNMI) && cpu->nmi_masked;
}

enum outcome virt_exit(struct cpu *cpu)
{
	struct vmx *vmx = cpu->vmx;
	bool nmi_masked = nmi_masked_after(cpu);

	record_exit(cpu);
	vmx_save_guest(cpu);
	vmx_event_exit(cpu);
	if (!vmx_msr_store(cpu, vmx->vmcs.exit_msr_store, vmx->vmcs.exit_msr_store_count)) {
		leave_guest_mode(cpu);
		return abort_vmx(cpu, ABORT_SAVE_MSRS);
	}
	cpu->nmi_masked = nmi_masked;
	return load_host(cpu);
}

/* 26.8: nothing but reason and qualification is recorded, and no guest state is saved. */
enum outcome vmx_entry_failed(struct cpu *cpu, u32 reason, u64 qual)
{
	struct vmcs12 *v = &cpu->vmx->vmcs;
	enum outcome o;

	v->exit_reason = reason | (u32)REASON_ENTRY_FAILURE;
	v->exit_qual = qual;
	o = load_host(cpu);
	return o ? o : OUTCOME_RESYNC;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* The VMX instructions (SDM Vol. 3C chapter 30). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mem/mem.h"
#include "mmu/mmu.h"
#include "virt/vmx.h"

int virt_init(struct cpu *cpu, const struct virt_params *params)
{
	struct vmx *vmx = calloc(1, sizeof(*vmx));

	if (!vmx)
		return -ENOMEM;
	vmx->params = *params;
	vmx_caps_init(&vmx->offered, params);
	vmx->caps = vmx->offered;
	vmx->current = NO_VMCS;
	cpu->vmx = vmx;
	return 0;
}

void virt_destroy(struct cpu *cpu)
{
	free(cpu->vmx);
	cpu->vmx = NULL;
}

void virt_reset(struct cpu *cpu)
{
	struct vmx *vmx = cpu->vmx;

	if (!vmx)
		return;
	if (cpu->guest_mode)
		vmx_event_exit(cpu);
	vmx->vmxon = false;
	vmx->vmxon_pa = 0;
	vmx->current = NO_VMCS;
	vmx->checked = 0;
	vmx->inject = false;
	cpu->guest_mode = false;
	cpu->intercepts = 0;
	cpu->nested.kind = NESTED_NONE;
	cpu->vpid = 0;
	cpu->tsc_offset_l2 = 0;
}

bool virt_cr0_allowed(const struct cpu *cpu, u64 value)
{
	const struct vmx *vmx = cpu->vmx;

	if (!vmx || !vmx->vmxon)
		return true;
	if (cpu->guest_mode)
		return vmx_guest_cr0_ok(cpu, (u32)value);
	return vmx_fixed_ok((u32)value, CAP(&vmx->caps, CR0_FIXED0), CAP(&vmx->caps, CR0_FIXED1));
}

bool virt_cr4_allowed(const struct cpu *cpu, u64 value)
{
	const struct vmx *vmx = cpu->vmx;

	return !vmx || !vmx->vmxon ||
	       vmx_fixed_ok(value, CAP(&vmx->caps, CR4_FIXED0), vmx_cr4_fixed1(cpu));
}

/* -- conventions (30.2)
 * ---------------------------------------------------------------------------- */

static enum outcome succeed(struct cpu *cpu)
{
	cpu->cc = 0;
	return OUTCOME_OK;
}

static enum outcome fail_invalid(struct cpu *cpu)
{
	cpu->cc = CC_CF;
	return OUTCOME_OK;
}

/* VMfail: with an error number where there is a VMCS to hold it. */
static enum outcome fail(struct cpu *cpu, u32 error)
{
	struct vmx *vmx = cpu->vmx;

	if (vmx->current == NO_VMCS)
		return fail_invalid(cpu);
	vmx->vmcs.insn_error = error;
	cpu->cc = CC_ZF;
	return OUTCOME_OK;
}

/* VMX instructions do not exist in real, virtual-8086 and compatibility mode. */
static bool mode_ok(const struct cpu *cpu)
{
	return cpu_protected(cpu) && !cpu_v86(cpu) && (!cpu_long_mode(cpu) || cpu->mode == CODE_64);
}

/* What all but VMXON check first: #UD, then the vmexit of a guest, then #GP(0). OUTCOME_OK: go on.
 */
static enum outcome begin(struct cpu *cpu, u32 reason, u64 qual, u32 len, u32 info)
{
	if (!cpu->vmx || !cpu->vmx->vmxon || !mode_ok(cpu))
		return cpu_fault(cpu, VEC_UD);
	if (cpu->guest_mode) {
		vmx_exit(cpu, reason, qual, len);
		cpu->vmexit.insn_info = info;
		return OUTCOME_VMEXIT;
	}
	if (cpu->cpl)
		return cpu_fault_code(cpu, VEC_GP, 0);
	return OUTCOME_OK;
}

/* The memory operand of VMXON, VMCLEAR and VMPTRLD. */
static enum outcome read_pointer(struct cpu *cpu, u64 gva, u64 *pointer)
{
	return mmu_read(cpu, gva, pointer, 8, MMU_READ);
}

/* -- VMXON, VMXOFF
 * ---------------------------------------------------------------------------------- */

#define FEATURE_CONTROL_LOCK  BIT(0)
#define FEATURE_CONTROL_VMXON BIT(2)

static bool revision_ok(const struct cpu *cpu, u64 gpa)
{
	u32 revision;

	return !mem_read(cpu->mem, gpa, &revision, 4) && revision == VMCS12_REVISION;
}

static bool vmxon_allowed(const struct cpu *cpu)
{
	const struct vmx_caps *caps = &cpu->vmx->caps;
	u64 fc = FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMXON;

	return !cpu->cpl && (cpu->msr.feature_control & fc) == fc &&
	       vmx_fixed_ok(cpu->cr0, CAP(caps, CR0_FIXED0), CAP(caps, CR0_FIXED1)) &&
	       vmx_fixed_ok(cpu->cr4, CAP(caps, CR4_FIXED0), vmx_cr4_fixed1(cpu));
}

enum outcome virt_vmxon(struct cpu *cpu, u64 gva, u32 insn_len, u32 insn_info, u64 disp)
{
	struct vmx *vmx = cpu->vmx;
	enum outcome o;
	u64 pa;

	if (!vmx || !vmx->params.nested || !(cpu->cr4 & CR4_VMXE) || !mode_ok(cpu))
		return cpu_fault(cpu, VEC_UD);
	if (vmx->vmxon) {
		o = begin(cpu, REASON_VMXON, disp, insn_len, insn_info);
		return o ? o : fail(cpu, VMERR_VMXON_IN_ROOT);
	}
	if (!vmxon_allowed(cpu))
		return cpu_fault_code(cpu, VEC_GP, 0);
	o = read_pointer(cpu, gva, &pa);
	if (o)
		return o;
	if (!vmx_page_valid(cpu, pa) || !revision_ok(cpu, pa))
		return fail_invalid(cpu);
	vmx->vmxon = true;
	vmx->vmxon_pa = pa;
	vmx->current = NO_VMCS;
	return succeed(cpu);
}

enum outcome virt_vmxoff(struct cpu *cpu, u32 insn_len)
{
	enum outcome o = begin(cpu, REASON_VMXOFF, 0, insn_len, 0);

	if (o)
		return o;
	vmx_vmcs_flush(cpu);
	cpu->vmx->current = NO_VMCS;
	cpu->vmx->vmxon = false;
	return succeed(cpu);
}

/* -- VMCLEAR, VMPTRLD, VMPTRST
 * ---------------------------------------------------------------------- */

void vmx_vmcs_flush(struct cpu *cpu)
{
	struct vmx *vmx = cpu->vmx;

	/* Where the memory has gone there is nobody to complain to. */
	if (vmx->current != NO_VMCS)
		(void)mem_write(cpu->mem, vmx->current, &vmx->vmcs, sizeof(vmx->vmcs));
}

enum outcome virt_vmclear(struct cpu *cpu, u64 gva, u32 insn_len, u32 insn_info, u64 disp)
{
	enum outcome o = begin(cpu, REASON_VMCLEAR, disp, insn_len, insn_info);
	struct vmx *vmx = cpu->vmx;
	u32 clear = 0;
	u64 pa;

	if (!o)
		o = read_pointer(cpu, gva, &pa);
	if (o)
		return o;
	if (!vmx_page_valid(cpu, pa))
		return fail(cpu, VMERR_VMCLEAR_ADDRESS);
	if (pa == vmx->vmxon_pa)
		return fail(cpu, VMERR_VMCLEAR_VMXON);
	if (pa == vmx->current) {
		vmx_vmcs_flush(cpu);
		vmx->current = NO_VMCS;
	}
	(void)mem_write(cpu->mem, pa + offsetof(struct vmcs12, launched), &clear, 4);
	return succeed(cpu);
}

enum outcome virt_vmptrld(struct cpu *cpu, u64 gva, u32 insn_len, u32 insn_info, u64 disp)
{
	enum outcome o = begin(cpu, REASON_VMPTRLD, disp, insn_len, insn_info);
	struct vmx *vmx = cpu->vmx;
	u64 pa;

	if (!o)
		o = read_pointer(cpu, gva, &pa);
	if (o)
		return o;
	if (!vmx_page_valid(cpu, pa))
		return fail(cpu, VMERR_VMPTRLD_ADDRESS);
	if (pa == vmx->vmxon_pa)
		return fail(cpu, VMERR_VMPTRLD_VMXON);
	if (pa == vmx->current)
		return succeed(cpu);
	if (!revision_ok(cpu, pa))
		return fail(cpu, VMERR_VMPTRLD_REVISION);
	vmx_vmcs_flush(cpu);
	vmx->current = NO_VMCS;
	if (mem_read(cpu->mem, pa, &vmx->vmcs, sizeof(vmx->vmcs)))
		return fail_invalid(cpu);
	vmx->current = pa;
	vmx->checked = 0;
	return succeed(cpu);
}

enum outcome virt_vmptrst(struct cpu *cpu, u64 gva, u32 insn_len, u32 insn_info, u64 disp)
{
	enum outcome o = begin(cpu, REASON_VMPTRST, disp, insn_len, insn_info);

	if (!o)
		o = mmu_write(cpu, gva, &cpu->vmx->current, 8, MMU_WRITE);
	return o ? o : succeed(cpu);
}

/* -- VMREAD, VMWRITE
 * --------------------------------------------------------------------------------- */

enum outcome virt_vmread(struct cpu *cpu, u64 field, u64 *value, u32 insn_len, u32 insn_info,
			 u64 disp, bool *failed)
{
	enum outcome o = begin(cpu, REASON_VMREAD, disp, insn_len, insn_info);
	struct vmcs_field f;

	*failed = true;
	if (o)
		return o;
	if (cpu->vmx->current == NO_VMCS)
		return fail_invalid(cpu);
	f = vmcs_field_find(field);
	if (!f.offset)
		return fail(cpu, VMERR_FIELD);
	*value = vmcs_field_read(&cpu->vmx->vmcs, f);
	*failed = false;
	return succeed(cpu);
}

enum outcome virt_vmwrite(struct cpu *cpu, u64 field, u64 value, u32 insn_len, u32 insn_info,
			  u64 disp)
{
	enum outcome o = begin(cpu, REASON_VMWRITE, disp, insn_len, insn_info);
	struct vmx *vmx = cpu->vmx;
	struct vmcs_field f;

	if (o)
		return o;
	if (vmx->current == NO_VMCS)
		return fail_invalid(cpu);
	f = vmcs_field_find(field);
	if (!f.offset)
		return fail(cpu, VMERR_FIELD);
	if (vmcs_field_read_only(field) && !(CAP(&vmx->caps, MISC) & VMX_MISC_VMWRITE_RO))
		return fail(cpu, VMERR_READ_ONLY);
	vmcs_field_write(&vmx->vmcs, f, value);
	vmx->checked &= ~f.checks;
	return succeed(cpu);
}

/* -- VMLAUNCH, VMRESUME: up to where failures are still VMfail (26.1, 26.2)
 * -------------------------- */

/* Checks of one part of the VMCS also look at controls, which belong to another. */
static void recheck_dependents(struct vmx *vmx)
{
	const struct vmx_ctls *now = &vmx->ctls, *then = &vmx->checked_ctls;

	if (now->exit != then->exit || now->entry != then->entry)
		vmx->checked &= ~VMCS_CHECK_HOST;
	if (now->entry != then->entry || now->cpu2 != then->cpu2)
		vmx->checked &= ~VMCS_CHECK_GUEST;
}

/* Checks what has changed since the same contents were last found good. 0 or a VM-instruction
 * error. */
static u32 check_controls_and_host(struct cpu *cpu)
{
	struct vmx *vmx = cpu->vmx;

	vmx_unpack_controls(&vmx->vmcs, &vmx->ctls);
	recheck_dependents(vmx);
	if (!(vmx->checked & VMCS_CHECK_CTLS) && !vmx_check_controls(cpu))
		return VMERR_CONTROLS;
	if (!vmx_check_injection(cpu) || !vmx_check_tpr_threshold(cpu))
		return VMERR_CONTROLS;
	if (!(vmx->checked & VMCS_CHECK_HOST) && !vmx_check_host(cpu))
		return VMERR_HOST_STATE;
	/* 26.2.4 */
	if (cpu_long_mode(cpu) != !!(vmx->ctls.exit & EXIT_HOST_64))
		return VMERR_HOST_STATE;
	vmx->checked |= VMCS_CHECK_CTLS | VMCS_CHECK_HOST;
	vmx->checked_ctls = vmx->ctls;
	return 0;
}

enum outcome virt_vmlaunch(struct cpu *cpu, bool resume, u64 rip_next, u32 insn_len)
{
	enum outcome o = begin(cpu, resume ? REASON_VMRESUME : REASON_VMLAUNCH, 0, insn_len, 0);
	struct vmx *vmx = cpu->vmx;
	u32 error;

	if (o)
		return o;
	if (vmx->current == NO_VMCS)
		return fail_invalid(cpu);
	if (cpu->shadow & SHADOW_MOVSS)
		return fail(cpu, VMERR_MOV_SS);
	if (resume && !vmx->vmcs.launched)
		return fail(cpu, VMERR_RESUME_NOT_LAUNCHED);
	if (!resume && vmx->vmcs.launched)
		return fail(cpu, VMERR_LAUNCH_NOT_CLEAR);
	error = check_controls_and_host(cpu);
	if (error)
		return fail(cpu, error);
	return vmx_enter(cpu);
}

/* -- INVEPT, INVVPID
 * ---------------------------------------------------------------------------------- */

struct invalidate_descriptor {
	u64 first, second;
};

static enum outcome read_descriptor(struct cpu *cpu, u64 gva, struct invalidate_descriptor *d)
{
	return mmu_read(cpu, gva, d, sizeof(*d), MMU_READ);
}

enum outcome virt_invept(struct cpu *cpu, u64 type, u64 gva, u32 insn_len, u32 insn_info, u64 disp)
{
	const struct vmx *vmx = cpu->vmx;
	struct invalidate_descriptor d;
	enum outcome o;

	if (!vmx || !(CAP(&vmx->caps, EPT_VPID) & VMX_EPT_INVEPT))
		return cpu_fault(cpu, VEC_UD);
	o = begin(cpu, REASON_INVEPT, disp, insn_len, insn_info);
	if (o)
		return o;
	if (type != 1 && type != 2)
		return fail(cpu, VMERR_INVALIDATE_OPERAND);
	o = read_descriptor(cpu, gva, &d);
	if (o)
		return o;
	/* What INVEPT ignores of an EPTP names the same tables all the same. */
	if (type == 1 && !mmu_phys_valid(cpu, d.first))
		return fail(cpu, VMERR_INVALIDATE_OPERAND);
	mmu_invept(cpu, type == 2, d.first);
	return succeed(cpu);
}

/* 30.3, INVVPID: 0 individual address, 1 single context, 2 all, 3 single context but globals. */
static bool invvpid_operand_ok(const struct cpu *cpu, u64 type,
			       const struct invalidate_descriptor *d)
{
	if (d->first >> 16)
		return false;
	if (type != 2 && !d->first)
		return false;
	return type != 0 || cpu_canonical(cpu, d->second);
}

enum outcome virt_invvpid(struct cpu *cpu, u64 type, u64 gva, u32 insn_len, u32 insn_info, u64 disp)
{
	const struct vmx *vmx = cpu->vmx;
	struct invalidate_descriptor d;
	enum outcome o;

	if (!vmx || !(CAP(&vmx->caps, EPT_VPID) & VMX_VPID_INVVPID))
		return cpu_fault(cpu, VEC_UD);
	o = begin(cpu, REASON_INVVPID, disp, insn_len, insn_info);
	if (o)
		return o;
	if (type > 3 || !(CAP(&vmx->caps, EPT_VPID) & VMX_VPID_ADDRESS << type))
		return fail(cpu, VMERR_INVALIDATE_OPERAND);
	o = read_descriptor(cpu, gva, &d);
	if (o)
		return o;
	if (!invvpid_operand_ok(cpu, type, &d))
		return fail(cpu, VMERR_INVALIDATE_OPERAND);
	mmu_invvpid(cpu, (unsigned)type, (u16)d.first, d.second);
	return succeed(cpu);
}

/* -- VMCALL, VMFUNC
 * ----------------------------------------------------------------------------------- */

enum outcome virt_vmcall(struct cpu *cpu, u32 insn_len)
{
	if (cpu->guest_mode)
		return vmx_exit(cpu, REASON_VMCALL, 0, insn_len);
	return OUTCOME_OK;
}

/* No VM functions are offered: enabling them fails, and VMFUNC is #UD. */
enum outcome virt_vmfunc(struct cpu *cpu, u32 insn_len)
{
	return cpu_fault(cpu, VEC_UD);
}

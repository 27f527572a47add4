/* SPDX-License-Identifier: BSD-2-Clause */
/* Checks on the VMX controls (SDM Vol. 3C 26.2.1). Any failure is VMfail with error 7. */
#include "mem/mem.h"
#include "mmu/mmu.h"
#include "virt/vmx.h"

void vmx_unpack_controls(const struct vmcs12 *v, struct vmx_ctls *c)
{
	c->pin = v->pin_controls;
	c->cpu = v->cpu_controls;
	c->cpu2 = c->cpu & CPU_SECONDARY ? v->cpu2_controls : 0;
	c->entry = v->entry_controls;
	c->exit = v->exit_controls;
}

bool vmx_page_valid(const struct cpu *cpu, u64 gpa)
{
	return IS_ALIGNED(gpa, PAGE_SIZE) && mmu_phys_valid(cpu, gpa);
}

/* -- 26.2.1.1: VM-execution control fields --------------------------------------------------------
 */

static bool reserved_ok(const struct vmx *vmx)
{
	const struct vmx_ctls *c = &vmx->ctls;

	return vmx_control_ok(c->pin, CAP(&vmx->caps, TRUE_PINBASED)) &&
	       vmx_control_ok(c->cpu, CAP(&vmx->caps, TRUE_PROCBASED)) &&
	       (!(c->cpu & CPU_SECONDARY) || vmx_control_ok(c->cpu2, CAP(&vmx->caps, PROCBASED2)));
}

/* CR3-target count: IA32_VMX_MISC says that there are none. */
static bool cr3_targets_ok(const struct vmx *vmx)
{
	return vmx->vmcs.cr3_target_count == 0;
}

static bool bitmaps_ok(const struct cpu *cpu)
{
	const struct vmx *vmx = cpu->vmx;

	if (vmx->ctls.cpu & CPU_IO_BITMAPS && !(vmx_page_valid(cpu, vmx->vmcs.io_bitmap_a) &&
						vmx_page_valid(cpu, vmx->vmcs.io_bitmap_b)))
		return false;
	return !(vmx->ctls.cpu & CPU_MSR_BITMAPS) || vmx_page_valid(cpu, vmx->vmcs.msr_bitmap);
}

static bool tpr_shadow_ok(const struct cpu *cpu)
{
	const struct vmx *vmx = cpu->vmx;

	if (!(vmx->ctls.cpu & CPU_TPR_SHADOW))
		return true;
	return vmx_page_valid(cpu, vmx->vmcs.virtual_apic) && !(vmx->vmcs.tpr_threshold >> 4);
}

/* Without virtual-interrupt delivery and virtualized APIC accesses, which are not offered: the
 * threshold must not be above VTPR's class. */
bool vmx_check_tpr_threshold(const struct cpu *cpu)
{
	const struct vmx *vmx = cpu->vmx;
	u8 vtpr;

	if (!(vmx->ctls.cpu & CPU_TPR_SHADOW))
		return true;
	if (mem_read(cpu->mem, vmx->vmcs.virtual_apic + 0x80, &vtpr, 1))
		return true;
	return (vmx->vmcs.tpr_threshold & 15) <= vtpr >> 4;
}

static bool nmi_ok(const struct vmx *vmx)
{
	if (!(vmx->ctls.pin & PIN_NMI) && vmx->ctls.pin & PIN_VNMI)
		return false;
	return vmx->ctls.pin & PIN_VNMI || !(vmx->ctls.cpu & CPU_NMI_WINDOW);
}

/* The EPTP: write-back, four levels, A/D only where offered, nothing reserved. */
static bool eptp_ok(const struct cpu *cpu)
{
	const struct vmx *vmx = cpu->vmx;
	u64 eptp = vmx->vmcs.eptp;

	if (!(vmx->ctls.cpu2 & CPU2_EPT))
		return true;
	if (bits(eptp, 2, 0) != 6 || bits(eptp, 5, 3) != 3 || bits(eptp, 11, 7))
		return false;
	if (eptp & BIT(6) && !(CAP(&vmx->caps, EPT_VPID) & VMX_EPT_AD))
		return false;
	return mmu_phys_valid(cpu, eptp);
}

static bool secondary_ok(const struct cpu *cpu)
{
	const struct vmx *vmx = cpu->vmx;

	if (vmx->ctls.cpu2 & CPU2_VPID && !vmx->vmcs.vpid)
		return false;
	if (vmx->ctls.cpu2 & CPU2_UNRESTRICTED && !(vmx->ctls.cpu2 & CPU2_EPT))
		return false;
	return eptp_ok(cpu);
}

/* -- 26.2.1.2: VM-exit control fields -------------------------------------------------------------
 */

/* Lists are 16-byte aligned and end below MAXPHYADDR; an empty one may be anywhere. */
static bool msr_list_ok(const struct cpu *cpu, u64 gpa, u32 count)
{
	if (!count)
		return true;
	return IS_ALIGNED(gpa, 16) && mmu_phys_valid(cpu, gpa) &&
	       mmu_phys_valid(cpu, gpa + (u64)count * 16 - 1);
}

static bool exit_ok(const struct cpu *cpu)
{
	const struct vmx *vmx = cpu->vmx;
	const struct vmcs12 *v = &vmx->vmcs;

	if (!vmx_control_ok(vmx->ctls.exit, CAP(&vmx->caps, TRUE_EXIT)))
		return false;
	if (!(vmx->ctls.pin & PIN_PREEMPTION) && vmx->ctls.exit & EXIT_SAVE_TIMER)
		return false;
	return msr_list_ok(cpu, v->exit_msr_store, v->exit_msr_store_count) &&
	       msr_list_ok(cpu, v->exit_msr_load, v->exit_msr_load_count);
}

/* -- 26.2.1.3: VM-entry control fields ------------------------------------------------------------
 */

static bool entry_ok(const struct cpu *cpu)
{
	const struct vmx *vmx = cpu->vmx;

	return vmx_control_ok(vmx->ctls.entry, CAP(&vmx->caps, TRUE_ENTRY)) &&
	       msr_list_ok(cpu, vmx->vmcs.entry_msr_load, vmx->vmcs.entry_msr_load_count);
}

bool vmx_check_controls(const struct cpu *cpu)
{
	const struct vmx *vmx = cpu->vmx;

	return reserved_ok(vmx) && cr3_targets_ok(vmx) && bitmaps_ok(cpu) && tpr_shadow_ok(cpu) &&
	       nmi_ok(vmx) && secondary_ok(cpu) && exit_ok(cpu) && entry_ok(cpu);
}

static bool injection_vector_ok(enum event_type type, u8 vector)
{
	switch (type) {
	case EVENT_TYPE_NMI:
		return vector == VEC_NMI;
	case EVENT_HARD_EXCEPTION:
		return vector < 32;
	case EVENT_OTHER: /* pending MTF */
		return vector == 0;
	case EVENT_EXTERNAL:
	case EVENT_SOFT_INT:
	case EVENT_PRIV_SOFT_EXCEPTION:
	case EVENT_SOFT_EXCEPTION:
		return true;
	}
	return false; /* type 1 is reserved */
}

static bool vector_has_error(u8 vector)
{
	return BIT(vector) & (BIT(VEC_DF) | BIT(VEC_TS) | BIT(VEC_NP) | BIT(VEC_SS) | BIT(VEC_GP) |
			      BIT(VEC_PF) | BIT(VEC_AC) | BIT(VEC_CP));
}

static bool injection_error_ok(const struct vmx *vmx, u32 info)
{
	bool protected = !vmx_unrestricted(vmx) || vmx->vmcs.guest_cr0 & CR0_PE;
	bool want =
		INTR_TYPE(info) == EVENT_HARD_EXCEPTION && protected && vector_has_error((u8)info);

	return want == !!(info & INTR_ERROR) &&
	       !(info & INTR_ERROR && vmx->vmcs.entry_error_code >> 16);
}

static bool injection_length_ok(const struct vmx *vmx, enum event_type type)
{
	u32 len = vmx->vmcs.entry_insn_len;

	if (type < EVENT_SOFT_INT || type > EVENT_SOFT_EXCEPTION)
		return true;
	return len <= 15 && (len || CAP(&vmx->caps, MISC) & VMX_MISC_ZERO_LEN);
}

bool vmx_check_injection(const struct cpu *cpu)
{
	const struct vmx *vmx = cpu->vmx;
	u32 info = vmx->vmcs.entry_intr_info;

	if (!(info & INTR_VALID))
		return true;
	return !(info & MASK(30, 12)) && injection_vector_ok(INTR_TYPE(info), (u8)info) &&
	       injection_error_ok(vmx, info) && injection_length_ok(vmx, INTR_TYPE(info));
}

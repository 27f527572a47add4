/* SPDX-License-Identifier: BSD-2-Clause */
/* Checks on the host-state area (SDM Vol. 3C 26.2.2 to 26.2.4). Any failure is VMfail with error 8.
 */
#include "mmu/mmu.h"
#include "virt/vmx.h"

/* Each of the eight PAT entries is a memory type: 0, 1, 4, 5, 6 or 7. */
bool vmx_pat_ok(u64 pat)
{
	for (unsigned i = 0; i < 8; i++, pat >>= 8)
		if ((pat & 0xff) > 7 || (pat & 0xff) == 2 || (pat & 0xff) == 3)
			return false;
	return true;
}

/* -- 26.2.2: control registers and MSRs -----------------------------------------------------------
 */

static bool crs_ok(const struct cpu *cpu)
{
	const struct vmx *vmx = cpu->vmx;
	const struct vmcs12 *v = &vmx->vmcs;

	return vmx_fixed_ok(v->host_cr0, CAP(&vmx->caps, CR0_FIXED0),
			    CAP(&vmx->caps, CR0_FIXED1)) &&
	       vmx_fixed_ok(v->host_cr4, CAP(&vmx->caps, CR4_FIXED0), vmx_cr4_fixed1(cpu)) &&
	       mmu_phys_valid(cpu, v->host_cr3);
}

static bool msrs_ok(const struct cpu *cpu)
{
	const struct vmx *vmx = cpu->vmx;
	const struct vmcs12 *v = &vmx->vmcs;
	bool host64 = vmx->ctls.exit & EXIT_HOST_64;

	if (!cpu_canonical(cpu, v->host_sysenter_esp) || !cpu_canonical(cpu, v->host_sysenter_eip))
		return false;
	if (vmx->ctls.exit & EXIT_LOAD_PAT && !vmx_pat_ok(v->host_pat))
		return false;
	if (!(vmx->ctls.exit & EXIT_LOAD_EFER))
		return true;
	return sys_efer_valid(cpu, v->host_efer) && !!(v->host_efer & EFER_LMA) == host64 &&
	       !!(v->host_efer & EFER_LME) == host64;
}

/* -- 26.2.3: segment and descriptor-table registers -----------------------------------------------
 */

static bool segments_ok(const struct cpu *cpu)
{
	const struct vmcs12 *v = &cpu->vmx->vmcs;
	u16 all = v->host_es | v->host_cs | v->host_ss | v->host_ds | v->host_fs | v->host_gs |
		  v->host_tr;

	/* RPL and TI are 0. */
	if (all & 7 || !v->host_cs || !v->host_tr)
		return false;
	if (!v->host_ss && !(cpu->vmx->ctls.exit & EXIT_HOST_64))
		return false;
	return cpu_canonical(cpu, v->host_fs_base) && cpu_canonical(cpu, v->host_gs_base) &&
	       cpu_canonical(cpu, v->host_gdtr_base) && cpu_canonical(cpu, v->host_idtr_base) &&
	       cpu_canonical(cpu, v->host_tr_base);
}

/* -- 26.2.4: address-space size; that it is L1's own is checked at every entry --------------------
 */

static bool address_space_ok(const struct cpu *cpu)
{
	const struct vmx *vmx = cpu->vmx;
	const struct vmcs12 *v = &vmx->vmcs;
	bool host64 = vmx->ctls.exit & EXIT_HOST_64;

	if (!host64)
		return !(vmx->ctls.entry & ENTRY_IA32E) && !(v->host_cr4 & CR4_PCIDE) &&
		       !(v->host_rip >> 32);
	return v->host_cr4 & CR4_PAE && cpu_canonical(cpu, v->host_rip);
}

bool vmx_check_host(const struct cpu *cpu)
{
	return crs_ok(cpu) && msrs_ok(cpu) && segments_ok(cpu) && address_space_ok(cpu);
}

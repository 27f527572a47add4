/* SPDX-License-Identifier: BSD-2-Clause */
/* VMX capability MSRs (SDM Vol. 3D appendix A) from the parameters. */
#include <string.h>

#include "virt/vmx.h"

/* Bits that are 1 when a hypervisor knows no better ("default1", appendix A.2), without the TRUE
 * MSRs. */
#define PIN_DEFAULT1   0x00000016u
#define CPU_DEFAULT1   0x0401e172u
#define EXIT_DEFAULT1  0x00036dffu
#define ENTRY_DEFAULT1 0x000011ffu

/* As Linux KVM: the preemption timer counts down every 32 cycles of the TSC. */
#define TIMER_RATE 5u

#define PIN_ALLOWED (PIN_EXT_INTR | PIN_NMI | PIN_VNMI)
#define CPU_ALLOWED                                                                                \
	(CPU_INTR_WINDOW | CPU_TSC_OFFSET | CPU_HLT | CPU_INVLPG | CPU_MWAIT | CPU_RDPMC |         \
	 CPU_RDTSC | CPU_CR3_LOAD | CPU_CR3_STORE | CPU_CR8_LOAD | CPU_CR8_STORE |                 \
	 CPU_TPR_SHADOW | CPU_NMI_WINDOW | CPU_MOV_DR | CPU_UNCOND_IO | CPU_IO_BITMAPS | CPU_MTF | \
	 CPU_MSR_BITMAPS | CPU_MONITOR | CPU_PAUSE | CPU_SECONDARY)
#define CPU2_ALLOWED                                                                               \
	(CPU2_DESC | CPU2_RDTSCP | CPU2_WBINVD | CPU2_RDRAND | CPU2_INVPCID | CPU2_RDSEED |        \
	 CPU2_XSAVES)
#define EXIT_ALLOWED                                                                               \
	(EXIT_SAVE_DEBUG | EXIT_HOST_64 | EXIT_ACK_INTR | EXIT_SAVE_PAT | EXIT_LOAD_PAT |          \
	 EXIT_SAVE_EFER | EXIT_LOAD_EFER)
#define ENTRY_ALLOWED (ENTRY_LOAD_DEBUG | ENTRY_IA32E | ENTRY_LOAD_PAT | ENTRY_LOAD_EFER)

/* Allowed 0-settings low, allowed 1-settings high. */
static u64 control(u32 must, u32 may)
{
	return must | (u64)(must | may) << 32;
}

static u32 cpu2_allowed(const struct virt_params *p)
{
	u32 may = CPU2_ALLOWED;

	if (p->ept)
		may |= CPU2_EPT;
	if (p->vpid)
		may |= CPU2_VPID;
	if (p->ept && p->unrestricted_guest)
		may |= CPU2_UNRESTRICTED;
	return may;
}

/* Appendix A.10. */
static u64 ept_vpid(const struct virt_params *p)
{
	u64 caps = 0;

	if (p->ept)
		caps |= VMX_EPT_WALK_4 | VMX_EPT_WB | VMX_EPT_2M | VMX_EPT_1G | VMX_EPT_INVEPT |
			VMX_EPT_SINGLE | VMX_EPT_ALL;
	if (p->ept && p->ept_ad)
		caps |= VMX_EPT_AD;
	if (p->vpid)
		caps |= VMX_VPID_INVVPID | VMX_VPID_ADDRESS | VMX_VPID_SINGLE | VMX_VPID_ALL |
			VMX_VPID_SINGLE_GLOBAL;
	return caps;
}

static void controls_init(struct vmx_caps *c, const struct virt_params *p)
{
	u32 pin = PIN_ALLOWED | (p->preemption_timer ? PIN_PREEMPTION : 0);
	u32 exit = EXIT_ALLOWED | (p->preemption_timer ? EXIT_SAVE_TIMER : 0);

	CAP(c, PINBASED) = control(PIN_DEFAULT1, pin);
	CAP(c, PROCBASED) = control(CPU_DEFAULT1, CPU_ALLOWED);
	CAP(c, EXIT) = control(EXIT_DEFAULT1, exit);
	CAP(c, ENTRY) = control(ENTRY_DEFAULT1, ENTRY_ALLOWED);
	CAP(c, PROCBASED2) = control(0, cpu2_allowed(p));
	/* The TRUE ones: what may really be 0 though it is 1 by default. */
	CAP(c, TRUE_PINBASED) = control(PIN_DEFAULT1, pin);
	CAP(c, TRUE_PROCBASED) =
		control(CPU_DEFAULT1 & ~(u32)(CPU_CR3_LOAD | CPU_CR3_STORE), CPU_ALLOWED);
	CAP(c, TRUE_EXIT) = control(EXIT_DEFAULT1 & ~(u32)EXIT_SAVE_DEBUG, exit);
	CAP(c, TRUE_ENTRY) = control(ENTRY_DEFAULT1 & ~(u32)ENTRY_LOAD_DEBUG, ENTRY_ALLOWED);
}

void vmx_caps_init(struct vmx_caps *c, const struct virt_params *p)
{
	memset(c, 0, sizeof(*c));
	/* A.1: revision, size, write-back, INS/OUTS information, TRUE MSRs. */
	CAP(c, BASIC) = VMCS12_REVISION | (u64)VMCS12_SIZE << 32 | 6ull << 50 | BIT(54) | BIT(55);
	controls_init(c, p);
	CAP(c, MISC) = (p->preemption_timer ? TIMER_RATE : 0) | VMX_MISC_EFER_LMA | VMX_MISC_HLT |
		       VMX_MISC_VMWRITE_RO;
	CAP(c, CR0_FIXED0) = CR0_PE | CR0_NE | CR0_PG;
	CAP(c, CR0_FIXED1) = 0xffffffff;
	CAP(c, CR4_FIXED0) = CR4_VMXE;
	CAP(c, CR4_FIXED1) = 0; /* by CPUID, see vmx_cr4_fixed1() */
	CAP(c, VMCS_ENUM) = vmcs_field_max_index() << 1;
	CAP(c, EPT_VPID) = ept_vpid(p);
}

u64 vmx_cr4_fixed1(const struct cpu *cpu)
{
	return ~sys_cr4_reserved(cpu) | CR4_VMXE;
}

bool virt_msr_feature(const struct virt_params *params, u32 index, u64 *value)
{
	struct vmx_caps caps;

	if (index < MSR_VMX_BASIC || index > MSR_VMX_VMFUNC)
		return false;
	vmx_caps_init(&caps, params);
	*value = caps.msr[index - MSR_VMX_BASIC];
	if (index - MSR_VMX_BASIC == VMX_CR4_FIXED1)
		*value = MASK(22, 0) & ~(CR4_SMXE | BIT(15) | BIT(19));
	return true;
}

bool virt_msr_read(struct cpu *cpu, u32 index, u64 *value, bool host)
{
	const struct vmx *vmx = cpu->vmx;

	if (index < MSR_VMX_BASIC || index > MSR_VMX_VMFUNC || !vmx)
		return false;
	if (!host && !vmx->params.nested)
		return false;
	*value = vmx->caps.msr[index - MSR_VMX_BASIC];
	if (index - MSR_VMX_BASIC == VMX_CR4_FIXED1)
		*value = vmx_cr4_fixed1(cpu);
	return true;
}

/* A control MSR may be narrowed: more bits that must be 1, fewer that may be. */
static bool control_narrows(u64 offered, u64 value)
{
	u32 must = (u32)offered, may = (u32)(offered >> 32);

	return !(must & ~(u32)value) && !((u32)(value >> 32) & ~may);
}

/* The MSR without TRUE follows from the other one. */
static void control_set(struct vmx_caps *c, unsigned i, u64 value)
{
	static const u32 default1[] = {PIN_DEFAULT1, CPU_DEFAULT1, EXIT_DEFAULT1, ENTRY_DEFAULT1};

	c->msr[i] = value;
	if (i >= VMX_TRUE_PINBASED && i <= VMX_TRUE_ENTRY) {
		unsigned n = i - VMX_TRUE_PINBASED;

		c->msr[VMX_PINBASED + n] = value | default1[n] | (u64)default1[n] << 32;
	}
}

/* KVM_SET_MSRS may take features away (as QEMU's vmx-... CPU properties do), never add any. */
bool virt_msr_write(struct cpu *cpu, u32 index, u64 value, bool host)
{
	struct vmx *vmx = cpu->vmx;
	unsigned i = index - MSR_VMX_BASIC;
	u64 offered;

	if (!host || !vmx || index < MSR_VMX_BASIC || index > MSR_VMX_VMFUNC)
		return false;
	offered = vmx->offered.msr[i];
	/* What is there already can always be written back; nothing changes in VMX operation. */
	if (value == vmx->caps.msr[i] || (i == VMX_CR4_FIXED1 && value == vmx_cr4_fixed1(cpu)))
		return true;
	if (vmx->vmxon)
		return false;
	switch (i) {
	case VMX_TRUE_PINBASED:
	case VMX_TRUE_PROCBASED:
	case VMX_TRUE_EXIT:
	case VMX_TRUE_ENTRY:
	case VMX_PROCBASED2:
		if (!control_narrows(offered, value))
			return false;
		control_set(&vmx->caps, i, value);
		return true;
	case VMX_MISC:
		if (bits(value, 4, 0) != bits(offered, 4, 0) || value & ~offered)
			return false;
		break;
	case VMX_EPT_VPID:
	case VMX_VMFUNC:
		if (value & ~offered)
			return false;
		break;
	case VMX_CR0_FIXED0:
	case VMX_CR4_FIXED0:
		if (offered & ~value)
			return false;
		break;
	case VMX_VMCS_ENUM:
		break;
	default:
		return false;
	}
	vmx->caps.msr[i] = value;
	return true;
}

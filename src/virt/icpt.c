/* SPDX-License-Identifier: BSD-2-Clause */
/* Which instructions of L2 exit to L1 (SDM Vol. 3C 25.1), and what they see if not (25.3). */
#include "mem/mem.h"
#include "virt/vmx.h"

/* -- unpacking at entry
 * -------------------------------------------------------------------------------- */

struct control_icpt {
	u32 control;
	u64 icpt;
};

static const struct control_icpt cpu_icpt[] = {
	{CPU_HLT, ICPT_HLT},
	{CPU_INVLPG, ICPT_INVLPG},
	{CPU_MWAIT, ICPT_MWAIT},
	{CPU_RDPMC, ICPT_RDPMC},
	{CPU_RDTSC, ICPT_RDTSC | ICPT_RDTSCP},
	{CPU_TSC_OFFSET, ICPT_TSC_OFFSET},
	{CPU_CR3_LOAD, ICPT_CR3_LOAD},
	{CPU_CR3_STORE, ICPT_CR3_STORE},
	{CPU_CR8_LOAD, ICPT_CR8_LOAD},
	{CPU_CR8_STORE, ICPT_CR8_STORE},
	{CPU_TPR_SHADOW, ICPT_TPR_SHADOW},
	{CPU_MOV_DR, ICPT_DR},
	{CPU_UNCOND_IO, ICPT_IO},
	{CPU_IO_BITMAPS, ICPT_IO},
	{CPU_MONITOR, ICPT_MONITOR},
	{CPU_PAUSE, ICPT_PAUSE},
};

static const struct control_icpt cpu2_icpt[] = {
	{CPU2_DESC, ICPT_DTABLE | ICPT_LDT_TR},
	{CPU2_WBINVD, ICPT_WBINVD},
	{CPU2_RDRAND, ICPT_RDRAND},
	{CPU2_RDSEED, ICPT_RDSEED},
};

/* Exits without a control (25.1.2), or that depend on more than one bit. */
#define ICPT_ALWAYS (ICPT_CPUID | ICPT_INVD | ICPT_XSETBV | ICPT_TASK | ICPT_VMX_INSN | ICPT_MSR)

static u64 unpack(u32 controls, const struct control_icpt *table, unsigned n)
{
	u64 icpt = 0;

	for (unsigned i = 0; i < n; i++)
		if (controls & table[i].control)
			icpt |= table[i].icpt;
	return icpt;
}

/* Instructions that exist in a guest only when enabled; then other controls apply. */
static u64 unpack_enabled(const struct vmx *vmx)
{
	u32 cpu2 = vmx->ctls.cpu2;
	u64 icpt = 0;

	if (!(cpu2 & CPU2_RDTSCP))
		icpt |= ICPT_RDTSCP_UD;
	if (!(cpu2 & CPU2_INVPCID))
		icpt |= ICPT_INVPCID_UD;
	else if (vmx->ctls.cpu & CPU_INVLPG)
		icpt |= ICPT_INVPCID;
	if (!(cpu2 & CPU2_XSAVES))
		icpt |= ICPT_XSAVES_UD;
	else if (vmx->vmcs.xss_exit_bitmap)
		icpt |= ICPT_XSAVES | ICPT_XRSTORS;
	return icpt;
}

void vmx_unpack_intercepts(struct cpu *cpu)
{
	const struct vmx *vmx = cpu->vmx;
	u64 icpt = ICPT_ALWAYS | unpack_enabled(vmx);

	icpt |= unpack(vmx->ctls.cpu, cpu_icpt, ARRAY_SIZE(cpu_icpt));
	icpt |= unpack(vmx->ctls.cpu2, cpu2_icpt, ARRAY_SIZE(cpu2_icpt));
	if (vmx->vmcs.cr0_mask)
		icpt |= ICPT_CR0_WRITE | ICPT_CR_READ;
	if (vmx->vmcs.cr4_mask)
		icpt |= ICPT_CR4_WRITE | ICPT_CR_READ;
	cpu->intercepts = icpt;
}

/* -- instructions without an operand that matters
 * ------------------------------------------------------ */

static u32 simple_reason(u64 icpt)
{
	switch (icpt) {
	case ICPT_HLT:
		return REASON_HLT;
	case ICPT_CPUID:
		return REASON_CPUID;
	case ICPT_RDTSC:
		return REASON_RDTSC;
	case ICPT_RDTSCP:
		return REASON_RDTSCP;
	case ICPT_RDPMC:
		return REASON_RDPMC;
	case ICPT_MWAIT:
		return REASON_MWAIT;
	case ICPT_MONITOR:
		return REASON_MONITOR;
	case ICPT_PAUSE:
		return REASON_PAUSE;
	case ICPT_WBINVD:
		return REASON_WBINVD;
	case ICPT_INVD:
		return REASON_INVD;
	case ICPT_XSETBV:
		return REASON_XSETBV;
	case ICPT_XSAVES:
		return REASON_XSAVES;
	default:
		return REASON_XRSTORS;
	}
}

/* Exits only for components that are asked for, enabled in IA32_XSS and in the exiting bitmap
 * (25.1.3). */
static bool xss_exits(const struct cpu *cpu)
{
	u64 asked = (u32)cpu->gpr[REG_RAX] | cpu->gpr[REG_RDX] << 32;

	return asked & cpu->xss & cpu->vmx->vmcs.xss_exit_bitmap;
}

enum outcome virt_icpt_simple(struct cpu *cpu, u64 icpt, u32 insn_len)
{
	if (!(cpu->intercepts & icpt))
		return OUTCOME_OK;
	if (icpt & (ICPT_XSAVES | ICPT_XRSTORS) && !xss_exits(cpu))
		return OUTCOME_OK;
	return vmx_exit(cpu, simple_reason(icpt), 0, insn_len);
}

enum outcome virt_icpt_operand(struct cpu *cpu, u64 icpt, u32 insn_len, u64 qual, u32 insn_info)
{
	u32 reason = icpt == ICPT_INVLPG    ? REASON_INVLPG
		     : icpt == ICPT_INVPCID ? REASON_INVPCID
		     : icpt == ICPT_DTABLE  ? REASON_GDTR_IDTR
		     : icpt == ICPT_LDT_TR  ? REASON_LDTR_TR
		     : icpt == ICPT_RDRAND  ? REASON_RDRAND
					    : REASON_RDSEED;

	if (!(cpu->intercepts & icpt))
		return OUTCOME_OK;
	vmx_exit(cpu, reason, qual, insn_len);
	cpu->vmexit.insn_info = insn_info;
	return OUTCOME_VMEXIT;
}

/* -- control registers: qualification as in table 27-3
 * ------------------------------------------------- */

enum { CR_MOV_TO = 0, CR_MOV_FROM = 1, CR_CLTS = 2, CR_LMSW = 3 };

static enum outcome cr_exit(struct cpu *cpu, unsigned cr, unsigned type, unsigned gpr, u32 len)
{
	return vmx_exit(cpu, REASON_CR_ACCESS, cr | type << 4 | (u64)gpr << 8, len);
}

/* CR0, CR4: exits when a bit that L1 owns would differ from its shadow; else L1's bits stay. */
static bool masked_write(u64 mask, u64 shadow, u64 current, u64 *value)
{
	if ((*value ^ shadow) & mask)
		return false;
	*value = (*value & ~mask) | (current & mask);
	return true;
}

enum outcome virt_icpt_cr_write(struct cpu *cpu, unsigned cr, unsigned gpr, u64 *value,
				u32 insn_len)
{
	const struct vmx *vmx = cpu->vmx;
	const struct vmcs12 *v = &vmx->vmcs;
	bool exits = false;

	switch (cr) {
	case 0:
		exits = !masked_write(v->cr0_mask, v->cr0_shadow, cpu->cr0, value);
		break;
	case 3:
		exits = vmx->ctls.cpu & CPU_CR3_LOAD;
		break;
	case 4:
		exits = !masked_write(v->cr4_mask, v->cr4_shadow, cpu->cr4, value);
		break;
	case 8:
		exits = vmx->ctls.cpu & CPU_CR8_LOAD;
		break;
	}
	return exits ? cr_exit(cpu, cr, CR_MOV_TO, gpr, insn_len) : OUTCOME_OK;
}

enum outcome virt_icpt_clts(struct cpu *cpu, u32 insn_len, bool *nop)
{
	const struct vmcs12 *v = &cpu->vmx->vmcs;

	*nop = v->cr0_mask & CR0_TS;
	if (*nop && v->cr0_shadow & CR0_TS)
		return cr_exit(cpu, 0, CR_CLTS, 0, insn_len);
	return OUTCOME_OK;
}

/* LMSW sets but never clears PE, so only setting it can exit. */
enum outcome virt_icpt_lmsw(struct cpu *cpu, u16 *value, u64 mem_gla, bool is_mem, u32 insn_len)
{
	const struct vmcs12 *v = &cpu->vmx->vmcs;
	u64 mask = v->cr0_mask & (CR0_PE | CR0_MP | CR0_EM | CR0_TS);
	u64 differs = (*value ^ v->cr0_shadow) & mask;

	if (!(*value & CR0_PE))
		differs &= ~CR0_PE;
	if (differs) {
		cr_exit(cpu, 0, CR_LMSW, 0, insn_len);
		cpu->vmexit.qual |= (is_mem ? BIT(6) : 0) | (u64)*value << 16;
		cpu->vmexit.gla = is_mem ? mem_gla : 0;
		return OUTCOME_VMEXIT;
	}
	*value = (u16)((*value & ~mask) | (cpu->cr0 & mask));
	return OUTCOME_OK;
}

enum outcome virt_icpt_cr_read(struct cpu *cpu, unsigned cr, unsigned gpr, u64 *value, u32 insn_len)
{
	const struct vmx *vmx = cpu->vmx;
	const struct vmcs12 *v = &vmx->vmcs;

	switch (cr) {
	case 0:
		*value = (cpu->cr0 & ~v->cr0_mask) | (v->cr0_shadow & v->cr0_mask);
		break;
	case 3:
		if (vmx->ctls.cpu & CPU_CR3_STORE)
			return cr_exit(cpu, 3, CR_MOV_FROM, gpr, insn_len);
		*value = cpu->cr3;
		break;
	case 4:
		*value = (cpu->cr4 & ~v->cr4_mask) | (v->cr4_shadow & v->cr4_mask);
		break;
	case 8:
		if (vmx->ctls.cpu & CPU_CR8_STORE)
			return cr_exit(cpu, 8, CR_MOV_FROM, gpr, insn_len);
		*value = vmx->ctls.cpu & CPU_TPR_SHADOW ? virt_tpr_read(cpu)
							: cpu->ops->tpr_read(cpu);
		break;
	}
	return OUTCOME_OK;
}

/* Table 27-4. */
enum outcome virt_icpt_dr(struct cpu *cpu, unsigned dr, unsigned gpr, bool write, u32 insn_len)
{
	if (!(cpu->intercepts & ICPT_DR))
		return OUTCOME_OK;
	return vmx_exit(cpu, REASON_DR_ACCESS, dr | (write ? 0 : BIT(4)) | (u64)gpr << 8, insn_len);
}

/* -- TPR shadow (29.1.1, 29.3)
 * -------------------------------------------------------------------------- */

#define VTPR 0x80

u8 virt_tpr_read(struct cpu *cpu)
{
	u32 vtpr = 0;

	(void)mem_read(cpu->mem, cpu->vmx->vmcs.virtual_apic + VTPR, &vtpr, 4);
	return (u8)bits(vtpr, 7, 4);
}

enum outcome virt_tpr_write(struct cpu *cpu, u8 cr8)
{
	const struct vmcs12 *v = &cpu->vmx->vmcs;
	u32 vtpr = (u32)(cr8 & 15) << 4;

	(void)mem_write(cpu->mem, v->virtual_apic + VTPR, &vtpr, 4);
	if ((cr8 & 15u) < (v->tpr_threshold & 15))
		return vmx_exit(cpu, REASON_TPR_THRESHOLD, 0, 0);
	return OUTCOME_OK;
}

/* -- ports and MSRs
 * -------------------------------------------------------------------------------------- */

/* A bit of a bitmap in guest memory; what cannot be read intercepts everything. */
static bool bitmap_test(const struct cpu *cpu, u64 gpa, unsigned bit)
{
	u8 byte;

	return mem_read(cpu->mem, gpa + bit / 8, &byte, 1) || byte >> (bit % 8) & 1;
}

static bool port_intercepted(const struct cpu *cpu, unsigned port)
{
	const struct vmcs12 *v = &cpu->vmx->vmcs;

	return port < 0x8000 ? bitmap_test(cpu, v->io_bitmap_a, port)
			     : bitmap_test(cpu, v->io_bitmap_b, port - 0x8000);
}

/* With bitmaps, unconditional exiting is ignored; an access that wraps around always exits
 * (25.1.3). */
static bool io_exits(const struct cpu *cpu, u16 port, unsigned size)
{
	if (!(cpu->vmx->ctls.cpu & CPU_IO_BITMAPS))
		return cpu->vmx->ctls.cpu & CPU_UNCOND_IO;
	if (port + size > 0x10000)
		return true;
	for (unsigned i = 0; i < size; i++)
		if (port_intercepted(cpu, port + i))
			return true;
	return false;
}

enum outcome virt_icpt_io(struct cpu *cpu, u16 port, unsigned size, bool in, bool string, bool rep,
			  bool imm, u64 gla, u32 insn_len, u32 insn_info)
{
	u64 qual = (size - 1) | (in ? BIT(3) : 0) | (string ? BIT(4) : 0) | (rep ? BIT(5) : 0) |
		   (imm ? BIT(6) : 0) | (u64)port << 16;

	if (!io_exits(cpu, port, size))
		return OUTCOME_OK;
	vmx_exit(cpu, REASON_IO, qual, insn_len);
	if (string) {
		cpu->vmexit.gla = gla;
		cpu->vmexit.insn_info = insn_info;
	}
	return OUTCOME_VMEXIT;
}

/* The bitmap is four of 1 KiB: reads of low and of high MSRs, then writes (24.6.9). */
static bool msr_exits(const struct cpu *cpu, u32 index, bool write)
{
	u64 bitmap = cpu->vmx->vmcs.msr_bitmap + (write ? 2048 : 0);

	if (!(cpu->vmx->ctls.cpu & CPU_MSR_BITMAPS))
		return true;
	if (index < 0x2000)
		return bitmap_test(cpu, bitmap, index);
	if (index - 0xc0000000u < 0x2000)
		return bitmap_test(cpu, bitmap + 1024, index - 0xc0000000u);
	return true;
}

enum outcome virt_icpt_msr(struct cpu *cpu, u32 index, bool write, u32 insn_len)
{
	if (!msr_exits(cpu, index, write))
		return OUTCOME_OK;
	return vmx_exit(cpu, write ? REASON_WRMSR : REASON_RDMSR, 0, insn_len);
}

/* Table 27-2. */
enum outcome virt_icpt_task(struct cpu *cpu, u16 selector, enum task_source source, u32 insn_len)
{
	return vmx_exit(cpu, REASON_TASK_SWITCH, selector | (u64)source << 30, insn_len);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* SYSCALL, SYSRET, SYSENTER, SYSEXIT (SDM Vol. 2B): they read no descriptors. */
#include "sys/sys_impl.h"

#define ATTR_CODE (SEG_ATTR_P | SEG_ATTR_S | 0xbu)
#define ATTR_DATA (SEG_ATTR_P | SEG_ATTR_S | 0x3u)
#define ATTR_USER SEG_ATTR_DPL /* DPL 3 */
/* RFLAGS that SYSRET takes from R11. */
#define SYSRET_FLAGS 0x3c7fd7ull

static struct segment flat(u16 selector, u16 attr)
{
	return (struct segment){
		.selector = selector, .limit = 0xffffffff, .attr = attr | SEG_ATTR_G};
}

static struct segment flat_code(u16 selector, bool wide, unsigned cpl)
{
	return flat(selector, (u16)(ATTR_CODE | cpl << 5 | (wide ? SEG_ATTR_L : SEG_ATTR_DB)));
}

static struct segment flat_stack(u16 selector, unsigned cpl)
{
	return flat(selector, (u16)(ATTR_DATA | SEG_ATTR_DB | cpl << 5));
}

/* CS and SS at once; the CPL is the stack's DPL. */
static void enter_flat(struct cpu *cpu, u16 cs, u16 ss, bool wide, unsigned cpl)
{
	cpu->seg[SEG_SS] = flat_stack(ss, cpl);
	cpu->seg[SEG_CS] = flat_code(cs, wide, cpl);
	cpu->cpl = (u8)cpl;
	sys_mode_from_cs(cpu);
	mmu_update_mode(cpu);
}

/* -- SYSCALL, SYSRET --------------------------------------------------------------------------- */

/* AMD's works in compatibility and legacy mode as well (APM Vol. 3 SYSCALL). */
static bool syscall_allowed(const struct cpu *cpu)
{
	if (!(cpu->efer & EFER_SCE) || !cpu_protected(cpu))
		return false;
	return cpu->mode == CODE_64 || cpu->vendor_amd;
}

static void syscall_legacy(struct cpu *cpu, u64 rip_next)
{
	u16 sel = cpu->msr.star >> 32 & 0xfffc;

	cpu->gpr[REG_RCX] = (u32)rip_next;
	cpu_rflags_set(cpu, cpu_rflags(cpu) & ~(RFLAGS_VM | RFLAGS_IF | RFLAGS_RF));
	enter_flat(cpu, sel, (u16)(sel + 8), false, 0);
	cpu->rip = (u32)cpu->msr.star;
}

enum outcome sys_syscall(struct cpu *cpu, u64 rip_next)
{
	u16 sel = cpu->msr.star >> 32 & 0xfffc;
	bool wide = cpu->mode == CODE_64;

	if (!syscall_allowed(cpu))
		return cpu_fault(cpu, VEC_UD);
	if (!cpu_long_mode(cpu)) {
		syscall_legacy(cpu, rip_next);
		return OUTCOME_OK;
	}
	u64 flags = cpu_rflags(cpu) & ~RFLAGS_RF;

	cpu->gpr[REG_RCX] = rip_next;
	cpu->gpr[11] = flags;
	cpu_rflags_set(cpu, flags & ~cpu->msr.sfmask);
	enter_flat(cpu, sel, (u16)(sel + 8), true, 0);
	cpu->rip = wide ? cpu->msr.lstar : cpu->msr.cstar;
	return OUTCOME_OK;
}

enum outcome sys_sysret(struct cpu *cpu, unsigned size)
{
	u16 sel = cpu->msr.star >> 48;
	bool wide = size == 8;

	if (!syscall_allowed(cpu))
		return cpu_fault(cpu, VEC_UD);
	if (cpu->cpl != 0)
		return cpu_fault_code(cpu, VEC_GP, 0);
	if (wide && !cpu->vendor_amd && !cpu_canonical(cpu, cpu->gpr[REG_RCX]))
		return cpu_fault_code(cpu, VEC_GP, 0);
	if (cpu_long_mode(cpu))
		cpu_rflags_set(cpu, (cpu->gpr[11] & SYSRET_FLAGS) | RFLAGS_FIXED);
	else
		cpu_rflags_set(cpu, cpu_rflags(cpu) | RFLAGS_IF);
	cpu->rip = wide ? cpu->gpr[REG_RCX] : (u32)cpu->gpr[REG_RCX];
	enter_flat(cpu, (u16)(sel + (wide ? 16 : 0)) | 3, (u16)(sel + 8) | 3, wide, 3);
	/* TF traps at once, as if it were SYSCALL that has just ended. */
	if (unlikely(cpu->rflags_sys & RFLAGS_TF))
		cpu->pending_db |= DR6_BS;
	return OUTCOME_OK;
}

/* -- SYSENTER, SYSEXIT ------------------------------------------------------------------------- */

enum outcome sys_sysenter(struct cpu *cpu)
{
	u16 sel = cpu->msr.sysenter_cs & 0xfffc;
	bool wide = cpu_long_mode(cpu);

	if (cpu->vendor_amd && wide)
		return cpu_fault(cpu, VEC_UD);
	if (!cpu_protected(cpu) || !sel)
		return cpu_fault_code(cpu, VEC_GP, 0);
	cpu_rflags_set(cpu, cpu_rflags(cpu) & ~(RFLAGS_VM | RFLAGS_IF | RFLAGS_RF));
	enter_flat(cpu, sel, (u16)(sel + 8), wide, 0);
	cpu->gpr[REG_RSP] = wide ? cpu->msr.sysenter_esp : (u32)cpu->msr.sysenter_esp;
	cpu->rip = wide ? cpu->msr.sysenter_eip : (u32)cpu->msr.sysenter_eip;
	return OUTCOME_OK;
}

enum outcome sys_sysexit(struct cpu *cpu, unsigned size)
{
	u16 sel = (cpu->msr.sysenter_cs & 0xfffc) + (size == 8 ? 32 : 16);
	u64 rip = cpu->gpr[REG_RDX], rsp = cpu->gpr[REG_RCX];
	bool wide = size == 8;

	if (cpu->vendor_amd && cpu_long_mode(cpu))
		return cpu_fault(cpu, VEC_UD);
	if (!cpu_protected(cpu) || cpu->cpl || !(cpu->msr.sysenter_cs & 0xfffc))
		return cpu_fault_code(cpu, VEC_GP, 0);
	if (wide && (!cpu_canonical(cpu, rip) || !cpu_canonical(cpu, rsp)))
		return cpu_fault_code(cpu, VEC_GP, 0);
	cpu->gpr[REG_RSP] = wide ? rsp : (u32)rsp;
	cpu->rip = wide ? rip : (u32)rip;
	enter_flat(cpu, sel | 3, (u16)(sel + 8) | 3, wide, 3);
	return OUTCOME_OK;
}

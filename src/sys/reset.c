/* SPDX-License-Identifier: BSD-2-Clause */
/* Power-on reset and INIT (SDM Vol. 3A table 9-1). */
#include "cpu/cpuid.h"
#include "cpu/msr.h"
#include "sys/sys_impl.h"

#define ATTR_CODE 0x9bu /* present, code, readable, accessed */
#define ATTR_DATA 0x93u
#define ATTR_LDT  0x82u
#define ATTR_TSS  0x8bu

static struct segment real_segment(u16 selector, u64 base, u16 attr)
{
	return (struct segment){.selector = selector, .base = base, .limit = 0xffff, .attr = attr};
}

static void reset_segments(struct cpu *cpu)
{
	for (unsigned n = 0; n < NSEGS; n++)
		cpu->seg[n] = real_segment(0, 0, ATTR_DATA);
	cpu->seg[SEG_CS] = real_segment(0xf000, 0xffff0000, ATTR_CODE);
	cpu->seg[SEG_LDTR] = real_segment(0, 0, ATTR_LDT);
	cpu->seg[SEG_TR] = real_segment(0, 0, ATTR_TSS);
	cpu->gdt = (struct dtable){0, 0xffff};
	cpu->idt = (struct dtable){0, 0xffff};
}

static void reset_registers(struct cpu *cpu)
{
	u32 id[4];

	memset(cpu->gpr, 0, sizeof(cpu->gpr));
	cpu_cpuid(cpu, 1, 0, id);
	/* The processor's signature; without CPUID that of a Pentium Pro. */
	cpu->gpr[REG_RDX] = id[0] ? id[0] : 0x600;
	cpu->rip = 0xfff0;
	cpu_rflags_set(cpu, RFLAGS_FIXED);
	memset(cpu->dr, 0, sizeof(cpu->dr));
	cpu->dr[6] = DR6_FIXED;
	cpu->dr[7] = DR7_FIXED;
}

/* What both do. CR0.CD and NW survive INIT. */
static void reset_common(struct cpu *cpu, u64 cr0)
{
	reset_segments(cpu);
	reset_registers(cpu);
	cpu->cr0 = cr0;
	cpu->cr2 = cpu->cr3 = cpu->cr4 = 0;
	cpu->efer = 0;
	cpu->shadow = 0;
	cpu->pending_db = 0;
	cpu->nmi_masked = false;
	cpu->halted = false;
	cpu->fault.kind = FAULT_NONE;
	cpu->io.in_flight = cpu->io.answered = false;
	cpu->io.ndone = cpu->io.next = 0;
	mmu_flush_all(cpu);
	mmu_mode_changed(cpu);
	sys_mode_update(cpu);
}

static void reset_fpu(struct fpu *f)
{
	memset(f, 0, sizeof(*f));
	FPU_FCW(f) = 0x37f; /* as KVM starts, not as the manual (0x40) */
	FPU_MXCSR(f) = 0x1f80;
}

void sys_reset(struct cpu *cpu)
{
	cpu_msr_reset(cpu);
	reset_fpu(&cpu->fpu);
	cpu->xcr0 = XCR0_X87;
	cpu->xss = 0;
	if (!cpu->tsc_scale)
		cpu->tsc_scale = 1ull << 48;
	reset_common(cpu, CR0_CD | CR0_NW | CR0_ET);
}

void sys_init(struct cpu *cpu)
{
	reset_common(cpu, (cpu->cr0 & (CR0_CD | CR0_NW)) | CR0_ET);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest's CPUID: its entries, what follows from them, and what the instruction answers. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/cpuid.h"
#include "cpu/features.h"

#define KVM_LEAF_BASE	0x40000000u
#define SIG_AMD_EBX	0x68747541u /* "Auth" */
#define SIG_HYGON_EBX	0x6f677948u /* "Hygo" */
#define CPUID_1_APIC	BIT(9)
#define CPUID_1_OSXSAVE BIT(27)
#define CPUID_7_OSPKE	BIT(4)
#define APIC_BASE_EN	BIT(11)

/* Offset in the standard format and size of the XSAVE components above SSE (SDM Vol. 1 13.5). */
static const struct {
	u8 component;
	u16 offset, size;
} xsave_components[] = {{2, 576, 256}, {9, 832, 8}};

u32 cpu_xsave_size(u64 mask, bool compacted)
{
	u32 end = 576;

	for (unsigned n = 0; n < ARRAY_SIZE(xsave_components); n++) {
		if (!(mask & BIT(xsave_components[n].component)))
			continue;
		u32 at = compacted ? end : xsave_components[n].offset;
		end = at + xsave_components[n].size;
	}
	return end;
}

static bool entry_matches(const struct kvm_cpuid_entry2 *e, u32 leaf, u32 subleaf)
{
	return e->function == leaf &&
	       (!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || e->index == subleaf);
}

const struct kvm_cpuid_entry2 *cpu_cpuid_find(const struct cpu *cpu, u32 leaf, u32 subleaf)
{
	for (u32 n = 0; n < cpu->ncpuid; n++)
		if (entry_matches(&cpu->cpuid[n], leaf, subleaf))
			return &cpu->cpuid[n];
	return NULL;
}

/* -- what follows from the entries ------------------------------------------------------------- */

enum { EAX, EBX, ECX, EDX };

static const struct {
	u32 leaf, subleaf;
	u8 reg;
} feature_words[NFEATURES] = {
	[FEAT_1_EDX] = {1, 0, EDX},
	[FEAT_1_ECX] = {1, 0, ECX},
	[FEAT_7_0_EBX] = {7, 0, EBX},
	[FEAT_7_0_ECX] = {7, 0, ECX},
	[FEAT_7_0_EDX] = {7, 0, EDX},
	[FEAT_7_1_EAX] = {7, 1, EAX},
	[FEAT_D_1_EAX] = {0xd, 1, EAX},
	[FEAT_80000001_EDX] = {0x80000001, 0, EDX},
	[FEAT_80000001_ECX] = {0x80000001, 0, ECX},
	[FEAT_80000007_EDX] = {0x80000007, 0, EDX},
	[FEAT_80000008_EBX] = {0x80000008, 0, EBX},
	[FEAT_8000000A_EDX] = {0x8000000a, 0, EDX},
	[FEAT_6_EAX] = {6, 0, EAX},
	[FEAT_KVM_EAX] = {KVM_LEAF_BASE + 1, 0, EAX},
};

static u32 entry_reg(const struct kvm_cpuid_entry2 *e, unsigned reg)
{
	return reg == EAX ? e->eax : reg == EBX ? e->ebx : reg == ECX ? e->ecx : e->edx;
}

static void derive_features(struct cpu *cpu)
{
	for (unsigned w = 0; w < NFEATURES; w++) {
		const struct kvm_cpuid_entry2 *e =
			cpu_cpuid_find(cpu, feature_words[w].leaf, feature_words[w].subleaf);

		cpu->features[w] = e ? entry_reg(e, feature_words[w].reg) : 0;
	}
}

static void derive_widths(struct cpu *cpu)
{
	const struct kvm_cpuid_entry2 *e = cpu_cpuid_find(cpu, 0x80000008, 0);

	cpu->phys_bits = e ? e->eax & 0xff : 36;
	cpu->virt_bits = e ? e->eax >> 8 & 0xff : 48;
	/* The page walker keeps physical addresses in 52 bits (SDM Vol. 3A 4.1.4). */
	if (cpu->phys_bits < 32 || cpu->phys_bits > 52)
		cpu->phys_bits = cpu->phys_bits > 52 ? 52 : 36;
	if (cpu->virt_bits < 32)
		cpu->virt_bits = 48;
}

int cpu_cpuid_set(struct cpu *cpu, const struct kvm_cpuid_entry2 *e, u32 n)
{
	struct kvm_cpuid_entry2 *copy = NULL;

	if (n) {
		copy = malloc(n * sizeof(*copy));
		if (!copy)
			return -ENOMEM;
		memcpy(copy, e, n * sizeof(*copy));
	}
	free(cpu->cpuid);
	cpu->cpuid = copy;
	cpu->ncpuid = n;
	derive_features(cpu);
	derive_widths(cpu);

	const struct kvm_cpuid_entry2 *vendor = cpu_cpuid_find(cpu, 0, 0);
	cpu->vendor_amd = vendor && (vendor->ebx == SIG_AMD_EBX || vendor->ebx == SIG_HYGON_EBX);
	return 0;
}

void cpu_cpuid_free(struct cpu *cpu)
{
	free(cpu->cpuid);
	cpu->cpuid = NULL;
	cpu->ncpuid = 0;
}

u64 cpu_xcr0_allowed(const struct cpu *cpu)
{
	const struct kvm_cpuid_entry2 *e = cpu_cpuid_find(cpu, 0xd, 0);
	u64 guest = e ? e->eax | (u64)e->edx << 32 : 0;

	return guest & cpu_xcr0_supported();
}

/* -- the instruction --------------------------------------------------------------------------- */

/*
 * The entry that answers for a leaf that the guest has not: nothing when the leaf lies inside its
 * class or on AMD, which returns zeros; Intel answers with its highest basic leaf (SDM Vol. 2A
 * CPUID).
 */
static const struct kvm_cpuid_entry2 *out_of_range(const struct cpu *cpu, u32 leaf, u32 subleaf)
{
	const struct kvm_cpuid_entry2 *basic = cpu_cpuid_find(cpu, 0, 0), *class;

	if (!basic || cpu->vendor_amd)
		return NULL;
	if (leaf >= KVM_LEAF_BASE && leaf <= 0x4fffffff)
		class = cpu_cpuid_find(cpu, leaf & 0xffffff00, 0);
	else if (leaf >= 0x80000000)
		class = cpu_cpuid_find(cpu, leaf & 0xff000000, 0);
	else
		class = basic;
	if (class && leaf <= class->eax)
		return NULL;
	return cpu_cpuid_find(cpu, basic->eax, subleaf);
}

static bool apic_enabled(struct cpu *cpu)
{
	u64 base;

	if (!cpu->ops || !cpu->ops->msr_read ||
	    !cpu->ops->msr_read(cpu, MSR_APIC_BASE, &base, true))
		return true;
	return base & APIC_BASE_EN;
}

static void set_bit32(u32 *reg, u32 bit, bool on)
{
	*reg = on ? *reg | bit : *reg & ~bit;
}

/* Bits and fields that follow the CPU's state. */
static void dynamic_bits(struct cpu *cpu, u32 leaf, u32 subleaf, u32 regs[4])
{
	if (leaf == 1) {
		if (cpu_has(cpu, FEATURE_XSAVE))
			set_bit32(&regs[ECX], CPUID_1_OSXSAVE, cpu->cr4 & CR4_OSXSAVE);
		if (cpu_has(cpu, FEATURE_APIC))
			set_bit32(&regs[EDX], CPUID_1_APIC, apic_enabled(cpu));
	} else if (leaf == 7 && subleaf == 0) {
		if (cpu_has(cpu, FEATURE_PKU))
			set_bit32(&regs[ECX], CPUID_7_OSPKE, cpu->cr4 & CR4_PKE);
	} else if (leaf == 0xd && subleaf == 0) {
		regs[EBX] = cpu_xsave_size(cpu->xcr0, false);
	} else if (leaf == 0xd && subleaf == 1) {
		if (cpu_has(cpu, FEATURE_XSAVEC) || cpu_has(cpu, FEATURE_XSAVES))
			regs[EBX] = cpu_xsave_size(cpu->xcr0 | cpu->xss, true);
	}
}

/* Topology leaves beyond their last level still tell the APIC id (SDM Vol. 2A CPUID, leaf 0BH). */
static void topology_tail(const struct cpu *cpu, u32 leaf, u32 subleaf, u32 regs[4])
{
	const struct kvm_cpuid_entry2 *e;

	if (leaf != 0xb && leaf != 0x1f)
		return;
	e = cpu_cpuid_find(cpu, leaf, 1);
	if (!e)
		return;
	regs[ECX] = subleaf & 0xff;
	regs[EDX] = e->edx;
}

void cpu_cpuid(struct cpu *cpu, u32 leaf, u32 subleaf, u32 regs[4])
{
	const struct kvm_cpuid_entry2 *e = cpu_cpuid_find(cpu, leaf, subleaf);
	bool exact = e;

	memset(regs, 0, 4 * sizeof(regs[0]));
	if (!e)
		e = out_of_range(cpu, leaf, subleaf);
	if (!e) {
		topology_tail(cpu, leaf, subleaf, regs);
		return;
	}
	regs[EAX] = e->eax;
	regs[EBX] = e->ebx;
	regs[ECX] = e->ecx;
	regs[EDX] = e->edx;
	if (exact)
		dynamic_bits(cpu, leaf, subleaf, regs);
}

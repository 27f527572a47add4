/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "vmm/cpu_setup.h"
#include "vmm/msg.h"

#define MSR_IA32_FEATURE_CONTROL 0x3a
#define MSR_IA32_MISC_ENABLE	 0x1a0
#define MSR_MTRR_DEF_TYPE	 0x2ff

#define FEATURE_CONTROL_LOCK	    BIT(0)
#define FEATURE_CONTROL_VMX_OUTSIDE BIT(2)
#define MISC_ENABLE_FAST_STRING	    BIT(0)
#define MTRR_ENABLED_WRITE_BACK	    (BIT(11) | 6)

#define CPUID1_ECX_VMX BIT(5)

#define APIC_LVT_LINT0	 0x350
#define APIC_LVT_LINT1	 0x360
#define APIC_MODE_NMI	 0x400
#define APIC_MODE_EXTINT 0x700

static unsigned log2_up(unsigned n)
{
	return n <= 1 ? 0 : 32 - __builtin_clz(n - 1);
}

static void set_bits(u32 *word, unsigned hi, unsigned lo, u32 value)
{
	*word = (*word & ~(u32)MASK(hi, lo)) | ((value << lo) & (u32)MASK(hi, lo));
}

/* One package, one thread per core (SDM Vol. 2A, CPUID leaves 1, 4, 0BH). */
static void cpu_fix_leaf_1(struct kvm_cpuid_entry2 *e, unsigned id, unsigned cpus)
{
	set_bits(&e->ebx, 31, 24, id);
	set_bits(&e->ebx, 23, 16, cpus > 1 ? 1u << log2_up(cpus) : 1);
	set_bits(&e->edx, 28, 28, cpus > 1);
	e->ecx |= (u32)BIT(31); /* a hypervisor is present */
}

static void cpu_fix_leaf_4(struct kvm_cpuid_entry2 *e, unsigned cpus)
{
	unsigned level = bits(e->eax, 7, 5);

	if (!bits(e->eax, 4, 0))
		return;
	if (e->function == 4)
		set_bits(&e->eax, 31, 26, (1u << log2_up(cpus)) - 1);
	/* Caches up to level 2 belong to a core, the third to all. */
	set_bits(&e->eax, 25, 14, level >= 3 ? (1u << log2_up(cpus)) - 1 : 0);
}

static void cpu_fix_leaf_b(struct kvm_cpuid_entry2 *e, unsigned id, unsigned cpus)
{
	e->edx = id;
	e->ecx = e->index;
	e->eax = e->ebx = 0;
	if (e->index == 0) {
		e->ebx = 1;
		e->ecx |= 1 << 8; /* threads */
	} else if (e->index == 1) {
		e->eax = log2_up(cpus);
		e->ebx = cpus;
		e->ecx |= 2 << 8; /* cores */
	}
}

static void cpu_fix_entry(struct kvm_cpuid_entry2 *e, unsigned id, unsigned cpus, bool amd)
{
	switch (e->function) {
	case 1:
		cpu_fix_leaf_1(e, id, cpus);
		break;
	case 4:
	case 0x8000001d:
		cpu_fix_leaf_4(e, cpus);
		break;
	case 0xb:
	case 0x1f:
		cpu_fix_leaf_b(e, id, cpus);
		break;
	case 0x80000008: /* APM Vol. 3, E.4.7: cores minus one, and the id's width */
		e->ecx = amd && cpus > 1 ? (cpus - 1) | log2_up(cpus) << 12 : 0;
		break;
	case 0x8000001e: /* extended APIC id, core id with one thread, one node */
		e->eax = id;
		e->ebx = id;
		e->ecx = 0;
		break;
	}
}

static const struct kvm_cpuid_entry2 *cpu_find_leaf(const struct kvm_cpuid2 *cpuid, u32 leaf)
{
	for (u32 i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == leaf)
			return &cpuid->entries[i];
	return NULL;
}

static bool cpu_is_amd(const struct kvm_cpuid2 *cpuid)
{
	const struct kvm_cpuid_entry2 *e = cpu_find_leaf(cpuid, 0);

	return e && !memcmp(&e->ebx, "Auth", 4);
}

static int cpu_set_cpuid(struct machine_cpu *cpu, const struct kvm_cpuid2 *base)
{
	size_t size = sizeof(*base) + base->nent * sizeof(base->entries[0]);
	struct kvm_cpuid2 *own = malloc(size);
	int ret;

	if (!own)
		return -ENOMEM;
	memcpy(own, base, size);
	for (u32 i = 0; i < own->nent; i++)
		cpu_fix_entry(&own->entries[i], cpu->id, cpu->machine->cpu_count, cpu_is_amd(base));
	ret = machine_cpu_ioctl(cpu, KVM_SET_CPUID2, own);
	free(own);
	return ret;
}

static bool cpu_has_vmx(const struct kvm_cpuid2 *cpuid)
{
	const struct kvm_cpuid_entry2 *e = cpu_find_leaf(cpuid, 1);

	return e && (e->ecx & CPUID1_ECX_VMX);
}

static int cpu_set_msr(struct machine_cpu *cpu, u32 index, u64 value)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msrs = {.head.nmsrs = 1, .entry = {.index = index, .data = value}};
	int ret = machine_cpu_ioctl(cpu, KVM_SET_MSRS, &msrs);

	if (ret == 1)
		return 0;
	return msg_fail(ret < 0 ? ret : -EINVAL, "vCPU %u: KVM refuses MSR %#x", cpu->id, index);
}

static int cpu_set_msrs(struct machine_cpu *cpu, bool vmx)
{
	int ret = cpu_set_msr(cpu, MSR_IA32_MISC_ENABLE, MISC_ENABLE_FAST_STRING);

	/* Without MTRRs Linux gives up its page attribute table. */
	if (!ret)
		ret = cpu_set_msr(cpu, MSR_MTRR_DEF_TYPE, MTRR_ENABLED_WRITE_BACK);
	/* Without the lock bit VMXON faults (SDM Vol. 3C 24.7). */
	if (!ret && vmx)
		ret = cpu_set_msr(cpu, MSR_IA32_FEATURE_CONTROL,
				  FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX_OUTSIDE);
	return ret;
}

/* The PICs reach the first vCPU through LINT0, NMIs come in at LINT1 (MultiProcessor Spec. 3.6). */
static int cpu_set_lapic(struct machine_cpu *cpu)
{
	struct kvm_lapic_state lapic;
	u32 lint0 = APIC_MODE_EXTINT, lint1 = APIC_MODE_NMI;
	int ret = machine_cpu_ioctl(cpu, KVM_GET_LAPIC, &lapic);

	if (ret < 0)
		return ret;
	memcpy(lapic.regs + APIC_LVT_LINT0, &lint0, 4);
	memcpy(lapic.regs + APIC_LVT_LINT1, &lint1, 4);
	return machine_cpu_ioctl(cpu, KVM_SET_LAPIC, &lapic);
}

int cpu_setup(struct machine_cpu *cpu, const struct kvm_cpuid2 *base)
{
	int ret = cpu_set_cpuid(cpu, base);

	if (ret < 0)
		return msg_fail(ret, "vCPU %u: KVM refuses the CPUID: %s", cpu->id, strerror(-ret));
	ret = cpu_set_msrs(cpu, cpu_has_vmx(base));
	if (ret < 0)
		return ret;
	ret = cpu_set_lapic(cpu);
	if (ret < 0)
		return msg_fail(ret, "vCPU %u: cannot set the local APIC: %s", cpu->id,
				strerror(-ret));
	return 0;
}

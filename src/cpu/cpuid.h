/* SPDX-License-Identifier: BSD-2-Clause */
/* CPUID: what can be offered, what a guest was given, and what the instruction answers. */
#ifndef CPU_CPUID_H
#define CPU_CPUID_H

#include <linux/kvm.h>

#include "cpu/cpu.h"

/*
 * KVM_GET_SUPPORTED_CPUID: fills `out` (room for `max` entries) with what this engine can do on
 * this host. `vmx`: the virtual CPU may have VMX. Returns the number of entries, or -E2BIG. Any
 * thread.
 */
int cpu_cpuid_supported(struct kvm_cpuid_entry2 *out, u32 max, bool vmx);

/* The feature word `word` that can be offered (any thread). */
u32 cpu_cpuid_offer(enum feature_word word, bool vmx);

/* XCR0 bits that can be offered. */
u64 cpu_xcr0_supported(void);

/*
 * KVM_SET_CPUID2: replaces the guest's CPUID by a copy of `e` and derives features, address widths
 * and vendor from it. Returns 0 or -ENOMEM. mmu_mode_changed() and interp_flush() are the caller's
 * business. vCPU thread.
 */
int cpu_cpuid_set(struct cpu *cpu, const struct kvm_cpuid_entry2 *e, u32 n);
void cpu_cpuid_free(struct cpu *cpu);

/* What CPUID returns now: regs are EAX, EBX, ECX, EDX. vCPU thread. */
void cpu_cpuid(struct cpu *cpu, u32 leaf, u32 subleaf, u32 regs[4]);

/* The guest's entry for a leaf and subleaf without dynamic bits, or NULL. */
const struct kvm_cpuid_entry2 *cpu_cpuid_find(const struct cpu *cpu, u32 leaf, u32 subleaf);

/* XCR0 bits that the guest's CPUID leaf 0xD allows. */
u64 cpu_xcr0_allowed(const struct cpu *cpu);

/* Bytes of an XSAVE area with the components of `mask` (standard or compacted format). */
u32 cpu_xsave_size(u64 mask, bool compacted);

#endif

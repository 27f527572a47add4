/* SPDX-License-Identifier: BSD-2-Clause */
/* What firmware does to each vCPU before a kernel runs: CPUID, MSRs, local APIC. */
#ifndef VMM_CPU_SETUP_H
#define VMM_CPU_SETUP_H

#include "vmm/machine.h"

/*
 * Gives the vCPU its CPUID (`base` is what all vCPUs share; topology and APIC id are filled in
 * here), feature-control and MISC_ENABLE MSRs, and its local APIC's LINT pins. Prints what is
 * wrong; 0 or a negative errno.
 */
int cpu_setup(struct machine_cpu *cpu, const struct kvm_cpuid2 *base);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* CPU models, named and spelled as in QEMU: "host", "max",
 * "Haswell-noTSX-IBRS,vmx=on,-avx2,enforce". */
#ifndef VMM_CPU_MODEL_H
#define VMM_CPU_MODEL_H

#include <stdio.h>
#include "vmm/cpuid.h"

/* A model's name and features, parsed and independent of any KVM. */
struct cpu_spec {
	const struct cpu_model_info *model; /* NULL: host */
	u32 want[CPU_WORDS];		    /* features of a named model, and those asked for */
	u32 asked[CPU_WORDS];		    /* asked for by name */
	u32 refused[CPU_WORDS];		    /* taken out by name */
	bool enforce;
	bool no_kvm;  /* hide KVM's own leaves */
	u8 phys_bits; /* width of a physical address; 0: as the host */
	char name[64];
};

/* Parses a specification. Prints what is wrong, with the nearest names; 0 or -EINVAL. */
int cpu_spec_parse(const char *text, struct cpu_spec *spec);
/*
 * Makes the CPUID of a specification out of what KVM supports (`c` in, `c` out). tsc_deadline: KVM
 * has the timer, which KVM_GET_SUPPORTED_CPUID does not tell. A feature that KVM cannot give is a
 * warning, or with "enforce" an error. 0 or -EOPNOTSUPP.
 */
int cpu_spec_apply(const struct cpu_spec *spec, struct cpuid *c, bool tsc_deadline);
/* Both for a KVM: from the text to the CPUID. Prints what is wrong; 0 or a negative errno. */
int cpu_model_build(const struct kvm_dev *kvm, const char *text, struct cpuid *out);
/* Writes the models' and features' names, for help. */
void cpu_model_list(FILE *out);

#endif

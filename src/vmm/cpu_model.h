/* SPDX-License-Identifier: BSD-2-Clause */
/* CPU models, named and spelled as in QEMU: "host", "max",
 * "Haswell-noTSX-IBRS,vmx=on,-avx2,enforce". */
#ifndef VMM_CPU_MODEL_H
#define VMM_CPU_MODEL_H

#include "vmm/kvm.h"

/*
 * Builds the CPUID of a model from what KVM supports. A feature of the model that KVM cannot give
 * is a warning, or an error with "enforce"; an unknown model or feature is an error that names the
 * nearest. On success *out is to be freed with free(). Prints what is wrong; returns 0 or a
 * negative errno.
 */
int cpu_model_build(const struct kvm_dev *kvm, const char *spec, struct kvm_cpuid2 **out);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* A CPUID table that grows: what KVM_GET_SUPPORTED_CPUID gave, edited for a model. */
#ifndef VMM_CPUID_H
#define VMM_CPUID_H

#include "vmm/cpu_model_data.h"
#include "vmm/kvm.h"

#define CPUID_MAX_ENTRIES 256

struct cpuid {
	struct kvm_cpuid2 head; /* the ioctl's argument: head, then entries */
	struct kvm_cpuid_entry2 entry[CPUID_MAX_ENTRIES];
};

/* Reads what KVM supports. 0 or a negative errno. */
int cpuid_get_supported(const struct kvm_dev *kvm, struct cpuid *c);
/* The entry of a leaf, or NULL. */
struct kvm_cpuid_entry2 *cpuid_find(struct cpuid *c, u32 leaf, u32 index);
/* The entry of a leaf, zeroed when it is new; NULL when the table is full. */
struct kvm_cpuid_entry2 *cpuid_get(struct cpuid *c, u32 leaf, u32 index);
/* Removes all subleaves of leaves first..last. */
void cpuid_remove(struct cpuid *c, u32 first, u32 last);
/* Sets a leaf's registers. */
void cpuid_set(struct cpuid *c, u32 leaf, u32 index, u32 eax, u32 ebx, u32 ecx, u32 edx);
/* A register of an entry. */
u32 *cpuid_reg(struct kvm_cpuid_entry2 *e, enum cpu_reg reg);
/* Whether a leaf has subleaves, so that its entries carry an index. */
bool cpuid_has_index(u32 leaf);

#endif

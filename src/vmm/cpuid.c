/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <string.h>
#include "vmm/cpuid.h"

int cpuid_get_supported(const struct kvm_dev *kvm, struct cpuid *c)
{
	int ret;

	memset(c, 0, sizeof(*c));
	c->head.nent = CPUID_MAX_ENTRIES;
	ret = kvmdev_ioctl(kvm, kvm->fd, KVM_GET_SUPPORTED_CPUID, &c->head);
	return ret < 0 ? ret : 0;
}

bool cpuid_has_index(u32 leaf)
{
	switch (leaf) {
	case 4:
	case 7:
	case 0xb:
	case 0xd:
	case 0xf:
	case 0x10:
	case 0x12:
	case 0x14:
	case 0x17:
	case 0x18:
	case 0x1d:
	case 0x1e:
	case 0x1f:
	case 0x8000001d:
		return true;
	}
	return false;
}

struct kvm_cpuid_entry2 *cpuid_find(struct cpuid *c, u32 leaf, u32 index)
{
	for (u32 i = 0; i < c->head.nent; i++)
		if (c->entry[i].function == leaf &&
		    (c->entry[i].index == index || !cpuid_has_index(leaf)))
			return &c->entry[i];
	return NULL;
}

struct kvm_cpuid_entry2 *cpuid_get(struct cpuid *c, u32 leaf, u32 index)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(c, leaf, index);

	if (e || c->head.nent == CPUID_MAX_ENTRIES)
		return e;
	e = &c->entry[c->head.nent++];
	memset(e, 0, sizeof(*e));
	e->function = leaf;
	e->index = index;
	if (cpuid_has_index(leaf))
		e->flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
	return e;
}

void cpuid_remove(struct cpuid *c, u32 first, u32 last)
{
	u32 n = 0;

	for (u32 i = 0; i < c->head.nent; i++)
		if (c->entry[i].function < first || c->entry[i].function > last)
			c->entry[n++] = c->entry[i];
	c->head.nent = n;
}

void cpuid_set(struct cpuid *c, u32 leaf, u32 index, u32 eax, u32 ebx, u32 ecx, u32 edx)
{
	struct kvm_cpuid_entry2 *e = cpuid_get(c, leaf, index);

	if (!e)
		return;
	e->eax = eax;
	e->ebx = ebx;
	e->ecx = ecx;
	e->edx = edx;
}

u32 *cpuid_reg(struct kvm_cpuid_entry2 *e, enum cpu_reg reg)
{
	switch (reg) {
	case CPU_EAX:
		return &e->eax;
	case CPU_EBX:
		return &e->ebx;
	case CPU_ECX:
		return &e->ecx;
	default:
		return &e->edx;
	}
}

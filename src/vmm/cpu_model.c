/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "vmm/cpu_model.h"
#include "vmm/msg.h"

#define CPUID_MAX_ENTRIES 512

static int cpu_get_supported(const struct kvm_dev *kvm, struct kvm_cpuid2 **out)
{
	struct kvm_cpuid2 *c;
	int ret = -E2BIG;

	/* The ioctl says E2BIG until the array is large enough. */
	for (u32 n = 64; n <= CPUID_MAX_ENTRIES && ret == -E2BIG; n *= 2) {
		c = calloc(1, sizeof(*c) + n * sizeof(c->entries[0]));
		if (!c)
			return -ENOMEM;
		c->nent = n;
		ret = kvmdev_ioctl(kvm, kvm->fd, KVM_GET_SUPPORTED_CPUID, c);
		if (ret >= 0) {
			*out = c;
			return 0;
		}
		free(c);
	}
	return ret;
}

int cpu_model_build(const struct kvm_dev *kvm, const char *spec, struct kvm_cpuid2 **out)
{
	int ret;

	if (strcmp(spec, "host") && strcmp(spec, "max"))
		return msg_fail(-EINVAL, "unknown CPU model %s", spec);
	ret = cpu_get_supported(kvm, out);
	if (ret < 0)
		return msg_fail(ret, "KVM_GET_SUPPORTED_CPUID: %s", strerror(-ret));
	return 0;
}

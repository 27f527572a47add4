/* SPDX-License-Identifier: BSD-2-Clause */
/* MSRs, the TSC's rate and offset. */
#include <stdlib.h>

#include "api/api.h"
#include "irq/irq.h"
#include "sys/sys.h"

#define MAX_MSRS 255

/* -- lists of MSRs: KVM works until the first that it cannot, and says how many it did
 * ---------------- */

int vcpu_get_msrs(struct object *o, void *arg)
{
	struct kvm_msrs *user = arg, *m;
	int err;
	u32 n;

	m = user_read_array(arg, sizeof(*m), sizeof(m->entries[0]), MAX_MSRS, &err);
	if (!m)
		return err;
	for (n = 0; n < m->nmsrs; n++) {
		u64 value = 0;

		if (!sys_msr_read(&o->vcpu->cpu, m->entries[n].index, &value, true))
			break;
		m->entries[n].data = value;
	}
	err = user_write(user->entries, m->entries, n * sizeof(m->entries[0]));
	free(m);
	return err ? err : (int)n;
}

static bool set_msr(struct vcpu *v, u32 index, u64 value)
{
	if (index != MSR_TSC)
		return sys_msr_write(&v->cpu, index, value, true);
	vcpu_tsc_set(v, value);
	return true;
}

int vcpu_set_msrs(struct object *o, void *arg)
{
	struct kvm_msrs *m;
	int err;
	u32 n;

	m = user_read_array(arg, sizeof(*m), sizeof(m->entries[0]), MAX_MSRS, &err);
	if (!m)
		return err;
	for (n = 0; n < m->nmsrs; n++)
		if (!set_msr(o->vcpu, m->entries[n].index, m->entries[n].data))
			break;
	free(m);
	return (int)n;
}

/* -- TSC ----------------------------------------------------------------------------------------
 */

int vcpu_get_tsc_khz(struct object *o, void *arg)
{
	return (int)o->vcpu->cpu.tsc_khz;
}

int vcpu_set_tsc_khz(struct object *o, void *arg)
{
	unsigned long khz = (unsigned long)arg;

	if (khz > INT32_MAX)
		return -EINVAL;
	vcpu_tsc_khz_set(o->vcpu, khz ? (u32)khz : clock_host_tsc_khz());
	return 0;
}

/* The one attribute of a vCPU: the offset of its TSC to the host's. */
static int check_attr(const struct kvm_device_attr *a)
{
	if (a->flags)
		return -ENXIO;
	return a->group == KVM_VCPU_TSC_CTRL && a->attr == KVM_VCPU_TSC_OFFSET ? 0 : -ENXIO;
}

int vcpu_has_attr(struct object *o, void *arg)
{
	return check_attr(arg);
}

int vcpu_get_attr(struct object *o, void *arg)
{
	const struct kvm_device_attr *a = arg;
	u64 offset = o->vcpu->cpu.tsc_offset;
	int r = check_attr(a);

	return r ? r : user_write((void *)(uintptr_t)a->addr, &offset, sizeof(offset));
}

int vcpu_set_attr(struct object *o, void *arg)
{
	const struct kvm_device_attr *a = arg;
	int r = check_attr(a);
	u64 offset;

	if (!r)
		r = user_read(&offset, (void *)(uintptr_t)a->addr, sizeof(offset));
	if (!r)
		vcpu_tsc_offset_set(o->vcpu, offset);
	return r;
}

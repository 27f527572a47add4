/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's CPUID. */
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "cpu/cpuid.h"
#include "cpu/features.h"
#include "interp/interp.h"
#include "irq/irq.h"
#include "mmu/mmu.h"

#define MAX_ENTRIES 256

/* Address widths that the MMU can do. */
static bool widths_valid(const struct kvm_cpuid_entry2 *e, u32 n)
{
	for (u32 i = 0; i < n; i++) {
		u32 virt = e[i].eax >> 8 & 0xff;

		if (e[i].function == 0x80000008 && virt != 48 && virt != 57 && virt != 0)
			return false;
	}
	return true;
}

/* After the first KVM_RUN only the same again is allowed. */
static bool same(const struct cpu *cpu, const struct kvm_cpuid_entry2 *e, u32 n)
{
	if (cpu->ncpuid != n)
		return false;
	for (u32 i = 0; i < n; i++) {
		const struct kvm_cpuid_entry2 *a = &cpu->cpuid[i], *b = &e[i];

		if (a->function != b->function || a->index != b->index || a->flags != b->flags ||
		    a->eax != b->eax || a->ebx != b->ebx || a->ecx != b->ecx || a->edx != b->edx)
			return false;
	}
	return true;
}

static int set_entries(struct vcpu *v, const struct kvm_cpuid_entry2 *e, u32 n)
{
	struct cpu *cpu = &v->cpu;
	int r;

	if (v->stats.exits)
		return same(cpu, e, n) ? 0 : -EINVAL;
	if (!widths_valid(e, n))
		return -EINVAL;
	r = cpu_cpuid_set(cpu, e, n);
	if (r)
		return r;
	if (v->lapic)
		lapic_set_features(v->lapic, cpu_has(cpu, FEATURE_X2APIC),
				   cpu_has(cpu, FEATURE_TSC_DEADLINE));
	mmu_mode_changed(cpu);
	mmu_flush_all(cpu);
	interp_flush(cpu);
	return 0;
}

int vcpu_set_cpuid2(struct object *o, void *arg)
{
	struct kvm_cpuid2 *c;
	int err;

	c = user_read_array(arg, sizeof(*c), sizeof(c->entries[0]), MAX_ENTRIES, &err);
	if (!c)
		return err;
	err = set_entries(o->vcpu, c->entries, c->nent);
	free(c);
	return err;
}

/* The older form has no subleaves. */
int vcpu_set_cpuid(struct object *o, void *arg)
{
	struct kvm_cpuid_entry2 *e;
	struct kvm_cpuid *c;
	int err;

	c = user_read_array(arg, sizeof(*c), sizeof(c->entries[0]), MAX_ENTRIES, &err);
	if (!c)
		return err;
	e = calloc(c->nent + 1, sizeof(*e));
	err = -ENOMEM;
	for (u32 i = 0; e && i < c->nent; i++)
		e[i] = (struct kvm_cpuid_entry2){.function = c->entries[i].function,
						 .eax = c->entries[i].eax,
						 .ebx = c->entries[i].ebx,
						 .ecx = c->entries[i].ecx,
						 .edx = c->entries[i].edx};
	if (e)
		err = set_entries(o->vcpu, e, c->nent);
	free(e);
	free(c);
	return err;
}

int vcpu_get_cpuid2(struct object *o, void *arg)
{
	const struct cpu *cpu = &o->vcpu->cpu;
	struct kvm_cpuid2 *user = arg;
	u32 room, n = cpu->ncpuid;

	if (user_read(&room, &user->nent, sizeof(room)))
		return -EFAULT;
	if (room < n)
		return -E2BIG;
	if (user_write(user->entries, cpu->cpuid, n * sizeof(*cpu->cpuid)) ||
	    user_write(&user->nent, &n, sizeof(n)))
		return -EFAULT;
	return 0;
}

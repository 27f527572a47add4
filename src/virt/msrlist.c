/* SPDX-License-Identifier: BSD-2-Clause */
/* The MSR areas of VM entries and exits (SDM Vol. 3C 24.7.2, 24.8.2, 26.4, 27.4, 27.6). */
#include "mem/mem.h"
#include "virt/vmx.h"

struct msr_entry {
	u32 index, reserved;
	u64 value;
};

static bool is_x2apic(u32 index)
{
	return index >> 8 == MSR_X2APIC_BASE >> 8;
}

/* What neither a VM entry nor a VM exit loads: bases that the VMCS has, SMM's, x2APIC's. */
static bool loadable(const struct msr_entry *e)
{
	switch (e->index) {
	case MSR_FS_BASE:
	case MSR_GS_BASE:
	case MSR_SMBASE:
	case MSR_UCODE_REV:
		return false;
	}
	return !is_x2apic(e->index) && !e->reserved;
}

static bool storable(const struct msr_entry *e)
{
	return !is_x2apic(e->index) && e->index != MSR_SMBASE && !e->reserved;
}

u32 vmx_msr_load(struct cpu *cpu, u64 gpa, u32 count, bool entry)
{
	for (u32 i = 0; i < count; i++) {
		struct msr_entry e;

		if (i >= MSR_LIST_MAX || mem_read(cpu->mem, gpa + i * sizeof(e), &e, sizeof(e)) ||
		    !loadable(&e) || !sys_msr_write(cpu, e.index, e.value, false))
			return i + 1;
	}
	return 0;
}

bool vmx_msr_store(struct cpu *cpu, u64 gpa, u32 count)
{
	for (u32 i = 0; i < count; i++) {
		struct msr_entry e;
		u64 at = gpa + i * sizeof(e);

		if (i >= MSR_LIST_MAX || mem_read(cpu->mem, at, &e, sizeof(e)) || !storable(&e) ||
		    !sys_msr_read(cpu, e.index, &e.value, false) ||
		    mem_write(cpu->mem, at + offsetof(struct msr_entry, value), &e.value, 8))
			return false;
	}
	return true;
}

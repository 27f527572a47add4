/* SPDX-License-Identifier: BSD-2-Clause */
/* Raising faults, and the time stamp counter. */
#include <x86intrin.h>

#include "cpu/cpu.h"

enum outcome cpu_fault(struct cpu *cpu, u8 vector)
{
	cpu->fault = (struct fault){.kind = FAULT_EXCEPTION, .vector = vector};
	return OUTCOME_FAULT;
}

enum outcome cpu_fault_code(struct cpu *cpu, u8 vector, u32 error)
{
	cpu->fault = (struct fault){
		.kind = FAULT_EXCEPTION, .vector = vector, .has_error = true, .error = error};
	return OUTCOME_FAULT;
}

enum outcome cpu_fault_page(struct cpu *cpu, u64 gva, u32 error)
{
	cpu_fault_code(cpu, VEC_PF, error);
	cpu->fault.cr2 = gva;
	return OUTCOME_FAULT;
}

u64 cpu_tsc_at(const struct cpu *cpu, u64 host_tsc)
{
	if (likely(cpu->tsc_scale == 1ull << 48))
		return host_tsc + cpu->tsc_offset;
	return (u64)((unsigned __int128)host_tsc * cpu->tsc_scale >> 48) + cpu->tsc_offset;
}

u64 cpu_tsc(const struct cpu *cpu)
{
	u64 tsc;

	/* A guest that ordered its RDTSC (LFENCE, RDTSCP) must not see the host's run ahead of a lock. */
	__builtin_ia32_lfence();
	tsc = cpu_tsc_at(cpu, __rdtsc());
	return cpu->guest_mode ? tsc + cpu->tsc_offset_l2 : tsc;
}

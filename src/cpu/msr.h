/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MSRs that only hold a value, or read as a constant. Those with effects are in sys/msr.c, which
 * asks here; those of the LAPIC, VMX and kvmclock come by cpu->ops.
 */
#ifndef CPU_MSR_H
#define CPU_MSR_H

#include "cpu/cpu.h"

/* What became of an access. */
enum msr_result {
	MSR_OK,
	MSR_UNKNOWN, /* not one of these: ask the next */
	MSR_BAD	     /* known, but not this access or value: #GP */
};

/* host: on behalf of user space, which may write what a guest may only read. */
enum msr_result cpu_msr_read(struct cpu *cpu, u32 index, u64 *value, bool host);
enum msr_result cpu_msr_write(struct cpu *cpu, u32 index, u64 value, bool host);

/* Values at power-on; INIT leaves them alone. */
void cpu_msr_reset(struct cpu *cpu);

/* KVM_GET_MSR_INDEX_LIST and KVM_GET_MSR_FEATURE_INDEX_LIST. */
extern const u32 cpu_msr_list[], cpu_msr_feature_list[];
extern const u32 cpu_msr_list_len, cpu_msr_feature_list_len;

/* Value of a feature MSR other than the VMX ones, for KVM_GET_MSRS on the system descriptor. */
bool cpu_msr_feature(u32 index, u64 *value);

/* IA32_ARCH_CAPABILITIES that can be offered: the engine has none of the bugs. */
u64 cpu_arch_capabilities(void);

#endif

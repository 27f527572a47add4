/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The reference engine. Instructions are decoded once into blocks (kept by physical address and code mode,
 * per vCPU) and run by handlers that call one another in tail position.
 */
#ifndef INTERP_INTERP_H
#define INTERP_INTERP_H

#include "cpu/cpu.h"

/* Returns 0 or -ENOMEM. Allocates cpu->interp. */
int interp_init(struct cpu *cpu);
void interp_destroy(struct cpu *cpu);

/*
 * Runs the guest until cpu->events is not 0 (OUTCOME_RESYNC, checked before every block) or something else
 * happens. rip and all registers are exact on return. Never looks at interrupts: that is vcpu/'s.
 */
enum outcome interp_run(struct cpu *cpu);

/* Runs exactly one instruction (one iteration of a repeated string instruction when TF is set). Ignores
 * cpu->events. OUTCOME_OK when it retired normally. cpu->shadow is cleared before it and may be set by it. */
enum outcome interp_step(struct cpu *cpu);

/* Forgets all decoded code (CPUID changed, ...). */
void interp_flush(struct cpu *cpu);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* Stack accesses of instructions. Private to interp/. */
#ifndef INTERP_STACK_H
#define INTERP_STACK_H

#include "interp/handler.h"

/* rSP as an address: its width is that of the stack segment (SDM Vol. 1 6.2.3). */
u64 stack_mask(const struct cpu *cpu);

/* Moves rSP within its width. */
void stack_set(struct cpu *cpu, u64 sp);

/* Accesses `size` bytes at stack address sp; rip is exact on failure. */
enum outcome stack_load(struct cpu *cpu, const struct insn *i, u64 sp, void *dst, unsigned size);
enum outcome stack_store(struct cpu *cpu, const struct insn *i, u64 sp, u64 value, unsigned size);

/* PUSH and POP of `size` bytes. pop does not move rSP: the caller does (stack_set) once nothing can
 * fail. */
enum outcome stack_push(struct cpu *cpu, const struct insn *i, u64 value, unsigned size);

#endif

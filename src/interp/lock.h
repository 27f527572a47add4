/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * LOCK-prefixed accesses: guest atomics are host atomics on the host pointer. What has none (a
 * device, two pages) is done on a copy while one lock of the process is held.
 *
 * Private to interp/.
 */
#ifndef INTERP_LOCK_H
#define INTERP_LOCK_H

#include "interp/handler.h"

/* The host pointer of the memory operand for a locked access; *p is NULL when there is none. */
enum outcome insn_lock_ptr(struct cpu *cpu, const struct insn *i, unsigned size, void **p);

/* Runs the unlocked `body` under the lock. */
enum outcome insn_split_lock(struct cpu *cpu, const struct insn *i, insn_fn body);

#endif

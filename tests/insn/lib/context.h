/* SPDX-License-Identifier: BSD-2-Clause */
/* Signals that an instruction raises; apart, because <signal.h>'s register names clash with cpu/regs.h. */
#ifndef INSN_CONTEXT_H
#define INSN_CONTEXT_H

#include "base/types.h"

struct context {
	u64 gpr[16]; /* in encoding order */
	u64 rip, rflags, trapno, error, cr2;
	const u8 *xsave; /* standard format */
};

/*
 * Calls `fn` on every SIGSEGV, SIGILL, SIGFPE, SIGBUS and SIGTRAP, on a stack of its own. Execution goes
 * on with the rip and rsp that it puts into *c, and DF clear.
 */
void context_catch(void (*fn)(struct context *c));

#endif

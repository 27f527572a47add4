/* SPDX-License-Identifier: BSD-2-Clause */
#include <signal.h>
#include <ucontext.h>

#include "context.h"

static void (*handler)(struct context *c);

static void on_signal(int sig, siginfo_t *info, void *ucontext)
{
	static const u8 order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
				     REG_RSI, REG_RDI, REG_R8,	REG_R9,	 REG_R10, REG_R11,
				     REG_R12, REG_R13, REG_R14, REG_R15};
	ucontext_t *uc = ucontext;
	greg_t *g = uc->uc_mcontext.gregs;
	struct context c = {.rip = (u64)g[REG_RIP],
			    .rflags = (u64)g[REG_EFL],
			    .trapno = (u64)g[REG_TRAPNO],
			    .error = (u64)g[REG_ERR],
			    .cr2 = (u64)g[REG_CR2],
			    .xsave = (const u8 *)uc->uc_mcontext.fpregs};

	for (unsigned n = 0; n < 16; n++)
		c.gpr[n] = (u64)g[order[n]];
	handler(&c);
	g[REG_RIP] = (greg_t)c.rip;
	g[REG_RSP] = (greg_t)c.gpr[4]; /* a wild one would fault on the way back */
	g[REG_EFL] &= ~0x400ll;
}

void context_catch(void (*fn)(struct context *c))
{
	static const int signals[] = {SIGSEGV, SIGILL, SIGFPE, SIGBUS, SIGTRAP};
	static u8 stack[64 << 10];
	stack_t ss = {.ss_sp = stack, .ss_size = sizeof(stack)};
	struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	handler = fn;
	sigaltstack(&ss, NULL);
	for (unsigned n = 0; n < ARRAY_SIZE(signals); n++)
		sigaction(signals[n], &sa, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The instruction tests run one instruction twice, on the host CPU and on the interpreter, from the same
 * state and at the same linear addresses, and compare what is left.
 *
 * The arena is eight pages at a fixed address below 2 GiB. The host's and the guest's are different
 * memory.
 */
#ifndef INSN_STATE_H
#define INSN_STATE_H

#include "base/types.h"
#include "cpu/cpu.h"
#include "x86/decode.h"

#define ARENA	    0x30000000ull
#define ARENA_PAGES 8
#define PAGE(n)	    (ARENA + (n)*PAGE_SIZE)
#define CODE_PAGE   1
#define DATA_PAGE   3 /* and 4: readable and writable; 0, 2, 5 and 7 are not mapped */
#define RO_PAGE	    6
#define DATA_SIZE   (2 * PAGE_SIZE)
#define CODE_ADDR   (PAGE(CODE_PAGE) + 0x800)

#define BRANCH_REACH 0x40 /* branches go this far beyond the instruction */

#define XSAVE_SIZE	 832
#define XSAVE_FCW(x)	 (*(u16 *)&(x)[0])
#define XSAVE_FSW(x)	 (*(u16 *)&(x)[2])
#define XSAVE_FTW(x)	 ((x)[4])
#define XSAVE_MXCSR(x)	 (*(u32 *)&(x)[24])
#define XSAVE_BV(x)	 (*(u64 *)&(x)[512])
#define XSAVE_ST(x, n)	 (&(x)[32 + 16 * (n)])
#define XSAVE_XMM(x, n)	 (&(x)[160 + 16 * (n)])
#define XSAVE_YMMH(x, n) (&(x)[576 + 16 * (n)])

struct state {
	u64 gpr[16];
	u64 rip;
	u64 rflags;
	u8 xsave[XSAVE_SIZE] __attribute__((aligned(64)));
};

#define NO_FAULT (-1)

/* How one run ended. */
struct result {
	struct state s;
	int vector; /* of the exception, or NO_FAULT */
	u64 error;
	u64 cr2; /* #PF */
	u8 data[DATA_SIZE];
};

/*
 * CODE_64, or CODE_32: then the host runs, in 64-bit mode with an address-size prefix, the instructions that
 * mean the same there.
 */
extern enum code_mode trial_mode;

/* What both run. */
struct trial {
	struct state s;
	u8 code[16];
	unsigned len;
	u8 data[DATA_SIZE];
};

/* -- host.c ---- */
void host_init(void);
void host_run(const struct trial *t, struct result *r);
/* CPUID of this machine. */
bool host_cpuid(u32 leaf, u32 sub, unsigned reg, unsigned bit);

/* -- guest.c ---- */
void guest_init(void);
void guest_set_mode(void); /* trial_mode has changed */
void guest_run(const struct trial *t, struct result *r);
const u32 *guest_features(void);

/* -- random.c: splitmix64, so that a seed names a run ---- */
extern u64 random_state;
u64 random64(void);
static inline u64 random_below(u64 n)
{
	return random64() % n;
}

/* -- forms.c ---- */

/* One instruction form: everything but registers, addresses and immediates. */
struct form {
	struct x86_decoded d; /* an example */
	u8 prefix[2], nprefix;
	bool vex, w, l;
	u8 pp, map, opcode;
	u8 modrm; /* what is fixed of it: reg when `fixed_reg`, rm when `fixed_rm` */
	bool has_modrm, mem, fixed_reg, fixed_rm;
};

/* The forms of trial_mode; to be freed. */
struct form *forms_list(unsigned *count);
/* The same form with random operands. false: bad luck, try again. */
bool form_instance(const struct form *f, struct trial *t, struct x86_decoded *d);

/* Near branches, which all go to one place. */
bool is_branch(const struct x86_decoded *d);

/* -- generate.c ---- */
/* A random state in which *d can run without harming the process. false: try again. */
bool trial_fill(struct trial *t, struct x86_decoded *d);

/* -- compare.c ---- */
/* Prints what differs; true when nothing does. */
bool results_equal(const struct trial *t, const struct x86_decoded *d, const struct result *host,
		   const struct result *guest, bool print);
void trial_print(const struct trial *t, const struct x86_decoded *d);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What can come of executing something: an outcome, and for each outcome that needs words a struct in
 * struct cpu that says the rest. Nothing else reports guest-visible trouble.
 */
#ifndef CPU_OUTCOME_H
#define CPU_OUTCOME_H

#include "base/types.h"

enum outcome {
	/* Done; carry on with what comes next. */
	OUTCOME_OK = 0,
	/*
	 * The guest did something that raises a fault, trap or nested page fault: cpu->fault says what.
	 * rip and all registers are as they were before the instruction (traps: after it).
	 */
	OUTCOME_FAULT,
	/* L2 did something that L1 intercepts: cpu->vmexit says what. State as before the instruction. */
	OUTCOME_VMEXIT,
	/*
	 * User space must act: cpu->user says what. For reads (IN, MMIO loads) the instruction is
	 * restarted on re-entry and finds the answer in cpu->io; for the last write it has completed.
	 */
	OUTCOME_USEREXIT,
	/* Left the translated code: rip is exact and the run loop must look at cpu->events and go on. */
	OUTCOME_RESYNC,
	/* HLT has completed (rip is after it): wait for an event. */
	OUTCOME_HLT,
	/* Triple fault. */
	OUTCOME_SHUTDOWN,
};

/* Exception vectors (SDM Vol. 3A 6.3.1). */
enum vector {
	VEC_DE = 0,
	VEC_DB = 1,
	VEC_NMI = 2,
	VEC_BP = 3,
	VEC_OF = 4,
	VEC_BR = 5,
	VEC_UD = 6,
	VEC_NM = 7,
	VEC_DF = 8,
	VEC_TS = 10,
	VEC_NP = 11,
	VEC_SS = 12,
	VEC_GP = 13,
	VEC_PF = 14,
	VEC_MF = 16,
	VEC_AC = 17,
	VEC_MC = 18,
	VEC_XM = 19,
	VEC_VE = 20,
	VEC_CP = 21,
};

/* Page-fault error code bits (SDM Vol. 3A 4.7). */
#define PF_P	0x01u
#define PF_W	0x02u
#define PF_U	0x04u
#define PF_RSVD 0x08u
#define PF_I	0x10u
#define PF_PK	0x20u

enum fault_kind {
	FAULT_NONE,
	FAULT_EXCEPTION,   /* a vectored exception: vector, error, has_error; cr2 for #PF */
	FAULT_EPT,	   /* EPT violation: qual, gpa, gla */
	FAULT_EPT_MISCONF, /* EPT misconfiguration: gpa */
};

struct fault {
	enum fault_kind kind;
	u8 vector;
	bool has_error;
	bool trap;  /* rip is already that of the next instruction (#DB traps, #BP, #OF) */
	bool soft;  /* raised by INT n, INT3, INTO (or INT1: `icebp`) */
	bool icebp; /* raised by INT1 */
	bool int_n; /* raised by INT n (CD ib), and not by INT3 or INTO; soft is set, too */
	u8 len;	    /* soft: length of the instruction; rip is after it */
	u32 error;
	u64 cr2; /* #PF: faulting linear address; put into CR2 only when the exception is delivered */
	u64 dr6;  /* #DB: bits to merge into DR6 on delivery */
	u64 qual; /* EPT violation: exit qualification (SDM Vol. 3C 27.2.1, table 27-7) */
	u64 gpa;  /* nested faults: the ngpa */
	u64 gla;  /* nested faults: the guest linear address, when valid (see qual) */
};

#endif

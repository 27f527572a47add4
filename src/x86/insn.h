/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A decoded instruction as the engines keep it: small, fixed size, ready to run. It does not depend
 * on the linear address of its page: RIP-relative operands are addressed from gpr[REG_PAGE].
 */
#ifndef X86_INSN_H
#define X86_INSN_H

#include "base/types.h"
#include "cpu/outcome.h"

struct cpu;
struct insn;

/*
 * Executes *i and continues with i + 1 by a tail call, or returns an outcome other than OUTCOME_OK
 * with cpu->rip exact. Every handler has this type.
 */
typedef enum outcome (*insn_fn)(struct cpu *cpu, const struct insn *i);

/* insn.flags */
#define INSN_ADDR64                                                                                \
	0x0001u /* 64-bit addressing in 64-bit mode: no segment checks but FS/GS base  \
			     */
#define INSN_ADDR32   0x0002u /* effective address is truncated to 32 bits */
#define INSN_ADDR16   0x0004u /* ... to 16 bits */
#define INSN_LOCK     0x0008u
#define INSN_REP      0x0010u /* F3 */
#define INSN_REPNE    0x0020u /* F2 */
#define INSN_MEM      0x0040u /* has a memory operand in base/index/scale/disp/seg */
#define INSN_SEG_SS   0x0080u /* faults of the memory operand are #SS */
#define INSN_SEG_BASE 0x0100u /* in 64-bit mode: FS or GS override, add its base */

struct insn {
	insn_fn fn;
	union {
		u64 imm;	 /* immediate, sign-extended as the instruction wants it */
		const void *aux; /* for handlers of wider needs */
		u32 imm32[2];
	};
	s32 disp;  /* displacement; for RIP-relative: relative to the start of the code page */
	u16 off;   /* offset of the instruction in its page */
	u16 flags; /* INSN_* */
	u8 len;	   /* bytes */
	u8 size;   /* operand size in bytes */
	/*
	 * Register operands as byte offsets into cpu->gpr (8 * number, + 1 for AH CH DH BH), so
	 * that a handler needs no table.
	 */
	u8 dst, src;
	u8 base, index; /* the same; 8 * REG_ZERO when absent, 8 * REG_PAGE for RIP-relative */
	u8 scale;	/* shift: 0 to 3 */
	u8 seg;		/* SEG_* of the memory operand, with overrides applied */
	u8 reg;	     /* a third operand: segment, control, vector register number, condition ... */
	u8 mem_size; /* size of the memory operand in bytes, when it differs from `size` */
	u8 sub;	     /* free for the handler's theme */
	u8 pad[4];   /* the same */
	u8 pos;	     /* number in its block, from 1: how many have retired when it has */
};

_Static_assert(sizeof(struct insn) == 40, "struct insn should stay small");

#define INSN_MAX_LEN 15

#endif

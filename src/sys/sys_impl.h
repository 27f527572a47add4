/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Private to sys/: descriptors as they lie in memory, implicit accesses, and stacks under
 * construction.
 */
#ifndef SYS_SYS_IMPL_H
#define SYS_SYS_IMPL_H

#include <string.h>

#include "cpu/features.h"
#include "mmu/mmu.h"
#include "sys/sys.h"

/* -- selectors --------------------------------------------------------------------------------- */

#define SEL_RPL 3u
#define SEL_TI	4u

static inline bool sel_null(u16 sel)
{
	return !(sel & ~SEL_RPL);
}

static inline unsigned sel_rpl(u16 sel)
{
	return sel & SEL_RPL;
}

/* -- descriptors (SDM Vol. 3A 3.4.5, 3.5, 5.8.3, 6.11, 6.14.1) --------------------------------- */

struct desc {
	u16 selector;
	u64 gva;    /* where it was read */
	u64 lo, hi; /* hi: only of system descriptors in IA-32e mode and of 64-bit gates */
};

/* System types. */
enum {
	DESC_TSS16 = 1,
	DESC_LDT = 2,
	DESC_TSS16_BUSY = 3,
	DESC_CALL16 = 4,
	DESC_TASK_GATE = 5,
	DESC_INT16 = 6,
	DESC_TRAP16 = 7,
	DESC_TSS32 = 9, /* and 64 */
	DESC_TSS32_BUSY = 11,
	DESC_CALL32 = 12, /* and 64 */
	DESC_INT32 = 14,
	DESC_TRAP32 = 15
};

#define TYPE_ACCESSED	1u
#define TYPE_WRITABLE	2u /* data */
#define TYPE_READABLE	2u /* code */
#define TYPE_DOWN	4u /* data: expand-down */
#define TYPE_CONFORMING 4u /* code */
#define TYPE_CODE	8u
#define TYPE_BUSY	2u

static inline unsigned desc_type(const struct desc *d)
{
	return d->lo >> 40 & 15;
}

static inline bool desc_is_system(const struct desc *d)
{
	return !(d->lo >> 44 & 1);
}

static inline unsigned desc_dpl(const struct desc *d)
{
	return d->lo >> 45 & 3;
}

static inline bool desc_present(const struct desc *d)
{
	return d->lo >> 47 & 1;
}

static inline bool desc_is_code(const struct desc *d)
{
	return !desc_is_system(d) && desc_type(d) & TYPE_CODE;
}

static inline bool desc_conforming(const struct desc *d)
{
	return desc_is_code(d) && desc_type(d) & TYPE_CONFORMING;
}

static inline bool desc_writable(const struct desc *d)
{
	return !desc_is_system(d) && (desc_type(d) & (TYPE_CODE | TYPE_WRITABLE)) == TYPE_WRITABLE;
}

static inline u64 desc_base(const struct desc *d)
{
	return bits(d->lo, 39, 16) | bits(d->lo, 63, 56) << 24;
}

static inline u32 desc_limit(const struct desc *d)
{
	u32 limit = (u32)(bits(d->lo, 15, 0) | bits(d->lo, 51, 48) << 16);

	return d->lo >> 55 & 1 ? limit << 12 | 0xfff : limit;
}

static inline u16 desc_attr(const struct desc *d)
{
	return d->lo >> 40 & 0xf0ff;
}

static inline bool desc_long_code(const struct desc *d)
{
	return desc_attr(d) & SEG_ATTR_L;
}

/* The register contents for a code or data segment. */
static inline struct segment desc_segment(const struct desc *d)
{
	return (struct segment){.selector = d->selector,
				.base = desc_base(d),
				.limit = desc_limit(d),
				.attr = desc_attr(d) | TYPE_ACCESSED};
}

/* Gates. */
static inline u16 gate_selector(const struct desc *d)
{
	return d->lo >> 16 & 0xffff;
}

static inline u32 gate_offset32(const struct desc *d)
{
	return (u32)((d->lo & 0xffff) | (d->lo >> 32 & 0xffff0000));
}

static inline u64 gate_offset64(const struct desc *d)
{
	return gate_offset32(d) | d->hi << 32;
}

/* -- desc.c ------------------------------------------------------------------------------------ */

/* vector(selector), EXT added: `ext` is 0 or 1. */
enum outcome sys_fault_sel(struct cpu *cpu, u8 vector, u16 selector, u16 ext);

/* Implicit supervisor accesses of any of the tables. */
enum outcome sys_read(struct cpu *cpu, u64 gva, void *dst, unsigned size);
enum outcome sys_write(struct cpu *cpu, u64 gva, const void *src, unsigned size);

/* Reads the 8 bytes of a descriptor; outside its table: vector(selector). */
enum outcome sys_desc_read(struct cpu *cpu, u16 selector, u8 vector, u16 ext, struct desc *d);
/* The same, and the upper 8 bytes when it is a system descriptor in IA-32e mode. */
enum outcome sys_desc_read_system(struct cpu *cpu, u16 selector, u8 vector, u16 ext,
				  struct desc *d);
/* Sets the accessed bit in memory when it is clear. */
enum outcome sys_desc_access(struct cpu *cpu, const struct desc *d);
/* Sets or clears the busy bit of a TSS descriptor in memory. */
enum outcome sys_desc_busy(struct cpu *cpu, const struct desc *d, bool busy);

/* Base of a system descriptor, 64 bits of it in IA-32e mode. */
static inline u64 desc_system_base(const struct cpu *cpu, const struct desc *d)
{
	return cpu_long_mode(cpu) ? desc_base(d) | d->hi << 32 : desc_base(d);
}

/* A stack that is pushed to or popped from, before the CPU's own SS:RSP change. */
struct sys_stack {
	struct segment ss;
	u64 sp;
	u64 mask;   /* of the stack pointer's width */
	bool flat;  /* 64-bit mode: no segment */
	bool inner; /* accesses are supervisor ones although the CPL still is 3 */
	u16 error;  /* #SS error code */
};

/* The current stack. */
void sys_stack_current(const struct cpu *cpu, struct sys_stack *s);
/* A stack with another SS. `target_cpl`: the level that will use it. */
void sys_stack_new(const struct cpu *cpu, struct sys_stack *s, const struct segment *ss, u64 sp,
		   bool flat, unsigned target_cpl, u16 error);
enum outcome sys_stack_push(struct cpu *cpu, struct sys_stack *s, u64 value, unsigned size);
enum outcome sys_stack_pop(struct cpu *cpu, struct sys_stack *s, u64 *value, unsigned size);
/* Makes the stack's pointer (not SS) the CPU's. */
void sys_stack_commit(struct cpu *cpu, const struct sys_stack *s);

/* -- segment.c --------------------------------------------------------------------------------- */

/*
 * Checks a stack segment for `cpl` (SDM Vol. 2B MOV, Vol. 3A 5.7): vector is #TS or #GP for what is
 * wrong with it; not present is #SS.
 */
enum outcome sys_stack_segment(struct cpu *cpu, u16 selector, unsigned cpl, u8 vector, u16 ext,
			       struct segment *ss);
/* A null SS as inner 64-bit code gets it. */
struct segment sys_null_segment(u16 selector, unsigned dpl);
/* Real-address and virtual-8086 mode. */
void sys_segment_load_real(struct cpu *cpu, unsigned seg, u16 selector);
/* On a return to an outer level: data segments that it may not use become null (SDM Vol. 3A 5.8.6).
 */
void sys_segments_lower(struct cpu *cpu);

/* -- farjump.c --------------------------------------------------------------------------------- */

/* rip is inside CS's limit, or canonical for 64-bit code: else #GP(0 or ext). */
enum outcome sys_rip_check(struct cpu *cpu, const struct segment *cs, u64 rip, u16 ext);
/* The last step of every transfer: CS, RIP, CPL, mode. */
void sys_enter(struct cpu *cpu, const struct segment *cs, u64 rip, unsigned cpl);

/* -- task.c ------------------------------------------------------------------------------------ */

/* SS:ESP for `cpl` out of the TSS (32- and 16-bit). */
enum outcome sys_tss_stack(struct cpu *cpu, unsigned cpl, u16 ext, u16 *ss, u32 *esp);
/* RSP0-2 (index 0 to 2) or IST1-7 (index 4 to 10) out of a 64-bit TSS. */
enum outcome sys_tss_rsp(struct cpu *cpu, unsigned index, u16 ext, u64 *rsp);

/* -- mode.c ------------------------------------------------------------------------------------ */

/* CS has changed: cpu->mode. */
static inline void sys_mode_from_cs(struct cpu *cpu)
{
	u16 attr = cpu->seg[SEG_CS].attr;

	if (cpu_long_mode(cpu) && attr & SEG_ATTR_L)
		cpu->mode = CODE_64;
	else
		cpu->mode = attr & SEG_ATTR_DB ? CODE_32 : CODE_16;
}

/* The CPL changes: SS.DPL follows (SDM Vol. 3C 24.4.1). */
static inline void sys_cpl_set(struct cpu *cpu, unsigned cpl)
{
	cpu->cpl = (u8)cpl;
	cpu->seg[SEG_SS].attr = (cpu->seg[SEG_SS].attr & ~SEG_ATTR_DPL) | (u16)(cpl << 5);
}

static inline bool sys_real_or_v86(const struct cpu *cpu)
{
	return !cpu_protected(cpu) || cpu_v86(cpu);
}

/* FLAGS.IOPL. */
static inline unsigned sys_iopl(const struct cpu *cpu)
{
	return cpu->rflags_sys >> 12 & 3;
}

#endif

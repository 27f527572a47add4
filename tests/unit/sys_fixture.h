/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A CPU with descriptor tables, for tests of transfers and events. Memory as in the harness, and:
 *
 *   0x20000 GDT   0x21000 IDT   0x22000 TSS   0x23000 a second TSS
 */
#ifndef TESTS_UNIT_SYS_FIXTURE_H
#define TESTS_UNIT_SYS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../insn/harness.h"
#include "sys/sys.h"

#define GDT_AT	0x20000u
#define IDT_AT	0x21000u
#define TSS_AT	0x22000u
#define TSS2_AT 0x23000u

/* Selectors. */
enum {
	K_CODE = 0x08,
	K_DATA = 0x10,
	U_CODE = 0x18 | 3,
	U_DATA = 0x20 | 3,
	K_TSS = 0x28, /* and 0x30 in 64-bit mode */
	K_TSS2 = 0x38,
	GATE = 0x40, /* and 0x48 */
	K_CONF = 0x50,
	K_CODE16 = 0x58,
	GDT_LAST = 0x60
};

#define KERNEL_STACK 0x280000u
#define USER_STACK   0x290000u
#define HANDLER	     0x110000u

static struct harness h;
#define CPU (&h.cpu)

static inline u64 descriptor(u32 base, u32 limit, u16 attr)
{
	return (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)(attr & 0xff) << 40 |
	       (u64)(limit >> 16 & 15) << 48 | (u64)(attr >> 12 & 15) << 52 |
	       (u64)(base >> 24) << 56;
}

static inline void gdt_set(u16 selector, u64 value)
{
	memcpy(h.ram + GDT_AT + (selector & 0xfff8), &value, 8);
}

static inline u64 gdt_get(u16 selector)
{
	u64 value;

	memcpy(&value, h.ram + GDT_AT + (selector & 0xfff8), 8);
	return value;
}

/* A gate of 8 bytes. */
static inline u64 gate(u16 selector, u32 offset, u8 type, unsigned dpl, unsigned params)
{
	return (offset & 0xffff) | (u64)selector << 16 | (u64)params << 32 |
	       (u64)(0x80 | dpl << 5 | type) << 40 | (u64)(offset >> 16) << 48;
}

static inline void idt_set32(u8 vector, u64 value)
{
	memcpy(h.ram + IDT_AT + 8 * vector, &value, 8);
}

static inline void idt_set64(u8 vector, u64 low, u64 high)
{
	memcpy(h.ram + IDT_AT + 16 * vector, &low, 8);
	memcpy(h.ram + IDT_AT + 16 * vector + 8, &high, 8);
}

static inline u32 ram32(u32 at)
{
	u32 v;

	memcpy(&v, h.ram + at, 4);
	return v;
}

static inline u64 ram64(u32 at)
{
	u64 v;

	memcpy(&v, h.ram + at, 8);
	return v;
}

static inline void ram32_set(u32 at, u32 v)
{
	memcpy(h.ram + at, &v, 4);
}

static inline void ram64_set(u32 at, u64 v)
{
	memcpy(h.ram + at, &v, 8);
}

static inline void gdt_fill(bool wide)
{
	u16 code = wide ? 0xa000 : 0xc000;

	gdt_set(K_CODE, descriptor(0, 0xfffff, code | 0x9a));
	gdt_set(K_DATA, descriptor(0, 0xfffff, 0xc092));
	gdt_set(U_CODE, descriptor(0, 0xfffff, code | 0xfa));
	gdt_set(U_DATA, descriptor(0, 0xfffff, 0xc0f2));
	gdt_set(K_TSS, descriptor(TSS_AT, 0x67 + 33, 0x8b));
	gdt_set(K_TSS2, descriptor(TSS2_AT, 0x67, 0x89));
	gdt_set(K_CONF, descriptor(0, 0xfffff, code | 0x9e));
	gdt_set(K_CODE16, descriptor(0, 0xffff, 0x9a));
}

static inline void fixture_segments(bool wide)
{
	struct cpu *cpu = CPU;

	cpu->gdt = (struct dtable){GDT_AT, GDT_LAST - 1};
	cpu->idt = (struct dtable){IDT_AT, wide ? 0xfff : 0x7ff};
	cpu->seg[SEG_TR] = (struct segment){
		.selector = K_TSS, .base = TSS_AT, .limit = 0x67 + 33, .attr = 0x8b};
	cpu->seg[SEG_LDTR] = (struct segment){.unusable = true};
	for (unsigned n = 0; n <= SEG_GS; n++)
		if (n != SEG_CS)
			assert_int_equal(sys_segment_load(cpu, n, K_DATA), OUTCOME_OK);
}

static inline void fixture_start(enum code_mode mode)
{
	assert_int_equal(harness_init(&h, mode), 0);
	gdt_fill(mode == CODE_64);
	fixture_segments(mode == CODE_64);
	if (mode == CODE_64) {
		ram64_set(TSS_AT + 4, KERNEL_STACK);
		ram64_set(TSS_AT + 36, KERNEL_STACK + 0x1000); /* IST1 */
	} else {
		ram32_set(TSS_AT + 4, KERNEL_STACK);
		ram32_set(TSS_AT + 8, K_DATA);
	}
}

/* Goes to CPL 3 as an IRET would have. */
static inline void to_user(void)
{
	struct cpu *cpu = CPU;

	cpu->seg[SEG_CS].selector = U_CODE;
	cpu->seg[SEG_CS].attr |= SEG_ATTR_DPL;
	for (unsigned n = 0; n <= SEG_GS; n++) {
		if (n == SEG_CS)
			continue;
		cpu->seg[n].selector = U_DATA;
		cpu->seg[n].attr |= SEG_ATTR_DPL;
	}
	cpu->gpr[REG_RSP] = USER_STACK;
	sys_mode_update(cpu);
}

static inline void assert_fault(enum outcome o, u8 vector, u32 error)
{
	assert_int_equal(o, OUTCOME_FAULT);
	assert_int_equal(h.cpu.fault.kind, FAULT_EXCEPTION);
	assert_int_equal(h.cpu.fault.vector, vector);
	assert_int_equal(h.cpu.fault.error, error);
}

static inline int start32(void **state)
{
	fixture_start(CODE_32);
	return 0;
}

static inline int start64(void **state)
{
	fixture_start(CODE_64);
	return 0;
}

static inline int stop(void **state)
{
	harness_fini(&h);
	return 0;
}

#endif

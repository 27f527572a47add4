/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The VM-exit instruction-information word and the displacement that goes with it (SDM Vol. 3C 27.2.5,
 * tables 27-8 to 27-14). All tables have the memory operand in the same places.
 */
#ifndef INTERP_INSN_INFO_H
#define INTERP_INSN_INFO_H

#include "interp/handler.h"

/* Number of the general register at a byte offset into cpu->gpr. */
static inline unsigned info_gpr(u8 off)
{
	return off / 8u;
}

static inline u32 info_address_size(const struct insn *i)
{
	return i->flags & INSN_ADDR64 ? 2 : i->flags & INSN_ADDR32 ? 1 : 0;
}

/* Bits 1:0, 9:7, 17:15, 21:18, 22, 26:23, 27. */
static inline u32 info_memory(const struct insn *i)
{
	bool no_index = i->index == 8 * REG_ZERO;
	bool no_base = i->base == 8 * REG_ZERO || i->base == 8 * REG_PAGE;
	u32 info = i->scale | info_address_size(i) << 7 | (u32)i->seg << 15;

	info |= no_index ? 1u << 22 : info_gpr(i->index) << 18;
	return info | (no_base ? 1u << 27 : info_gpr(i->base) << 23);
}

/* The same for a register (Reg1, bits 6:3, with bit 10) or memory operand. */
static inline u32 info_operand(const struct insn *i, u8 reg)
{
	return i->flags & INSN_MEM ? info_memory(i) : 1u << 10 | info_gpr(reg) << 3;
}

/* RIP-relative displacements are reported with RIP added. */
static inline u64 info_displacement(const struct cpu *cpu, const struct insn *i)
{
	if (!(i->flags & INSN_MEM))
		return 0;
	return (i->base == 8 * REG_PAGE ? cpu->gpr[REG_PAGE] : 0) + (u64)(s64)i->disp;
}

#endif

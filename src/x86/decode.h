/* SPDX-License-Identifier: BSD-2-Clause */
/* Decoding by Zydis: bytes to facts about one instruction. Thread-safe, no state. */
#ifndef X86_DECODE_H
#define X86_DECODE_H

#include <Zydis/Zydis.h>

#include "base/types.h"
#include "cpu/cpu.h"
#include "x86/insn.h"

struct x86_decoded {
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	u8 bytes[16];
	u16 off; /* offset of the instruction in its page */
	enum code_mode mode;
};

/*
 * Decodes the instruction at `bytes` (`len` valid bytes). Returns true; false when it is not an
 * instruction (#UD) or (d->insn.length == 0) when `len` bytes are not enough to tell.
 */
bool x86_decode(struct x86_decoded *d, enum code_mode mode, const u8 *bytes, unsigned len);

/*
 * true when the guest's CPUID has the feature that the instruction needs (and, for VEX forms, the
 * features of its vector length).
 */
bool x86_feature_present(const struct x86_decoded *d, const u32 *features);

#endif

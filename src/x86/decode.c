/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "x86/decode.h"

static void decoder_init(ZydisDecoder *z, enum code_mode mode)
{
	static const struct {
		ZydisMachineMode machine;
		ZydisStackWidth stack;
	} modes[] = {
		[CODE_16] = {ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16},
		[CODE_32] = {ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32},
		[CODE_64] = {ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64},
	};
	/* What is off decodes as the NOP (or the older instruction) that it is without the feature.
	 */
	static const ZydisDecoderMode off[] = {ZYDIS_DECODER_MODE_MPX, ZYDIS_DECODER_MODE_CET,
					       ZYDIS_DECODER_MODE_CLDEMOTE,
					       ZYDIS_DECODER_MODE_WBNOINVD};

	ZydisDecoderInit(z, modes[mode].machine, modes[mode].stack);
	for (unsigned i = 0; i < ARRAY_SIZE(off); i++)
		ZydisDecoderEnableMode(z, off[i], ZYAN_FALSE);
}

/*
 * Zydis 4.0 gives [disp32 + index] with REX.B a base of R13D under an address-size prefix; there is none
 * whatever REX.B says (SDM Vol. 2A 2.2.1.2, table 2-5).
 */
static void fix_base(struct x86_decoded *d)
{
	if (!(d->insn.attributes & ZYDIS_ATTRIB_HAS_SIB) || d->insn.raw.modrm.mod ||
	    d->insn.raw.sib.base != 5)
		return;
	for (unsigned n = 0; n < d->insn.operand_count; n++) {
		ZydisDecodedOperand *op = &d->ops[n];

		if (op->type != ZYDIS_OPERAND_TYPE_MEMORY ||
		    op->encoding != ZYDIS_OPERAND_ENCODING_MODRM_RM)
			continue;
		op->mem.base = ZYDIS_REGISTER_NONE;
		op->mem.disp.value = d->insn.raw.disp.value;
	}
}

/* F3 90 is PAUSE only without REX.B: with it, XCHG R8, rAX. */
static bool is_rex_pause(const struct x86_decoded *d)
{
	return d->insn.mnemonic == ZYDIS_MNEMONIC_PAUSE && d->insn.raw.rex.B;
}

static bool decode_rex_pause(struct x86_decoded *d, const ZydisDecoder *z)
{
	u8 bytes[16];

	memcpy(bytes, d->bytes, sizeof(bytes));
	for (unsigned n = 0; n < d->insn.length; n++)
		if (bytes[n] == 0xf3)
			bytes[n] = 0x3e; /* a segment prefix without meaning */
	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(z, bytes, INSN_MAX_LEN, &d->insn, d->ops));
}

bool x86_decode(struct x86_decoded *d, enum code_mode mode, const u8 *bytes, unsigned len)
{
	ZydisDecoder z;
	ZyanStatus status;

	decoder_init(&z, mode);
	d->mode = mode;
	/* Other vCPUs may be writing: what is decoded is what was copied. */
	len = MIN(len, sizeof(d->bytes));
	memset(d->bytes, 0, sizeof(d->bytes));
	memcpy(d->bytes, bytes, len);
	status = ZydisDecoderDecodeFull(&z, d->bytes, len, &d->insn, d->ops);
	if (ZYAN_SUCCESS(status) && d->insn.length <= INSN_MAX_LEN) {
		fix_base(d);
		return !is_rex_pause(d) || decode_rex_pause(d, &z);
	}
	if (ZYAN_SUCCESS(status) || status == ZYDIS_STATUS_INSTRUCTION_TOO_LONG ||
	    (status == ZYDIS_STATUS_NO_MORE_DATA && len > INSN_MAX_LEN))
		d->insn.length = INSN_MAX_LEN + 1;
	else
		d->insn.length = status == ZYDIS_STATUS_NO_MORE_DATA ? 0 : 1;
	return false;
}

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
	if (ZYAN_SUCCESS(status) && d->insn.length <= INSN_MAX_LEN)
		return true;
	if (ZYAN_SUCCESS(status) || status == ZYDIS_STATUS_INSTRUCTION_TOO_LONG ||
	    (status == ZYDIS_STATUS_NO_MORE_DATA && len > INSN_MAX_LEN))
		d->insn.length = INSN_MAX_LEN + 1;
	else
		d->insn.length = status == ZYDIS_STATUS_NO_MORE_DATA ? 0 : 1;
	return false;
}

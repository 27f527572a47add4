/* SPDX-License-Identifier: BSD-2-Clause */
/* What must be equal after both runs, and what the manuals leave undefined. */
#include <stdio.h>
#include <string.h>

#include "state.h"

#define CF RFLAGS_CF
#define PF RFLAGS_PF
#define AF RFLAGS_AF
#define ZF RFLAGS_ZF
#define SF RFLAGS_SF
#define OF RFLAGS_OF

/*
 * Flags that the manual leaves undefined: the instruction's page in SDM Vol. 2, "Flags Affected".
 */
static const struct {
	ZydisMnemonic mnemonic;
	u32 flags;
	const char *section;
} undefined_flags[] = {
	{ZYDIS_MNEMONIC_AND, AF, "Vol. 2A AND"},
	{ZYDIS_MNEMONIC_OR, AF, "Vol. 2B OR"},
	{ZYDIS_MNEMONIC_XOR, AF, "Vol. 2D XOR"},
	{ZYDIS_MNEMONIC_TEST, AF, "Vol. 2D TEST"},
	{ZYDIS_MNEMONIC_MUL, SF | ZF | AF | PF, "Vol. 2B MUL"},
	{ZYDIS_MNEMONIC_IMUL, SF | ZF | AF | PF, "Vol. 2A IMUL"},
	{ZYDIS_MNEMONIC_DIV, CF | OF | SF | ZF | AF | PF, "Vol. 2A DIV"},
	{ZYDIS_MNEMONIC_IDIV, CF | OF | SF | ZF | AF | PF, "Vol. 2A IDIV"},
	{ZYDIS_MNEMONIC_BSF, CF | OF | SF | AF | PF, "Vol. 2A BSF"},
	{ZYDIS_MNEMONIC_BSR, CF | OF | SF | AF | PF, "Vol. 2A BSR"},
	{ZYDIS_MNEMONIC_BT, OF | SF | AF | PF, "Vol. 2A BT"},
	{ZYDIS_MNEMONIC_BTS, OF | SF | AF | PF, "Vol. 2A BTS"},
	{ZYDIS_MNEMONIC_BTR, OF | SF | AF | PF, "Vol. 2A BTR"},
	{ZYDIS_MNEMONIC_BTC, OF | SF | AF | PF, "Vol. 2A BTC"},
	{ZYDIS_MNEMONIC_TZCNT, OF | SF | AF | PF, "Vol. 2D TZCNT"},
	{ZYDIS_MNEMONIC_LZCNT, OF | SF | AF | PF, "Vol. 2A LZCNT"},
	{ZYDIS_MNEMONIC_ANDN, AF | PF, "Vol. 2A ANDN"},
	{ZYDIS_MNEMONIC_BEXTR, AF | SF | PF, "Vol. 2A BEXTR"},
	{ZYDIS_MNEMONIC_BLSI, AF | PF, "Vol. 2A BLSI"},
	{ZYDIS_MNEMONIC_BLSR, AF | PF, "Vol. 2A BLSR"},
	{ZYDIS_MNEMONIC_BLSMSK, AF | PF, "Vol. 2A BLSMSK"},
	{ZYDIS_MNEMONIC_BZHI, AF | PF, "Vol. 2A BZHI"},
};

static bool is_shift(ZydisMnemonic m)
{
	return m == ZYDIS_MNEMONIC_SHL || m == ZYDIS_MNEMONIC_SHR || m == ZYDIS_MNEMONIC_SAR ||
	       m == ZYDIS_MNEMONIC_SHLD || m == ZYDIS_MNEMONIC_SHRD;
}

static bool is_rotate(ZydisMnemonic m)
{
	return m == ZYDIS_MNEMONIC_ROL || m == ZYDIS_MNEMONIC_ROR || m == ZYDIS_MNEMONIC_RCL ||
	       m == ZYDIS_MNEMONIC_RCR;
}

/* The count operand of a shift, masked as the CPU masks it. */
static unsigned shift_count(const struct trial *t, const struct x86_decoded *d)
{
	unsigned mask = d->ops[0].size == 64 ? 63 : 31;

	for (unsigned n = 1; n < d->insn.operand_count_visible; n++)
		if (d->ops[n].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
			return (unsigned)d->ops[n].imm.value.u & mask;
	if (d->ops[1].type == ZYDIS_OPERAND_TYPE_REGISTER || d->insn.operand_count_visible == 3)
		return (unsigned)t->s.gpr[REG_RCX] & mask;
	return 1;
}

/* Vol. 2B SAL/SAR/SHL/SHR, SHLD, SHRD; RCL/RCR/ROL/ROR: it depends on the count. */
static u32 shift_undefined(const struct trial *t, const struct x86_decoded *d)
{
	unsigned count = shift_count(t, d), size = d->ops[0].size;

	if (count == 0)
		return 0;
	if (is_rotate(d->insn.mnemonic))
		return count > 1 ? OF : 0;
	return AF | (count > 1 ? OF : 0) | (count >= size ? CF : 0);
}

static bool double_shift_undefined(const struct trial *t, const struct x86_decoded *d)
{
	return (d->insn.mnemonic == ZYDIS_MNEMONIC_SHLD ||
		d->insn.mnemonic == ZYDIS_MNEMONIC_SHRD) &&
	       shift_count(t, d) > d->ops[0].size;
}

static u64 flags_undefined(const struct trial *t, const struct x86_decoded *d)
{
	for (unsigned n = 0; n < ARRAY_SIZE(undefined_flags); n++)
		if (undefined_flags[n].mnemonic == d->insn.mnemonic)
			return undefined_flags[n].flags;
	if (is_shift(d->insn.mnemonic) || is_rotate(d->insn.mnemonic))
		return shift_undefined(t, d);
	return 0;
}

/* Vol. 2B MASKMOVDQU: exceptions for bytes that are not stored are up to the implementation. */
static bool masked_fault(const struct x86_decoded *d, const struct result *host,
			 const struct result *guest)
{
	return d->insn.operand_count > 2 && d->insn.opcode == 0xf7 &&
	       d->insn.opcode_map == ZYDIS_OPCODE_MAP_0F && host->vector != NO_FAULT &&
	       guest->vector == NO_FAULT;
}

/*
 * VCVTPS2PH knows no flush-to-zero, by which the interpreter tells an exact tiny result when underflow is
 * unmasked.
 */
static bool half_underflow(const struct trial *t, const struct x86_decoded *d)
{
	return d->insn.mnemonic == ZYDIS_MNEMONIC_VCVTPS2PH && !(XSAVE_MXCSR(t->s.xsave) & 0x800);
}

/* Whether REP INS and OUTS look at the port's permission before they look at a count of 0. */
static bool empty_io_string(const struct trial *t, const struct x86_decoded *d)
{
	u64 mask = d->insn.address_width == 64 ? ~0ull : (u32)~0;

	return d->insn.meta.category == ZYDIS_CATEGORY_IOSTRINGOP && !(t->s.gpr[REG_RCX] & mask);
}

/* MXCSR bit 17, AMD's misaligned mode, which nestkvm's CPUs do not have. */
static bool misaligned_mode(const struct result *host)
{
	return XSAVE_MXCSR(host->s.xsave) & 0x20000;
}

/* Results that are undefined altogether, so that nothing can be compared. */
static bool result_undefined(const struct trial *t, const struct x86_decoded *d,
			     const struct result *host, const struct result *guest)
{
	return double_shift_undefined(t, d) || half_underflow(t, d) ||
	       masked_fault(d, host, guest) || misaligned_mode(host) || empty_io_string(t, d);
}

/* -- comparison -------------------------------------------------------------------------------------------- */

static unsigned differences;

static void differ(bool print, const char *what, u64 host, u64 guest)
{
	differences++;
	if (print)
		printf("#   %-10s host %016llx guest %016llx\n", what, (unsigned long long)host,
		       (unsigned long long)guest);
}

static void check(bool print, const char *what, u64 host, u64 guest)
{
	if (host != guest)
		differ(print, what, host, guest);
}

static void check_bytes(bool print, const char *name, unsigned k, const u8 *a, const u8 *b,
			unsigned size)
{
	char what[32];
	u64 x, y;

	if (!memcmp(a, b, size))
		return;
	snprintf(what, sizeof(what), "%s%u", name, k);
	for (unsigned n = 0; n < size; n += 8) {
		x = y = 0;
		memcpy(&x, a + n, MIN(8, size - n));
		memcpy(&y, b + n, MIN(8, size - n));
		check(print, what, x, y);
	}
}

/*
 * An unmasked overflow or underflow leaves PE as the unbounded result is exact or not (SDM Vol. 1 4.9.1.4),
 * and a dot product is several operations: neither can be told from a masked run.
 */
static u32 mxcsr_mask(const struct x86_decoded *d, const struct result *host)
{
	u32 mxcsr = XSAVE_MXCSR(host->s.xsave), unmasked = mxcsr & ~(mxcsr >> 7) & 0x3f;

	if (host->vector != VEC_XM)
		return ~0u;
	if (d->insn.mnemonic == ZYDIS_MNEMONIC_DPPS || d->insn.mnemonic == ZYDIS_MNEMONIC_VDPPS ||
	    d->insn.mnemonic == ZYDIS_MNEMONIC_DPPD || d->insn.mnemonic == ZYDIS_MNEMONIC_VDPPD)
		return ~0x3fu;
	return unmasked & 0x18 ? ~0x20u : ~0u;
}

/* Which there are, of general and of vector registers. */
static unsigned registers(void)
{
	return trial_mode == CODE_64 ? 16 : 8;
}

static void check_vectors(bool print, const u8 *a, const u8 *b, u32 mxcsr)
{
	for (unsigned n = 0; n < registers(); n++) {
		check_bytes(print, "xmm", n, XSAVE_XMM(a, n), XSAVE_XMM(b, n), 16);
		check_bytes(print, "ymmh", n, XSAVE_YMMH(a, n), XSAVE_YMMH(b, n), 16);
	}
	check(print, "mxcsr", XSAVE_MXCSR(a) & mxcsr, XSAVE_MXCSR(b) & mxcsr);
}

static void check_x87(bool print, const u8 *a, const u8 *b)
{
	check(print, "fcw", XSAVE_FCW(a), XSAVE_FCW(b));
	check(print, "fsw", XSAVE_FSW(a), XSAVE_FSW(b));
	check(print, "ftw", XSAVE_FTW(a), XSAVE_FTW(b));
	for (unsigned n = 0; n < 8; n++)
		check_bytes(print, "st", n, XSAVE_ST(a, n), XSAVE_ST(b, n), 10);
}

static void check_memory(bool print, const struct result *host, const struct result *guest)
{
	char what[32];

	for (unsigned n = 0; n < DATA_SIZE; n++) {
		if (host->data[n] == guest->data[n])
			continue;
		snprintf(what, sizeof(what), "[%llx]", PAGE(DATA_PAGE) + n);
		differ(print, what, host->data[n], guest->data[n]);
		if (differences > 20)
			return;
	}
}

/* Which byte of a long or masked operand is tried first is not specified. */
static u64 cr2_mask(const struct x86_decoded *d)
{
	switch (d->insn.mnemonic) {
	case ZYDIS_MNEMONIC_FNSAVE:
	case ZYDIS_MNEMONIC_FRSTOR:
	case ZYDIS_MNEMONIC_FNSTENV:
	case ZYDIS_MNEMONIC_FLDENV:
	case ZYDIS_MNEMONIC_MASKMOVQ:
	case ZYDIS_MNEMONIC_MASKMOVDQU:
	case ZYDIS_MNEMONIC_VMASKMOVDQU:
		return PAGE_MASK;
	default:
		return ~0ull;
	}
}

static void check_fault(bool print, const struct x86_decoded *d, const struct result *host,
			const struct result *guest)
{
	check(print, "vector", (u64)(s64)host->vector, (u64)(s64)guest->vector);
	check(print, "error", host->error, guest->error);
	if (host->vector == VEC_PF)
		check(print, "cr2", host->cr2 & cr2_mask(d), guest->cr2 & cr2_mask(d));
}

bool results_equal(const struct trial *t, const struct x86_decoded *d, const struct result *host,
		   const struct result *guest, bool print)
{
	const u64 flags = (RFLAGS_ARITH | RFLAGS_DF) &
			  ~(host->vector == NO_FAULT ? flags_undefined(t, d) : 0);

	const u64 mask = trial_mode == CODE_64 ? ~0ull : (u32)~0;

	if (result_undefined(t, d, host, guest))
		return true;
	differences = 0;
	check_fault(print, d, host, guest);
	for (unsigned n = 0; n < registers(); n++) {
		static const char names[16][4] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp",
						  "rsi", "rdi", "r8",  "r9",  "r10", "r11",
						  "r12", "r13", "r14", "r15"};

		check(print, names[n], host->s.gpr[n] & mask, guest->s.gpr[n] & mask);
	}
	check(print, "rip", host->s.rip, guest->s.rip);
	check(print, "rflags", host->s.rflags & flags, guest->s.rflags & flags);
	check_vectors(print, host->s.xsave, guest->s.xsave, mxcsr_mask(d, host));
	check_x87(print, host->s.xsave, guest->s.xsave);
	check_memory(print, host, guest);
	return !differences;
}

void trial_print(const struct trial *t, const struct x86_decoded *d)
{
	printf("#   bytes");
	for (unsigned n = 0; n < t->len; n++)
		printf(" %02x", t->code[n]);
	printf("  rflags %llx mxcsr %x fcw %x fsw %x ftw %x\n", (unsigned long long)t->s.rflags,
	       XSAVE_MXCSR(t->s.xsave), XSAVE_FCW(t->s.xsave), XSAVE_FSW(t->s.xsave),
	       XSAVE_FTW(t->s.xsave));
	for (unsigned n = 0; n < 16; n++)
		printf("%s%016llx%s", n % 4 ? " " : "#   ", (unsigned long long)t->s.gpr[n],
		       n % 4 == 3 ? "\n" : "");
}

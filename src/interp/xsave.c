/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * FXSAVE, FXRSTOR and the XSAVE family (SDM Vol. 1 chapter 13) for x87, SSE, AVX and PKRU. struct fpu is
 * itself an image in the standard format, so that most of this is copying.
 */
#include <string.h>

#include "cpu/features.h"
#include "interp/block.h"
#include "interp/handler.h"
#include "virt/virt.h"

#define XMM_OFFSET    160
#define XMM_SIZE      256
#define ST_OFFSET     32
#define ST_SIZE	      128
#define FX_SAVED      416 /* bytes of the legacy area that are written; the rest is software's */
#define HEADER_OFFSET 512
#define HEADER_SIZE   64
#define EXT_OFFSET    576
#define AVX_SIZE      256
#define PKRU_OFFSET   832 /* in the standard format, as CPUID leaf 0xd says */
#define PKRU_SIZE     8
#define IMAGE_SIZE    (PKRU_OFFSET + PKRU_SIZE)
#define MXCSR_OFFSET  24
#define MXCSR_INIT    0x1f80u
#define MXCSR_VALID   0xffffu
#define COMPACT	      BIT(63)

/* insn.sub: which instruction; bit 7: the 64-bit form of FIP and FDP. */
enum { X_SAVE = 0, X_SAVEOPT = 1, X_SAVEC = 2, X_SAVES = 3, X_FORM64 = 0x80 };

struct image {
	u8 b[IMAGE_SIZE];
} __attribute__((aligned(64)));

#define IMAGE_U64(im, off) (*(u64 *)&(im)->b[off])
#define IMAGE_U32(im, off) (*(u32 *)&(im)->b[off])

/* -- the x87 part -------------------------------------------------------------------------------- */

/* Without REX.W the pointers are 32 bits with (deprecated, zero) selectors (SDM Vol. 1 13.5.1). */
static void x87_store(const struct cpu *cpu, struct image *im, bool form64)
{
	memcpy(im->b, cpu->fpu.legacy, 24);
	memcpy(im->b + ST_OFFSET, cpu->fpu.legacy + ST_OFFSET, ST_SIZE);
	if (!form64) {
		IMAGE_U32(im, 12) = 0;
		IMAGE_U32(im, 20) = 0;
	}
}

static void x87_load(struct cpu *cpu, const struct image *im, bool form64)
{
	memcpy(cpu->fpu.legacy, im->b, 24);
	memcpy(cpu->fpu.legacy + ST_OFFSET, im->b + ST_OFFSET, ST_SIZE);
	if (!form64) {
		*(u32 *)&cpu->fpu.legacy[12] = 0;
		*(u32 *)&cpu->fpu.legacy[20] = 0;
	}
}

static void x87_init(struct cpu *cpu)
{
	memset(cpu->fpu.legacy, 0, 24);
	FPU_FCW(&cpu->fpu) = 0x37f;
	memset(cpu->fpu.legacy + ST_OFFSET, 0, ST_SIZE);
}

/* Only eight vector registers exist outside 64-bit mode, and only they are saved and loaded. */
static unsigned vectors(const struct cpu *cpu)
{
	return cpu->mode == CODE_64 ? 16 : 8;
}

/* -- FXSAVE and FXRSTOR -------------------------------------------------------------------------- */

static enum outcome fx_check(struct cpu *cpu, const struct insn *i, bool write, u64 *gva)
{
	enum outcome o;

	if (cpu->cr0 & CR0_EM)
		return insn_stop(cpu, i, cpu_fault(cpu, VEC_UD));
	if (cpu->cr0 & CR0_TS)
		return insn_stop(cpu, i, cpu_fault(cpu, VEC_NM));
	o = insn_linear(cpu, i, 512, write, gva);
	if (!o && !IS_ALIGNED(*gva, 16))
		o = cpu_fault_code(cpu, VEC_GP, 0);
	return o ? insn_stop(cpu, i, o) : o;
}

static enum outcome body_fxsave(struct cpu *cpu, const struct insn *i)
{
	struct image im;
	u64 gva = 0;
	enum outcome o = fx_check(cpu, i, true, &gva);

	if (!o) /* the 96 bytes at the end stay as they are, but must be writable */
		o = insn_stop(cpu, i, mmu_check(cpu, gva, 512, MMU_WRITE));
	if (o)
		return o;
	x87_store(cpu, &im, i->sub & X_FORM64);
	IMAGE_U32(&im, MXCSR_OFFSET) = FPU_MXCSR(&cpu->fpu);
	IMAGE_U32(&im, MXCSR_OFFSET + 4) = MXCSR_VALID;
	memcpy(im.b + XMM_OFFSET, cpu->fpu.legacy + XMM_OFFSET, XMM_SIZE);
	return insn_store_at(cpu, i, gva, im.b, XMM_OFFSET + 16 * vectors(cpu));
}

static enum outcome op_fxsave(struct cpu *cpu, const struct insn *i)
{
	return insn_slow(cpu, i, body_fxsave);
}

static enum outcome body_fxrstor(struct cpu *cpu, const struct insn *i)
{
	struct image im;
	u64 gva = 0;
	enum outcome o = fx_check(cpu, i, false, &gva);

	if (!o)
		o = insn_load_at(cpu, i, gva, im.b, 512);
	if (o)
		return o;
	if (IMAGE_U32(&im, MXCSR_OFFSET) & ~MXCSR_VALID)
		return insn_stop(cpu, i, cpu_fault_code(cpu, VEC_GP, 0));
	x87_load(cpu, &im, i->sub & X_FORM64);
	FPU_MXCSR(&cpu->fpu) = IMAGE_U32(&im, MXCSR_OFFSET);
	memcpy(cpu->fpu.legacy + XMM_OFFSET, im.b + XMM_OFFSET, 16 * vectors(cpu));
	return OUTCOME_OK;
}

static enum outcome op_fxrstor(struct cpu *cpu, const struct insn *i)
{
	return insn_slow(cpu, i, body_fxrstor);
}

/* -- which components are in their initial state (XINUSE, SDM Vol. 1 13.6) ------------------------ */

static bool all_zero(const void *p, unsigned n)
{
	const u64 *w = p;
	u64 any = 0;

	for (unsigned k = 0; k < n / 8; k++)
		any |= w[k];
	return !any;
}

static bool x87_in_use(const struct cpu *cpu)
{
	const u8 *l = cpu->fpu.legacy;

	return FPU_FCW(&cpu->fpu) != 0x37f || FPU_FSW(&cpu->fpu) || FPU_FTW(&cpu->fpu) ||
	       *(u16 *)&l[6] || !all_zero(l + 8, 16) || !all_zero(l + ST_OFFSET, ST_SIZE);
}

static u64 xinuse(const struct cpu *cpu)
{
	u64 v = 0;

	v |= x87_in_use(cpu) ? XCR0_X87 : 0;
	v |= all_zero(cpu->fpu.legacy + XMM_OFFSET, XMM_SIZE) ? 0 : XCR0_SSE;
	v |= all_zero(cpu->fpu.ymm_hi, AVX_SIZE) ? 0 : XCR0_AVX;
	v |= cpu->fpu.pkru ? XCR0_PKRU : 0;
	return v;
}

/* -- common to the family ------------------------------------------------------------------------ */

static enum outcome x_check(struct cpu *cpu, const struct insn *i, bool write, u64 *gva)
{
	enum outcome o;

	if (!(cpu->cr4 & CR4_OSXSAVE))
		return insn_stop(cpu, i, cpu_fault(cpu, VEC_UD));
	if (cpu->cr0 & CR0_TS)
		return insn_stop(cpu, i, cpu_fault(cpu, VEC_NM));
	o = insn_linear(cpu, i, 512 + HEADER_SIZE, write, gva);
	if (!o && !IS_ALIGNED(*gva, 64))
		o = cpu_fault_code(cpu, VEC_GP, 0);
	return o ? insn_stop(cpu, i, o) : o;
}

/* The requested-feature bitmap. */
static u64 rfbm_of(const struct cpu *cpu, u64 enabled)
{
	u64 asked = (cpu->gpr[REG_RAX] & 0xffffffff) | cpu->gpr[REG_RDX] << 32;

	return asked & enabled;
}

/* Where AVX and PKRU lie in an image whose XCOMP_BV is `comp` (bit 63 clear: standard format). */
struct layout {
	unsigned avx, pkru, end;
};

static struct layout layout_of(u64 comp)
{
	struct layout l = {EXT_OFFSET, PKRU_OFFSET, 0};

	if (comp & COMPACT)
		l.pkru = EXT_OFFSET + (comp & XCR0_AVX ? AVX_SIZE : 0);
	l.end = comp & XCR0_PKRU  ? l.pkru + PKRU_SIZE
		: comp & XCR0_AVX ? l.avx + AVX_SIZE
				  : EXT_OFFSET;
	return l;
}

/* -- saving -------------------------------------------------------------------------------------- */

/* One piece of the image: offset and length. */
static enum outcome put(struct cpu *cpu, const struct insn *i, u64 gva, const void *src,
			unsigned off, unsigned len)
{
	return insn_store_at(cpu, i, gva + off, src, len);
}

static enum outcome save_legacy(struct cpu *cpu, const struct insn *i, u64 gva, u64 which,
				bool mxcsr)
{
	enum outcome o = OUTCOME_OK;
	struct image im;

	if (which & XCR0_X87) {
		x87_store(cpu, &im, i->sub & X_FORM64);
		o = put(cpu, i, gva, im.b, 0, 24);
		if (!o)
			o = put(cpu, i, gva, im.b + ST_OFFSET, ST_OFFSET, ST_SIZE);
	}
	if (!o && mxcsr) {
		u32 v[2] = {FPU_MXCSR(&cpu->fpu), MXCSR_VALID};

		o = put(cpu, i, gva, v, MXCSR_OFFSET, 8);
	}
	if (!o && which & XCR0_SSE)
		o = put(cpu, i, gva, cpu->fpu.legacy + XMM_OFFSET, XMM_OFFSET, 16 * vectors(cpu));
	return o;
}

static enum outcome save_extended(struct cpu *cpu, const struct insn *i, u64 gva, u64 which,
				  u64 comp)
{
	struct layout l = layout_of(comp);
	u64 pkru = cpu->fpu.pkru;
	enum outcome o = OUTCOME_OK;

	if (which & XCR0_AVX)
		o = put(cpu, i, gva, cpu->fpu.ymm_hi, l.avx, 16 * vectors(cpu));
	if (!o && which & XCR0_PKRU)
		o = put(cpu, i, gva, &pkru, l.pkru, PKRU_SIZE);
	return o;
}

/* XSAVE and XSAVEOPT: bits outside the request keep their value in memory (SDM Vol. 1 13.7, 13.9). */
static enum outcome save_standard(struct cpu *cpu, const struct insn *i, u64 gva, u64 rfbm)
{
	u64 inuse = xinuse(cpu), which = i->sub & X_SAVEOPT ? rfbm & inuse : rfbm, bv = 0;
	enum outcome o = insn_load_at(cpu, i, gva + HEADER_OFFSET, &bv, 8);

	if (o)
		return o;
	o = save_legacy(cpu, i, gva, which, rfbm & (XCR0_SSE | XCR0_AVX));
	if (!o)
		o = save_extended(cpu, i, gva, which, 0);
	bv = (bv & ~rfbm) | (inuse & rfbm);
	return o ? o : put(cpu, i, gva, &bv, HEADER_OFFSET, 8);
}

/* XSAVEC and XSAVES (SDM Vol. 1 13.10, 13.11). */
static enum outcome save_compact(struct cpu *cpu, const struct insn *i, u64 gva, u64 rfbm)
{
	u64 inuse = xinuse(cpu), header[2];
	enum outcome o;

	if (FPU_MXCSR(&cpu->fpu) != MXCSR_INIT)
		inuse |= XCR0_SSE;
	header[0] = inuse & rfbm;
	header[1] = rfbm | COMPACT;
	o = save_legacy(cpu, i, gva, header[0], header[0] & XCR0_SSE);
	if (!o)
		o = save_extended(cpu, i, gva, header[0], header[1]);
	return o ? o : put(cpu, i, gva, header, HEADER_OFFSET, 16);
}

static enum outcome body_xsave(struct cpu *cpu, const struct insn *i)
{
	unsigned kind = i->sub & 3;
	bool compact = kind >= X_SAVEC;
	u64 gva = 0, rfbm = rfbm_of(cpu, cpu->xcr0 | (kind == X_SAVES ? cpu->xss : 0));
	enum outcome o = x_check(cpu, i, true, &gva);

	if (o)
		return o;
	if (kind == X_SAVES && cpu->cpl)
		return insn_stop(cpu, i, cpu_fault_code(cpu, VEC_GP, 0));
	o = mmu_check(cpu, gva, MAX(layout_of(compact ? rfbm | COMPACT : rfbm).end, EXT_OFFSET),
		      MMU_WRITE);
	if (o)
		return insn_stop(cpu, i, o);
	return compact ? save_compact(cpu, i, gva, rfbm) : save_standard(cpu, i, gva, rfbm);
}

static enum outcome op_xsave(struct cpu *cpu, const struct insn *i)
{
	return insn_slow(cpu, i, body_xsave);
}

/* XSAVES and XRSTORS may not exist for L2, or be wanted by L1 (SDM Vol. 3C 25.1.3). */
static enum outcome supervisor_ask(struct cpu *cpu, const struct insn *i)
{
	if (cpu->intercepts & ICPT_XSAVES_UD)
		return cpu_fault(cpu, VEC_UD);
	if (cpu->intercepts & ICPT_XSAVES)
		return virt_icpt_simple(cpu, ICPT_XSAVES, i->len);
	return OUTCOME_OK;
}

static enum outcome body_xsaves(struct cpu *cpu, const struct insn *i)
{
	enum outcome o = supervisor_ask(cpu, i);

	return o ? insn_stop(cpu, i, o) : body_xsave(cpu, i);
}

static enum outcome op_xsaves(struct cpu *cpu, const struct insn *i)
{
	return insn_slow(cpu, i, body_xsaves);
}

/* -- loading ------------------------------------------------------------------------------------- */

/* SDM Vol. 1 13.8, 13.12: what makes the header bad. */
static bool header_valid(const struct image *im, u64 enabled, bool need_compact)
{
	u64 bv = IMAGE_U64(im, HEADER_OFFSET), comp = IMAGE_U64(im, HEADER_OFFSET + 8);

	if (comp & COMPACT)
		return !(comp & ~COMPACT & ~enabled) && !(bv & ~comp) &&
		       all_zero(im->b + HEADER_OFFSET + 16, 48);
	return !need_compact && !comp && !(bv & ~enabled) && !IMAGE_U64(im, HEADER_OFFSET + 16);
}

static void restore_legacy(struct cpu *cpu, const struct insn *i, const struct image *im, u64 rfbm,
			   u64 bv)
{
	if (rfbm & bv & XCR0_X87)
		x87_load(cpu, im, i->sub & X_FORM64);
	else if (rfbm & XCR0_X87)
		x87_init(cpu);
	if (rfbm & bv & XCR0_SSE)
		memcpy(cpu->fpu.legacy + XMM_OFFSET, im->b + XMM_OFFSET, 16 * vectors(cpu));
	else if (rfbm & XCR0_SSE)
		memset(cpu->fpu.legacy + XMM_OFFSET, 0, 16 * vectors(cpu));
}

static void restore_extended(struct cpu *cpu, const struct image *im, u64 rfbm, u64 bv, u64 comp)
{
	struct layout l = layout_of(comp);

	if (rfbm & bv & XCR0_AVX)
		memcpy(cpu->fpu.ymm_hi, im->b + l.avx, 16 * vectors(cpu));
	else if (rfbm & XCR0_AVX)
		memset(cpu->fpu.ymm_hi, 0, 16 * vectors(cpu));
	if (!(rfbm & XCR0_PKRU))
		return;
	cpu->fpu.pkru = bv & XCR0_PKRU ? IMAGE_U32(im, l.pkru) : 0;
	mmu_context_switch(cpu);
}

/* Which MXCSR the image gives: its own, the initial one, or none (*v untouched). */
static void mxcsr_choose(const struct image *im, u64 rfbm, u64 bv, bool compact, u32 *v)
{
	if (!compact && rfbm & (XCR0_SSE | XCR0_AVX))
		*v = IMAGE_U32(im, MXCSR_OFFSET);
	if (compact && rfbm & XCR0_SSE)
		*v = bv & XCR0_SSE ? IMAGE_U32(im, MXCSR_OFFSET) : MXCSR_INIT;
}

/* All of it that the header says is there, in one copy. */
static enum outcome image_load(struct cpu *cpu, const struct insn *i, u64 gva, struct image *im,
			       u64 enabled, bool supervisor, u64 rfbm)
{
	enum outcome o = insn_load_at(cpu, i, gva, im->b, EXT_OFFSET);
	unsigned end;
	u64 comp;

	if (o)
		return o;
	if (!header_valid(im, enabled, supervisor))
		return insn_stop(cpu, i, cpu_fault_code(cpu, VEC_GP, 0));
	comp = IMAGE_U64(im, HEADER_OFFSET + 8);
	end = layout_of(comp & COMPACT ? comp : rfbm & IMAGE_U64(im, HEADER_OFFSET)).end;
	if (end > EXT_OFFSET)
		o = insn_load_at(cpu, i, gva + EXT_OFFSET, im->b + EXT_OFFSET, end - EXT_OFFSET);
	return o;
}

static enum outcome restore(struct cpu *cpu, const struct insn *i, bool supervisor)
{
	u64 enabled = cpu->xcr0 | (supervisor ? cpu->xss : 0), rfbm = rfbm_of(cpu, enabled);
	u64 gva = 0, bv, comp;
	u32 mxcsr = FPU_MXCSR(&cpu->fpu);
	struct image im;
	enum outcome o = x_check(cpu, i, false, &gva);

	if (o)
		return o;
	if (supervisor && cpu->cpl)
		return insn_stop(cpu, i, cpu_fault_code(cpu, VEC_GP, 0));
	o = image_load(cpu, i, gva, &im, enabled, supervisor, rfbm);
	if (o)
		return o;
	bv = IMAGE_U64(&im, HEADER_OFFSET);
	comp = IMAGE_U64(&im, HEADER_OFFSET + 8);
	mxcsr_choose(&im, rfbm, bv, comp & COMPACT, &mxcsr);
	if (mxcsr & ~MXCSR_VALID)
		return insn_stop(cpu, i, cpu_fault_code(cpu, VEC_GP, 0));
	FPU_MXCSR(&cpu->fpu) = mxcsr;
	restore_legacy(cpu, i, &im, rfbm, bv);
	restore_extended(cpu, &im, rfbm, bv, comp);
	return OUTCOME_OK;
}

static enum outcome body_xrstor(struct cpu *cpu, const struct insn *i)
{
	return restore(cpu, i, false);
}

static enum outcome op_xrstor(struct cpu *cpu, const struct insn *i)
{
	return insn_slow(cpu, i, body_xrstor);
}

static enum outcome body_xrstors(struct cpu *cpu, const struct insn *i)
{
	enum outcome o = supervisor_ask(cpu, i);

	return o ? insn_stop(cpu, i, o) : restore(cpu, i, true);
}

static enum outcome op_xrstors(struct cpu *cpu, const struct insn *i)
{
	return insn_slow(cpu, i, body_xrstors);
}

/* -- selection ----------------------------------------------------------------------------------- */

#define SELECT(name, op, kind)                                                                     \
	static bool select_##name(const struct x86_decoded *d, struct insn *i)                     \
	{                                                                                          \
		i->fn = op;                                                                        \
		i->sub = kind;                                                                     \
		return true;                                                                       \
	}

SELECT(fxsave, op_fxsave, 0)
SELECT(fxsave64, op_fxsave, X_FORM64)
SELECT(fxrstor, op_fxrstor, 0)
SELECT(fxrstor64, op_fxrstor, X_FORM64)
SELECT(xsave, op_xsave, X_SAVE)
SELECT(xsave64, op_xsave, X_SAVE | X_FORM64)
SELECT(xsaveopt, op_xsave, X_SAVEOPT)
SELECT(xsaveopt64, op_xsave, X_SAVEOPT | X_FORM64)
SELECT(xsavec, op_xsave, X_SAVEC)
SELECT(xsavec64, op_xsave, X_SAVEC | X_FORM64)
SELECT(xsaves, op_xsaves, X_SAVES)
SELECT(xsaves64, op_xsaves, X_SAVES | X_FORM64)
SELECT(xrstor, op_xrstor, 0)
SELECT(xrstor64, op_xrstor, X_FORM64)
SELECT(xrstors, op_xrstors, 0)
SELECT(xrstors64, op_xrstors, X_FORM64)

const struct interp_select interp_xsave[] = {
	{ZYDIS_MNEMONIC_FXSAVE, select_fxsave},
	{ZYDIS_MNEMONIC_FXSAVE64, select_fxsave64},
	{ZYDIS_MNEMONIC_FXRSTOR, select_fxrstor},
	{ZYDIS_MNEMONIC_FXRSTOR64, select_fxrstor64},
	{ZYDIS_MNEMONIC_XSAVE, select_xsave},
	{ZYDIS_MNEMONIC_XSAVE64, select_xsave64},
	{ZYDIS_MNEMONIC_XSAVEOPT, select_xsaveopt},
	{ZYDIS_MNEMONIC_XSAVEOPT64, select_xsaveopt64},
	{ZYDIS_MNEMONIC_XSAVEC, select_xsavec},
	{ZYDIS_MNEMONIC_XSAVEC64, select_xsavec64},
	{ZYDIS_MNEMONIC_XSAVES, select_xsaves},
	{ZYDIS_MNEMONIC_XSAVES64, select_xsaves64},
	{ZYDIS_MNEMONIC_XRSTOR, select_xrstor},
	{ZYDIS_MNEMONIC_XRSTOR64, select_xrstor64},
	{ZYDIS_MNEMONIC_XRSTORS, select_xrstors},
	{ZYDIS_MNEMONIC_XRSTORS64, select_xrstors64},
	{0, NULL},
};

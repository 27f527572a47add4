/* SPDX-License-Identifier: BSD-2-Clause */
/* x87, SSE and extended state (SDM Vol. 1 13.4): KVM's formats are those of FXSAVE and XSAVE. */
#include <string.h>

#include "api/api.h"
#include "cpu/cpuid.h"
#include "mmu/mmu.h"

#define FCW_INIT   0x37f
#define MXCSR_INIT 0x1f80
#define MXCSR_MASK 0xffffu

#define LEGACY_MXCSR_MASK 28
#define LEGACY_ST	  32
#define LEGACY_XMM	  160
#define XSAVE_HEADER	  512

int vcpu_get_fpu(struct object *o, void *arg)
{
	struct fpu *f = &o->vcpu->cpu.fpu;
	struct kvm_fpu *k = arg;

	memset(k, 0, sizeof(*k));
	memcpy(k->fpr, f->legacy + LEGACY_ST, sizeof(k->fpr));
	memcpy(k->xmm, f->legacy + LEGACY_XMM, sizeof(k->xmm));
	k->fcw = FPU_FCW(f);
	k->fsw = FPU_FSW(f);
	k->ftwx = FPU_FTW(f);
	memcpy(&k->last_opcode, f->legacy + 6, 2);
	memcpy(&k->last_ip, f->legacy + 8, 8);
	memcpy(&k->last_dp, f->legacy + 16, 8);
	k->mxcsr = FPU_MXCSR(f);
	return 0;
}

int vcpu_set_fpu(struct object *o, void *arg)
{
	struct fpu *f = &o->vcpu->cpu.fpu;
	const struct kvm_fpu *k = arg;

	memcpy(f->legacy + LEGACY_ST, k->fpr, sizeof(k->fpr));
	memcpy(f->legacy + LEGACY_XMM, k->xmm, sizeof(k->xmm));
	FPU_FCW(f) = k->fcw;
	FPU_FSW(f) = k->fsw;
	FPU_FTW(f) = k->ftwx;
	memcpy(f->legacy + 6, &k->last_opcode, 2);
	memcpy(f->legacy + 8, &k->last_ip, 8);
	memcpy(f->legacy + 16, &k->last_dp, 8);
	FPU_MXCSR(f) = k->mxcsr & MXCSR_MASK;
	f->xstate_bv |= XCR0_X87 | XCR0_SSE;
	return 0;
}

/* -- XSAVE --------------------------------------------------------------------------------------
 */

int vcpu_get_xsave(struct object *o, void *arg)
{
	const struct fpu *f = &o->vcpu->cpu.fpu;
	struct kvm_xsave *x = arg;
	u32 mask = MXCSR_MASK;

	memset(x, 0, sizeof(*x));
	memcpy(x->region, f, MIN(FPU_XSAVE_SIZE, sizeof(x->region)));
	memcpy((u8 *)x->region + LEGACY_MXCSR_MASK, &mask, sizeof(mask));
	return 0;
}

/* Components that the image does not have are in their initial state (SDM Vol. 1 13.6). */
static void init_missing(struct fpu *f)
{
	if (!(f->xstate_bv & XCR0_X87)) {
		memset(f->legacy, 0, LEGACY_ST - 8);
		memset(f->legacy + LEGACY_ST, 0, LEGACY_XMM - LEGACY_ST);
		FPU_FCW(f) = FCW_INIT;
	}
	if (!(f->xstate_bv & XCR0_SSE)) {
		memset(f->legacy + LEGACY_XMM, 0, 256);
		if (!(f->xstate_bv & XCR0_AVX))
			FPU_MXCSR(f) = MXCSR_INIT;
	}
	if (!(f->xstate_bv & XCR0_AVX))
		memset(f->ymm_hi, 0, sizeof(f->ymm_hi));
	if (!(f->xstate_bv & XCR0_PKRU))
		f->pkru = 0;
}

int vcpu_set_xsave(struct object *o, void *arg)
{
	struct cpu *cpu = &o->vcpu->cpu;
	struct fpu new = {0};

	memcpy(&new, arg, FPU_XSAVE_SIZE);
	if (new.xstate_bv & ~cpu_xcr0_supported() || new.xcomp_bv || FPU_MXCSR(&new) & ~MXCSR_MASK)
		return -EINVAL;
	for (unsigned i = 0; i < ARRAY_SIZE(new.reserved); i++)
		if (new.reserved[i])
			return -EINVAL;
	init_missing(&new);
	cpu->fpu = new;
	mmu_mode_changed(cpu); /* PKRU */
	return 0;
}

/* -- XCR0 ---------------------------------------------------------------------------------------
 */

int vcpu_get_xcrs(struct object *o, void *arg)
{
	struct kvm_xcrs *x = arg;

	memset(x, 0, sizeof(*x));
	x->nr_xcrs = 1;
	x->xcrs[0].value = o->vcpu->cpu.xcr0;
	return 0;
}

static bool xcr0_valid(const struct cpu *cpu, u64 value)
{
	if (!(value & XCR0_X87) || (value & XCR0_AVX && !(value & XCR0_SSE)))
		return false;
	return !(value & ~(cpu_xcr0_allowed(cpu) | XCR0_X87));
}

/* Registers other than XCR0 are ignored, as KVM does. */
int vcpu_set_xcrs(struct object *o, void *arg)
{
	struct cpu *cpu = &o->vcpu->cpu;
	const struct kvm_xcrs *x = arg;

	if (x->nr_xcrs > KVM_MAX_XCRS || x->flags)
		return -EINVAL;
	for (u32 i = 0; i < x->nr_xcrs; i++) {
		if (x->xcrs[i].xcr)
			continue;
		if (!xcr0_valid(cpu, x->xcrs[i].value))
			return -EINVAL;
		cpu->xcr0 = x->xcrs[i].value;
		return 0;
	}
	return 0;
}

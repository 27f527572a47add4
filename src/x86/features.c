/* SPDX-License-Identifier: BSD-2-Clause */
/* Which CPUID bit says that an instruction exists (SDM Vol. 2, "CPUID feature flag" of each page).
 */
#include "x86/decode.h"

/* A word that no guest has. */
#define NEVER NFEATURES

struct isa_feature {
	u8 known;
	u8 word;
	u8 bit;
};

#define ISA(set, w, b) [ZYDIS_ISA_SET_##set] = {1, w, b}
#define ISA_NEVER(set) ISA(set, NEVER, 0)

static const struct isa_feature isa_features[ZYDIS_ISA_SET_MAX_VALUE + 1] = {
	ISA(ADOX_ADCX, FEAT_7_0_EBX, 19),
	ISA(AES, FEAT_1_ECX, 25),
	ISA_NEVER(AMD3DNOW),
	ISA_NEVER(AMD_INVLPGB),
	ISA_NEVER(AMX_BF16),
	ISA_NEVER(AMX_INT8),
	ISA_NEVER(AMX_TILE),
	ISA(AVX, FEAT_1_ECX, 28),
	ISA(AVX2, FEAT_7_0_EBX, 5),
	ISA(AVX2GATHER, FEAT_7_0_EBX, 5),
	ISA(AVXAES, FEAT_1_ECX, 25),
	ISA(AVX_GFNI, FEAT_7_0_ECX, 8),
	ISA(AVX_VNNI, FEAT_7_1_EAX, 4),
	ISA(BMI1, FEAT_7_0_EBX, 3),
	ISA(BMI2, FEAT_7_0_EBX, 8),
	ISA_NEVER(CET),
	ISA(CLFLUSHOPT, FEAT_7_0_EBX, 23),
	ISA(CLFSH, FEAT_1_EDX, 19),
	ISA(CLWB, FEAT_7_0_EBX, 24),
	ISA(CLZERO, FEAT_80000008_EBX, 0),
	ISA(CMPXCHG16B, FEAT_1_ECX, 13),
	ISA_NEVER(ENQCMD),
	ISA(F16C, FEAT_1_ECX, 29),
	ISA(FMA, FEAT_1_ECX, 12),
	ISA_NEVER(FMA4),
	ISA(FXSAVE, FEAT_1_EDX, 24),
	ISA(FXSAVE64, FEAT_1_EDX, 24),
	ISA(GFNI, FEAT_7_0_ECX, 8),
	ISA_NEVER(HRESET),
	ISA(INVPCID, FEAT_7_0_EBX, 10),
	ISA_NEVER(KEYLOCKER),
	ISA_NEVER(KEYLOCKER_WIDE),
	ISA_NEVER(KNCE),
	ISA_NEVER(KNCJKBR),
	ISA_NEVER(KNCSTREAM),
	ISA_NEVER(KNCV),
	ISA_NEVER(KNC_MISC),
	ISA_NEVER(KNC_PF_HINT),
	ISA_NEVER(LWP),
	ISA_NEVER(MCOMMIT),
	ISA(MONITOR, FEAT_1_ECX, 3),
	ISA(MONITORX, FEAT_80000001_ECX, 29),
	ISA(MOVBE, FEAT_1_ECX, 22),
	ISA(MOVDIR, FEAT_7_0_ECX, 27),
	ISA_NEVER(PADLOCK_ACE),
	ISA_NEVER(PADLOCK_PHE),
	ISA_NEVER(PADLOCK_PMM),
	ISA_NEVER(PADLOCK_RNG),
	ISA(PCLMULQDQ, FEAT_1_ECX, 1),
	ISA_NEVER(PCONFIG),
	ISA(PENTIUMMMX, FEAT_1_EDX, 23),
	ISA(PKU, FEAT_7_0_ECX, 3),
	ISA(POPCNT, FEAT_1_ECX, 23),
	ISA_NEVER(PT),
	ISA(RDPID, FEAT_7_0_ECX, 22),
	ISA(RDPRU, FEAT_80000008_EBX, 4),
	ISA(RDRAND, FEAT_1_ECX, 30),
	ISA(RDSEED, FEAT_7_0_EBX, 18),
	ISA(RDTSCP, FEAT_80000001_EDX, 27),
	ISA(RDWRFSGS, FEAT_7_0_EBX, 0),
	ISA(RTM, FEAT_7_0_EBX, 11),
	ISA(SERIALIZE, FEAT_7_0_EDX, 14),
	ISA_NEVER(SGX),
	ISA_NEVER(SGX_ENCLV),
	ISA(SHA, FEAT_7_0_EBX, 29),
	ISA(SMAP, FEAT_7_0_EBX, 20),
	ISA(SMX, FEAT_1_ECX, 6),
	ISA_NEVER(SNP),
	ISA(SSE, FEAT_1_EDX, 25),
	ISA(SSE2, FEAT_1_EDX, 26),
	ISA(SSE2MMX, FEAT_1_EDX, 26),
	ISA(SSE3, FEAT_1_ECX, 0),
	ISA(SSE3X87, FEAT_1_ECX, 0),
	ISA(SSE4, FEAT_1_ECX, 19),
	ISA(SSE42, FEAT_1_ECX, 20),
	ISA(SSE4A, FEAT_80000001_ECX, 6),
	ISA(SSEMXCSR, FEAT_1_EDX, 25),
	ISA(SSSE3, FEAT_1_ECX, 9),
	ISA(SSSE3MMX, FEAT_1_ECX, 9),
	ISA(SVM, FEAT_80000001_ECX, 2),
	ISA_NEVER(TBM),
	ISA_NEVER(TDX),
	ISA_NEVER(TSX_LDTRK),
	ISA_NEVER(UINTR),
	ISA(VAES, FEAT_7_0_ECX, 9),
	ISA(VMFUNC, FEAT_1_ECX, 5),
	ISA(VPCLMULQDQ, FEAT_7_0_ECX, 10),
	ISA(VTX, FEAT_1_ECX, 5),
	ISA(WAITPKG, FEAT_7_0_ECX, 5),
	ISA_NEVER(XOP),
	ISA(XSAVE, FEAT_1_ECX, 26),
	ISA(XSAVEC, FEAT_D_1_EAX, 1),
	ISA(XSAVEOPT, FEAT_D_1_EAX, 0),
	ISA(XSAVES, FEAT_D_1_EAX, 3),
};

static bool has(const u32 *features, unsigned word, unsigned bit)
{
	return word < NFEATURES && (features[word] >> bit & 1);
}

/* VEX-encoded forms of AES, PCLMULQDQ and GFNI also want AVX; 256-bit ones VAES (their own set). */
static bool vex_present(const struct x86_decoded *d, const u32 *features)
{
	switch (d->insn.meta.isa_set) {
	case ZYDIS_ISA_SET_AVXAES:
	case ZYDIS_ISA_SET_AVX_GFNI:
	case ZYDIS_ISA_SET_VAES:
	case ZYDIS_ISA_SET_VPCLMULQDQ:
	case ZYDIS_ISA_SET_F16C:
	case ZYDIS_ISA_SET_FMA:
		return has(features, FEAT_1_ECX, 28);
	default:
		return true;
	}
}

bool x86_feature_present(const struct x86_decoded *d, const u32 *features)
{
	const struct isa_feature *f = &isa_features[d->insn.meta.isa_set];

	switch (d->insn.encoding) {
	case ZYDIS_INSTRUCTION_ENCODING_EVEX:
	case ZYDIS_INSTRUCTION_ENCODING_MVEX:
	case ZYDIS_INSTRUCTION_ENCODING_XOP:
	case ZYDIS_INSTRUCTION_ENCODING_3DNOW:
		return false;
	default:
		break;
	}
	if (d->insn.meta.isa_ext == ZYDIS_ISA_EXT_AVX512VEX)
		return false;
	if (f->known && !has(features, f->word, f->bit))
		return false;
	return d->insn.encoding != ZYDIS_INSTRUCTION_ENCODING_VEX || vex_present(d, features);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the host can execute. The guest's CPUID may promise more than that, for a VMM may set any
 * value; such an instruction is #UD rather than a SIGILL for the VMM.
 */
#include <cpuid.h>
#include <pthread.h>

#include "interp/native.h"

enum cpuid_reg {
	EBX,
	ECX,
	EDX,
	NONE /* every x86-64 host */
};

#define NEEDS_AVX 1

static const struct host_feature {
	ZydisISASet isa;
	u32 leaf;
	u8 reg, bit, needs;
} host_features[] = {
	{ZYDIS_ISA_SET_X87, 0, NONE, 0, 0},
	{ZYDIS_ISA_SET_FCMOV, 0, NONE, 0, 0},
	{ZYDIS_ISA_SET_PENTIUMMMX, 0, NONE, 0, 0},
	{ZYDIS_ISA_SET_SSE, 0, NONE, 0, 0},
	{ZYDIS_ISA_SET_SSEMXCSR, 0, NONE, 0, 0},
	{ZYDIS_ISA_SET_SSE2, 0, NONE, 0, 0},
	{ZYDIS_ISA_SET_SSE2MMX, 0, NONE, 0, 0},
	{ZYDIS_ISA_SET_SSE_PREFETCH, 0, NONE, 0, 0},
	{ZYDIS_ISA_SET_PREFETCH_NOP, 0, NONE, 0, 0},
	{ZYDIS_ISA_SET_CLFSH, 0, NONE, 0, 0},
	{ZYDIS_ISA_SET_CLFLUSHOPT, 0, NONE, 0, 0}, /* these two are done in C */
	{ZYDIS_ISA_SET_CLWB, 0, NONE, 0, 0},
	{ZYDIS_ISA_SET_SSE3, 1, ECX, 0, 0},
	{ZYDIS_ISA_SET_SSE3X87, 1, ECX, 0, 0},
	{ZYDIS_ISA_SET_PCLMULQDQ, 1, ECX, 1, 0},
	{ZYDIS_ISA_SET_SSSE3, 1, ECX, 9, 0},
	{ZYDIS_ISA_SET_SSSE3MMX, 1, ECX, 9, 0},
	{ZYDIS_ISA_SET_FMA, 1, ECX, 12, NEEDS_AVX},
	{ZYDIS_ISA_SET_SSE4, 1, ECX, 19, 0},
	{ZYDIS_ISA_SET_SSE42, 1, ECX, 20, 0},
	{ZYDIS_ISA_SET_MOVBE, 1, ECX, 22, 0},
	{ZYDIS_ISA_SET_POPCNT, 1, ECX, 23, 0},
	{ZYDIS_ISA_SET_AES, 1, ECX, 25, 0},
	{ZYDIS_ISA_SET_AVXAES, 1, ECX, 25, NEEDS_AVX},
	{ZYDIS_ISA_SET_AVX, 1, ECX, 28, NEEDS_AVX},
	{ZYDIS_ISA_SET_F16C, 1, ECX, 29, NEEDS_AVX},
	{ZYDIS_ISA_SET_RDRAND, 1, ECX, 30, 0},
	{ZYDIS_ISA_SET_BMI1, 7, EBX, 3, 0},
	{ZYDIS_ISA_SET_AVX2, 7, EBX, 5, NEEDS_AVX},
	{ZYDIS_ISA_SET_AVX2GATHER, 7, EBX, 5, NEEDS_AVX},
	{ZYDIS_ISA_SET_BMI2, 7, EBX, 8, 0},
	{ZYDIS_ISA_SET_RDSEED, 7, EBX, 18, 0},
	{ZYDIS_ISA_SET_ADOX_ADCX, 7, EBX, 19, 0},
	{ZYDIS_ISA_SET_SHA, 7, EBX, 29, 0},
	{ZYDIS_ISA_SET_LZCNT, 0x80000001, ECX, 5, 0},
};

static bool host_cpuid(u32 leaf, unsigned reg, unsigned bit)
{
	u32 r[4] = {0}; /* eax, ebx, ecx, edx */

	return __get_cpuid_count(leaf, 0, &r[0], &r[1], &r[2], &r[3]) && r[1 + reg] >> bit & 1;
}

/* The host's kernel has enabled AVX state. */
static bool host_avx_enabled(void)
{
	u32 lo, hi;

	if (!host_cpuid(1, ECX, 27) || !host_cpuid(1, ECX, 28))
		return false;
	__asm__("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return (lo & (XCR0_SSE | XCR0_AVX)) == (XCR0_SSE | XCR0_AVX);
}

static bool host_feature_has(const struct host_feature *f)
{
	if (f->needs == NEEDS_AVX && !host_avx_enabled())
		return false;
	return f->reg == NONE || host_cpuid(f->leaf, f->reg, f->bit);
}

/* CPUID is slow, above all in a virtual machine: asked once. */
static bool host_has[ARRAY_SIZE(host_features)];
static pthread_once_t host_once = PTHREAD_ONCE_INIT;

static void host_init(void)
{
	for (unsigned n = 0; n < ARRAY_SIZE(host_features); n++)
		host_has[n] = host_feature_has(&host_features[n]);
}

bool native_host_has(const struct x86_decoded *d)
{
	pthread_once(&host_once, host_init);
	for (unsigned n = 0; n < ARRAY_SIZE(host_features); n++)
		if (host_features[n].isa == d->insn.meta.isa_set)
			return host_has[n];
	return false;
}

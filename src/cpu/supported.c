/* SPDX-License-Identifier: BSD-2-Clause */
/* What CPUID can be offered: the engine's own features, and the host's where it executes. */
#include <cpuid.h>
#include <errno.h>
#include <string.h>

#include "cpu/cpuid.h"
#include "cpu/features.h"

#define B(n) (1u << (n))

/*
 * `soft`: the engine does it itself. `host`: the instructions run on the host, so it must have
 * them. Bits that software sees change (OSXSAVE, OSPKE) are not offered; cpu_cpuid() sets them.
 */
struct offer {
	u32 leaf, subleaf;
	u8 reg;
	u32 soft, host;
};

enum { EAX, EBX, ECX, EDX };

/* FPU VME DE PSE TSC MSR PAE MCE CX8 APIC MTRR PGE MCA CMOV PAT PSE36 MMX FXSR: in both leaves. */
#define COMMON_EDX                                                                                 \
	(B(0) | B(1) | B(2) | B(3) | B(4) | B(5) | B(6) | B(7) | B(8) | B(9) | B(12) | B(13) |     \
	 B(14) | B(15) | B(16) | B(17) | B(23) | B(24))

static const struct offer offers[NFEATURES] = {
	/* and SEP CLFLUSH SSE SSE2 SS */
	[FEAT_1_EDX] = {1, 0, EDX, COMMON_EDX | B(11) | B(19) | B(25) | B(26) | B(27), 0},
	/* CX16 PCID X2APIC TSC-deadline XSAVE RDRAND hypervisor | SSE3 PCLMUL SSSE3 FMA SSE4.1
	 * SSE4.2 MOVBE POPCNT AES AVX F16C */
	[FEAT_1_ECX] = {1, 0, ECX, B(13) | B(17) | B(21) | B(24) | B(26) | B(30) | B(31),
			B(0) | B(1) | B(9) | B(12) | B(19) | B(20) | B(22) | B(23) | B(25) | B(28) |
				B(29)},
	/* FSGSBASE TSC_ADJUST SMEP ERMS INVPCID RDSEED SMAP CLFLUSHOPT CLWB | BMI1 AVX2
	 * FDP_EXCPTN_ONLY BMI2 no-FCS/FDS ADX SHA */
	[FEAT_7_0_EBX] = {7, 0, EBX,
			  B(0) | B(1) | B(7) | B(9) | B(10) | B(18) | B(20) | B(23) | B(24),
			  B(3) | B(5) | B(6) | B(8) | B(13) | B(19) | B(29)},
	/* UMIP PKU LA57 RDPID */
	[FEAT_7_0_ECX] = {7, 0, ECX, B(2) | B(3) | B(16) | B(22), 0},
	/* FSRM MD_CLEAR SPEC_CTRL STIBP FLUSH_L1D ARCH_CAPABILITIES SSBD: hints and no-ops */
	[FEAT_7_0_EDX] = {7, 0, EDX, B(4) | B(10) | B(26) | B(27) | B(28) | B(29) | B(31), 0},
	[FEAT_7_1_EAX] = {7, 1, EAX, 0, 0},
	/* XSAVEOPT XSAVEC XGETBV1 XSAVES */
	[FEAT_D_1_EAX] = {0xd, 1, EAX, B(0) | B(1) | B(2) | B(3), 0},
	/* and SYSCALL NX PDPE1GB RDTSCP LM */
	[FEAT_80000001_EDX] = {0x80000001, 0, EDX,
			       COMMON_EDX | B(11) | B(20) | B(26) | B(27) | B(29), 0},
	/* LAHF CMP_LEGACY CR8_LEGACY 3DNOWPREFETCH | LZCNT */
	[FEAT_80000001_ECX] = {0x80000001, 0, ECX, B(0) | B(1) | B(4) | B(8), B(5)},
	/* invariant TSC, when the host's is */
	[FEAT_80000007_EDX] = {0x80000007, 0, EDX, 0, B(8)},
	/* IBPB IBRS STIBP SSBD: no-ops; SSB_NO */
	[FEAT_80000008_EBX] = {0x80000008, 0, EBX, B(12) | B(14) | B(15) | B(24) | B(26), 0},
	[FEAT_8000000A_EDX] = {0x8000000a, 0, EDX, 0, 0},
	/* ARAT */
	[FEAT_6_EAX] = {6, 0, EAX, B(2), 0},
	/* kvmclock (both interfaces), no I/O delay, PV EOI, stable clock */
	[FEAT_KVM_EAX] = {0x40000001, 0, EAX, B(0) | B(1) | B(3) | B(6) | B(24), 0},
};

struct leaf {
	u32 reg[4];
};

static struct leaf host_leaf(u32 leaf, u32 subleaf)
{
	struct leaf l = {{0}};

	if (__get_cpuid_max(leaf & 0x80000000, NULL) >= leaf)
		__cpuid_count(leaf, subleaf, l.reg[EAX], l.reg[EBX], l.reg[ECX], l.reg[EDX]);
	return l;
}

static bool host_avx(void)
{
	u32 lo, hi;

	if (!(host_leaf(1, 0).reg[ECX] & B(27)))
		return false;
	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return (lo & 6) == 6;
}

/* AVX and what is encoded with VEX needs the host kernel's support as well. */
static u32 without_avx(enum feature_word word, u32 v)
{
	if (word == FEAT_1_ECX)
		return v & ~(B(12) | B(28) | B(29));
	return word == FEAT_7_0_EBX ? v & ~B(5) : v;
}

u32 cpu_cpuid_offer(enum feature_word word, bool vmx)
{
	const struct offer *o = &offers[word];
	u32 v = o->soft | (o->host & host_leaf(o->leaf, o->subleaf).reg[o->reg]);

	if (!host_avx())
		v = without_avx(word, v);
	if (word == FEAT_1_ECX && vmx)
		v |= B(5);
	return v;
}

u64 cpu_xcr0_supported(void)
{
	return XCR0_X87 | XCR0_SSE | XCR0_PKRU | (host_avx() ? XCR0_AVX : 0);
}

/* -- the list ---------------------------------------------------------------------------------- */

struct list {
	struct kvm_cpuid_entry2 *out;
	u32 n, max;
	bool vmx, full;
};

static void add(struct list *l, u32 leaf, u32 subleaf, bool indexed, struct leaf v)
{
	if (l->n == l->max) {
		l->full = true;
		return;
	}
	l->out[l->n++] = (struct kvm_cpuid_entry2){
		.function = leaf,
		.index = subleaf,
		.flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
		.eax = v.reg[EAX],
		.ebx = v.reg[EBX],
		.ecx = v.reg[ECX],
		.edx = v.reg[EDX],
	};
}

static struct leaf text_leaf(u32 eax, const char sig[12], bool edx_second)
{
	u32 w[3];

	memcpy(w, sig, 12);
	if (edx_second) /* the vendor string is in EBX, EDX, ECX */
		return (struct leaf){{eax, w[0], w[2], w[1]}};
	return (struct leaf){{eax, w[0], w[1], w[2]}};
}

static bool host_intel(void)
{
	return host_leaf(0, 0).reg[EBX] == signature_INTEL_ebx;
}

/*
 * A CPU with VMX calls itself Intel's, whatever the host is; then its family and caches are those
 * of a Haswell, because the host's would make no sense.
 */
static bool pose_intel(const struct list *l)
{
	return l->vmx && !host_intel();
}

static void add_identity(struct list *l)
{
	struct leaf v = host_leaf(0, 0), one = host_leaf(1, 0);

	if (pose_intel(l)) {
		v = text_leaf(0, "GenuineIntel", true);
		one.reg[EAX] = 0x306c3;
	}
	v.reg[EAX] = 0x1f;
	add(l, 0, 0, false, v);
	one.reg[EBX] = 8u << 8 | 1u << 16; /* CLFLUSH: 64 bytes; one logical processor */
	one.reg[ECX] = cpu_cpuid_offer(FEAT_1_ECX, l->vmx);
	one.reg[EDX] = cpu_cpuid_offer(FEAT_1_EDX, l->vmx);
	add(l, 1, 0, false, one);
}

/* 32 KiB L1D and L1I, 256 KiB L2, 8 MiB L3 of one core (SDM Vol. 2A CPUID leaf 04H). */
static const struct leaf caches[] = {
	{{0x121, 0x01c0003f, 63, 0}},
	{{0x122, 0x01c0003f, 63, 0}},
	{{0x143, 0x01c0003f, 511, 0}},
	{{0x163, 0x03c0003f, 8191, 6}},
	{{0, 0, 0, 0}},
};

static void add_caches(struct list *l)
{
	add(l, 2, 0, false, (struct leaf){{0x00feff01, 0xf0, 0, 0}});
	for (u32 n = 0; n < ARRAY_SIZE(caches); n++)
		add(l, 4, n, true, caches[n]);
}

static void add_features(struct list *l)
{
	struct leaf v = {{0}};

	add(l, 5, 0, false, v);
	v.reg[EAX] = cpu_cpuid_offer(FEAT_6_EAX, l->vmx);
	add(l, 6, 0, false, v);
	v = (struct leaf){{2, cpu_cpuid_offer(FEAT_7_0_EBX, l->vmx),
			   cpu_cpuid_offer(FEAT_7_0_ECX, l->vmx),
			   cpu_cpuid_offer(FEAT_7_0_EDX, l->vmx)}};
	add(l, 7, 0, true, v);
	add(l, 7, 1, true, (struct leaf){{cpu_cpuid_offer(FEAT_7_1_EAX, l->vmx)}});
	/* BHI_CTRL: guests then write SPEC_CTRL once instead of clearing branch history in loops. */
	add(l, 7, 2, true, (struct leaf){{0, 0, 0, B(4)}});
	add(l, 0xa, 0, false, (struct leaf){{0}});
	for (u32 n = 0; n < 2; n++)
		add(l, 0xb, n, true, (struct leaf){{0, 1, n | (n + 1) << 8, 0}});
}

static void add_xsave(struct list *l)
{
	u64 xcr0 = cpu_xcr0_supported();
	u32 size = cpu_xsave_size(xcr0, false);

	add(l, 0xd, 0, true, (struct leaf){{(u32)xcr0, size, size, xcr0 >> 32}});
	add(l, 0xd, 1, true,
	    (struct leaf){{cpu_cpuid_offer(FEAT_D_1_EAX, l->vmx), cpu_xsave_size(xcr0, true)}});
	if (xcr0 & XCR0_AVX)
		add(l, 0xd, 2, true, (struct leaf){{256, 576, 0, 0}});
	if (xcr0 & XCR0_PKRU)
		add(l, 0xd, 9, true, (struct leaf){{8, 832, 0, 0}});
	for (u32 n = 0; n < 2; n++)
		add(l, 0x1f, n, true, (struct leaf){{0, 1, n | (n + 1) << 8, 0}});
}

static void add_kvm(struct list *l)
{
	add(l, 0x40000000, 0, false, text_leaf(0x40000001, "KVMKVMKVM\0\0", false));
	add(l, 0x40000001, 0, false, (struct leaf){{cpu_cpuid_offer(FEAT_KVM_EAX, l->vmx)}});
}

static void add_extended(struct list *l)
{
	struct leaf v = text_leaf(0, "GenuineIntel", true);

	if (!pose_intel(l))
		v = host_leaf(0x80000000, 0);
	v.reg[EAX] = 0x80000008;
	add(l, 0x80000000, 0, false, v);
	v = host_leaf(0x80000001, 0);
	if (pose_intel(l))
		v.reg[EAX] = v.reg[EBX] = 0;
	v.reg[ECX] = cpu_cpuid_offer(FEAT_80000001_ECX, l->vmx);
	v.reg[EDX] = cpu_cpuid_offer(FEAT_80000001_EDX, l->vmx);
	add(l, 0x80000001, 0, false, v);
	for (u32 n = 2; n <= 6; n++)
		add(l, 0x80000000 + n, 0, false, host_leaf(0x80000000 + n, 0));
	v = (struct leaf){{0, 0, 0, cpu_cpuid_offer(FEAT_80000007_EDX, l->vmx)}};
	add(l, 0x80000007, 0, false, v);
	v = host_leaf(0x80000008, 0);
	/*
	 * Linear addresses: 57 bits with LA57. Physical: what the host has, 40 at least; no more than 46
	 * with VMX, because KVM in the guest would warn of L1TF on a CPU with more.
	 */
	u32 phys = MAX(v.reg[EAX] & 0xff, 40u);
	v = (struct leaf){{MIN(phys, l->vmx ? 46u : 52u) | 57u << 8,
			   cpu_cpuid_offer(FEAT_80000008_EBX, l->vmx)}};
	add(l, 0x80000008, 0, false, v);
}

int cpu_cpuid_supported(struct kvm_cpuid_entry2 *out, u32 max, bool vmx)
{
	struct list l = {.out = out, .max = max, .vmx = vmx};

	add_identity(&l);
	add_caches(&l);
	add_features(&l);
	add_xsave(&l);
	add_kvm(&l);
	add_extended(&l);
	return l.full ? -E2BIG : (int)l.n;
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/cpu_model_data.h"

/* clang-format off */
const struct cpu_word_info cpu_words[CPU_WORDS] = {
	[WORD_1_EDX] = { 1, 0, CPU_EDX, {
		"fpu", "vme", "de", "pse", "tsc", "msr", "pae", "mce",
		"cx8", "apic", NULL, "sep", "mtrr", "pge", "mca", "cmov",
		"pat", "pse36", "pn", "clflush", NULL, "ds", "acpi", "mmx",
		"fxsr", "sse", "sse2", "ss", "ht", "tm", "ia64", "pbe" } },
	[WORD_1_ECX] = { 1, 0, CPU_ECX, {
		"sse3", "pclmulqdq", "dtes64", "monitor", "ds-cpl", "vmx", "smx", "est",
		"tm2", "ssse3", "cid", NULL, "fma", "cx16", "xtpr", "pdcm",
		NULL, "pcid", "dca", "sse4.1", "sse4.2", "x2apic", "movbe", "popcnt",
		"tsc-deadline", "aes", "xsave", NULL, "avx", "f16c", "rdrand", "hypervisor" } },
	[WORD_7_EBX] = { 7, 0, CPU_EBX, {
		"fsgsbase", "tsc-adjust", "sgx", "bmi1", "hle", "avx2", "fdp-excptn-only", "smep",
		"bmi2", "erms", "invpcid", "rtm", NULL, "zero-fcs-fds", "mpx", NULL,
		"avx512f", "avx512dq", "rdseed", "adx", "smap", "avx512ifma", "pcommit", "clflushopt",
		"clwb", "intel-pt", "avx512pf", "avx512er", "avx512cd", "sha-ni", "avx512bw", "avx512vl" } },
	[WORD_7_ECX] = { 7, 0, CPU_ECX, {
		[1] = "avx512vbmi", [2] = "umip", [3] = "pku", [5] = "waitpkg", [6] = "avx512vbmi2",
		[7] = "shstk", [8] = "gfni", [9] = "vaes", [10] = "vpclmulqdq", [11] = "avx512vnni",
		[12] = "avx512bitalg", [14] = "avx512-vpopcntdq", [16] = "la57", [22] = "rdpid",
		[24] = "bus-lock-detect", [25] = "cldemote", [27] = "movdiri", [28] = "movdir64b",
		[30] = "sgxlc", [31] = "pks" } },
	[WORD_7_EDX] = { 7, 0, CPU_EDX, {
		[2] = "avx512-4vnniw", [3] = "avx512-4fmaps", [4] = "fsrm",
		[8] = "avx512-vp2intersect", [10] = "md-clear", [14] = "serialize",
		[16] = "tsx-ldtrk", [19] = "arch-lbr", [20] = "ibt", [22] = "amx-bf16",
		[23] = "avx512-fp16", [24] = "amx-tile", [25] = "amx-int8", [26] = "spec-ctrl",
		[27] = "stibp", [28] = "flush-l1d", [29] = "arch-capabilities",
		[30] = "core-capability", [31] = "ssbd" } },
	[WORD_7_1_EAX] = { 7, 1, CPU_EAX, {
		[4] = "avx-vnni", [5] = "avx512-bf16", [7] = "cmpccxadd", [10] = "fzrm", [11] = "fsrs",
		[12] = "fsrc", [21] = "amx-fp16", [23] = "avx-ifma" } },
	[WORD_6_EAX] = { 6, 0, CPU_EAX, { [2] = "arat" } },
	[WORD_D_1_EAX] = { 0xd, 1, CPU_EAX, { "xsaveopt", "xsavec", "xgetbv1", "xsaves", "xfd" } },
	[WORD_X1_EDX] = { 0x80000001, 0, CPU_EDX, {
		[11] = "syscall", [19] = "mp", [20] = "nx", [22] = "mmxext", [25] = "fxsr-opt",
		[26] = "pdpe1gb", [27] = "rdtscp", [29] = "lm", [30] = "3dnowext", [31] = "3dnow" } },
	[WORD_X1_ECX] = { 0x80000001, 0, CPU_ECX, {
		"lahf-lm", "cmp-legacy", "svm", "extapic", "cr8legacy", "abm", "sse4a", "misalignsse",
		"3dnowprefetch", "osvw", "ibs", "xop", "skinit", "wdt", NULL, "lwp",
		"fma4", "tce", NULL, "nodeid-msr", NULL, "tbm", "topoext", "perfctr-core",
		"perfctr-nb" } },
	[WORD_X7_EDX] = { 0x80000007, 0, CPU_EDX, { [8] = "invtsc" } },
	[WORD_X8_EBX] = { 0x80000008, 0, CPU_EBX, {
		[0] = "clzero", [2] = "xsaveerptr", [9] = "wbnoinvd", [12] = "ibpb", [14] = "ibrs",
		[15] = "amd-stibp", [17] = "stibp-always-on", [24] = "amd-ssbd", [25] = "virt-ssbd",
		[26] = "amd-no-ssb", [28] = "amd-psfd" } },
	[WORD_XA_EDX] = { 0x8000000a, 0, CPU_EDX, {
		"npt", "lbrv", "svm-lock", "nrip-save", "tsc-scale", "vmcb-clean", "flushbyasid",
		"decodeassists", [10] = "pause-filter", [12] = "pfthreshold", [13] = "avic",
		[15] = "v-vmsave-vmload", [16] = "vgif", [25] = "vnmi", [28] = "svme-addr-chk" } },
	[WORD_X21_EAX] = { 0x80000021, 0, CPU_EAX, {
		[0] = "no-nested-data-bp", [2] = "lfence-always-serializing",
		[6] = "null-sel-clr-base", [8] = "auto-ibrs" } },
	[WORD_KVM_EAX] = { 0x40000001, 0, CPU_EAX, {
		"kvmclock-old", "kvm-nopiodelay", "kvm-mmu", "kvmclock", "kvm-asyncpf",
		"kvm-steal-time", "kvm-pv-eoi", "kvm-pv-unhalt", [9] = "kvm-pv-tlb-flush",
		[10] = "kvm-asyncpf-vmexit", [11] = "kvm-pv-ipi", [12] = "kvm-poll-control",
		[13] = "kvm-pv-sched-yield", [14] = "kvm-asyncpf-int", [15] = "kvm-msi-ext-dest-id",
		[24] = "kvmclock-stable-bit" } },
};
/* clang-format on */

const struct cpu_alias cpu_aliases[] = {
	{"pni", "sse3"},	 {"sse4-1", "sse4.1"},	 {"sse4-2", "sse4.2"},
	{"lzcnt", "abm"},	 {"ffxsr", "fxsr-opt"},	 {"xd", "nx"},
	{"i64", "lm"},		 {"x86-64", "lm"},	 {"sha", "sha-ni"},
	{"pclmul", "pclmulqdq"}, {"rdtscp64", "rdtscp"},
};
const unsigned cpu_alias_count = ARRAY_SIZE(cpu_aliases);

#define FEATURES_PPRO                                                                              \
	"fpu de pse tsc msr pae mce cx8 apic sep pge cmov pat mmx fxsr sse sse2 x2apic "           \
	"hypervisor "
#define FEATURES_64 FEATURES_PPRO "vme mtrr mca pse36 clflush sse3 cx16 syscall nx lm lahf-lm "

const struct cpu_model_info cpu_models[] = {
	{
		.name = "qemu64",
		.vendor = "AuthenticAMD",
		.family = 15,
		.model = 107,
		.stepping = 1,
		.level = 0xd,
		.xlevel = 0x8000000a,
		.l2_kb = 512,
		.brand = "QEMU Virtual CPU version 2.5+",
		.features = FEATURES_PPRO "mtrr mca pse36 clflush sse3 cx16 syscall nx lm lahf-lm",
	},
	{
		.name = "Nehalem",
		.vendor = "GenuineIntel",
		.family = 6,
		.model = 26,
		.stepping = 3,
		.level = 0xb,
		.xlevel = 0x80000008,
		.l2_kb = 256,
		.brand = "Intel Core i7 9xx (Nehalem Class Core i7)",
		.features = FEATURES_64 "ssse3 sse4.1 sse4.2 popcnt",
	},
	{
		.name = "Nehalem-IBRS",
		.base = "Nehalem",
		.vendor = "GenuineIntel",
		.family = 6,
		.model = 26,
		.stepping = 3,
		.level = 0xb,
		.xlevel = 0x80000008,
		.l2_kb = 256,
		.brand = "Intel Core i7 9xx (Nehalem Core i7, IBRS update)",
		.features = "spec-ctrl",
	},
	{
		.name = "Haswell-noTSX",
		.base = "Nehalem",
		.vendor = "GenuineIntel",
		.family = 6,
		.model = 60,
		.stepping = 1,
		.level = 0xd,
		.xlevel = 0x80000008,
		.l2_kb = 256,
		.brand = "Intel Core Processor (Haswell, no TSX)",
		.features = "pclmulqdq fma pcid movbe tsc-deadline aes xsave avx f16c rdrand "
			    "fsgsbase bmi1 "
			    "avx2 smep bmi2 erms invpcid rdtscp abm xsaveopt arat",
	},
	{
		.name = "Haswell-noTSX-IBRS",
		.base = "Haswell-noTSX",
		.vendor = "GenuineIntel",
		.family = 6,
		.model = 60,
		.stepping = 1,
		.level = 0xd,
		.xlevel = 0x80000008,
		.l2_kb = 256,
		.brand = "Intel Core Processor (Haswell, no TSX, IBRS)",
		.features = "spec-ctrl",
	},
	{
		.name = "Haswell",
		.base = "Haswell-noTSX",
		.vendor = "GenuineIntel",
		.family = 6,
		.model = 60,
		.stepping = 4,
		.level = 0xd,
		.xlevel = 0x80000008,
		.l2_kb = 256,
		.brand = "Intel Core Processor (Haswell)",
		.features = "hle rtm",
	},
	{
		.name = "Skylake-Server",
		.base = "Haswell",
		.vendor = "GenuineIntel",
		.family = 6,
		.model = 85,
		.stepping = 4,
		.level = 0xd,
		.xlevel = 0x80000008,
		.l2_kb = 1024,
		.brand = "Intel Xeon Processor (Skylake)",
		.features = "rdseed adx smap clwb clflushopt avx512f avx512dq avx512bw avx512cd "
			    "avx512vl "
			    "pdpe1gb 3dnowprefetch xsavec xgetbv1 pku",
	},
	{
		.name = "Skylake-Server-IBRS",
		.base = "Skylake-Server",
		.vendor = "GenuineIntel",
		.family = 6,
		.model = 85,
		.stepping = 4,
		.level = 0xd,
		.xlevel = 0x80000008,
		.l2_kb = 1024,
		.brand = "Intel Xeon Processor (Skylake, IBRS)",
		.features = "spec-ctrl",
		.without = "clflushopt",
	},
	{
		.name = "Skylake-Server-noTSX-IBRS",
		.base = "Skylake-Server-IBRS",
		.vendor = "GenuineIntel",
		.family = 6,
		.model = 85,
		.stepping = 4,
		.level = 0xd,
		.xlevel = 0x80000008,
		.l2_kb = 1024,
		.brand = "Intel Xeon Processor (Skylake, IBRS, no TSX)",
		.features = "",
		.without = "hle rtm",
	},
	{
		.name = "Cascadelake-Server",
		.base = "Skylake-Server",
		.vendor = "GenuineIntel",
		.family = 6,
		.model = 85,
		.stepping = 6,
		.level = 0xd,
		.xlevel = 0x80000008,
		.l2_kb = 1024,
		.brand = "Intel Xeon Processor (Cascadelake)",
		.features = "avx512vnni spec-ctrl ssbd",
	},
	{
		.name = "Cascadelake-Server-noTSX",
		.base = "Cascadelake-Server",
		.vendor = "GenuineIntel",
		.family = 6,
		.model = 85,
		.stepping = 6,
		.level = 0xd,
		.xlevel = 0x80000008,
		.l2_kb = 1024,
		.brand = "Intel Xeon Processor (Cascadelake)",
		.features = "",
		.without = "hle rtm",
	},
	{
		.name = "EPYC",
		.vendor = "AuthenticAMD",
		.family = 23,
		.model = 1,
		.stepping = 2,
		.level = 0xd,
		.xlevel = 0x8000001e,
		.l2_kb = 512,
		.brand = "AMD EPYC Processor",
		.features = FEATURES_64
		"pclmulqdq ssse3 fma sse4.1 sse4.2 movbe popcnt aes xsave avx f16c rdrand fsgsbase "
		"bmi1 "
		"avx2 smep bmi2 rdseed adx smap clflushopt sha-ni mmxext fxsr-opt pdpe1gb rdtscp "
		"cr8legacy "
		"abm sse4a misalignsse 3dnowprefetch osvw topoext xsaveopt xsavec xgetbv1 arat npt "
		"nrip-save",
	},
	{
		.name = "EPYC-IBPB",
		.base = "EPYC",
		.vendor = "AuthenticAMD",
		.family = 23,
		.model = 1,
		.stepping = 2,
		.level = 0xd,
		.xlevel = 0x8000001e,
		.l2_kb = 512,
		.brand = "AMD EPYC Processor (with IBPB)",
		.features = "ibpb",
	},
	{
		.name = "EPYC-Milan",
		.base = "EPYC",
		.vendor = "AuthenticAMD",
		.family = 25,
		.model = 1,
		.stepping = 1,
		.level = 0xd,
		.xlevel = 0x8000001e,
		.l2_kb = 512,
		.brand = "AMD EPYC-Milan Processor",
		.features = "pcid erms invpcid clwb umip rdpid pku fsrm perfctr-core clzero "
			    "xsaveerptr wbnoinvd "
			    "ibpb ibrs amd-stibp amd-ssbd xsaves svme-addr-chk",
	},
};
const unsigned cpu_model_count = ARRAY_SIZE(cpu_models);

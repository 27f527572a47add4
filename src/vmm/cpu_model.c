/* SPDX-License-Identifier: BSD-2-Clause */
/* From a parsed model and what KVM supports to the CPUID that a guest sees. */
#include <cpuid.h>
#include <errno.h>
#include <string.h>
#include "vmm/cpu_model.h"
#include "vmm/msg.h"

#define CPUID1_ECX_TSC_DEADLINE 24
#define CPUID1_ECX_HYPERVISOR	31

/* Bits of 1.EDX that AMD repeats in 80000001H.EDX (APM Vol. 3 E.4.2). */
#define AMD_ALIASES 0x0183f3ffu

#define XCR0_X87_SSE 0x3ull
#define XCR0_AVX     BIT(2)
#define XCR0_MPX     (BIT(3) | BIT(4))
#define XCR0_AVX512  (BIT(5) | BIT(6) | BIT(7))
#define XCR0_PKU     BIT(9)
#define XCR0_AMX     (BIT(17) | BIT(18))

static bool is_amd(const struct cpu_spec *spec)
{
	return spec->model && spec->model->vendor[0] == 'A';
}

static bool wants(const u32 *words, unsigned word, unsigned bit)
{
	return words[word] & (1u << bit);
}

/* What the KVM can give, word by word. */
static void get_words(struct cpuid *c, u32 *words)
{
	for (unsigned w = 0; w < CPU_WORDS; w++) {
		struct kvm_cpuid_entry2 *e = cpuid_find(c, cpu_words[w].leaf, cpu_words[w].index);

		words[w] = e ? *cpuid_reg(e, cpu_words[w].reg) : 0;
	}
}

static void put_words(struct cpuid *c, const u32 *words)
{
	for (unsigned w = 0; w < CPU_WORDS; w++) {
		u32 leaf = cpu_words[w].leaf, index = cpu_words[w].index;
		struct kvm_cpuid_entry2 *e = cpuid_find(c, leaf, index);

		if (!e && words[w])
			e = cpuid_get(c, leaf, index);
		if (e)
			*cpuid_reg(e, cpu_words[w].reg) = words[w];
	}
}

/* One line that names all that is missing. */
static int report_missing(const struct cpu_spec *spec, const u32 *missing)
{
	char list[512] = "";
	size_t used = 0;

	for (unsigned w = 0; w < CPU_WORDS; w++)
		for (unsigned b = 0; b < 32; b++)
			if (wants(missing, w, b) && used < sizeof(list))
				used += snprintf(list + used, sizeof(list) - used, "%s%s",
						 used ? ", " : "", cpu_words[w].names[b]);
	if (!used)
		return 0;
	if (spec->enforce)
		return msg_fail(-EOPNOTSUPP, "this KVM cannot give CPU %s: %s", spec->name, list);
	msg_warn("CPU %s without what this KVM cannot give: %s", spec->name, list);
	return 0;
}

/* Which of the supported features the guest gets. */
static int select_words(const struct cpu_spec *spec, const u32 *have, u32 *words)
{
	u32 missing[CPU_WORDS];

	for (unsigned w = 0; w < CPU_WORDS; w++) {
		u32 base = spec->model && w != WORD_KVM_EAX ? spec->want[w] : have[w];

		words[w] = have[w] & (base | spec->asked[w]) & ~spec->refused[w];
		missing[w] = spec->want[w] & ~have[w];
	}
	/* SVM's own features count only with SVM. */
	if (!wants(words, WORD_X1_ECX, 2)) {
		words[WORD_XA_EDX] = 0;
		missing[WORD_XA_EDX] &= spec->asked[WORD_XA_EDX];
	}
	return report_missing(spec, missing);
}

static u64 model_xcr0(const u32 *words)
{
	u64 xcr0 = XCR0_X87_SSE;

	if (wants(words, WORD_1_ECX, 28))
		xcr0 |= XCR0_AVX;
	if (wants(words, WORD_7_EBX, 14))
		xcr0 |= XCR0_MPX;
	if (wants(words, WORD_7_EBX, 16))
		xcr0 |= XCR0_AVX512;
	if (wants(words, WORD_7_ECX, 3))
		xcr0 |= XCR0_PKU;
	if (wants(words, WORD_7_EDX, 24))
		xcr0 |= XCR0_AMX;
	return xcr0;
}

/* Leaf 0DH: only the state components of the model's features (SDM Vol. 1 13.2). */
static void limit_xsave(struct cpuid *c, const u32 *words)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(c, 0xd, 0);
	u64 xcr0 = model_xcr0(words);
	u32 size = 512 + 64, n = 0;

	if (!e || !wants(words, WORD_1_ECX, 26)) {
		cpuid_remove(c, 0xd, 0xd);
		return;
	}
	xcr0 &= e->eax | (u64)e->edx << 32;
	for (u32 i = 0; i < c->head.nent; i++) {
		struct kvm_cpuid_entry2 *s = &c->entry[i];
		bool component = s->function == 0xd && s->index >= 2;

		if (component && !(s->index < 63 && (xcr0 & BIT(s->index))))
			continue;
		if (component)
			size = MAX(size, s->eax + s->ebx);
		c->entry[n++] = *s;
	}
	c->head.nent = n;
	e = cpuid_find(c, 0xd, 0);
	e->eax = xcr0;
	e->edx = xcr0 >> 32;
	e->ebx = e->ecx = size;
	e = cpuid_find(c, 0xd, 1);
	if (e)
		e->ebx = e->ecx = e->edx = 0; /* no supervisor states */
}

static u32 model_signature(const struct cpu_model_info *m)
{
	u32 family = MIN(m->family, 15u), extended = m->family - family;

	return extended << 20 | (m->model >> 4) << 16 | family << 8 | (m->model & 15) << 4 |
	       m->stepping;
}

static void set_vendor(struct cpuid *c, u32 leaf, u32 max, const char *vendor)
{
	u32 w[3];

	memcpy(w, vendor, 12);
	cpuid_set(c, leaf, 0, max, w[0], w[2], w[1]);
}

static void set_brand(struct cpuid *c, const char *brand)
{
	u32 w[12] = {0};

	memcpy(w, brand, MIN(strlen(brand), sizeof(w) - 1));
	for (u32 i = 0; i < 3; i++)
		cpuid_set(c, 0x80000002 + i, 0, w[4 * i], w[4 * i + 1], w[4 * i + 2], w[4 * i + 3]);
}

static void set_identity(struct cpuid *c, const struct cpu_model_info *m)
{
	struct kvm_cpuid_entry2 *e = cpuid_get(c, 1, 0);

	e->eax = model_signature(m);
	e->ebx = 8 << 8; /* CLFLUSH line: 8 quadwords */
	set_vendor(c, 0, m->level, m->vendor);
	set_vendor(c, 0x80000000, m->xlevel, m->vendor);
	e = cpuid_get(c, 0x80000001, 0);
	e->eax = is_amd(&(struct cpu_spec){.model = m}) ? model_signature(m) : 0;
	e->ebx = 0;
	set_brand(c, m->brand);
}

/* A cache in the form of leaves 4 and 8000001DH. */
static void set_cache(struct cpuid *c, u32 leaf, u32 index, u32 type, u32 level, u32 ways, u32 sets)
{
	cpuid_set(c, leaf, index, type | level << 5 | 1 << 8, 63 | (ways - 1) << 22, sets - 1, 0);
}

/* 32-KiB level-1 caches, the model's level 2, 16 MiB of level 3; lines of 64 bytes. */
static void set_caches(struct cpuid *c, const struct cpu_model_info *m, bool amd)
{
	u32 leaf = amd ? 0x8000001d : 4, l2_ways = m->l2_kb >= 1024 ? 16 : 8;

	cpuid_remove(c, 2, 2);
	cpuid_remove(c, 4, 4);
	cpuid_remove(c, 0x80000005, 0x80000006);
	cpuid_remove(c, 0x8000001d, 0x8000001d);
	if (amd) {
		cpuid_set(c, 0x80000005, 0, 0xff40ff40, 0xff40ff40, 0x20080140, 0x20080140);
		cpuid_set(c, 0x80000006, 0, 0x42004200, 0x42004200,
			  m->l2_kb << 16 | 6 << 12 | 1 << 8 | 64, 32 << 18 | 8 << 12 | 1 << 8 | 64);
	} else {
		cpuid_set(c, 2, 0, 0x00feff01, 0, 0, 0); /* "ask leaf 4" */
		cpuid_set(c, 0x80000006, 0, 0, 0, m->l2_kb << 16 | 6 << 12 | 64, 0);
	}
	if (amd && m->xlevel < leaf)
		return;
	set_cache(c, leaf, 0, 1, 1, 8, 64);
	set_cache(c, leaf, 1, 2, 1, 8, 64);
	set_cache(c, leaf, 2, 3, 2, l2_ways, m->l2_kb * 1024 / 64 / l2_ways);
	set_cache(c, leaf, 3, 3, 3, 16, 16384);
	cpuid_set(c, leaf, 4, 0, 0, 0, 0);
}

/* Leaves that belong to features which no named model has, or that describe the real host. */
static void drop_host_leaves(struct cpuid *c, const struct cpu_model_info *m)
{
	static const u32 drop[] = {3,	       5,	   9,	       0xa,	  0xf,	0x10, 0x12,
				   0x14,       0x15,	   0x16,       0x17,	  0x18, 0x19, 0x1a,
				   0x1b,       0x1c,	   0x1d,       0x1e,	  0x1f, 0x20, 0x21,
				   0x80000019, 0x8000001a, 0x8000001b, 0x8000001c};

	for (size_t i = 0; i < ARRAY_SIZE(drop); i++)
		cpuid_remove(c, drop[i], drop[i]);
	cpuid_remove(c, m->level + 1, 0x3fffffff);
	cpuid_remove(c, m->xlevel + 1, 0xbfffffff);
	cpuid_remove(c, 0xc0000000, 0xc000ffff);
}

/* Registers beside the feature words, which would tell the host's features. */
static void clear_host_registers(struct cpuid *c)
{
	struct kvm_cpuid_entry2 *e;
	u32 n = 0, last_7;

	e = cpuid_find(c, 7, 1);
	if (e)
		e->ebx = e->ecx = e->edx = 0;
	last_7 = e && e->eax ? 1 : 0;
	for (u32 i = 0; i < c->head.nent; i++)
		if (c->entry[i].function != 7 || c->entry[i].index <= last_7)
			c->entry[n++] = c->entry[i];
	c->head.nent = n;
	e = cpuid_find(c, 7, 0);
	if (e)
		e->eax = last_7;
	e = cpuid_find(c, 6, 0);
	if (e)
		e->ebx = e->ecx = e->edx = 0;
	e = cpuid_find(c, 0x80000007, 0);
	if (e)
		e->eax = e->ebx = e->ecx = 0;
}

static void add_topology(struct cpuid *c, const struct cpu_spec *spec, const u32 *words)
{
	/* cpu_setup() fills these in for each vCPU. */
	if (spec->model->level >= 0xb && wants(words, WORD_1_ECX, 21))
		for (u32 i = 0; i < 3; i++)
			cpuid_get(c, 0xb, i);
	if (spec->model->xlevel >= 0x8000001e && wants(words, WORD_X1_ECX, 22))
		cpuid_get(c, 0x8000001e, 0);
}

/* Leaf 80000008H: never more bits than the host has. */
static void set_phys_bits(struct cpuid *c, unsigned want)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(c, 0x80000008, 0);

	if (e && want && want < (e->eax & 0xff))
		e->eax = (e->eax & ~0xffu) | want;
}

static void apply_model(const struct cpu_spec *spec, struct cpuid *c, u32 *words)
{
	struct kvm_cpuid_entry2 *e;

	if (is_amd(spec))
		words[WORD_X1_EDX] |= words[WORD_1_EDX] & AMD_ALIASES;
	else
		words[WORD_X1_EDX] &= ~AMD_ALIASES | BIT(11);
	set_identity(c, spec->model);
	put_words(c, words);
	clear_host_registers(c);
	set_caches(c, spec->model, is_amd(spec));
	limit_xsave(c, words);
	/* Without LA57 a linear address has 48 bits. */
	e = cpuid_find(c, 0x80000008, 0);
	if (e && !wants(words, WORD_7_ECX, 16))
		e->eax = (e->eax & 0xff) | 48 << 8;
	if (!wants(words, WORD_X1_ECX, 2))
		cpuid_remove(c, 0x8000000a, 0x8000000a);
	drop_host_leaves(c, spec->model);
	add_topology(c, spec, words);
}

/* The kernel's KVM leaves the brand string (leaves 80000002H to 80000004H) to the VMM. */
static void copy_host_brand(struct cpuid *c)
{
	for (u32 leaf = 0x80000002; leaf <= 0x80000004; leaf++) {
		const struct kvm_cpuid_entry2 *e = cpuid_find(c, leaf, 0);
		u32 r[4];

		if (e && (e->eax | e->ebx | e->ecx | e->edx))
			return;
		if (!__get_cpuid(leaf, &r[0], &r[1], &r[2], &r[3]))
			return;
		cpuid_set(c, leaf, 0, r[0], r[1], r[2], r[3]);
	}
}

static void apply_host(const struct cpu_spec *spec, struct cpuid *c, const u32 *words)
{
	put_words(c, words);
	copy_host_brand(c);
	for (unsigned w = 0; w < CPU_WORDS; w++)
		if (spec->refused[w]) {
			limit_xsave(c, words);
			break;
		}
	if (!wants(words, WORD_X1_ECX, 2))
		cpuid_remove(c, 0x8000000a, 0x8000000a);
}

int cpu_spec_apply(const struct cpu_spec *spec, struct cpuid *c, bool tsc_deadline)
{
	u32 have[CPU_WORDS], words[CPU_WORDS];
	int ret;

	get_words(c, have);
	have[WORD_1_ECX] |= 1u << CPUID1_ECX_HYPERVISOR;
	if (tsc_deadline)
		have[WORD_1_ECX] |= 1u << CPUID1_ECX_TSC_DEADLINE;
	ret = select_words(spec, have, words);
	if (ret < 0)
		return ret;
	if (spec->model)
		apply_model(spec, c, words);
	else
		apply_host(spec, c, words);
	set_phys_bits(c, spec->phys_bits);
	if (spec->no_kvm)
		cpuid_remove(c, 0x40000000, 0x400000ff);
	return 0;
}

int cpu_model_build(const struct kvm_dev *kvm, const char *text, struct cpuid *out)
{
	struct cpu_spec spec;
	int ret = cpu_spec_parse(text, &spec);

	if (ret < 0)
		return ret;
	ret = cpuid_get_supported(kvm, out);
	if (ret < 0)
		return msg_fail(ret, "KVM_GET_SUPPORTED_CPUID: %s", strerror(-ret));
	return cpu_spec_apply(&spec, out, kvmdev_has_cap(kvm, KVM_CAP_TSC_DEADLINE_TIMER));
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <stdlib.h>
#include <cmocka.h>
#include "vmm/cpu_model.h"

/* A KVM that supports every named feature, and a few leaves of a host. */
static void make_supported(struct cpuid *c)
{
	memset(c, 0, sizeof(*c));
	cpuid_set(c, 0, 0, 0x1f, 0x756e6547, 0x6c65746e, 0x49656e69);
	cpuid_set(c, 1, 0, 0x000806f8, 0x00100800, 0, 0);
	cpuid_set(c, 0xd, 0, 0x2e7, 2696, 2696, 0);
	cpuid_set(c, 0xd, 2, 256, 576, 0, 0);
	cpuid_set(c, 0xd, 5, 64, 1088, 0, 0);
	cpuid_set(c, 0xd, 6, 512, 1152, 0, 0);
	cpuid_set(c, 0xd, 7, 1024, 1664, 0, 0);
	cpuid_set(c, 0xd, 9, 8, 2688, 0, 0);
	cpuid_set(c, 0x14, 0, 1, 1, 1, 1);
	cpuid_set(c, 0x1f, 0, 1, 1, 1, 1);
	cpuid_set(c, 0x40000000, 0, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d);
	cpuid_set(c, 0x80000000, 0, 0x80000021, 0, 0, 0);
	cpuid_set(c, 0x80000008, 0, 0x3930, 0, 0, 0);
	for (unsigned w = 0; w < CPU_WORDS; w++) {
		struct kvm_cpuid_entry2 *e = cpuid_get(c, cpu_words[w].leaf, cpu_words[w].index);

		for (unsigned b = 0; b < 32; b++)
			if (cpu_words[w].names[b])
				*cpuid_reg(e, cpu_words[w].reg) |= 1u << b;
	}
}

static struct cpuid build(const char *text)
{
	struct cpuid c;
	struct cpu_spec spec;

	make_supported(&c);
	assert_int_equal(cpu_spec_parse(text, &spec), 0);
	assert_int_equal(cpu_spec_apply(&spec, &c, true), 0);
	return c;
}

/* Every name in the models' lists must be a feature, or it would be lost silently. */
static void test_tables_are_consistent(void **state)
{
	for (unsigned i = 0; i < cpu_model_count; i++) {
		const struct cpu_model_info *m = &cpu_models[i];
		char buf[1024], item[128], *save, *name;
		struct cpu_spec spec;

		assert_int_equal(strlen(m->vendor), 12);
		assert_true(strlen(m->brand) <= 48);
		strcpy(buf, m->features);
		for (name = strtok_r(buf, " ", &save); name; name = strtok_r(NULL, " ", &save)) {
			snprintf(item, sizeof(item), "host,+%s", name);
			assert_int_equal(cpu_spec_parse(item, &spec), 0);
		}
		assert_int_equal(cpu_spec_parse(m->name, &spec), 0);
		assert_ptr_equal(spec.model, m);
	}
}

static void test_haswell(void **state)
{
	struct cpuid c = build("Haswell-noTSX-IBRS,vmx=on");
	struct kvm_cpuid_entry2 *e = cpuid_find(&c, 1, 0);

	assert_int_equal(e->eax, 0x000306c1);
	assert_true(e->ecx & 1 << 5);
	assert_true(e->ecx & 1u << 31);
	assert_true(e->ecx & 1 << 24);
	e = cpuid_find(&c, 7, 0);
	assert_int_equal(e->ebx & (1 << 4 | 1 << 11), 0); /* no TSX */
	assert_true(e->ebx & 1 << 5);
	assert_int_equal(e->ebx & 1 << 16, 0);
	assert_int_equal(e->eax, 0);
	assert_int_equal(cpuid_find(&c, 0, 0)->eax, 0xd);
	assert_int_equal(cpuid_find(&c, 0, 0)->ebx, 0x756e6547);
	assert_null(cpuid_find(&c, 0x14, 0));
	assert_null(cpuid_find(&c, 0x1f, 0));
	assert_null(cpuid_find(&c, 0x80000021, 0));
	assert_non_null(cpuid_find(&c, 0x40000001, 0));
	assert_non_null(cpuid_find(&c, 0xb, 1));
	/* Linear addresses have 48 bits without LA57, physical ones 40 as in QEMU. */
	assert_int_equal(cpuid_find(&c, 0x80000008, 0)->eax, 0x3028);
	c = build("Haswell,phys-bits=44");
	assert_int_equal(cpuid_find(&c, 0x80000008, 0)->eax, 0x302c);
	c = build("Haswell,phys-bits=52");
	assert_int_equal(cpuid_find(&c, 0x80000008, 0)->eax, 0x3030);
	c = build("Haswell,host-phys-bits=on");
	assert_int_equal(cpuid_find(&c, 0x80000008, 0)->eax, 0x3030);
}

static void test_xsave_follows_features(void **state)
{
	struct cpuid c = build("Haswell-noTSX");

	assert_int_equal(cpuid_find(&c, 0xd, 0)->eax, 7);
	assert_int_equal(cpuid_find(&c, 0xd, 0)->ecx, 832);
	assert_null(cpuid_find(&c, 0xd, 5));
	c = build("Skylake-Server");
	assert_int_equal(cpuid_find(&c, 0xd, 0)->eax, 0x2e7);
	assert_int_equal(cpuid_find(&c, 0xd, 0)->ecx, 2696);
	c = build("Skylake-Server,-pku");
	assert_int_equal(cpuid_find(&c, 0xd, 0)->ecx, 2688);
	c = build("Nehalem");
	assert_null(cpuid_find(&c, 0xd, 0));
}

static void test_amd(void **state)
{
	struct cpuid c = build("EPYC");

	assert_int_equal(cpuid_find(&c, 1, 0)->eax, 0x00800f12);
	assert_int_equal(cpuid_find(&c, 0x80000001, 0)->eax, 0x00800f12);
	/* AMD repeats the basic features, and SVM is off unless asked for. */
	assert_int_equal(cpuid_find(&c, 0x80000001, 0)->edx & 0x3ff, 0x3ff & ~(1 << 10));
	assert_int_equal(cpuid_find(&c, 0x80000001, 0)->ecx & 4, 0);
	assert_null(cpuid_find(&c, 0x8000000a, 0));
	c = build("EPYC,+svm");
	assert_true(cpuid_find(&c, 0x80000001, 0)->ecx & 4);
	assert_int_equal(cpuid_find(&c, 0x8000000a, 0)->edx, 1 | 1 << 3);
	assert_memory_equal(&cpuid_find(&c, 0x80000002, 0)->eax, "AMD ", 4);
}

static void test_host_keeps_all_but_what_is_refused(void **state)
{
	struct cpuid c = build("host,-avx512f,vmx=off,kvm=off");

	assert_int_equal(cpuid_find(&c, 7, 0)->ebx & 1 << 16, 0);
	assert_true(cpuid_find(&c, 7, 0)->ebx & 1 << 17);
	assert_int_equal(cpuid_find(&c, 1, 0)->ecx & 1 << 5, 0);
	assert_int_equal(cpuid_find(&c, 0xd, 0)->eax & 0xe0, 0);
	assert_null(cpuid_find(&c, 0x40000000, 0));
	assert_non_null(cpuid_find(&c, 0x14, 0));
}

static void test_enforce(void **state)
{
	struct cpu_spec spec;
	struct cpuid c;

	make_supported(&c);
	cpuid_find(&c, 7, 0)->ebx &= ~(1u << 5);
	assert_int_equal(cpu_spec_parse("Haswell,enforce", &spec), 0);
	assert_int_equal(cpu_spec_apply(&spec, &c, true), -EOPNOTSUPP);
	assert_int_equal(cpu_spec_parse("Haswell,enforce,-avx2", &spec), 0);
	assert_int_equal(cpu_spec_apply(&spec, &c, true), 0);
}

static void test_bad_specifications(void **state)
{
	static const char *const bad[] = {
		"",
		",",
		"Haswel",
		"Haswell,+avx3",
		"host,vmx=maybe",
		"host,nonsense",
		"host,=on",
		"Haswell,-",
		"host,phys-bits=9",
		"host,phys-bits=x",
		"qemu64qemu64qemu64qemu64qemu64qemu64qemu64qemu64qemu64qemu64qemu64",
	};
	struct cpu_spec spec;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(cpu_spec_parse(bad[i], &spec), -EINVAL);
}

static void test_spelling(void **state)
{
	struct cpu_spec a, b;

	assert_int_equal(cpu_spec_parse("epyc,+sse4_1,-LAHF_LM,pni=on", &a), 0);
	assert_int_equal(cpu_spec_parse("EPYC,sse4.1=on,lahf-lm=off,+sse3", &b), 0);
	assert_memory_equal(a.want, b.want, sizeof(a.want));
	assert_memory_equal(a.refused, b.refused, sizeof(a.refused));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tables_are_consistent),
		cmocka_unit_test(test_haswell),
		cmocka_unit_test(test_xsave_follows_features),
		cmocka_unit_test(test_amd),
		cmocka_unit_test(test_host_keeps_all_but_what_is_refused),
		cmocka_unit_test(test_enforce),
		cmocka_unit_test(test_bad_specifications),
		cmocka_unit_test(test_spelling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* CPUID: what is offered, the rules for leaves that are not there, bits that follow the state; MSRs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "cpu/cpuid.h"
#include "cpu/features.h"
#include "cpu/msr.h"

#define INTEL_EBX 0x756e6547
#define AMD_EBX	  0x68747541

enum { EAX, EBX, ECX, EDX };

static struct cpu cpu;

static void given(const struct kvm_cpuid_entry2 *e, u32 n)
{
	cpu_cpuid_free(&cpu);
	memset(&cpu, 0, sizeof(cpu));
	assert_int_equal(cpu_cpuid_set(&cpu, e, n), 0);
}

static void given_vendor(u32 ebx)
{
	struct kvm_cpuid_entry2 e[] = {
		{.function = 0, .eax = 0xd, .ebx = ebx},
		{.function = 1, .ecx = BIT(26), .edx = BIT(9)},
		{.function = 0xb,
		 .index = 1,
		 .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		 .eax = 4,
		 .edx = 3},
		{.function = 0xd,
		 .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		 .eax = 0x207,
		 .ecx = 840},
		{.function = 0xd, .index = 1, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX, .eax = 0xf},
		{.function = 0x40000000, .eax = 0x40000001},
		{.function = 0x80000000, .eax = 0x80000008},
		{.function = 0x80000008, .eax = 0x3028},
	};

	given(e, ARRAY_SIZE(e));
}

static void ask(u32 leaf, u32 subleaf, u32 regs[4])
{
	cpu_cpuid(&cpu, leaf, subleaf, regs);
}

/* -- what is offered --------------------------------------------------------------------------- */

static void offers_a_64bit_cpu(void **state)
{
	struct kvm_cpuid_entry2 e[100];
	int n = cpu_cpuid_supported(e, ARRAY_SIZE(e), true);

	assert_true(n > 20);
	given(e, n);
	assert_true(cpu_has(&cpu, FEATURE_LM) && cpu_has(&cpu, FEATURE_NX));
	assert_true(cpu_has(&cpu, FEATURE_VMX) && cpu_has(&cpu, FEATURE_X2APIC));
	assert_true(cpu_has(&cpu, FEATURE_PCID) && cpu_has(&cpu, FEATURE_SMAP));
	assert_false(cpu.vendor_amd);
	assert_in_range(cpu.phys_bits, 40, 46);
	assert_int_equal(cpu_xcr0_allowed(&cpu), cpu_xcr0_supported());
	/* No TSX, no AVX-512, no MPX. */
	assert_int_equal(cpu.features[FEAT_7_0_EBX] & (BIT(4) | BIT(11) | BIT(14) | BIT(16)), 0);
	assert_int_equal(cpu_cpuid_supported(e, 3, true), -E2BIG);
	assert_true(cpu_cpuid_supported(e, ARRAY_SIZE(e), false) == n);
	assert_false(e[1].ecx & BIT(5));
}

/* -- the instruction --------------------------------------------------------------------------- */

static void answers_beyond_the_last_leaf(void **state)
{
	u32 regs[4];

	given_vendor(INTEL_EBX);
	cpu.xcr0 = XCR0_X87;
	ask(0x20, 0, regs); /* Intel's answer is that of its highest basic leaf */
	assert_int_equal(regs[EAX], 0x207);
	ask(0x80000009, 1, regs);
	assert_int_equal(regs[EAX], 0xf);
	ask(5, 0, regs); /* inside the range: nothing */
	assert_int_equal(regs[EAX] | regs[EBX] | regs[ECX] | regs[EDX], 0);
	ask(0x40000001, 0, regs);
	assert_int_equal(regs[EAX], 0);
	given_vendor(AMD_EBX);
	assert_true(cpu.vendor_amd);
	ask(0x20, 0, regs);
	assert_int_equal(regs[EAX] | regs[EBX] | regs[ECX] | regs[EDX], 0);
}

static void topology_goes_on(void **state)
{
	u32 regs[4];

	given_vendor(INTEL_EBX);
	ask(0xb, 7, regs);
	assert_int_equal(regs[EAX], 0);
	assert_int_equal(regs[ECX], 7);
	assert_int_equal(regs[EDX], 3);
}

static void bits_follow_the_state(void **state)
{
	u32 regs[4];

	given_vendor(INTEL_EBX);
	ask(1, 0, regs);
	assert_false(regs[ECX] & BIT(27));
	cpu.cr4 = CR4_OSXSAVE;
	ask(1, 0, regs);
	assert_true(regs[ECX] & BIT(27));
	cpu.xcr0 = XCR0_X87 | XCR0_SSE;
	ask(0xd, 0, regs);
	assert_int_equal(regs[EBX], 576);
	cpu.xcr0 |= XCR0_AVX;
	ask(0xd, 0, regs);
	assert_int_equal(regs[EBX], 832);
	cpu.xcr0 |= XCR0_PKRU;
	ask(0xd, 0, regs);
	assert_int_equal(regs[EBX], 840);
	cpu.xcr0 &= ~XCR0_AVX;
	ask(0xd, 0, regs);
	assert_int_equal(regs[EBX], 840);
	ask(0xd, 1, regs); /* compacted */
	assert_int_equal(regs[EBX], 584);
}

static void widths(void **state)
{
	struct kvm_cpuid_entry2 e = {.function = 0, .eax = 1};

	given_vendor(INTEL_EBX);
	assert_int_equal(cpu.phys_bits, 40);
	assert_int_equal(cpu.virt_bits, 48);
	given(&e, 1);
	assert_int_equal(cpu.phys_bits, 36);
}

/* -- MSRs -------------------------------------------------------------------------------------- */

static enum msr_result write(u32 index, u64 value, bool host)
{
	return cpu_msr_write(&cpu, index, value, host);
}

static void msr_rules(void **state)
{
	u64 value = 1;

	given_vendor(INTEL_EBX);
	cpu_msr_reset(&cpu);
	assert_int_equal(write(MSR_PAT, 0x0606060606060602, false), MSR_BAD);
	assert_int_equal(write(MSR_PAT, 0x0007010600070106, false), MSR_OK);
	assert_int_equal(write(MSR_MTRR_DEF_TYPE, 0xc02, false), MSR_BAD);
	assert_int_equal(write(MSR_MTRR_DEF_TYPE, 0xc06, false), MSR_OK);
	assert_int_equal(write(MSR_MTRR_PHYSBASE0, BIT(40) | 6, false), MSR_BAD);
	assert_int_equal(write(MSR_MTRR_PHYSBASE0 + 1, 0xff80000800, false), MSR_OK);
	assert_int_equal(write(MSR_ARCH_CAPABILITIES, 0, false), MSR_BAD);
	assert_int_equal(write(MSR_ARCH_CAPABILITIES, 0, true), MSR_OK);
	assert_int_equal(write(MSR_PLATFORM_INFO, 0, false), MSR_BAD);
	/* SPEC_CTRL only with a feature that has it. */
	assert_int_equal(write(MSR_SPEC_CTRL, 1, false), MSR_BAD);
	cpu.features[FEAT_7_0_EDX] = BIT(26);
	assert_int_equal(write(MSR_SPEC_CTRL, 1, false), MSR_OK);
	assert_int_equal(write(MSR_SPEC_CTRL, 8, false), MSR_BAD);
	assert_int_equal(write(MSR_PRED_CMD, 1, false), MSR_OK);
	assert_int_equal(cpu_msr_read(&cpu, MSR_PRED_CMD, &value, false), MSR_UNKNOWN);
	/* Machine check banks: status is only ever cleared by guests. */
	assert_int_equal(write(MSR_MC0_CTL + 1, 5, false), MSR_BAD);
	assert_int_equal(write(MSR_MC0_CTL + 1, 5, true), MSR_OK);
	assert_int_equal(write(MSR_MC0_CTL + 1, 0, false), MSR_OK);
	/* Constants. */
	assert_int_equal(cpu_msr_read(&cpu, 0x606, &value, false), MSR_OK);
	assert_int_equal(value, 0);
	assert_int_equal(write(0x606, 0, false), MSR_BAD);
	assert_int_equal(cpu_msr_read(&cpu, 0x12345, &value, false), MSR_UNKNOWN);
	cpu_cpuid_free(&cpu);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(offers_a_64bit_cpu),
		cmocka_unit_test(answers_beyond_the_last_leaf),
		cmocka_unit_test(topology_goes_on),
		cmocka_unit_test(bits_follow_the_state),
		cmocka_unit_test(widths),
		cmocka_unit_test(msr_rules),
	};

	return cmocka_run_group_tests_name("cpu_cpuid", tests, NULL, NULL);
}

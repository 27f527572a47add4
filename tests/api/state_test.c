/* SPDX-License-Identifier: BSD-2-Clause */
/* Everything that can be set can be read back, and nonsense is refused with KVM's errno. */
#include "guest.h"

#define GET(g, name, what) assert_int_equal(guest_ioctl((g).cpu, KVM_GET_##name, what), 0)
#define SET(g, name, what) assert_int_equal(guest_ioctl((g).cpu, KVM_SET_##name, what), 0)

static void test_regs(void **state)
{
	struct kvm_regs a, b;
	struct guest g;

	guest_open(&g, 0);
	for (unsigned i = 0; i < 16; i++)
		(&a.rax)[i] = 0x1111111111111111ull * i + 7;
	a.rip = 0x123456789a;
	a.rflags = 0xcd7;
	SET(g, REGS, &a);
	GET(g, REGS, &b);
	assert_memory_equal(&a, &b, sizeof(a));
	guest_close(&g);
}

/* SDM Vol. 3A table 9-1. */
static void test_reset_state(void **state)
{
	struct kvm_sregs s;
	struct kvm_regs r;
	struct guest g;

	guest_open(&g, 0);
	guest_sregs(&g, &s);
	guest_regs(&g, &r);
	assert_int_equal(r.rip, 0xfff0);
	assert_int_equal(r.rflags, 2);
	assert_int_equal(s.cr0, 0x60000010);
	assert_int_equal(s.cs.base, 0xffff0000);
	assert_int_equal(s.cs.selector, 0xf000);
	assert_int_equal(s.cs.limit, 0xffff);
	assert_int_equal(s.ds.base, 0);
	assert_int_equal(s.efer, 0);
	guest_close(&g);
}

static void test_sregs(void **state)
{
	struct kvm_sregs2 a2, b2;
	struct kvm_sregs a, b;
	static const uint8_t none[1];
	struct guest g;

	guest_open(&g, 0);
	guest_long(&g, none, none + 1);
	guest_sregs(&g, &a);
	a.cr2 = 0x1234;
	a.gdt.base = 0x7000;
	a.gdt.limit = 0x7f;
	a.idt.base = 0x8000;
	a.idt.limit = 0xfff;
	a.fs.base = 0xffff800000001000;
	a.tr.base = 0x9000;
	a.cr8 = 5;
	SET(g, SREGS, &a);
	guest_sregs(&g, &b);
	assert_memory_equal(&a, &b, sizeof(a));
	GET(g, SREGS2, &a2);
	SET(g, SREGS2, &a2);
	GET(g, SREGS2, &b2);
	assert_memory_equal(&a2, &b2, sizeof(a2));
	guest_close(&g);
}

static void test_sregs_bad(void **state)
{
	struct kvm_sregs s, good;
	struct guest g;

	guest_open(&g, 0);
	guest_sregs(&g, &good);
	s = good;
	s.cr4 = 1ull << 31; /* reserved */
	assert_int_equal(guest_ioctl(g.cpu, KVM_SET_SREGS, &s), -EINVAL);
	s = good;
	s.efer = 0x400; /* LMA without LME and paging */
	assert_int_equal(guest_ioctl(g.cpu, KVM_SET_SREGS, &s), -EINVAL);
	s = good;
	s.cr0 = 1u << 31; /* PG without PE */
	assert_int_equal(guest_ioctl(g.cpu, KVM_SET_SREGS, &s), -EINVAL);
	guest_close(&g);
}

static void test_fpu(void **state)
{
	struct kvm_fpu a, b;
	struct guest g;

	guest_open(&g, 0);
	memset(&a, 0, sizeof(a));
	for (unsigned i = 0; i < 16; i++)
		memset(a.xmm[i], (int)(i + 1), 16);
	for (unsigned i = 0; i < 8; i++)
		memset(a.fpr[i], (int)(i + 0x40), 10);
	a.fcw = 0x27f;
	a.fsw = 0x1800;
	a.ftwx = 0xf0;
	a.last_opcode = 0x123;
	a.last_ip = 0x11223344;
	a.last_dp = 0x55667788;
	a.mxcsr = 0x1fa0;
	SET(g, FPU, &a);
	GET(g, FPU, &b);
	assert_memory_equal(&a, &b, sizeof(a));
	guest_close(&g);
}

static void test_xsave(void **state)
{
	static struct kvm_xsave a, b;
	struct kvm_xcrs x;
	struct guest g;

	guest_open(&g, 0);
	GET(g, XCRS, &x);
	assert_int_equal(x.nr_xcrs, 1);
	assert_int_equal(x.xcrs[0].value, 1);
	x.xcrs[0].value = 3;
	SET(g, XCRS, &x);
	x.xcrs[0].value = 2; /* x87 cannot be off */
	assert_int_equal(guest_ioctl(g.cpu, KVM_SET_XCRS, &x), -EINVAL);
	GET(g, XSAVE, &a);
	memset(a.region + 40, 0x5a, 256);
	a.region[128] = 3;
	SET(g, XSAVE, &a);
	GET(g, XSAVE, &b);
	assert_memory_equal(&a, &b, sizeof(a));
	a.region[130] = 1; /* XCOMP_BV */
	assert_int_equal(guest_ioctl(g.cpu, KVM_SET_XSAVE, &a), -EINVAL);
	guest_close(&g);
}

static void test_debugregs(void **state)
{
	struct kvm_debugregs a = {.db = {0x1000, 0x2000, 0x3000, 0x4000}}, b;
	struct guest g;

	guest_open(&g, 0);
	a.dr6 = 0xffff4ff0;
	a.dr7 = 0x401;
	SET(g, DEBUGREGS, &a);
	GET(g, DEBUGREGS, &b);
	assert_memory_equal(&a, &b, sizeof(a));
	a.dr7 = 1ull << 32;
	assert_int_equal(guest_ioctl(g.cpu, KVM_SET_DEBUGREGS, &a), -EINVAL);
	guest_close(&g);
}

static void test_events(void **state)
{
	struct kvm_vcpu_events a, b;
	struct guest g;

	guest_open(&g, 1);
	GET(g, VCPU_EVENTS, &a);
	a.exception.injected = 1;
	a.exception.nr = 14;
	a.exception.has_error_code = 1;
	a.exception.error_code = 6;
	a.interrupt.shadow = 1;
	a.nmi.masked = 1;
	a.nmi.pending = 1;
	SET(g, VCPU_EVENTS, &a);
	GET(g, VCPU_EVENTS, &b);
	assert_memory_equal(&a, &b, sizeof(a));
	a.exception.nr = 2; /* that is the NMI */
	assert_int_equal(guest_ioctl(g.cpu, KVM_SET_VCPU_EVENTS, &a), -EINVAL);
	a.exception.nr = 14;
	a.flags = 1u << 31;
	assert_int_equal(guest_ioctl(g.cpu, KVM_SET_VCPU_EVENTS, &a), -EINVAL);
	guest_close(&g);
}

static void test_mp_state(void **state)
{
	struct kvm_mp_state mp = {.mp_state = KVM_MP_STATE_HALTED};
	struct guest g;

	guest_open(&g, 0);
	assert_int_equal(guest_ioctl(g.cpu, KVM_SET_MP_STATE, &mp), -EINVAL); /* no LAPIC */
	guest_close(&g);
	guest_open(&g, 1);
	SET(g, MP_STATE, &mp);
	mp.mp_state = 0;
	GET(g, MP_STATE, &mp);
	assert_int_equal(mp.mp_state, KVM_MP_STATE_HALTED);
	mp.mp_state = 77;
	assert_int_equal(guest_ioctl(g.cpu, KVM_SET_MP_STATE, &mp), -EINVAL);
	guest_close(&g);
}

struct msrs {
	struct kvm_msrs head;
	struct kvm_msr_entry e[3];
};

/* Up to the first that is unknown. */
static void test_msrs(void **state)
{
	struct msrs m = {.head.nmsrs = 3,
			 .e = {{.index = 0xc0000082, .data = 0x1234}, /* LSTAR */
			       {.index = 0x12345},
			       {.index = 0xc0000081}}};
	struct guest g;

	guest_open(&g, 0);
	assert_int_equal(guest_ioctl(g.cpu, KVM_SET_MSRS, &m), 1);
	m.e[0].data = 0;
	assert_int_equal(guest_ioctl(g.cpu, KVM_GET_MSRS, &m), 1);
	assert_int_equal(m.e[0].data, 0x1234);
	m.head.nmsrs = 10000;
	assert_int_equal(guest_ioctl(g.cpu, KVM_GET_MSRS, &m), -E2BIG);
	guest_close(&g);
}

/* Every MSR of the list can be read, and written with what was read. */
static void test_msr_list(void **state)
{
	static struct {
		struct kvm_msr_list head;
		uint32_t index[512];
	} list;
	struct msrs m = {.head.nmsrs = 1};
	struct guest g;

	guest_open(&g, 1);
	list.head.nmsrs = 1;
	assert_int_equal(guest_ioctl(g.sys, KVM_GET_MSR_INDEX_LIST, &list), -E2BIG);
	assert_true(list.head.nmsrs > 30);
	assert_int_equal(guest_ioctl(g.sys, KVM_GET_MSR_INDEX_LIST, &list), 0);
	for (uint32_t i = 0; i < list.head.nmsrs; i++) {
		m.e[0].index = list.head.indices[i];
		if (guest_ioctl(g.cpu, KVM_GET_MSRS, &m) != 1)
			fail_msg("MSR %x cannot be read", m.e[0].index);
		if (guest_ioctl(g.cpu, KVM_SET_MSRS, &m) != 1)
			fail_msg("MSR %x cannot be written with %llx", m.e[0].index, m.e[0].data);
	}
	guest_close(&g);
}

static void test_tsc(void **state)
{
	struct msrs m = {.head.nmsrs = 1, .e[0] = {.index = 0x10, .data = 1ull << 50}};
	struct guest g;
	int khz;

	guest_open(&g, 0);
	khz = guest_ioctl(g.cpu, KVM_GET_TSC_KHZ, NULL);
	assert_true(khz > 100000);
	assert_int_equal(guest_ioctl(g.cpu, KVM_SET_MSRS, &m), 1);
	assert_int_equal(guest_ioctl(g.cpu, KVM_GET_MSRS, &m), 1);
	assert_true(m.e[0].data >= 1ull << 50 && m.e[0].data < (1ull << 50) + (1ull << 45));
	assert_int_equal(guest_ioctl(g.cpu, KVM_SET_TSC_KHZ, (void *)1000000ul), 0);
	assert_int_equal(guest_ioctl(g.cpu, KVM_GET_TSC_KHZ, NULL), 1000000);
	guest_close(&g);
}

static void test_cpuid(void **state)
{
	static struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 e[256];
	} a, b;
	struct guest g;

	guest_open(&g, 0);
	a.head.nent = b.head.nent = 256;
	assert_int_equal(guest_ioctl(g.sys, KVM_GET_SUPPORTED_CPUID, &a), 0);
	GET(g, CPUID2, &b);
	assert_int_equal(a.head.nent, b.head.nent);
	assert_memory_equal(a.head.entries, b.head.entries,
			    a.head.nent * sizeof(a.head.entries[0]));
	b.head.nent = 1;
	assert_int_equal(guest_ioctl(g.cpu, KVM_GET_CPUID2, &b), -E2BIG);
	assert_int_equal(guest_ioctl(g.sys, KVM_GET_SUPPORTED_CPUID, &b), -E2BIG);
	guest_close(&g);
}

static void test_lapic(void **state)
{
	struct kvm_lapic_state a, b;
	struct guest g;

	guest_open(&g, 0);
	assert_int_equal(guest_ioctl(g.cpu, KVM_GET_LAPIC, &a), -EINVAL);
	guest_close(&g);
	guest_open(&g, 1);
	GET(g, LAPIC, &a);
	a.regs[0x80] = 0x40; /* TPR */
	SET(g, LAPIC, &a);
	GET(g, LAPIC, &b);
	assert_int_equal(b.regs[0x80], 0x40);
	guest_close(&g);
}

static void test_clock(void **state)
{
	struct kvm_clock_data c = {.clock = 1000000000000};
	struct guest g;

	guest_open(&g, 0);
	assert_int_equal(guest_ioctl(g.vm, KVM_SET_CLOCK, &c), 0);
	assert_int_equal(guest_ioctl(g.vm, KVM_GET_CLOCK, &c), 0);
	assert_true(c.clock >= 1000000000000 && c.clock < 1060000000000);
	c.flags = 1u << 30;
	assert_int_equal(guest_ioctl(g.vm, KVM_SET_CLOCK, &c), -EINVAL);
	guest_close(&g);
}

static void test_translate(void **state)
{
	struct kvm_translation t = {.linear_address = 0x345678};
	static const uint8_t none[1];
	struct guest g;

	guest_open(&g, 0);
	guest_long(&g, none, none + 1);
	assert_int_equal(guest_ioctl(g.cpu, KVM_TRANSLATE, &t), 0);
	assert_int_equal(t.valid, 1);
	assert_int_equal(t.physical_address, 0x345678);
	t.linear_address = 1ull << 40;
	assert_int_equal(guest_ioctl(g.cpu, KVM_TRANSLATE, &t), 0);
	assert_int_equal(t.valid, 0);
	guest_close(&g);
}

/* An empty nested state goes in and out. */
static void test_nested_state(void **state)
{
	static struct {
		struct kvm_nested_state s;
		uint8_t pages[2 * 4096];
	} n;
	struct guest g;

	guest_open(&g, 0);
	n.s.size = sizeof(n);
	GET(g, NESTED_STATE, &n);
	SET(g, NESTED_STATE, &n);
	n.s.size = 8;
	assert_int_equal(guest_ioctl(g.cpu, KVM_GET_NESTED_STATE, &n), -E2BIG);
	guest_close(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_regs),	     cmocka_unit_test(test_reset_state),
		cmocka_unit_test(test_sregs),	     cmocka_unit_test(test_sregs_bad),
		cmocka_unit_test(test_fpu),	     cmocka_unit_test(test_xsave),
		cmocka_unit_test(test_debugregs),    cmocka_unit_test(test_events),
		cmocka_unit_test(test_mp_state),     cmocka_unit_test(test_msrs),
		cmocka_unit_test(test_msr_list),     cmocka_unit_test(test_tsc),
		cmocka_unit_test(test_cpuid),	     cmocka_unit_test(test_lapic),
		cmocka_unit_test(test_clock),	     cmocka_unit_test(test_translate),
		cmocka_unit_test(test_nested_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

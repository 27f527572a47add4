/* SPDX-License-Identifier: BSD-2-Clause */
/* The local APIC: delivery, priorities, registers, modes, timer, state. */
#include <errno.h>
#include <pthread.h>

#include "irq_fixture.h"

static void icr(struct lapic *l, u32 dest, u32 low)
{
	lapic_mmio_write(l, 0x310, 4, dest << 24);
	lapic_mmio_write(l, 0x300, 4, low);
}

static void test_reset(void **state)
{
	struct irq_fixture f;

	fixture_start(&f, false, 2, 0);
	lapic_reset(f.l[0], false);
	assert_int_equal(lapic_get_base(f.l[0]), 0xfee00900);
	assert_int_equal(lapic_get_base(f.l[1]), 0xfee00800);
	assert_int_equal(lapic_mmio_read(f.l[0], 0x30, 4), 0x50014);
	assert_int_equal(lapic_mmio_read(f.l[1], 0x20, 4), 1 << 24);
	assert_int_equal(lapic_mmio_read(f.l[0], 0xe0, 4), 0xffffffff);
	assert_int_equal(lapic_mmio_read(f.l[0], 0xf0, 4), 0xff);
	assert_int_equal(lapic_mmio_read(f.l[0], 0x320, 4), 0x10000);
	assert_int_equal(lapic_mmio_read(f.l[0], 0x350, 4), 0x700);
	assert_int_equal(lapic_mmio_page(f.l[0]), 0xfee00000);
	assert_null(lapic_create(f.vm, 1, NULL, &fake_ops));
	assert_null(lapic_create(f.vm, IRQ_MAX_VCPU_ID, NULL, &fake_ops));
	fixture_end(&f);
}

static void test_priority(void **state)
{
	struct irq_fixture f;
	struct lapic *l;

	fixture_start(&f, false, 1, 0);
	l = f.l[0];
	assert_int_equal(lapic_pending_vector(l), -1);
	assert_int_equal(lapic_post(l, 0x41, false), 1);
	assert_int_equal(lapic_post(l, 0x41, false), 0);
	assert_int_equal(atomic_load(&f.vcpu[0].kicks), 1);
	assert_int_equal(lapic_pending_vector(l), 0x41);
	lapic_ack(l, 0x41);
	assert_int_equal(lapic_mmio_read(l, 0xa0, 4), 0x40);
	/* The same class waits, a higher one does not. */
	lapic_post(l, 0x4f, false);
	assert_int_equal(lapic_pending_vector(l), -1);
	lapic_post(l, 0x52, false);
	assert_int_equal(lapic_pending_vector(l), 0x52);
	lapic_ack(l, 0x52);
	assert_int_equal(lapic_mmio_read(l, 0x120, 4), 1 << 1 | 1 << 18);
	assert_int_equal(lapic_eoi(l), 0x52);
	assert_int_equal(lapic_pending_vector(l), -1);
	assert_int_equal(lapic_eoi(l), 0x41);
	assert_int_equal(lapic_pending_vector(l), 0x4f);
	lapic_set_cr8(l, 4);
	assert_int_equal(lapic_get_cr8(l), 4);
	assert_int_equal(lapic_pending_vector(l), -1);
	int kicks = atomic_load(&f.vcpu[0].kicks);
	lapic_set_cr8(l, 3);
	assert_int_equal(lapic_pending_vector(l), 0x4f);
	assert_int_equal(atomic_load(&f.vcpu[0].kicks), kicks + 1);
	assert_int_equal(irq_vcpu_ack_interrupt(l), 0x4f);
	lapic_mmio_write(l, 0xb0, 4, 0);
	assert_int_equal(lapic_highest_isr(l), -1);
	assert_int_equal(lapic_eoi(l), -1);
	fixture_end(&f);
}

static void test_soft_disable(void **state)
{
	struct irq_fixture f;

	fixture_start(&f, false, 1, 0);
	lapic_mmio_write(f.l[0], 0x370, 4, 0x33);
	lapic_mmio_write(f.l[0], 0xf0, 4, 0xff);
	assert_int_equal(lapic_mmio_read(f.l[0], 0x370, 4), 0x10033);
	assert_int_equal(lapic_post(f.l[0], 0x41, false), 0);
	lapic_mmio_write(f.l[0], 0x370, 4, 0x33);
	assert_int_equal(lapic_mmio_read(f.l[0], 0x370, 4), 0x10033);
	/* NMI, INIT and start-up come through. */
	icr(f.l[0], 0, 0x4400);
	assert_int_equal(atomic_load(&f.vcpu[0].nmis), 1);
	fixture_end(&f);
}

static void test_ipi_modes(void **state)
{
	struct irq_fixture f;

	fixture_start(&f, false, 3, 0);
	icr(f.l[0], 1, 0x4055);
	assert_int_equal(lapic_pending_vector(f.l[1]), 0x55);
	assert_int_equal(lapic_pending_vector(f.l[2]), -1);
	icr(f.l[0], 2, 0x4400);
	assert_int_equal(atomic_load(&f.vcpu[2].nmis), 1);
	icr(f.l[0], 2, 0x4200);
	assert_int_equal(atomic_load(&f.vcpu[2].smis), 1);
	icr(f.l[0], 1, 0xc500);
	assert_int_equal(atomic_load(&f.vcpu[1].inits), 1);
	icr(f.l[0], 1, 0x8500); /* de-assert */
	assert_int_equal(atomic_load(&f.vcpu[1].inits), 1);
	icr(f.l[0], 1, 0x469a);
	assert_int_equal(atomic_load(&f.vcpu[1].sipis), 1);
	assert_int_equal(atomic_load(&f.vcpu[1].sipi_vector), 0x9a);
	/* Shorthands: self, all, all but self. */
	icr(f.l[0], 0, 0x44061);
	assert_int_equal(lapic_pending_vector(f.l[0]), 0x61);
	assert_int_equal(lapic_pending_vector(f.l[2]), -1);
	icr(f.l[0], 0, 0xc4071);
	assert_int_equal(lapic_pending_vector(f.l[0]), 0x61);
	assert_int_equal(lapic_pending_vector(f.l[1]), 0x71);
	assert_int_equal(lapic_pending_vector(f.l[2]), 0x71);
	icr(f.l[0], 0, 0x84081);
	assert_int_equal(lapic_pending_vector(f.l[0]), 0x81);
	/* Broadcast by destination. */
	icr(f.l[1], 0xff, 0x4091);
	for (int i = 0; i < 3; i++)
		assert_int_equal(lapic_pending_vector(f.l[i]), 0x91);
	fixture_end(&f);
}

static void test_logical(void **state)
{
	struct irq_fixture f;

	fixture_start(&f, false, 3, 0);
	for (int i = 0; i < 3; i++)
		lapic_mmio_write(f.l[i], 0xd0, 4, 1u << (24 + i));
	icr(f.l[0], 5, 0x4841);
	assert_int_equal(lapic_pending_vector(f.l[0]), 0x41);
	assert_int_equal(lapic_pending_vector(f.l[1]), -1);
	assert_int_equal(lapic_pending_vector(f.l[2]), 0x41);
	/* Cluster model: cluster 1 has members 0 and 1, cluster 2 has 2. */
	for (int i = 0; i < 3; i++) {
		lapic_mmio_write(f.l[i], 0xe0, 4, 0x0fffffff);
		lapic_mmio_write(f.l[i], 0xd0, 4, (i < 2 ? 0x10u | 1u << i : 0x21u) << 24);
	}
	assert_int_equal(lapic_mmio_read(f.l[0], 0xe0, 4), 0x0fffffff);
	icr(f.l[0], 0x13, 0x4851);
	assert_int_equal(lapic_pending_vector(f.l[0]), 0x51);
	assert_int_equal(lapic_pending_vector(f.l[1]), 0x51);
	assert_int_equal(lapic_pending_vector(f.l[2]), 0x41);
	/* Lowest priority: one of them. */
	icr(f.l[0], 0x13, 0x4961);
	assert_int_equal(
		(lapic_pending_vector(f.l[0]) == 0x61) + (lapic_pending_vector(f.l[1]) == 0x61), 1);
	fixture_end(&f);
}

static void test_errors(void **state)
{
	struct irq_fixture f;

	fixture_start(&f, false, 2, 0);
	lapic_mmio_write(f.l[0], 0x370, 4, 0x44);
	icr(f.l[0], 1, 0x4005);
	assert_int_equal(lapic_pending_vector(f.l[0]), 0x44);
	assert_int_equal(lapic_mmio_read(f.l[0], 0x280, 4), 0);
	lapic_mmio_write(f.l[0], 0x280, 4, 0);
	assert_int_equal(lapic_mmio_read(f.l[0], 0x280, 4), 1 << 5);
	assert_int_equal(lapic_post(f.l[1], 3, false), 0);
	lapic_mmio_write(f.l[1], 0x280, 4, 0);
	assert_int_equal(lapic_mmio_read(f.l[1], 0x280, 4), 1 << 6);
	fixture_end(&f);
}

static void test_base_transitions(void **state)
{
	struct irq_fixture f;
	struct lapic *l;
	u64 off = 0xfee00100, x = 0xfee00900, x2 = 0xfee00d00;

	fixture_start(&f, false, 1, 0);
	l = f.l[0];
	assert_false(lapic_set_base(l, x | 1, 0, false));
	assert_false(lapic_set_base(l, x | BIT(40), MASK(63, 36), false));
	assert_false(lapic_set_base(l, off | LAPIC_BASE_X2APIC, 0, false));
	assert_true(lapic_set_base(l, x2, 0, false));
	assert_true(lapic_is_x2apic(l));
	assert_int_equal(lapic_mmio_page(l), ~0ull);
	assert_false(lapic_set_base(l, x, 0, false));
	assert_true(lapic_set_base(l, off, 0, false));
	assert_false(lapic_is_enabled(l));
	assert_false(lapic_set_base(l, x2, 0, false));
	assert_true(lapic_set_base(l, x, 0, false));
	assert_true(lapic_set_base(l, off, 0, false));
	assert_true(lapic_set_base(l, x2, 0, true));
	assert_true(lapic_set_base(l, x, 0, true));
	lapic_set_features(l, false, true);
	assert_false(lapic_set_base(l, x2, 0, false));
	fixture_end(&f);
}

static void test_x2apic_msrs(void **state)
{
	struct irq_fixture f;
	struct lapic *l;
	u64 val;

	fixture_start(&f, false, 2, 0x123);
	l = f.l[0];
	assert_false(lapic_msr_read(l, 0x802, &val));
	fixture_x2apic(&f);
	assert_true(lapic_msr_read(l, 0x802, &val));
	assert_int_equal(val, 0x123);
	assert_true(lapic_msr_read(l, 0x80d, &val));
	assert_int_equal(val, 0x12 << 16 | 1 << 3);
	assert_false(lapic_msr_write(l, 0x802, 0));
	assert_false(lapic_msr_write(l, 0x80d, 0));
	assert_false(lapic_msr_read(l, 0x80e, &val));
	assert_false(lapic_msr_read(l, 0x80b, &val));
	assert_false(lapic_msr_read(l, 0x831, &val));
	assert_false(lapic_msr_read(l, 0x83f, &val));
	assert_false(lapic_msr_read(l, 0x8ff, &val));
	assert_false(lapic_msr_write(l, 0x80b, 1));
	assert_true(lapic_msr_write(l, 0x80b, 0));
	assert_false(lapic_msr_write(l, 0x808, 0x100));
	assert_true(lapic_msr_write(l, 0x808, 0x20));
	assert_false(lapic_msr_write(l, 0x80f, BIT(32) | 0x1ff));
	assert_false(lapic_msr_write(l, 0x828, 1));
	assert_false(lapic_msr_write(l, 0x839, 1));
	for (int bit = 13; bit < 32; bit++)
		assert_int_equal(lapic_msr_write(l, 0x830, BIT(bit) | 0x4400),
				 bit == 14 || bit == 15 || bit == 18 || bit == 19);
	/* ICR is one register with a wide destination. */
	assert_true(lapic_msr_write(l, 0x830, 0x12400000000 | 0x4055));
	assert_int_equal(lapic_pending_vector(f.l[1]), 0x55);
	assert_true(lapic_msr_read(l, 0x830, &val));
	assert_int_equal(val, 0x12400004055);
	assert_true(lapic_msr_write(l, 0x830, (0x12ull << 16 | 3 << 3) << 32 | 0x4866));
	assert_int_equal(lapic_pending_vector(l), 0x66);
	assert_int_equal(lapic_pending_vector(f.l[1]), 0x66);
	assert_true(lapic_msr_write(l, 0x830, 0xffffffff00000000 | 0x4077));
	assert_int_equal(lapic_pending_vector(l), 0x77);
	assert_int_equal(lapic_pending_vector(f.l[1]), 0x77);
	assert_true(lapic_msr_write(l, 0x83f, 0x88));
	assert_int_equal(lapic_pending_vector(l), 0x88);
	assert_int_equal(lapic_pending_vector(f.l[1]), 0x77);
	fixture_end(&f);
}

static void test_odd_mmio(void **state)
{
	struct irq_fixture f;
	struct lapic *l;

	fixture_start(&f, false, 1, 0);
	l = f.l[0];
	lapic_mmio_write(l, 0x80, 1, 0x55);
	lapic_mmio_write(l, 0x84, 4, 0x55);
	assert_int_equal(lapic_mmio_read(l, 0x80, 4), 0);
	assert_int_equal(lapic_mmio_read(l, 0x31, 1), 0);
	assert_int_equal(lapic_mmio_read(l, 0x32, 2), 5);
	for (unsigned offset = 0; offset < 0x1000; offset++) {
		lapic_mmio_read(l, offset, 1 << (offset & 3));
		if (offset >= 0x400)
			lapic_mmio_write(l, offset, 4, ~0u);
	}
	fixture_end(&f);
}

static void test_deadline_timer(void **state)
{
	struct irq_fixture f;
	struct lapic *l;

	fixture_start(&f, false, 1, 0);
	l = f.l[0];
	lapic_set_tsc_deadline(l, 1);
	assert_int_equal(lapic_pending_vector(l), -1);
	lapic_mmio_write(l, 0x320, 4, 0x400ec);
	assert_int_equal(lapic_mmio_read(l, 0x320, 4), 0x400ec);
	/* One in the past fires at once, one in the future later. */
	lapic_set_tsc_deadline(l, 1);
	assert_int_equal(lapic_pending_vector(l), 0xec);
	assert_int_equal(lapic_get_tsc_deadline(l), 0);
	lapic_ack(l, 0xec);
	lapic_eoi(l);
	lapic_set_tsc_deadline(l, timer_now_ns() + 1000000);
	wait_until(lapic_pending_vector(l) == 0xec);
	assert_int_equal(lapic_get_tsc_deadline(l), 0);
	lapic_ack(l, 0xec);
	lapic_eoi(l);
	/* Far away, moved, disarmed, and lost with the mode. */
	u64 far = timer_now_ns() + 1000000000000;
	lapic_set_tsc_deadline(l, far);
	assert_int_equal(lapic_get_tsc_deadline(l), far);
	lapic_tsc_changed(l);
	assert_int_equal(lapic_get_tsc_deadline(l), far);
	lapic_mmio_write(l, 0x320, 4, 0xec);
	assert_int_equal(lapic_get_tsc_deadline(l), 0);
	lapic_mmio_write(l, 0x320, 4, 0x400ec);
	assert_int_equal(lapic_get_tsc_deadline(l), 0);
	lapic_set_tsc_deadline(l, far);
	lapic_set_tsc_deadline(l, 0);
	assert_int_equal(lapic_get_tsc_deadline(l), 0);
	assert_int_equal(lapic_pending_vector(l), -1);
	fixture_end(&f);
}

static void test_counting_timer(void **state)
{
	struct irq_fixture f;
	struct lapic *l;
	u32 count;

	fixture_start(&f, false, 1, 0);
	l = f.l[0];
	lapic_mmio_write(l, 0x3e0, 4, 0xb);
	lapic_mmio_write(l, 0x320, 4, 0x30);
	lapic_mmio_write(l, 0x380, 4, 1000000);
	wait_until(lapic_pending_vector(l) == 0x30);
	assert_int_equal(lapic_mmio_read(l, 0x390, 4), 0);
	lapic_ack(l, 0x30);
	lapic_eoi(l);
	/* Periodic: it comes again, and the count never goes beyond the initial one. */
	lapic_mmio_write(l, 0x320, 4, 0x20031);
	lapic_mmio_write(l, 0x380, 4, 300000);
	for (int i = 0; i < 3; i++) {
		wait_until(lapic_pending_vector(l) == 0x31);
		assert_true(lapic_mmio_read(l, 0x390, 4) <= 300000);
		lapic_ack(l, 0x31);
		lapic_eoi(l);
	}
	/* Stopped; then one that will not end, divided by 128. */
	lapic_mmio_write(l, 0x380, 4, 0);
	assert_int_equal(lapic_mmio_read(l, 0x390, 4), 0);
	lapic_mmio_write(l, 0x320, 4, 0x31);
	lapic_mmio_write(l, 0x3e0, 4, 0xa);
	lapic_mmio_write(l, 0x380, 4, 0xffffffff);
	count = lapic_mmio_read(l, 0x390, 4);
	assert_true(count > 0xf0000000);
	assert_true(lapic_mmio_read(l, 0x390, 4) <= count);
	fixture_end(&f);
}

static void test_state(void **state)
{
	struct irq_fixture f;
	struct kvm_lapic_state a, b;
	struct lapic *l;
	u32 id;

	fixture_start(&f, false, 2, 0);
	l = f.l[0];
	lapic_post(l, 0x41, true);
	lapic_ack(l, 0x41);
	lapic_post(l, 0xe1, false);
	lapic_mmio_write(l, 0x320, 4, 0x35);
	lapic_mmio_write(l, 0x380, 4, 0xf0000000);
	lapic_get_state(l, &a);
	lapic_reset(l, false);
	assert_int_equal(lapic_set_state(l, &a), 0);
	assert_int_equal(lapic_highest_isr(l), 0x41);
	assert_int_equal(lapic_pending_vector(l), 0xe1);
	assert_true(lapic_mmio_read(l, 0x390, 4) > 0xe0000000);
	lapic_get_state(l, &b);
	memset(a.regs + 0x390, 0, 4);
	memset(b.regs + 0x390, 0, 4);
	assert_memory_equal(&a, &b, sizeof(a));
	/* x2APIC: the id in both formats. */
	fixture_x2apic(&f);
	lapic_get_state(f.l[1], &a);
	memcpy(&id, a.regs + 0x20, 4);
	assert_int_equal(id, 1 << 24);
	assert_int_equal(lapic_set_state(f.l[1], &a), 0);
	assert_int_equal(irq_vm_set_x2apic_api(f.vm, BIT(40)), -EINVAL);
	assert_int_equal(irq_vm_set_x2apic_api(f.vm, 3), 0);
	assert_int_equal(lapic_set_state(f.l[1], &a), -EINVAL);
	lapic_get_state(f.l[1], &a);
	memcpy(&id, a.regs + 0x20, 4);
	assert_int_equal(id, 1);
	assert_int_equal(lapic_set_state(f.l[1], &a), 0);
	fixture_end(&f);
}

static void test_init_reset(void **state)
{
	struct irq_fixture f;

	fixture_start(&f, false, 2, 0);
	fixture_x2apic(&f);
	lapic_post(f.l[1], 0x44, false);
	lapic_reset(f.l[1], true);
	assert_true(lapic_is_x2apic(f.l[1]));
	assert_int_equal(lapic_highest_irr(f.l[1]), -1);
	u64 val;
	assert_true(lapic_msr_read(f.l[1], 0x80d, &val));
	assert_int_equal(val, 2);
	assert_true(lapic_msr_read(f.l[1], 0x80f, &val));
	assert_int_equal(val, 0xff);
	fixture_end(&f);
}

static void test_local_deliver(void **state)
{
	struct irq_fixture f;

	fixture_start(&f, false, 1, 0);
	lapic_mmio_write(f.l[0], 0x360, 4, 0x400);
	lapic_local_deliver(f.l[0], LAPIC_LVT_LINT1);
	assert_int_equal(atomic_load(&f.vcpu[0].nmis), 1);
	lapic_mmio_write(f.l[0], 0x340, 4, 0x4f);
	lapic_local_deliver(f.l[0], LAPIC_LVT_PERF);
	assert_int_equal(lapic_pending_vector(f.l[0]), 0x4f);
	assert_int_equal(lapic_mmio_read(f.l[0], 0x340, 4), 0x1004f);
	fixture_end(&f);
}

static void test_split(void **state)
{
	struct irq_fixture f;
	struct kvm_irq_routing_entry e = {.gsi = 4, .type = KVM_IRQ_ROUTING_MSI};

	fixture_start(&f, true, 2, 0);
	assert_int_equal(lapic_mmio_read(f.l[0], 0x30, 4), 0x1050014);
	e.u.msi.address_lo = 0xfee00000 | 1 << 12;
	e.u.msi.data = 0x8041;
	assert_int_equal(irq_vm_set_routing(f.vm, &e, 1), 0);
	assert_int_equal(irq_vm_set_line(f.vm, 4, true), 1);
	assert_int_equal(irq_vcpu_ack_interrupt(f.l[1]), 0x41);
	assert_false(lapic_may_skip_eoi(f.l[1]));
	lapic_eoi(f.l[1]);
	assert_int_equal(f.vcpu[1].ioapic_eoi, 0x41);
	/* Edge: nobody is told; neither when the guest suppresses broadcasts. */
	f.vcpu[1].ioapic_eoi = 0;
	lapic_post(f.l[1], 0x41, false);
	assert_int_equal(irq_vcpu_ack_interrupt(f.l[1]), 0x41);
	lapic_eoi(f.l[1]);
	lapic_mmio_write(f.l[1], 0xf0, 4, 0x11ff);
	irq_vm_set_line(f.vm, 4, true);
	assert_int_equal(irq_vcpu_ack_interrupt(f.l[1]), 0x41);
	lapic_eoi(f.l[1]);
	assert_int_equal(f.vcpu[1].ioapic_eoi, 0);
	/* KVM_INTERRUPT needs LINT0 in ExtINT mode: vCPU 0, the BSP, after reset. */
	lapic_mmio_write(f.l[0], 0x350, 4, 0x700);
	assert_int_equal(irq_vcpu_set_extint(f.l[0], 256), -EINVAL);
	assert_int_equal(irq_vcpu_set_extint(f.l[0], 0x20), 0);
	assert_int_equal(irq_vcpu_set_extint(f.l[0], 0x21), -EEXIST);
	assert_true(irq_vcpu_has_extint(f.l[0]));
	lapic_mmio_write(f.l[0], 0x350, 4, 0x10700);
	assert_false(irq_vcpu_has_interrupt(f.l[0]));
	lapic_mmio_write(f.l[0], 0x350, 4, 0x700);
	assert_int_equal(irq_vcpu_ack_interrupt(f.l[0]), 0x20);
	assert_false(irq_vcpu_has_interrupt(f.l[0]));
	fixture_end(&f);
}

/* Every vector that two threads post arrives, whoever looks meanwhile. */
static void *post_all(void *arg)
{
	for (int round = 0; round < 20; round++)
		for (int v = 32; v < 256; v++)
			lapic_post(arg, v, v & 1);
	return NULL;
}

static void test_post_race(void **state)
{
	struct irq_fixture f;
	pthread_t t[2];
	u8 seen[256] = {0};
	int v;

	fixture_start(&f, false, 1, 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&t[i], NULL, post_all, f.l[0]), 0);
	for (int i = 0; i < 20000; i++) {
		v = irq_vcpu_ack_interrupt(f.l[0]);
		if (v < 0)
			continue;
		seen[v] = 1;
		lapic_eoi(f.l[0]);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	while ((v = irq_vcpu_ack_interrupt(f.l[0])) >= 0) {
		seen[v] = 1;
		lapic_eoi(f.l[0]);
	}
	for (v = 32; v < 256; v++)
		assert_true(seen[v]);
	fixture_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_priority),
		cmocka_unit_test(test_soft_disable),
		cmocka_unit_test(test_ipi_modes),
		cmocka_unit_test(test_logical),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_base_transitions),
		cmocka_unit_test(test_x2apic_msrs),
		cmocka_unit_test(test_odd_mmio),
		cmocka_unit_test(test_deadline_timer),
		cmocka_unit_test(test_counting_timer),
		cmocka_unit_test(test_state),
		cmocka_unit_test(test_init_reset),
		cmocka_unit_test(test_local_deliver),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_post_race),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

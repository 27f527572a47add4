/* SPDX-License-Identifier: BSD-2-Clause */
/* PIC, IOAPIC, PIT, routing, MSI, irqfd, ioeventfd. */
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>

#include "irq_fixture.h"

static void out(struct irq_fixture *f, u16 port, u8 val)
{
	assert_true(irq_pio_write(f->vm, port, 1, val));
}

static u8 in(struct irq_fixture *f, u16 port)
{
	u32 val = 0;

	assert_true(irq_pio_read(f->vm, port, 1, &val));
	return val;
}

/* As a PC's firmware and Linux do it: vectors 30h and 38h, all masked but `mask`. */
static void pic_start(struct irq_fixture *f, u8 mask0, u8 mask1)
{
	static const u16 port[2] = {0x20, 0xa0};

	for (int i = 0; i < 2; i++) {
		out(f, port[i], 0x11);
		out(f, port[i] + 1, 0x30 + 8 * i);
		out(f, port[i] + 1, i ? 2 : 4);
		out(f, port[i] + 1, 1);
	}
	out(f, 0x21, mask0);
	out(f, 0xa1, mask1);
}

static void virtual_wire(struct irq_fixture *f)
{
	lapic_mmio_write(f->l[0], 0x350, 4, 0x700);
}

static u32 ioapic_reg(struct irq_fixture *f, u32 reg)
{
	u64 val = 0;

	assert_true(irq_mmio_write(f->vm, 0xfec00000, 4, reg));
	assert_true(irq_mmio_read(f->vm, 0xfec00010, 4, &val));
	return val;
}

static void ioapic_set(struct irq_fixture *f, u32 reg, u32 val)
{
	assert_true(irq_mmio_write(f->vm, 0xfec00000, 4, reg));
	assert_true(irq_mmio_write(f->vm, 0xfec00010, 4, val));
}

static void test_pic(void **state)
{
	struct irq_fixture f;
	struct lapic *l;

	fixture_start(&f, false, 2, 0);
	l = f.l[0];
	virtual_wire(&f);
	pic_start(&f, 0xe0, 0xef);
	assert_int_equal(in(&f, 0x21), 0xe0);
	assert_false(irq_vcpu_has_extint(l));
	assert_int_equal(irq_vcpu_ack_extint(l), -1);
	/* Pin 12 through the cascade, then pin 1, which is above it. */
	irq_vm_set_line(f.vm, 12, true);
	assert_true(irq_vcpu_has_extint(l));
	assert_false(irq_vcpu_has_extint(f.l[1]));
	assert_int_equal(irq_vcpu_ack_interrupt(l), 0x3c);
	irq_vm_set_line(f.vm, 3, true);
	assert_false(irq_vcpu_has_extint(l));
	irq_vm_set_line(f.vm, 1, true);
	assert_int_equal(irq_vcpu_ack_interrupt(l), 0x31);
	out(&f, 0x20, 0x0b);
	assert_int_equal(in(&f, 0x20), 0x06);
	out(&f, 0x20, 0x20);
	assert_int_equal(in(&f, 0x20), 0x04);
	out(&f, 0xa0, 0x20);
	out(&f, 0x20, 0x62);
	assert_int_equal(irq_vcpu_ack_interrupt(l), 0x33);
	out(&f, 0x20, 0x20);
	/* An edge comes once while the line stays high. */
	assert_false(irq_vcpu_has_extint(l));
	irq_vm_set_line(f.vm, 3, true);
	assert_false(irq_vcpu_has_extint(l));
	irq_vm_set_line(f.vm, 3, false);
	irq_vm_set_line(f.vm, 3, true);
	assert_true(irq_vcpu_has_extint(l));
	/* Masked while it waits. */
	out(&f, 0x21, 0xff);
	assert_false(irq_vcpu_has_extint(l));
	assert_int_equal(irq_vm_set_line(f.vm, 200, true), -1);
	fixture_end(&f);
}

static void test_pic_level(void **state)
{
	struct irq_fixture f;
	struct lapic *l;

	fixture_start(&f, false, 1, 0);
	l = f.l[0];
	virtual_wire(&f);
	pic_start(&f, 0, 0);
	out(&f, 0x4d0, 0xff);
	assert_int_equal(in(&f, 0x4d0), 0xf8);
	out(&f, 0x4d1, 0x0c);
	irq_vm_set_line(f.vm, 5, true);
	assert_int_equal(irq_vcpu_ack_interrupt(l), 0x35);
	out(&f, 0x20, 0x20);
	assert_int_equal(irq_vcpu_ack_interrupt(l), 0x35);
	irq_vm_set_line(f.vm, 5, false);
	out(&f, 0x20, 0x20);
	assert_false(irq_vcpu_has_extint(l));
	/* A level that falls before the acknowledge is withdrawn. */
	irq_vm_set_line(f.vm, 11, true);
	assert_true(irq_vcpu_has_extint(l));
	irq_vm_set_line(f.vm, 11, false);
	assert_true(irq_vcpu_ack_extint(l) == -1 || !irq_vcpu_has_extint(l));
	fixture_end(&f);
}

static void test_pic_rotation_and_poll(void **state)
{
	struct irq_fixture f;

	fixture_start(&f, false, 1, 0);
	virtual_wire(&f);
	pic_start(&f, 0, 0);
	out(&f, 0x20, 0xc3); /* pin 4 is the highest now */
	irq_vm_set_line(f.vm, 1, true);
	irq_vm_set_line(f.vm, 4, true);
	assert_int_equal(irq_vcpu_ack_interrupt(f.l[0]), 0x34);
	out(&f, 0x20, 0xa0); /* rotate: pin 5 is */
	out(&f, 0x20, 0x0c);
	assert_int_equal(in(&f, 0x20), 0x81);
	assert_false(irq_vcpu_has_extint(f.l[0]));
	fixture_end(&f);
}

static void test_ioapic_edge(void **state)
{
	struct irq_fixture f;

	fixture_start(&f, false, 2, 0);
	assert_int_equal(ioapic_reg(&f, 1), 0x170011);
	assert_int_equal(ioapic_reg(&f, 0x10), 0x10000);
	ioapic_set(&f, 0, 0x0f000000);
	assert_int_equal(ioapic_reg(&f, 0), 0x0f000000);
	ioapic_set(&f, 0x10 + 2 * 20 + 1, 1 << 24);
	ioapic_set(&f, 0x10 + 2 * 20, 0x51);
	assert_int_equal(irq_vm_set_line(f.vm, 20, true), 1);
	assert_int_equal(lapic_pending_vector(f.l[1]), 0x51);
	assert_int_equal(irq_vm_set_line(f.vm, 20, true), 0);
	irq_vm_set_line(f.vm, 20, false);
	assert_int_equal(irq_vm_set_line(f.vm, 20, true), 0); /* merged in IRR */
	lapic_ack(f.l[1], 0x51);
	assert_true(lapic_may_skip_eoi(f.l[1]));
	irq_vm_set_line(f.vm, 20, false);
	ioapic_set(&f, 0x10 + 2 * 20, 0x10051);
	assert_int_equal(irq_vm_set_line(f.vm, 20, true), -1);
	assert_int_equal(lapic_highest_irr(f.l[1]), -1);
	fixture_end(&f);
}

static void test_ioapic_level(void **state)
{
	struct irq_fixture f;
	struct lapic *l;
	u32 lo = 0x10 + 2 * 21;

	fixture_start(&f, false, 1, 0);
	l = f.l[0];
	ioapic_set(&f, lo, 0x18061);
	/* High while masked: comes with the unmasking. */
	assert_int_equal(irq_vm_set_line(f.vm, 21, true), -1);
	ioapic_set(&f, lo, 0x8061);
	assert_int_equal(ioapic_reg(&f, lo), 0xc061);
	assert_int_equal(irq_vcpu_ack_interrupt(l), 0x61);
	assert_int_equal(irq_vm_set_line(f.vm, 21, true), 0);
	assert_int_equal(lapic_highest_irr(l), -1);
	/* Still high at the EOI: raised again. */
	lapic_eoi(l);
	assert_int_equal(irq_vcpu_ack_interrupt(l), 0x61);
	irq_vm_set_line(f.vm, 21, false);
	lapic_eoi(l);
	assert_int_equal(lapic_pending_vector(l), -1);
	assert_int_equal(ioapic_reg(&f, lo), 0x8061);
	/* Remote IRR goes with a change to edge and back. */
	irq_vm_set_line(f.vm, 21, true);
	assert_int_equal(ioapic_reg(&f, lo), 0xc061);
	ioapic_set(&f, lo, 0x10061);
	assert_int_equal(ioapic_reg(&f, lo), 0x10061);
	fixture_end(&f);
}

static void test_irqchip_state(void **state)
{
	struct irq_fixture f;
	struct kvm_irqchip a = {0}, b = {0};

	fixture_start(&f, false, 1, 0);
	pic_start(&f, 0xa5, 0x5a);
	ioapic_set(&f, 0x10 + 2 * 21, 0x8061);
	irq_vm_set_line(f.vm, 21, true);
	ioapic_set(&f, 0x10 + 2 * 22, 0x62);
	irq_vm_set_line(f.vm, 22, true);
	for (u32 id = 0; id < 3; id++) {
		a.chip_id = b.chip_id = id;
		assert_int_equal(irq_vm_get_irqchip(f.vm, &a), 0);
		assert_int_equal(irq_vm_set_irqchip(f.vm, &a), 0);
		assert_int_equal(irq_vm_get_irqchip(f.vm, &b), 0);
		assert_memory_equal(&a, &b, sizeof(a));
	}
	/* The level is there, the edge that was delivered is not. */
	assert_int_equal(a.chip.ioapic.irr, 1 << 21);
	a.chip_id = 3;
	assert_int_equal(irq_vm_get_irqchip(f.vm, &a), -EINVAL);
	assert_int_equal(irq_vm_set_irqchip(f.vm, &a), -EINVAL);
	/* Garbage is survived. */
	memset(&a, 0xff, sizeof(a));
	for (u32 id = 0; id < 3; id++) {
		a.chip_id = id;
		assert_int_equal(irq_vm_set_irqchip(f.vm, &a), 0);
	}
	for (u32 gsi = 0; gsi < 24; gsi++)
		irq_vm_set_line(f.vm, gsi, gsi & 1);
	irq_vcpu_ack_interrupt(f.l[0]);
	in(&f, 0x20);
	fixture_end(&f);
}

static void test_routing(void **state)
{
	struct irq_fixture f;
	struct kvm_irq_routing_entry e[3] = {0};
	struct kvm_msi msi = {.address_lo = 0xfee01000, .data = 0x42};

	fixture_start(&f, false, 2, 0);
	e[0].gsi = 30;
	e[0].type = KVM_IRQ_ROUTING_MSI;
	e[0].u.msi.address_lo = 0xfee01000;
	e[0].u.msi.data = 0x41;
	e[1].gsi = 0;
	e[1].type = KVM_IRQ_ROUTING_IRQCHIP;
	e[1].u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
	e[1].u.irqchip.pin = 2;
	e[2] = e[1];
	e[2].u.irqchip.irqchip = KVM_IRQCHIP_PIC_MASTER;
	assert_int_equal(irq_vm_set_routing(f.vm, e, 3), 0);
	assert_int_equal(irq_vm_set_line(f.vm, 30, true), 1);
	assert_int_equal(lapic_pending_vector(f.l[1]), 0x41);
	assert_int_equal(irq_vm_set_line(f.vm, 30, false), -1);
	assert_int_equal(irq_vm_set_line(f.vm, 5, true), -1);
	e[2] = e[1];
	assert_int_equal(irq_vm_set_routing(f.vm, e, 3), -EINVAL);
	e[2] = e[0];
	assert_int_equal(irq_vm_set_routing(f.vm, e, 3), -EINVAL);
	e[1].u.irqchip.pin = 24;
	assert_int_equal(irq_vm_set_routing(f.vm, e, 2), -EINVAL);
	e[1].u.irqchip.irqchip = KVM_IRQCHIP_PIC_SLAVE;
	e[1].u.irqchip.pin = 8;
	assert_int_equal(irq_vm_set_routing(f.vm, e, 2), -EINVAL);
	e[0].type = KVM_IRQ_ROUTING_HV_SINT;
	assert_int_equal(irq_vm_set_routing(f.vm, e, 1), -EINVAL);
	assert_int_equal(irq_vm_signal_msi(f.vm, &msi), 1);
	assert_int_equal(lapic_pending_vector(f.l[1]), 0x42);
	msi.address_lo = 0xfee77000;
	assert_int_equal(irq_vm_signal_msi(f.vm, &msi), 0);
	fixture_end(&f);
}

static void test_msi_wide(void **state)
{
	struct irq_fixture f;
	struct kvm_msi msi = {.address_lo = 0xfee00000 | 0x23 << 12, .data = 0x43};

	fixture_start(&f, false, 2, 0x122);
	fixture_x2apic(&f);
	assert_int_equal(irq_vm_set_x2apic_api(f.vm, 3), 0);
	msi.address_hi = 0x101;
	assert_int_equal(irq_vm_signal_msi(f.vm, &msi), -EINVAL);
	msi.address_hi = 0x100;
	assert_int_equal(irq_vm_signal_msi(f.vm, &msi), 1);
	assert_int_equal(lapic_pending_vector(f.l[1]), 0x43);
	fixture_end(&f);
}

static void test_modes(void **state)
{
	struct irq_vm *vm = irq_vm_create();
	struct kvm_pit_config cfg = {0};
	struct kvm_irqchip chip = {0};
	u32 val;
	u64 val64;

	assert_int_equal(irq_vm_set_line(vm, 1, true), -ENXIO);
	assert_int_equal(irq_vm_get_irqchip(vm, &chip), -ENXIO);
	assert_int_equal(irq_vm_create_pit(vm, &cfg), -ENOENT);
	assert_false(irq_pio_read(vm, 0x20, 1, &val));
	assert_false(irq_mmio_read(vm, 0xfec00000, 4, &val64));
	assert_null(lapic_create(vm, 0, NULL, &fake_ops));
	assert_int_equal(irq_vm_create_irqchip(vm, true), -EINVAL);
	assert_int_equal(irq_vm_create_irqchip(vm, false), 0);
	assert_int_equal(irq_vm_create_irqchip(vm, false), -EEXIST);
	assert_int_equal(irq_vm_enable_split(vm, 24, false), -EEXIST);
	assert_false(irq_pio_read(vm, 0x40, 1, &val));
	assert_int_equal(irq_vm_create_pit(vm, &cfg), 0);
	assert_int_equal(irq_vm_create_pit(vm, &cfg), -EEXIST);
	assert_true(irq_pio_read(vm, 0x40, 1, &val));
	assert_false(irq_pio_read(vm, 0x61, 1, &val));
	assert_false(irq_pio_read(vm, 0x60, 1, &val));
	irq_vm_destroy(vm);
	irq_vm_destroy(NULL);
}

static void pit_fixture(struct irq_fixture *f)
{
	struct kvm_pit_config cfg = {.flags = KVM_PIT_SPEAKER_DUMMY};

	fixture_start(f, false, 1, 0);
	assert_int_equal(irq_vm_create_pit(f->vm, &cfg), 0);
}

static void test_pit_ports(void **state)
{
	struct irq_fixture f;
	struct kvm_pit_state2 s;
	u16 count;

	pit_fixture(&f);
	/* Channel 2, mode 0, a long count: read back status and count. */
	out(&f, 0x61, 1);
	out(&f, 0x43, 0xb0);
	out(&f, 0x42, 0xff);
	out(&f, 0x42, 0xff);
	assert_int_equal(in(&f, 0x61) & 0x03, 1);
	out(&f, 0x43, 0xe8); /* latch status of channel 2 */
	assert_int_equal(in(&f, 0x42) & 0x7f, 0x30);
	wait_until(in(&f, 0x61) & 0x20);
	/* Mode 2 counts 1000h to 1; a latched count stays until it is read. */
	out(&f, 0x43, 0xb4);
	out(&f, 0x42, 0);
	out(&f, 0x42, 0x10);
	out(&f, 0x43, 0x80);
	count = in(&f, 0x42);
	out(&f, 0x43, 0x80);
	count |= in(&f, 0x42) << 8;
	assert_in_range(count, 1, 0x1000);
	/* A count of 0 is 10000h; mode 6 is 2. */
	out(&f, 0x43, 0x7c);
	out(&f, 0x41, 0);
	out(&f, 0x41, 0);
	assert_int_equal(irq_vm_get_pit(f.vm, &s), 0);
	assert_int_equal(s.channels[1].count, 0x10000);
	assert_int_equal(s.channels[1].mode, 2);
	assert_int_equal(s.channels[1].rw_mode, 3);
	assert_int_equal(s.channels[2].gate, 1);
	out(&f, 0x61, 2);
	assert_int_equal(irq_vm_get_pit(f.vm, &s), 0);
	assert_int_equal(s.flags, KVM_PIT_FLAGS_SPEAKER_DATA_ON);
	assert_int_equal(s.channels[2].gate, 0);
	assert_int_equal(irq_vm_set_pit(f.vm, &s), 0);
	assert_int_equal(in(&f, 0x61) & 3, 2);
	memset(&s, 0xff, sizeof(s));
	s.flags = 0;
	assert_int_equal(irq_vm_set_pit(f.vm, &s), 0);
	for (u16 port = 0x40; port < 0x44; port++)
		in(&f, port);
	fixture_end(&f);
}

/* Ticks come through the PIC, one more with each EOI that is late. */
static void test_pit_ticks(void **state)
{
	struct irq_fixture f;
	struct kvm_reinject_control ctl = {0};

	pit_fixture(&f);
	virtual_wire(&f);
	pic_start(&f, 0xfe, 0xff);
	out(&f, 0x43, 0x34);
	out(&f, 0x40, 0xa9);
	out(&f, 0x40, 0x04); /* 1 ms */
	for (int i = 0; i < 5; i++) {
		wait_until(irq_vcpu_has_extint(f.l[0]));
		assert_int_equal(irq_vcpu_ack_interrupt(f.l[0]), 0x30);
		out(&f, 0x20, 0x20);
	}
	assert_int_equal(irq_vm_set_reinject(f.vm, &ctl), 0);
	wait_until(irq_vcpu_ack_interrupt(f.l[0]) == 0x30);
	out(&f, 0x20, 0x20);
	/* One-shot, through the IOAPIC. */
	ctl.pit_reinject = 1;
	assert_int_equal(irq_vm_set_reinject(f.vm, &ctl), 0);
	out(&f, 0x21, 0xff);
	ioapic_set(&f, 0x10, 0x44);
	for (int i = 0; i < 2; i++) {
		out(&f, 0x43, 0x30);
		out(&f, 0x40, 0x10);
		out(&f, 0x40, 0);
		wait_until(lapic_pending_vector(f.l[0]) == 0x44);
		assert_int_equal(irq_vcpu_ack_interrupt(f.l[0]), 0x44);
		lapic_eoi(f.l[0]);
	}
	fixture_end(&f);
}

static void kick_eventfd(int fd)
{
	u64 one = 1;

	assert_int_equal(write(fd, &one, 8), 8);
}

static void test_irqfd(void **state)
{
	struct irq_fixture f;
	int fd = eventfd(0, EFD_CLOEXEC), copy = dup(fd), null = open("/dev/null", O_RDONLY);
	struct kvm_irqfd args = {.fd = fd, .gsi = 20};

	fixture_start(&f, false, 1, 0);
	ioapic_set(&f, 0x10 + 2 * 20, 0x51);
	kick_eventfd(fd); /* before: counts */
	assert_int_equal(irq_vm_irqfd(f.vm, &args), 0);
	wait_until(lapic_pending_vector(f.l[0]) == 0x51);
	assert_int_equal(irq_vcpu_ack_interrupt(f.l[0]), 0x51);
	lapic_eoi(f.l[0]);
	assert_int_equal(irq_vm_irqfd(f.vm, &args), -EBUSY);
	kick_eventfd(fd);
	wait_until(lapic_pending_vector(f.l[0]) == 0x51);
	/* Taken off by a duplicate of the descriptor. */
	args.fd = copy;
	args.flags = KVM_IRQFD_FLAG_DEASSIGN;
	assert_int_equal(irq_vm_irqfd(f.vm, &args), 0);
	args.fd = fd;
	args.flags = 0;
	assert_int_equal(irq_vm_irqfd(f.vm, &args), 0);
	args.fd = null;
	assert_int_equal(irq_vm_irqfd(f.vm, &args), -EINVAL);
	args.fd = 9999;
	assert_int_equal(irq_vm_irqfd(f.vm, &args), -EBADF);
	args.flags = 0x80;
	assert_int_equal(irq_vm_irqfd(f.vm, &args), -EINVAL);
	fixture_end(&f);
	close(fd);
	close(copy);
	close(null);
}

static void test_resample(void **state)
{
	struct irq_fixture f;
	int fd = eventfd(0, EFD_CLOEXEC), back = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct kvm_irqfd args = {
		.fd = fd, .gsi = 21, .flags = KVM_IRQFD_FLAG_RESAMPLE, .resamplefd = back};
	u64 count;

	fixture_start(&f, false, 1, 0);
	ioapic_set(&f, 0x10 + 2 * 21, 0x8061);
	assert_int_equal(irq_vm_irqfd(f.vm, &args), 0);
	kick_eventfd(fd);
	wait_until(lapic_pending_vector(f.l[0]) == 0x61);
	assert_int_equal(irq_vcpu_ack_interrupt(f.l[0]), 0x61);
	assert_int_equal(read(back, &count, 8), -1);
	/* The EOI lowers the line and asks the device. */
	lapic_eoi(f.l[0]);
	assert_int_equal(read(back, &count, 8), 8);
	assert_int_equal(lapic_pending_vector(f.l[0]), -1);
	kick_eventfd(fd);
	wait_until(lapic_pending_vector(f.l[0]) == 0x61);
	fixture_end(&f);
	close(fd);
	close(back);
}

static bool was_signalled(int fd)
{
	u64 count;

	return read(fd, &count, 8) == 8;
}

static void test_ioeventfd(void **state)
{
	struct irq_vm *vm = irq_vm_create();
	int a = eventfd(0, EFD_NONBLOCK), b = eventfd(0, EFD_NONBLOCK);
	struct kvm_ioeventfd e = {.addr = 0x1000, .len = 4, .fd = a};

	assert_false(irq_ioevent_signal(vm, false, 0x1000, 4, 1));
	assert_int_equal(irq_vm_ioeventfd(vm, &e), 0);
	assert_int_equal(irq_vm_ioeventfd(vm, &e), -EEXIST);
	assert_true(irq_ioevent_signal(vm, false, 0x1000, 4, 1));
	assert_true(was_signalled(a));
	assert_false(irq_ioevent_signal(vm, false, 0x1000, 2, 1));
	assert_false(irq_ioevent_signal(vm, true, 0x1000, 4, 1));
	/* Ports with data to match. */
	e = (struct kvm_ioeventfd){.addr = 0x50, .len = 2, .fd = a, .datamatch = 3};
	e.flags = KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DATAMATCH;
	assert_int_equal(irq_vm_ioeventfd(vm, &e), 0);
	e.datamatch = 4;
	e.fd = b;
	assert_int_equal(irq_vm_ioeventfd(vm, &e), 0);
	assert_true(irq_ioevent_signal(vm, true, 0x50, 2, 0x10004));
	assert_false(was_signalled(a));
	assert_true(was_signalled(b));
	assert_false(irq_ioevent_signal(vm, true, 0x50, 2, 5));
	/* Any length. */
	e = (struct kvm_ioeventfd){.addr = 0x2000, .fd = b};
	assert_int_equal(irq_vm_ioeventfd(vm, &e), 0);
	assert_true(irq_ioevent_signal(vm, false, 0x2000, 8, 5));
	e.flags = KVM_IOEVENTFD_FLAG_DEASSIGN;
	assert_int_equal(irq_vm_ioeventfd(vm, &e), 0);
	assert_int_equal(irq_vm_ioeventfd(vm, &e), -ENOENT);
	e.len = 3;
	assert_int_equal(irq_vm_ioeventfd(vm, &e), -EINVAL);
	e = (struct kvm_ioeventfd){.addr = ~0ull, .len = 4, .fd = b};
	assert_int_equal(irq_vm_ioeventfd(vm, &e), -EINVAL);
	irq_vm_destroy(vm);
	close(a);
	close(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pic),
		cmocka_unit_test(test_pic_level),
		cmocka_unit_test(test_pic_rotation_and_poll),
		cmocka_unit_test(test_ioapic_edge),
		cmocka_unit_test(test_ioapic_level),
		cmocka_unit_test(test_irqchip_state),
		cmocka_unit_test(test_routing),
		cmocka_unit_test(test_msi_wide),
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_pit_ports),
		cmocka_unit_test(test_pit_ticks),
		cmocka_unit_test(test_irqfd),
		cmocka_unit_test(test_resample),
		cmocka_unit_test(test_ioeventfd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

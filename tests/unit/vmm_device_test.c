/* SPDX-License-Identifier: BSD-2-Clause */
/* Devices on a machine without a KVM: their interrupt ioctls go nowhere, the rest works. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "vmm/acpi.h"
#include "vmm/legacy.h"
#include "vmm/pci.h"
#include "vmm/platform.h"
#include "vmm/pm.h"
#include "vmm/rtc.h"
#include "vmm/serial.h"

struct fixture {
	struct kvm_dev kvm;
	struct machine m;
	int out[2];
	struct console con;
	struct serial serial;
	struct i8042 i8042;
	struct legacy legacy;
	struct rtc rtc;
	struct pm pm;
	struct pci pci;
	u8 ram[2 << 20];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->kvm.fd = -1;
	f->m.kvm = &f->kvm;
	f->m.vm_fd = -1;
	f->m.cpu_count = 2;
	f->m.ram.host = f->ram;
	f->m.ram.size = f->m.ram.low_size = sizeof(f->ram);
	bus_init(&f->m.pio);
	bus_init(&f->m.mmio);
	intr_init(&f->m.intr, &f->kvm, -1);
	assert_int_equal(loop_init(&f->m.loop), 0);
	assert_int_equal(pipe(f->out), 0);
	assert_int_equal(console_open(&f->con, &f->m, -1, f->out[1]), 0);
	assert_int_equal(serial_init(&f->serial, &f->m, &f->con), 0);
	assert_int_equal(i8042_init(&f->i8042, &f->m), 0);
	assert_int_equal(legacy_init(&f->legacy, &f->m), 0);
	assert_int_equal(rtc_init(&f->rtc, &f->m), 0);
	assert_int_equal(pm_init(&f->pm, &f->m), 0);
	assert_int_equal(pci_init(&f->pci, &f->m), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	rtc_destroy(&f->rtc);
	console_close(&f->con);
	loop_destroy(&f->m.loop);
	close(f->out[0]);
	close(f->out[1]);
	free(f);
	return 0;
}

static u8 inb(struct fixture *f, u16 port)
{
	return bus_read(&f->m.pio, port, 1);
}

static void outb(struct fixture *f, u16 port, u8 value)
{
	bus_write(&f->m.pio, port, 1, value);
}

static void test_serial_output(void **state)
{
	struct fixture *f = *state;
	char text[8] = "";

	assert_int_equal(inb(f, 0x3fd), 0x60);
	for (const char *p = "hello\n"; *p; p++)
		outb(f, 0x3f8, *p);
	assert_int_equal(read(f->out[0], text, 6), 6);
	assert_string_equal(text, "hello\n");
}

static void test_serial_interrupts(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(inb(f, 0x3fa), 0x01);
	outb(f, 0x3f9, 0x02); /* transmitter empty: at once */
	assert_int_equal(f->m.intr.sources[IRQ_COM1], 1);
	assert_int_equal(inb(f, 0x3fa), 0x02);
	assert_int_equal(f->m.intr.sources[IRQ_COM1], 0);
	assert_int_equal(inb(f, 0x3fa), 0x01);
	outb(f, 0x3f9, 0x01);
	assert_int_equal(f->con.input(f->con.input_opaque, (u8 *)"ab", 2), 2);
	outb(f, 0x3fa, 0x01);
	/* Turning the FIFO on emptied it. */
	assert_int_equal(inb(f, 0x3fd), 0x60);
	assert_int_equal(f->con.input(f->con.input_opaque, (u8 *)"ab", 2), 2);
	assert_int_equal(inb(f, 0x3fa), 0xc4);
	assert_int_equal(inb(f, 0x3f8), 'a');
	assert_int_equal(f->m.intr.sources[IRQ_COM1], 1);
	assert_int_equal(inb(f, 0x3f8), 'b');
	assert_int_equal(f->m.intr.sources[IRQ_COM1], 0);
}

static void test_serial_fifo_is_bounded(void **state)
{
	struct fixture *f = *state;
	u8 data[SERIAL_FIFO + 10] = {0};

	outb(f, 0x3f9, 0x01);
	assert_int_equal(f->con.input(f->con.input_opaque, data, sizeof(data)), SERIAL_FIFO);
	assert_int_equal(f->con.input(f->con.input_opaque, data, sizeof(data)), 0);
}

/* A guest that polls gets input, too; one that only prints does not lose any. */
static void test_serial_polling(void **state)
{
	struct fixture *f = *state;
	u8 byte = 'x';

	for (int i = 0; i < 100; i++) {
		inb(f, 0x3fd);
		outb(f, 0x3f8, '\n');
	}
	assert_int_equal(f->con.input(f->con.input_opaque, &byte, 1), 0);
	for (int i = 0; i < 100; i++)
		inb(f, 0x3fd);
	assert_int_equal(f->con.input(f->con.input_opaque, &byte, 1), 1);
	assert_int_equal(inb(f, 0x3f8), 'x');
}

static void test_serial_loopback(void **state)
{
	struct fixture *f = *state;

	outb(f, 0x3fc, 0x1a); /* loop, RTS, OUT2 */
	assert_int_equal(inb(f, 0x3fe), 0x90);
	outb(f, 0x3f8, 0x5a);
	assert_int_equal(inb(f, 0x3f8), 0x5a);
}

static void test_i8042(void **state)
{
	struct fixture *f = *state;

	outb(f, 0x64, 0xaa);
	assert_int_equal(inb(f, 0x64) & 1, 1);
	assert_int_equal(inb(f, 0x60), 0x55);
	assert_int_equal(inb(f, 0x64) & 1, 0);
	outb(f, 0x64, 0xff); /* pulses nothing */
	assert_int_equal(f->m.end, MACHINE_RUNNING);
	outb(f, 0x64, 0xfe);
	assert_int_equal(f->m.end, MACHINE_RESET);
}

static void test_reset_ports(void **state)
{
	struct fixture *f = *state;

	outb(f, 0xcf9, 0x02);
	assert_int_equal(f->m.end, MACHINE_RUNNING);
	outb(f, 0xcf9, 0x06);
	assert_int_equal(f->m.end, MACHINE_RESET);
	f->m.end = MACHINE_RUNNING;
	assert_int_equal(inb(f, 0x92), 2);
	outb(f, 0x92, 3);
	assert_int_equal(f->m.end, MACHINE_RESET);
}

static void test_power_off(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(bus_read(&f->m.pio, PLATFORM_PM1_CONTROL, 2), 1);
	bus_write(&f->m.pio, PLATFORM_PM1_CONTROL, 2, 0x2000 | 1 << 10);
	assert_int_equal(f->m.end, MACHINE_RUNNING);
	bus_write(&f->m.pio, PLATFORM_PM1_CONTROL, 2, 0x2000 | PLATFORM_S5_SLP_TYP << 10);
	assert_int_equal(f->m.end, MACHINE_POWEROFF);
}

static void test_power_button(void **state)
{
	struct fixture *f = *state;

	pm_press_button(&f->pm);
	assert_int_equal(f->m.intr.sources[IRQ_SCI], 0);
	bus_write(&f->m.pio, PLATFORM_PM1_EVENT + 2, 2, 0x100);
	assert_int_equal(f->m.intr.sources[IRQ_SCI], 1);
	assert_int_equal(bus_read(&f->m.pio, PLATFORM_PM1_EVENT, 4), 0x01000100);
	bus_write(&f->m.pio, PLATFORM_PM1_EVENT, 2, 0x100);
	assert_int_equal(f->m.intr.sources[IRQ_SCI], 0);
}

static u8 cmos(struct fixture *f, u8 reg)
{
	outb(f, 0x70, reg);
	return inb(f, 0x71);
}

static void set_cmos(struct fixture *f, u8 reg, u8 value)
{
	outb(f, 0x70, reg);
	outb(f, 0x71, value);
}

static void test_rtc_keeps_what_is_set(void **state)
{
	struct fixture *f = *state;

	set_cmos(f, 11, 0x82);
	set_cmos(f, 0x32, 0x19);
	set_cmos(f, 9, 0x99);
	set_cmos(f, 8, 0x12);
	set_cmos(f, 7, 0x31);
	set_cmos(f, 4, 0x13);
	set_cmos(f, 2, 0x10);
	set_cmos(f, 0, 0x00);
	set_cmos(f, 11, 0x02);
	assert_int_equal(cmos(f, 0x32), 0x19);
	assert_int_equal(cmos(f, 9), 0x99);
	assert_int_equal(cmos(f, 7), 0x31);
	assert_int_equal(cmos(f, 4), 0x13);
	set_cmos(f, 11, 0x00); /* 12-hour clock */
	assert_int_equal(cmos(f, 4), 0x81);
	set_cmos(f, 11, 0x06); /* binary */
	assert_int_equal(cmos(f, 4), 13);
	assert_int_equal(cmos(f, 13), 0x80);
}

/* 1024 Hz: the loop delivers one within a millisecond, and reading C acknowledges it. */
static void test_rtc_interrupts(void **state)
{
	struct fixture *f = *state;

	set_cmos(f, 11, 0x42);
	for (int i = 0; i < 1000 && !f->m.intr.sources[IRQ_RTC]; i++) {
		struct epoll_event ev;

		if (epoll_wait(f->m.loop.epoll_fd, &ev, 1, 100) == 1) {
			struct loop_entry *e = ev.data.ptr;

			e->fn(e->opaque, ev.events);
		}
	}
	assert_int_equal(f->m.intr.sources[IRQ_RTC], 1);
	assert_int_equal(cmos(f, 12), 0xc0);
	assert_int_equal(f->m.intr.sources[IRQ_RTC], 0);
	assert_int_equal(cmos(f, 12), 0);
	/* A flag that is up raises the line when its interrupt is enabled. */
	set_cmos(f, 11, 0x02);
	f->rtc.cmos[12] = 0x10;
	set_cmos(f, 11, 0x12);
	assert_int_equal(f->m.intr.sources[IRQ_RTC], 1);
	set_cmos(f, 11, 0x02);
}

static u32 pci_read(struct fixture *f, unsigned slot, unsigned reg)
{
	bus_write(&f->m.pio, 0xcf8, 4, 0x80000000 | slot << 11 | reg);
	return bus_read(&f->m.pio, 0xcfc, 4);
}

static void pci_write(struct fixture *f, unsigned slot, unsigned reg, u32 value)
{
	bus_write(&f->m.pio, 0xcf8, 4, 0x80000000 | slot << 11 | reg);
	bus_write(&f->m.pio, 0xcfc, 4, value);
}

static u64 bar_read(void *opaque, u64 off, unsigned len)
{
	return off;
}

static const struct bus_ops bar_ops = {bar_read, NULL};

static void test_pci(void **state)
{
	struct fixture *f = *state;
	struct pci_device dev;
	u32 bar;

	pci_device_init(&dev, "test", 0x1af4, 0x1041, 0x020000);
	pci_add_bar(&dev, 0, PCI_BAR_MEM, 0x4000, &bar_ops, NULL);
	pci_add_msix(&dev, 1, 3);
	assert_int_equal(pci_register(&f->pci, &dev), 0);
	assert_int_equal(pci_read(f, 0, 0), 0x12378086);
	assert_int_equal(pci_read(f, 1, 0), 0x10411af4);
	assert_int_equal(pci_read(f, 2, 0), 0xffffffff);
	assert_int_equal(pci_read(f, 1, 8) >> 8, 0x020000);
	assert_int_equal(bus_read(&f->m.mmio, PLATFORM_ECAM + 0x8002, 2), 0x1041);
	assert_int_equal(bus_read(&f->m.mmio, PLATFORM_ECAM + 0x8100, 4), 0xffffffff);
	assert_int_equal(bus_read(&f->m.mmio, PLATFORM_ECAM + 0x9000, 4), 0xffffffff);
	assert_int_equal(bus_read(&f->m.mmio, PLATFORM_ECAM + 0x10000, 4), 0xffffffff);
	bar = pci_read(f, 1, 0x10);
	assert_int_equal(bar, PLATFORM_PCI_MMIO);
	assert_int_equal(bus_read(&f->m.mmio, bar + 0x20, 4), 0x20);
	pci_write(f, 1, 0x10, 0xffffffff);
	assert_int_equal(pci_read(f, 1, 0x10), 0xffffc000);
	pci_write(f, 1, 0x10, 0xd0000000);
	assert_int_equal(bus_read(&f->m.mmio, 0xd0000010, 4), 0x10);
	assert_int_equal(bus_read(&f->m.mmio, bar + 0x20, 4), 0xffffffff);
	pci_write(f, 1, 4, 0); /* memory decoding off */
	assert_int_equal(bus_read(&f->m.mmio, 0xd0000010, 4), 0xffffffff);
	/* Over RAM, or over another BAR, it stays unmapped. */
	pci_write(f, 1, 0x10, 0x00100000);
	pci_write(f, 1, 4, 2);
	assert_int_equal(bus_read(&f->m.mmio, 0x100000, 4), 0xffffffff);
}

static void test_msix(void **state)
{
	struct fixture *f = *state;
	struct pci_device dev;
	u32 bar, cap;

	pci_device_init(&dev, "test", 0x1af4, 0x1041, 0x020000);
	pci_add_msix(&dev, 1, 3);
	assert_int_equal(pci_register(&f->pci, &dev), 0);
	bar = pci_read(f, 1, 0x14);
	cap = pci_read(f, 1, 0x34) & 0xff;
	assert_int_equal(pci_read(f, 1, cap) & 0xffff00ff, 2 << 16 | 0x11);
	pci_msix_notify(&dev, 0);
	assert_int_equal(dev.msix.pending, 0); /* off: lost */
	pci_write(f, 1, cap, 0x8000u << 16);
	assert_true(pci_msix_enabled(&dev));
	assert_int_equal(bus_read(&f->m.mmio, bar + 12, 4), 1);
	pci_msix_notify(&dev, 0);
	pci_msix_notify(&dev, 7);
	assert_int_equal(bus_read(&f->m.mmio, bar + 0x800, 8), 1);
	bus_write(&f->m.mmio, bar, 8, 0xfee01000);
	bus_write(&f->m.mmio, bar + 8, 8, 0x41); /* data, unmasked */
	assert_int_equal(bus_read(&f->m.mmio, bar, 4), 0xfee01000);
	assert_int_equal(bus_read(&f->m.mmio, bar + 0x800, 8), 0);
}

static void test_intx(void **state)
{
	struct fixture *f = *state;
	struct pci_device dev;

	pci_device_init(&dev, "test", 0x1af4, 0x1041, 0x020000);
	assert_int_equal(pci_register(&f->pci, &dev), 0);
	pci_intx_set(&dev, true);
	assert_int_equal(f->m.intr.sources[pci_intx_line(1)], 2);
	assert_true(pci_read(f, 1, 4) & PCI_STATUS_INTX << 16);
	pci_write(f, 1, 4, PCI_COMMAND_NO_INTX);
	assert_int_equal(f->m.intr.sources[pci_intx_line(1)], 0);
	pci_write(f, 1, 4, 0);
	assert_int_equal(f->m.intr.sources[pci_intx_line(1)], 2);
	pci_intx_set(&dev, false);
	assert_int_equal(f->m.intr.sources[pci_intx_line(1)], 0);
}

static u8 sum(const u8 *p, size_t len)
{
	u8 s = 0;

	while (len--)
		s += *p++;
	return s;
}

static void test_acpi_checksums(void **state)
{
	struct fixture *f = *state;
	u64 rsdp, xsdt, entry;
	u32 len;
	u8 *p;

	assert_int_equal(acpi_build(&f->m, &rsdp), 0);
	p = f->ram + rsdp;
	assert_memory_equal(p, "RSD PTR ", 8);
	assert_int_equal(sum(p, 20), 0);
	assert_int_equal(sum(p, 36), 0);
	memcpy(&xsdt, p + 24, 8);
	memcpy(&len, f->ram + xsdt + 4, 4);
	assert_int_equal(sum(f->ram + xsdt, len), 0);
	for (u32 off = 36; off < len; off += 8) {
		u32 table_len;

		memcpy(&entry, f->ram + xsdt + off, 8);
		memcpy(&table_len, f->ram + entry + 4, 4);
		assert_int_equal(sum(f->ram + entry, table_len), 0);
	}
}

/* Any value to any port and register, in any width: no crash, no hang. */
static void test_garbage_everywhere(void **state)
{
	struct fixture *f = *state;
	struct pci_device dev;
	u64 x = 88172645463325252ull;

	pci_device_init(&dev, "test", 0x1af4, 0x1041, 0x020000);
	pci_add_bar(&dev, 0, PCI_BAR_MEM, 0x4000, &bar_ops, NULL);
	pci_add_bar(&dev, 2, PCI_BAR_IO, 0x20, &bar_ops, NULL);
	pci_add_msix(&dev, 1, 64);
	assert_int_equal(pci_register(&f->pci, &dev), 0);
	for (int i = 0; i < 300000; i++) {
		unsigned len;
		u16 port;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		len = 1u << (x >> 60) % 3;
		port = i & 1 ? 0xcf8 + (x >> 40) % 8 : x >> 44;
		if (port >= 0x3f8 && port <= 0x3ff)
			continue; /* the pipe would fill */
		bus_write(&f->m.pio, port, len, i % 3 ? x : 0x80000000 | (x & 0x8fc));
		bus_read(&f->m.pio, port ^ 1, len);
		bus_write(&f->m.mmio, PLATFORM_PCI_MMIO + (x & 0x7fff), 1u << (x >> 62), x);
		bus_read(&f->m.mmio, PLATFORM_PCI_MMIO + (x & 0x7fff), 1u << (x >> 62));
		bus_write(&f->m.mmio, PLATFORM_ECAM + (x & 0xffff), 1u << (x >> 62), x);
		bus_read(&f->m.mmio, PLATFORM_ECAM + (x & 0xffff), 1u << (x >> 62));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_serial_output, setup, teardown),
		cmocka_unit_test_setup_teardown(test_serial_interrupts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_serial_fifo_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_serial_polling, setup, teardown),
		cmocka_unit_test_setup_teardown(test_serial_loopback, setup, teardown),
		cmocka_unit_test_setup_teardown(test_i8042, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset_ports, setup, teardown),
		cmocka_unit_test_setup_teardown(test_power_off, setup, teardown),
		cmocka_unit_test_setup_teardown(test_power_button, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rtc_keeps_what_is_set, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rtc_interrupts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pci, setup, teardown),
		cmocka_unit_test_setup_teardown(test_msix, setup, teardown),
		cmocka_unit_test_setup_teardown(test_intx, setup, teardown),
		cmocka_unit_test_setup_teardown(test_acpi_checksums, setup, teardown),
		cmocka_unit_test_setup_teardown(test_garbage_everywhere, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>
#include "vmm/bus.h"

struct probe {
	u64 offset, value;
	unsigned len;
	struct bus *bus;
};

static u64 probe_read(void *opaque, u64 offset, unsigned len)
{
	struct probe *p = opaque;

	p->offset = offset;
	p->len = len;
	return 0x1122334455667788;
}

static void probe_write(void *opaque, u64 offset, unsigned len, u64 value)
{
	struct probe *p = opaque;

	p->offset = offset;
	p->len = len;
	p->value = value;
	if (p->bus)
		bus_remove(p->bus, 0x100);
}

static const struct bus_ops ops = {probe_read, probe_write};

static void test_nobody_answers(void **state)
{
	struct bus bus;

	bus_init(&bus);
	assert_int_equal(bus_read(&bus, 0x60, 1), 0xff);
	assert_int_equal(bus_read(&bus, 0x60, 4), 0xffffffff);
	assert_true(bus_read(&bus, ~0ull, 8) == ~0ull);
	bus_write(&bus, 0x60, 1, 0);
}

static void test_finds_the_range(void **state)
{
	struct probe a = {0}, b = {0};
	struct bus bus;

	bus_init(&bus);
	assert_int_equal(bus_add(&bus, 0x200, 0x10, &ops, &b), 0);
	assert_int_equal(bus_add(&bus, 0x100, 0x10, &ops, &a), 0);
	assert_int_equal(bus_read(&bus, 0x10f, 2), 0x7788);
	assert_int_equal(a.offset, 0xf);
	assert_int_equal(bus_read(&bus, 0x110, 1), 0xff);
	bus_write(&bus, 0x204, 2, 0xabcd1234);
	assert_int_equal(b.offset, 4);
	assert_int_equal(b.value, 0x1234);
}

static void test_refuses_overlap(void **state)
{
	struct probe a = {0};
	struct bus bus;

	bus_init(&bus);
	assert_int_equal(bus_add(&bus, 0x100, 0x10, &ops, &a), 0);
	assert_int_equal(bus_add(&bus, 0x10f, 1, &ops, &a), -EEXIST);
	assert_int_equal(bus_add(&bus, 0xf0, 0x11, &ops, &a), -EEXIST);
	assert_int_equal(bus_add(&bus, 0x80, 0x1000, &ops, &a), -EEXIST);
	assert_int_equal(bus_add(&bus, 0x110, 0, &ops, &a), -EINVAL);
	assert_int_equal(bus_add(&bus, ~0ull, 2, &ops, &a), -EINVAL);
	assert_int_equal(bus_add(&bus, ~0ull, 1, &ops, &a), 0);
	assert_int_equal(bus_add(&bus, 0x110, 1, &ops, &a), 0);
	bus_remove(&bus, 0x100);
	assert_int_equal(bus_add(&bus, 0xf0, 0x20, &ops, &a), 0);
}

static void test_full(void **state)
{
	struct bus bus;

	bus_init(&bus);
	for (unsigned i = 0; i < BUS_MAX_RANGES; i++)
		assert_int_equal(bus_add(&bus, i * 2, 1, &ops, NULL), 0);
	assert_int_equal(bus_add(&bus, 0x10000, 1, &ops, NULL), -ENOSPC);
}

/* A BAR that moves changes the bus inside a handler. */
static void test_handler_may_change_the_bus(void **state)
{
	struct bus bus;
	struct probe a = {.bus = &bus};

	bus_init(&bus);
	assert_int_equal(bus_add(&bus, 0x100, 0x10, &ops, &a), 0);
	bus_write(&bus, 0x100, 1, 1);
	assert_int_equal(bus_read(&bus, 0x100, 1), 0xff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nobody_answers),
		cmocka_unit_test(test_finds_the_range),
		cmocka_unit_test(test_refuses_overlap),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_handler_may_change_the_bus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* The VMCS field table against the layout of struct vmcs12 as Linux documents it. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "virt/vmcs12.h"

static const struct {
	u16 encoding, offset;
	u8 size;
} known[] = {
	{0x0000, 960, 2}, {0x0800, 964, 2}, {0x080e, 978, 2}, {0x0810, 980, 2}, {0x0812, 996, 2},
	{0x0c00, 982, 2}, {0x0c0c, 994, 2}, {0x2000, 40, 8},  {0x2004, 56, 8},	{0x200e, 312, 8},
	{0x201a, 120, 8}, {0x2022, 152, 8}, {0x2032, 328, 8}, {0x2400, 168, 8}, {0x2800, 176, 8},
	{0x2801, 180, 4}, {0x2806, 200, 8}, {0x2810, 240, 8}, {0x2c02, 264, 8}, {0x4000, 744, 4},
	{0x4016, 788, 4}, {0x401e, 804, 4}, {0x4400, 808, 4}, {0x440e, 836, 4}, {0x4800, 840, 4},
	{0x4814, 880, 4}, {0x4826, 916, 4}, {0x482e, 928, 4}, {0x4c00, 924, 4}, {0x6000, 344, 8},
	{0x6400, 408, 8}, {0x640a, 416, 8}, {0x6800, 424, 8}, {0x6806, 448, 8}, {0x6818, 520, 8},
	{0x681e, 544, 8}, {0x6826, 576, 8}, {0x6c00, 584, 8}, {0x6c16, 672, 8},
};

static void offsets(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(known); i++) {
		struct vmcs_field f = vmcs_field_find(known[i].encoding);

		assert_int_equal(f.offset, known[i].offset);
		assert_int_equal(f.size, known[i].size);
	}
}

/* No two fields overlap, all lie in the structure, and odd encodings are halves of 64-bit fields.
 */
static void whole_space(void **state)
{
	u8 used[sizeof(struct vmcs12)] = {0};
	unsigned fields = 0;

	for (u32 enc = 0; enc < 0x20000; enc++) {
		struct vmcs_field f = vmcs_field_find(enc);

		if (!f.offset)
			continue;
		assert_true(f.offset + f.size <= sizeof(struct vmcs12));
		assert_true(enc < 0x8000);
		if (enc & 1) {
			assert_int_equal(vmcs_field_find(enc & ~1u).offset + 4, f.offset);
			continue;
		}
		fields++;
		for (unsigned b = 0; b < f.size; b++)
			assert_int_equal(used[f.offset + b]++, 0);
	}
	assert_int_equal(fields, 141);
}

static void high_bits_of_encoding(void **state)
{
	assert_int_equal(vmcs_field_find(0x100006800ull).offset, 0);
	assert_int_equal(vmcs_field_find(0x7800).offset, 0);
	assert_int_equal(vmcs_field_find(0x6840).offset, 0);
	assert_int_equal(vmcs_field_find(0x6801).offset, 0);
}

static void read_write(void **state)
{
	struct vmcs12 v;

	memset(&v, 0xff, sizeof(v));
	vmcs_field_write(&v, vmcs_field_find(0x4002), 0x123456789ull);
	assert_int_equal(v.cpu_controls, 0x23456789);
	assert_int_equal(v.pin_controls, 0xffffffff);
	assert_int_equal(v.exception_bitmap, 0xffffffff);
	vmcs_field_write(&v, vmcs_field_find(0x201b), 0x11);
	assert_int_equal(v.eptp, 0x11ffffffffull);
	assert_int_equal(vmcs_field_read(&v, vmcs_field_find(0x201b)), 0x11);
	assert_int_equal(vmcs_field_read(&v, vmcs_field_find(0x0800)), 0xffff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(offsets),
		cmocka_unit_test(whole_space),
		cmocka_unit_test(high_bits_of_encoding),
		cmocka_unit_test(read_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <cmocka.h>

#include "nestkvm.h"

static void version_has_three_numbers(void **state)
{
	int major, minor, patch;

	assert_int_equal(sscanf(nestkvm_version(), "%d.%d.%d", &major, &minor, &patch), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(version_has_three_numbers)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

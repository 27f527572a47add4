/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "cli/demo.h"

/* JSON mode prints nothing while events come in. */
static void start(struct demo *demo)
{
	memset(demo, 0, sizeof(*demo));
	demo->json = true;
	demo->config.depth = 2;
	demo->start_ms = 1000;
}

static const char user1[] =
	"NESTKVM {\"level\":1,\"event\":\"user\",\"kernel\":\"6.1\",\"cpu\":\"x "
	"\\\"y\\\"\",\"cpus\":2,"
	"\"hypervisor\":\"KVMKVMKVM\",\"memory_mib\":980}";
static const char user2[] =
	"[    0.5] noise NESTKVM {\"level\":2,\"event\":\"user\",\"hypervisor\":\"KVMKVMKVM\"}";

static void user_space_is_seen(void **state)
{
	struct demo demo;

	start(&demo);
	demo_take_line(&demo, user1, 3500);
	assert_true(demo.level[1].seen);
	assert_int_equal(demo.level[1].user_ms, 2500);
	assert_string_equal(demo.level[1].cpu, "x \"y\"");
	assert_int_equal(demo.level[1].cpus, 2);
	assert_false(demo.level[2].seen);
	demo_take_line(&demo, user2, 4000);
	assert_true(demo.level[2].seen);
	assert_false(demo_succeeded(&demo));
}

static void success_needs_exits_and_an_orderly_end(void **state)
{
	struct demo demo;

	start(&demo);
	demo_take_line(&demo, user1, 2000);
	demo_take_line(&demo, user2, 2001);
	demo_take_line(&demo, "NESTKVM {\"level\":2,\"event\":\"done\",\"status\":0}", 2002);
	demo_take_line(&demo, "NESTKVM {\"level\":1,\"event\":\"done\",\"status\":0}", 2003);
	assert_false(demo_succeeded(&demo));
	demo_take_line(&demo, "NESTKVM {\"level\":1,\"event\":\"exits\",\"exits\":12}", 2004);
	assert_true(demo_succeeded(&demo));
	demo.status = 3;
	assert_false(demo_succeeded(&demo));
}

static void trouble_in_a_kernel_fails_the_demo(void **state)
{
	struct demo demo;

	start(&demo);
	demo.config.depth = 1;
	demo_take_line(&demo, user1, 2000);
	demo_take_line(
		&demo,
		"NESTKVM {\"level\":1,\"event\":\"selfcheck\",\"messages\":1,\"first\":\"BUG: x\"}",
		2002);
	demo_take_line(&demo, "NESTKVM {\"level\":1,\"event\":\"done\",\"status\":0}", 2003);
	assert_false(demo_succeeded(&demo));
	assert_non_null(strstr(demo.level[1].error, "BUG: x"));
}

static void parameters_become_one_text(void **state)
{
	struct demo demo;

	start(&demo);
	demo_take_line(&demo,
		       "NESTKVM {\"level\":1,\"event\":\"kvm\",\"module\":\"kvm_intel\","
		       "\"parameters\":{\"nested\":\"Y\",\"ept\":\"N\"},\"api\":12}",
		       2000);
	assert_string_equal(demo.level[1].parameters, "nested=Y ept=N");
	assert_int_equal(demo.level[1].kvm_api, 12);
}

/* A guest may print anything. */
static void garbage_changes_nothing(void **state)
{
	static const char *const lines[] = {
		"NESTKVM {",
		"NESTKVM {\"level\":1}",
		"NESTKVM {\"level\":99,\"event\":\"user\"}",
		"NESTKVM {\"level\":-1,\"event\":\"user\"}",
		"NESTKVM {\"level\":\"1\",\"event\":\"user\"}",
		"NESTKVM {\"level\":1,\"event\":7}",
		"",
		"NESTKVM {}{}{",
		"NESTKVM {\"level\":1,\"event\":\"kvm\",\"parameters\":[1,2,{\"a\":null}]}",
		"NESTKVM {\"level\":0,\"event\":\"user\"}",
		"NESTKVM {\"level\":1e300,\"event\":\"user\"}",
	};
	struct demo demo;

	start(&demo);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		demo_take_line(&demo, lines[i], 2000);
	assert_false(demo.level[1].seen);
	assert_false(demo.level[2].seen);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(user_space_is_seen),
		cmocka_unit_test(success_needs_exits_and_an_orderly_end),
		cmocka_unit_test(trouble_in_a_kernel_fails_the_demo),
		cmocka_unit_test(parameters_become_one_text),
		cmocka_unit_test(garbage_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

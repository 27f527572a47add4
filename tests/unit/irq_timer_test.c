/* SPDX-License-Identifier: BSD-2-Clause */
/* The timer queue: order, moving, cancelling, arming from callbacks. */
#include "irq_fixture.h"

static atomic_int order[64], fired;

struct item {
	struct timer timer;
	int number;
};

static void note(void *arg)
{
	atomic_store(&order[atomic_fetch_add(&fired, 1)], ((struct item *)arg)->number);
}

static void test_order(void **state)
{
	struct timer_queue *q = timer_queue_create();
	u64 start = timer_now_ns() + 2000000;
	struct item items[64];

	atomic_store(&fired, 0);
	for (int i = 0; i < 64; i++) {
		items[i].number = i;
		timer_init(&items[i].timer, q, note, &items[i]);
		/* Far away first, then moved to a place that is its own. */
		timer_arm(&items[i].timer, UINT64_MAX - 1 - i);
	}
	for (int i = 0; i < 64; i++)
		timer_arm(&items[i * 37 % 64].timer, start + i * 37 % 64);
	for (int i = 0; i < 64; i += 4)
		timer_cancel(&items[i].timer);
	wait_until(atomic_load(&fired) == 48);
	for (int i = 1; i < 48; i++)
		assert_true(atomic_load(&order[i - 1]) < atomic_load(&order[i]));
	timer_arm(&items[0].timer, UINT64_MAX - 1);
	timer_queue_destroy(q);
	assert_int_equal(items[0].timer.slot, TIMER_IDLE);
}

static void again(void *arg)
{
	struct item *item = arg;

	if (atomic_fetch_add(&fired, 1) < 10)
		timer_arm(&item->timer, timer_now_ns() + 1000);
}

static void test_rearm_and_cancel(void **state)
{
	struct timer_queue *q = timer_queue_create();
	struct item item;
	int count;

	atomic_store(&fired, 0);
	timer_init(&item.timer, q, again, &item);
	timer_arm(&item.timer, 0);
	wait_until(atomic_load(&fired) == 11);
	for (int i = 0; i < 100; i++) {
		atomic_store(&fired, 0);
		timer_arm(&item.timer, 0);
		timer_cancel_sync(&item.timer);
		/* It may have armed itself before; nothing runs any more after a second one. */
		timer_cancel_sync(&item.timer);
		count = atomic_load(&fired);
		assert_int_equal(atomic_load(&fired), count);
	}
	timer_queue_destroy(q);
	timer_queue_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_rearm_and_cancel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

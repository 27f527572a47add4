/* SPDX-License-Identifier: BSD-2-Clause */
/* The device's side of virtqueues, on rings in plain memory: good ones and broken ones. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "vmm/virtio_queue.h"

#define DESC  0x1000
#define AVAIL 0x2000
#define USED  0x3000
#define TABLE 0x4000
#define DATA  0x8000
#define SIZE  8

struct fixture {
	struct ram ram;
	struct virtq q;
	struct virtq_buf buf;
	u8 bytes[0x10000];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->ram = (struct ram){.host = f->bytes, .size = sizeof(f->bytes)};
	f->ram.low_size = sizeof(f->bytes);
	virtq_reset(&f->q, &f->ram, 256);
	f->q.size = SIZE;
	f->q.desc = DESC;
	f->q.avail = AVAIL;
	f->q.used = USED;
	f->q.indirect = true;
	assert_int_equal(virtq_enable(&f->q), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static u16 *word(struct fixture *f, unsigned at)
{
	return (u16 *)(f->bytes + at);
}

static void put_desc(struct fixture *f, unsigned table, unsigned i, u64 addr, u32 len, u16 flags,
		     u16 next)
{
	struct virtq_desc d = {addr, len, flags, next};

	memcpy(f->bytes + table + 16 * i, &d, sizeof(d));
}

static void offer(struct fixture *f, u16 head)
{
	u16 idx = *word(f, AVAIL + 2);

	*word(f, AVAIL + 4 + 2 * (idx % SIZE)) = head;
	*word(f, AVAIL + 2) = idx + 1;
}

static void test_chain(void **state)
{
	struct fixture *f = *state;
	char text[8] = "";

	memcpy(f->bytes + DATA, "abcdef", 6);
	put_desc(f, DESC, 3, DATA, 2, VIRTQ_DESC_NEXT, 5);
	put_desc(f, DESC, 5, DATA + 2, 4, VIRTQ_DESC_NEXT, 0);
	put_desc(f, DESC, 0, DATA + 16, 3, VIRTQ_DESC_WRITE | VIRTQ_DESC_NEXT, 1);
	put_desc(f, DESC, 1, DATA + 32, 5, VIRTQ_DESC_WRITE, 0);
	assert_int_equal(virtq_pop(&f->q, &f->buf), 0);
	offer(f, 3);
	assert_int_equal(virtq_pop(&f->q, &f->buf), 1);
	assert_int_equal(f->buf.head, 3);
	assert_int_equal(f->buf.out_len, 6);
	assert_int_equal(f->buf.in_len, 8);
	assert_int_equal(virtq_buf_read(&f->buf, 1, text, 7), 5);
	assert_string_equal(text, "bcdef");
	assert_int_equal(virtq_buf_write(&f->buf, 2, "xyz", 3), 3);
	assert_int_equal(f->bytes[DATA + 18], 'x');
	assert_int_equal(f->bytes[DATA + 33], 'z');
	virtq_push(&f->q, 3, 5);
	assert_int_equal(*word(f, USED + 2), 1);
	assert_int_equal(*word(f, USED + 4), 3);
	assert_int_equal(*word(f, USED + 8), 5);
	assert_int_equal(virtq_pop(&f->q, &f->buf), 0);
}

static void test_unpop(void **state)
{
	struct fixture *f = *state;

	put_desc(f, DESC, 0, DATA, 2, 0, 0);
	offer(f, 0);
	assert_int_equal(virtq_pop(&f->q, &f->buf), 1);
	virtq_unpop(&f->q);
	assert_int_equal(virtq_pop(&f->q, &f->buf), 1);
	assert_int_equal(virtq_pop(&f->q, &f->buf), 0);
}

static void test_indirect(void **state)
{
	struct fixture *f = *state;

	put_desc(f, DESC, 2, TABLE, 32, VIRTQ_DESC_INDIRECT, 0);
	put_desc(f, TABLE, 0, DATA, 10, VIRTQ_DESC_NEXT, 1);
	put_desc(f, TABLE, 1, DATA + 10, 20, VIRTQ_DESC_WRITE, 0);
	offer(f, 2);
	assert_int_equal(virtq_pop(&f->q, &f->buf), 1);
	assert_int_equal(f->buf.out_len, 10);
	assert_int_equal(f->buf.in_len, 20);
}

static void assert_breaks(struct fixture *f)
{
	assert_int_equal(virtq_pop(&f->q, &f->buf), -EPROTO);
	assert_true(f->q.broken);
	assert_int_equal(virtq_pop(&f->q, &f->buf), -EPROTO);
	virtq_push(&f->q, 0, 0);
	assert_int_equal(*word(f, USED + 2), 0);
}

static void test_loop(void **state)
{
	put_desc(*state, DESC, 0, DATA, 1, VIRTQ_DESC_NEXT, 1);
	put_desc(*state, DESC, 1, DATA, 1, VIRTQ_DESC_NEXT, 0);
	offer(*state, 0);
	assert_breaks(*state);
}

static void test_indirect_loop(void **state)
{
	put_desc(*state, DESC, 0, TABLE, 32, VIRTQ_DESC_INDIRECT, 0);
	put_desc(*state, TABLE, 0, DATA, 0, VIRTQ_DESC_NEXT, 1);
	put_desc(*state, TABLE, 1, DATA, 0, VIRTQ_DESC_NEXT, 0);
	offer(*state, 0);
	assert_breaks(*state);
}

static void test_indirect_in_indirect(void **state)
{
	put_desc(*state, DESC, 0, TABLE, 16, VIRTQ_DESC_INDIRECT, 0);
	put_desc(*state, TABLE, 0, TABLE, 16, VIRTQ_DESC_INDIRECT, 0);
	offer(*state, 0);
	assert_breaks(*state);
}

static void test_indirect_length(void **state)
{
	put_desc(*state, DESC, 0, TABLE, 17, VIRTQ_DESC_INDIRECT, 0);
	offer(*state, 0);
	assert_breaks(*state);
}

static void test_indirect_not_negotiated(void **state)
{
	struct fixture *f = *state;

	f->q.indirect = false;
	put_desc(f, DESC, 0, TABLE, 16, VIRTQ_DESC_INDIRECT, 0);
	offer(f, 0);
	assert_breaks(f);
}

static void test_next_out_of_table(void **state)
{
	put_desc(*state, DESC, 0, DATA, 1, VIRTQ_DESC_NEXT, SIZE);
	offer(*state, 0);
	assert_breaks(*state);
}

static void test_head_out_of_table(void **state)
{
	offer(*state, 0xffff);
	assert_breaks(*state);
}

static void test_address_outside_ram(void **state)
{
	put_desc(*state, DESC, 0, 0xfff0, 17, 0, 0);
	offer(*state, 0);
	assert_breaks(*state);
}

static void test_address_wraps(void **state)
{
	put_desc(*state, DESC, 0, ~0ull - 4, 16, VIRTQ_DESC_WRITE, 0);
	offer(*state, 0);
	assert_breaks(*state);
}

static void test_write_before_read(void **state)
{
	put_desc(*state, DESC, 0, DATA, 1, VIRTQ_DESC_WRITE | VIRTQ_DESC_NEXT, 1);
	put_desc(*state, DESC, 1, DATA, 1, 0, 0);
	offer(*state, 0);
	assert_breaks(*state);
}

static void test_index_runs_away(void **state)
{
	*word(*state, AVAIL + 2) = SIZE + 1;
	assert_breaks(*state);
}

static void test_enable_refuses(void **state)
{
	static const struct {
		u16 size;
		u64 desc, avail, used;
	} bad[] = {
		{0, DESC, AVAIL, USED},	    {3, DESC, AVAIL, USED},
		{512, DESC, AVAIL, USED},   {8, DESC + 8, AVAIL, USED},
		{8, DESC, AVAIL + 1, USED}, {8, DESC, AVAIL, USED + 2},
		{8, 0x10000, AVAIL, USED},  {8, 0xfff0, AVAIL, USED},
		{8, DESC, ~0ull - 1, USED}, {8, DESC, AVAIL, 0x100000000ull},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		virtq_reset(&f->q, &f->ram, 256);
		f->q.size = bad[i].size;
		f->q.desc = bad[i].desc;
		f->q.avail = bad[i].avail;
		f->q.used = bad[i].used;
		assert_int_equal(virtq_enable(&f->q), -EINVAL);
		assert_false(f->q.enabled);
	}
}

static void test_signal_flag(void **state)
{
	struct fixture *f = *state;

	assert_false(virtq_wants_signal(&f->q));
	virtq_push(&f->q, 0, 0);
	assert_true(virtq_wants_signal(&f->q));
	assert_false(virtq_wants_signal(&f->q));
	*word(f, AVAIL) = 1; /* no interrupts, please */
	virtq_push(&f->q, 0, 0);
	assert_false(virtq_wants_signal(&f->q));
}

static void test_signal_event(void **state)
{
	struct fixture *f = *state;
	u16 *event = word(f, AVAIL + 4 + 2 * SIZE);

	f->q.event_idx = true;
	*event = 2; /* after the third */
	for (int i = 0; i < 2; i++) {
		virtq_push(&f->q, 0, 0);
		assert_false(virtq_wants_signal(&f->q));
	}
	virtq_push(&f->q, 0, 0);
	assert_true(virtq_wants_signal(&f->q));
	*event = 5;
	for (int i = 0; i < 5; i++)
		virtq_push(&f->q, 0, 0);
	assert_true(virtq_wants_signal(&f->q)); /* passed on the way */
}

/* An empty queue asks to be notified of the next buffer. */
static void test_notify_event(void **state)
{
	struct fixture *f = *state;
	u16 *event = word(f, USED + 4 + 8 * SIZE);

	f->q.event_idx = true;
	put_desc(f, DESC, 0, DATA, 1, 0, 0);
	*event = 0xaaaa;
	assert_int_equal(virtq_pop(&f->q, &f->buf), 0);
	assert_int_equal(*event, 0);
	offer(f, 0);
	assert_int_equal(virtq_pop(&f->q, &f->buf), 1);
	assert_int_equal(virtq_pop(&f->q, &f->buf), 0);
	assert_int_equal(*event, 1);
}

static void test_indices_wrap(void **state)
{
	struct fixture *f = *state;

	put_desc(f, DESC, 0, DATA, 1, 0, 0);
	for (unsigned i = 0; i < 70000; i++) {
		offer(f, 0);
		assert_int_equal(virtq_pop(&f->q, &f->buf), 1);
		virtq_push(&f->q, f->buf.head, 0);
		assert_true(virtq_wants_signal(&f->q));
	}
	assert_int_equal(*word(f, USED + 2), 70000 & 0xffff);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_chain),
		TEST(test_unpop),
		TEST(test_indirect),
		TEST(test_loop),
		TEST(test_indirect_loop),
		TEST(test_indirect_in_indirect),
		TEST(test_indirect_length),
		TEST(test_indirect_not_negotiated),
		TEST(test_next_out_of_table),
		TEST(test_head_out_of_table),
		TEST(test_address_outside_ram),
		TEST(test_address_wraps),
		TEST(test_write_before_read),
		TEST(test_index_runs_away),
		TEST(test_enable_refuses),
		TEST(test_signal_flag),
		TEST(test_signal_event),
		TEST(test_notify_event),
		TEST(test_indices_wrap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory slots and watched pages. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "mem/mem.h"

#define RAM_SIZE (64 * PAGE_SIZE)

struct fixture {
	struct mem *mem;
	u8 *ram;
	unsigned watched;
};

static void count_watch(void *arg)
{
	((struct fixture *)arg)->watched++;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	f->mem = mem_create(count_watch, f);
	*state = f;
	return f->mem ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	mem_destroy(f->mem);
	munmap(f->ram, RAM_SIZE);
	free(f);
	return 0;
}

static int set(struct fixture *f, u32 id, u64 gpa, u64 size, u8 *hva, u32 flags)
{
	struct kvm_userspace_memory_region r = {
		.slot = id,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)hva,
	};
	bool changed;

	return mem_set_slot(f->mem, &r, &changed);
}

static void arguments_are_checked(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(set(f, 0, 0, 0, f->ram, 0), -EINVAL);
	assert_int_equal(set(f, 0, 1, PAGE_SIZE, f->ram, 0), -EINVAL);
	assert_int_equal(set(f, 0, 0, 100, f->ram, 0), -EINVAL);
	assert_int_equal(set(f, 0, 0, PAGE_SIZE, f->ram + 8, 0), -EINVAL);
	assert_int_equal(set(f, 0, 0, PAGE_SIZE, f->ram, 1u << 5), -EINVAL);
	assert_int_equal(set(f, 1u << 16, 0, PAGE_SIZE, f->ram, 0), -EINVAL);
	assert_int_equal(set(f, 32764, 0, PAGE_SIZE, f->ram, 0), -EINVAL);
	assert_int_equal(set(f, 0, 0, PAGE_SIZE, (u8 *)BIT(62), 0), -EINVAL);
	assert_int_equal(set(f, 0, PAGE_MASK, 2 * PAGE_SIZE, f->ram, 0), -EINVAL);
}

static void slots_do_not_overlap(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(set(f, 0, 0x10000, 4 * PAGE_SIZE, f->ram, 0), 0);
	assert_int_equal(set(f, 1, 0x13000, PAGE_SIZE, f->ram, 0), -EEXIST);
	assert_int_equal(set(f, 1, 0xf000, 2 * PAGE_SIZE, f->ram, 0), -EEXIST);
	assert_int_equal(set(f, 1, 0x14000, PAGE_SIZE, f->ram, 0), 0);
	assert_int_equal(set(f, 0, 0x12000, 4 * PAGE_SIZE, f->ram, 0), -EEXIST);
	assert_int_equal(set(f, 0, 0x20000, 4 * PAGE_SIZE, f->ram, 0), 0);
	assert_null(mem_find(f->mem, 0x10000));
	assert_int_equal(mem_find(f->mem, 0x23fff)->id, 0);
	assert_null(mem_find(f->mem, 0x24000));
	assert_int_equal(set(f, 0, 0x20000, 5 * PAGE_SIZE, f->ram, 0), -EINVAL);
	assert_int_equal(set(f, 0, 0x20000, 4 * PAGE_SIZE, f->ram, KVM_MEM_READONLY), -EINVAL);
	assert_int_equal(set(f, 0, 0, 0, NULL, 0), 0);
	assert_null(mem_find(f->mem, 0x20000));
}

static void accesses_cross_slots(void **state)
{
	struct fixture *f = *state;
	u64 v = 0x1122334455667788, w = 0;

	set(f, 3, 0x2000, PAGE_SIZE, f->ram + 8 * PAGE_SIZE, 0);
	set(f, 4, 0x1000, PAGE_SIZE, f->ram, 0);
	assert_int_equal(mem_write(f->mem, 0x1ffc, &v, 8), 0);
	assert_int_equal(mem_read(f->mem, 0x1ffc, &w, 8), 0);
	assert_true(v == w);
	assert_int_equal(*(u32 *)(f->ram + 8 * PAGE_SIZE), 0x11223344);
	assert_int_equal(mem_write(f->mem, 0x2ffc, &v, 8), -EFAULT);
	assert_int_equal(mem_read(f->mem, 0x0, &v, 1), -EFAULT);
}

static void read_only_slots_refuse_stores(void **state)
{
	struct fixture *f = *state;
	u32 v = 1;

	set(f, 0, 0, PAGE_SIZE, f->ram, KVM_MEM_READONLY);
	assert_int_equal(mem_read(f->mem, 0, &v, 4), 0);
	assert_int_equal(mem_write(f->mem, 0, &v, 4), -EFAULT);
	assert_int_equal(mem_cmpxchg(f->mem, 0, 4, 0, 1), -EFAULT);
}

static void dirty_pages_are_logged_once(void **state)
{
	struct fixture *f = *state;
	u64 bitmap = 0, clear = BIT(2);
	u8 v = 1;

	set(f, 0, 0, RAM_SIZE, f->ram, KVM_MEM_LOG_DIRTY_PAGES);
	assert_int_equal(mem_dirty_get(f->mem, 1, &bitmap, true), -ENOENT);
	mem_write(f->mem, 2 * PAGE_SIZE, &v, 1);
	mem_write(f->mem, 63 * PAGE_SIZE + 5, &v, 1);
	assert_int_equal(mem_dirty_get(f->mem, 0, &bitmap, false), 0);
	assert_true(bitmap == (BIT(2) | BIT(63)));
	assert_int_equal(mem_dirty_clear(f->mem, 0, 0, 64, &clear), 0);
	assert_int_equal(mem_dirty_get(f->mem, 0, &bitmap, true), 0);
	assert_true(bitmap == BIT(63));
	assert_int_equal(f->watched, 2);
	mem_dirty_get(f->mem, 0, &bitmap, true);
	assert_true(bitmap == 0);
	mem_write(f->mem, 63 * PAGE_SIZE, &v, 1);
	mem_dirty_get(f->mem, 0, &bitmap, true);
	assert_true(bitmap == BIT(63));
	assert_int_equal(mem_dirty_clear(f->mem, 0, 1, 63, &clear), -EINVAL);
}

static void stores_to_decoded_bytes_raise_the_generation(void **state)
{
	struct fixture *f = *state;
	struct mem_code *code;
	u8 v = 0x90;
	u32 gen;

	set(f, 0, 0, RAM_SIZE, f->ram, 0);
	code = mem_code_watch(f->mem, PAGE_SIZE + 0x100, 0x50);
	gen = code->gen;
	assert_int_equal(f->watched, 1);
	mem_write(f->mem, PAGE_SIZE + 0x180, &v, 1);
	mem_write(f->mem, PAGE_SIZE + 0xff, &v, 1);
	assert_int_equal(code->gen, gen);
	mem_write(f->mem, PAGE_SIZE + 0x14f, &v, 1);
	assert_int_equal(code->gen, gen + 1);
	mem_write(f->mem, PAGE_SIZE + 0x14f, &v, 1);
	assert_int_equal(code->gen, gen + 1);
	assert_null(mem_code_watch(f->mem, RAM_SIZE, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(arguments_are_checked, setup, teardown),
		cmocka_unit_test_setup_teardown(slots_do_not_overlap, setup, teardown),
		cmocka_unit_test_setup_teardown(accesses_cross_slots, setup, teardown),
		cmocka_unit_test_setup_teardown(read_only_slots_refuse_stores, setup, teardown),
		cmocka_unit_test_setup_teardown(dirty_pages_are_logged_once, setup, teardown),
		cmocka_unit_test_setup_teardown(stores_to_decoded_bytes_raise_the_generation, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

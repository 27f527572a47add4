/* SPDX-License-Identifier: BSD-2-Clause */
#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "cli/run.h"
#include "vmm/boot.h"

#define RAM (32u << 20)

struct image {
	Elf64_Ehdr eh;
	Elf64_Phdr ph[2];
	struct {
		Elf64_Nhdr nh;
		char name[4];
		u32 entry;
	} note;
	u8 text[64];
};

static struct machine machine;

static int setup(void **state)
{
	machine.ram.host = calloc(1, RAM);
	machine.ram.size = machine.ram.low_size = RAM;
	return 0;
}

static int teardown(void **state)
{
	free(machine.ram.host);
	return 0;
}

static struct image make_image(void)
{
	struct image im = {0};

	memcpy(im.eh.e_ident, ELFMAG, SELFMAG);
	im.eh.e_ident[EI_CLASS] = ELFCLASS64;
	im.eh.e_ident[EI_DATA] = ELFDATA2LSB;
	im.eh.e_machine = EM_X86_64;
	im.eh.e_type = ET_EXEC;
	im.eh.e_entry = 0x1000000;
	im.eh.e_phoff = offsetof(struct image, ph);
	im.eh.e_phentsize = sizeof(Elf64_Phdr);
	im.eh.e_phnum = 2;
	im.ph[0].p_type = PT_LOAD;
	im.ph[0].p_offset = offsetof(struct image, text);
	im.ph[0].p_paddr = 0x1000000;
	im.ph[0].p_filesz = sizeof(im.text);
	im.ph[0].p_memsz = 0x2000;
	im.ph[1].p_type = PT_NOTE;
	im.ph[1].p_offset = offsetof(struct image, note);
	im.ph[1].p_filesz = sizeof(im.note);
	im.note.nh = (Elf64_Nhdr){.n_namesz = 4, .n_descsz = 4, .n_type = 18};
	memcpy(im.note.name, "Xen", 4);
	im.note.entry = 0x1000040;
	memset(im.text, 0x90, sizeof(im.text));
	return im;
}

static void test_elf_loads(void **state)
{
	struct image im = make_image();
	struct boot_elf elf;

	assert_true(boot_is_elf((u8 *)&im, sizeof(im)));
	assert_int_equal(boot_load_elf(&machine, (u8 *)&im, sizeof(im), &elf), 0);
	assert_int_equal(elf.entry, 0x1000000);
	assert_int_equal(elf.pvh_entry, 0x1000040);
	assert_int_equal(elf.end, 0x1002000);
	assert_int_equal(machine.ram.host[0x1000000], 0x90);
}

static void test_elf_refuses_corruption(void **state)
{
	struct image good = make_image(), im;
	struct boot_elf elf;

	im = good;
	im.eh.e_phoff = ~0ull;
	assert_int_equal(boot_load_elf(&machine, (u8 *)&im, sizeof(im), &elf), -ENOEXEC);
	im = good;
	im.eh.e_phnum = 0xffff;
	assert_int_equal(boot_load_elf(&machine, (u8 *)&im, sizeof(im), &elf), -ENOEXEC);
	im = good;
	im.ph[0].p_offset = ~0ull - 10;
	assert_int_equal(boot_load_elf(&machine, (u8 *)&im, sizeof(im), &elf), -ENOEXEC);
	im = good;
	im.ph[0].p_filesz = 0x3000;
	assert_int_equal(boot_load_elf(&machine, (u8 *)&im, sizeof(im), &elf), -ENOEXEC);
	im = good;
	im.ph[0].p_paddr = 0x1000;
	assert_int_equal(boot_load_elf(&machine, (u8 *)&im, sizeof(im), &elf), -ENOEXEC);
	im = good;
	im.ph[0].p_paddr = ~0ull - 0x1000;
	assert_int_equal(boot_load_elf(&machine, (u8 *)&im, sizeof(im), &elf), -E2BIG);
	im = good;
	im.ph[0].p_memsz = 1ull << 40;
	assert_int_equal(boot_load_elf(&machine, (u8 *)&im, sizeof(im), &elf), -E2BIG);
	im = good;
	im.note.nh.n_descsz = ~0u;
	assert_int_equal(boot_load_elf(&machine, (u8 *)&im, sizeof(im), &elf), 0);
	assert_int_equal(elf.pvh_entry, 0);
	im = good;
	im.note.nh.n_namesz = ~0u;
	assert_int_equal(boot_load_elf(&machine, (u8 *)&im, sizeof(im), &elf), 0);
	assert_int_equal(elf.pvh_entry, 0);
}

static void test_memory_map(void **state)
{
	struct machine m = {.ram.size = 5ull << 30};
	struct boot_range map[BOOT_MAX_RANGES];
	u64 usable = 0, end = 0;
	unsigned n;

	m.ram.low_size = RAM_LOW_MAX;
	m.ram.high_size = m.ram.size - RAM_LOW_MAX;
	n = boot_memory_map(&m, map);
	for (unsigned i = 0; i < n; i++) {
		assert_true(map[i].start >= end);
		end = map[i].start + map[i].len;
		if (map[i].type == 1)
			usable += map[i].len;
	}
	assert_int_equal(end, RAM_HIGH_START + m.ram.high_size);
	assert_int_equal(usable, m.ram.size - (BOOT_HIGH_START - BOOT_LOW_END));
}

static void test_ram_ptr(void **state)
{
	struct ram ram = {.host = (u8 *)0x10000, .low_size = 0x2000, .high_size = 0x1000};

	assert_ptr_equal(ram_ptr(&ram, 0x1fff, 1), (u8 *)0x11fff);
	assert_null(ram_ptr(&ram, 0x1fff, 2));
	assert_null(ram_ptr(&ram, 0x2000, 0));
	assert_null(ram_ptr(&ram, 0x1000, ~0ull));
	assert_ptr_equal(ram_ptr(&ram, RAM_HIGH_START, 0x1000), (u8 *)0x12000);
	assert_null(ram_ptr(&ram, RAM_HIGH_START + 1, 0x1000));
	assert_null(ram_ptr(&ram, ~0ull, 1));
}

static void test_parse_size(void **state)
{
	u64 size;

	assert_int_equal(run_parse_size("512", &size), 0);
	assert_int_equal(size, 512ull << 20);
	assert_int_equal(run_parse_size("2G", &size), 0);
	assert_int_equal(size, 2ull << 30);
	assert_int_equal(run_parse_size("64k", &size), 0);
	assert_int_equal(size, 64ull << 10);
	assert_int_equal(run_parse_size("", &size), -EINVAL);
	assert_int_equal(run_parse_size("-1", &size), -EINVAL);
	assert_int_equal(run_parse_size("1GB", &size), -EINVAL);
	assert_int_equal(run_parse_size("99999999999999999999", &size), -EINVAL);
	assert_int_equal(run_parse_size("99999999T", &size), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_elf_loads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_elf_refuses_corruption, setup, teardown),
		cmocka_unit_test(test_memory_map),
		cmocka_unit_test(test_ram_ptr),
		cmocka_unit_test(test_parse_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

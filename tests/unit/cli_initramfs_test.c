/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cpio.h"
#include "cli/initramfs.h"
#include "cli/modules.h"
#include "cli/program.h"

static unsigned hex(const u8 *p)
{
	char text[9];

	memcpy(text, p, 8);
	text[8] = 0;
	return strtoul(text, NULL, 16);
}

/* Walks the archive; the position of the entry's header, or -1. *data and *len are its content. */
static long find(const struct cpio *cpio, const char *name, const u8 **data, size_t *len)
{
	for (size_t at = 0; at + 110 < cpio->len;) {
		const u8 *h = cpio->data + at;
		size_t size = hex(h + 54), name_len = hex(h + 94);
		size_t content = ALIGN_UP(at + 110 + name_len, 4);

		assert_memory_equal(h, "070701", 6);
		if (!strcmp((const char *)h + 110, name)) {
			*data = cpio->data + content;
			*len = size;
			return at;
		}
		at = ALIGN_UP(content + size, 4);
	}
	return -1;
}

static void archive_has_files_and_their_folders(void **state)
{
	struct cpio cpio;
	const u8 *data;
	size_t len;
	long etc, file;

	cpio_init(&cpio);
	cpio_add_data(&cpio, "/etc/a/b", 0644, "hello", 5);
	cpio_add_data(&cpio, "/etc/a/c", 0644, "", 0);
	cpio_add_link(&cpio, "/bin/sh", "busybox");
	assert_int_equal(cpio_finish(&cpio), 0);
	etc = find(&cpio, "etc", &data, &len);
	file = find(&cpio, "etc/a/b", &data, &len);
	assert_true(etc >= 0 && file > etc);
	assert_int_equal(len, 5);
	assert_memory_equal(data, "hello", 5);
	assert_true(find(&cpio, "bin/sh", &data, &len) >= 0);
	assert_memory_equal(data, "busybox", 7);
	assert_true(find(&cpio, "TRAILER!!!", &data, &len) >= 0);
	cpio_free(&cpio);
}

static void archive_keeps_the_first_failure(void **state)
{
	struct cpio cpio;

	cpio_init(&cpio);
	cpio_add_file(&cpio, "/x", 0644, "/nonexistent");
	cpio_add_data(&cpio, "/y", 0644, "y", 1);
	assert_int_equal(cpio_finish(&cpio), -ENOENT);
	cpio_free(&cpio);
}

static void program_comes_with_its_libraries(void **state)
{
	struct cpio cpio;
	char missing[256];
	const u8 *data;
	size_t len;

	cpio_init(&cpio);
	assert_int_equal(program_add(&cpio, "/bin/test", "/proc/self/exe", missing), 0);
	assert_int_equal(program_add(&cpio, "/bin/x", "/etc/passwd", missing), -ENOEXEC);
	assert_int_equal(cpio_finish(&cpio), 0);
	assert_true(find(&cpio, "lib/libc.so.6", &data, &len) >= 0);
	assert_true(find(&cpio, "lib64/ld-linux-x86-64.so.2", &data, &len) >= 0);
	assert_true(find(&cpio, "bin/test", &data, &len) >= 0);
	assert_memory_equal(data, ELFMAG, SELFMAG);
	cpio_free(&cpio);
}

/* A module file with nothing but section names and .modinfo. */
static void write_module(const char *dir, const char *name, const char *depends)
{
	struct {
		Elf64_Ehdr ehdr;
		Elf64_Shdr shdr[3];
		char names[32];
		char info[128];
	} m = {.names = "\0.modinfo\0.shstrtab"};
	char path[256];
	FILE *file;
	int n;

	memcpy(m.ehdr.e_ident, ELFMAG, SELFMAG);
	m.ehdr.e_shoff = offsetof(typeof(m), shdr);
	m.ehdr.e_shnum = 3;
	m.ehdr.e_shstrndx = 2;
	n = snprintf(m.info, sizeof(m.info), "license=X%cdepends=%s", 0, depends);
	m.shdr[1] = (Elf64_Shdr){
		.sh_name = 1, .sh_offset = offsetof(typeof(m), info), .sh_size = n + 1};
	m.shdr[2] = (Elf64_Shdr){
		.sh_name = 10, .sh_offset = offsetof(typeof(m), names), .sh_size = sizeof(m.names)};
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(&m, sizeof(m), 1, file), 1);
	fclose(file);
}

static void write_text(const char *dir, const char *name, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void modules_come_after_what_they_need(void **state)
{
	char dir[] = "/tmp/nestkvm-test-XXXXXX", command[64];
	struct module_list *list;
	struct cpio cpio;
	const u8 *data;
	size_t len;

	assert_non_null(mkdtemp(dir));
	write_module(dir, "a-one.ko", "b,c_two");
	write_module(dir, "b.ko", "c_two");
	write_module(dir, "c_two.ko", "");
	write_text(dir, "bad.ko", "not a module");
	write_text(dir, "modules.order", "a-one.ko\nb.ko\nc_two.ko\nbad.ko\n");
	write_text(dir, "modules.builtin", "kernel/built-in.ko\n");
	cpio_init(&cpio);
	assert_int_equal(modules_open(dir, &list), 0);
	assert_int_equal(modules_add(list, &cpio, "intel:", "a_one", "x=1"), 0);
	assert_int_equal(modules_add(list, &cpio, "", "b", ""), 0);
	assert_int_equal(modules_add(list, &cpio, "", "built_in", ""), 0);
	assert_int_equal(modules_add(list, &cpio, "", "none", ""), -ENOENT);
	assert_int_equal(modules_add(list, &cpio, "", "bad", ""), -EBADMSG);
	modules_finish(list, &cpio);
	modules_close(list);
	assert_int_equal(cpio_finish(&cpio), 0);
	assert_true(find(&cpio, "etc/nestkvm/modules", &data, &len) >= 0);
	assert_int_equal(len, strlen("intel:/lib/modules/c_two.ko\nintel:/lib/modules/b.ko\n"
				     "intel:/lib/modules/a-one.ko x=1\n"));
	assert_memory_equal(data, "intel:/lib/modules/c_two.ko\nintel:/lib/modules/b.ko\n", 52);
	cpio_free(&cpio);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
}

static void command_line_names_level_and_shell(void **state)
{
	struct initramfs_config config = {.depth = 2, .shell_at = 2};
	char text[512], small[20];

	config.level[2].shell = true;
	config.level[2].params = "foo=1";
	initramfs_cmdline(&config, 1, text, sizeof(text));
	assert_non_null(strstr(text, "nestkvm.level=1"));
	assert_non_null(strstr(text, "nestkvm.shellat=2"));
	initramfs_cmdline(&config, 2, text, sizeof(text));
	assert_non_null(strstr(text, " nestkvm.shell foo=1"));
	initramfs_cmdline(&config, 2, small, sizeof(small));
	assert_int_equal(strlen(small), sizeof(small) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(archive_has_files_and_their_folders),
		cmocka_unit_test(archive_keeps_the_first_failure),
		cmocka_unit_test(program_comes_with_its_libraries),
		cmocka_unit_test(modules_come_after_what_they_need),
		cmocka_unit_test(command_line_names_level_and_shell),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

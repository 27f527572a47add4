/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The archive is not compressed: unpacking would be work for an emulated CPU, while a copy in
 * memory is nearly free. For the same reason the next level's kernel is unpacked here and not
 * there.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/cpio.h"
#include "cli/initramfs.h"
#include "cli/modules.h"
#include "cli/program.h"
#include "vmm/msg.h"

/* A level holds the next one's memory and, twice, an initramfs with an unpacked kernel. */
#define MORE_PER_LEVEL_MIB 512
#define FIRST_LEVEL_MIB	   1024

#define NEXT_KERNEL    "/boot/vmlinux"
#define NEXT_INITRAMFS "/boot/initramfs"

extern const u8 initramfs_init_start[], initramfs_init_end[];

/* Appends to a text that is cut at `size`. */
static void append(char *text, size_t size, const char *format, ...)
{
	size_t len = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + len, size - len, format, args);
	va_end(args);
}

void initramfs_cmdline(const struct initramfs_config *config, unsigned level, char *text,
		       size_t size)
{
	const struct level_config *l = &config->level[level];

	/* A kernel in trouble ends its machine at once, so that whoever waits for it learns of it.
	 */
	snprintf(text, size, "console=ttyS0 panic=-1 oops=panic nestkvm.level=%u", level);
	append(text, size, config->verbose ? " ignore_loglevel" : " quiet");
	if (l->shell)
		append(text, size, " nestkvm.shell");
	else if (config->shell_at > level)
		append(text, size, " nestkvm.shellat=%u", config->shell_at);
	if (level == 1 && config->run)
		append(text, size, " nestkvm.run=%s", config->run);
	if (l->params)
		append(text, size, " %s", l->params);
}

u64 initramfs_level_mem(unsigned depth, unsigned level, u64 top_mib)
{
	u64 mib = top_mib + MORE_PER_LEVEL_MIB * (depth - level);

	return level == 1 ? MAX(mib, (u64)FIRST_LEVEL_MIB) : mib;
}

static int add_busybox(struct cpio *cpio)
{
	static const char *const places[] = {"/bin/busybox", "/usr/bin/busybox"};
	char missing[256];

	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (access(places[i], R_OK) == 0 &&
		    program_add(cpio, "/bin/busybox", places[i], missing) == 0) {
			cpio_add_link(cpio, "/bin/sh", "busybox");
			return 0;
		}
	return msg_fail(-ENOENT, "there is no busybox for the guests: install busybox-static");
}

static int add_self(struct cpio *cpio)
{
	char missing[256] = "";
	int ret = program_add(cpio, "/bin/nestkvm", "/proc/self/exe", missing);

	if (ret == -ELIBACC)
		return msg_fail(ret, "the library %s, which the guests need, is not found",
				missing);
	if (ret < 0)
		return msg_fail(ret, "cannot copy this program for the guests: %s", strerror(-ret));
	return 0;
}

/* One module for a level; a kernel of the user's may lack what is not needed for the next level. */
static int add_module(struct module_list *list, struct cpio *cpio, const char *condition,
		      const char *name, const char *params)
{
	int ret = modules_add(list, cpio, condition, name, params ? params : "");

	if (ret == -ENOENT)
		return msg_fail(ret, "the kernel's modules lack %s", name);
	if (ret < 0)
		return msg_fail(ret, "cannot read the kernel module %s: %s", name, strerror(-ret));
	return 0;
}

static int add_modules(struct cpio *cpio, const struct initramfs_config *config, unsigned level)
{
	const struct kernel *kernel = config->level[level].kernel;
	const char *const *more = level == 1 ? config->modules : NULL;
	struct module_list *list;
	int ret;

	if (level >= config->depth && !more)
		return 0;
	if (!kernel->modules[0])
		return msg_fail(-ENOENT,
				"no modules for the kernel %s; give them with --modules DIR",
				kernel->image);
	ret = modules_open(kernel->modules, &list);
	if (ret < 0)
		return msg_fail(ret, "cannot read the modules in %s: %s", kernel->modules,
				strerror(-ret));
	if (level < config->depth) {
		ret = add_module(list, cpio, "", "kvm", NULL);
		if (!ret)
			ret = add_module(list, cpio, "intel:", "kvm-intel", config->kvm_params);
		if (!ret)
			ret = add_module(list, cpio, "amd:", "kvm-amd", config->kvm_params);
	}
	for (; more && *more && !ret; more++)
		ret = add_module(list, cpio, "", *more, NULL);
	modules_finish(list, cpio);
	modules_close(list);
	return ret;
}

/* The command that starts the next level, an argument a line. */
static void add_next_command(struct cpio *cpio, const struct initramfs_config *config,
			     unsigned next)
{
	const struct level_config *l = &config->level[next];
	char text[4096], params[2048];

	initramfs_cmdline(config, next, params, sizeof(params));
	*text = 0;
	append(text, sizeof(text), "/bin/nestkvm\nrun\n--accel\n%s\n", l->accel);
	append(text, sizeof(text), "-k\n" NEXT_KERNEL "\n-i\n" NEXT_INITRAMFS "\n");
	append(text, sizeof(text), "-c\n%u\n-m\n%llu\n--cpu\n%s\n--name\nL%u\n", l->cpus,
	       (unsigned long long)l->mem_mib, l->cpu, next);
	append(text, sizeof(text), "-p\n%s\n", params);
	cpio_add_data(cpio, "/etc/nestkvm/next", 0644, text, strlen(text));
}

static int build(struct cpio *cpio, const struct initramfs_config *config, unsigned level);

static int add_next(struct cpio *cpio, const struct initramfs_config *config, unsigned next)
{
	struct cpio inner;
	size_t len;
	u8 *data;
	int ret = kernel_read(config->level[next].kernel->image, &data, &len);

	if (ret < 0)
		return msg_fail(ret, "cannot read the kernel %s: %s",
				config->level[next].kernel->image, strerror(-ret));
	cpio_add_data(cpio, NEXT_KERNEL, 0644, data, len);
	free(data);
	cpio_init(&inner);
	ret = build(&inner, config, next);
	if (!ret)
		ret = cpio_finish(&inner);
	if (!ret)
		cpio_add_data(cpio, NEXT_INITRAMFS, 0644, inner.data, inner.len);
	cpio_free(&inner);
	add_next_command(cpio, config, next);
	return ret;
}

/* "SOURCE:/PATH", or a file that keeps its path. */
static int add_extra_file(struct cpio *cpio, const char *spec)
{
	const char *colon = strrchr(spec, ':');
	char from[4096], missing[256];
	int ret;

	snprintf(from, sizeof(from), "%.*s", colon ? (int)(colon - spec) : 4095, spec);
	ret = program_add(cpio, colon ? colon + 1 : spec, from, missing);
	if (ret == -ENOEXEC) {
		cpio_add_file(cpio, colon ? colon + 1 : spec, 0755, from);
		ret = cpio->error;
	}
	if (ret < 0)
		return msg_fail(ret, "cannot add %s to the initramfs: %s", from, strerror(-ret));
	return 0;
}

static int build(struct cpio *cpio, const struct initramfs_config *config, unsigned level)
{
	const char *const *files = level == 1 ? config->files : NULL;
	int ret = 0;

	cpio_add_data(cpio, "/init", 0755, initramfs_init_start,
		      initramfs_init_end - initramfs_init_start);
	ret = add_busybox(cpio);
	if (!ret)
		ret = add_modules(cpio, config, level);
	if (!ret && level < config->depth) {
		ret = add_self(cpio);
		if (!ret)
			ret = add_next(cpio, config, level + 1);
	}
	for (; files && *files && !ret; files++)
		ret = add_extra_file(cpio, *files);
	return ret;
}

int initramfs_write(const struct initramfs_config *config, unsigned level, const char *file)
{
	struct cpio cpio;
	int ret;

	cpio_init(&cpio);
	ret = build(&cpio, config, level);
	if (!ret) {
		ret = cpio_write(&cpio, file);
		if (ret < 0)
			msg_fail(ret, "cannot write %s: %s", file, strerror(-ret));
	}
	cpio_free(&cpio);
	return ret;
}

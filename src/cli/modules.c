/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The dependencies come from each module's .modinfo section ("depends=a,b"), not from modules.dep:
 * that file is made by depmod when a package is installed, and a package that was only unpacked has
 * none.
 */
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/modules.h"
#include "vmm/decompress.h"

#define MAX_MODULE_SIZE (64u << 20)
#define MAX_DEPTH	16

struct module_list {
	char dir[4096];
	char *order;   /* text of modules.order */
	char *builtin; /* text of modules.builtin, or NULL */
	char load[16384];
	size_t load_len;
};

static int read_text(const char *dir, const char *name, char **text)
{
	char path[4200];
	size_t len;
	u8 *data;
	int ret;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	ret = cpio_read_file(path, &data, &len);
	if (ret < 0)
		return ret;
	data[len] = 0; /* cpio_read_file leaves room for it */
	*text = (char *)data;
	return 0;
}

int modules_open(const char *dir, struct module_list **out)
{
	struct module_list *list = calloc(1, sizeof(*list));
	int ret;

	if (!list)
		return -ENOMEM;
	snprintf(list->dir, sizeof(list->dir), "%s", dir);
	ret = read_text(dir, "modules.order", &list->order);
	if (ret == 0 && read_text(dir, "modules.builtin", &list->builtin) < 0)
		list->builtin = NULL;
	if (ret < 0)
		modules_close(list);
	else
		*out = list;
	return ret;
}

void modules_close(struct module_list *list)
{
	if (!list)
		return;
	free(list->order);
	free(list->builtin);
	free(list);
}

/* Whether a path's file name, without ".ko", is `name`; "-" and "_" are the same. */
static bool name_matches(const char *path, size_t len, const char *name)
{
	const char *base = path;
	size_t n = strlen(name);

	for (size_t i = 0; i < len; i++)
		if (path[i] == '/')
			base = path + i + 1;
	if ((size_t)(path + len - base) < n + 3 || strncmp(base + n, ".ko", 3))
		return false;
	for (size_t i = 0; i < n; i++)
		if (base[i] != name[i] && !(strchr("-_", base[i]) && strchr("-_", name[i])))
			return false;
	return true;
}

/* The path of a module in one of the two texts, a line each; *len is its length. */
static const char *find_line(const char *text, const char *name, size_t *len)
{
	for (; text && *text; text += *len + (text[*len] == '\n')) {
		*len = strcspn(text, "\n");
		if (name_matches(text, *len, name))
			return text;
	}
	return NULL;
}

/* A package's modules are plain or packed, whatever modules.order says. */
static int read_module(const struct module_list *list, const char *path, int len, u8 **data,
		       size_t *size)
{
	static const char *const suffix[] = {"", ".xz", ".zst", ".gz"};
	char file[8400];
	size_t packed_len;
	u8 *packed;
	int ret = -ENOENT;

	for (size_t i = 0; i < ARRAY_SIZE(suffix) && ret == -ENOENT; i++) {
		snprintf(file, sizeof(file), "%s/%.*s%s", list->dir, len, path, suffix[i]);
		ret = cpio_read_file(file, &packed, &packed_len);
	}
	if (ret < 0)
		return ret;
	*data = packed;
	*size = packed_len;
	if (packed_len > SELFMAG && !memcmp(packed, ELFMAG, SELFMAG))
		return 0;
	ret = decompress(packed, packed_len, MAX_MODULE_SIZE, data, size);
	free(packed);
	return ret < 0 ? -EBADMSG : 0;
}

/* The .modinfo section: strings "key=value", each ended by a zero byte. */
static const char *find_modinfo(const u8 *data, size_t len, size_t *info_len)
{
	const Elf64_Ehdr *ehdr = (const void *)data;
	const Elf64_Shdr *sections, *names;

	if (len < sizeof(*ehdr) || memcmp(data, ELFMAG, SELFMAG) || ehdr->e_shoff > len ||
	    (len - ehdr->e_shoff) / sizeof(*sections) < ehdr->e_shnum ||
	    ehdr->e_shstrndx >= ehdr->e_shnum)
		return NULL;
	sections = (const void *)(data + ehdr->e_shoff);
	names = &sections[ehdr->e_shstrndx];
	for (unsigned i = 0; i < ehdr->e_shnum; i++) {
		const Elf64_Shdr *s = &sections[i];
		u64 name = names->sh_offset + s->sh_name;

		if (name >= len || s->sh_offset > len || s->sh_size > len - s->sh_offset)
			continue;
		if (strncmp((const char *)data + name, ".modinfo", len - name))
			continue;
		*info_len = s->sh_size;
		return (const char *)data + s->sh_offset;
	}
	return NULL;
}

/* Copies the value of "depends=", "" when there is none. */
static int module_depends(const u8 *data, size_t len, char *depends, size_t size)
{
	size_t info_len = 0;
	const char *info = find_modinfo(data, len, &info_len), *end = info + info_len;

	if (!info)
		return -EBADMSG;
	*depends = 0;
	for (const char *p = info; p < end; p += strnlen(p, end - p) + 1)
		if (!strncmp(p, "depends=", MIN(8, end - p)) && end - p > 8)
			snprintf(depends, size, "%.*s", (int)(end - p - 8), p + 8);
	return 0;
}

/* The path inside the archive. */
static void module_target(const char *path, size_t len, char *target, size_t size)
{
	const char *base = path;
	size_t n;

	for (size_t i = 0; i < len; i++)
		if (path[i] == '/')
			base = path + i + 1;
	n = strstr(base, ".ko") - base;
	snprintf(target, size, "/lib/modules/%.*s.ko", (int)n, base);
}

static void load_add(struct module_list *list, const char *condition, const char *target,
		     const char *params)
{
	size_t room = sizeof(list->load) - list->load_len;
	int n = snprintf(list->load + list->load_len, room, "%s%s%s%s\n", condition, target,
			 *params ? " " : "", params);

	if ((size_t)n < room)
		list->load_len += n;
}

static int add_with_depends(struct module_list *list, struct cpio *cpio, const char *condition,
			    const char *name, const char *params, int depth)
{
	char depends[1024], target[300], *save = NULL;
	size_t len, size;
	const char *path = find_line(list->order, name, &len);
	u8 *data;
	int ret;

	if (!path)
		return find_line(list->builtin, name, &len) ? 0 : -ENOENT;
	module_target(path, len, target, sizeof(target));
	if (strstr(list->load, target))
		return 0;
	ret = depth < MAX_DEPTH ? read_module(list, path, (int)len, &data, &size) : -ELOOP;
	if (ret < 0)
		return ret;
	ret = module_depends(data, size, depends, sizeof(depends));
	for (char *p = strtok_r(depends, ",", &save); p && !ret; p = strtok_r(NULL, ",", &save))
		ret = add_with_depends(list, cpio, condition, p, "", depth + 1);
	if (ret == 0) {
		cpio_add_data(cpio, target, 0644, data, size);
		load_add(list, condition, target, params);
	}
	free(data);
	return ret;
}

int modules_add(struct module_list *list, struct cpio *cpio, const char *condition,
		const char *name, const char *params)
{
	return add_with_depends(list, cpio, condition, name, params, 0);
}

void modules_finish(struct module_list *list, struct cpio *cpio)
{
	cpio_add_data(cpio, "/etc/nestkvm/modules", 0644, list->load, list->load_len);
}

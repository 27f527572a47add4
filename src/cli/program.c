/* SPDX-License-Identifier: BSD-2-Clause */
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/program.h"

#define MAX_LIBS 64

/* The libraries found so far, by file name; each is read once. */
struct libs {
	char *path[MAX_LIBS];
	unsigned count;
	char interpreter[256];
};

struct elf {
	u8 *data;
	size_t len;
};

static const Elf64_Phdr *elf_segment(const struct elf *elf, unsigned i)
{
	const Elf64_Ehdr *ehdr = (const void *)elf->data;
	const Elf64_Phdr *phdr;

	if (i >= ehdr->e_phnum || ehdr->e_phoff + (i + 1) * sizeof(*phdr) > elf->len)
		return NULL;
	phdr = (const Elf64_Phdr *)(elf->data + ehdr->e_phoff) + i;
	if (phdr->p_offset > elf->len || phdr->p_filesz > elf->len - phdr->p_offset)
		return NULL;
	return phdr;
}

static int elf_read(const char *file, struct elf *elf)
{
	int ret = cpio_read_file(file, &elf->data, &elf->len);

	if (ret < 0)
		return ret;
	if (elf->len > sizeof(Elf64_Ehdr) && !memcmp(elf->data, ELFMAG, SELFMAG) &&
	    elf->data[EI_CLASS] == ELFCLASS64)
		return 0;
	free(elf->data);
	return -ENOEXEC;
}

/*
 * Cuts off what follows the last loaded byte: section headers and debug information, which neither
 * the kernel nor ld.so reads.
 */
static void elf_strip(struct elf *elf)
{
	Elf64_Ehdr *ehdr = (void *)elf->data;
	const Elf64_Phdr *phdr;
	size_t end = sizeof(*ehdr) + ehdr->e_phnum * sizeof(*phdr);

	for (unsigned i = 0; (phdr = elf_segment(elf, i)); i++)
		end = MAX(end, phdr->p_offset + phdr->p_filesz);
	ehdr->e_shoff = 0;
	ehdr->e_shnum = ehdr->e_shstrndx = 0;
	elf->len = MIN(elf->len, end);
}

/* The file's bytes at a virtual address, or NULL. */
static const void *elf_at(const struct elf *elf, u64 address)
{
	const Elf64_Phdr *phdr;

	for (unsigned i = 0; (phdr = elf_segment(elf, i)); i++)
		if (phdr->p_type == PT_LOAD && address - phdr->p_vaddr < phdr->p_filesz)
			return elf->data + phdr->p_offset + (address - phdr->p_vaddr);
	return NULL;
}

/* Where ld.so would look without its cache; the folders of our own libraries come first. */
static int lib_in_dir(const char *dir, size_t len, const char *name, char *path, size_t size)
{
	if (snprintf(path, size, "%.*s/%s", (int)len, dir, name) >= (int)size)
		return 0;
	return access(path, R_OK) == 0;
}

struct lib_search {
	const char *name;
	char *path;
	size_t size;
};

static int lib_beside_ours(struct dl_phdr_info *info, size_t size, void *opaque)
{
	struct lib_search *search = opaque;
	const char *slash = strrchr(info->dlpi_name, '/');

	return slash && lib_in_dir(info->dlpi_name, slash - info->dlpi_name, search->name,
				   search->path, search->size);
}

static bool lib_find(const char *name, char *path, size_t size)
{
	static const char *const dirs[] = {"/lib/x86_64-linux-gnu",
					   "/usr/lib/x86_64-linux-gnu",
					   "/lib64",
					   "/usr/lib64",
					   "/usr/local/lib",
					   "/lib",
					   "/usr/lib"};
	struct lib_search search = {name, path, size};

	if (dl_iterate_phdr(lib_beside_ours, &search))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		if (lib_in_dir(dirs[i], strlen(dirs[i]), name, path, size))
			return true;
	return false;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int libs_add(struct libs *libs, const char *name, char missing[256])
{
	char path[4096];

	for (unsigned i = 0; i < libs->count; i++)
		if (!strcmp(base_name(libs->path[i]), name))
			return 0;
	snprintf(missing, 256, "%s", name);
	if (libs->count == MAX_LIBS || !lib_find(name, path, sizeof(path)))
		return -ELIBACC;
	libs->path[libs->count] = strdup(path);
	return libs->path[libs->count++] ? 0 : -ENOMEM;
}

/* Adds the libraries that the dynamic section names (DT_NEEDED). */
static int libs_add_needed(struct libs *libs, const struct elf *elf, char missing[256])
{
	const Elf64_Phdr *phdr;
	const Elf64_Dyn *dyn = NULL;
	const char *strings = NULL;
	size_t count = 0;
	int ret = 0;

	for (unsigned i = 0; (phdr = elf_segment(elf, i)); i++) {
		if (phdr->p_type == PT_DYNAMIC) {
			dyn = (const void *)(elf->data + phdr->p_offset);
			count = phdr->p_filesz / sizeof(*dyn);
		} else if (phdr->p_type == PT_INTERP) {
			snprintf(libs->interpreter, sizeof(libs->interpreter), "%.*s",
				 (int)phdr->p_filesz, (const char *)elf->data + phdr->p_offset);
		}
	}
	for (size_t i = 0; i < count && dyn[i].d_tag != DT_NULL; i++)
		if (dyn[i].d_tag == DT_STRTAB)
			strings = elf_at(elf, dyn[i].d_un.d_ptr);
	for (size_t i = 0; strings && !ret && i < count && dyn[i].d_tag != DT_NULL; i++)
		if (dyn[i].d_tag == DT_NEEDED)
			ret = libs_add(libs, strings + dyn[i].d_un.d_val, missing);
	return ret;
}

static int program_add_one(struct cpio *cpio, struct libs *libs, const char *path, const char *from,
			   char missing[256])
{
	struct elf elf;
	int ret = elf_read(from, &elf);

	if (ret < 0)
		return ret;
	ret = libs_add_needed(libs, &elf, missing);
	elf_strip(&elf);
	if (ret == 0)
		cpio_add_data(cpio, path, 0755, elf.data, elf.len);
	free(elf.data);
	return ret;
}

int program_add(struct cpio *cpio, const char *path, const char *from, char missing[256])
{
	struct libs libs = {.count = 0};
	char to[4096];
	int ret = program_add_one(cpio, &libs, path, from, missing);

	for (unsigned i = 0; ret == 0 && i < libs.count; i++) {
		/* The interpreter is among the needed of some libraries; it has a place of its own.
		 */
		if (!strcmp(base_name(libs.path[i]), base_name(libs.interpreter)))
			continue;
		snprintf(to, sizeof(to), "/lib/%s", base_name(libs.path[i]));
		ret = program_add_one(cpio, &libs, to, libs.path[i], missing);
	}
	if (ret == 0 && libs.interpreter[0])
		ret = program_add_one(cpio, &libs, libs.interpreter, libs.interpreter, missing);
	for (unsigned i = 0; i < libs.count; i++)
		free(libs.path[i]);
	return ret;
}

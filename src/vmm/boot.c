/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "vmm/boot.h"
#include "vmm/msg.h"
#include "vmm/platform.h"

static int boot_map_file(const char *path, const char *what, struct boot_file *file)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC), ret = 0;

	if (fd < 0)
		return msg_fail(-errno, "cannot open %s %s: %s", what, path, strerror(errno));
	if (fstat(fd, &st) < 0)
		ret = msg_fail(-errno, "cannot read %s %s: %s", what, path, strerror(errno));
	else if (!S_ISREG(st.st_mode))
		ret = msg_fail(-EINVAL, "%s %s is not a regular file", what, path);
	else if (!st.st_size)
		ret = msg_fail(-ENOEXEC, "%s %s is empty", what, path);
	if (!ret) {
		file->len = st.st_size;
		file->data = mmap(NULL, file->len, PROT_READ, MAP_PRIVATE, fd, 0);
		if (file->data == MAP_FAILED)
			ret = msg_fail(-errno, "cannot map %s %s: %s", what, path, strerror(errno));
	}
	close(fd);
	return ret;
}

static void boot_unmap_file(struct boot_file *file)
{
	munmap(file->data, file->len);
}

static unsigned boot_add_range(struct boot_range *map, unsigned n, u64 start, u64 end, u32 type)
{
	if (end <= start)
		return n;
	map[n] = (struct boot_range){.start = start, .len = end - start, .type = type};
	return n + 1;
}

unsigned boot_memory_map(const struct machine *m, struct boot_range map[BOOT_MAX_RANGES])
{
	const struct ram *ram = &m->ram;
	unsigned n = 0;

	n = boot_add_range(map, n, 0, BOOT_LOW_END, 1);
	n = boot_add_range(map, n, BOOT_LOW_END, 0xa0000, 2);
	n = boot_add_range(map, n, PLATFORM_ACPI_TABLES, BOOT_HIGH_START, 2);
	n = boot_add_range(map, n, BOOT_HIGH_START, ram->low_size, 1);
	/* Linux trusts MCFG only when the area is reserved. */
	n = boot_add_range(map, n, PLATFORM_ECAM, PLATFORM_ECAM + PLATFORM_ECAM_SIZE, 2);
	n = boot_add_range(map, n, MACHINE_IDENTITY_MAP, MACHINE_TSS + 3 * PAGE_SIZE, 2);
	n = boot_add_range(map, n, RAM_HIGH_START, RAM_HIGH_START + ram->high_size, 1);
	return n;
}

int boot_load_initrd(struct boot_image *image)
{
	const char *path = image->config->initrd;
	const struct ram *ram = &image->m->ram;
	u64 top = MIN(ram->low_size, image->initrd_max), start;
	struct boot_file file = {0};
	int ret;

	if (!path)
		return 0;
	ret = boot_map_file(path, "initrd", &file);
	if (ret < 0)
		return ret;
	start = file.len < top ? ALIGN_DOWN(top - file.len, PAGE_SIZE) : 0;
	if (start < image->kernel_end) {
		ret = msg_fail(-E2BIG,
			       "%llu MiB of memory are too little for the kernel and an initrd "
			       "of %zu MiB; give more with -m",
			       (unsigned long long)ram->size >> 20, file.len >> 20);
	} else {
		ret = ram_write(ram, start, file.data, file.len);
		image->initrd = start;
		image->initrd_len = file.len;
	}
	boot_unmap_file(&file);
	return ret;
}

static int boot_write_cmdline(struct boot_image *image)
{
	size_t len = strlen(image->config->cmdline) + 1;

	if (len > BOOT_CMDLINE_MAX)
		return msg_fail(-E2BIG, "the kernel command line is too long (%zu bytes)", len);
	return ram_write(&image->m->ram, BOOT_CMDLINE, image->config->cmdline, len);
}

static int boot_load_vmlinux(struct boot_image *image, const struct boot_file *file)
{
	struct boot_elf elf;
	int ret = boot_load_elf(image->m, file->data, file->len, &elf);

	if (ret < 0)
		return ret;
	image->kernel_end = elf.end;
	image->initrd_max = RAM_LOW_MAX;
	ret = boot_load_initrd(image);
	if (ret < 0)
		return ret;
	if (elf.pvh_entry && !image->config->no_pvh) {
		image->entry = (struct boot_entry){.mode = BOOT_PVH, .rip = elf.pvh_entry};
		return boot_write_pvh_info(image);
	}
	image->entry = (struct boot_entry){.mode = BOOT_LINUX64, .rip = elf.entry};
	return boot_write_params(image, NULL, 0);
}

static int boot_load_kernel(struct boot_image *image, const struct boot_file *file)
{
	int ret = boot_write_cmdline(image);

	if (ret < 0)
		return ret;
	if (boot_is_bzimage(file))
		return boot_load_bzimage(image, file);
	if (boot_is_elf(file->data, file->len))
		return boot_load_vmlinux(image, file);
	return msg_fail(-ENOEXEC, "%s is neither a bzImage nor an x86-64 ELF kernel",
			image->config->kernel);
}

#define BOOT_MIN_RAM (16ull << 20)

int boot_load(struct machine *m, const struct boot_config *config, struct boot_entry *entry)
{
	struct boot_image image = {.m = m, .config = config};
	struct boot_file file = {0};
	int ret;

	if (m->ram.size < BOOT_MIN_RAM)
		return msg_fail(-E2BIG,
				"a guest needs at least 16 MiB of memory; give more with -m");
	ret = boot_map_file(config->kernel, "kernel", &file);
	if (ret < 0)
		return ret;
	ret = boot_load_kernel(&image, &file);
	boot_unmap_file(&file);
	*entry = image.entry;
	return ret;
}

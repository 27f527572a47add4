/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bzImage and boot_params: Documentation/arch/x86/boot.rst and zero-page.rst of Linux. The
 * compressed kernel inside (payload_offset, payload_length) is an ELF vmlinux; without KASLR its
 * relocations are not needed, so it is unpacked here, loaded at its link address and started at its
 * own 64-bit entry.
 */
#include <asm/bootparam.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "vmm/boot.h"
#include "vmm/decompress.h"
#include "vmm/msg.h"

#define SETUP_OFFSET	   0x1f1
#define SETUP_MAGIC	   0x53726448 /* "HdrS" */
#define BOOT_FLAG	   0xaa55
#define BOOT_PROTOCOL_64   0x020c /* first with a 64-bit entry */
#define ENTRY_64	   0x200  /* from the start of the protected-mode part */
#define LOADER_UNDEFINED   0xff
#define MAX_UNPACKED	   (1u << 30)
#define INITRD_MAX_DEFAULT 0x37ffffffu

static void boot_get_setup(const struct boot_file *file, struct setup_header *hdr)
{
	size_t len = MIN(file->len - SETUP_OFFSET, sizeof(*hdr));

	memset(hdr, 0, sizeof(*hdr));
	memcpy(hdr, file->data + SETUP_OFFSET, len);
}

bool boot_is_bzimage(const struct boot_file *file)
{
	struct setup_header hdr;

	if (file->len < 0x400)
		return false;
	boot_get_setup(file, &hdr);
	return hdr.header == SETUP_MAGIC && hdr.boot_flag == BOOT_FLAG;
}

/* The real-mode part is setup_sects + 1 sectors; 0 means 4. */
static size_t boot_setup_size(const struct setup_header *hdr)
{
	return ((hdr->setup_sects ? hdr->setup_sects : 4) + 1) * 512;
}

static bool boot_has_entry64(const struct setup_header *hdr)
{
	return hdr->version >= BOOT_PROTOCOL_64 && hdr->xloadflags & XLF_KERNEL_64;
}

/* Loads the kernel unpacked. -EOPNOTSUPP: leave it to the kernel. */
static int boot_load_payload(struct boot_image *image, const struct boot_file *file,
			     const struct setup_header *hdr)
{
	u64 start = boot_setup_size(hdr) + (u64)hdr->payload_offset, len = hdr->payload_length;
	struct boot_elf elf;
	size_t out_len;
	u8 *out;
	u32 size;
	int ret;

	if (hdr->version < 0x0208 || len < 8 || start > file->len || len > file->len - start)
		return -EOPNOTSUPP;
	/* The build appends the unpacked size to the payload. */
	memcpy(&size, file->data + start + len - 4, sizeof(size));
	if (size > MAX_UNPACKED)
		return -EOPNOTSUPP;
	ret = decompress(file->data + start, len, size, &out, &out_len);
	if (ret == -EBADMSG)
		return msg_fail(-ENOEXEC,
				"kernel %s is corrupt: its compressed part does not unpack",
				image->config->kernel);
	if (ret < 0)
		return -EOPNOTSUPP;
	if (boot_is_elf(out, out_len))
		ret = boot_load_elf(image->m, out, out_len, &elf);
	else
		ret = -EOPNOTSUPP;
	free(out);
	if (ret < 0)
		return ret;
	image->entry = (struct boot_entry){.mode = BOOT_LINUX64, .rip = elf.entry};
	image->kernel_end = elf.end;
	return 0;
}

/* Loads the image as it is: it unpacks itself, in place, within init_size bytes. */
static int boot_load_packed(struct boot_image *image, const struct boot_file *file,
			    const struct setup_header *hdr)
{
	u64 start = boot_setup_size(hdr), len = file->len - start;
	u64 load = hdr->pref_address ? hdr->pref_address : BOOT_HIGH_START;
	u64 need = MAX(len, (u64)hdr->init_size);

	if (!ram_ptr(&image->m->ram, load, need))
		return msg_fail(
			-E2BIG,
			"%llu MiB of memory are too little for this kernel; give more with -m",
			(unsigned long long)image->m->ram.size >> 20);
	ram_write(&image->m->ram, load, file->data + start, len);
	if (boot_has_entry64(hdr))
		image->entry = (struct boot_entry){.mode = BOOT_LINUX64, .rip = load + ENTRY_64};
	else
		image->entry = (struct boot_entry){.mode = BOOT_LINUX32, .rip = load};
	image->kernel_end = load + need;
	return 0;
}

/* A truncated download is common, and a payload cut short must not be run. */
static int boot_check_complete(struct boot_image *image, const struct boot_file *file,
			       const struct setup_header *hdr)
{
	u64 need = boot_setup_size(hdr) + (u64)hdr->syssize * 16;

	/* syssize rounds up to 16 bytes. */
	if (boot_setup_size(hdr) >= file->len || file->len + 16 < need)
		return msg_fail(-ENOEXEC, "kernel %s is truncated: %zu bytes instead of %llu",
				image->config->kernel, file->len, (unsigned long long)need);
	return 0;
}

int boot_load_bzimage(struct boot_image *image, const struct boot_file *file)
{
	struct setup_header hdr;
	int ret;

	boot_get_setup(file, &hdr);
	ret = boot_check_complete(image, file, &hdr);
	if (ret < 0)
		return ret;
	ret = -EOPNOTSUPP;
	if (!image->config->guest_unpacks && boot_has_entry64(&hdr))
		ret = boot_load_payload(image, file, &hdr);
	if (ret == -EOPNOTSUPP)
		ret = boot_load_packed(image, file, &hdr);
	if (ret < 0)
		return ret;
	image->initrd_max = (hdr.initrd_addr_max ? hdr.initrd_addr_max : INITRD_MAX_DEFAULT) + 1ull;
	ret = boot_load_initrd(image);
	if (ret < 0)
		return ret;
	/* The header's length is in the jump over it: boot.rst, "Details of Header Fields". */
	return boot_write_params(image, (u8 *)&hdr, MIN(sizeof(hdr), 0x11u + file->data[0x201]));
}

static void boot_fill_header(struct boot_image *image, struct setup_header *hdr)
{
	hdr->type_of_loader = LOADER_UNDEFINED;
	hdr->loadflags |= LOADED_HIGH;
	hdr->loadflags &= ~(KASLR_FLAG | CAN_USE_HEAP | QUIET_FLAG);
	hdr->cmd_line_ptr = BOOT_CMDLINE;
	hdr->ramdisk_image = image->initrd;
	hdr->ramdisk_size = image->initrd_len;
	hdr->setup_data = 0;
}

int boot_write_params(struct boot_image *image, const u8 *setup, size_t setup_len)
{
	struct boot_params params;
	struct boot_range map[BOOT_MAX_RANGES];

	memset(&params, 0, sizeof(params));
	if (setup) {
		memcpy(&params.hdr, setup, setup_len);
	} else {
		params.hdr.boot_flag = BOOT_FLAG;
		params.hdr.header = SETUP_MAGIC;
		params.hdr.version = 0x020f;
		params.hdr.kernel_alignment = 0x1000000;
		params.hdr.cmdline_size = 2047;
	}
	boot_fill_header(image, &params.hdr);
	params.acpi_rsdp_addr = image->config->acpi_rsdp;
	params.e820_entries = boot_memory_map(image->m, map);
	for (unsigned i = 0; i < params.e820_entries; i++)
		params.e820_table[i] = (struct boot_e820_entry){
			.addr = map[i].start, .size = map[i].len, .type = map[i].type};
	return ram_write(&image->m->ram, BOOT_PARAMS, &params, sizeof(params));
}

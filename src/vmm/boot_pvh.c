/* SPDX-License-Identifier: BSD-2-Clause */
/* The PVH start info: xen/include/public/arch-x86/hvm/start_info.h describes the layout. */
#include <string.h>
#include "vmm/boot.h"

#define PVH_MAGIC   0x336ec578u
#define PVH_VERSION 1

struct pvh_start_info {
	u32 magic;
	u32 version;
	u32 flags;
	u32 module_count;
	u64 modules;
	u64 cmdline;
	u64 rsdp;
	u64 memory_map;
	u32 memory_map_count;
	u32 reserved;
};

struct pvh_module {
	u64 start;
	u64 len;
	u64 cmdline;
	u64 reserved;
};

struct pvh_range {
	u64 start;
	u64 len;
	u32 type;
	u32 reserved;
};

struct pvh_page {
	struct pvh_start_info info;
	struct pvh_module initrd;
	struct pvh_range map[BOOT_MAX_RANGES];
};

int boot_write_pvh_info(struct boot_image *image)
{
	struct boot_range map[BOOT_MAX_RANGES];
	unsigned n = boot_memory_map(image->m, map);
	struct pvh_page page = {
		.info =
			{
				.magic = PVH_MAGIC,
				.version = PVH_VERSION,
				.cmdline = BOOT_CMDLINE,
				.rsdp = image->config->acpi_rsdp,
				.memory_map = BOOT_PVH_INFO + offsetof(struct pvh_page, map),
				.memory_map_count = n,
			},
		.initrd = {.start = image->initrd, .len = image->initrd_len},
	};

	if (image->initrd_len) {
		page.info.module_count = 1;
		page.info.modules = BOOT_PVH_INFO + offsetof(struct pvh_page, initrd);
	}
	for (unsigned i = 0; i < n; i++)
		page.map[i] = (struct pvh_range){map[i].start, map[i].len, map[i].type, 0};
	return ram_write(&image->m->ram, BOOT_PVH_INFO, &page, sizeof(page));
}

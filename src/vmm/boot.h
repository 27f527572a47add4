/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Boots a kernel without firmware: loads it, the initrd and the tables that its boot protocol
 * wants, and says how the first vCPU must start.
 *
 * Guest memory below 1 MiB:
 *     0x00500  GDT                      0x06000  PVH start info, its lists
 *     0x07000  boot_params (zero page)  0x08000  page tables, to 0x0e000
 *     0x10000  command line             0x9fc00  end of conventional memory
 *     0xe0000  ACPI tables (ACPI_TABLES)
 */
#ifndef VMM_BOOT_H
#define VMM_BOOT_H

#include "vmm/machine.h"

#define BOOT_GDT	 0x500ull
#define BOOT_PVH_INFO	 0x6000ull
#define BOOT_PARAMS	 0x7000ull
#define BOOT_PAGE_TABLES 0x8000ull
#define BOOT_CMDLINE	 0x10000ull
#define BOOT_CMDLINE_MAX 0x10000ull
#define BOOT_LOW_END	 0x9fc00ull
#define BOOT_HIGH_START	 0x100000ull

struct boot_config {
	const char *kernel;
	const char *initrd;  /* or NULL */
	const char *cmdline; /* "" when there is none */
	u64 acpi_rsdp;	     /* where acpi_build() put it */
	bool guest_unpacks;  /* leave decompression to the kernel itself */
	bool no_pvh; /* start an ELF kernel by the 64-bit Linux protocol though it knows PVH */
};

enum boot_mode {
	BOOT_LINUX64, /* long mode, RSI = boot_params: Documentation/arch/x86/boot.rst, "64-bit" */
	BOOT_LINUX32, /* protected mode without paging, RSI = boot_params: the same, "32-bit" */
	BOOT_PVH,     /* protected mode without paging, EBX = start info: Xen's pvh.pandoc */
};

struct boot_entry {
	enum boot_mode mode;
	u64 rip;
};

/* A range of the guest's physical memory map; type as in E820: 1 RAM, 2 reserved, 3 ACPI. */
struct boot_range {
	u64 start, len;
	u32 type;
};

#define BOOT_MAX_RANGES 16

struct boot_file {
	u8 *data;
	size_t len;
};

/* The parts of a loaded kernel that the protocols share. */
struct boot_image {
	struct machine *m;
	const struct boot_config *config;
	u64 kernel_end;		 /* first gpa above the kernel and its bss */
	u64 initrd_max;		 /* the initrd must end at or below this gpa */
	u64 initrd, initrd_len;	 /* where it was loaded */
	struct boot_entry entry; /* how to start */
};

/*
 * Loads the kernel and prepares guest memory. Prints what is wrong; returns 0 or a negative errno
 * (-ENOENT, -EACCES, -ENOEXEC for what is no kernel, -E2BIG when the memory is too small, ...).
 */
int boot_load(struct machine *m, const struct boot_config *config, struct boot_entry *entry);
/* Sets the first vCPU's registers for `entry`. Prints what is wrong; 0 or a negative errno. */
int boot_set_cpu(struct machine_cpu *cpu, const struct boot_entry *entry);

/* The memory map for the guest; returns how many ranges. */
unsigned boot_memory_map(const struct machine *m, struct boot_range map[BOOT_MAX_RANGES]);
/* Loads the initrd below image->initrd_max and above the kernel. */
int boot_load_initrd(struct boot_image *image);

/* boot_bzimage.c: whether the file is a bzImage; loads it and its boot_params. */
bool boot_is_bzimage(const struct boot_file *file);
int boot_load_bzimage(struct boot_image *image, const struct boot_file *file);
/* Fills boot_params: `setup` is the image's setup header (from 0x1f1), or NULL for a plain vmlinux.
 */
int boot_write_params(struct boot_image *image, const u8 *setup, size_t setup_len);

struct boot_elf {
	u64 entry;     /* e_entry, physical for vmlinux */
	u64 end;       /* first gpa above all segments */
	u64 pvh_entry; /* XEN_ELFNOTE_PHYS32_ENTRY, or 0 */
};

/* boot_elf.c: whether it is an x86-64 ELF executable; loads its segments at their physical
 * addresses. */
bool boot_is_elf(const u8 *data, size_t len);
int boot_load_elf(struct machine *m, const u8 *data, size_t len, struct boot_elf *elf);

/* boot_pvh.c: writes the start info. */
int boot_write_pvh_info(struct boot_image *image);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
#include <elf.h>
#include <errno.h>
#include <string.h>
#include "vmm/boot.h"
#include "vmm/msg.h"

#define XEN_ELFNOTE_PHYS32_ENTRY 18

bool boot_is_elf(const u8 *data, size_t len)
{
	Elf64_Ehdr eh;

	if (len < sizeof(eh))
		return false;
	memcpy(&eh, data, sizeof(eh));
	return !memcmp(eh.e_ident, ELFMAG, SELFMAG) && eh.e_ident[EI_CLASS] == ELFCLASS64 &&
	       eh.e_ident[EI_DATA] == ELFDATA2LSB && eh.e_machine == EM_X86_64 &&
	       (eh.e_type == ET_EXEC || eh.e_type == ET_DYN);
}

static bool boot_in_file(u64 off, u64 n, size_t len)
{
	return off <= len && n <= len - off;
}

static int boot_load_segment(struct machine *m, const u8 *data, size_t len, const Elf64_Phdr *ph)
{
	if (ph->p_filesz > ph->p_memsz || !boot_in_file(ph->p_offset, ph->p_filesz, len))
		return msg_fail(-ENOEXEC,
				"the kernel is truncated or corrupt (a segment ends at %#llx, "
				"the file at %#zx)",
				(unsigned long long)ph->p_offset + ph->p_filesz, len);
	if (ph->p_paddr < BOOT_HIGH_START)
		return msg_fail(-ENOEXEC, "the kernel wants to be loaded below 1 MiB (at %#llx)",
				(unsigned long long)ph->p_paddr);
	if (!ram_ptr(&m->ram, ph->p_paddr, ph->p_memsz))
		return msg_fail(
			-E2BIG,
			"%llu MiB of memory are too little for this kernel; give more with -m",
			(unsigned long long)m->ram.size >> 20);
	ram_write(&m->ram, ph->p_paddr, data + ph->p_offset, ph->p_filesz);
	/* The rest is zero already: RAM is fresh. */
	return 0;
}

/* Notes: name size, descriptor size, type, then both padded to 4 bytes. */
static u64 boot_find_pvh_note(const u8 *p, u64 len)
{
	while (len >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr nh;
		u64 name, desc, value = 0;

		memcpy(&nh, p, sizeof(nh));
		name = sizeof(nh);
		desc = name + ALIGN_UP(nh.n_namesz, 4);
		if (desc + nh.n_descsz > len)
			return 0;
		if (nh.n_type == XEN_ELFNOTE_PHYS32_ENTRY && nh.n_namesz == 4 &&
		    !memcmp(p + name, "Xen", 4) && nh.n_descsz >= 4) {
			memcpy(&value, p + desc, MIN(nh.n_descsz, 8u));
			return value;
		}
		desc += ALIGN_UP(nh.n_descsz, 4);
		if (desc >= len)
			return 0;
		p += desc;
		len -= desc;
	}
	return 0;
}

int boot_load_elf(struct machine *m, const u8 *data, size_t len, struct boot_elf *elf)
{
	Elf64_Ehdr eh;
	int ret;

	memset(elf, 0, sizeof(*elf));
	memcpy(&eh, data, sizeof(eh));
	if (eh.e_phentsize != sizeof(Elf64_Phdr) ||
	    !boot_in_file(eh.e_phoff, (u64)eh.e_phnum * sizeof(Elf64_Phdr), len))
		return msg_fail(-ENOEXEC, "the kernel's ELF header is corrupt");
	elf->entry = eh.e_entry;
	for (unsigned i = 0; i < eh.e_phnum; i++) {
		Elf64_Phdr ph;

		memcpy(&ph, data + eh.e_phoff + i * sizeof(ph), sizeof(ph));
		if (ph.p_type == PT_NOTE && boot_in_file(ph.p_offset, ph.p_filesz, len) &&
		    !elf->pvh_entry)
			elf->pvh_entry = boot_find_pvh_note(data + ph.p_offset, ph.p_filesz);
		if (ph.p_type != PT_LOAD || !ph.p_memsz)
			continue;
		ret = boot_load_segment(m, data, len, &ph);
		if (ret < 0)
			return ret;
		elf->end = MAX(elf->end, ph.p_paddr + ph.p_memsz);
	}
	if (!elf->end)
		return msg_fail(-ENOEXEC, "the kernel has nothing to load");
	return 0;
}

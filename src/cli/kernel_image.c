/* SPDX-License-Identifier: BSD-2-Clause */
/* What is inside a bzImage: Documentation/arch/x86/boot.rst of Linux. */
#include <asm/bootparam.h>
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cpio.h"
#include "cli/kernel_pkg.h"
#include "vmm/decompress.h"

#define SETUP_OFFSET 0x1f1
#define SETUP_MAGIC  0x53726448 /* "HdrS" */
#define MAX_UNPACKED (512u << 20)

static bool read_header(const u8 *data, size_t len, struct setup_header *header)
{
	if (len < SETUP_OFFSET + sizeof(*header))
		return false;
	memcpy(header, data + SETUP_OFFSET, sizeof(*header));
	return header->header == SETUP_MAGIC && header->boot_flag == 0xaa55;
}

/* Replaces the bzImage by the vmlinux in it, when that can be. */
static void unpack(u8 **data, size_t *len)
{
	struct setup_header header;
	u64 start, size;
	u8 *out;
	size_t out_len;

	if (!read_header(*data, *len, &header))
		return;
	start = (header.setup_sects + 1) * 512ull + header.payload_offset;
	size = header.payload_length;
	if (size < 8 || start > *len || size > *len - start)
		return;
	if (decompress(*data + start, size, MAX_UNPACKED, &out, &out_len) < 0)
		return;
	if (out_len < SELFMAG || memcmp(out, ELFMAG, SELFMAG)) {
		free(out);
		return;
	}
	free(*data);
	*data = out;
	*len = out_len;
}

int kernel_read(const char *image, u8 **data, size_t *len)
{
	int ret = cpio_read_file(image, data, len);

	if (ret == 0)
		unpack(data, len);
	return ret;
}

void kernel_read_release(const char *image, char release[128])
{
	struct setup_header header;
	size_t len, at;
	u8 *data;

	*release = 0;
	if (cpio_read_file(image, &data, &len) < 0)
		return;
	if (read_header(data, len, &header) && header.kernel_version) {
		at = header.kernel_version + 0x200;
		if (at < len)
			snprintf(release, 128, "%.*s", (int)strcspn((char *)data + at, " "),
				 (char *)data + at);
	}
	free(data);
}

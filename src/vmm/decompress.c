/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <lz4.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>
#include "vmm/decompress.h"

#define XZ_MEMORY_LIMIT (256ull << 20)
#define LZ4_MAGIC	0x184c2102u
#define LZ4_BLOCK	(8u << 20) /* a legacy frame's block, unpacked */

/* Each unpacks into `out` (cap bytes) and returns the length, or -1. */
typedef ssize_t (*unpack_fn)(const u8 *in, size_t in_len, u8 *out, size_t cap);

static ssize_t unpack_gzip(const u8 *in, size_t in_len, u8 *out, size_t cap)
{
	z_stream z = {.next_in = (u8 *)in, .avail_in = in_len, .next_out = out, .avail_out = cap};
	int ret;

	if (inflateInit2(&z, 15 + 16) != Z_OK)
		return -1;
	ret = inflate(&z, Z_FINISH);
	inflateEnd(&z);
	return ret == Z_STREAM_END ? (ssize_t)z.total_out : -1;
}

static ssize_t unpack_xz(const u8 *in, size_t in_len, u8 *out, size_t cap)
{
	u64 limit = XZ_MEMORY_LIMIT;
	size_t in_pos = 0, out_pos = 0;
	lzma_ret ret =
		lzma_stream_buffer_decode(&limit, 0, NULL, in, &in_pos, in_len, out, &out_pos, cap);

	return ret == LZMA_OK ? (ssize_t)out_pos : -1;
}

static u32 load_u32(const u8 *p)
{
	u32 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* Blocks of a 4-byte length and data, each up to 8 MiB unpacked; the image's own size may follow.
 */
static ssize_t unpack_lz4(const u8 *in, size_t in_len, u8 *out, size_t cap)
{
	size_t pos = 4, done = 0;

	while (pos + 4 <= in_len && done < cap) {
		u32 len = load_u32(in + pos);
		int n;

		pos += 4;
		if (len == LZ4_MAGIC)
			continue;
		if (!len || len > in_len - pos)
			break;
		n = LZ4_decompress_safe((const char *)in + pos, (char *)out + done, len,
					MIN(cap - done, LZ4_BLOCK));
		if (n < 0)
			return -1;
		pos += len;
		done += n;
	}
	return done ? (ssize_t)done : -1;
}

static ssize_t unpack_zstd(const u8 *in, size_t in_len, u8 *out, size_t cap)
{
	size_t frame = ZSTD_findFrameCompressedSize(in, in_len), n;

	if (ZSTD_isError(frame))
		return -1;
	n = ZSTD_decompress(out, cap, in, frame);
	return ZSTD_isError(n) ? -1 : (ssize_t)n;
}

static const struct {
	u8 magic[6];
	u8 magic_len;
	unpack_fn unpack;
} formats[] = {
	{{0x1f, 0x8b}, 2, unpack_gzip},
	{{0xfd, '7', 'z', 'X', 'Z', 0}, 6, unpack_xz},
	{{0x02, 0x21, 0x4c, 0x18}, 4, unpack_lz4},
	{{0x28, 0xb5, 0x2f, 0xfd}, 4, unpack_zstd},
};

static unpack_fn find_format(const u8 *in, size_t in_len)
{
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		if (in_len >= formats[i].magic_len &&
		    !memcmp(in, formats[i].magic, formats[i].magic_len))
			return formats[i].unpack;
	return NULL;
}

int decompress(const u8 *in, size_t in_len, size_t hint, u8 **out, size_t *out_len)
{
	unpack_fn unpack = find_format(in, in_len);
	ssize_t n;
	u8 *buf;

	if (!unpack)
		return -EOPNOTSUPP;
	if (!hint)
		return -EBADMSG;
	buf = malloc(hint);
	if (!buf)
		return -ENOMEM;
	n = unpack(in, in_len, buf, hint);
	if (n < 0) {
		free(buf);
		return -EBADMSG;
	}
	*out = buf;
	*out_len = n;
	return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <lz4.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>
#include "vmm/decompress.h"

#define LEN   200000
#define SPACE (LEN * 2)

static u8 plain[LEN];

static int make_plain(void **state)
{
	u32 x = 1;

	for (size_t i = 0; i < LEN; i++) {
		x = x * 1103515245 + 12345;
		plain[i] = i % 7 ? (u8) "kernel"[i % 6] : x >> 24;
	}
	return 0;
}

static size_t pack_gzip(u8 *out)
{
	z_stream z = {.next_in = plain, .avail_in = LEN, .next_out = out, .avail_out = SPACE};

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return z.total_out;
}

static size_t pack_xz(u8 *out)
{
	size_t pos = 0;

	assert_int_equal(
		lzma_easy_buffer_encode(6, LZMA_CHECK_CRC32, NULL, plain, LEN, out, &pos, SPACE),
		LZMA_OK);
	return pos;
}

static size_t pack_lz4(u8 *out)
{
	u32 magic = 0x184c2102, n;

	n = LZ4_compress_default((char *)plain, (char *)out + 8, LEN, SPACE - 8);
	memcpy(out, &magic, 4);
	memcpy(out + 4, &n, 4);
	return n + 8;
}

static size_t pack_zstd(u8 *out)
{
	return ZSTD_compress(out, SPACE, plain, LEN, 3);
}

static size_t (*const packers[])(u8 *out) = {pack_gzip, pack_xz, pack_lz4, pack_zstd};

/* As in a kernel image: the unpacked size follows the data. */
static void test_unpacks(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(packers); i++) {
		u8 *packed = malloc(SPACE), *out = NULL;
		size_t len = packers[i](packed), out_len;
		u32 size = LEN;

		memcpy(packed + len, &size, 4);
		assert_int_equal(decompress(packed, len + 4, LEN, &out, &out_len), 0);
		assert_int_equal(out_len, LEN);
		assert_memory_equal(out, plain, LEN);
		free(out);
		free(packed);
	}
}

/* Cut short, with flipped bytes, or too large for the promised size: an error or wrong data, no
 * crash. */
static void test_survives_corruption(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(packers); i++) {
		u8 *packed = malloc(SPACE), *out;
		size_t len = packers[i](packed), out_len;

		assert_int_equal(decompress(packed, len / 2, LEN, &out, &out_len), -EBADMSG);
		assert_int_equal(decompress(packed, len, 100, &out, &out_len), -EBADMSG);
		assert_int_equal(decompress(packed, len, 0, &out, &out_len), -EBADMSG);
		for (size_t at = 6; at < len; at += len / 50) {
			packed[at] ^= 0x55;
			if (!decompress(packed, len, LEN, &out, &out_len))
				free(out);
			packed[at] ^= 0x55;
		}
		free(packed);
	}
}

static void test_unknown_format(void **state)
{
	u8 data[64] = "BZh9", *out;
	size_t len;

	assert_int_equal(decompress(data, sizeof(data), 100, &out, &len), -EOPNOTSUPP);
	assert_int_equal(decompress(data, 0, 100, &out, &len), -EOPNOTSUPP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unpacks),
		cmocka_unit_test(test_survives_corruption),
		cmocka_unit_test(test_unknown_format),
	};

	return cmocka_run_group_tests(tests, make_plain, NULL);
}

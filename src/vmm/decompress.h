/* SPDX-License-Identifier: BSD-2-Clause */
/* Unpacks the compressed kernel inside a bzImage on the host, which is quicker than in the guest.
 */
#ifndef VMM_DECOMPRESS_H
#define VMM_DECOMPRESS_H

#include "base/types.h"

/*
 * Unpacks gzip, xz, lz4 (the kernel's "legacy" frames) or zstd data. `hint` is the unpacked size as
 * the image says; more does not come out. On success *out is to be freed with free(). Returns 0,
 * -EOPNOTSUPP (not one of these formats), -EBADMSG (corrupt data) or -ENOMEM.
 */
int decompress(const u8 *in, size_t in_len, size_t hint, u8 **out, size_t *out_len);

#endif

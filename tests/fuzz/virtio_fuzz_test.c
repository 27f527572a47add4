/* SPDX-License-Identifier: BSD-2-Clause */
/* A short run of the fuzz target with inputs of our own; an argument says how many. */
#include <stdlib.h>
#include "virtio_fuzz.c"

int main(int argc, char **argv)
{
	unsigned long runs = argc > 1 ? strtoul(argv[1], NULL, 0) : 2000;
	u64 x = 88172645463325252ull;
	u8 data[4 * MAX_STEPS];

	for (unsigned long run = 0; run < runs; run++) {
		for (size_t i = 0; i < sizeof(data); i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			data[i] = x >> 32;
		}
		/* All devices start alive. */
		for (unsigned d = 0; d < DEVICES; d++)
			memcpy(data + 4 * d, (u8[]){d << 4, 0, 0, 0}, 4);
		LLVMFuzzerTestOneInput(data, sizeof(data));
	}
	return 0;
}

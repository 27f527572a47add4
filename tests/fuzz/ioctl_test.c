/* SPDX-License-Identifier: BSD-2-Clause */
/* The ioctl fuzzer on inputs from a fixed generator: argv[1] is how many, argv[2] the first. */
#include <stdio.h>
#include <stdlib.h>

#include "ioctl_fuzz.c"

static uint64_t state;

static uint64_t next(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* Mostly bytes of any value, with the small ones, which are more often meant, more often. */
static void run_one(uint64_t seed)
{
	static uint8_t data[4096];
	size_t len;

	state = seed * 0x9e3779b97f4a7c15ull + 1;
	len = 64 + next() % (sizeof(data) - 64);
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(next() & 1 ? next() : next() & 15);
	LLVMFuzzerTestOneInput(data, len);
}

int main(int argc, char **argv)
{
	uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 0) : 60;
	uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;

	for (uint64_t i = 0; i < count; i++)
		run_one(first + i);
	printf("%llu inputs\n", (unsigned long long)count);
	return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The instruction fuzzer on inputs from a fixed generator.
 *
 *   insn_test [COUNT [FIRST]]
 */
#include <stdlib.h>

#include "insn_fuzz.c"

static uint64_t state;

static uint64_t next(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* Opcodes come as often as the instructions that they lead to. */
static uint8_t next_byte(void)
{
	static const uint8_t often[] = {0x0f, 0x66, 0xf3, 0xf2, 0x48, 0xc5, 0xc4, 0x67,
					0x00, 0xff, 0xf0, 0x01, 0xc7, 0xcf, 0x2e, 0x90};
	uint64_t v = next();

	return v & 0x300 ? (uint8_t)v : often[v >> 16 & 15];
}

int main(int argc, char **argv)
{
	uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 0) : 2000;
	uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
	static uint8_t data[512];

	for (uint64_t i = first; i < first + count; i++) {
		size_t size;

		state = i * 0x9e3779b97f4a7c15ull;
		size = 32 + next() % (sizeof(data) - 32);
		for (size_t n = 0; n < size; n++)
			data[n] = next_byte();
		LLVMFuzzerTestOneInput(data, size);
	}
	if (vm.ram)
		vm_close();
	printf("%llu inputs\n", (unsigned long long)count);
	return 0;
}

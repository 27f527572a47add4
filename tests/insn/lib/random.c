/* SPDX-License-Identifier: BSD-2-Clause */
#include "state.h"

u64 random_state;
enum code_mode trial_mode = CODE_64;

/* splitmix64 */
u64 random64(void)
{
	u64 z = random_state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

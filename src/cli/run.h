/* SPDX-License-Identifier: BSD-2-Clause */
/* Exit codes of `nestkvm run`, for commands that start it, and what its tests need. */
#ifndef CLI_RUN_H
#define CLI_RUN_H

#include "base/types.h"

enum {
	RUN_EXIT_RESET = 3,
	RUN_EXIT_TRIPLE_FAULT = 4,
	RUN_EXIT_HALTED = 5,
};

/* Parses "512", "512M", "2G": MiB without a unit, as in lkvm. 0 or -EINVAL. */
int run_parse_size(const char *text, u64 *size);

#endif

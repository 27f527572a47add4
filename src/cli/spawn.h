/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs other programs, never through a shell. */
#ifndef CLI_SPAWN_H
#define CLI_SPAWN_H

#include <sys/types.h>
#include "base/types.h"

/* Runs argv and waits. Its output is appended to `out` (NULL: thrown away), which is cut at `size`.
 * Its exit status, 128 + N after signal N, or a negative errno. */
int spawn_wait(char *const argv[], char *out, size_t size);

/* As above, in the folder `dir`. `tick` (or NULL) is called about twice a second while it runs. */
int spawn_wait_in(const char *dir, char *const argv[], char *out, size_t size, void (*tick)(void *),
		  void *opaque);

/*
 * Starts argv with standard input from /dev/null and both outputs into one pipe, whose read end is
 * *out. The child is a process group of its own. Its process id, or a negative errno.
 */
pid_t spawn_piped(char *const argv[], int *out);

/* The status of waitpid() as a shell tells it. */
int spawn_status(int status);

#endif

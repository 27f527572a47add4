/* SPDX-License-Identifier: BSD-2-Clause */
/* What the VMM tells its user: one line on standard error, with one prefix. */
#ifndef VMM_MSG_H
#define VMM_MSG_H

#include "base/types.h"

/* Prints "nestkvm: TEXT" and returns `err`, so that a failing function can end with it. */
int msg_fail(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Prints "nestkvm: warning: TEXT". */
void msg_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Prints "nestkvm: TEXT" unless msg_set_quiet(true) was called. */
void msg_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Suppresses msg_info(). */
void msg_set_quiet(bool quiet);

#endif

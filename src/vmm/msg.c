/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdarg.h>
#include <stdio.h>
#include "vmm/msg.h"

static bool msg_quiet;

/* One write per line, so that lines of several threads do not mix. */
static void msg_put(const char *kind, const char *fmt, va_list ap)
{
	char text[1024];

	vsnprintf(text, sizeof(text), fmt, ap);
	fprintf(stderr, "nestkvm: %s%s\n", kind, text);
}

int msg_fail(int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	msg_put("", fmt, ap);
	va_end(ap);
	return err;
}

void msg_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	msg_put("warning: ", fmt, ap);
	va_end(ap);
}

void msg_info(const char *fmt, ...)
{
	va_list ap;

	if (msg_quiet)
		return;
	va_start(ap, fmt);
	msg_put("", fmt, ap);
	va_end(ap);
}

void msg_set_quiet(bool quiet)
{
	msg_quiet = quiet;
}

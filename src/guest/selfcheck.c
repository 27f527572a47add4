/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads the kernel's own log for signs of trouble: an emulated CPU that errs shows there first. */
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include "guest.h"

#define SYSLOG_ACTION_READ_ALL	  3
#define SYSLOG_ACTION_SIZE_BUFFER 10

static const char *const trouble[] = {
	"BUG:",
	"Oops",
	"WARNING: CPU:",
	"general protection fault",
	"soft lockup",
	"hard LOCKUP",
	"detected stall",
	"self-detected stall",
	"unhandled rdmsr",
	"unhandled wrmsr",
	"ignored rdmsr",
	"ignored wrmsr",
	"unchecked MSR",
	"Unhandled WRMSR",
	"Unhandled RDMSR",
	"vcpu_unimpl",
	"invalid opcode",
	"Kernel panic",
	"nested_vmx_fail",
	"double fault",
};

static bool is_trouble(const char *text)
{
	for (size_t i = 0; i < sizeof(trouble) / sizeof(trouble[0]); i++)
		if (strstr(text, trouble[i]))
			return true;
	return false;
}

void selfcheck_print(int level)
{
	int size = klogctl(SYSLOG_ACTION_SIZE_BUFFER, NULL, 0), count = 0;
	char *log = size > 0 ? malloc(size + 1) : NULL, *save = NULL;
	const char *first = NULL;
	struct line line;

	if (log) {
		int n = klogctl(SYSLOG_ACTION_READ_ALL, log, size);

		log[n > 0 ? n : 0] = 0;
		for (char *p = strtok_r(log, "\n", &save); p; p = strtok_r(NULL, "\n", &save)) {
			if (!is_trouble(p))
				continue;
			if (!count++)
				first = p;
		}
	}
	line_start(&line, level, "selfcheck");
	line_number(&line, "messages", count);
	if (first)
		line_string(&line, "first", first);
	line_print(&line);
	free(log);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Process 1 of the guests that `nestkvm demo` boots: a static program that says on the console, in
 * lines for a program to read, what runs in its level, and starts the next level when told so.
 *
 * A line is "NESTKVM " and a JSON object with at least "level" and "event".
 */
#ifndef GUEST_GUEST_H
#define GUEST_GUEST_H

#include <stdbool.h>
#include <stddef.h>

#define GUEST_MODULES_FILE                                                                         \
	"/etc/nestkvm/modules"		    /* [intel:|amd:][?]PATH[ PARAMETERS], in load order */
#define GUEST_NEXT_FILE "/etc/nestkvm/next" /* the next level's command, an argument a line */
#define GUEST_SHELL	"/bin/busybox"

/* One JSON object under construction. */
struct line {
	char text[2048];
	size_t len;
};

/* line.c */
void line_start(struct line *line, int level, const char *event);
void line_string(struct line *line, const char *key, const char *value);
void line_number(struct line *line, const char *key, long long value);
/* Opens "key":{ ... and closes it. */
void line_open(struct line *line, const char *key);
void line_close(struct line *line);
/* Writes the line to the console, in one piece. */
void line_print(struct line *line);
/* Reads a small file without its last newline; "" when it cannot be read. */
const char *file_read(const char *path, char *buf, size_t size);
/* Milliseconds since the kernel started. */
long long uptime_ms(void);

/* facts.c: the event "user": kernel, CPU, hypervisor, memory. */
void facts_print(int level);
/* "intel", "amd" or "other". */
const char *facts_vendor(void);

/* modules.c: loads the modules of GUEST_MODULES_FILE and prints the event "kvm" when KVM is there.
 */
void modules_load(int level);
void modules_print_kvm(int level);

/* next.c: runs the next level and prints its events; its exit status, or -1. */
int next_run(int level, bool interactive);

/* selfcheck.c: prints the event "selfcheck": the kernel messages that tell of trouble. */
void selfcheck_print(int level);

#endif

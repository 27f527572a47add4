/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The next level: its VMM is a child, whose output goes through us, so that L1's counts of KVM's
 * exits are read at the moment the next level says it is done, while its virtual machine still
 * exists.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "guest.h"

#define STATS_DIR   "/sys/kernel/debug/kvm/"
#define SAMPLE_MS   1000
#define MAX_ARGS    64
#define COUNT_STATS (sizeof(stat_names) / sizeof(stat_names[0]))

static const char *const stat_names[] = {
	"exits",     "io_exits",	  "mmio_exits",	    "halt_exits",
	"irq_exits", "irq_injections",	  "insn_emulation", "pf_taken",
	"tlb_flush", "host_state_reload", "nested_run",
};
static long long stats[COUNT_STATS];

/* The counts are sums over the VMs that exist, so keep the highest seen. */
static void stats_sample(void)
{
	char path[96], value[32];

	for (size_t i = 0; i < COUNT_STATS; i++) {
		long long n;

		snprintf(path, sizeof(path), STATS_DIR "%s", stat_names[i]);
		n = atoll(file_read(path, value, sizeof(value)));
		if (n > stats[i])
			stats[i] = n;
	}
}

static void stats_print(int level)
{
	struct line line;

	line_start(&line, level, "exits");
	for (size_t i = 0; i < COUNT_STATS; i++)
		line_number(&line, stat_names[i], stats[i]);
	line_print(&line);
}

/* Looks for the next level's last event in what passes by; a line may come in pieces. */
struct watch {
	char line[256];
	size_t len;
};

static void watch_line(struct watch *watch)
{
	watch->line[watch->len] = 0;
	watch->len = 0;
	if (strstr(watch->line, "NESTKVM {") && strstr(watch->line, "\"event\":\"done\""))
		stats_sample();
}

static void watch_output(struct watch *watch, const char *p, size_t len)
{
	for (; len; p++, len--) {
		if (*p == '\n')
			watch_line(watch);
		else if (watch->len + 1 < sizeof(watch->line))
			watch->line[watch->len++] = *p;
	}
}

static void write_all(const char *p, size_t len)
{
	while (len) {
		ssize_t n = write(STDOUT_FILENO, p, len);

		if (n <= 0)
			return;
		p += n;
		len -= n;
	}
}

/* Passes the child's output on until it ends. */
static void next_forward(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	struct watch watch = {.len = 0};
	char buf[1024];

	for (;;) {
		ssize_t n;

		if (poll(&pfd, 1, SAMPLE_MS) == 0) {
			stats_sample();
			continue;
		}
		n = read(fd, buf, sizeof(buf));
		if (n <= 0 && errno != EINTR)
			return;
		watch_output(&watch, buf, n > 0 ? n : 0);
		write_all(buf, n > 0 ? n : 0);
	}
}

/* Splits the file's lines into argv; the buffer keeps them. */
static bool next_arguments(char *argv[MAX_ARGS])
{
	static char text[4096];
	char *save = NULL, *arg;
	int argc = 0;

	file_read(GUEST_NEXT_FILE, text, sizeof(text));
	for (arg = strtok_r(text, "\n", &save); arg && argc < MAX_ARGS - 1;
	     arg = strtok_r(NULL, "\n", &save))
		argv[argc++] = arg;
	argv[argc] = NULL;
	return argc > 0;
}

static pid_t next_start(char *argv[], int out)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	if (out >= 0) {
		dup2(out, STDOUT_FILENO);
		dup2(out, STDERR_FILENO);
	}
	execv(argv[0], argv);
	dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static void next_print(int level, const char *event, int status)
{
	struct line line;

	line_start(&line, level, event);
	if (status >= 0)
		line_number(&line, "status", status);
	line_print(&line);
}

/* Waits while sampling, for a child that has the terminal itself. */
static int next_wait(pid_t pid, bool sample)
{
	int status = 0;

	while (sample && waitpid(pid, &status, WNOHANG) == 0) {
		stats_sample();
		poll(NULL, 0, SAMPLE_MS);
		sample = kill(pid, 0) == 0;
	}
	if (!sample)
		waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int next_run(int level, bool interactive)
{
	char *argv[MAX_ARGS];
	int out[2] = {-1, -1}, status;
	pid_t pid;

	if (!next_arguments(argv))
		return -1;
	if (!interactive && pipe2(out, O_CLOEXEC) < 0)
		return -1;
	next_print(level, "next", -1);
	pid = next_start(argv, out[1]);
	if (!interactive) {
		close(out[1]);
		next_forward(out[0]);
		close(out[0]);
	}
	status = next_wait(pid, interactive);
	stats_print(level);
	next_print(level, "next_end", status);
	return status;
}

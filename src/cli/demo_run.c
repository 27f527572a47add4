/* SPDX-License-Identifier: BSD-2-Clause */
/* Level 1's machine is `nestkvm run`, this same program, as a child whose console is read here. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "cli/demo.h"
#include "cli/spawn.h"
#include "vmm/msg.h"

#define PROGRESS_MS 250
#define KILL_MS	    3000

/* Set by SIGINT and SIGTERM: the child is ended, and the summary says so. */
static volatile sig_atomic_t interrupted;

struct lines {
	char text[4096];
	size_t len;
};

u64 demo_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ull + now.tv_nsec / 1000000;
}

static void on_signal(int sig)
{
	interrupted = sig;
}

static void flush_line(struct demo *demo, struct lines *lines)
{
	lines->text[lines->len] = 0;
	lines->len = 0;
	demo_take_line(demo, lines->text, demo_now_ms());
}

/* Console output ends lines with CR LF, and each level's terminal may add a CR. */
static void take_output(struct demo *demo, struct lines *lines, const char *p, size_t n)
{
	for (; n; p++, n--) {
		if (*p == '\n')
			flush_line(demo, lines);
		else if (*p != '\r' && lines->len + 1 < sizeof(lines->text))
			lines->text[lines->len++] = *p;
	}
}

static bool is_over(struct demo *demo, u64 now)
{
	if (interrupted)
		return true;
	if (demo->timeout_s && now - demo->start_ms > demo->timeout_s * 1000ull)
		demo->timed_out = true;
	return demo->timed_out;
}

/* Until the child closes its output, the time is over, or the user interrupts. */
static void read_console(struct demo *demo, int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	struct lines lines = {.len = 0};
	char buf[4096];

	while (!is_over(demo, demo_now_ms())) {
		ssize_t n;

		if (poll(&pfd, 1, PROGRESS_MS) <= 0) {
			demo_print_progress(demo, demo_now_ms());
			continue;
		}
		n = read(fd, buf, sizeof(buf));
		if (n <= 0 && errno != EINTR)
			break;
		take_output(demo, &lines, buf, n > 0 ? n : 0);
	}
	if (lines.len)
		flush_line(demo, &lines);
}

/* Ends the child when it has not ended by itself; its exit status. */
static int finish_child(struct demo *demo, pid_t pid)
{
	u64 start = demo_now_ms();
	int status = 0;

	if (demo->timed_out || interrupted)
		kill(pid, SIGTERM);
	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (demo_now_ms() - start > KILL_MS)
			kill(pid, SIGKILL);
		usleep(10000);
	}
	return spawn_status(status);
}

static int run_watched(struct demo *demo, char *const argv[])
{
	struct sigaction action = {.sa_handler = on_signal}, old_int, old_term;
	pid_t pid;
	int fd;

	sigaction(SIGINT, &action, &old_int);
	sigaction(SIGTERM, &action, &old_term);
	pid = spawn_piped(argv, &fd);
	if (pid > 0) {
		read_console(demo, fd);
		demo->status = finish_child(demo, pid);
		close(fd);
	}
	sigaction(SIGINT, &old_int, NULL);
	sigaction(SIGTERM, &old_term, NULL);
	return pid < 0 ? (int)pid : 0;
}

/* The guest's console is the user's terminal; Ctrl-C is for the guest. */
static int run_on_terminal(struct demo *demo, char *const argv[])
{
	int status = 0;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		execv(argv[0], argv);
		_exit(127);
	}
	if (pid < 0)
		return -errno;
	signal(SIGINT, SIG_IGN);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	demo->status = spawn_status(status);
	return 0;
}

int demo_run(struct demo *demo, const char *initramfs)
{
	const struct level_config *l = &demo->config.level[1];
	char cmdline[2048], cpus[16], mem[32];
	char *argv[] = {"/proc/self/exe",
			"run",
			"--accel",
			(char *)l->accel,
			"-k",
			demo->kernel.image,
			"-i",
			(char *)initramfs,
			"-c",
			cpus,
			"-m",
			mem,
			"--cpu",
			(char *)l->cpu,
			"--name",
			"L1",
			"-p",
			cmdline,
			NULL};
	int ret;

	initramfs_cmdline(&demo->config, 1, cmdline, sizeof(cmdline));
	snprintf(cpus, sizeof(cpus), "%u", l->cpus);
	snprintf(mem, sizeof(mem), "%lluM", (unsigned long long)l->mem_mib);
	demo->start_ms = demo_now_ms();
	ret = demo->config.shell_at ? run_on_terminal(demo, argv) : run_watched(demo, argv);
	demo->end_ms = demo_now_ms();
	if (ret < 0)
		return msg_fail(ret, "cannot start level 1: %s", strerror(-ret));
	return 0;
}

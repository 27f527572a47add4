/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Process 1. The kernel's command line says what to do in this level:
 *   nestkvm.level=N    which level this is (1)
 *   nestkvm.shell      a shell on the console, instead of what follows
 *   nestkvm.run=PATH   a shell script to run
 *   nestkvm.shellat=N  the next levels lead to a shell: their terminal is ours
 * else the command in GUEST_NEXT_FILE, when there is one. Then the machine is powered off.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include "guest.h"

/* The word after "key" on the command line ("" for a bare key), or NULL. */
static const char *option(const char *key)
{
	static char words[4096];
	char path[4096], *save = NULL;
	size_t len = strlen(key);

	file_read("/proc/cmdline", path, sizeof(path));
	memcpy(words, path, sizeof(words));
	for (char *p = strtok_r(words, " ", &save); p; p = strtok_r(NULL, " ", &save)) {
		if (strncmp(p, key, len))
			continue;
		if (p[len] == '=')
			return p + len + 1;
		if (!p[len])
			return p + len;
	}
	return NULL;
}

static void mount_all(void)
{
	static const struct {
		const char *type, *path;
	} mounts[] = {
		{"proc", "/proc"},	{"sysfs", "/sys"},     {"devtmpfs", "/dev"},
		{"tmpfs", "/tmp"},	{"tmpfs", "/run"},     {"debugfs", "/sys/kernel/debug"},
		{"devpts", "/dev/pts"}, {"tmpfs", "/dev/shm"},
	};

	for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		mkdir(mounts[i].path, 0755);
		mount(mounts[i].type, mounts[i].path, mounts[i].type, 0, NULL);
	}
}

/* Standard input and output on the console: the kernel opened it before devtmpfs was there. */
static void open_console(void)
{
	int fd = open("/dev/console", O_RDWR);

	if (fd < 0)
		return;
	for (int i = 0; i < 3; i++)
		dup2(fd, i);
	if (fd > 2)
		close(fd);
}

/* A controlling terminal must be the real one behind /dev/console: the last that is active. */
static void take_terminal(void)
{
	char active[64], path[80];
	const char *name;
	int fd;

	file_read("/sys/class/tty/console/active", active, sizeof(active));
	name = strrchr(active, ' ') ? strrchr(active, ' ') + 1 : active;
	snprintf(path, sizeof(path), "/dev/%s", name);
	setsid();
	fd = open(path, O_RDWR);
	if (fd < 0)
		return;
	ioctl(fd, TIOCSCTTY, 1);
	for (int i = 0; i < 3; i++)
		dup2(fd, i);
}

static int run_shell(const char *script)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		if (!script)
			take_terminal();
		execl(GUEST_SHELL, "sh", script, NULL);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The names of busybox's programs, for a shell or a script; costs time, so only for these. */
static void install_busybox(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		execl(GUEST_SHELL, "busybox", "--install", "-s", "/bin", NULL);
		_exit(127);
	}
	waitpid(pid, NULL, 0);
}

static int do_work(int level)
{
	const char *script = option("nestkvm.run"), *at = option("nestkvm.shellat");
	bool shell = option("nestkvm.shell");
	int status;

	if (shell || script) {
		install_busybox();
		return run_shell(shell ? NULL : script);
	}
	if (access(GUEST_NEXT_FILE, F_OK))
		return 0;
	status = next_run(level, at && atoi(at) > level);
	return status < 0 ? 1 : status;
}

static void power_off(int level, int status)
{
	struct line line;

	line_start(&line, level, "done");
	line_number(&line, "status", status);
	line_print(&line);
	tcdrain(STDOUT_FILENO);
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

int main(void)
{
	const char *word;
	int level, status;

	mount_all();
	open_console();
	setenv("PATH", "/bin:/sbin:/usr/bin:/usr/sbin", 1);
	setenv("HOME", "/", 1);
	setenv("TERM", "vt100", 1);
	word = option("nestkvm.level");
	level = word ? atoi(word) : 1;
	facts_print(level);
	modules_load(level);
	if (!access("/sys/module/kvm", F_OK) || !access("/dev/kvm", F_OK))
		modules_print_kvm(level);
	status = do_work(level);
	selfcheck_print(level);
	power_off(level, status);
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cli/spawn.h"

#define TICK_MS 500

int spawn_status(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* In the child: does not return. */
static void child_exec(const char *dir, char *const argv[], int out)
{
	int null = open("/dev/null", O_RDONLY);

	dup2(null, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	if (dir && chdir(dir) < 0)
		_exit(126);
	execvp(argv[0], argv);
	_exit(127);
}

static pid_t spawn_in(const char *dir, char *const argv[], int *out, bool own_group)
{
	int pipe_fds[2];
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		if (own_group)
			setpgid(0, 0);
		/* A guest must not go on when whoever watches it is gone. */
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		child_exec(dir, argv, pipe_fds[1]);
	}
	close(pipe_fds[1]);
	if (pid < 0) {
		pid = -errno;
		close(pipe_fds[0]);
	}
	*out = pipe_fds[0];
	return pid;
}

pid_t spawn_piped(char *const argv[], int *out)
{
	return spawn_in(NULL, argv, out, true);
}

static void keep(char *out, size_t size, size_t *used, const char *buf, size_t n)
{
	if (!out)
		return;
	n = MIN(n, size - 1 - *used);
	memcpy(out + *used, buf, n);
	*used += n;
	out[*used] = 0;
}

int spawn_wait_in(const char *dir, char *const argv[], char *out, size_t size, void (*tick)(void *),
		  void *opaque)
{
	int fd, status = 0;
	pid_t pid = spawn_in(dir, argv, &fd, false);
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	size_t used = 0;
	char buf[4096];

	if (pid < 0)
		return pid;
	if (out)
		*out = 0;
	for (;;) {
		ssize_t n;

		if (poll(&pfd, 1, TICK_MS) == 0) {
			if (tick)
				tick(opaque);
			continue;
		}
		n = read(fd, buf, sizeof(buf));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		keep(out, size, &used, buf, n);
	}
	close(fd);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return spawn_status(status);
}

int spawn_wait(char *const argv[], char *out, size_t size)
{
	return spawn_wait_in(NULL, argv, out, size, NULL, NULL);
}

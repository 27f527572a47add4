/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands of the nestkvm program: one function each, one line each in the table of main.c. */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

/* Exit codes that all commands share. */
enum {
	EXIT_OK = 0,
	EXIT_FAILED = 1, /* it did not work; the message says why */
	EXIT_USAGE = 2,	 /* wrong arguments */
};

struct command {
	const char *name;
	const char *summary; /* one line for `nestkvm help` */
	/* argv[0] is the command's name; returns the exit code. */
	int (*main)(int argc, char **argv);
};

int cmd_demo(int argc, char **argv);
int cmd_initramfs(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_version(int argc, char **argv);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <string.h>
#include "base/types.h"
#include "cli/command.h"

static int cmd_help(int argc, char **argv);

static const struct command commands[] = {
	{"run", "boot a guest kernel in a virtual machine", cmd_run},
	{"demo", "boot a guest that boots a guest, and say what runs where", cmd_demo},
	{"initramfs", "make an initramfs for a guest", cmd_initramfs},
	{"version", "print the version", cmd_version},
	{"help", "list the commands", cmd_help},
};

static void print_commands(FILE *out)
{
	fprintf(out, "usage: nestkvm COMMAND [OPTIONS]\n\nCommands:\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
	fprintf(out, "\n`nestkvm COMMAND --help` describes a command.\n");
}

static const struct command *find_command(const char *name)
{
	if (!strcmp(name, "--help") || !strcmp(name, "-h"))
		name = "help";
	if (!strcmp(name, "--version") || !strcmp(name, "-V"))
		name = "version";
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

/* `nestkvm help run` is `nestkvm run --help`. */
static int cmd_help(int argc, char **argv)
{
	const struct command *command = argc > 1 ? find_command(argv[1]) : NULL;
	char *args[] = {argc > 1 ? argv[1] : NULL, (char *)"--help", NULL};

	if (command && command->main != cmd_help)
		return command->main(2, args);
	print_commands(stdout);
	return EXIT_OK;
}

int main(int argc, char **argv)
{
	const struct command *command;

	if (argc < 2) {
		print_commands(stderr);
		return EXIT_USAGE;
	}
	command = find_command(argv[1]);
	if (!command) {
		fprintf(stderr, "nestkvm: there is no command %s; see `nestkvm help`\n", argv[1]);
		return EXIT_USAGE;
	}
	return command->main(argc - 1, argv + 1);
}

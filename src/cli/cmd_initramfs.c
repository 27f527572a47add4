/* SPDX-License-Identifier: BSD-2-Clause */
/* `nestkvm initramfs`: makes an initramfs for a guest, for tests and for people. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/command.h"
#include "cli/initramfs.h"
#include "vmm/msg.h"

#define MAX_ITEMS 64

static const char help[] =
	"usage: nestkvm initramfs -o FILE [OPTIONS]\n"
	"\n"
	"Makes an initramfs for a Linux guest: a process 1 that says what runs there, busybox, and "
	"what is\n"
	"asked for. With --depth 2 it boots a guest of its own.\n"
	"\n"
	"  -o, --output FILE    the file to write\n"
	"  -k, --kernel KERNEL  the guest's kernel: a file, or 6.1, 6.12, 6.1-amd64 (for its "
	"modules)\n"
	"      --modules DIR    the kernel's modules (/lib/modules/RELEASE)\n"
	"      --load NAME      load this kernel module at start, with those it needs (repeat it)\n"
	"      --add FROM:/TO   add a file, or a program with its libraries (repeat it)\n"
	"      --depth N        levels of guests (1)\n"
	"      --print-kernel   print the kernel's file and the modules' folder, and end\n"
	"  -h, --help           this text\n"
	"\n"
	"On the guest's command line, nestkvm.run=PATH runs a shell script, nestkvm.shell a "
	"shell.\n";

enum { OPT_MODULES = 256, OPT_LOAD, OPT_ADD, OPT_DEPTH, OPT_PRINT_KERNEL };

static const struct option options[] = {
	{"output", required_argument, NULL, 'o'},
	{"kernel", required_argument, NULL, 'k'},
	{"modules", required_argument, NULL, OPT_MODULES},
	{"load", required_argument, NULL, OPT_LOAD},
	{"add", required_argument, NULL, OPT_ADD},
	{"depth", required_argument, NULL, OPT_DEPTH},
	{"print-kernel", no_argument, NULL, OPT_PRINT_KERNEL},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

struct args {
	const char *output, *kernel, *modules;
	const char *load[MAX_ITEMS + 1], *add[MAX_ITEMS + 1];
	unsigned loads, adds, depth;
	bool print_kernel;
};

static int parse_item(const char *items[], unsigned *count, const char *item)
{
	if (*count == MAX_ITEMS)
		return msg_fail(-EINVAL, "too many of these: %s", item);
	items[(*count)++] = item;
	return 0;
}

static int parse_depth(const char *text, unsigned *depth)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (end == text || *end || n < 1 || n > INITRAMFS_MAX_LEVELS)
		return msg_fail(-EINVAL, "--depth wants a number from 1 to %d, not %s",
				INITRAMFS_MAX_LEVELS, text);
	*depth = n;
	return 0;
}

static int parse_option(int opt, const char *arg, struct args *args)
{
	switch (opt) {
	case 'o':
		args->output = arg;
		return 0;
	case 'k':
		args->kernel = arg;
		return 0;
	case OPT_MODULES:
		args->modules = arg;
		return 0;
	case OPT_LOAD:
		return parse_item(args->load, &args->loads, arg);
	case OPT_ADD:
		return parse_item(args->add, &args->adds, arg);
	case OPT_DEPTH:
		return parse_depth(arg, &args->depth);
	case OPT_PRINT_KERNEL:
		args->print_kernel = true;
		return 0;
	default:
		return -EINVAL; /* getopt has said what is wrong */
	}
}

static int write_it(const struct args *args, const struct kernel *kernel)
{
	struct initramfs_config config = {
		.depth = args->depth,
		.modules = args->loads ? args->load : NULL,
		.files = args->adds ? args->add : NULL,
	};

	for (unsigned i = 1; i <= args->depth; i++)
		config.level[i] = (struct level_config){
			.kernel = kernel,
			.cpu = "host",
			.accel = "kvm",
			.mem_mib = initramfs_level_mem(args->depth, i, INITRAMFS_TOP_MIB),
			.cpus = 1,
		};
	return initramfs_write(&config, 1, args->output) < 0 ? EXIT_FAILED : EXIT_OK;
}

int cmd_initramfs(int argc, char **argv)
{
	struct args args = {.depth = 1};
	struct kernel kernel = {.image = ""};
	int opt;

	optind = 1;
	while ((opt = getopt_long(argc, argv, "o:k:h", options, NULL)) != -1) {
		if (opt == 'h') {
			fputs(help, stdout);
			return EXIT_OK;
		}
		if (parse_option(opt, optarg, &args) < 0)
			return EXIT_USAGE;
	}
	if (optind < argc || (!args.output && !args.print_kernel)) {
		msg_fail(0, "wrong arguments; see `nestkvm initramfs --help`");
		return EXIT_USAGE;
	}
	if ((args.loads || args.depth > 1 || args.print_kernel) &&
	    kernel_find(args.kernel, args.modules, &kernel) < 0)
		return EXIT_FAILED;
	if (args.print_kernel)
		printf("%s\n%s\n", kernel.image, kernel.modules);
	return args.output ? write_it(&args, &kernel) : EXIT_OK;
}

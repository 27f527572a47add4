/* SPDX-License-Identifier: BSD-2-Clause */
/* `nestkvm demo`: options, preparation, and the exit code. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/command.h"
#include "cli/demo.h"
#include "cli/run.h"
#include "vmm/msg.h"

#define DEFAULT_CPU	  "Haswell-noTSX-IBRS,vmx=on"
#define DEFAULT_TIMEOUT_S 600

static const char help[] =
	"usage: nestkvm demo [OPTIONS]\n"
	"\n"
	"Boots Linux in a virtual machine (level 1) whose own KVM boots Linux in a virtual machine "
	"(level 2),\n"
	"says level by level what runs there, and proves that level 2 ran under level 1's KVM.\n"
	"\n"
	"  -k, --kernel KERNEL  kernel of all levels: a file, 6.1, 6.12, 6.1-amd64, or a Debian "
	"package\n"
	"                       (an installed or cached cloud kernel; else it is downloaded with "
	"apt)\n"
	"      --modules DIR    the kernel's modules (/lib/modules/RELEASE)\n"
	"      --depth N        levels of guests, from 1 (2)\n"
	"      --accel KIND     KVM for level 1: auto, kvm (the kernel's), soft (nestkvm's own) "
	"(auto)\n"
	"      --cpu MODEL      CPU model of level 1 (" DEFAULT_CPU ")\n"
	"  -c, --cpus N         CPUs of level 1 (1)\n"
	"      --l2-cpus N      CPUs of the levels above it (1)\n"
	"  -m, --mem SIZE       memory of level 1, in MiB or with K, M, G behind it\n"
	"      --l2-mem SIZE    memory of the highest level (256M)\n"
	"      --kvm-params P   parameters of the guests' kvm_intel and kvm_amd: \"ept=0 vpid=0\"\n"
	"  -p, --params STRING  added to the kernels' command lines\n"
	"      --shell N        a shell in level N, on this terminal\n"
	"      --json           one JSON object instead of text\n"
	"      --log FILE       write the full consoles there\n"
	"      --timeout S      give up after S seconds, 0: never (600)\n"
	"      --verbose        the guests' kernels print all their messages (slower)\n"
	"  -h, --help           this text\n"
	"\n"
	"Exit codes: 0 all levels ran; 1 a level did not come up or had trouble; 2 wrong "
	"arguments; 3 it\n"
	"could not be prepared (no kernel, no space); 4 the time was over.\n";

enum {
	OPT_MODULES = 256,
	OPT_DEPTH,
	OPT_ACCEL,
	OPT_CPU,
	OPT_L2_CPUS,
	OPT_L2_MEM,
	OPT_KVM_PARAMS,
	OPT_SHELL,
	OPT_JSON,
	OPT_LOG,
	OPT_TIMEOUT,
	OPT_VERBOSE,
};

static const struct option options[] = {
	{"kernel", required_argument, NULL, 'k'},
	{"modules", required_argument, NULL, OPT_MODULES},
	{"depth", required_argument, NULL, OPT_DEPTH},
	{"accel", required_argument, NULL, OPT_ACCEL},
	{"cpu", required_argument, NULL, OPT_CPU},
	{"cpus", required_argument, NULL, 'c'},
	{"l2-cpus", required_argument, NULL, OPT_L2_CPUS},
	{"mem", required_argument, NULL, 'm'},
	{"l2-mem", required_argument, NULL, OPT_L2_MEM},
	{"kvm-params", required_argument, NULL, OPT_KVM_PARAMS},
	{"params", required_argument, NULL, 'p'},
	{"shell", required_argument, NULL, OPT_SHELL},
	{"json", no_argument, NULL, OPT_JSON},
	{"log", required_argument, NULL, OPT_LOG},
	{"timeout", required_argument, NULL, OPT_TIMEOUT},
	{"verbose", no_argument, NULL, OPT_VERBOSE},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

struct args {
	const char *kernel, *modules, *accel, *cpu, *params;
	unsigned cpus, l2_cpus;
	u64 mem, l2_mem; /* bytes */
};

static int parse_number(const char *option, const char *text, unsigned low, unsigned high,
			unsigned *number)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (end == text || *end || n < low || n > high)
		return msg_fail(-EINVAL, "%s wants a number from %u to %u, not %s", option, low,
				high, text);
	*number = n;
	return 0;
}

static int parse_size(const char *option, const char *text, u64 *size)
{
	if (run_parse_size(text, size) < 0)
		return msg_fail(-EINVAL, "%s wants a size such as 512M or 2G, not %s", option,
				text);
	return 0;
}

static int parse_accel(const char *text, const char **accel)
{
	if (strcmp(text, "auto") && strcmp(text, "kvm") && strcmp(text, "soft"))
		return msg_fail(-EINVAL, "--accel wants auto, kvm or soft, not %s", text);
	*accel = text;
	return 0;
}

static int parse_option(int opt, const char *arg, struct args *args, struct demo *demo)
{
	switch (opt) {
	case 'k':
		args->kernel = arg;
		return 0;
	case OPT_MODULES:
		args->modules = arg;
		return 0;
	case OPT_DEPTH:
		return parse_number("--depth", arg, 1, INITRAMFS_MAX_LEVELS, &demo->config.depth);
	case OPT_ACCEL:
		return parse_accel(arg, &args->accel);
	case OPT_CPU:
		args->cpu = arg;
		return 0;
	case 'c':
		return parse_number("--cpus", arg, 1, 64, &args->cpus);
	case OPT_L2_CPUS:
		return parse_number("--l2-cpus", arg, 1, 64, &args->l2_cpus);
	case 'm':
		return parse_size("--mem", arg, &args->mem);
	case OPT_L2_MEM:
		return parse_size("--l2-mem", arg, &args->l2_mem);
	case OPT_KVM_PARAMS:
		demo->config.kvm_params = arg;
		return 0;
	case 'p':
		args->params = arg;
		return 0;
	case OPT_SHELL:
		return parse_number("--shell", arg, 1, INITRAMFS_MAX_LEVELS,
				    &demo->config.shell_at);
	case OPT_JSON:
		demo->json = true;
		return 0;
	case OPT_LOG:
		demo->log_file = arg;
		return 0;
	case OPT_TIMEOUT:
		return parse_number("--timeout", arg, 0, 1000000, &demo->timeout_s);
	case OPT_VERBOSE:
		demo->config.verbose = true;
		return 0;
	default:
		return -EINVAL; /* getopt has said what is wrong */
	}
}

/* 0: go on; 1: help was printed; negative: wrong arguments. */
static int parse(int argc, char **argv, struct args *args, struct demo *demo)
{
	int opt, ret;

	optind = 1;
	while ((opt = getopt_long(argc, argv, "k:c:m:p:h", options, NULL)) != -1) {
		if (opt == 'h') {
			fputs(help, stdout);
			return 1;
		}
		ret = parse_option(opt, optarg, args, demo);
		if (ret < 0)
			return ret;
	}
	if (optind < argc)
		return msg_fail(-EINVAL, "there is an argument too many: %s", argv[optind]);
	if (demo->config.shell_at > demo->config.depth)
		demo->config.depth = demo->config.shell_at;
	if (demo->config.shell_at && (demo->json || demo->log_file))
		return msg_fail(-EINVAL, "--shell needs the terminal: not with --json or --log");
	return 0;
}

static void configure_levels(struct demo *demo, const struct args *args)
{
	unsigned depth = demo->config.depth;
	u64 top = args->l2_mem ? args->l2_mem >> 20 : INITRAMFS_TOP_MIB;

	for (unsigned i = 1; i <= depth; i++)
		demo->config.level[i] = (struct level_config){
			.kernel = &demo->kernel,
			.cpu = i == 1 ? args->cpu : "host",
			.accel = i == 1 ? args->accel : "kvm",
			.params = args->params,
			.cpus = i == 1 ? args->cpus : args->l2_cpus,
			.mem_mib = initramfs_level_mem(depth, i, top),
			.shell = demo->config.shell_at == i,
		};
	if (args->mem)
		demo->config.level[1].mem_mib = args->mem >> 20;
}

static int open_log(struct demo *demo)
{
	if (!demo->log_file)
		return 0;
	demo->log = fopen(demo->log_file, "w");
	if (!demo->log)
		return msg_fail(-errno, "cannot write %s: %s", demo->log_file, strerror(errno));
	setvbuf(demo->log, NULL, _IOLBF, 0);
	return 0;
}

/* Runs with an initramfs in a file of its own, which is gone afterwards. */
static int run_with_initramfs(struct demo *demo)
{
	const char *dir = getenv("TMPDIR");
	char file[4096];
	int fd, ret;

	snprintf(file, sizeof(file), "%s/nestkvm-demo-XXXXXX", dir && *dir ? dir : "/tmp");
	fd = mkstemp(file);
	if (fd < 0)
		return msg_fail(-errno, "cannot make a file %s: %s", file, strerror(errno));
	close(fd);
	ret = initramfs_write(&demo->config, 1, file);
	if (ret == 0) {
		demo_print_start(demo);
		ret = demo_run(demo, file);
	}
	unlink(file);
	return ret;
}

static int exit_code(const struct demo *demo)
{
	if (demo->config.shell_at)
		return demo->status ? DEMO_EXIT_LEVEL : EXIT_OK;
	if (demo->timed_out)
		return DEMO_EXIT_TIMEOUT;
	return demo_succeeded(demo) ? EXIT_OK : DEMO_EXIT_LEVEL;
}

int cmd_demo(int argc, char **argv)
{
	static struct demo demo;
	struct args args = {.accel = "auto", .cpus = 1, .l2_cpus = 1};
	int ret;

	demo = (struct demo){.config.depth = 2, .timeout_s = DEFAULT_TIMEOUT_S};
	ret = parse(argc, argv, &args, &demo);
	if (ret)
		return ret < 0 ? EXIT_USAGE : EXIT_OK;
	if (!args.cpu)
		args.cpu = strcmp(args.accel, "kvm") ? DEFAULT_CPU : "host";
	demo.colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR") && !demo.json;
	if (kernel_find(args.kernel, args.modules, &demo.kernel) < 0 || open_log(&demo) < 0)
		return DEMO_EXIT_PREPARE;
	configure_levels(&demo, &args);
	if (run_with_initramfs(&demo) < 0)
		return DEMO_EXIT_PREPARE;
	if (!demo.config.shell_at)
		demo_print_summary(&demo);
	if (demo.log)
		fclose(demo.log);
	return exit_code(&demo);
}

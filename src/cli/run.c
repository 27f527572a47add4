/* SPDX-License-Identifier: BSD-2-Clause */
/* `nestkvm run`: options, then one virtual machine from start to end. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include "cli/command.h"
#include "cli/run.h"
#include "vmm/cpu_model.h"
#include "vmm/msg.h"
#include "vmm/vmm.h"

static const char run_help[] =
	"usage: nestkvm run -k KERNEL [OPTIONS]\n"
	"\n"
	"Boots a Linux bzImage or an ELF vmlinux in a virtual machine.\n"
	"\n"
	"  -k, --kernel FILE    kernel image (may also be the last argument)\n"
	"  -i, --initrd FILE    initial RAM disk\n"
	"  -p, --params STRING  kernel command line\n"
	"  -c, --cpus N         number of virtual CPUs (1)\n"
	"  -m, --mem SIZE       memory, in MiB or with K, M, G behind it (512M)\n"
	"      --cpu MODEL      CPU model as in QEMU: host, max, or a name, with features:\n"
	"                       Haswell-noTSX-IBRS,vmx=on,-avx2,enforce (host); `help` lists them\n"
	"      --accel KIND     which KVM: auto, kvm (the kernel's), soft (nestkvm's own) (auto)\n"
	"      --dev NODE       device of the kernel's KVM (/dev/kvm)\n"
	"      --kvm-params P   module parameters for the software KVM: nested=1,ept=0,...\n"
	"      --mem-path PATH  back the memory with a file, or a directory (hugetlbfs, tmpfs)\n"
	"      --mem-prealloc   allocate all memory at start\n"
	"      --no-hugepages   do not ask for transparent huge pages\n"
	"  -d, --disk FILE[,ro] virtio disk on a file or block device\n"
	"  -n, --net KIND       virtio network card: user[,hostfwd=...], none, tap=NAME (none)\n"
	"      --rng            virtio random number generator\n"
	"      --vsock CID[,path=FILE]  virtio socket with this context id; host side: FILE, FILE_PORT\n"
	"      --console KIND   serial (ttyS0), virtio (hvc0), or none: ttyS0 without input "
	"(serial)\n"
	"      --no-defaults    do not put console=ttyS0 in front of the command line\n"
	"      --guest-unpack   let the kernel unpack itself instead of unpacking it here\n"
	"      --name NAME      name of the guest, for messages and the process list\n"
	"  -q, --quiet          say nothing but errors\n"
	"  -h, --help           this text\n"
	"\n"
	"At the console, Ctrl-A x quits, Ctrl-A a sends Ctrl-A, Ctrl-A h helps.\n"
	"\n"
	"Exit codes: 0 the guest powered off, or the user quit with Ctrl-A x; 1 the guest could "
	"not be\n"
	"started or KVM could not go on; 2 wrong arguments; 3 the guest asked for a reset "
	"(reboot);\n"
	"4 triple fault; 5 the guest halted for ever; 128+N ended by signal N.\n";

enum {
	OPT_CPU = 256,
	OPT_ACCEL,
	OPT_DEV,
	OPT_KVM_PARAMS,
	OPT_MEM_PATH,
	OPT_MEM_PREALLOC,
	OPT_NO_HUGEPAGES,
	OPT_CONSOLE,
	OPT_NO_DEFAULTS,
	OPT_GUEST_UNPACK,
	OPT_NAME,
	OPT_RNG,
	OPT_VSOCK,
};

static const struct option run_options[] = {
	{"kernel", required_argument, NULL, 'k'},
	{"initrd", required_argument, NULL, 'i'},
	{"params", required_argument, NULL, 'p'},
	{"cpus", required_argument, NULL, 'c'},
	{"mem", required_argument, NULL, 'm'},
	{"cpu", required_argument, NULL, OPT_CPU},
	{"accel", required_argument, NULL, OPT_ACCEL},
	{"dev", required_argument, NULL, OPT_DEV},
	{"kvm-params", required_argument, NULL, OPT_KVM_PARAMS},
	{"mem-path", required_argument, NULL, OPT_MEM_PATH},
	{"mem-prealloc", no_argument, NULL, OPT_MEM_PREALLOC},
	{"no-hugepages", no_argument, NULL, OPT_NO_HUGEPAGES},
	{"disk", required_argument, NULL, 'd'},
	{"net", required_argument, NULL, 'n'},
	{"rng", no_argument, NULL, OPT_RNG},
	{"vsock", required_argument, NULL, OPT_VSOCK},
	{"console", required_argument, NULL, OPT_CONSOLE},
	{"no-defaults", no_argument, NULL, OPT_NO_DEFAULTS},
	{"guest-unpack", no_argument, NULL, OPT_GUEST_UNPACK},
	{"name", required_argument, NULL, OPT_NAME},
	{"quiet", no_argument, NULL, 'q'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

int run_parse_size(const char *text, u64 *size)
{
	char *end;
	u64 n, unit = 1ull << 20;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || end == text || *text == '-')
		return -EINVAL;
	if (*end) {
		static const char units[] = "KMGT";
		const char *u = strchr(units, *end & ~0x20);

		if (!u || end[1])
			return -EINVAL;
		unit = 1ull << (10 * (u - units + 1));
	}
	if (n > (1ull << 46) / unit)
		return -EINVAL;
	*size = n * unit;
	return 0;
}

static int run_parse_cpus(const char *text, unsigned *cpus)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (end == text || *end || n < 1 || n > MACHINE_MAX_CPUS)
		return msg_fail(-EINVAL, "-c wants a number from 1 to %d, not %s", MACHINE_MAX_CPUS,
				text);
	*cpus = n;
	return 0;
}

static int run_parse_accel(const char *text, enum kvm_accel *accel)
{
	if (!strcmp(text, "auto"))
		*accel = KVM_ACCEL_AUTO;
	else if (!strcmp(text, "kvm"))
		*accel = KVM_ACCEL_KERNEL;
	else if (!strcmp(text, "soft"))
		*accel = KVM_ACCEL_SOFT;
	else
		return msg_fail(-EINVAL, "--accel wants auto, kvm or soft, not %s", text);
	return 0;
}

static int run_parse_console(const char *text, struct vmm_config *config)
{
	if (!strcmp(text, "serial"))
		config->console = VMM_CONSOLE_SERIAL;
	else if (!strcmp(text, "virtio"))
		config->console = VMM_CONSOLE_VIRTIO;
	else if (!strcmp(text, "none"))
		config->console = VMM_CONSOLE_NONE;
	else
		return msg_fail(-EINVAL, "--console wants serial, virtio or none, not %s", text);
	return 0;
}

static int run_add_device(struct vmm_config *config, const char *kind, const char *args)
{
	if (config->device_count == VMM_MAX_DEVICES)
		return msg_fail(-EINVAL, "there are more than %d devices", VMM_MAX_DEVICES);
	config->device[config->device_count++] = (struct vmm_device){kind, args};
	return 0;
}

/* Options that add a device. */
static int run_parse_device(int opt, const char *arg, struct vmm_config *config)
{
	switch (opt) {
	case 'd':
		return run_add_device(config, "disk", arg);
	case 'n':
		return strcmp(arg, "none") ? run_add_device(config, "net", arg) : 0;
	case OPT_RNG:
		return run_add_device(config, "rng", "");
	case OPT_VSOCK:
		return run_add_device(config, "vsock", arg);
	default:
		return -EINVAL; /* getopt has said what is wrong */
	}
}

static int run_parse_option(int opt, const char *arg, struct vmm_config *config)
{
	switch (opt) {
	case 'k':
		config->boot.kernel = arg;
		return 0;
	case 'i':
		config->boot.initrd = arg;
		return 0;
	case 'p':
		config->cmdline = arg;
		return 0;
	case 'c':
		return run_parse_cpus(arg, &config->machine.cpus);
	case 'm':
		if (run_parse_size(arg, &config->machine.ram.size) < 0)
			return msg_fail(-EINVAL, "-m wants a size such as 512M or 2G, not %s", arg);
		return 0;
	case OPT_CPU:
		config->cpu_model = arg;
		return 0;
	case OPT_ACCEL:
		return run_parse_accel(arg, &config->accel);
	case OPT_DEV:
		config->kvm_node = arg;
		return 0;
	case OPT_KVM_PARAMS:
		config->kvm_params = arg;
		return 0;
	case OPT_MEM_PATH:
		config->machine.ram.path = arg;
		return 0;
	case OPT_MEM_PREALLOC:
		config->machine.ram.prealloc = true;
		return 0;
	case OPT_NO_HUGEPAGES:
		config->machine.ram.no_hugepages = true;
		return 0;
	case OPT_CONSOLE:
		return run_parse_console(arg, config);
	case OPT_NO_DEFAULTS:
		config->no_defaults = true;
		return 0;
	case OPT_GUEST_UNPACK:
		config->boot.guest_unpacks = true;
		return 0;
	case OPT_NAME:
		config->name = arg;
		return 0;
	case 'q':
		msg_set_quiet(true);
		return 0;
	default:
		return run_parse_device(opt, arg, config);
	}
}

/* 0: go on; 1: help was printed; negative: wrong arguments. */
static int run_parse(int argc, char **argv, struct vmm_config *config)
{
	int opt, ret;

	optind = 1;
	while ((opt = getopt_long(argc, argv, "k:i:p:c:m:d:n:qh", run_options, NULL)) != -1) {
		if (opt == 'h') {
			fputs(run_help, stdout);
			return 1;
		}
		if (opt == OPT_CPU && !strcmp(optarg, "help")) {
			cpu_model_list(stdout);
			return 1;
		}
		ret = run_parse_option(opt, optarg, config);
		if (ret < 0)
			return ret;
	}
	if (optind < argc && !config->boot.kernel)
		config->boot.kernel = argv[optind++];
	if (optind < argc)
		return msg_fail(-EINVAL, "there is an argument too many: %s", argv[optind]);
	if (!config->boot.kernel)
		return msg_fail(-EINVAL, "no kernel given; see `nestkvm run --help`");
	return 0;
}

static int run_exit_code(enum machine_end end, int sig)
{
	switch (end) {
	case MACHINE_POWEROFF:
	case MACHINE_QUIT:
		return EXIT_OK;
	case MACHINE_RESET:
		return RUN_EXIT_RESET;
	case MACHINE_TRIPLE_FAULT:
		return RUN_EXIT_TRIPLE_FAULT;
	case MACHINE_HALTED:
		return RUN_EXIT_HALTED;
	case MACHINE_SIGNAL:
		return 128 + sig;
	default:
		return EXIT_FAILED;
	}
}

int cmd_run(int argc, char **argv)
{
	struct vmm_config config = vmm_config_default();
	enum machine_end end;
	int sig = 0, ret = run_parse(argc, argv, &config);

	if (ret)
		return ret < 0 ? EXIT_USAGE : EXIT_OK;
	end = vmm_run(&config, &sig);
	return run_exit_code(end, sig);
}

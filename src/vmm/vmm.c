/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include "vmm/acpi.h"
#include "vmm/coalesced.h"
#include "vmm/console.h"
#include "vmm/cpu_model.h"
#include "vmm/cpu_setup.h"
#include "vmm/device.h"
#include "vmm/legacy.h"
#include "vmm/msg.h"
#include "vmm/pci.h"
#include "vmm/platform.h"
#include "vmm/pm.h"
#include "vmm/rtc.h"
#include "vmm/serial.h"
#include "vmm/vmm.h"

/* The board: the machine and what is soldered to it. */
struct vmm {
	const struct vmm_config *config;
	struct kvm_dev kvm;
	struct machine machine;
	struct coalesced coalesced;
	struct console console;
	struct serial serial;
	struct i8042 i8042;
	struct legacy legacy;
	struct rtc rtc;
	struct pm pm;
	struct pci pci;
	struct board board;
	int signal_fd;
};

struct vmm_config vmm_config_default(void)
{
	return (struct vmm_config){
		.machine = {.cpus = 1, .ram.size = 512ull << 20},
		.cpu_model = "host",
		.cmdline = "",
	};
}

static int vmm_open_kvm(struct vmm *v)
{
	const struct vmm_config *c = v->config;
	int ret = kvmdev_open(&v->kvm, c->accel, c->kvm_node, c->kvm_params);

	if (ret < 0)
		return msg_fail(ret, "no KVM to run on: %s", v->kvm.why);
	if (v->kvm.soft)
		msg_info("software KVM (%s): everything is emulated", v->kvm.why);
	else
		msg_info("kernel KVM (%s)", v->kvm.why);
	return 0;
}

static void vmm_on_signal(void *opaque, u32 events)
{
	struct vmm *v = opaque;
	struct signalfd_siginfo info;

	if (read(v->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	v->machine.end_signal = info.ssi_signo;
	machine_stop(&v->machine, MACHINE_SIGNAL);
}

/* Before any thread starts, so that all inherit the mask. */
static int vmm_catch_signals(struct vmm *v)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	v->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (v->signal_fd < 0)
		return -errno;
	return loop_add(&v->machine.loop, v->signal_fd, EPOLLIN, vmm_on_signal, v);
}

/* With a virtio console ttyS0 stays, for kernels that look for it, but nobody listens. */
static int vmm_create_console(struct vmm *v)
{
	enum vmm_console kind = v->config->console;
	struct machine *m = &v->machine;
	int in_fd = kind == VMM_CONSOLE_NONE ? -1 : STDIN_FILENO;
	int ret = console_open(&v->console, m, in_fd, STDOUT_FILENO);

	if (!ret)
		ret = serial_init(&v->serial, m, kind == VMM_CONSOLE_VIRTIO ? NULL : &v->console);
	if (!ret)
		ret = coalesced_init(&v->coalesced, m);
	if (ret)
		return ret;
	m->coalesced = &v->coalesced;
	coalesced_add_port(&v->coalesced, PLATFORM_COM1, 1);
	return 0;
}

static int vmm_create_chipset(struct vmm *v)
{
	struct machine *m = &v->machine;
	int ret = i8042_init(&v->i8042, m);

	if (!ret)
		ret = legacy_init(&v->legacy, m);
	if (!ret)
		ret = rtc_init(&v->rtc, m);
	if (!ret)
		ret = pm_init(&v->pm, m);
	if (!ret)
		ret = pci_init(&v->pci, m);
	return ret;
}

static int vmm_create_devices(struct vmm *v)
{
	const struct vmm_config *c = v->config;
	int ret = vmm_create_console(v);

	if (!ret)
		ret = vmm_create_chipset(v);
	if (ret < 0)
		return msg_fail(ret, "cannot create the devices: %s", strerror(-ret));
	v->board = (struct board){
		.machine = &v->machine, .pci = &v->pci, .console = &v->console, .name = c->name};
	if (c->console == VMM_CONSOLE_VIRTIO)
		ret = device_create(&v->board, "console", "");
	for (unsigned i = 0; !ret && i < c->device_count; i++)
		ret = device_create(&v->board, c->device[i].kind, c->device[i].args);
	return ret;
}

static int vmm_setup_cpus(struct vmm *v)
{
	struct cpuid cpuid;
	int ret = cpu_model_build(&v->kvm, v->config->cpu_model, &cpuid);

	for (unsigned i = 0; !ret && i < v->machine.cpu_count; i++)
		ret = cpu_setup(&v->machine.cpu[i], &cpuid.head);
	return ret;
}

static const char *vmm_default_params(const struct vmm *v)
{
	if (v->config->no_defaults)
		return "";
	return v->config->console == VMM_CONSOLE_VIRTIO ? "console=hvc0 " : "console=ttyS0 ";
}

static int vmm_boot(struct vmm *v)
{
	struct boot_config boot = v->config->boot;
	struct boot_entry entry;
	char *cmdline = NULL;
	int ret = acpi_build(&v->machine, &boot.acpi_rsdp);

	if (ret < 0)
		return msg_fail(ret, "the ACPI tables do not fit");
	if (asprintf(&cmdline, "%s%s", vmm_default_params(v), v->config->cmdline) < 0)
		return -ENOMEM;
	boot.cmdline = cmdline;
	ret = boot_load(&v->machine, &boot, &entry);
	if (!ret)
		ret = boot_set_cpu(&v->machine.cpu[0], &entry);
	free(cmdline);
	return ret;
}

static void vmm_report_end(struct vmm *v, enum machine_end end)
{
	switch (end) {
	case MACHINE_POWEROFF:
		msg_info("the guest powered off");
		break;
	case MACHINE_RESET:
		msg_info("the guest asked for a reset");
		break;
	case MACHINE_QUIT:
		msg_info("quit");
		break;
	case MACHINE_SIGNAL:
		msg_info("ended by %s", strsignal(v->machine.end_signal));
		break;
	default:
		break; /* said when it happened */
	}
}

static int vmm_prepare(struct vmm *v)
{
	int ret = machine_create(&v->machine, &v->kvm, &v->config->machine);

	if (!ret)
		ret = vmm_setup_cpus(v);
	if (!ret)
		ret = vmm_boot(v);
	if (!ret)
		ret = vmm_create_devices(v);
	if (!ret)
		ret = vmm_catch_signals(v);
	return ret;
}

/* Output that was lost is a failure, whatever the guest thinks. */
static enum machine_end vmm_finish(struct vmm *v, enum machine_end end)
{
	struct machine *m = &v->machine;

	if (m->coalesced)
		coalesced_drain(&v->coalesced);
	board_end(&v->board);
	rtc_destroy(&v->rtc);
	if (m->coalesced)
		coalesced_destroy(&v->coalesced);
	if (v->console.machine && console_close(&v->console) && end != MACHINE_SIGNAL)
		end = MACHINE_ERROR;
	vmm_report_end(v, end);
	machine_destroy(m);
	return end;
}

enum machine_end vmm_run(const struct vmm_config *config, int *sig)
{
	struct vmm *v = calloc(1, sizeof(*v));
	enum machine_end end = MACHINE_ERROR;

	if (!v)
		return end;
	v->config = config;
	v->signal_fd = -1;
	if (config->name)
		prctl(PR_SET_NAME, config->name);
	if (!vmm_open_kvm(v)) {
		if (!vmm_prepare(v) && !machine_start(&v->machine))
			end = machine_run(&v->machine);
		end = vmm_finish(v, end);
		*sig = v->machine.end_signal;
		kvmdev_close(&v->kvm, v->kvm.fd);
	}
	free(v);
	return end;
}

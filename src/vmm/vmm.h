/* SPDX-License-Identifier: BSD-2-Clause */
/* One virtual machine from its configuration to its end. */
#ifndef VMM_VMM_H
#define VMM_VMM_H

#include "vmm/boot.h"
#include "vmm/machine.h"

enum vmm_console {
	VMM_CONSOLE_SERIAL, /* ttyS0 on standard input and output */
	VMM_CONSOLE_VIRTIO, /* hvc0 there; what ttyS0 says is lost */
	VMM_CONSOLE_NONE,   /* ttyS0 on standard output, no input */
};

#define VMM_MAX_DEVICES 32

/* A device of device.h's table. */
struct vmm_device {
	const char *kind, *args;
};

struct vmm_config {
	enum kvm_accel accel;
	const char *kvm_node;	/* NULL: /dev/kvm */
	const char *kvm_params; /* NULL: the software KVM's defaults */
	struct machine_config machine;
	const char *cpu_model;
	struct boot_config boot; /* cmdline and acpi_rsdp are filled in by vmm_run() */
	const char *cmdline;
	bool no_defaults; /* the command line is complete */
	enum vmm_console console;
	const char *name; /* or NULL */
	unsigned device_count;
	struct vmm_device device[VMM_MAX_DEVICES];
};

/* One CPU of model host, 512 MiB, serial console. */
struct vmm_config vmm_config_default(void);
/*
 * Runs the machine until it ends, with the caller's standard input and output as its console.
 * Prints what is wrong. With MACHINE_SIGNAL, *sig is the signal.
 */
enum machine_end vmm_run(const struct vmm_config *config, int *sig);

#endif

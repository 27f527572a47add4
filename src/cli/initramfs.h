/* SPDX-License-Identifier: BSD-2-Clause */
/* Makes the initramfs of a level: process 1, busybox, and what boots the next level. */
#ifndef CLI_INITRAMFS_H
#define CLI_INITRAMFS_H

#include "base/types.h"
#include "cli/kernel_pkg.h"

#define INITRAMFS_MAX_LEVELS 8
#define INITRAMFS_TOP_MIB    256 /* memory of the highest level, unless the user says so */

/* How one level's machine is made. Level N's VMM runs in level N - 1. */
struct level_config {
	const struct kernel *kernel;
	const char *cpu;    /* CPU model */
	const char *params; /* added to the kernel's command line, or NULL */
	const char *accel;  /* for `nestkvm run --accel` */
	u64 mem_mib;
	unsigned cpus;
	bool shell; /* a shell on the console of this level */
};

struct initramfs_config {
	struct level_config level[INITRAMFS_MAX_LEVELS + 1]; /* from 1 */
	unsigned depth;					     /* the highest level */
	unsigned shell_at;				     /* the level that gets a shell, or 0 */
	bool verbose;		    /* the guests' kernels print all their messages */
	const char *const *modules; /* more modules to load in level 1, ended by NULL, or NULL */
	const char *const
		*files;		/* more files for level 1: "SOURCE:/PATH", ended by NULL, or NULL */
	const char *run;	/* a script in level 1 to run there, or NULL */
	const char *kvm_params; /* parameters for kvm_intel and kvm_amd, or NULL */
};

/*
 * Writes the initramfs of `level`, which holds those of the levels above it. Prints what fails. 0
 * or a negative errno.
 */
int initramfs_write(const struct initramfs_config *config, unsigned level, const char *file);

/* MiB of memory that a level needs, so that the highest has `top_mib`: room for all above it. */
u64 initramfs_level_mem(unsigned depth, unsigned level, u64 top_mib);

/* The kernel's command line of a level; cut at `size`. */
void initramfs_cmdline(const struct initramfs_config *config, unsigned level, char *text,
		       size_t size);

#endif

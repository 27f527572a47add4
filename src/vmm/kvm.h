/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which KVM answers: the kernel's /dev/kvm, or libnestkvm. Everything else in the VMM speaks the
 * KVM API through kvmdev_ioctl() and does not know.
 */
#ifndef VMM_KVM_H
#define VMM_KVM_H

#include <linux/kvm.h>
#include "base/types.h"

enum kvm_accel {
	KVM_ACCEL_AUTO,	  /* the kernel's KVM when it can do the job, else the software KVM */
	KVM_ACCEL_KERNEL, /* the kernel's KVM or nothing */
	KVM_ACCEL_SOFT,	  /* the software KVM */
};

struct kvm_dev {
	int fd;
	bool soft;
	size_t run_size; /* bytes to mmap of a vCPU's descriptor */
	char why[256];	 /* why this KVM was chosen, a sentence for people */
};

/*
 * Opens a KVM. `node` is the device of the kernel's KVM (NULL: /dev/kvm), `params` goes to
 * nestkvm_open(). dev->why is filled in success and failure. Returns 0 or a negative errno.
 */
int kvmdev_open(struct kvm_dev *dev, enum kvm_accel accel, const char *node, const char *params);
/* Closes a descriptor of this KVM (system, VM or vCPU). */
void kvmdev_close(const struct kvm_dev *dev, int fd);
/* ioctl(2) on a descriptor of this KVM: 0 or more, or a negative errno. */
int kvmdev_ioctl(const struct kvm_dev *dev, int fd, unsigned long request, void *arg);
/* The same with an integer argument. */
int kvmdev_ioctl_val(const struct kvm_dev *dev, int fd, unsigned long request, unsigned long arg);
/* KVM_CHECK_EXTENSION on the system descriptor: 0 when the capability is not there. */
int kvmdev_has_cap(const struct kvm_dev *dev, int cap);

/*
 * Whether this KVM can run a guest: API version, the capabilities that the VMM needs, and a trial
 * VM that executes a few instructions up to an OUT and a HLT. Returns 0, or a negative errno with
 * the reason in `why`.
 */
int kvmdev_probe(const struct kvm_dev *dev, char *why, size_t why_len);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nestkvm: the KVM API of <linux/kvm.h>, answered in software by an ordinary process.
 *
 * The calls mirror open(2), ioctl(2) and close(2) on /dev/kvm. Every object is a real file
 * descriptor: a vCPU's descriptor is a memory file that holds its struct kvm_run, so mmap(2) on it
 * works as with the kernel's KVM. All functions may be called from any thread; as with the kernel, one
 * vCPU is run by one thread at a time.
 */
#ifndef NESTKVM_H
#define NESTKVM_H

#ifdef __cplusplus
extern "C" {
#endif

#define NESTKVM_API __attribute__((visibility("default")))

/*
 * Opens a software KVM system object, as open("/dev/kvm") would.
 *
 * params: comma-separated KEY=VALUE pairs named as the module parameters of kvm, kvm_intel and
 *         kvm_amd ("nested=1,ept=1,vpid=1,unrestricted_guest=1"), or NULL for the defaults and what the
 *         environment variable NESTKVM_PARAMS says.
 * Returns a file descriptor, or a negative errno: -EINVAL for an unknown parameter or a bad value,
 * -EMFILE, -ENOMEM.
 */
NESTKVM_API int nestkvm_open(const char *params);

/*
 * ioctl(2) on a system, VM, vCPU or device descriptor of nestkvm. `arg` is the third argument of
 * ioctl(2): a pointer, or an integer cast to one, as <linux/kvm.h> documents for each request.
 * Returns what the kernel's KVM would return (0 or more), or a negative errno; -EBADF when `fd` is not
 * one of nestkvm's, -EINTR from KVM_RUN after a signal or with immediate_exit.
 */
NESTKVM_API int nestkvm_ioctl(int fd, unsigned long request, void *arg);

/*
 * Closes a descriptor of nestkvm; a VM lives until its last vCPU is closed, too.
 * Returns 0 or -EBADF.
 */
NESTKVM_API int nestkvm_close(int fd);

/* 1 when `fd` is a descriptor of nestkvm, else 0. */
NESTKVM_API int nestkvm_is_fd(int fd);

/* The library's version, "MAJOR.MINOR.PATCH"; a static string. */
NESTKVM_API const char *nestkvm_version(void);

#ifdef __cplusplus
}
#endif
#endif

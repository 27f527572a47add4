/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A KVM device that opens is not yet one that runs a guest: the node may be another driver's, a
 * filter may refuse ioctls, or the hardware's virtualization may be taken. So try it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include "vmm/kvm.h"

#define PROBE_GPA  0x1000
#define PROBE_PORT 0x3f8

static const struct {
	int cap;
	const char *name;
} probe_caps[] = {
	{KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP"},
	{KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
	{KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR"},
	{KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
	{KVM_CAP_PIT2, "KVM_CAP_PIT2"},
	{KVM_CAP_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI"},
	{KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
};

/* Real mode: loop 3 times adding, then protected mode by setting CR0.PE, OUT, HLT. */
static const u8 probe_code[] = {
	0x31, 0xc0,		/* xor ax, ax */
	0xb9, 0x03, 0x00,	/* mov cx, 3 */
	0x05, 0x0e, 0x00,	/* 1: add ax, 14 */
	0xe2, 0xfb,		/* loop 1b */
	0x66, 0x0f, 0x20, 0xc3, /* mov ebx, cr0 */
	0x80, 0xcb, 0x01,	/* or bl, 1 */
	0x0f, 0x22, 0xc3,	/* mov cr0, ebx */
	0xba, 0xf8, 0x03,	/* mov dx, 0x3f8 */
	0xee,			/* out dx, al */
	0xf4,			/* hlt */
};

struct probe {
	const struct kvm_dev *dev;
	int vm, vcpu;
	size_t run_size;
	struct kvm_run *run;
	u8 *page;
	const char *step; /* what is being tried, for the message */
};

static int probe_caps_check(const struct kvm_dev *dev, char *why, size_t len)
{
	int ver = kvmdev_ioctl_val(dev, dev->fd, KVM_GET_API_VERSION, 0);

	if (ver != KVM_API_VERSION) {
		if (ver < 0)
			snprintf(why, len, "the device does not speak the KVM API (%s)",
				 strerror(-ver));
		else
			snprintf(why, len, "the device has KVM API version %d, not 12", ver);
		return -ENODEV;
	}
	for (size_t i = 0; i < ARRAY_SIZE(probe_caps); i++) {
		if (!kvmdev_has_cap(dev, probe_caps[i].cap)) {
			snprintf(why, len, "this KVM has no %s", probe_caps[i].name);
			return -EOPNOTSUPP;
		}
	}
	return 0;
}

static int probe_create(struct probe *p)
{
	struct kvm_userspace_memory_region slot = {.guest_phys_addr = PROBE_GPA};
	int size;

	p->step = "KVM_CREATE_VM";
	p->vm = kvmdev_ioctl_val(p->dev, p->dev->fd, KVM_CREATE_VM, 0);
	if (p->vm < 0)
		return p->vm;
	p->step = "KVM_SET_TSS_ADDR";
	size = kvmdev_ioctl_val(p->dev, p->vm, KVM_SET_TSS_ADDR, 0xfeffd000);
	if (size < 0)
		return size;
	p->step = "mmap";
	p->page = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p->page == MAP_FAILED)
		return -errno;
	memcpy(p->page, probe_code, sizeof(probe_code));
	slot.memory_size = PAGE_SIZE;
	slot.userspace_addr = (uintptr_t)p->page;
	p->step = "KVM_SET_USER_MEMORY_REGION";
	return kvmdev_ioctl(p->dev, p->vm, KVM_SET_USER_MEMORY_REGION, &slot);
}

static int probe_create_vcpu(struct probe *p)
{
	int ret = kvmdev_ioctl_val(p->dev, p->dev->fd, KVM_GET_VCPU_MMAP_SIZE, 0);

	p->step = "KVM_GET_VCPU_MMAP_SIZE";
	if (ret < (int)sizeof(struct kvm_run))
		return ret < 0 ? ret : -EINVAL;
	p->run_size = ret;
	p->step = "KVM_CREATE_VCPU";
	p->vcpu = kvmdev_ioctl_val(p->dev, p->vm, KVM_CREATE_VCPU, 0);
	if (p->vcpu < 0)
		return p->vcpu;
	p->step = "mmap of the vCPU";
	p->run = mmap(NULL, p->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, p->vcpu, 0);
	return p->run == MAP_FAILED ? -errno : 0;
}

static int probe_set_state(struct probe *p)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs = {.rip = PROBE_GPA, .rflags = 2};
	int ret;

	p->step = "KVM_GET_SREGS";
	ret = kvmdev_ioctl(p->dev, p->vcpu, KVM_GET_SREGS, &sregs);
	if (ret < 0)
		return ret;
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	p->step = "KVM_SET_SREGS";
	ret = kvmdev_ioctl(p->dev, p->vcpu, KVM_SET_SREGS, &sregs);
	if (ret < 0)
		return ret;
	p->step = "KVM_SET_REGS";
	return kvmdev_ioctl(p->dev, p->vcpu, KVM_SET_REGS, &regs);
}

/* Runs until anything but a signal; the exit reason must be `want`. */
static int probe_run(struct probe *p, u32 want)
{
	int ret;

	p->step = "KVM_RUN";
	do {
		ret = kvmdev_ioctl_val(p->dev, p->vcpu, KVM_RUN, 0);
	} while (ret == -EINTR || ret == -EAGAIN);
	if (ret < 0)
		return ret;
	p->step = "a few trial instructions";
	return p->run->exit_reason == want ? 0 : -EIO;
}

static int probe_execute(struct probe *p)
{
	const u8 *data;
	int ret = probe_run(p, KVM_EXIT_IO);

	if (ret < 0)
		return ret;
	data = (u8 *)p->run + p->run->io.data_offset;
	if (p->run->io.port != PROBE_PORT || p->run->io.size != 1 || *data != 42)
		return -EIO;
	return probe_run(p, KVM_EXIT_HLT);
}

static void probe_destroy(struct probe *p)
{
	if (p->run != MAP_FAILED)
		munmap(p->run, p->run_size);
	kvmdev_close(p->dev, p->vcpu);
	kvmdev_close(p->dev, p->vm);
	if (p->page != MAP_FAILED)
		munmap(p->page, PAGE_SIZE);
}

int kvmdev_probe(const struct kvm_dev *dev, char *why, size_t why_len)
{
	struct probe p = {.dev = dev, .vm = -1, .vcpu = -1, .run = MAP_FAILED, .page = MAP_FAILED};
	int ret = probe_caps_check(dev, why, why_len);

	if (ret < 0)
		return ret;
	ret = probe_create(&p);
	if (!ret)
		ret = probe_create_vcpu(&p);
	if (!ret)
		ret = probe_set_state(&p);
	if (!ret)
		ret = probe_execute(&p);
	if (ret < 0)
		snprintf(why, why_len, "the trial VM failed at %s: %s", p.step, strerror(-ret));
	probe_destroy(&p);
	return ret;
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "nestkvm.h"
#include "vmm/kvm.h"

#define KVM_NODE "/dev/kvm"

int kvmdev_ioctl(const struct kvm_dev *dev, int fd, unsigned long request, void *arg)
{
	int ret;

	if (dev->soft)
		return nestkvm_ioctl(fd, request, arg);
	ret = ioctl(fd, request, arg);
	return ret < 0 ? -errno : ret;
}

int kvmdev_ioctl_val(const struct kvm_dev *dev, int fd, unsigned long request, unsigned long arg)
{
	return kvmdev_ioctl(dev, fd, request, (void *)arg);
}

void kvmdev_close(const struct kvm_dev *dev, int fd)
{
	if (fd < 0)
		return;
	if (dev->soft)
		nestkvm_close(fd);
	else
		close(fd);
}

int kvmdev_has_cap(const struct kvm_dev *dev, int cap)
{
	int ret = kvmdev_ioctl_val(dev, dev->fd, KVM_CHECK_EXTENSION, cap);

	return ret < 0 ? 0 : ret;
}

/* Why the node could not be opened, in words that say what to do. */
static void kvm_explain_open(const char *node, int err, char *why, size_t len)
{
	if (err == ENOENT)
		snprintf(why, len, "there is no %s", node);
	else if (err == EACCES || err == EPERM)
		snprintf(why, len, "no permission to open %s (is the user in the group kvm?)",
			 node);
	else if (err == ENODEV || err == ENXIO)
		snprintf(why, len, "%s exists, but no KVM module answers it", node);
	else
		snprintf(why, len, "cannot open %s: %s", node, strerror(err));
}

static int kvm_open_kernel(struct kvm_dev *dev, const char *node, char *why, size_t len)
{
	int ret;

	dev->soft = false;
	dev->fd = open(node, O_RDWR | O_CLOEXEC);
	if (dev->fd < 0) {
		ret = -errno;
		kvm_explain_open(node, errno, why, len);
		return ret;
	}
	ret = kvmdev_probe(dev, why, len);
	if (ret < 0) {
		close(dev->fd);
		dev->fd = -1;
		return ret;
	}
	return 0;
}

static int kvm_open_soft(struct kvm_dev *dev, const char *params, char *why, size_t len)
{
	dev->soft = true;
	dev->fd = nestkvm_open(params);
	if (dev->fd >= 0)
		return 0;
	snprintf(why, len, "cannot open the software KVM: %s", strerror(-dev->fd));
	return dev->fd;
}

static int kvm_finish_open(struct kvm_dev *dev)
{
	int size = kvmdev_ioctl_val(dev, dev->fd, KVM_GET_VCPU_MMAP_SIZE, 0);

	if (size < (int)sizeof(struct kvm_run)) {
		snprintf(dev->why, sizeof(dev->why), "KVM_GET_VCPU_MMAP_SIZE failed");
		kvmdev_close(dev, dev->fd);
		dev->fd = -1;
		return size < 0 ? size : -EINVAL;
	}
	dev->run_size = size;
	return 0;
}

int kvmdev_open(struct kvm_dev *dev, enum kvm_accel accel, const char *node, const char *params)
{
	char why[192];
	int ret;

	memset(dev, 0, sizeof(*dev));
	dev->fd = -1;
	if (!node)
		node = KVM_NODE;
	if (accel != KVM_ACCEL_SOFT) {
		ret = kvm_open_kernel(dev, node, why, sizeof(why));
		if (!ret) {
			snprintf(dev->why, sizeof(dev->why), "%s passed a trial run", node);
			return kvm_finish_open(dev);
		}
		snprintf(dev->why, sizeof(dev->why), "%s", why);
		if (accel == KVM_ACCEL_KERNEL)
			return ret;
	} else {
		snprintf(dev->why, sizeof(dev->why), "asked for with --accel soft");
	}
	ret = kvm_open_soft(dev, params, why, sizeof(why));
	if (ret < 0) {
		snprintf(dev->why, sizeof(dev->why), "%s", why);
		return ret;
	}
	return kvm_finish_open(dev);
}

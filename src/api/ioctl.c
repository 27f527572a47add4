/* SPDX-License-Identifier: BSD-2-Clause */
/* nestkvm_ioctl(): finds the request's handler, copies its argument, takes the lock. */
#include <sys/ioctl.h>

#include "api/api.h"
#include "nestkvm.h"

static const struct ioctl_entry *const tables[NOBJECTS] = {
	[OBJECT_SYSTEM] = system_ioctls,
	[OBJECT_VM] = vm_ioctls,
	[OBJECT_VCPU] = vcpu_ioctls,
};

static const struct ioctl_entry *find(enum object_kind kind, unsigned long request)
{
	const struct ioctl_entry *e = tables[kind];

	while (e->request && e->request != request)
		e++;
	return e->request ? e : NULL;
}

/*
 * A vCPU's ioctls run in its thread's place: with its lock, and with the run lock for reading,
 * because they may touch guest memory. KVM_RUN takes the run lock itself (NO_LOCK does not concern
 * the vCPU's).
 */
static void lock(struct object *o, u32 flags)
{
	if (o->kind == OBJECT_VM && !(flags & NO_LOCK))
		pthread_mutex_lock(&o->vm->lock);
	if (o->kind != OBJECT_VCPU)
		return;
	pthread_mutex_lock(&o->vcpu->lock);
	if (!(flags & NO_LOCK))
		vm_enter(o->vm, o->vcpu);
}

static void unlock(struct object *o, u32 flags)
{
	if (o->kind == OBJECT_VM && !(flags & NO_LOCK))
		pthread_mutex_unlock(&o->vm->lock);
	if (o->kind != OBJECT_VCPU)
		return;
	if (!(flags & NO_LOCK))
		vm_leave(o->vm, o->vcpu);
	pthread_mutex_unlock(&o->vcpu->lock);
}

static int call(struct object *o, const struct ioctl_entry *e, void *arg)
{
	int r;

	lock(o, e->flags);
	r = e->fn(o, arg);
	unlock(o, e->flags);
	return r;
}

static int call_struct(struct object *o, const struct ioctl_entry *e, void *arg)
{
	u64 buffer[4096 / sizeof(u64)];
	size_t size = _IOC_SIZE(e->request);
	int r;

	if (size > sizeof(buffer))
		return -EINVAL;
	if (_IOC_DIR(e->request) & _IOC_WRITE) {
		r = user_read(buffer, arg, size);
		if (r)
			return r;
	}
	r = call(o, e, buffer);
	if (r >= 0 && _IOC_DIR(e->request) & _IOC_READ && user_write(arg, buffer, size))
		return -EFAULT;
	return r;
}

/* As the kernel has it, VMs and vCPUs belong to one address space. */
static int dispatch(struct object *o, unsigned long request, void *arg)
{
	const struct ioctl_entry *e;

	if (o->kind != OBJECT_SYSTEM && !object_is_ours(o))
		return -EIO;
	e = find(o->kind, request & 0xffffffff);
	if (!e)
		return -ENOTTY;
	return e->flags & ARG_STRUCT ? call_struct(o, e, arg) : call(o, e, arg);
}

int nestkvm_ioctl(int fd, unsigned long request, void *arg)
{
	struct object *o = object_get(fd);
	int r;

	if (!o)
		return -EBADF;
	r = dispatch(o, request, arg);
	object_put(o);
	return r;
}

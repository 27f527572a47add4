/* SPDX-License-Identifier: BSD-2-Clause */
/* The system descriptor: what /dev/kvm answers. */
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "api/api.h"
#include "cpu/cpuid.h"
#include "cpu/msr.h"
#include "nestkvm.h"
#include "virt/virt.h"

#define MAX_CPUID_ENTRIES 256
#define MAX_IO_MSRS	  256

/* -- opening ------------------------------------------------------------------------------------
 */

/* A new descriptor for `o`, which is given up on failure. */
static int publish(struct object *o)
{
	int fd = eventfd(0, EFD_CLOEXEC), r;

	if (fd < 0) {
		r = -errno;
		object_put(o);
		return r;
	}
	r = object_install(fd, o);
	if (r >= 0)
		return fd;
	close(fd);
	object_put(o);
	return r;
}

int nestkvm_open(const char *params)
{
	const char *engine = getenv("NESTKVM_ENGINE");
	struct object *o;
	int r;

	if (engine && *engine && strcmp(engine, "interp"))
		return -EINVAL;
	o = object_create(OBJECT_SYSTEM, NULL);
	if (!o)
		return -ENOMEM;
	params_default(&o->params);
	r = params_parse(&o->params, params ? params : getenv("NESTKVM_PARAMS"));
	if (r) {
		object_put(o);
		return r;
	}
	return publish(o);
}

int system_create_vm(struct object *o, void *arg)
{
	struct object *vm;
	int err;

	if (arg) /* the machine type: there is one */
		return -EINVAL;
	vm = object_create(OBJECT_VM, o);
	if (!vm)
		return -ENOMEM;
	vm->vm = vm_create(&o->params, &err);
	if (!vm->vm) {
		object_put(vm);
		return err;
	}
	return publish(vm);
}

static int get_api_version(struct object *o, void *arg)
{
	return arg ? -EINVAL : KVM_API_VERSION;
}

static int get_mmap_size(struct object *o, void *arg)
{
	return arg ? -EINVAL : (int)VCPU_MMAP_SIZE;
}

static int check_extension(struct object *o, void *arg)
{
	return caps_check(&o->params, (long)arg);
}

/* -- CPUID --------------------------------------------------------------------------------------
 */

/* Writes `n` entries behind a struct kvm_cpuid2 that has room for `room`. */
static int put_cpuid(void *arg, u32 room, const struct kvm_cpuid_entry2 *e, u32 n)
{
	struct kvm_cpuid2 *user = arg;

	if (n > room)
		return -E2BIG;
	if (user_write(user->entries, e, n * sizeof(*e)) || user_write(&user->nent, &n, sizeof(n)))
		return -EFAULT;
	return 0;
}

int system_get_cpuid(struct object *o, void *arg)
{
	struct kvm_cpuid_entry2 *e;
	u32 room;
	int n;

	if (user_read(&room, arg, sizeof(room)))
		return -EFAULT;
	if (!room)
		return -E2BIG;
	e = calloc(MAX_CPUID_ENTRIES, sizeof(*e));
	if (!e)
		return -ENOMEM;
	n = cpu_cpuid_supported(e, MAX_CPUID_ENTRIES, o->params.nested);
	if (n >= 0)
		n = put_cpuid(arg, room, e, (u32)n);
	free(e);
	return n;
}

/* Features that are emulated although the host lacks them: none beyond the supported ones. */
int system_emulated_cpuid(struct object *o, void *arg)
{
	u32 room;

	if (user_read(&room, arg, sizeof(room)))
		return -EFAULT;
	return room ? put_cpuid(arg, room, NULL, 0) : -E2BIG;
}

/* -- MSR lists ----------------------------------------------------------------------------------
 */

#define NVMX_MSRS (MSR_VMX_VMFUNC - MSR_VMX_BASIC + 1)

static u32 add_vmx_msrs(const struct virt_params *params, u32 *list)
{
	u64 value;
	u32 n = 0;

	for (u32 i = 0; i < NVMX_MSRS && params->nested; i++)
		if (virt_msr_feature(params, MSR_VMX_BASIC + i, &value))
			list[n++] = MSR_VMX_BASIC + i;
	return n;
}

/* The number of MSRs is written even when there is not room for all. */
static int put_list(struct object *o, void *arg, const u32 *base, u32 nbase)
{
	struct kvm_msr_list *user = arg;
	u32 list[MAX_IO_MSRS + NVMX_MSRS], room, n = MIN(nbase, MAX_IO_MSRS);

	if (user_read(&room, arg, sizeof(room)))
		return -EFAULT;
	memcpy(list, base, n * sizeof(*base));
	n += add_vmx_msrs(&o->params, list + n);
	if (user_write(&user->nmsrs, &n, sizeof(n)))
		return -EFAULT;
	if (room < n)
		return -E2BIG;
	return user_write(user->indices, list, n * sizeof(*list));
}

int system_msr_list(struct object *o, void *arg)
{
	return put_list(o, arg, cpu_msr_list, cpu_msr_list_len);
}

int system_msr_feature_list(struct object *o, void *arg)
{
	return put_list(o, arg, cpu_msr_feature_list, cpu_msr_feature_list_len);
}

static bool feature_msr(const struct virt_params *params, u32 index, u64 *value)
{
	if (index - MSR_VMX_BASIC < NVMX_MSRS)
		return params->nested && virt_msr_feature(params, index, value);
	return cpu_msr_feature(index, value);
}

int system_get_msrs(struct object *o, void *arg)
{
	struct kvm_msrs *user = arg, *m;
	int err;
	u32 n;

	m = user_read_array(arg, sizeof(*m), sizeof(m->entries[0]), MAX_IO_MSRS - 1, &err);
	if (!m)
		return err;
	for (n = 0; n < m->nmsrs; n++) {
		u64 value = 0;

		if (!feature_msr(&o->params, m->entries[n].index, &value))
			break;
		m->entries[n].data = value;
	}
	err = user_write(user->entries, m->entries, n * sizeof(m->entries[0]));
	free(m);
	return err ? err : (int)n;
}

/* -- machine checks -----------------------------------------------------------------------------
 */

static int get_mce_caps(struct object *o, void *arg)
{
	*(u64 *)arg = MCE_CAPS;
	return 0;
}

const struct ioctl_entry system_ioctls[] = {
	{KVM_GET_API_VERSION, get_api_version, ARG_VALUE},
	{KVM_CREATE_VM, system_create_vm, ARG_VALUE},
	{KVM_CHECK_EXTENSION, check_extension, ARG_VALUE},
	{KVM_GET_VCPU_MMAP_SIZE, get_mmap_size, ARG_VALUE},
	{KVM_GET_SUPPORTED_CPUID, system_get_cpuid, ARG_VALUE},
	{KVM_GET_EMULATED_CPUID, system_emulated_cpuid, ARG_VALUE},
	{KVM_GET_MSR_INDEX_LIST, system_msr_list, ARG_VALUE},
	{KVM_GET_MSR_FEATURE_INDEX_LIST, system_msr_feature_list, ARG_VALUE},
	{KVM_GET_MSRS, system_get_msrs, ARG_VALUE},
	{KVM_X86_GET_MCE_CAP_SUPPORTED, get_mce_caps, ARG_STRUCT},
	{0, NULL, 0},
};

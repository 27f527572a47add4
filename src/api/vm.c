/* SPDX-License-Identifier: BSD-2-Clause */
/* The VM descriptor: vCPUs, clock, and the table of its requests. */
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "api/api.h"
#include "api/compat.h"
#include "irq/irq.h"

/* -- vCPUs --------------------------------------------------------------------------------------
 */

static int check_vcpu_id(const struct vm *vm, unsigned long id)
{
	u32 max = vm->max_vcpu_id ? vm->max_vcpu_id : VM_MAX_VCPU_ID;

	if (id >= max || vm->nvcpus >= VM_MAX_VCPUS)
		return -EINVAL;
	for (u32 i = 0; i < vm->nvcpus; i++)
		if (vm->vcpus[i]->cpu.id == id)
			return -EEXIST;
	return 0;
}

/* The memory file that is the vCPU's descriptor. */
static int create_file(void)
{
	int fd = memfd_create("nestkvm-vcpu", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, VCPU_MMAP_SIZE)) {
		close(fd);
		return -ENOMEM;
	}
	return fd;
}

/* Other vCPUs may be running: the count goes last. */
static void add_vcpu(struct vm *vm, struct vcpu *v)
{
	vm->vcpus[vm->nvcpus] = v;
	atomic_store(&vm->nvcpus, vm->nvcpus + 1);
}

static int create_vcpu(struct object *o, void *arg)
{
	int fd, r = check_vcpu_id(o->vm, (unsigned long)arg);
	struct object *vcpu;

	if (r)
		return r;
	fd = create_file();
	if (fd < 0)
		return fd;
	vcpu = object_create(OBJECT_VCPU, o);
	r = -ENOMEM;
	if (vcpu)
		vcpu->vcpu = vcpu_create(o->vm, (u32)(unsigned long)arg, fd, &r);
	if (vcpu && vcpu->vcpu) {
		add_vcpu(o->vm, vcpu->vcpu);
		r = object_install(fd, vcpu);
		if (r >= 0)
			return r;
	}
	object_put(vcpu);
	close(fd);
	return r;
}

static int set_boot_cpu(struct object *o, void *arg)
{
	if (o->vm->nvcpus)
		return -EBUSY;
	if ((unsigned long)arg > (o->vm->max_vcpu_id ? o->vm->max_vcpu_id : VM_MAX_VCPU_ID))
		return -EINVAL;
	o->vm->bsp_id = (u32)(unsigned long)arg;
	irq_vm_set_bsp(o->vm->irq, o->vm->bsp_id);
	return 0;
}

/* -- addresses that only VMX without unrestricted guest needs
 * --------------------------------------- */

static int set_tss_addr(struct object *o, void *arg)
{
	if ((unsigned long)arg > 0xffffffffu - 3 * PAGE_SIZE)
		return -EINVAL;
	o->vm->tss_addr = (unsigned long)arg;
	return 0;
}

static int set_identity_addr(struct object *o, void *arg)
{
	if (o->vm->nvcpus)
		return -EINVAL;
	o->vm->identity_addr = *(u64 *)arg;
	return 0;
}

/* -- time ---------------------------------------------------------------------------------------
 */

static u64 real_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (u64)t.tv_sec * 1000000000 + (u64)t.tv_nsec;
}

static int get_clock(struct object *o, void *arg)
{
	struct kvm_clock_data *d = arg;

	memset(d, 0, sizeof(*d));
	d->clock = vm_clock_ns(o->vm);
	d->realtime = real_ns();
	d->host_tsc = clock_host_tsc();
	d->flags = KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC;
	return 0;
}

/* With the wall-clock time of the saved clock, the time in between counts. */
static int set_clock(struct object *o, void *arg)
{
	const struct kvm_clock_data *d = arg;
	u64 ns = d->clock, now = real_ns();

	if (d->flags & ~(u32)KVM_CLOCK_REALTIME)
		return -EINVAL;
	if (d->flags & KVM_CLOCK_REALTIME && now > d->realtime)
		ns += now - d->realtime;
	vm_clock_set(o->vm, ns);
	return 0;
}

static int get_tsc_khz(struct object *o, void *arg)
{
	return (int)o->vm->clock.tsc_khz;
}

static int set_tsc_khz(struct object *o, void *arg)
{
	u32 khz = (u32)(unsigned long)arg;

	if (o->vm->nvcpus || khz > INT32_MAX)
		return -EINVAL;
	o->vm->clock.tsc_khz = khz ? khz : clock_host_tsc_khz();
	return 0;
}

/* -- the rest -----------------------------------------------------------------------------------
 */

static int check_extension(struct object *o, void *arg)
{
	return caps_check(&o->params, (long)arg);
}

/* A limit for shadow page tables, of which there are none: it is only remembered. */
static int set_nr_mmu_pages(struct object *o, void *arg)
{
	if ((unsigned long)arg < 64)
		return -EINVAL;
	o->vm->nr_mmu_pages = (u32)(unsigned long)arg;
	return 0;
}

static int get_nr_mmu_pages(struct object *o, void *arg)
{
	return (int)o->vm->nr_mmu_pages;
}

/* None of the kernel's devices makes sense here. */
static int create_device(struct object *o, void *arg)
{
	return -ENODEV;
}

const struct ioctl_entry vm_ioctls[] = {
	{KVM_IRQ_LINE, vm_irq_line, ARG_STRUCT | NO_LOCK},
	{KVM_IRQ_LINE_STATUS, vm_irq_line_status, ARG_STRUCT | NO_LOCK},
	{KVM_SIGNAL_MSI, vm_signal_msi, ARG_STRUCT | NO_LOCK},
	{KVM_CHECK_EXTENSION, check_extension, ARG_VALUE | NO_LOCK},
	{KVM_CREATE_VCPU, create_vcpu, ARG_VALUE},
	{KVM_SET_USER_MEMORY_REGION, vm_set_memory, ARG_STRUCT},
	{KVM_SET_USER_MEMORY_REGION2, vm_set_memory, ARG_STRUCT},
	{KVM_SET_NR_MMU_PAGES, set_nr_mmu_pages, ARG_VALUE},
	{KVM_GET_NR_MMU_PAGES, get_nr_mmu_pages, ARG_VALUE},
	{KVM_GET_DIRTY_LOG, vm_get_dirty_log, ARG_STRUCT},
	{KVM_CLEAR_DIRTY_LOG, vm_clear_dirty_log, ARG_STRUCT},
	{KVM_REGISTER_COALESCED_MMIO, vm_register_coalesced, ARG_STRUCT},
	{KVM_UNREGISTER_COALESCED_MMIO, vm_unregister_coalesced, ARG_STRUCT},
	{KVM_CREATE_IRQCHIP, vm_create_irqchip, ARG_VALUE},
	{KVM_GET_IRQCHIP, vm_get_irqchip, ARG_STRUCT},
	{KVM_SET_IRQCHIP, vm_set_irqchip, ARG_STRUCT},
	{KVM_CREATE_PIT, vm_create_pit, ARG_VALUE},
	{KVM_CREATE_PIT2, vm_create_pit2, ARG_STRUCT},
	{KVM_GET_PIT, vm_get_pit, ARG_STRUCT},
	{KVM_SET_PIT, vm_set_pit, ARG_STRUCT},
	{KVM_GET_PIT2, vm_get_pit2, ARG_STRUCT},
	{KVM_SET_PIT2, vm_set_pit2, ARG_STRUCT},
	{KVM_REINJECT_CONTROL, vm_reinject, ARG_VALUE},
	{KVM_SET_GSI_ROUTING, vm_gsi_routing, ARG_VALUE},
	{KVM_IRQFD, vm_irqfd, ARG_STRUCT},
	{KVM_IOEVENTFD, vm_ioeventfd, ARG_STRUCT},
	{KVM_SET_BOOT_CPU_ID, set_boot_cpu, ARG_VALUE},
	{KVM_SET_TSS_ADDR, set_tss_addr, ARG_VALUE},
	{KVM_SET_IDENTITY_MAP_ADDR, set_identity_addr, ARG_STRUCT},
	{KVM_GET_CLOCK, get_clock, ARG_STRUCT},
	{KVM_SET_CLOCK, set_clock, ARG_STRUCT},
	{KVM_GET_TSC_KHZ, get_tsc_khz, ARG_VALUE},
	{KVM_SET_TSC_KHZ, set_tsc_khz, ARG_VALUE},
	{KVM_ENABLE_CAP, caps_enable_vm, ARG_STRUCT},
	{KVM_CREATE_DEVICE, create_device, ARG_STRUCT},
	{0, NULL, 0},
};

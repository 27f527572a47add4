/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include "vmm/machine.h"
#include "vmm/msg.h"

enum { SLOT_LOW, SLOT_HIGH };

static int machine_add_slot(struct machine *m, u32 slot, u64 gpa, u64 len, void *host)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = gpa,
		.memory_size = len,
		.userspace_addr = (uintptr_t)host,
	};
	int ret;

	if (!len)
		return 0;
	ret = kvmdev_ioctl(m->kvm, m->vm_fd, KVM_SET_USER_MEMORY_REGION, &region);
	if (ret < 0)
		return msg_fail(ret, "KVM refuses %llu MiB of guest memory: %s",
				(unsigned long long)len >> 20, strerror(-ret));
	return 0;
}

static int machine_create_ram(struct machine *m, const struct ram_config *config)
{
	int ret = ram_create(&m->ram, config);

	if (!ret)
		ret = machine_add_slot(m, SLOT_LOW, 0, m->ram.low_size, m->ram.host);
	if (!ret)
		ret = machine_add_slot(m, SLOT_HIGH, RAM_HIGH_START, m->ram.high_size,
				       m->ram.host + m->ram.low_size);
	return ret;
}

/* The TSS and identity map pages come before the vCPUs, the irqchip too (KVM's documentation). */
static int machine_create_vm(struct machine *m)
{
	/* KVM then answers port 0x61, which guests poll to calibrate clocks. */
	struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
	u64 identity = MACHINE_IDENTITY_MAP;
	int ret;

	m->vm_fd = kvmdev_ioctl_val(m->kvm, m->kvm->fd, KVM_CREATE_VM, 0);
	if (m->vm_fd < 0)
		return msg_fail(m->vm_fd, "KVM_CREATE_VM: %s", strerror(-m->vm_fd));
	if (kvmdev_has_cap(m->kvm, KVM_CAP_SET_IDENTITY_MAP_ADDR)) {
		ret = kvmdev_ioctl(m->kvm, m->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity);
		if (ret < 0)
			return msg_fail(ret, "KVM_SET_IDENTITY_MAP_ADDR: %s", strerror(-ret));
	}
	ret = kvmdev_ioctl_val(m->kvm, m->vm_fd, KVM_SET_TSS_ADDR, MACHINE_TSS);
	if (ret < 0)
		return msg_fail(ret, "KVM_SET_TSS_ADDR: %s", strerror(-ret));
	ret = kvmdev_ioctl_val(m->kvm, m->vm_fd, KVM_CREATE_IRQCHIP, 0);
	if (ret < 0)
		return msg_fail(ret, "KVM_CREATE_IRQCHIP: %s", strerror(-ret));
	ret = kvmdev_ioctl(m->kvm, m->vm_fd, KVM_CREATE_PIT2, &pit);
	if (ret < 0)
		return msg_fail(ret, "KVM_CREATE_PIT2: %s", strerror(-ret));
	return 0;
}

int machine_create(struct machine *m, struct kvm_dev *kvm, const struct machine_config *config)
{
	int ret;

	memset(m, 0, sizeof(*m));
	m->kvm = kvm;
	m->vm_fd = -1;
	bus_init(&m->pio);
	bus_init(&m->mmio);
	ret = loop_init(&m->loop);
	if (ret < 0)
		return msg_fail(ret, "cannot create the event loop: %s", strerror(-ret));
	ret = machine_create_vm(m);
	if (ret < 0)
		return ret;
	intr_init(&m->intr, kvm, m->vm_fd);
	ret = intr_route(&m->intr);
	if (ret < 0)
		return msg_fail(ret, "KVM_SET_GSI_ROUTING: %s", strerror(-ret));
	ret = machine_create_ram(m, &config->ram);
	for (unsigned i = 0; !ret && i < config->cpus; i++)
		ret = machine_cpu_create(m, i);
	return ret;
}

void machine_destroy(struct machine *m)
{
	for (unsigned i = 0; i < m->cpu_count; i++)
		kvmdev_close(m->kvm, m->cpu[i].fd);
	kvmdev_close(m->kvm, m->vm_fd);
	ram_destroy(&m->ram);
	loop_destroy(&m->loop);
}

static void machine_stop_cpus(struct machine *m)
{
	for (unsigned i = 0; i < m->cpu_count; i++) {
		if (!m->cpu[i].started)
			continue;
		machine_cpu_kick(&m->cpu[i]);
		pthread_join(m->cpu[i].thread, NULL);
		m->cpu[i].started = false;
	}
}

int machine_start(struct machine *m)
{
	for (unsigned i = 0; i < m->cpu_count; i++) {
		struct machine_cpu *cpu = &m->cpu[i];
		int err = pthread_create(&cpu->thread, NULL, machine_cpu_thread, cpu);

		if (err) {
			machine_stop(m, MACHINE_ERROR);
			machine_stop_cpus(m);
			return msg_fail(-err, "cannot start vCPU %u: %s", i, strerror(err));
		}
		cpu->started = true;
	}
	return 0;
}

enum machine_end machine_run(struct machine *m)
{
	loop_run(&m->loop);
	machine_stop_cpus(m);
	return m->end;
}

void machine_stop(struct machine *m, enum machine_end why)
{
	int running = MACHINE_RUNNING;

	__atomic_compare_exchange_n(&m->end, &running, why, false, __ATOMIC_ACQ_REL,
				    __ATOMIC_ACQUIRE);
	loop_stop(&m->loop);
}

int machine_ioeventfd(struct machine *m, bool pio, u64 addr, unsigned len, int eventfd, bool assign,
		      bool match, u64 data)
{
	struct kvm_ioeventfd arg = {.addr = addr, .len = len, .fd = eventfd, .datamatch = data};

	if (pio)
		arg.flags |= KVM_IOEVENTFD_FLAG_PIO;
	if (!assign)
		arg.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
	if (match)
		arg.flags |= KVM_IOEVENTFD_FLAG_DATAMATCH;
	return kvmdev_ioctl(m->kvm, m->vm_fd, KVM_IOEVENTFD, &arg);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* A vCPU's thread: KVM_RUN, and what to do with each userexit. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include "vmm/coalesced.h"
#include "vmm/machine.h"
#include "vmm/msg.h"

int machine_cpu_ioctl(struct machine_cpu *cpu, unsigned long request, void *arg)
{
	return kvmdev_ioctl(cpu->machine->kvm, cpu->fd, request, arg);
}

int machine_cpu_create(struct machine *m, unsigned id)
{
	struct machine_cpu *cpu = &m->cpu[id];

	cpu->machine = m;
	cpu->id = id;
	cpu->fd = kvmdev_ioctl_val(m->kvm, m->vm_fd, KVM_CREATE_VCPU, id);
	if (cpu->fd < 0)
		return msg_fail(cpu->fd, "cannot create vCPU %u: %s", id, strerror(-cpu->fd));
	m->cpu_count = id + 1;
	cpu->run = mmap(NULL, m->kvm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, cpu->fd, 0);
	if (cpu->run == MAP_FAILED)
		return msg_fail(-errno, "cannot map vCPU %u: %s", id, strerror(errno));
	return 0;
}

static void machine_cpu_on_kick(int sig)
{
}

void machine_cpu_kick(struct machine_cpu *cpu)
{
	/* The flag covers the time before KVM_RUN, the signal that inside it. */
	__atomic_store_n(&cpu->run->immediate_exit, 1, __ATOMIC_RELEASE);
	pthread_kill(cpu->thread, SIGRTMIN);
}

static u64 load_le(const u8 *data, unsigned len)
{
	u64 value = 0;

	memcpy(&value, data, MIN(len, 8u));
	return value;
}

/* String I/O arrives as `count` items in one userexit. */
static void machine_cpu_do_io(struct machine_cpu *cpu)
{
	struct kvm_run *run = cpu->run;
	u8 *data = (u8 *)run + run->io.data_offset;
	unsigned size = run->io.size;

	for (u32 i = 0; i < run->io.count; i++, data += size) {
		if (run->io.direction == KVM_EXIT_IO_OUT) {
			bus_write(&cpu->machine->pio, run->io.port, size, load_le(data, size));
		} else {
			u64 value = bus_read(&cpu->machine->pio, run->io.port, size);

			memcpy(data, &value, size);
		}
	}
}

static void machine_cpu_do_mmio(struct machine_cpu *cpu)
{
	struct kvm_run *run = cpu->run;
	unsigned len = MIN(run->mmio.len, 8u);
	u64 value;

	if (!len)
		return;
	if (run->mmio.is_write) {
		bus_write(&cpu->machine->mmio, run->mmio.phys_addr, len,
			  load_le(run->mmio.data, len));
		return;
	}
	value = bus_read(&cpu->machine->mmio, run->mmio.phys_addr, len);
	memcpy(run->mmio.data, &value, len);
}

static void machine_cpu_do_system_event(struct machine_cpu *cpu)
{
	switch (cpu->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		machine_stop(cpu->machine, MACHINE_POWEROFF);
		break;
	case KVM_SYSTEM_EVENT_RESET:
		machine_stop(cpu->machine, MACHINE_RESET);
		break;
	default:
		msg_warn("vCPU %u: system event %u", cpu->id, cpu->run->system_event.type);
		machine_stop(cpu->machine, MACHINE_ERROR);
	}
}

static void machine_cpu_do_internal_error(struct machine_cpu *cpu)
{
	struct kvm_run *run = cpu->run;
	char data[17 * 16 + 1] = "";
	size_t used = 0;

	for (u32 i = 0; i < MIN(run->internal.ndata, 16u); i++)
		used += snprintf(data + used, sizeof(data) - used, " %" PRIx64,
				 (u64)run->internal.data[i]);
	msg_fail(0, "vCPU %u: KVM internal error, suberror %u, data:%s", cpu->id,
		 run->internal.suberror, data);
	machine_cpu_dump(cpu);
	machine_stop(cpu->machine, MACHINE_ERROR);
}

static void machine_cpu_end(struct machine_cpu *cpu, enum machine_end why, const char *what)
{
	msg_fail(0, "vCPU %u: %s", cpu->id, what);
	machine_cpu_dump(cpu);
	machine_stop(cpu->machine, why);
}

static void machine_cpu_handle_exit(struct machine_cpu *cpu)
{
	char text[80];

	switch (cpu->run->exit_reason) {
	case KVM_EXIT_IO:
		machine_cpu_do_io(cpu);
		break;
	case KVM_EXIT_MMIO:
		machine_cpu_do_mmio(cpu);
		break;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
	case KVM_EXIT_SET_TPR:
		break;
	case KVM_EXIT_HLT:
		/* The irqchip is KVM's, so this means that nothing can wake the vCPU. */
		machine_cpu_end(cpu, MACHINE_HALTED, "halted for ever");
		break;
	case KVM_EXIT_SHUTDOWN:
		machine_cpu_end(cpu, MACHINE_TRIPLE_FAULT, "triple fault");
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		machine_cpu_do_system_event(cpu);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		snprintf(text, sizeof(text), "the CPU refuses to enter the guest, reason %#llx",
			 (unsigned long long)cpu->run->fail_entry.hardware_entry_failure_reason);
		machine_cpu_end(cpu, MACHINE_ERROR, text);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		machine_cpu_do_internal_error(cpu);
		break;
	case KVM_EXIT_DEBUG:
		machine_cpu_end(cpu, MACHINE_ERROR, "debug exception without a debugger");
		break;
	default:
		snprintf(text, sizeof(text), "unexpected exit reason %u", cpu->run->exit_reason);
		machine_cpu_end(cpu, MACHINE_ERROR, text);
	}
}

static void machine_cpu_block_signals(void)
{
	struct sigaction act = {.sa_handler = machine_cpu_on_kick};
	sigset_t set;

	sigaction(SIGRTMIN, &act, NULL);
	sigfillset(&set);
	sigdelset(&set, SIGRTMIN);
	/* The synchronous ones stay: a fault in the VMM must kill it. */
	sigdelset(&set, SIGSEGV);
	sigdelset(&set, SIGBUS);
	sigdelset(&set, SIGILL);
	sigdelset(&set, SIGFPE);
	sigdelset(&set, SIGABRT);
	pthread_sigmask(SIG_SETMASK, &set, NULL);
}

void *machine_cpu_thread(void *arg)
{
	struct machine_cpu *cpu = arg;
	struct machine *m = cpu->machine;
	char name[16];

	snprintf(name, sizeof(name), "vcpu%u", cpu->id);
	pthread_setname_np(pthread_self(), name);
	machine_cpu_block_signals();
	while (__atomic_load_n(&m->end, __ATOMIC_ACQUIRE) == MACHINE_RUNNING) {
		int ret = machine_cpu_ioctl(cpu, KVM_RUN, NULL);

		if (m->coalesced)
			coalesced_drain(m->coalesced);
		if (ret == -EINTR || ret == -EAGAIN)
			continue;
		if (ret < 0) {
			msg_fail(ret, "vCPU %u: KVM_RUN: %s", cpu->id, strerror(-ret));
			machine_cpu_dump(cpu);
			machine_stop(m, MACHINE_ERROR);
			break;
		}
		cpu->userexits++;
		machine_cpu_handle_exit(cpu);
	}
	return NULL;
}

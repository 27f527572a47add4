/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any sequence of ioctls with any arguments: the answer is an errno or success, never a crash or a hang.
 * LLVMFuzzerTestOneInput() is for libFuzzer (make fuzz); ioctl_test.c feeds it with a fixed generator.
 */
#include <linux/kvm.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "nestkvm.h"

#define MEM_SIZE  0x100000u
#define ARG_SIZE  0x5000u
#define MAX_VMS	  4
#define MAX_VCPUS 4

static const unsigned long system_requests[] = {
	KVM_GET_API_VERSION,
	KVM_CREATE_VM,
	KVM_CHECK_EXTENSION,
	KVM_GET_VCPU_MMAP_SIZE,
	KVM_GET_SUPPORTED_CPUID,
	KVM_GET_EMULATED_CPUID,
	KVM_GET_MSR_INDEX_LIST,
	KVM_GET_MSR_FEATURE_INDEX_LIST,
	KVM_GET_MSRS,
	KVM_X86_GET_MCE_CAP_SUPPORTED,
};

static const unsigned long vm_requests[] = {
	KVM_CREATE_VCPU,
	KVM_SET_USER_MEMORY_REGION,
	KVM_SET_USER_MEMORY_REGION,
	KVM_GET_DIRTY_LOG,
	KVM_CLEAR_DIRTY_LOG,
	KVM_REGISTER_COALESCED_MMIO,
	KVM_UNREGISTER_COALESCED_MMIO,
	KVM_CREATE_IRQCHIP,
	KVM_GET_IRQCHIP,
	KVM_SET_IRQCHIP,
	KVM_CREATE_PIT2,
	KVM_GET_PIT2,
	KVM_SET_PIT2,
	KVM_REINJECT_CONTROL,
	KVM_SET_GSI_ROUTING,
	KVM_IRQFD,
	KVM_IOEVENTFD,
	KVM_IRQ_LINE,
	KVM_IRQ_LINE_STATUS,
	KVM_SIGNAL_MSI,
	KVM_SET_BOOT_CPU_ID,
	KVM_SET_TSS_ADDR,
	KVM_SET_IDENTITY_MAP_ADDR,
	KVM_GET_CLOCK,
	KVM_SET_CLOCK,
	KVM_ENABLE_CAP,
	KVM_CREATE_DEVICE,
	KVM_CHECK_EXTENSION,
	KVM_CREATE_PIT,
	KVM_SET_TSC_KHZ,
};

static const unsigned long vcpu_requests[] = {
	KVM_RUN,
	KVM_RUN,
	KVM_RUN,
	KVM_GET_REGS,
	KVM_SET_REGS,
	KVM_GET_SREGS,
	KVM_SET_SREGS,
	KVM_GET_SREGS2,
	KVM_SET_SREGS2,
	KVM_GET_DEBUGREGS,
	KVM_SET_DEBUGREGS,
	KVM_TRANSLATE,
	KVM_GET_FPU,
	KVM_SET_FPU,
	KVM_GET_XSAVE,
	KVM_SET_XSAVE,
	KVM_GET_XSAVE2,
	KVM_GET_XCRS,
	KVM_SET_XCRS,
	KVM_GET_VCPU_EVENTS,
	KVM_SET_VCPU_EVENTS,
	KVM_GET_MP_STATE,
	KVM_SET_MP_STATE,
	KVM_INTERRUPT,
	KVM_NMI,
	KVM_GET_LAPIC,
	KVM_SET_LAPIC,
	KVM_X86_SETUP_MCE,
	KVM_GET_MSRS,
	KVM_SET_MSRS,
	KVM_GET_TSC_KHZ,
	KVM_SET_TSC_KHZ,
	KVM_HAS_DEVICE_ATTR,
	KVM_GET_DEVICE_ATTR,
	KVM_SET_DEVICE_ATTR,
	KVM_SET_CPUID2,
	KVM_GET_CPUID2,
	KVM_SET_SIGNAL_MASK,
	KVM_SET_GUEST_DEBUG,
	KVM_KVMCLOCK_CTRL,
	KVM_GET_NESTED_STATE,
	KVM_SET_NESTED_STATE,
	KVM_ENABLE_CAP,
	KVM_SET_CPUID,
};

/* -- input ---------------------------------------------------------------------------------------- */

struct input {
	const uint8_t *p;
	size_t left;
};

static uint8_t take(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->p++;
}

static uint32_t take32(struct input *in)
{
	uint32_t v = 0;

	for (int i = 0; i < 4; i++)
		v = v << 8 | take(in);
	return v;
}

/* -- the machine under test ------------------------------------------------------------------------- */

struct world {
	int sys, vm[MAX_VMS], vcpu[MAX_VCPUS], event;
	unsigned nvms, nvcpus;
	struct kvm_run *run[MAX_VCPUS];
	uint8_t *mem;
	uint8_t arg[ARG_SIZE] __attribute__((aligned(8)));
};

static void on_alarm(int sig)
{
	(void)sig;
}

/* Guests that run for ever are interrupted. */
static void start_alarm(void)
{
	const struct itimerspec every = {{0, 4000000}, {0, 4000000}};
	struct sigaction sa = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
	static bool started;
	timer_t timer;

	if (started)
		return;
	started = true;
	sigaction(SIGALRM, &sa, NULL);
	if (!timer_create(CLOCK_MONOTONIC, &ev, &timer))
		timer_settime(timer, 0, &every, NULL);
}

static void add_vcpu(struct world *w, int fd)
{
	int size = nestkvm_ioctl(w->sys, KVM_GET_VCPU_MMAP_SIZE, NULL);

	if (w->nvcpus == MAX_VCPUS) {
		nestkvm_close(fd);
		return;
	}
	w->run[w->nvcpus] = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	w->vcpu[w->nvcpus++] = fd;
}

static void add_vm(struct world *w, int fd)
{
	if (w->nvms == MAX_VMS)
		nestkvm_close(fd);
	else
		w->vm[w->nvms++] = fd;
}

/* Host pointers and descriptors that the library would rightly use are made ours. */
static void tame(struct world *w, unsigned long request)
{
	struct kvm_userspace_memory_region *slot = (void *)w->arg;
	struct kvm_irqfd *irqfd = (void *)w->arg;
	struct kvm_ioeventfd *io = (void *)w->arg;

	if (request == KVM_SET_USER_MEMORY_REGION) {
		slot->slot &= 7;
		slot->guest_phys_addr &= 0x1fffff;
		slot->memory_size &= MEM_SIZE * 2 - 1;
		if (slot->memory_size > MEM_SIZE)
			slot->memory_size = 0;
		if (!(slot->flags & 1u << 7)) {
			slot->userspace_addr = (uintptr_t)w->mem;
			slot->guest_phys_addr &= ~0xfffull;
			slot->memory_size &= ~0xfffull;
			slot->flags &= 3;
		}
	} else if (request == KVM_IRQFD) {
		irqfd->fd = irqfd->gsi & 1 ? (uint32_t)w->event : (uint32_t)-1;
		irqfd->resamplefd = (uint32_t)w->event;
	} else if (request == KVM_IOEVENTFD) {
		io->fd = io->len & 1 ? -1 : w->event;
	}
}

static void fill_arg(struct world *w, struct input *in)
{
	size_t n = take(in);

	memset(w->arg, 0, 512);
	for (size_t i = 0; i < n && i < sizeof(w->arg); i++)
		w->arg[i] = take(in);
}

/* The argument: a small integer, a wild pointer, or a structure. */
static void *choose_arg(struct world *w, struct input *in, unsigned long request)
{
	uint8_t how = take(in);

	if (request == KVM_RUN)
		return how ? NULL : (void *)1;
	if (how < 0x20)
		return (void *)(uintptr_t)take(in);
	if (how < 0x28)
		return (void *)(uintptr_t)(take32(in) | 0x7000000000000000ull);
	if (how & 1)
		fill_arg(w, in);
	tame(w, request);
	return w->arg;
}

/* Code and data for the guests, and user space's answers. */
static void scribble(struct world *w, struct input *in)
{
	uint32_t at = take32(in) & (MEM_SIZE - 1), n = take(in);

	for (uint32_t i = 0; i < n && at + i < MEM_SIZE; i++)
		w->mem[at + i] = take(in);
	if (w->nvcpus) {
		struct kvm_run *run = w->run[n % w->nvcpus];

		run->immediate_exit = take(in) > 0xf0;
		run->request_interrupt_window = take(in) & 1;
		run->kvm_valid_regs = take(in) & 7;
		run->kvm_dirty_regs = take(in) > 0xf0 ? take(in) : 0;
	}
}

static void step(struct world *w, struct input *in)
{
	uint8_t kind = take(in) % 16, n = take(in);
	unsigned long request;
	int fd, r;

	if (kind == 0) {
		scribble(w, in);
		return;
	}
	if (kind < 3 || !w->nvms) {
		request = system_requests[n % (sizeof(system_requests) / sizeof(long))];
		r = nestkvm_ioctl(w->sys, request, choose_arg(w, in, request));
		if (request == KVM_CREATE_VM && r >= 0)
			add_vm(w, r);
	} else if (kind < 8 || !w->nvcpus) {
		request = vm_requests[n % (sizeof(vm_requests) / sizeof(long))];
		r = nestkvm_ioctl(w->vm[kind % w->nvms], request, choose_arg(w, in, request));
		if (request == KVM_CREATE_VCPU && r >= 0)
			add_vcpu(w, r);
	} else {
		request = vcpu_requests[n % (sizeof(vcpu_requests) / sizeof(long))];
		fd = w->vcpu[kind % w->nvcpus];
		nestkvm_ioctl(fd, request, choose_arg(w, in, request));
	}
}

/* A VM with memory and a vCPU to begin with, that fewer inputs are in vain. */
static void create(struct world *w)
{
	struct kvm_userspace_memory_region slot = {.memory_size = MEM_SIZE};
	int vm;

	memset(w, 0, sizeof(*w));
	w->sys = nestkvm_open(NULL);
	w->event = eventfd(0, EFD_NONBLOCK);
	w->mem = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	vm = nestkvm_ioctl(w->sys, KVM_CREATE_VM, NULL);
	slot.userspace_addr = (uintptr_t)w->mem;
	nestkvm_ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot);
	add_vm(w, vm);
}

static void destroy(struct world *w)
{
	int size = nestkvm_ioctl(w->sys, KVM_GET_VCPU_MMAP_SIZE, NULL);

	for (unsigned i = 0; i < w->nvcpus; i++) {
		munmap(w->run[i], (size_t)size);
		nestkvm_close(w->vcpu[i]);
	}
	for (unsigned i = 0; i < w->nvms; i++)
		nestkvm_close(w->vm[i]);
	nestkvm_close(w->sys);
	close(w->event);
	munmap(w->mem, MEM_SIZE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	static struct world w;

	start_alarm();
	create(&w);
	if (take(&in) & 1)
		nestkvm_ioctl(w.vm[0], KVM_CREATE_IRQCHIP, NULL);
	add_vcpu(&w, nestkvm_ioctl(w.vm[0], KVM_CREATE_VCPU, NULL));
	while (in.left)
		step(&w, &in);
	destroy(&w);
	return 0;
}

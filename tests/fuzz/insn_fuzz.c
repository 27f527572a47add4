/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzz target: random bytes as a guest's code, in every mode, through the public API. Whatever they are,
 * KVM_RUN ends in a userexit or by the timer's signal; nothing crashes, hangs or leaks. The VM has VMX, and
 * tables through which exceptions really are delivered, into more random code.
 *
 * As a libFuzzer target: clang -fsanitize=fuzzer,address -Iinclude tests/fuzz/insn_fuzz.c libnestkvm.a ...
 * insn_test.c runs it on inputs of its own.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>

#include "nestkvm.h"

#define RAM_SIZE  0x400000ul
#define CODE	  0x10000ul /* 64 KiB of the input, repeated */
#define CODE_SIZE 0x10000ul
#define DATA	  0x20000ul
#define TABLES	  0x100000ul
#define GDT	  0x5000ul
#define IDT	  0x6000ul
#define RUNS	  12   /* userexits of one input */
#define TIMER_US  3000 /* after which an endless loop is stopped */
#define KEEP_VM	  64   /* inputs that share a VM */

static struct vm {
	int sys, vm, cpu;
	struct kvm_run *run;
	size_t run_size;
	uint8_t *ram;
	unsigned used;
} vm;

/* -- the input as a source of numbers ------------------------------------------------------------------ */

static const uint8_t *input;
static size_t input_size, input_at;

static uint8_t take8(void)
{
	return input_size ? input[input_at++ % input_size] : 0;
}

static uint64_t take64(void)
{
	uint64_t v = 0;

	for (unsigned n = 0; n < 8; n++)
		v = v << 8 | take8();
	return v;
}

/* -- the machine ---------------------------------------------------------------------------------------- */

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	abort();
}

static void set_cpuid(void)
{
	static struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[256];
	} c;

	c.head.nent = 256;
	must(!nestkvm_ioctl(vm.sys, KVM_GET_SUPPORTED_CPUID, &c), "CPUID");
	for (unsigned n = 0; n < c.head.nent; n++)
		if (c.entries[n].function == 1)
			c.entries[n].ecx |= 1u << 5; /* VMX */
	must(!nestkvm_ioctl(vm.cpu, KVM_SET_CPUID2, &c), "CPUID");
}

static void vm_open(void)
{
	struct kvm_userspace_memory_region r = {.memory_size = RAM_SIZE};

	vm.sys = nestkvm_open("nested=1,ept=1");
	must(vm.sys >= 0, "open");
	vm.vm = nestkvm_ioctl(vm.sys, KVM_CREATE_VM, 0);
	must(vm.vm >= 0 && !nestkvm_ioctl(vm.vm, KVM_CREATE_IRQCHIP, 0), "VM");
	vm.ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(vm.ram != MAP_FAILED, "memory");
	r.userspace_addr = (uintptr_t)vm.ram;
	must(!nestkvm_ioctl(vm.vm, KVM_SET_USER_MEMORY_REGION, &r), "slot");
	vm.cpu = nestkvm_ioctl(vm.vm, KVM_CREATE_VCPU, 0);
	must(vm.cpu >= 0, "vCPU");
	vm.run_size = (size_t)nestkvm_ioctl(vm.sys, KVM_GET_VCPU_MMAP_SIZE, NULL);
	vm.run = mmap(NULL, vm.run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vm.cpu, 0);
	must(vm.run != MAP_FAILED, "kvm_run");
	set_cpuid();
}

static void vm_close(void)
{
	munmap(vm.run, vm.run_size);
	nestkvm_close(vm.cpu);
	nestkvm_close(vm.vm);
	nestkvm_close(vm.sys);
	munmap(vm.ram, RAM_SIZE);
}

/* The first 4 MiB map to themselves, in the format of `mode`; some pages are missing. */
static void make_tables(bool legacy)
{
	uint64_t *t = (uint64_t *)(vm.ram + TABLES);
	uint32_t *t32 = (uint32_t *)(vm.ram + TABLES);

	memset(t, 0, 0x5000);
	if (legacy) {
		t32[0] = (TABLES + 0x1000) | 7;
		for (unsigned n = 0; n < 1024; n++)
			t32[1024 + n] = n << 12 | (n % 61 == 60 ? 0 : 7);
		return;
	}
	t[0] = (TABLES + 0x1000) | 7;
	t[512] = (TABLES + 0x2000) | 7;
	t[1024] = (TABLES + 0x3000) | 7;
	t[1025] = (TABLES + 0x4000) | 7;
	for (unsigned n = 0; n < 1024; n++)
		t[1536 + n] = (uint64_t)n << 12 | (n % 61 == 60 ? 0 : 7);
}

/* Flat descriptors: null, code and data at CPL 0, the same at CPL 3, a TSS. */
static void make_gdt(bool wide)
{
	static const uint64_t flat[] = {0,
					0x00cf9b000000ffff,
					0x00cf93000000ffff,
					0x00cffb000000ffff,
					0x00cff3000000ffff,
					0x00008b0070000067};
	uint64_t *gdt = (uint64_t *)(vm.ram + GDT);

	memcpy(gdt, flat, sizeof(flat));
	gdt[6] = 0;
	if (wide)
		gdt[1] = 0x00af9b000000ffff, gdt[3] = 0x00affb000000ffff;
	memset(vm.ram + 0x7000, 0, 0x68);
	for (unsigned n = 0; n < 3; n++)
		vm.ram[0x7000 + 4 + 8 * n + 2] = 0x2f; /* stacks at 0x2f0000 */
}

/* Every vector leads back into the code. */
static void make_idt(bool wide)
{
	for (unsigned n = 0; n < 256; n++) {
		uint16_t offset = (uint16_t)(CODE_SIZE / 2 + 97 * n);
		uint64_t gate = offset | 1ull << 48 | 8ull << 16 | 0x8eull << 40;

		if (wide) {
			memcpy(vm.ram + IDT + 16 * n, &gate, 8);
			memset(vm.ram + IDT + 16 * n + 8, 0, 8);
		} else {
			memcpy(vm.ram + IDT + 8 * n, &gate, 8);
		}
	}
}

static void make_memory(bool wide, bool legacy)
{
	for (size_t n = 0; n < CODE_SIZE; n++)
		vm.ram[CODE + n] = input_size ? input[n % input_size] : 0x90;
	for (size_t n = 0; n < 0x1000; n++) {
		vm.ram[DATA + n] = take8();
		vm.ram[n] = 0; /* real-mode vectors, all to 0000:0000, which is ADD [BX+SI], AL */
	}
	make_tables(legacy);
	make_gdt(wide);
	make_idt(wide);
}

/* -- the CPU ------------------------------------------------------------------------------------------- */

enum mode { REAL, PROTECTED, PROTECTED_16, PAGED_32, PAE, LONG_0, LONG_3, COMPAT, V86, NMODES };

static void segment(struct kvm_segment *s, unsigned selector, bool code, bool db, bool l)
{
	*s = (struct kvm_segment){.limit = ~0u,
				  .selector = (uint16_t)selector,
				  .type = code ? 11 : 3,
				  .s = 1,
				  .dpl = selector & 3,
				  .present = 1,
				  .db = db,
				  .l = l,
				  .g = 1};
}

static void real_segments(struct kvm_sregs *s, bool v86)
{
	struct kvm_segment seg = {.base = CODE,
				  .limit = 0xffff,
				  .selector = CODE >> 4,
				  .type = 3,
				  .s = 1,
				  .present = 1,
				  .dpl = v86 ? 3 : 0};

	s->cs = s->ds = s->es = s->ss = s->fs = s->gs = seg;
	if (!v86)
		s->cs.type = 11;
}

static void flat_segments(struct kvm_sregs *s, enum mode mode)
{
	bool wide = mode == LONG_0 || mode == LONG_3, user = mode == LONG_3;

	segment(&s->cs, user ? 0x1b : 8, true, mode != PROTECTED_16 && !wide, wide);
	segment(&s->ds, user ? 0x23 : 16, false, true, false);
	s->es = s->ss = s->fs = s->gs = s->ds;
}

static void set_sregs(enum mode mode)
{
	bool wide = mode == LONG_0 || mode == LONG_3 || mode == COMPAT;
	struct kvm_sregs s;

	must(!nestkvm_ioctl(vm.cpu, KVM_GET_SREGS, &s), "SREGS");
	memset(s.interrupt_bitmap, 0, sizeof(s.interrupt_bitmap));
	s.cr0 = 0x20 | 0x10 | (take8() & 0x0e) | (mode == REAL ? 0 : 1);
	s.cr4 = 0x600 | (mode == PAE || wide ? 0x20 : 0) | (take8() & 1 ? 0x40000 : 0);
	s.cr3 = TABLES + (mode == PAE ? 0x1000 : 0);
	s.efer = wide ? 0x500 : 0;
	if (mode >= PAGED_32 && mode != V86)
		s.cr0 |= 0x80000000 | (take8() & 1 ? 0x10000 : 0);
	if (mode == REAL || mode == V86)
		real_segments(&s, mode == V86);
	else
		flat_segments(&s, mode);
	s.tr = (struct kvm_segment){
		.base = 0x7000, .limit = 0x67, .selector = 0x28, .type = 11, .present = 1};
	s.ldt = (struct kvm_segment){.unusable = 1};
	s.gdt = (struct kvm_dtable){.base = GDT, .limit = 0x37};
	s.idt = (struct kvm_dtable){.base = mode == REAL ? 0 : IDT, .limit = 0xfff};
	must(!nestkvm_ioctl(vm.cpu, KVM_SET_SREGS, &s), "SREGS");
}

/* Registers: small numbers, addresses of the data, anything. */
static uint64_t take_register(void)
{
	switch (take8() & 3) {
	case 0:
		return take8();
	case 1:
		return DATA + take8() * 16u;
	case 2:
		return take64() & (RAM_SIZE - 1);
	default:
		return take64();
	}
}

static void set_regs(enum mode mode)
{
	struct kvm_regs r;
	__u64 *gpr = &r.rax;

	for (unsigned n = 0; n < 16; n++)
		gpr[n] = take_register();
	r.rsp = mode == REAL || mode == V86 ? 0xfff0 : 0x2f0000;
	r.rip = mode == REAL || mode == V86 ? 0 : CODE;
	r.rflags = 2 | (take64() & 0x240dd5) | (mode == V86 ? 0x23000 : 0);
	must(!nestkvm_ioctl(vm.cpu, KVM_SET_REGS, &r), "REGS");
}

/* What the last input left pending must not be this one's. */
static void clear_events(void)
{
	struct kvm_vcpu_events ev = {0};
	struct kvm_mp_state mp = {.mp_state = KVM_MP_STATE_RUNNABLE};

	nestkvm_ioctl(vm.cpu, KVM_SET_VCPU_EVENTS, &ev);
	nestkvm_ioctl(vm.cpu, KVM_SET_MP_STATE, &mp);
}

/* -- running --------------------------------------------------------------------------------------------- */

static void on_alarm(int sig)
{
}

static void arm(long us)
{
	struct itimerval t = {.it_value = {.tv_usec = us}};

	setitimer(ITIMER_REAL, &t, NULL);
}

static bool run_once(void)
{
	int r;

	arm(TIMER_US);
	r = nestkvm_ioctl(vm.cpu, KVM_RUN, NULL);
	arm(0);
	if (r < 0)
		return false; /* EINTR: the timer */
	switch (vm.run->exit_reason) {
	case KVM_EXIT_IO:
		if (vm.run->io.direction == KVM_EXIT_IO_IN)
			((uint8_t *)vm.run)[vm.run->io.data_offset] = take8();
		return true;
	case KVM_EXIT_MMIO:
		vm.run->mmio.data[0] = take8();
		return true;
	default:
		return false;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum mode mode;

	if (!vm.ram) {
		signal(SIGALRM, on_alarm);
		vm_open();
	}
	input = data;
	input_size = size;
	input_at = size / 2;
	mode = take8() % NMODES;
	make_memory(mode >= LONG_0 && mode <= COMPAT, mode == PAGED_32);
	clear_events();
	set_sregs(mode);
	set_regs(mode);
	for (unsigned n = 0; n < RUNS && run_once(); n++)
		;
	if (++vm.used == KEEP_VM) {
		vm_close();
		memset(&vm, 0, sizeof(vm));
	}
	return 0;
}

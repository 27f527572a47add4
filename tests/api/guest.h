/* SPDX-License-Identifier: BSD-2-Clause */
/* Small guests through the public API, for the tests here: a VM with one vCPU and some memory. */
#ifndef TESTS_API_GUEST_H
#define TESTS_API_GUEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/mman.h>

#include "nestkvm.h"

#define GUEST_MEM  0x200000ul
#define GUEST_CODE 0x1000ul
#define IO_PAGE	   0x1000

struct guest {
	int sys, vm, cpu;
	struct kvm_run *run;
	uint8_t *mem;
};

/* Guest code from assembly: `extern const uint8_t name[], name_end[];` */
#define GUEST_ASM(name, text)                                                                      \
	extern const uint8_t name[], name##_end[];                                                 \
	__asm__(".pushsection .rodata\n.globl " #name ", " #name "_end\n" #name ":\n" text         \
		"\n" #name "_end:\n.code64\n.popsection\n")

static inline int guest_ioctl(int fd, unsigned long request, void *arg)
{
	return nestkvm_ioctl(fd, request, arg);
}

static inline void guest_slot(struct guest *g, uint32_t slot, uint32_t flags, uint64_t gpa,
			      uint64_t size, void *hva)
{
	struct kvm_userspace_memory_region r = {.slot = slot,
						.flags = flags,
						.guest_phys_addr = gpa,
						.memory_size = size,
						.userspace_addr = (uintptr_t)hva};

	assert_int_equal(guest_ioctl(g->vm, KVM_SET_USER_MEMORY_REGION, &r), 0);
}

static inline void guest_create_vcpu(struct guest *g)
{
	int size = guest_ioctl(g->sys, KVM_GET_VCPU_MMAP_SIZE, NULL);

	g->cpu = guest_ioctl(g->vm, KVM_CREATE_VCPU, 0);
	assert_true(g->cpu >= 0);
	g->run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, g->cpu, 0);
	assert_true(g->run != MAP_FAILED);
}

/* CPUID as KVM_GET_SUPPORTED_CPUID gives it. */
static inline void guest_cpuid(struct guest *g)
{
	static struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[256];
	} c;

	c.head.nent = 256;
	assert_int_equal(guest_ioctl(g->sys, KVM_GET_SUPPORTED_CPUID, &c), 0);
	assert_int_equal(guest_ioctl(g->cpu, KVM_SET_CPUID2, &c), 0);
}

static inline void guest_open(struct guest *g, int irqchip)
{
	memset(g, 0, sizeof(*g));
	g->sys = nestkvm_open(NULL);
	assert_true(g->sys >= 0);
	g->vm = guest_ioctl(g->sys, KVM_CREATE_VM, 0);
	assert_true(g->vm >= 0);
	if (irqchip)
		assert_int_equal(guest_ioctl(g->vm, KVM_CREATE_IRQCHIP, 0), 0);
	g->mem = mmap(NULL, GUEST_MEM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(g->mem != MAP_FAILED);
	guest_slot(g, 0, 0, 0, GUEST_MEM, g->mem);
	guest_create_vcpu(g);
	guest_cpuid(g);
}

static inline void guest_close(struct guest *g)
{
	munmap(g->run, (size_t)guest_ioctl(g->sys, KVM_GET_VCPU_MMAP_SIZE, NULL));
	assert_int_equal(nestkvm_close(g->cpu), 0);
	assert_int_equal(nestkvm_close(g->vm), 0);
	assert_int_equal(nestkvm_close(g->sys), 0);
	munmap(g->mem, GUEST_MEM);
}

static inline void guest_sregs(struct guest *g, struct kvm_sregs *s)
{
	assert_int_equal(guest_ioctl(g->cpu, KVM_GET_SREGS, s), 0);
}

static inline void guest_regs(struct guest *g, struct kvm_regs *r)
{
	assert_int_equal(guest_ioctl(g->cpu, KVM_GET_REGS, r), 0);
}

static inline void guest_set(struct guest *g, const struct kvm_sregs *s, const struct kvm_regs *r)
{
	assert_int_equal(guest_ioctl(g->cpu, KVM_SET_SREGS, (void *)s), 0);
	assert_int_equal(guest_ioctl(g->cpu, KVM_SET_REGS, (void *)r), 0);
}

static inline void guest_copy(struct guest *g, const uint8_t *code, const uint8_t *end)
{
	memcpy(g->mem + GUEST_CODE, code, (size_t)(end - code));
}

/* Code at 0000:1000 in real mode, stack at 0000:1000. */
static inline void guest_real(struct guest *g, const uint8_t *code, const uint8_t *end)
{
	struct kvm_regs r = {.rip = GUEST_CODE, .rsp = GUEST_CODE, .rflags = 2};
	struct kvm_sregs s;

	guest_copy(g, code, end);
	guest_sregs(g, &s);
	s.cs.base = 0;
	s.cs.selector = 0;
	guest_set(g, &s, &r);
}

static inline void guest_flat(struct kvm_segment *s, uint16_t selector, int code, int l)
{
	*s = (struct kvm_segment){.base = 0,
				  .limit = 0xffffffff,
				  .selector = selector,
				  .type = code ? 11 : 3,
				  .s = 1,
				  .present = 1,
				  .db = !l || !code,
				  .l = l && code,
				  .g = 1};
}

static inline void guest_flat_all(struct kvm_sregs *s, int l)
{
	guest_flat(&s->cs, 8, 1, l);
	guest_flat(&s->ds, 16, 0, l);
	s->es = s->fs = s->gs = s->ss = s->ds;
	s->cr0 |= 1;
}

/* Flat 32-bit protected mode without paging. */
static inline void guest_protected(struct guest *g, const uint8_t *code, const uint8_t *end)
{
	struct kvm_regs r = {.rip = GUEST_CODE, .rsp = 0x8000, .rflags = 2};
	struct kvm_sregs s;

	guest_copy(g, code, end);
	guest_sregs(g, &s);
	guest_flat_all(&s, 0);
	guest_set(g, &s, &r);
}

#define GUEST_PML4 0x100000ul

/* Long mode: the first 1 GiB mapped to itself by 2-MiB pages, for kernel and user. */
static inline void guest_long(struct guest *g, const uint8_t *code, const uint8_t *end)
{
	uint64_t *pml4 = (void *)(g->mem + GUEST_PML4), *pdpt = pml4 + 512, *pd = pdpt + 512;
	struct kvm_regs r = {.rip = GUEST_CODE, .rsp = 0x8000, .rflags = 2};
	struct kvm_sregs s;

	pml4[0] = (GUEST_PML4 + 0x1000) | 7;
	pdpt[0] = (GUEST_PML4 + 0x2000) | 7;
	for (uint64_t i = 0; i < 512; i++)
		pd[i] = i << 21 | 0x87;
	guest_copy(g, code, end);
	guest_sregs(g, &s);
	guest_flat_all(&s, 1);
	s.cr3 = GUEST_PML4;
	s.cr4 |= 0x20 | 0x200;
	s.cr0 |= 0x80000000;
	s.efer = 0x500;
	guest_set(g, &s, &r);
}

static inline int guest_run(struct guest *g)
{
	return guest_ioctl(g->cpu, KVM_RUN, NULL);
}

/* Runs to the next userexit, which must be this one. */
static inline void guest_expect(struct guest *g, uint32_t reason)
{
	assert_int_equal(guest_run(g), 0);
	assert_int_equal(g->run->exit_reason, reason);
}

static inline void *guest_io_data(struct guest *g)
{
	return (uint8_t *)g->run + g->run->io.data_offset;
}

static inline void guest_expect_io(struct guest *g, int dir, uint16_t port, unsigned size,
				   unsigned count)
{
	guest_expect(g, KVM_EXIT_IO);
	assert_int_equal(g->run->io.direction, dir);
	assert_int_equal(g->run->io.port, port);
	assert_int_equal(g->run->io.size, size);
	assert_int_equal(g->run->io.count, count);
}

static inline void guest_expect_mmio(struct guest *g, int write, uint64_t gpa, unsigned len)
{
	guest_expect(g, KVM_EXIT_MMIO);
	assert_int_equal(g->run->mmio.is_write, write);
	assert_int_equal(g->run->mmio.phys_addr, gpa);
	assert_int_equal(g->run->mmio.len, len);
}

#endif

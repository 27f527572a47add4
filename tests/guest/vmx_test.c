/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs the bare-metal hypervisor of tests/guest/vmx on the library, once for each set of VMX features. It
 * checks itself and says on port F4h how many checks have failed.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <elf.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <linux/kvm.h>

#include "nestkvm.h"

#define RAM_SIZE  (32u << 20)
#define PML4	  0x2000u
#define PDPT	  0x3000u
#define PD	  0x4000u /* four pages */
#define PORT_TEXT 0xe9
#define PORT_DONE 0xf4

struct machine {
	int kvm, vm, vcpu;
	uint8_t *ram;
	struct kvm_run *run;
	uint64_t entry;
};

static int do_ioctl(int fd, unsigned long request, void *arg)
{
	int r = nestkvm_ioctl(fd, request, arg);

	if (r < 0)
		fail_msg("ioctl %#lx: %s", request, strerror(-r));
	return r;
}

/* The image lies beside the test program. */
static FILE *open_image(void)
{
	char path[PATH_MAX], exe[PATH_MAX] = "";

	assert_true(readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0);
	snprintf(path, sizeof(path), "%s/vmx.elf", dirname(exe));
	return fopen(path, "rb");
}

static void load_image(struct machine *m)
{
	FILE *f = open_image();
	Elf64_Ehdr eh;
	Elf64_Phdr ph;

	assert_non_null(f);
	assert_int_equal(fread(&eh, sizeof(eh), 1, f), 1);
	assert_int_equal(eh.e_phnum, 1);
	assert_int_equal(fseek(f, (long)eh.e_phoff, SEEK_SET), 0);
	assert_int_equal(fread(&ph, sizeof(ph), 1, f), 1);
	assert_true(ph.p_paddr + ph.p_memsz < RAM_SIZE);
	assert_int_equal(fseek(f, (long)ph.p_offset, SEEK_SET), 0);
	assert_int_equal(fread(m->ram + ph.p_paddr, 1, ph.p_filesz, f), ph.p_filesz);
	m->entry = eh.e_entry;
	fclose(f);
}

/* The first 4 GiB, identity mapped with 2-MiB pages. */
static void build_page_tables(struct machine *m)
{
	uint64_t *pml4 = (uint64_t *)(m->ram + PML4), *pdpt = (uint64_t *)(m->ram + PDPT);
	uint64_t *pd = (uint64_t *)(m->ram + PD);

	pml4[0] = PDPT | 3;
	for (uint64_t i = 0; i < 4; i++)
		pdpt[i] = (PD + i * 4096) | 3;
	for (uint64_t i = 0; i < 2048; i++)
		pd[i] = i << 21 | 0x83;
}

static void set_cpuid(struct machine *m)
{
	unsigned n = 256;
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + n * sizeof(c->entries[0]));

	c->nent = n;
	do_ioctl(m->kvm, KVM_GET_SUPPORTED_CPUID, c);
	do_ioctl(m->vcpu, KVM_SET_CPUID2, c);
	free(c);
}

static void set_registers(struct machine *m)
{
	struct kvm_segment code = {
		.limit = ~0u, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1};
	struct kvm_segment data = {
		.limit = ~0u, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1};
	struct kvm_regs regs = {.rip = m->entry, .rflags = 2};
	struct kvm_sregs sregs;

	do_ioctl(m->vcpu, KVM_GET_SREGS, &sregs);
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.cr0 = 0x80010033; /* PG WP NE ET MP PE */
	sregs.cr3 = PML4;
	sregs.cr4 = 0x620;  /* OSXMMEXCPT OSFXSR PAE */
	sregs.efer = 0xd01; /* NXE LMA LME SCE */
	do_ioctl(m->vcpu, KVM_SET_SREGS, &sregs);
	do_ioctl(m->vcpu, KVM_SET_REGS, &regs);
}

static void machine_create(struct machine *m, const char *params)
{
	struct kvm_userspace_memory_region region = {.memory_size = RAM_SIZE};

	m->kvm = nestkvm_open(params);
	assert_true(m->kvm >= 0);
	m->vm = do_ioctl(m->kvm, KVM_CREATE_VM, NULL);
	do_ioctl(m->vm, KVM_CREATE_IRQCHIP, NULL);
	m->ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(m->ram, MAP_FAILED);
	region.userspace_addr = (uintptr_t)m->ram;
	do_ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &region);
	m->vcpu = do_ioctl(m->vm, KVM_CREATE_VCPU, NULL);
	m->run = mmap(NULL, (size_t)do_ioctl(m->kvm, KVM_GET_VCPU_MMAP_SIZE, NULL),
		      PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu, 0);
	assert_ptr_not_equal(m->run, MAP_FAILED);
	load_image(m);
	build_page_tables(m);
	set_cpuid(m);
	set_registers(m);
}

static void machine_destroy(struct machine *m)
{
	munmap(m->run, (size_t)do_ioctl(m->kvm, KVM_GET_VCPU_MMAP_SIZE, NULL));
	nestkvm_close(m->vcpu);
	nestkvm_close(m->vm);
	nestkvm_close(m->kvm);
	munmap(m->ram, RAM_SIZE);
}

/* Saves and restores the whole nested state, as a migration would. */
static void nested_state_round_trip(struct machine *m)
{
	static union {
		struct kvm_nested_state state;
		uint8_t bytes[128 + 8192];
	} u;

	u.state.size = sizeof(u);
	do_ioctl(m->vcpu, KVM_GET_NESTED_STATE, &u.state);
	do_ioctl(m->vcpu, KVM_SET_NESTED_STATE, &u.state);
}

static uint32_t machine_run(struct machine *m)
{
	char line[512];
	size_t len = 0;

	for (;;) {
		const struct kvm_run *run = m->run;
		const uint8_t *data = (const uint8_t *)run + run->io.data_offset;

		do_ioctl(m->vcpu, KVM_RUN, NULL);
		data = (const uint8_t *)run + run->io.data_offset;
		if (run->exit_reason != KVM_EXIT_IO)
			fail_msg("exit reason %u, rest %.*s", run->exit_reason, (int)len, line);
		if (run->io.port == PORT_DONE)
			return *(const uint32_t *)data;
		if (run->io.port != PORT_TEXT || run->io.direction != KVM_EXIT_IO_OUT)
			continue;
		line[len++] = (char)*data;
		if (*data == '\n' || len == sizeof(line)) {
			print_message("%.*s", (int)len, line);
			len = 0;
			nested_state_round_trip(m);
		}
	}
}

static void run_with(void **state)
{
	struct machine m;

	machine_create(&m, *state);
	assert_int_equal(machine_run(&m), 0);
	machine_destroy(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{"all features", run_with, NULL, NULL, "nested=1"},
		{"ept=0", run_with, NULL, NULL, "ept=0"},
		{"vpid=0", run_with, NULL, NULL, "vpid=0"},
		{"unrestricted_guest=0", run_with, NULL, NULL, "unrestricted_guest=0"},
		{"preemption_timer=0", run_with, NULL, NULL, "preemption_timer=0"},
		{"eptad=0", run_with, NULL, NULL, "eptad=0"},
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

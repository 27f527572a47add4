/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptors, parameters, error numbers, memory slots and the dirty log. */
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"

#define BAD_POINTER ((void *)0x10)

/* -- descriptors ---------------------------------------------------------------------------------- */

static void test_open(void **state)
{
	int fd = nestkvm_open("nested=0,ept=1");

	assert_true(fd >= 0);
	assert_true(nestkvm_is_fd(fd));
	assert_false(nestkvm_is_fd(0));
	assert_int_equal(guest_ioctl(fd, KVM_GET_API_VERSION, NULL), 12);
	assert_int_equal(guest_ioctl(fd, KVM_GET_API_VERSION, (void *)1), -EINVAL);
	assert_int_equal(guest_ioctl(fd, KVM_RUN, NULL), -ENOTTY);
	assert_int_equal(guest_ioctl(fd, KVM_CREATE_VM, (void *)77), -EINVAL);
	assert_int_equal(nestkvm_close(fd), 0);
	assert_int_equal(nestkvm_close(fd), -EBADF);
	assert_int_equal(guest_ioctl(fd, KVM_GET_API_VERSION, NULL), -EBADF);
	assert_int_equal(nestkvm_open("colour=green"), -EINVAL);
	assert_int_equal(nestkvm_open("ept=maybe"), -EINVAL);
	assert_int_equal(nestkvm_open("ept"), -EINVAL);
}

static void test_environment(void **state)
{
	int fd;

	setenv("NESTKVM_PARAMS", "nested=0", 1);
	fd = nestkvm_open(NULL);
	assert_true(fd >= 0);
	assert_int_equal(guest_ioctl(fd, KVM_CHECK_EXTENSION, (void *)KVM_CAP_NESTED_STATE), 0);
	nestkvm_close(fd);
	setenv("NESTKVM_PARAMS", "x", 1);
	assert_int_equal(nestkvm_open(NULL), -EINVAL);
	unsetenv("NESTKVM_PARAMS");
}

/* In whichever order they are closed. */
static void test_close_order(void **state)
{
	struct kvm_regs r;
	struct guest g;

	guest_open(&g, 1);
	assert_int_equal(nestkvm_close(g.sys), 0);
	assert_int_equal(nestkvm_close(g.vm), 0);
	guest_regs(&g, &r);
	assert_int_equal(r.rip, 0xfff0);
	assert_int_equal(nestkvm_close(g.cpu), 0);
	assert_int_equal(guest_ioctl(g.cpu, KVM_GET_REGS, &r), -EBADF);
}

static void test_fork(void **state)
{
	struct kvm_regs r;
	struct guest g;
	int status;

	guest_open(&g, 0);
	if (!fork()) {
		bool ok = guest_ioctl(g.cpu, KVM_GET_REGS, &r) == -EIO &&
			  guest_ioctl(g.vm, KVM_CREATE_IRQCHIP, NULL) == -EIO &&
			  guest_ioctl(g.sys, KVM_GET_API_VERSION, NULL) == 12;

		_exit(ok ? 0 : 1);
	}
	wait(&status);
	assert_true(WIFEXITED(status) && !WEXITSTATUS(status));
	guest_regs(&g, &r);
	guest_close(&g);
}

/* -- arguments ------------------------------------------------------------------------------------ */

static void test_bad_pointers(void **state)
{
	static const unsigned long of_cpu[] = {
		KVM_GET_REGS,	     KVM_SET_REGS,  KVM_GET_SREGS, KVM_SET_SREGS,
		KVM_GET_FPU,	     KVM_GET_MSRS,  KVM_SET_MSRS,  KVM_SET_CPUID2,
		KVM_GET_CPUID2,	     KVM_GET_XSAVE, KVM_GET_LAPIC, KVM_SET_SIGNAL_MASK,
		KVM_GET_VCPU_EVENTS, KVM_TRANSLATE, KVM_INTERRUPT, KVM_GET_NESTED_STATE,
	};
	static const unsigned long of_vm[] = {
		KVM_SET_USER_MEMORY_REGION,
		KVM_GET_DIRTY_LOG,
		KVM_SET_GSI_ROUTING,
		KVM_IRQ_LINE,
		KVM_GET_IRQCHIP,
		KVM_IOEVENTFD,
		KVM_IRQFD,
		KVM_GET_CLOCK,
	};
	struct guest g;

	guest_open(&g, 1);
	for (unsigned i = 0; i < sizeof(of_cpu) / sizeof(*of_cpu); i++)
		assert_int_equal(guest_ioctl(g.cpu, of_cpu[i], BAD_POINTER), -EFAULT);
	for (unsigned i = 0; i < sizeof(of_vm) / sizeof(*of_vm); i++)
		assert_int_equal(guest_ioctl(g.vm, of_vm[i], BAD_POINTER), -EFAULT);
	assert_int_equal(guest_ioctl(g.sys, KVM_GET_SUPPORTED_CPUID, BAD_POINTER), -EFAULT);
	guest_close(&g);
}

static void test_vcpus(void **state)
{
	struct guest g;
	int fd;

	guest_open(&g, 1);
	assert_int_equal(guest_ioctl(g.vm, KVM_CREATE_VCPU, 0), -EEXIST);
	assert_int_equal(guest_ioctl(g.vm, KVM_CREATE_VCPU, (void *)100000), -EINVAL);
	fd = guest_ioctl(g.vm, KVM_CREATE_VCPU, (void *)7);
	assert_true(fd >= 0);
	assert_int_equal(guest_ioctl(fd, KVM_RUN, (void *)1), -EINVAL);
	assert_int_equal(guest_ioctl(g.vm, KVM_CREATE_IRQCHIP, NULL), -EEXIST);
	nestkvm_close(fd);
	assert_int_equal(guest_ioctl(g.vm, KVM_CREATE_VCPU, (void *)7), -EEXIST);
	guest_close(&g);
}

static void test_no_irqchip(void **state)
{
	struct kvm_irq_level level = {.irq = 3, .level = 1};
	struct kvm_pit_config pit = {0};
	struct kvm_irqchip chip = {0};
	struct guest g;

	guest_open(&g, 0);
	assert_int_equal(guest_ioctl(g.vm, KVM_IRQ_LINE, &level), -ENXIO);
	assert_int_equal(guest_ioctl(g.vm, KVM_GET_IRQCHIP, &chip), -ENXIO);
	assert_int_equal(guest_ioctl(g.vm, KVM_CREATE_PIT2, &pit), -ENOENT);
	assert_int_equal(guest_ioctl(g.vm, KVM_CREATE_IRQCHIP, NULL), -EINVAL); /* has a vCPU */
	guest_close(&g);
}

static void test_capabilities(void **state)
{
	struct kvm_enable_cap cap = {.cap = KVM_CAP_IRQCHIP};
	struct guest g;

	guest_open(&g, 0);
	assert_int_equal(guest_ioctl(g.sys, KVM_CHECK_EXTENSION, (void *)KVM_CAP_USER_MEMORY), 1);
	assert_int_equal(guest_ioctl(g.vm, KVM_CHECK_EXTENSION, (void *)KVM_CAP_USER_MEMORY), 1);
	assert_int_equal(guest_ioctl(g.vm, KVM_CHECK_EXTENSION, (void *)KVM_CAP_XEN_HVM), 0);
	assert_int_equal(guest_ioctl(g.vm, KVM_CHECK_EXTENSION, (void *)123456), 0);
	assert_int_equal(guest_ioctl(g.vm, KVM_ENABLE_CAP, &cap), -EINVAL);
	guest_close(&g);
}

/* -- memory --------------------------------------------------------------------------------------- */

static int set_slot(struct guest *g, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t size,
		    void *hva)
{
	struct kvm_userspace_memory_region r = {slot, flags, gpa, size, (uintptr_t)hva};

	return guest_ioctl(g->vm, KVM_SET_USER_MEMORY_REGION, &r);
}

static void test_slots(void **state)
{
	struct guest g;

	guest_open(&g, 0);
	assert_int_equal(set_slot(&g, 1, 0, 0x1000, 0x1000, g.mem), -EEXIST);
	assert_int_equal(set_slot(&g, 1, 0, GUEST_MEM + 1, 0x1000, g.mem), -EINVAL);
	assert_int_equal(set_slot(&g, 1, 0, GUEST_MEM, 0x1001, g.mem), -EINVAL);
	assert_int_equal(set_slot(&g, 1, 1u << 30, GUEST_MEM, 0x1000, g.mem), -EINVAL);
	assert_int_equal(set_slot(&g, 1u << 31, 0, GUEST_MEM, 0x1000, g.mem), -EINVAL);
	assert_int_equal(set_slot(&g, 1, 0, GUEST_MEM, 0x1000, g.mem), 0);
	assert_int_equal(set_slot(&g, 1, 0, GUEST_MEM, 0, NULL), 0);
	guest_close(&g);
}

GUEST_ASM(writes, ".code32\n"
		  "movl $1, 0x4000\n"
		  "movl $2, 0x9000\n"
		  "hlt\n"
		  "movl $3, 0x4000\n"
		  "hlt\n");

static void get_log(struct guest *g, uint64_t *bitmap)
{
	struct kvm_dirty_log log = {.slot = 0, .dirty_bitmap = bitmap};

	assert_int_equal(guest_ioctl(g->vm, KVM_GET_DIRTY_LOG, &log), 0);
}

static void test_dirty_log(void **state)
{
	uint64_t bitmap[GUEST_MEM / 4096 / 64];
	struct kvm_dirty_log log = {.slot = 0, .dirty_bitmap = bitmap};
	struct guest g;

	guest_open(&g, 0);
	assert_int_equal(guest_ioctl(g.vm, KVM_GET_DIRTY_LOG, &log), -ENOENT);
	guest_protected(&g, writes, writes_end);
	guest_slot(&g, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, GUEST_MEM, g.mem);
	guest_expect(&g, KVM_EXIT_HLT);
	get_log(&g, bitmap);
	assert_int_equal(bitmap[0], 1u << 4 | 1u << 9);
	get_log(&g, bitmap);
	assert_int_equal(bitmap[0], 0);
	guest_expect(&g, KVM_EXIT_HLT);
	get_log(&g, bitmap);
	assert_int_equal(bitmap[0], 1u << 4);
	guest_close(&g);
}

static void test_manual_dirty_log(void **state)
{
	struct kvm_enable_cap cap = {.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .args = {1}};
	uint64_t bitmap[GUEST_MEM / 4096 / 64], clear[1] = {1u << 4};
	struct kvm_clear_dirty_log c = {.num_pages = 64, .dirty_bitmap = clear};
	struct guest g;

	guest_open(&g, 0);
	assert_int_equal(guest_ioctl(g.vm, KVM_ENABLE_CAP, &cap), 0);
	guest_protected(&g, writes, writes_end);
	guest_slot(&g, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, GUEST_MEM, g.mem);
	guest_expect(&g, KVM_EXIT_HLT);
	get_log(&g, bitmap);
	get_log(&g, bitmap);
	assert_int_equal(bitmap[0], 1u << 4 | 1u << 9);
	assert_int_equal(guest_ioctl(g.vm, KVM_CLEAR_DIRTY_LOG, &c), 0);
	get_log(&g, bitmap);
	assert_int_equal(bitmap[0], 1u << 9);
	c.first_page = 3;
	assert_int_equal(guest_ioctl(g.vm, KVM_CLEAR_DIRTY_LOG, &c), -EINVAL);
	guest_close(&g);
}

GUEST_ASM(rom, ".code32\n"
	       "movl 0x200000, %eax\n"
	       "movl %eax, 0x200004\n"
	       "hlt\n");

/* Loads from a read-only slot are memory, stores are MMIO. */
static void test_readonly(void **state)
{
	static uint8_t page[4096] __attribute__((aligned(4096))) = {1, 2, 3, 4};
	struct guest g;

	guest_open(&g, 0);
	guest_slot(&g, 1, KVM_MEM_READONLY, 0x200000, 4096, page);
	guest_protected(&g, rom, rom_end);
	guest_expect_mmio(&g, 1, 0x200004, 4);
	assert_memory_equal(g.run->mmio.data, page, 4);
	assert_int_equal(page[4], 0);
	guest_expect(&g, KVM_EXIT_HLT);
	guest_close(&g);
}

/* -- eventfds and rings ----------------------------------------------------------------------------- */

GUEST_ASM(doorbell, ".code32\n"
		    "movl $5, 0x10000000\n"
		    "movl $6, 0x20000000\n"
		    "hlt\n");

static void test_ioeventfd(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	struct kvm_ioeventfd io = {.addr = 0x10000000, .len = 4, .fd = fd};
	struct guest g;
	uint64_t n;

	guest_open(&g, 0);
	assert_int_equal(guest_ioctl(g.vm, KVM_IOEVENTFD, &io), 0);
	guest_protected(&g, doorbell, doorbell_end);
	guest_expect_mmio(&g, 1, 0x20000000, 4);
	assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	assert_int_equal(n, 1);
	guest_expect(&g, KVM_EXIT_HLT);
	guest_close(&g);
	close(fd);
}

static void test_coalesced(void **state)
{
	struct kvm_coalesced_mmio_zone zone = {.addr = 0x10000000, .size = 0x1000};
	struct kvm_coalesced_mmio_ring *ring;
	struct guest g;

	guest_open(&g, 0);
	ring = (void *)((uint8_t *)g.run + 4096 * KVM_COALESCED_MMIO_PAGE_OFFSET);
	assert_int_equal(guest_ioctl(g.vm, KVM_REGISTER_COALESCED_MMIO, &zone), 0);
	guest_protected(&g, doorbell, doorbell_end);
	guest_expect_mmio(&g, 1, 0x20000000, 4);
	assert_int_equal(ring->first, 0);
	assert_int_equal(ring->last, 1);
	assert_int_equal(ring->coalesced_mmio[0].phys_addr, 0x10000000);
	assert_int_equal(ring->coalesced_mmio[0].len, 4);
	assert_int_equal(ring->coalesced_mmio[0].data[0], 5);
	assert_int_equal(guest_ioctl(g.vm, KVM_UNREGISTER_COALESCED_MMIO, &zone), 0);
	guest_close(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_close_order),
		cmocka_unit_test(test_fork),
		cmocka_unit_test(test_bad_pointers),
		cmocka_unit_test(test_vcpus),
		cmocka_unit_test(test_no_irqchip),
		cmocka_unit_test(test_capabilities),
		cmocka_unit_test(test_slots),
		cmocka_unit_test(test_dirty_log),
		cmocka_unit_test(test_manual_dirty_log),
		cmocka_unit_test(test_readonly),
		cmocka_unit_test(test_ioeventfd),
		cmocka_unit_test(test_coalesced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* KVM_RUN: each userexit, in real, protected and long mode. */
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

/* -- ports -------------------------------------------------------------------------------------- */

GUEST_ASM(real_io, ".code16\n"
		   "mov $0x3f8, %dx\n"
		   "mov $0x41, %al\n"
		   "out %al, %dx\n"
		   "in $0x60, %al\n"
		   "mov %al, %bl\n"
		   "in (%dx), %eax\n"
		   "hlt\n");

static void test_real_io(void **state)
{
	struct kvm_regs r;
	struct guest g;

	guest_open(&g, 0);
	guest_real(&g, real_io, real_io_end);
	guest_expect_io(&g, KVM_EXIT_IO_OUT, 0x3f8, 1, 1);
	assert_int_equal(*(uint8_t *)guest_io_data(&g), 0x41);
	guest_expect_io(&g, KVM_EXIT_IO_IN, 0x60, 1, 1);
	*(uint8_t *)guest_io_data(&g) = 0x5a;
	guest_expect_io(&g, KVM_EXIT_IO_IN, 0x3f8, 4, 1);
	*(uint32_t *)guest_io_data(&g) = 0x12345678;
	guest_expect(&g, KVM_EXIT_HLT);
	guest_regs(&g, &r);
	assert_int_equal(r.rbx & 0xff, 0x5a);
	assert_int_equal(r.rax, 0x12345678);
	assert_int_equal(r.rip, GUEST_CODE + (uint64_t)(real_io_end - real_io));
	guest_close(&g);
}

GUEST_ASM(string_io, ".code32\n"
		     "cld\n"
		     "mov $0x80, %edx\n"
		     "mov $0x4000, %esi\n"
		     "mov $4, %ecx\n"
		     "rep outsw\n"
		     "mov $0x5000, %edi\n"
		     "mov $3, %ecx\n"
		     "rep insl\n"
		     "hlt\n");

/* How many elements an exit has is up to the engine; the sum is not. */
static void test_string_io(void **state)
{
	static const uint16_t out[4] = {0x1111, 0x2222, 0x3333, 0x4444};
	uint32_t done = 0;
	struct kvm_regs r;
	struct guest g;

	guest_open(&g, 0);
	memcpy(g.mem + 0x4000, out, sizeof(out));
	guest_protected(&g, string_io, string_io_end);
	while (done < 4) {
		guest_expect(&g, KVM_EXIT_IO);
		assert_int_equal(g.run->io.direction, KVM_EXIT_IO_OUT);
		assert_int_equal(g.run->io.size, 2);
		assert_memory_equal(guest_io_data(&g), out + done, 2 * g.run->io.count);
		done += g.run->io.count;
	}
	for (done = 0; done < 3; done += g.run->io.count) {
		guest_expect(&g, KVM_EXIT_IO);
		assert_int_equal(g.run->io.direction, KVM_EXIT_IO_IN);
		assert_int_equal(g.run->io.size, 4);
		for (uint32_t i = 0; i < g.run->io.count; i++)
			((uint32_t *)guest_io_data(&g))[i] = 0xa0000000 + done + i;
	}
	guest_expect(&g, KVM_EXIT_HLT);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(((uint32_t *)(g.mem + 0x5000))[i], 0xa0000000 + i);
	guest_regs(&g, &r);
	assert_int_equal(r.rcx, 0);
	assert_int_equal(r.rdi, 0x500c);
	guest_close(&g);
}

/* -- memory-mapped I/O ---------------------------------------------------------------------------- */

GUEST_ASM(mmio, ".code64\n"
		"mov $0x10000000, %ebx\n"
		"movq $0x1122334455667788, %rax\n"
		"mov %rax, (%rbx)\n"
		"mov 8(%rbx), %ecx\n"
		"addl $1, 16(%rbx)\n"
		"mov 0xffc(%rbx), %rdx\n"
		"hlt\n");

static void test_mmio(void **state)
{
	struct kvm_regs r;
	struct guest g;
	uint64_t v = 0;

	guest_open(&g, 0);
	guest_long(&g, mmio, mmio_end);
	guest_expect_mmio(&g, 1, 0x10000000, 8);
	memcpy(&v, g.run->mmio.data, 8);
	assert_int_equal(v, 0x1122334455667788);
	guest_expect_mmio(&g, 0, 0x10000008, 4);
	*(uint32_t *)g.run->mmio.data = 0xcafebabe;
	guest_expect_mmio(&g, 0, 0x10000010, 4);
	*(uint32_t *)g.run->mmio.data = 41;
	guest_expect_mmio(&g, 1, 0x10000010, 4);
	assert_int_equal(*(uint32_t *)g.run->mmio.data, 42);
	/* crosses a page: two loads, one instruction */
	guest_expect_mmio(&g, 0, 0x10000ffc, 4);
	*(uint32_t *)g.run->mmio.data = 0x11111111;
	guest_expect_mmio(&g, 0, 0x10001000, 4);
	*(uint32_t *)g.run->mmio.data = 0x22222222;
	guest_expect(&g, KVM_EXIT_HLT);
	guest_regs(&g, &r);
	assert_int_equal(r.rcx, 0xcafebabe);
	assert_int_equal(r.rdx, 0x2222222211111111);
	guest_close(&g);
}

GUEST_ASM(stos_mmio, ".code32\n"
		     "cld\n"
		     "mov $0x10000000, %edi\n"
		     "mov $0x55aa55aa, %eax\n"
		     "mov $40, %ecx\n"
		     "rep stosl\n"
		     "hlt\n");

static void test_string_mmio(void **state)
{
	struct guest g;

	guest_open(&g, 0);
	guest_protected(&g, stos_mmio, stos_mmio_end);
	for (uint32_t i = 0; i < 40; i++) {
		guest_expect_mmio(&g, 1, 0x10000000 + 4 * i, 4);
		assert_int_equal(*(uint32_t *)g.run->mmio.data, 0x55aa55aa);
	}
	guest_expect(&g, KVM_EXIT_HLT);
	guest_close(&g);
}

/* -- the end of a guest ----------------------------------------------------------------------------- */

GUEST_ASM(undefined, ".code64\nud2\n");

/* No IDT to speak of: #UD, then #GP, then #DF, then none. */
static void test_triple_fault(void **state)
{
	struct kvm_sregs s;
	struct guest g;

	guest_open(&g, 0);
	guest_long(&g, undefined, undefined_end);
	guest_sregs(&g, &s);
	s.idt.limit = 0;
	assert_int_equal(guest_ioctl(g.cpu, KVM_SET_SREGS, &s), 0);
	guest_expect(&g, KVM_EXIT_SHUTDOWN);
	guest_close(&g);
}

/* -- interruption --------------------------------------------------------------------------------- */

GUEST_ASM(forever, ".code64\n1: inc %rax\njmp 1b\n");

static void test_immediate_exit(void **state)
{
	struct kvm_regs before, after;
	struct guest g;

	guest_open(&g, 0);
	guest_long(&g, forever, forever_end);
	guest_regs(&g, &before);
	g.run->immediate_exit = 1;
	assert_int_equal(guest_run(&g), -EINTR);
	guest_regs(&g, &after);
	assert_memory_equal(&before, &after, sizeof(before));
	guest_close(&g);
}

/* A load that user space has answered is completed even so, and nothing else is. */
static void test_immediate_exit_completes(void **state)
{
	struct kvm_regs r;
	struct guest g;

	guest_open(&g, 0);
	guest_real(&g, real_io, real_io_end);
	guest_expect(&g, KVM_EXIT_IO);
	guest_expect_io(&g, KVM_EXIT_IO_IN, 0x60, 1, 1);
	*(uint8_t *)guest_io_data(&g) = 0x77;
	g.run->immediate_exit = 1;
	assert_int_equal(guest_run(&g), -EINTR);
	guest_regs(&g, &r);
	assert_int_equal(r.rax & 0xff, 0x77);
	assert_int_equal(r.rbx & 0xff, 0);
	guest_close(&g);
}

static volatile int handled;

static void handler(int sig)
{
	handled++;
}

static void *kick(void *arg)
{
	const struct timespec t = {0, 5000000};
	pthread_t target = *(pthread_t *)arg;

	nanosleep(&t, NULL);
	pthread_kill(target, SIGUSR1);
	return NULL;
}

static void run_until_signal(struct guest *g)
{
	pthread_t self = pthread_self(), thread;

	assert_int_equal(pthread_create(&thread, NULL, kick, &self), 0);
	assert_int_equal(guest_run(g), -EINTR);
	assert_int_equal(g->run->exit_reason, KVM_EXIT_INTR);
	pthread_join(thread, NULL);
}

static void test_signal(void **state)
{
	struct sigaction sa = {.sa_handler = handler};
	struct guest g;

	sigaction(SIGUSR1, &sa, NULL);
	guest_open(&g, 0);
	guest_long(&g, forever, forever_end);
	handled = 0;
	run_until_signal(&g);
	assert_int_equal(handled, 1);
	guest_close(&g);
}

/* Blocked outside, open inside KVM_RUN: the signal ends it and stays pending. */
static void test_signal_mask(void **state)
{
	struct {
		struct kvm_signal_mask head;
		uint8_t set[8];
	} __attribute__((packed)) mask = {.head.len = 8};
	struct sigaction sa = {.sa_handler = handler};
	struct guest g;
	sigset_t usr1;

	sigaction(SIGUSR1, &sa, NULL);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &usr1, NULL);
	guest_open(&g, 0);
	guest_long(&g, forever, forever_end);
	assert_int_equal(guest_ioctl(g.cpu, KVM_SET_SIGNAL_MASK, &mask), 0);
	handled = 0;
	run_until_signal(&g);
	assert_int_equal(handled, 0);
	assert_int_equal(guest_run(&g), -EINTR); /* still pending */
	assert_int_equal(sigwaitinfo(&usr1, NULL), SIGUSR1);
	pthread_sigmask(SIG_UNBLOCK, &usr1, NULL);
	guest_close(&g);
}

/* -- interrupts ----------------------------------------------------------------------------------- */

GUEST_ASM(halt_loop, ".code16\n"
		     "movw $0x1040, 0x80\n" /* vector 0x20 */
		     "movw $0, 0x82\n"
		     "sti\n"
		     "1: hlt\n"
		     "jmp 1b\n"
		     ".org halt_loop + 0x40\n"
		     "inc %bx\n"
		     "iret\n");

/* Without irqchip: HLT comes out, KVM_INTERRUPT goes in. */
static void test_user_interrupt(void **state)
{
	struct kvm_interrupt irq = {.irq = 0x20};
	struct kvm_regs r;
	struct guest g;

	guest_open(&g, 0);
	guest_real(&g, halt_loop, halt_loop_end);
	guest_expect(&g, KVM_EXIT_HLT);
	assert_int_equal(g.run->if_flag, 1);
	assert_int_equal(g.run->ready_for_interrupt_injection, 1);
	assert_int_equal(guest_ioctl(g.cpu, KVM_INTERRUPT, &irq), 0);
	guest_expect(&g, KVM_EXIT_HLT);
	guest_regs(&g, &r);
	assert_int_equal(r.rbx, 1);
	guest_close(&g);
}

GUEST_ASM(window, ".code16\nnop\nnop\nsti\nnop\nhlt\n");

static void test_interrupt_window(void **state)
{
	struct guest g;

	guest_open(&g, 0);
	guest_real(&g, window, window_end);
	g.run->request_interrupt_window = 1;
	guest_expect(&g, KVM_EXIT_IRQ_WINDOW_OPEN);
	assert_int_equal(g.run->if_flag, 1);
	g.run->request_interrupt_window = 0;
	guest_expect(&g, KVM_EXIT_HLT);
	guest_close(&g);
}

/* With irqchip a halt stays inside until something comes: here a signal. */
static void test_halt_in_kernel(void **state)
{
	struct sigaction sa = {.sa_handler = handler};
	struct kvm_mp_state mp;
	struct guest g;

	sigaction(SIGUSR1, &sa, NULL);
	guest_open(&g, 1);
	guest_real(&g, halt_loop, halt_loop_end);
	do { /* the first signals may come before the guest gets there */
		run_until_signal(&g);
		assert_int_equal(guest_ioctl(g.cpu, KVM_GET_MP_STATE, &mp), 0);
	} while (mp.mp_state != KVM_MP_STATE_HALTED);
	guest_close(&g);
}

GUEST_ASM(nmi_loop, ".code16\n"
		    "1: cmp $0, %bx\n"
		    "je 1b\n"
		    "out %al, $0x10\n"
		    ".org nmi_loop + 0x40\n"
		    "inc %bx\n"
		    "iret\n");

static void test_nmi(void **state)
{
	struct kvm_regs r;
	struct guest g;

	guest_open(&g, 1);
	guest_real(&g, nmi_loop, nmi_loop_end);
	memcpy(g.mem + 8, (const uint8_t[]){0x40, 0x10, 0, 0}, 4);
	assert_int_equal(guest_ioctl(g.cpu, KVM_NMI, NULL), 0);
	guest_expect_io(&g, KVM_EXIT_IO_OUT, 0x10, 1, 1);
	guest_regs(&g, &r);
	assert_int_equal(r.rbx, 1);
	guest_close(&g);
}

/* -- debugging ------------------------------------------------------------------------------------ */

GUEST_ASM(steps, ".code64\nnop\nnop\nint3\nnop\nhlt\n");

static void test_single_step(void **state)
{
	struct kvm_guest_debug dbg = {.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP};
	struct guest g;

	guest_open(&g, 0);
	guest_long(&g, steps, steps_end);
	assert_int_equal(guest_ioctl(g.cpu, KVM_SET_GUEST_DEBUG, &dbg), 0);
	for (uint64_t i = 1; i <= 2; i++) {
		guest_expect(&g, KVM_EXIT_DEBUG);
		assert_int_equal(g.run->debug.arch.exception, 1);
		assert_int_equal(g.run->debug.arch.pc, GUEST_CODE + i);
		assert_true(g.run->debug.arch.dr6 & 0x4000);
	}
	guest_close(&g);
}

static void test_breakpoints(void **state)
{
	struct kvm_guest_debug dbg = {.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP |
						 KVM_GUESTDBG_USE_HW_BP};
	struct guest g;

	guest_open(&g, 0);
	guest_long(&g, steps, steps_end);
	dbg.arch.debugreg[0] = GUEST_CODE + 1;
	dbg.arch.debugreg[7] = 0x402;
	assert_int_equal(guest_ioctl(g.cpu, KVM_SET_GUEST_DEBUG, &dbg), 0);
	guest_expect(&g, KVM_EXIT_DEBUG);
	assert_int_equal(g.run->debug.arch.exception, 1);
	assert_int_equal(g.run->debug.arch.pc, GUEST_CODE + 1);
	dbg.control &= ~KVM_GUESTDBG_USE_HW_BP; /* or it would be met again */
	assert_int_equal(guest_ioctl(g.cpu, KVM_SET_GUEST_DEBUG, &dbg), 0);
	guest_expect(&g, KVM_EXIT_DEBUG);
	assert_int_equal(g.run->debug.arch.exception, 3);
	assert_int_equal(g.run->debug.arch.pc, GUEST_CODE + 2);
	guest_close(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_real_io),
		cmocka_unit_test(test_string_io),
		cmocka_unit_test(test_mmio),
		cmocka_unit_test(test_string_mmio),
		cmocka_unit_test(test_triple_fault),
		cmocka_unit_test(test_immediate_exit),
		cmocka_unit_test(test_immediate_exit_completes),
		cmocka_unit_test(test_signal),
		cmocka_unit_test(test_signal_mask),
		cmocka_unit_test(test_user_interrupt),
		cmocka_unit_test(test_interrupt_window),
		cmocka_unit_test(test_halt_in_kernel),
		cmocka_unit_test(test_nmi),
		cmocka_unit_test(test_single_step),
		cmocka_unit_test(test_breakpoints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a user process can provoke of the CPU under Linux: exceptions, single steps, breakpoints, segments, 32-bit
 * code, I/O permissions, protection keys. Prints a line for each piece; `skip` where the machine has not the feature.
 */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <asm/prctl.h>
#include <immintrin.h>
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define CS32 0x23
#define CS64 0x33

static sigjmp_buf out;
static volatile int got_signal, got_code, got_error, got_trap;
static volatile uintptr_t got_rip, got_address;
static volatile int steps, stepping, trying;

static void on_signal(int sig, siginfo_t *info, void *context)
{
	ucontext_t *u = context;

	/* The handler starts with the AC of what it interrupted. */
	__asm__ volatile("pushf; andl $~0x40000, (%%rsp); popf" ::: "cc", "memory");
	if (stepping && sig == SIGTRAP) {
		steps++;
		return;
	}
	if (!trying) {
		printf("unexpected signal %d at %#llx\n", sig, u->uc_mcontext.gregs[REG_RIP]);
		_exit(3);
	}
	got_signal = sig;
	got_code = info->si_code;
	got_rip = u->uc_mcontext.gregs[REG_RIP];
	got_error = u->uc_mcontext.gregs[REG_ERR];
	got_trap = u->uc_mcontext.gregs[REG_TRAPNO];
	got_address = (uintptr_t)info->si_addr;
	siglongjmp(out, 1);
}

static void catch_all(void)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
	struct sigaction sa = {.sa_sigaction = on_signal,
			       .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
	static char stack[65536];
	stack_t ss = {.ss_sp = stack, .ss_size = sizeof(stack)};

	sigaltstack(&ss, NULL);
	for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &sa, NULL);
}

/* Runs `code` and says how it ended: the signal, its code, the trap number and error code. */
#define TRY(name, code)                                                                            \
	do {                                                                                       \
		got_signal = got_code = got_error = got_trap = 0;                                  \
		if (!sigsetjmp(out, 1)) {                                                          \
			trying = 1;                                                                \
			code;                                                                      \
		}                                                                                  \
		trying = 0;                                                                        \
		printf("%s: signal %d code %d trap %d error %#x\n", name, got_signal, got_code,    \
		       got_trap, got_error);                                                       \
	} while (0)

/* -- exceptions ------------------------------------------------------------------------------------ */

static void exceptions(void)
{
	char *page = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	volatile uint64_t *bad = (uint64_t *)0x8000000000000000;

	TRY("int3", __asm__ volatile("int3"));
	TRY("int1", __asm__ volatile(".byte 0xf1"));
	TRY("ud2", __asm__ volatile("ud2"));
	TRY("int 0x21", __asm__ volatile("int $0x21"));
	TRY("divide", __asm__ volatile("xor %%ecx, %%ecx; div %%ecx" ::: "eax", "ecx", "edx"));
	TRY("hlt", __asm__ volatile("hlt"));
	TRY("cli", __asm__ volatile("cli"));
	TRY("rdmsr", __asm__ volatile("rdmsr" ::"c"(0x10) : "eax", "edx"));
	TRY("mov cr0", __asm__ volatile("mov %%cr0, %%rax" ::: "rax"));
	TRY("swapgs", __asm__ volatile("swapgs"));
	TRY("write to read-only", page[3] = 1);
	TRY("read of nothing", (void)*(volatile char *)0x1000);
	TRY("execute data", ((void (*)(void))page)());
	TRY("non-canonical", (void)*bad);
	TRY("non-canonical stack",
	    __asm__ volatile("mov %%rsp, %%rbx; mov %0, %%rsp; push %%rax; mov %%rbx, %%rsp" ::"r"(
				     0x8000000000000000)
			     : "rbx", "rax"));
	TRY("jump to non-canonical", __asm__ volatile("jmp *%0" ::"r"(0x8000000000000000)));
	TRY("in", __asm__ volatile("in $0x71, %%al" ::: "eax"));
	TRY("lock of a register form", __asm__ volatile(".byte 0xf0, 0x01, 0xc0"));
}

static void alignment(void)
{
	static uint64_t words[4];

	TRY("alignment check", __asm__ volatile("pushf; orl $0x40000, (%%rsp); popf;"
						"movl 1(%0), %%eax;"
						"pushf; andl $~0x40000, (%%rsp); popf" ::"r"(words)
						: "eax", "cc", "memory"));
	__asm__ volatile("pushf; andl $~0x40000, (%%rsp); popf" ::: "cc", "memory");
}

/* -- floating point and SIMD ------------------------------------------------------------------------- */

static void float_exceptions(void)
{
	uint32_t mxcsr = 0x1f80 & ~(1u << 9); /* unmask divide by zero */
	uint16_t fcw = 0x37f & ~4;

	TRY("SIMD divide",
	    __asm__ volatile("ldmxcsr %0; xorps %%xmm0, %%xmm0; pcmpeqw %%xmm1, %%xmm1;"
			     "psrld $25, %%xmm1; pslld $23, %%xmm1;"
			     "divps %%xmm0, %%xmm1" ::"m"(mxcsr)
			     : "xmm0", "xmm1"));
	_mm_setcsr(0x1f80);
	TRY("x87 divide",
	    __asm__ volatile("fninit; fldcw %0; fld1; fldz; fdivrp; fwait" ::"m"(fcw)));
	__asm__ volatile("fninit");
}

/* -- single steps -------------------------------------------------------------------------------------- */

static void single_steps(void)
{
	char from[16] = "single steps", to[16];
	char *src = from, *dst = to;
	long count = 5;

	steps = 0;
	stepping = 1;
	__asm__ volatile("pushf; orl $0x100, (%%rsp); popf;"
			 "nop; nop; xor %%eax, %%eax;"
			 "rep movsb;"
			 "mov %%ss, %%eax; mov %%eax, %%ss; nop;"
			 "cpuid;"
			 "pushf; andl $~0x100, (%%rsp); popf; nop"
			 : "+S"(src), "+D"(dst), "+c"(count)
			 :
			 : "eax", "ebx", "edx", "cc", "memory");
	stepping = 0;
	printf("single steps: %d\n", steps);
}

static int watched;

static void child(void)
{
	ptrace(PTRACE_TRACEME, 0, 0, 0);
	raise(SIGSTOP);
	*(volatile int *)&watched = 7;
	__asm__ volatile("nop; .globl stop_here; stop_here: nop; nop");
	_exit(watched);
}

extern char stop_here[];

static long dr_offset(unsigned n)
{
	return (long)offsetof(struct user, u_debugreg[n]);
}

static void breakpoints(void)
{
	struct user_regs_struct regs;
	int status, ok = 0;
	pid_t pid = fork();

	if (!pid)
		child();
	waitpid(pid, &status, 0);
	ok += !ptrace(PTRACE_POKEUSER, pid, dr_offset(0), &watched);
	ok += !ptrace(PTRACE_POKEUSER, pid, dr_offset(1), stop_here);
	ok += !ptrace(PTRACE_POKEUSER, pid, dr_offset(7), (1 | 4) | 0xd0000ul);
	if (ok != 3) {
		printf("breakpoints: skip\n");
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		return;
	}
	for (int stop = 0; stop < 4; stop++) {
		ptrace(PTRACE_CONT, pid, 0, 0);
		waitpid(pid, &status, 0);
		if (WIFEXITED(status))
			break;
		ptrace(PTRACE_GETREGS, pid, 0, &regs);
		printf("breakpoint: signal %d dr6 %#lx %s\n", WSTOPSIG(status),
		       ptrace(PTRACE_PEEKUSER, pid, dr_offset(6), 0) & 0xf,
		       regs.rip == (uintptr_t)stop_here ? "at the code" : "behind the store");
	}
	printf("breakpoints: child %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

static void ptrace_steps(void)
{
	int status, n = 0;
	pid_t pid = fork();

	if (!pid) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		__asm__ volatile(
			"mov $39, %%eax; syscall; mov $60, %%eax; mov $5, %%edi; syscall" ::
				: "rax", "rcx", "r11", "rdi");
	}
	waitpid(pid, &status, 0);
	while (!WIFEXITED(status) && n < 100000) {
		ptrace(PTRACE_SINGLESTEP, pid, 0, 0);
		waitpid(pid, &status, 0);
		n++;
	}
	printf("ptrace steps: child %d, %s\n", WEXITSTATUS(status), n > 5 ? "many" : "few");
}

/* -- segments and 32-bit code ---------------------------------------------------------------------------- */

static uint8_t *low; /* memory below 4 GiB */

static void segments(void)
{
	struct user_desc d = {.entry_number = 0,
			      .base_addr = (uintptr_t)low,
			      .limit = 15,
			      .seg_32bit = 1,
			      .useable = 1};
	uint32_t limit = 0, rights = 0, zf;

	TRY("bad selector", __asm__ volatile("mov %0, %%ds" ::"r"(0x1238)));
	TRY("kernel selector", __asm__ volatile("mov %0, %%es" ::"r"(0x10)));
	TRY("null stack", __asm__ volatile("mov %0, %%ss" ::"r"(0)));
	TRY("null data", __asm__ volatile("mov %0, %%es" ::"r"(0)));
	__asm__ volatile("lsl %2, %0; sete %b1" : "+r"(limit), "=q"(zf) : "r"(0x2b));
	__asm__ volatile("lar %1, %0" : "+r"(rights) : "r"(0x2b));
	printf("user data segment: limit %#x rights %#x\n", limit, rights & 0xf0ff00);
	if (syscall(SYS_modify_ldt, 1, &d, sizeof(d))) {
		printf("LDT: skip\n");
		return;
	}
	low[3] = 0x5a;
	TRY("LDT selector", __asm__ volatile("mov %0, %%gs" ::"r"(7)));
	if (got_signal)
		return;
	__asm__ volatile("mov %1, %%gs; movb %%gs:3, %%al; movzbl %%al, %0; mov %2, %%gs"
			 : "=r"(limit)
			 : "r"(7), "r"(0)
			 : "eax");
	printf("LDT segment: %#x\n", limit);
}

/* Calls 32-bit code at low + 64, with its stack at the end of the page. */
static uint32_t call32(const uint8_t *code, unsigned len)
{
	static struct {
		uint32_t offset;
		uint16_t selector;
	} __attribute__((packed)) far = {0, CS32};
	uint64_t rsp = (uintptr_t)low + 4000;
	uint32_t eax = 0;

	far.offset = (uint32_t)(uintptr_t)low + 64;
	memcpy(low + 64, code, len);
	__asm__ volatile("mov %%rsp, %%r12; mov %2, %%rsp; mov $0x2b, %%ebx; mov %%ebx, %%ds; mov "
			 "%%ebx, %%es;"
			 "lcall *%1; mov %%r12, %%rsp"
			 : "+a"(eax)
			 : "m"(far), "r"(rsp)
			 : "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12",
			   "r13", "r14", "r15", "memory", "cc");
	return eax;
}

static void code32(void)
{
	/* mov eax, 5; inc eax (not a REX prefix here); add eax, [esp]; sub eax, [esp]; lret */
	static const uint8_t plain[] = {0xb8, 5,    0,	  0,	0,    0x40, 0x03,
					0x04, 0x24, 0x2b, 0x04, 0x24, 0xcb};
	/* mov eax, 20 (getpid); int 0x80; lret */
	static const uint8_t int80[] = {0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xcb};
	/* aam; daa; push/pop es; pusha; popa; into with OF clear; lret */
	static const uint8_t old[] = {0xb8, 0x4f, 0,	0,    0,    0xd4, 10,
				      0x27, 0x06, 0x07, 0x60, 0x61, 0xce, 0xcb};
	/* mov al, 0x7f; add al, 1; into; lret */
	static const uint8_t into[] = {0xb0, 0x7f, 0x04, 1, 0xce, 0xcb};
	/* bound eax, [esp]; lret */
	static const uint8_t bound[] = {0xb8, 0xff, 0xff, 0xff, 0x7f, 0x62, 0x04, 0x24, 0xcb};
	/* push 7; pop ds; mov eax, [12]; mov eax, [13]; lret: beyond the LDT segment's limit */
	static const uint8_t limit[] = {0x6a, 7, 0x1f, 0xa1, 12, 0, 0, 0, 0xa1, 13, 0, 0, 0, 0xcb};

	printf("32-bit code: %u\n", call32(plain, sizeof(plain)));
	printf("int 0x80: %s\n",
	       call32(int80, sizeof(int80)) == (uint32_t)getpid() ? "good" : "bad");
	printf("old instructions: %#x\n", call32(old, sizeof(old)) & 0xffff);
	TRY("into", call32(into, sizeof(into)));
	TRY("bound", call32(bound, sizeof(bound)));
	TRY("segment limit", call32(limit, sizeof(limit)));
	__asm__ volatile("mov %0, %%ds; mov %0, %%es" ::"r"(0));
}

/* A return to a bad CS by sigreturn makes the kernel's IRET fault. */
static void bad_return(int sig, siginfo_t *info, void *context)
{
	ucontext_t *u = context;

	u->uc_mcontext.gregs[REG_CSGSFS] = (u->uc_mcontext.gregs[REG_CSGSFS] & ~0xffffll) | 0x2b;
}

static void bad_iret(void)
{
	struct sigaction sa = {.sa_sigaction = bad_return, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	sigaction(SIGUSR1, &sa, NULL);
	TRY("bad IRET", raise(SIGUSR1));
}

/* -- permissions ------------------------------------------------------------------------------------------ */

static void ports(void)
{
	if (ioperm(0x80, 1, 1)) {
		printf("ports: skip\n");
		return;
	}
	TRY("permitted port", __asm__ volatile("out %%al, $0x80" ::"a"(0)));
	TRY("other port", __asm__ volatile("out %%al, $0x81" ::"a"(0)));
	TRY("wide access", __asm__ volatile("out %%ax, $0x80" ::"a"(0)));
	ioperm(0x80, 1, 0);
	TRY("port given back", __asm__ volatile("out %%al, $0x80" ::"a"(0)));
}

static void tsc_and_cpuid(void)
{
	uint64_t a = __rdtsc(), b = __rdtsc();
	unsigned cpu;

	printf("TSC: %s\n", b > a ? "rises" : "stands");
	prctl(PR_SET_TSC, PR_TSC_SIGSEGV);
	TRY("forbidden rdtsc", __rdtsc());
	prctl(PR_SET_TSC, PR_TSC_ENABLE);
	getcpu(&cpu, NULL);
	printf("getcpu: %s\n", sched_getcpu() >= 0 ? "good" : "bad");
}

static void bases(void)
{
	uint64_t base = 0, kernel = 0;

	if (!(getauxval(AT_HWCAP2) & 2)) {
		printf("bases: skip\n");
		return;
	}
	__asm__ volatile("wrgsbase %1; rdgsbase %0" : "=r"(base) : "r"(0x123456789abcull));
	syscall(SYS_arch_prctl, ARCH_GET_GS, &kernel);
	printf("bases: %#lx %s\n", base, base == kernel ? "equal" : "different");
	TRY("bad base", __asm__ volatile("wrgsbase %0" ::"r"(0x8000000000000000)));
}

static void protection_keys(void)
{
	volatile char *page =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int key = pkey_alloc(0, 0);

	if (key < 0) {
		printf("protection keys: skip\n");
		return;
	}
	page[0] = 1;
	pkey_mprotect((void *)page, 4096, PROT_READ | PROT_WRITE, key);
	page[0] = 2;
	pkey_set(key, PKEY_DISABLE_WRITE);
	TRY("key forbids writing", page[0] = 3);
	pkey_set(key, PKEY_DISABLE_WRITE);
	printf("protected value: %d\n", page[0]);
	pkey_set(key, PKEY_DISABLE_ACCESS);
	TRY("key forbids all", (void)page[0]);
}

/* -- vector state over signals and switches -------------------------------------------------------------- */

static void clobber(int sig)
{
	__asm__ volatile("pxor %%xmm7, %%xmm7; pcmpeqd %%xmm8, %%xmm8" ::: "xmm7", "xmm8");
}

static void vector_state(void)
{
	uint64_t in[4] = {1, 2, 3, 4}, result[4] = {0};

	signal(SIGUSR2, clobber);
	if (!__builtin_cpu_supports("avx")) {
		printf("vector state: skip\n");
		return;
	}
	__asm__ volatile("vmovdqu %1, %%ymm7; mov %2, %%edi; mov %3, %%esi; mov %4, %%eax; syscall;"
			 "mov %5, %%eax; syscall; vmovdqu %%ymm7, %0; vzeroupper"
			 : "=m"(result)
			 : "m"(in), "r"(getpid()), "i"(SIGUSR2), "i"(SYS_kill), "i"(SYS_sched_yield)
			 : "rax", "rcx", "r11", "rdi", "rsi", "memory");
	printf("vector state: %s\n", memcmp(in, result, sizeof(in)) ? "lost" : "kept");
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	low = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	catch_all();
	exceptions();
	alignment();
	float_exceptions();
	single_steps();
	breakpoints();
	ptrace_steps();
	segments();
	code32();
	bad_iret();
	ports();
	tsc_and_cpuid();
	bases();
	protection_keys();
	vector_state();
	return 0;
}

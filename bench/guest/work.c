/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Small loads, run inside a guest (or on the host, to compare). Prints "BENCH name value unit" lines:
 * million instructions a second where the count is known, else nanoseconds for one operation.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MIB (1u << 20)

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void report_mips(const char *name, double instructions, double start)
{
	printf("BENCH %s %.1f MIPS\n", name, instructions / (now() - start) / 1e6);
}

static void report_ns(const char *name, double operations, double start)
{
	printf("BENCH %s %.1f ns\n", name, (now() - start) / operations * 1e9);
}

/* 8 instructions a turn, registers only. */
static void integer_loop(void)
{
	uint64_t n = 20000000, a = 1, b = 2;
	double start = now();

	__asm__ volatile("1: add %1, %2\n\t xor %2, %1\n\t lea 3(%1,%2,2), %1\n\t shr $1, %2\n\t"
			 "inc %2\n\t and $0xffff, %1\n\t dec %0\n\t jnz 1b"
			 : "+r"(n), "+r"(a), "+r"(b)::"cc");
	report_mips("integer-loop", 20000000.0 * 8, start);
}

/* 6 instructions a turn, one load and one store among them. */
static void memory_loop(void)
{
	static uint64_t data[4096];
	uint64_t n = 10000000, i = 0, x = 0;
	double start = now();

	__asm__ volatile("1: mov (%3,%1,8), %2\n\t add %0, %2\n\t mov %2, (%3,%1,8)\n\t"
			 "lea 7(%1), %1\n\t and $4095, %1\n\t dec %0\n\t jnz 1b"
			 : "+r"(n), "+r"(i), "+r"(x)
			 : "r"(data)
			 : "cc", "memory");
	report_mips("memory-loop", 10000000.0 * 7, start);
}

/* Not optimized, so that each of its 242,785 calls is one. */
static __attribute__((noinline, optimize("O0"))) unsigned fib(unsigned n)
{
	return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static void calls(void)
{
	double start = now();
	volatile unsigned result = fib(25);

	(void)result;
	report_ns("call-return", 242785, start);
}

static void system_calls(void)
{
	double start = now();

	for (int i = 0; i < 100000; i++)
		syscall(SYS_getppid);
	report_ns("system-call", 100000, start);
}

static void page_faults(void)
{
	double start = now();
	size_t size = 16 * MIB;
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return;
	madvise(p, size, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < size; i += 4096)
		p[i] = 1;
	report_ns("page-fault", size / 4096.0, start);
	munmap(p, size);
}

static void copies(void)
{
	char *from = malloc(MIB), *to = malloc(MIB);
	double start;

	if (!from || !to)
		return;
	memset(from, 1, MIB);
	memset(to, 2, MIB);
	start = now();
	for (int i = 0; i < 64; i++) {
		memcpy(to, from, MIB);
		from[i] = to[i + 1];
	}
	report_ns("copy-KiB", 64 * 1024, start);
	free(from);
	free(to);
}

static void forks(void)
{
	double start = now();

	for (int i = 0; i < 50; i++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		waitpid(pid, NULL, 0);
	}
	report_ns("fork-exit-wait", 50, start);
}

static void doubles(void)
{
	double start = now();
	volatile double x = 1;
	double y = 1.5;

	for (int i = 0; i < 1000000; i++)
		y = y * 1.0000001 + 0.5;
	x = y;
	(void)x;
	report_ns("double-multiply-add", 1000000, start);
}

int main(void)
{
	integer_loop();
	memory_loop();
	calls();
	system_calls();
	page_faults();
	copies();
	forks();
	doubles();
	return 0;
}

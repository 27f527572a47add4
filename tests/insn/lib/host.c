/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One instruction on the host CPU, with all registers of our choosing. The code that surrounds it
 * addresses its own state absolutely, since it has no register to spare, not even rsp.
 */
#include <cpuid.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "context.h"
#include "state.h"

#define BOX_ADDR 0x38000000

struct box {
	struct state in, out;
	u64 target, rsp, resume;
	u8 branched;
	u32 mxcsr;
};

static struct box *const box = (struct box *)BOX_ADDR;
static struct result *volatile current; /* of the run under way */

bool host_cpuid(u32 leaf, u32 sub, unsigned reg, unsigned bit)
{
	u32 r[4] = {0};

	return __get_cpuid_count(leaf, sub, &r[0], &r[1], &r[2], &r[3]) && r[reg] >> bit & 1;
}

/* -- coming back by a signal ---------------------------------------------------------------------- */

static void take_vectors(u8 *x, const u8 *frame)
{
	u64 bv;

	memcpy(&bv, frame + 512, 8);
	memcpy(x, frame, 512);
	memset(XSAVE_YMMH(x, 0), 0, 256);
	if (bv & XCR0_AVX)
		memcpy(XSAVE_YMMH(x, 0), frame + 576, 256);
	if (!(bv & XCR0_SSE))
		memset(XSAVE_XMM(x, 0), 0, 256);
}

static void on_signal(struct context *c)
{
	struct result *r = current;

	if (!r || c->rip - PAGE(CODE_PAGE) >= PAGE_SIZE)
		abort(); /* not the instruction's */
	r->vector = (int)c->trapno;
	r->error = c->error;
	r->cr2 = c->cr2;
	memcpy(box->out.gpr, c->gpr, sizeof(c->gpr));
	box->out.rflags = c->rflags;
	box->out.rip = c->rip;
	take_vectors(box->out.xsave, c->xsave);
	c->rip = box->resume;
	c->gpr[REG_RSP] = box->rsp;
}

/* -- the box ---------------------------------------------------------------------------------------- */

#define BOX(field) (BOX_ADDR + offsetof(struct box, field))

/* `insn_host_leave`: where the code goes after the instruction; `insn_host_resume`: after a signal. */
extern const char insn_host_leave[], insn_host_resume[];

static __attribute__((noinline)) void box_run(void)
{
	__asm__ volatile(
		"sub $128, %%rsp\n\t"
		"push %%rbx; push %%rbp; push %%r12; push %%r13; push %%r14; push %%r15\n\t"
		"mov %%rsp, %c[rsp]\n\t"
		"stmxcsr %c[mxcsr]\n\t"
		"mov $7, %%eax; xor %%edx, %%edx\n\t"
		"xrstor64 %c[in_x]\n\t"
		"pushq %c[in_f]; popfq\n\t"
		"mov %c[in]+0x00, %%rax; mov %c[in]+0x08, %%rcx\n\t"
		"mov %c[in]+0x10, %%rdx; mov %c[in]+0x18, %%rbx\n\t"
		"mov %c[in]+0x20, %%rsp; mov %c[in]+0x28, %%rbp\n\t"
		"mov %c[in]+0x30, %%rsi; mov %c[in]+0x38, %%rdi\n\t"
		"mov %c[in]+0x40, %%r8; mov %c[in]+0x48, %%r9\n\t"
		"mov %c[in]+0x50, %%r10; mov %c[in]+0x58, %%r11\n\t"
		"mov %c[in]+0x60, %%r12; mov %c[in]+0x68, %%r13\n\t"
		"mov %c[in]+0x70, %%r14; mov %c[in]+0x78, %%r15\n\t"
		"jmp *%c[target]\n\t"
		".globl insn_host_leave; .hidden insn_host_leave; insn_host_leave:\n\t"
		"mov %%rax, %c[out]+0x00; mov %%rcx, %c[out]+0x08\n\t"
		"mov %%rdx, %c[out]+0x10; mov %%rbx, %c[out]+0x18\n\t"
		"mov %%rsp, %c[out]+0x20; mov %%rbp, %c[out]+0x28\n\t"
		"mov %%rsi, %c[out]+0x30; mov %%rdi, %c[out]+0x38\n\t"
		"mov %%r8, %c[out]+0x40; mov %%r9, %c[out]+0x48\n\t"
		"mov %%r10, %c[out]+0x50; mov %%r11, %c[out]+0x58\n\t"
		"mov %%r12, %c[out]+0x60; mov %%r13, %c[out]+0x68\n\t"
		"mov %%r14, %c[out]+0x70; mov %%r15, %c[out]+0x78\n\t"
		"mov %c[rsp], %%rsp\n\t"
		"pushfq; popq %c[out_f]; cld\n\t"
		"mov $7, %%eax; xor %%edx, %%edx\n\t"
		"xsave64 %c[out_x]\n\t"
		".globl insn_host_resume; .hidden insn_host_resume; insn_host_resume:\n\t"
		"mov %c[rsp], %%rsp\n\t"
		"fninit; ldmxcsr %c[mxcsr]; vzeroupper\n\t"
		"pop %%r15; pop %%r14; pop %%r13; pop %%r12; pop %%rbp; pop %%rbx\n\t"
		"add $128, %%rsp\n\t"
		:
		: [in] "i"(BOX(in)), [in_f] "i"(BOX(in.rflags)), [in_x] "i"(BOX(in.xsave)),
		  [out] "i"(BOX(out)), [out_f] "i"(BOX(out.rflags)), [out_x] "i"(BOX(out.xsave)),
		  [target] "i"(BOX(target)), [rsp] "i"(BOX(rsp)), [mxcsr] "i"(BOX(mxcsr))
		: "memory", "cc", "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11",
		  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
		  "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

/* -- interface -------------------------------------------------------------------------------------- */

static void *map_at(u64 addr, u64 size, int prot)
{
	void *p = mmap((void *)addr, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
		       -1, 0);

	if (p == (void *)addr)
		return p;
	perror("mmap of the arena");
	exit(77);
}

void host_init(void)
{
	const int rw = PROT_READ | PROT_WRITE;

	if (!host_cpuid(1, 0, 2, 27) || !host_cpuid(1, 0, 2, 28)) {
		puts("the host has no AVX, whose state the tests load and save");
		exit(77);
	}
	map_at(BOX_ADDR, ALIGN_UP(sizeof(*box), PAGE_SIZE), rw);
	map_at(ARENA, ARENA_PAGES * PAGE_SIZE, PROT_NONE);
	mprotect((void *)PAGE(CODE_PAGE), PAGE_SIZE, rw | PROT_EXEC);
	mprotect((void *)PAGE(DATA_PAGE), DATA_SIZE, rw);
	mprotect((void *)PAGE(RO_PAGE), PAGE_SIZE, rw);
	for (u64 n = 0; n < PAGE_SIZE; n++)
		*(u8 *)(PAGE(RO_PAGE) + n) = (u8)(n * 7 + 1);
	mprotect((void *)PAGE(RO_PAGE), PAGE_SIZE, PROT_READ);
	box->target = CODE_ADDR;
	box->resume = (u64)insn_host_resume;
	context_catch(on_signal);
}

/* jmp [rip + 0] to `leave`. */
static void write_leave(u8 *p)
{
	static const u8 jump[] = {0xff, 0x25, 0, 0, 0, 0};
	const u64 leave = (u64)insn_host_leave;

	memcpy(p, jump, sizeof(jump));
	memcpy(p + sizeof(jump), &leave, 8);
}

/* The instruction, the way out, and where branches go: mov byte [branched], 1, and the way out. */
static void write_code(const struct trial *t)
{
	static const u8 mark[] = {0xc6, 0x04, 0x25};
	const u32 branched = BOX(branched);
	u8 *p = (u8 *)CODE_ADDR;

	if (trial_mode == CODE_32)
		*p++ = 0x67;
	memcpy(p, t->code, t->len);
	p += t->len;
	write_leave(p);
	p += BRANCH_REACH;
	memcpy(p, mark, sizeof(mark));
	memcpy(p + 3, &branched, 4);
	p[7] = 1;
	write_leave(p + 8);
}

/* XSAVE leaves out what is in its initial state. */
static void init_state(u8 *x)
{
	memset(x, 0, XSAVE_SIZE);
	XSAVE_FCW(x) = 0x37f;
	XSAVE_MXCSR(x) = 0x1f80;
}

void host_run(const struct trial *t, struct result *r)
{
	write_code(t);
	memcpy((void *)PAGE(DATA_PAGE), t->data, DATA_SIZE);
	box->in = t->s;
	init_state(box->out.xsave);
	box->out.rip = CODE_ADDR + t->len;
	box->branched = 0;
	r->vector = NO_FAULT;
	r->error = r->cr2 = 0;
	current = r;
	box_run();
	current = NULL;
	if (box->branched)
		box->out.rip += BRANCH_REACH;
	r->s = box->out;
	memcpy(r->data, (void *)PAGE(DATA_PAGE), DATA_SIZE);
}

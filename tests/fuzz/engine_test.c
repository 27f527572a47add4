/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random bytes as code, in every mode, with registers that point at things: whatever a guest executes, the
 * engine ends in an outcome. Meant for SAN=1; without it, it still finds crashes and assertions.
 *
 *   engine_test [ROUNDS [SEED]]
 */
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "../insn/harness.h"
#include "sys/sys.h"
#include "virt/virt.h"

#define STEPS 40

static struct harness h;
static u64 seed = 1;

static u64 rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* -- what the rooms above would answer -------------------------------------------------------------- */

static bool msr_read(struct cpu *cpu, u32 index, u64 *value, bool host)
{
	*value = 0;
	return index & 1;
}

static bool msr_write(struct cpu *cpu, u32 index, u64 value, bool host)
{
	return index & 1;
}

static u8 tpr_read(struct cpu *cpu)
{
	return 0;
}

static void tpr_write(struct cpu *cpu, u8 tpr)
{
}

static bool pio_read(struct cpu *cpu, u16 port, unsigned size, u32 *value)
{
	*value = (u32)rnd();
	return port & 1;
}

static bool pio_write(struct cpu *cpu, u16 port, unsigned size, u32 value)
{
	return port & 1;
}

static void tsc_changed(struct cpu *cpu)
{
}

static enum outcome hypercall(struct cpu *cpu)
{
	return OUTCOME_OK;
}

static void rooms_above(void)
{
	h.ops.msr_read = msr_read;
	h.ops.msr_write = msr_write;
	h.ops.tpr_read = tpr_read;
	h.ops.tpr_write = tpr_write;
	h.ops.pio_read = pio_read;
	h.ops.pio_write = pio_write;
	h.ops.tsc_changed = tsc_changed;
	h.ops.hypercall = hypercall;
}

/* -- random state ------------------------------------------------------------------------------------- */

static u64 random_value(void)
{
	static const u64 edges[] = {0, 1, ~0ull, 0x7fffffff, 0x80000000, 1ull << 47, 0xffff};

	switch (rnd() % 4) {
	case 0:
		return edges[rnd() % ARRAY_SIZE(edges)];
	case 1:
		return rnd();
	default: /* near the end of a page, of data or of code */
		return (rnd() & 1 ? HARNESS_DATA : HARNESS_CODE) + 0xff0 + rnd() % 32;
	}
}

static void random_code(u64 at)
{
	/* Prefixes and opcodes that random bytes would reach too seldom. */
	static const u8 likely_bytes[] = {0x0f, 0x66, 0xf0, 0xf3, 0xf2,
					  0x48, 0xc4, 0xc5, 0x67, 0x38};

	for (unsigned n = 0; n < 64; n++)
		h.ram[at + n] = rnd() % 5 ? (u8)rnd() : likely_bytes[rnd() % sizeof(likely_bytes)];
}

static void random_state(u64 at)
{
	struct cpu *cpu = &h.cpu;

	harness_mode(&h, rnd() % 3);
	for (unsigned n = 0; n < 16; n++)
		cpu->gpr[n] = random_value();
	if (rnd() % 4)
		cpu->gpr[REG_RSP] = HARNESS_STACK - 8 * (rnd() % 8);
	cpu_rflags_set(cpu, rnd() & RFLAGS_ARITH);
	if (rnd() % 2) {
		cpu->cpl = 3;
		cpu->seg[SEG_SS].attr |= SEG_ATTR_DPL;
		cpu->seg[SEG_CS].attr |= SEG_ATTR_DPL;
		mmu_update_mode(cpu);
	}
	cpu->gdt = (struct dtable){HARNESS_DATA, 0x100};
	cpu->idt = (struct dtable){HARNESS_DATA + 0x100, 0xff};
	memset(&cpu->io, 0, sizeof(cpu->io));
	cpu->rip = at;
	cpu->halted = false;
	cpu->pending_db = 0;
	atomic_store(&cpu->events, 0);
}

/* A guest that has got itself into VMX operation or other tables starts anew. */
static void fresh(void)
{
	virt_reset(&h.cpu);
	harness_tables(&h);
	mmu_flush_all(&h.cpu);
	if (rnd() % 64 == 0)
		interp_flush(&h.cpu);
}

/* Endless loops of the guest's are ended from outside, as in life. */
static void *kicker(void *arg)
{
	for (;;) {
		usleep(1000);
		cpu_event_set(&h.cpu, EVENT_KICK);
	}
	return NULL;
}

static void round_of(u64 at)
{
	enum outcome o = OUTCOME_OK;

	fresh();
	random_code(at);
	random_state(at);
	for (unsigned n = 0; n < STEPS && o == OUTCOME_OK; n++)
		o = interp_step(&h.cpu);
	if (o == OUTCOME_VMEXIT)
		virt_exit(&h.cpu);
	random_state(at);
	harness_run(&h);
	if (h.cpu.gpr[REG_ZERO]) {
		fprintf(stderr, "engine_test: the zero register is not zero\n");
		abort();
	}
}

int main(int argc, char **argv)
{
	static const struct virt_params params = {true, true, true, true, true, true, true};
	unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : 20000;

	pthread_t thread;

	seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
	if (harness_init(&h, CODE_64) || virt_init(&h.cpu, &params))
		return 1;
	rooms_above();
	if (pthread_create(&thread, NULL, kicker, NULL))
		return 1;
	for (unsigned long n = 0; n < rounds; n++)
		round_of(HARNESS_CODE + (n % 3 ? 0x1000 - 64 + rnd() % 64 : rnd() % 0x1000));
	return 0; /* the kicker still looks at the CPU */
}

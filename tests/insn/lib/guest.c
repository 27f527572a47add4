/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One instruction on the interpreter: a CPU in user mode, 64-bit, with the arena at its linear
 * address, and a clean exception reported instead of delivered.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cpu/cpuid.h"
#include "interp/interp.h"
#include "mem/mem.h"
#include "mmu/mmu.h"
#include "sys/sys.h"
#include "state.h"

#define RAM_SIZE (64 * PAGE_SIZE)
#define GPA_PML4 0x1000
#define GPA_PDPT 0x2000
#define GPA_PD	 0x3000
#define GPA_PT	 0x4000
#define GPA_DATA 0x10000 /* arena page n at GPA_DATA + n pages */

#define PTE_P  1ull
#define PTE_W  2ull
#define PTE_U  4ull
#define PTE_AD 0x60ull

static struct cpu *cpu;
static u8 *ram;

static void on_watch(void *arg)
{
	cpu_event_set(cpu, EVENT_WATCH);
}

static bool no_mmio_read(struct cpu *c, u64 gpa, unsigned size, u64 *value)
{
	return false;
}

static bool no_mmio_write(struct cpu *c, u64 gpa, unsigned size, u64 value)
{
	return false;
}

static const struct cpu_ops ops = {.mmio_read = no_mmio_read, .mmio_write = no_mmio_write};

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "insn_test: cannot set up %s\n", what);
	exit(1);
}

static void set_pte(u64 table, unsigned n, u64 value)
{
	memcpy(ram + table + 8 * n, &value, 8);
}

static void make_tables(void)
{
	const u64 all = PTE_P | PTE_W | PTE_U | PTE_AD;

	set_pte(GPA_PML4, ARENA >> 39, GPA_PDPT | all);
	set_pte(GPA_PDPT, ARENA >> 30 & 511, GPA_PD | all);
	set_pte(GPA_PD, ARENA >> 21 & 511, GPA_PT | all);
	for (unsigned n = 0; n < ARENA_PAGES; n++) {
		u64 pte = GPA_DATA + n * PAGE_SIZE;

		if (n == CODE_PAGE || n == DATA_PAGE || n == DATA_PAGE + 1)
			set_pte(GPA_PT, n, pte | all);
		else if (n == RO_PAGE)
			set_pte(GPA_PT, n, pte | (all & ~PTE_W));
	}
	for (unsigned n = 0; n < PAGE_SIZE; n++)
		ram[GPA_DATA + RO_PAGE * PAGE_SIZE + n] = (u8)(n * 7 + 1);
}

static void make_segments(void)
{
	static const struct segment data = {0, ~0u, 0x2b, 0xc0f3, false};
	static const struct segment code = {0, ~0u, 0x33, 0xa0fb, false};
	static const struct segment code32 = {0, ~0u, 0x23, 0xc0fb, false};

	for (unsigned n = SEG_ES; n <= SEG_GS; n++)
		cpu->seg[n] = data;
	cpu->seg[SEG_CS] = trial_mode == CODE_64 ? code : code32;
}

static void make_system(void)
{
	cpu->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG;
	cpu->cr3 = GPA_PML4;
	cpu->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_FSGSBASE | CR4_UMIP;
	cpu->efer = EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE;
	cpu->xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX;
	cpu->rflags_sys = RFLAGS_FIXED | RFLAGS_IF;
	make_segments();
	sys_mode_update(cpu);
	mmu_mode_changed(cpu);
	must(cpu->cpl == 3 && cpu->mode == trial_mode, "user mode");
}

static void make_cpuid(void)
{
	struct kvm_cpuid_entry2 e[128];
	int n = cpu_cpuid_supported(e, ARRAY_SIZE(e), false);

	must(n > 0 && !cpu_cpuid_set(cpu, e, (u32)n), "CPUID");
}

void guest_init(void)
{
	struct kvm_userspace_memory_region r = {.memory_size = RAM_SIZE};
	bool changed;

	cpu = aligned_alloc(64, ALIGN_UP(sizeof(*cpu), 64));
	ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(cpu && ram != MAP_FAILED, "memory");
	memset(cpu, 0, sizeof(*cpu));
	r.userspace_addr = (uintptr_t)ram;
	cpu->ops = &ops;
	cpu->mem = mem_create(on_watch, NULL);
	must(cpu->mem && !mem_set_slot(cpu->mem, &r, &changed), "guest memory");
	make_tables();
	make_cpuid();
	must(!mmu_init(cpu) && !interp_init(cpu), "the engine");
	make_system();
}

void guest_set_mode(void)
{
	make_system();
}

const u32 *guest_features(void)
{
	return cpu->features;
}

static void load_state(const struct trial *t)
{
	memcpy(cpu->gpr, t->s.gpr, sizeof(t->s.gpr));
	cpu->rip = CODE_ADDR;
	cpu_rflags_set(cpu, t->s.rflags);
	memcpy(&cpu->fpu, t->s.xsave, XSAVE_SIZE);
}

static void store_state(struct result *r)
{
	memcpy(r->s.gpr, cpu->gpr, sizeof(r->s.gpr));
	r->s.rip = cpu->rip;
	r->s.rflags = cpu_rflags(cpu);
	memcpy(r->s.xsave, &cpu->fpu, XSAVE_SIZE);
}

void guest_run(const struct trial *t, struct result *r)
{
	const u64 data = GPA_DATA + DATA_PAGE * PAGE_SIZE;
	const u32 mxcsr = __builtin_ia32_stmxcsr();
	enum outcome o;

	must(!mem_write(cpu->mem, GPA_DATA + (CODE_ADDR - ARENA), t->code, t->len), "code");
	memcpy(ram + data, t->data, DATA_SIZE);
	load_state(t);
	cpu->fault.kind = FAULT_NONE;
	do
		o = interp_step(cpu);
	while (o == OUTCOME_OK && cpu->rip == CODE_ADDR); /* iterations of a string instruction */
	must(__builtin_ia32_stmxcsr() == mxcsr, "the thread's own MXCSR again");
	r->vector = NO_FAULT;
	r->error = r->cr2 = 0;
	if (o == OUTCOME_FAULT && cpu->fault.kind == FAULT_EXCEPTION) {
		r->vector = cpu->fault.vector;
		r->error = cpu->fault.has_error ? cpu->fault.error : 0;
		r->cr2 = cpu->fault.cr2;
	} else if (o != OUTCOME_OK && o != OUTCOME_RESYNC) {
		r->vector = 1000 + (int)o; /* something that no host run ends with */
	}
	store_state(r);
	memcpy(r->data, ram + data, DATA_SIZE);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A CPU with 16 MiB of memory and the engine, for tests of instructions. Identity-mapped:
 *
 *   0x00001000  page tables (64-bit mode: 4 KiB pages for the first 16 MiB)
 *   0x00100000  code (HARNESS_CODE)
 *   0x00200000  data (HARNESS_DATA); page 0x201000 + n can be unmapped
 *   0x00300000  top of the stack (HARNESS_STACK)
 *
 * CPL 0, flat segments, no IDT: an exception ends the run as OUTCOME_FAULT with cpu.fault.
 */
#ifndef TESTS_INSN_HARNESS_H
#define TESTS_INSN_HARNESS_H

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cpu/cpu.h"
#include "interp/interp.h"
#include "mem/mem.h"
#include "mmu/mmu.h"

#define HARNESS_RAM   (16u << 20)
#define HARNESS_CODE  0x100000u
#define HARNESS_DATA  0x200000u
#define HARNESS_STACK 0x300000u

struct harness {
	struct cpu cpu;
	struct cpu_ops ops;
	u8 *ram;
	u64 mmio_value; /* what devices answer */
	unsigned mmio_reads, mmio_writes;
};

static inline void harness_watch(void *arg)
{
	struct harness *h = arg;

	if (h->cpu.tlb)
		cpu_event_set(&h->cpu, EVENT_WATCH);
}

static inline bool harness_mmio_read(struct cpu *cpu, u64 gpa, unsigned size, u64 *value)
{
	struct harness *h = container_of(cpu, struct harness, cpu);

	h->mmio_reads++;
	*value = h->mmio_value;
	return true;
}

static inline bool harness_mmio_write(struct cpu *cpu, u64 gpa, unsigned size, u64 value)
{
	struct harness *h = container_of(cpu, struct harness, cpu);

	h->mmio_writes++;
	h->mmio_value = value;
	return true;
}

static inline void harness_map(struct harness *h, u64 gva, u64 entry)
{
	((u64 *)(h->ram + 0x4000))[gva >> 12] = entry;
	mmu_invlpg(&h->cpu, gva);
}

/* Makes the page of gva present (writable or not) or not present. */
static inline void harness_page(struct harness *h, u64 gva, bool present, bool writable)
{
	harness_map(h, gva, present ? (gva & PAGE_MASK) | (writable ? 7 : 5) : 0);
}

/* 4-level tables: PML4, PDPT, one PD, 8 PTs; the 16 MiB above RAM are a device, mapped in 2-MiB
 * pages. */
static inline void harness_tables(struct harness *h)
{
	u64 *pml4 = (u64 *)(h->ram + 0x1000), *pdpt = (u64 *)(h->ram + 0x2000);
	u64 *pd = (u64 *)(h->ram + 0x3000), *pt = (u64 *)(h->ram + 0x4000);

	pml4[0] = 0x2007;
	pdpt[0] = 0x3007;
	for (unsigned n = 0; n < HARNESS_RAM >> 21; n++)
		pd[n] = (0x4000 + 0x1000 * n) | 7;
	for (unsigned n = HARNESS_RAM >> 21; n < HARNESS_RAM >> 20; n++)
		pd[n] = (u64)n << 21 | 0x87;
	for (unsigned n = 0; n < HARNESS_RAM >> 12; n++)
		pt[n] = (u64)n << 12 | 7;
}

static inline void harness_segments(struct cpu *cpu, enum code_mode mode)
{
	for (unsigned n = 0; n <= SEG_GS; n++) {
		cpu->seg[n] =
			(struct segment){.limit = 0xffffffff, .selector = 0x10, .attr = 0xc093};
		if (mode == CODE_16) /* real-mode limits are too small for the layout */
			cpu->seg[n].attr &= ~SEG_ATTR_DB;
	}
	cpu->seg[SEG_CS].selector = 8;
	cpu->seg[SEG_CS].attr =
		0x809b | (mode == CODE_64 ? SEG_ATTR_L : 0) | (mode == CODE_32 ? SEG_ATTR_DB : 0);
}

/* Puts the CPU into a flat mode at CPL 0: CODE_64 (paged), CODE_32 or CODE_16 protected (not
 * paged). */
static inline void harness_mode(struct harness *h, enum code_mode mode)
{
	struct cpu *cpu = &h->cpu;

	cpu->cr0 = CR0_PE | CR0_ET | CR0_NE | (mode == CODE_64 ? CR0_PG | CR0_WP : 0);
	cpu->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
	cpu->efer = mode == CODE_64 ? EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE : 0;
	cpu->cr3 = 0x1000;
	cpu->xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX;
	cpu->mode = mode;
	cpu->cpl = 0;
	harness_segments(cpu, mode);
	mmu_mode_changed(cpu);
	mmu_context_switch(cpu);
	mmu_update_mode(cpu);
}

/* Returns 0 or a negative errno. All features are on. */
static inline int harness_init(struct harness *h, enum code_mode mode)
{
	struct kvm_userspace_memory_region r = {.memory_size = HARNESS_RAM};
	struct cpu *cpu = &h->cpu;
	bool changed;
	int err;

	memset(h, 0, sizeof(*h));
	h->ram =
		mmap(NULL, HARNESS_RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	r.userspace_addr = (u64)h->ram;
	cpu->mem = mem_create(harness_watch, h);
	err = mem_set_slot(cpu->mem, &r, &changed);
	if (!err)
		err = mmu_init(cpu);
	if (!err)
		err = interp_init(cpu);
	if (err)
		return err;
	h->ops.mmio_read = harness_mmio_read;
	h->ops.mmio_write = harness_mmio_write;
	cpu->ops = &h->ops;
	memset(cpu->features, 0xff, sizeof(cpu->features));
	cpu->phys_bits = 40;
	cpu->virt_bits = 48;
	cpu_rflags_set(cpu, RFLAGS_FIXED);
	FPU_FCW(&cpu->fpu) = 0x37f;
	FPU_MXCSR(&cpu->fpu) = 0x1f80;
	harness_tables(h);
	harness_mode(h, mode);
	cpu->gpr[REG_RSP] = HARNESS_STACK;
	cpu->rip = HARNESS_CODE;
	return 0;
}

static inline void harness_fini(struct harness *h)
{
	interp_destroy(&h->cpu);
	mmu_destroy(&h->cpu);
	mem_destroy(h->cpu.mem);
	munmap(h->ram, HARNESS_RAM);
}

/* Writes code as a device would and points rip at it. */
static inline void harness_code(struct harness *h, u64 at, const void *code, unsigned len)
{
	memcpy(h->ram + at, code, len);
	interp_flush(&h->cpu);
	h->cpu.rip = at;
}

/* Runs until something other than the events that memory raises. HLT ends a test program. */
static inline enum outcome harness_run(struct harness *h)
{
	for (;;) {
		enum outcome o;

		if (atomic_load(&h->cpu.events) & EVENT_WATCH) {
			cpu_event_clear(&h->cpu, EVENT_WATCH);
			mmu_drop_watched(&h->cpu);
		}
		o = interp_run(&h->cpu);
		if (o != OUTCOME_RESYNC)
			return o;
		if (atomic_load(&h->cpu.events) & ~EVENT_WATCH)
			return o;
	}
}

#endif

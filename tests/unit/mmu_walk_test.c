/* SPDX-License-Identifier: BSD-2-Clause */
/* Page walks, permissions, accessed and dirty flags, EPT, the TLB's invalidation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "mem/mem.h"
#include "mmu/mmu.h"

#define RAM_SIZE (4096 * PAGE_SIZE)
#define P	 1ull
#define W	 2ull
#define U	 4ull
#define A	 0x20ull
#define D	 0x40ull
#define PS	 0x80ull
#define NX	 BIT(63)

struct fixture {
	struct cpu cpu;
	u8 *ram;
};

/* cpu_fault*() belong to cpu/; linked from the library. */

static void no_watch(void *arg)
{
	cpu_event_set(arg, EVENT_WATCH);
}

static bool no_mmio_read(struct cpu *cpu, u64 gpa, unsigned size, u64 *value)
{
	return false;
}

static bool no_mmio_write(struct cpu *cpu, u64 gpa, unsigned size, u64 value)
{
	return false;
}

static const struct cpu_ops ops = {.mmio_read = no_mmio_read, .mmio_write = no_mmio_write};

static int setup(void **state)
{
	struct fixture *f = aligned_alloc(64, ALIGN_UP(sizeof(*f), 64));
	struct kvm_userspace_memory_region r = {.memory_size = RAM_SIZE};
	bool changed;

	memset(f, 0, sizeof(*f));
	f->ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	r.userspace_addr = (uintptr_t)f->ram;
	f->cpu.mem = mem_create(no_watch, &f->cpu);
	f->cpu.ops = &ops;
	f->cpu.phys_bits = 40;
	*state = f;
	return mem_set_slot(f->cpu.mem, &r, &changed) || mmu_init(&f->cpu);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	mmu_destroy(&f->cpu);
	mem_destroy(f->cpu.mem);
	munmap(f->ram, RAM_SIZE);
	free(f);
	return 0;
}

static u64 *entry(struct fixture *f, u64 gpa)
{
	return (u64 *)(f->ram + gpa);
}

/* Tables at 0x1000 (root) to 0x4000; maps gva 0x400000 + n pages to gpa 0x100000 + n pages. */
static void map_4level(struct fixture *f, u64 flags)
{
	*entry(f, 0x1000) = 0x2000 | P | W | U;
	*entry(f, 0x2000) = 0x3000 | P | W | U;
	*entry(f, 0x3000 + 2 * 8) = 0x4000 | P | W | U;
	for (u64 i = 0; i < 16; i++)
		*entry(f, 0x4000 + i * 8) = (0x100000 + i * PAGE_SIZE) | flags;
	f->cpu.cr3 = 0x1000;
	f->cpu.cr4 = CR4_PAE;
	f->cpu.cr0 = CR0_PG | CR0_PE | CR0_WP;
	f->cpu.efer = EFER_LMA | EFER_LME | EFER_NXE;
	f->cpu.mode = CODE_64;
	mmu_mode_changed(&f->cpu);
}

static void assert_page_fault(struct fixture *f, enum outcome o, u64 gva, u32 error)
{
	assert_int_equal(o, OUTCOME_FAULT);
	assert_int_equal(f->cpu.fault.kind, FAULT_EXCEPTION);
	assert_int_equal(f->cpu.fault.vector, VEC_PF);
	assert_true(f->cpu.fault.cr2 == gva);
	assert_int_equal(f->cpu.fault.error, error);
}

static void four_levels_with_flags(void **state)
{
	struct fixture *f = *state;
	u64 v = 0xabcdef;

	map_4level(f, P | W | U);
	assert_int_equal(mmu_read(&f->cpu, 0x400010, &v, 8, MMU_READ), OUTCOME_OK);
	assert_true(*entry(f, 0x4000) & A);
	assert_false(*entry(f, 0x4000) & D);
	assert_true(*entry(f, 0x1000) & A);
	assert_non_null(mmu_probe_read(&f->cpu, 0x400ff8, 8));
	assert_null(mmu_probe_read(&f->cpu, 0x400ff9, 8));
	assert_null(mmu_probe_write(&f->cpu, 0x400010, 8));
	v = 42;
	assert_int_equal(mmu_write(&f->cpu, 0x400010, &v, 8, MMU_WRITE), OUTCOME_OK);
	assert_true(*entry(f, 0x4000) & D);
	assert_true(mmu_probe_write(&f->cpu, 0x400010, 8) == f->ram + 0x100010);
	assert_true(*(u64 *)(f->ram + 0x100010) == 42);
	assert_page_fault(f, mmu_read(&f->cpu, 0x800000, &v, 1, MMU_READ), 0x800000, 0);
	assert_int_equal(mmu_read(&f->cpu, 1ull << 50, &v, 1, MMU_READ), OUTCOME_FAULT);
	assert_int_equal(f->cpu.fault.vector, VEC_GP);
}

static void stores_across_pages_are_all_or_nothing(void **state)
{
	struct fixture *f = *state;
	u64 v = ~0ull;

	map_4level(f, P | W | U);
	*entry(f, 0x4000 + 8) &= ~W;
	assert_page_fault(f, mmu_write(&f->cpu, 0x400ffc, &v, 8, MMU_WRITE), 0x401000, PF_P | PF_W);
	assert_int_equal(*(u32 *)(f->ram + 0x100ffc), 0);
	*entry(f, 0x4000 + 8) |= W;
	assert_int_equal(mmu_write(&f->cpu, 0x400ffc, &v, 8, MMU_WRITE), OUTCOME_OK);
	assert_true(*(u64 *)(f->ram + 0x100ffc) == v);
}

static void user_and_supervisor(void **state)
{
	struct fixture *f = *state;
	u64 gpa;
	u8 v, *hva;

	map_4level(f, P);
	f->cpu.cpl = 3;
	mmu_update_mode(&f->cpu);
	assert_page_fault(f, mmu_read(&f->cpu, 0x400000, &v, 1, MMU_READ), 0x400000, PF_P | PF_U);
	assert_int_equal(mmu_read(&f->cpu, 0x400000, &v, 1, MMU_READ | MMU_SYSTEM), OUTCOME_OK);
	assert_page_fault(f, mmu_read(&f->cpu, 0x400000, &v, 1, MMU_READ), 0x400000, PF_P | PF_U);
	f->cpu.cpl = 0;
	mmu_update_mode(&f->cpu);
	assert_page_fault(f, mmu_write(&f->cpu, 0x400000, &v, 1, MMU_WRITE), 0x400000, PF_P | PF_W);
	f->cpu.cr0 &= ~CR0_WP;
	mmu_mode_changed(&f->cpu);
	assert_int_equal(mmu_write(&f->cpu, 0x400000, &v, 1, MMU_WRITE), OUTCOME_OK);
	*entry(f, 0x4000) |= U;
	f->cpu.cr4 |= CR4_SMEP | CR4_SMAP;
	mmu_mode_changed(&f->cpu);
	assert_page_fault(f, mmu_fetch(&f->cpu, 0x400000, &gpa, &hva), 0x400000, PF_P | PF_I);
	assert_page_fault(f, mmu_read(&f->cpu, 0x400000, &v, 1, MMU_READ), 0x400000, PF_P);
	f->cpu.rflags_sys |= RFLAGS_AC;
	mmu_update_mode(&f->cpu);
	assert_int_equal(mmu_read(&f->cpu, 0x400000, &v, 1, MMU_READ), OUTCOME_OK);
	assert_non_null(mmu_probe_read(&f->cpu, 0x400000, 1));
	f->cpu.rflags_sys &= ~RFLAGS_AC;
	mmu_update_mode(&f->cpu);
	assert_null(mmu_probe_read(&f->cpu, 0x400000, 1));
	*entry(f, 0x4000) = 0x100000 | P | NX;
	mmu_invlpg(&f->cpu, 0x400000);
	assert_page_fault(f, mmu_fetch(&f->cpu, 0x400000, &gpa, &hva), 0x400000, PF_P | PF_I);
}

static void reserved_bits_fault(void **state)
{
	struct fixture *f = *state;
	u8 v;

	map_4level(f, P | BIT(45));
	assert_page_fault(f, mmu_read(&f->cpu, 0x400000, &v, 1, MMU_READ), 0x400000,
			  PF_P | PF_RSVD);
	*entry(f, 0x3000 + 16) = 0x200000 | P | PS | BIT(14);
	assert_page_fault(f, mmu_read(&f->cpu, 0x400000, &v, 1, MMU_READ), 0x400000,
			  PF_P | PF_RSVD);
	*entry(f, 0x3000 + 16) = 0x200000 | P | PS;
	assert_int_equal(mmu_read(&f->cpu, 0x400000, &v, 1, MMU_READ), OUTCOME_OK);
}

static void invlpg_drops_large_pages_whole(void **state)
{
	struct fixture *f = *state;
	u8 v;

	map_4level(f, P);
	*entry(f, 0x3000 + 16) = 0x200000 | P | PS | W;
	mmu_read(&f->cpu, 0x400000, &v, 1, MMU_READ);
	mmu_read(&f->cpu, 0x5ff000, &v, 1, MMU_READ);
	assert_non_null(mmu_probe_read(&f->cpu, 0x5ff000, 1));
	mmu_invlpg(&f->cpu, 0x432100);
	assert_null(mmu_probe_read(&f->cpu, 0x400000, 1));
	assert_null(mmu_probe_read(&f->cpu, 0x5ff000, 1));
}

static void pcids_keep_their_entries(void **state)
{
	struct fixture *f = *state;
	u8 v;

	map_4level(f, P);
	f->cpu.cr4 |= CR4_PCIDE;
	f->cpu.cr3 = 0x1001;
	mmu_mode_changed(&f->cpu);
	mmu_read(&f->cpu, 0x400000, &v, 1, MMU_READ);
	f->cpu.cr3 = 0x1002;
	mmu_context_switch(&f->cpu);
	assert_null(mmu_probe_read(&f->cpu, 0x400000, 1));
	f->cpu.cr3 = 0x1001;
	mmu_context_switch(&f->cpu);
	assert_non_null(mmu_probe_read(&f->cpu, 0x400000, 1));
	mmu_invpcid(&f->cpu, 1, 2, 0);
	assert_non_null(mmu_probe_read(&f->cpu, 0x400000, 1));
	mmu_flush_cr3(&f->cpu);
	assert_null(mmu_probe_read(&f->cpu, 0x400000, 1));
}

static void flushes_reach_other_protection_keys(void **state)
{
	struct fixture *f = *state;
	u8 v = 0;

	map_4level(f, P | W | U);
	f->cpu.cr4 |= CR4_PKE;
	mmu_mode_changed(&f->cpu);
	assert_int_equal(mmu_write(&f->cpu, 0x400000, &v, 1, MMU_WRITE), OUTCOME_OK);
	assert_non_null(mmu_probe_write(&f->cpu, 0x400000, 1));
	f->cpu.fpu.pkru = 0x55555554;
	mmu_context_switch(&f->cpu);
	*entry(f, 0x4000) &= ~W;
	mmu_flush_cr3(&f->cpu);
	f->cpu.fpu.pkru = 0;
	mmu_context_switch(&f->cpu);
	assert_null(mmu_probe_write(&f->cpu, 0x400000, 1));
}

static void flushing_for_ever_stays_sound(void **state)
{
	struct fixture *f = *state;
	u8 v;

	map_4level(f, P);
	for (unsigned i = 0; i < 5000; i++) {
		assert_null(mmu_probe_read(&f->cpu, 0x400000, 1));
		mmu_read(&f->cpu, 0x400000, &v, 1, MMU_READ);
		assert_non_null(mmu_probe_read(&f->cpu, 0x400000, 1));
		mmu_flush_cr3(&f->cpu);
	}
}

static void thirty_two_bits_with_4m_pages(void **state)
{
	struct fixture *f = *state;
	u32 *pd = (u32 *)(f->ram + 0x1000), *pt = (u32 *)(f->ram + 0x2000), v;

	pd[0] = 0x2000 | P | W;
	pd[1] = 0x800000 | P | W | PS;
	pt[5] = 0x300000 | P | W;
	f->cpu.cr3 = 0x1000;
	f->cpu.cr0 = CR0_PG | CR0_PE;
	f->cpu.cr4 = CR4_PSE;
	f->cpu.mode = CODE_32;
	mmu_mode_changed(&f->cpu);
	*(u32 *)(f->ram + 0x300010) = 77;
	*(u32 *)(f->ram + 0x812344) = 88;
	assert_int_equal(mmu_read(&f->cpu, 0x5010, &v, 4, MMU_READ), OUTCOME_OK);
	assert_int_equal(v, 77);
	assert_int_equal(mmu_read(&f->cpu, 0x412344, &v, 4, MMU_READ), OUTCOME_OK);
	assert_int_equal(v, 88);
	assert_true(pt[5] & A);
	assert_page_fault(f, mmu_read(&f->cpu, 0x6000, &v, 4, MMU_READ), 0x6000, 0);
}

static void pae_uses_its_loaded_pdptes(void **state)
{
	struct fixture *f = *state;
	u32 v = 0;

	*entry(f, 0x1008) = 0x2000 | P;
	*entry(f, 0x2000) = 0x600000 | P | PS | W;
	f->cpu.cr0 = CR0_PG | CR0_PE;
	f->cpu.cr4 = CR4_PAE;
	f->cpu.mode = CODE_32;
	assert_true(mmu_load_pdptes(&f->cpu, 0x1000));
	mmu_mode_changed(&f->cpu);
	assert_int_equal(mmu_write(&f->cpu, 0x40000004, &v, 4, MMU_WRITE), OUTCOME_OK);
	*entry(f, 0x1008) = 0;
	mmu_flush_cr3(&f->cpu);
	assert_int_equal(mmu_read(&f->cpu, 0x40000004, &v, 4, MMU_READ), OUTCOME_OK);
	*entry(f, 0x1000) = P | BIT(5);
	assert_false(mmu_load_pdptes(&f->cpu, 0x1000));
}

/* EPT at 0x10000: 2M pages, identity but ngpa 0x200000 -> 0x400000. */
static void map_ept(struct fixture *f, u64 ad)
{
	*entry(f, 0x10000) = 0x11000 | 7;
	*entry(f, 0x11000) = 0x12000 | 7;
	*entry(f, 0x12000) = 0 | 7 | PS | 6 << 3;
	*entry(f, 0x12008) = 0x400000 | 7 | PS | 6 << 3;
	f->cpu.nested.kind = NESTED_EPT;
	f->cpu.nested.root = 0x10000 | 3 << 3 | 6 | ad;
	f->cpu.guest_mode = true;
}

static void ept_translates_tables_and_pages(void **state)
{
	struct fixture *f = *state;
	u64 v = 5;

	map_ept(f, BIT(6));
	map_4level(f, P | W);
	*entry(f, 0x4000) = 0x200000 | P | W;
	*(u64 *)(f->ram + 0x400008) = 99;
	assert_int_equal(mmu_read(&f->cpu, 0x400008, &v, 8, MMU_READ), OUTCOME_OK);
	assert_true(v == 99);
	assert_true(*entry(f, 0x12008) & BIT(8));
	assert_false(*entry(f, 0x12008) & BIT(9));
	assert_int_equal(mmu_write(&f->cpu, 0x400008, &v, 8, MMU_WRITE), OUTCOME_OK);
	assert_true(*entry(f, 0x12008) & BIT(9));
}

static void ept_violations_say_what_happened(void **state)
{
	struct fixture *f = *state;
	u64 v;

	map_ept(f, 0);
	map_4level(f, P | W);
	*entry(f, 0x4000) = 0x600000 | P | W;
	assert_int_equal(mmu_write(&f->cpu, 0x400123, &v, 4, MMU_WRITE), OUTCOME_FAULT);
	assert_int_equal(f->cpu.fault.kind, FAULT_EPT);
	assert_true(f->cpu.fault.gpa == 0x600123);
	assert_true(f->cpu.fault.gla == 0x400123);
	assert_true(f->cpu.fault.qual == (2 | BIT(7) | BIT(8)));
	*entry(f, 0x12018) = 0x600000 | 1 | PS | 6 << 3;
	assert_int_equal(mmu_write(&f->cpu, 0x400123, &v, 4, MMU_WRITE), OUTCOME_FAULT);
	assert_true(f->cpu.fault.qual == (2 | 1 << 3 | BIT(7) | BIT(8)));
	*entry(f, 0x12018) = 0x600000 | 2 | PS;
	assert_int_equal(mmu_read(&f->cpu, 0x400123, &v, 4, MMU_READ), OUTCOME_FAULT);
	assert_int_equal(f->cpu.fault.kind, FAULT_EPT_MISCONF);
	*entry(f, 0x3010) = 0xa00000 | P | W;
	assert_int_equal(mmu_read(&f->cpu, 0x400123, &v, 4, MMU_READ), OUTCOME_FAULT);
	assert_true(f->cpu.fault.qual == (1 | BIT(7)));
}

static void guests_have_their_own_entries(void **state)
{
	struct fixture *f = *state;
	u64 v;

	map_4level(f, P | W);
	mmu_read(&f->cpu, 0x400000, &v, 8, MMU_READ);
	map_ept(f, 0);
	f->cpu.vpid = 1;
	mmu_context_switch(&f->cpu);
	assert_null(mmu_probe_read(&f->cpu, 0x400000, 8));
	mmu_read(&f->cpu, 0x400000, &v, 8, MMU_READ);
	f->cpu.nested.kind = NESTED_NONE;
	f->cpu.vpid = 0;
	mmu_context_switch(&f->cpu);
	assert_non_null(mmu_probe_read(&f->cpu, 0x400000, 8));
	mmu_invept(&f->cpu, true, 0);
	assert_non_null(mmu_probe_read(&f->cpu, 0x400000, 8));
	f->cpu.nested.kind = NESTED_EPT;
	f->cpu.vpid = 1;
	mmu_context_switch(&f->cpu);
	assert_null(mmu_probe_read(&f->cpu, 0x400000, 8));
}

static void decoded_pages_have_no_write_entries(void **state)
{
	struct fixture *f = *state;
	struct mem_code *code;
	u64 v = 1;
	u32 gen;

	map_4level(f, P | W);
	mmu_write(&f->cpu, 0x400000, &v, 8, MMU_WRITE);
	assert_non_null(mmu_probe_write(&f->cpu, 0x400000, 8));
	code = mem_code_watch(f->cpu.mem, 0x100000, 64);
	gen = code->gen;
	assert_true(f->cpu.events & EVENT_WATCH);
	mmu_drop_watched(&f->cpu);
	assert_null(mmu_probe_write(&f->cpu, 0x400000, 8));
	assert_int_equal(code->gen, gen + 1); /* it could have been written meanwhile */
	code = mem_code_watch(f->cpu.mem, 0x100000, 64);
	mmu_drop_watched(&f->cpu);
	assert_int_equal(code->gen, gen + 1);
	mmu_write(&f->cpu, 0x400040, &v, 8, MMU_WRITE);
	assert_int_equal(code->gen, gen + 1);
	assert_null(mmu_probe_write(&f->cpu, 0x400000, 8));
	mmu_write(&f->cpu, 0x40003c, &v, 8, MMU_WRITE);
	assert_int_equal(code->gen, gen + 2);
}

static void devices_answer_through_user_space(void **state)
{
	struct fixture *f = *state;
	u64 v = 0;

	map_4level(f, P | W);
	*entry(f, 0x4000) = 0x80000000 | P | W;
	assert_int_equal(mmu_read(&f->cpu, 0x400010, &v, 4, MMU_READ), OUTCOME_USEREXIT);
	assert_int_equal(f->cpu.user.kind, USER_MMIO);
	assert_true(f->cpu.io.cur.addr == 0x80000010 && f->cpu.io.cur.size == 4);
	f->cpu.io.done[0].addr = 0x80000010;
	f->cpu.io.done[0].size = 4;
	f->cpu.io.done[0].data = 0x1234;
	f->cpu.io.ndone = 1;
	assert_int_equal(mmu_read(&f->cpu, 0x400010, &v, 4, MMU_READ), OUTCOME_OK);
	assert_true(v == 0x1234);
	assert_int_equal(mmu_write(&f->cpu, 0x400020, &v, 2, MMU_WRITE), OUTCOME_OK);
	assert_int_equal(f->cpu.io.nposted, 1);
	assert_true(f->cpu.io.posted[0].addr == 0x80000020);
	assert_true(f->cpu.events & EVENT_REQUEST);
}

static void data_breakpoints_are_noticed(void **state)
{
	struct fixture *f = *state;
	u64 v = 0;

	map_4level(f, P | W);
	f->cpu.dr[0] = 0x400008;
	f->cpu.dr[7] = 1 | 1 << 16 | 2 << 18; /* write, 8 bytes */
	mmu_read(&f->cpu, 0x400008, &v, 8, MMU_READ);
	assert_true(f->cpu.pending_db == 0);
	mmu_write(&f->cpu, 0x400000, &v, 8, MMU_WRITE);
	assert_true(f->cpu.pending_db == 0);
	mmu_write(&f->cpu, 0x40000f, &v, 1, MMU_WRITE);
	assert_true(f->cpu.pending_db == 1);
	assert_null(mmu_probe_write(&f->cpu, 0x400000, 8));
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(four_levels_with_flags),
		TEST(stores_across_pages_are_all_or_nothing),
		TEST(user_and_supervisor),
		TEST(reserved_bits_fault),
		TEST(invlpg_drops_large_pages_whole),
		TEST(pcids_keep_their_entries),
		TEST(flushes_reach_other_protection_keys),
		TEST(flushing_for_ever_stays_sound),
		TEST(thirty_two_bits_with_4m_pages),
		TEST(pae_uses_its_loaded_pdptes),
		TEST(ept_translates_tables_and_pages),
		TEST(ept_violations_say_what_happened),
		TEST(guests_have_their_own_entries),
		TEST(decoded_pages_have_no_write_entries),
		TEST(devices_answer_through_user_space),
		TEST(data_breakpoints_are_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* The first vCPU's registers, descriptor table and page tables at a kernel's entry. */
#include <string.h>
#include "vmm/boot.h"
#include "vmm/msg.h"

#define CR0_PE	 BIT(0)
#define CR0_ET	 BIT(4)
#define CR0_PG	 BIT(31)
#define CR4_PAE	 BIT(5)
#define EFER_LME BIT(8)
#define EFER_LMA BIT(10)

#define PTE_TABLE 0x3ull  /* present, writable */
#define PTE_LARGE 0x83ull /* and a 2-MiB page */

/* The selectors are those of the Linux boot protocol: 0x10 code, 0x18 data. */
#define SEL_CODE 0x10
#define SEL_DATA 0x18
#define SEL_TSS	 0x20

enum gdt_entry { GDT_CODE64 = 2, GDT_DATA = 3, GDT_TSS = 4, GDT_COUNT = 6 };

static const u64 gdt64[GDT_COUNT] = {
	[GDT_CODE64] = 0x00af9b000000ffff,
	[GDT_DATA] = 0x00cf93000000ffff,
	[GDT_TSS] = 0x00008b0000000067,
};

static const u64 gdt32[GDT_COUNT] = {
	[GDT_CODE64] = 0x00cf9b000000ffff,
	[GDT_DATA] = 0x00cf93000000ffff,
	[GDT_TSS] = 0x00008b0000000067,
};

/* Identity-maps the first 4 GiB with 2-MiB pages: PML4, PDPT, four page directories. */
static void boot_write_page_tables(const struct ram *ram)
{
	u64 *pml4 = ram_ptr(ram, BOOT_PAGE_TABLES, 6 * PAGE_SIZE);
	u64 *pdpt = pml4 + 512, *pd = pdpt + 512;

	memset(pml4, 0, 2 * PAGE_SIZE);
	pml4[0] = (BOOT_PAGE_TABLES + PAGE_SIZE) | PTE_TABLE;
	for (u64 i = 0; i < 4; i++)
		pdpt[i] = (BOOT_PAGE_TABLES + (2 + i) * PAGE_SIZE) | PTE_TABLE;
	for (u64 i = 0; i < 4 * 512; i++)
		pd[i] = (i << 21) | PTE_LARGE;
}

static struct kvm_segment boot_segment(u16 selector, u8 type, bool code64)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.s = 1,
		.l = code64,
		.db = !code64,
		.g = 1,
	};
}

static void boot_set_segments(struct kvm_sregs *sregs, bool code64)
{
	struct kvm_segment data = boot_segment(SEL_DATA, 3, false);

	sregs->cs = boot_segment(SEL_CODE, 11, code64);
	sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = data;
	sregs->tr =
		(struct kvm_segment){.limit = 0x67, .selector = SEL_TSS, .type = 11, .present = 1};
	sregs->ldt = (struct kvm_segment){.unusable = 1};
	sregs->gdt.base = BOOT_GDT;
	sregs->gdt.limit = sizeof(gdt64) - 1;
	sregs->idt.base = 0;
	sregs->idt.limit = 0;
}

static int boot_set_sregs(struct machine_cpu *cpu, const struct boot_entry *entry)
{
	const struct ram *ram = &cpu->machine->ram;
	bool long_mode = entry->mode == BOOT_LINUX64;
	struct kvm_sregs sregs;
	int ret = machine_cpu_ioctl(cpu, KVM_GET_SREGS, &sregs);

	if (ret < 0)
		return ret;
	ram_write(ram, BOOT_GDT, long_mode ? gdt64 : gdt32, sizeof(gdt64));
	boot_set_segments(&sregs, long_mode);
	sregs.cr0 = CR0_PE | CR0_ET;
	if (long_mode) {
		boot_write_page_tables(ram);
		sregs.cr0 |= CR0_PG;
		sregs.cr3 = BOOT_PAGE_TABLES;
		sregs.cr4 = CR4_PAE;
		sregs.efer = EFER_LME | EFER_LMA;
	}
	return machine_cpu_ioctl(cpu, KVM_SET_SREGS, &sregs);
}

int boot_set_cpu(struct machine_cpu *cpu, const struct boot_entry *entry)
{
	struct kvm_regs regs = {.rip = entry->rip, .rflags = 2};
	int ret = boot_set_sregs(cpu, entry);

	if (entry->mode != BOOT_PVH)
		regs.rsi = BOOT_PARAMS;
	else
		regs.rbx = BOOT_PVH_INFO;
	if (!ret)
		ret = machine_cpu_ioctl(cpu, KVM_SET_REGS, &regs);
	if (ret < 0)
		return msg_fail(ret, "cannot set the boot registers: %s", strerror(-ret));
	return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* A vCPU's registers for the message after a guest or KVM gave up. */
#include <inttypes.h>
#include <stdio.h>
#include "vmm/machine.h"

static void dump_regs(const struct kvm_regs *r)
{
	fprintf(stderr,
		" RAX=%016llx RBX=%016llx RCX=%016llx RDX=%016llx\n"
		" RSI=%016llx RDI=%016llx RBP=%016llx RSP=%016llx\n"
		" R8 =%016llx R9 =%016llx R10=%016llx R11=%016llx\n"
		" R12=%016llx R13=%016llx R14=%016llx R15=%016llx\n"
		" RIP=%016llx RFLAGS=%08llx\n",
		r->rax, r->rbx, r->rcx, r->rdx, r->rsi, r->rdi, r->rbp, r->rsp, r->r8, r->r9,
		r->r10, r->r11, r->r12, r->r13, r->r14, r->r15, r->rip, r->rflags);
}

static void dump_segment(const char *name, const struct kvm_segment *s)
{
	fprintf(stderr,
		" %s=%04x base=%016llx limit=%08x type=%x s=%u dpl=%u p=%u l=%u db=%u g=%u\n", name,
		s->selector, s->base, s->limit, s->type, s->s, s->dpl, s->present, s->l, s->db,
		s->g);
}

static void dump_sregs(const struct kvm_sregs *s)
{
	dump_segment("CS", &s->cs);
	dump_segment("DS", &s->ds);
	dump_segment("SS", &s->ss);
	dump_segment("TR", &s->tr);
	fprintf(stderr, " GDT=%016llx:%04x IDT=%016llx:%04x\n", s->gdt.base, s->gdt.limit,
		s->idt.base, s->idt.limit);
	fprintf(stderr, " CR0=%08llx CR2=%016llx CR3=%016llx CR4=%08llx EFER=%llx\n", s->cr0,
		s->cr2, s->cr3, s->cr4, s->efer);
}

static void dump_code(struct machine_cpu *cpu, u64 rip)
{
	struct kvm_translation tr = {.linear_address = rip};
	const u8 *code;

	if (machine_cpu_ioctl(cpu, KVM_TRANSLATE, &tr) < 0 || !tr.valid)
		return;
	code = ram_ptr(&cpu->machine->ram, tr.physical_address, 16);
	if (!code)
		return;
	fprintf(stderr, " code:");
	for (int i = 0; i < 16; i++)
		fprintf(stderr, " %02x", code[i]);
	fprintf(stderr, "\n");
}

void machine_cpu_dump(struct machine_cpu *cpu)
{
	struct kvm_regs regs;
	struct kvm_sregs sregs;

	if (machine_cpu_ioctl(cpu, KVM_GET_REGS, &regs) < 0 ||
	    machine_cpu_ioctl(cpu, KVM_GET_SREGS, &sregs) < 0)
		return;
	dump_regs(&regs);
	dump_sregs(&sregs);
	dump_code(cpu, sregs.cs.base + regs.rip);
}

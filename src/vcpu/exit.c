/* SPDX-License-Identifier: BSD-2-Clause */
/* Userexits: filling kvm_run, and taking the answer on re-entry. */
#include <string.h>

#include "irq/irq.h"
#include "mem/mem.h"
#include "mmu/mmu.h"
#include "vcpu/run.h"

static u8 *pio_page(struct vcpu *v)
{
	return (u8 *)v->run + VCPU_PIO_OFFSET;
}

int exit_reason(struct vcpu *v, u32 reason)
{
	v->run->exit_reason = reason;
	return RUN_EXIT;
}

/* -- ports --------------------------------------------------------------------------------------
 */

static int exit_io(struct vcpu *v)
{
	const struct cpu_io *io = &v->cpu.io;
	struct kvm_run *run = v->run;

	run->io.direction = io->cur.write ? KVM_EXIT_IO_OUT : KVM_EXIT_IO_IN;
	run->io.size = io->cur.size;
	run->io.port = (u16)io->cur.addr;
	run->io.count = io->cur.count;
	run->io.data_offset = VCPU_PIO_OFFSET;
	if (io->cur.write)
		memcpy(pio_page(v), io->data, MIN((u64)io->cur.size * io->cur.count, PAGE_SIZE));
	v->stats.io++;
	return exit_reason(v, KVM_EXIT_IO);
}

static void complete_io(struct vcpu *v)
{
	struct cpu_io *io = &v->cpu.io;

	memcpy(io->data, pio_page(v), MIN((u64)io->cur.size * io->cur.count, PAGE_SIZE));
	io->answered = true;
	v->restart = true;
}

/* -- memory -------------------------------------------------------------------------------------
 */

static int exit_mmio(struct vcpu *v, u64 gpa, u32 len, const u64 *store)
{
	struct kvm_run *run = v->run;

	run->mmio.phys_addr = gpa;
	run->mmio.len = len;
	run->mmio.is_write = store != NULL;
	memset(run->mmio.data, 0, sizeof(run->mmio.data));
	if (store)
		memcpy(run->mmio.data, store, len);
	v->stats.mmio++;
	return exit_reason(v, KVM_EXIT_MMIO);
}

int exit_posted(struct vcpu *v)
{
	struct cpu_io *io = &v->cpu.io;
	u64 addr = io->posted[0].addr, data = io->posted[0].data;
	u32 size = io->posted[0].size;

	io->nposted--;
	memmove(&io->posted[0], &io->posted[1], io->nposted * sizeof(io->posted[0]));
	return exit_mmio(v, addr, size, &data);
}

/* The instruction will be executed again, and find its loads so far in `done`. */
static void complete_load(struct vcpu *v)
{
	struct cpu_io *io = &v->cpu.io;

	io->in_flight = false;
	if (io->ndone < IO_REPLAY_MAX) {
		io->done[io->ndone].addr = io->cur.addr;
		io->done[io->ndone].size = io->cur.size;
		io->done[io->ndone].data = 0;
		memcpy(&io->done[io->ndone++].data, v->run->mmio.data, MIN(io->cur.size, 8u));
	}
	io->next = 0;
	v->restart = true;
}

/*
 * A load in flight was given up when stores posted before it went first (run.c holds its outcome
 * then): it is handed out after them.
 */
void exit_complete(struct vcpu *v)
{
	struct cpu_io *io = &v->cpu.io;

	if (!io->in_flight || v->held == OUTCOME_USEREXIT)
		return;
	if (io->cur.pio)
		complete_io(v);
	else
		complete_load(v);
}

void vcpu_abandon_io(struct vcpu *v)
{
	struct cpu_io *io = &v->cpu.io;

	io->in_flight = io->answered = false;
	io->ndone = io->next = 0;
	v->restart = false;
	v->held = OUTCOME_OK;
}

/* -- the rest -----------------------------------------------------------------------------------
 */

/* The bytes of the instruction that nestkvm could not execute. */
static int exit_internal(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	u64 lin = v->cpu.rip + (v->cpu.mode == CODE_64 ? 0 : v->cpu.seg[SEG_CS].base);
	u8 *bytes = run->emulation_failure.insn_bytes;
	bool writable, user;
	u32 n = 0;

	for (u64 gpa; n < 15 && mmu_translate(&v->cpu, lin + n, &gpa, &writable, &user); n++)
		if (mem_read(v->vm->mem, gpa, &bytes[n], 1))
			break;
	run->emulation_failure.suberror = KVM_INTERNAL_ERROR_EMULATION;
	run->emulation_failure.ndata = 3;
	run->emulation_failure.flags = KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
	run->emulation_failure.insn_size = (u8)n;
	return exit_reason(v, KVM_EXIT_INTERNAL_ERROR);
}

static int exit_debug(struct vcpu *v)
{
	v->run->debug.arch = v->cpu.user.debug;
	return exit_reason(v, KVM_EXIT_DEBUG);
}

static int exit_hypercall(struct vcpu *v)
{
	v->run->hypercall.nr = v->cpu.user.code;
	for (int i = 0; i < 6; i++)
		v->run->hypercall.args[i] = 0;
	return exit_reason(v, KVM_EXIT_HYPERCALL);
}

int exit_fill(struct vcpu *v)
{
	const struct userexit *u = &v->cpu.user;

	switch (u->kind) {
	case USER_NONE:
		return RUN_GO;
	case USER_IO:
		return exit_io(v);
	case USER_MMIO:
		return exit_mmio(v, v->cpu.io.cur.addr, v->cpu.io.cur.size, NULL);
	case USER_INTERNAL:
		return exit_internal(v);
	case USER_FAIL_ENTRY:
		v->run->fail_entry.hardware_entry_failure_reason = u->code;
		v->run->fail_entry.cpu = 0;
		return exit_reason(v, KVM_EXIT_FAIL_ENTRY);
	case USER_HYPERCALL:
		return exit_hypercall(v);
	case USER_IOAPIC_EOI:
		v->run->eoi.vector = (u8)u->code;
		return exit_reason(v, KVM_EXIT_IOAPIC_EOI);
	case USER_DEBUG:
		return exit_debug(v);
	case USER_SYSTEM_EVENT:
		v->run->system_event.type = (u32)u->code;
		return exit_reason(v, KVM_EXIT_SYSTEM_EVENT);
	}
	return RUN_GO;
}

bool vcpu_ready_for_injection(struct vcpu *v)
{
	const struct cpu *cpu = &v->cpu;

	if (v->user_irq >= 0 || !(cpu->rflags_sys & RFLAGS_IF) || cpu->shadow)
		return false;
	return !v->lapic || (irq_vcpu_accepts_pic(v->lapic) && !irq_vcpu_has_extint(v->lapic));
}

void exit_common(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	bool kernel_pic = irq_vm_mode(v->vm->irq) == IRQ_MODE_KERNEL;

	run->if_flag = !!(v->cpu.rflags_sys & RFLAGS_IF);
	run->flags = 0;
	run->cr8 = v->lapic ? lapic_get_cr8(v->lapic) : v->cr8;
	run->apic_base = v->lapic ? lapic_get_base(v->lapic) : v->apic_base;
	run->ready_for_interrupt_injection = kernel_pic || vcpu_ready_for_injection(v);
}

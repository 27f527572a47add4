/* SPDX-License-Identifier: BSD-2-Clause */
/* General, segment, control and debug registers, and KVM_TRANSLATE. */
#include <string.h>

#include "api/api.h"
#include "cpu/cpuid.h"
#include "irq/irq.h"
#include "mmu/mmu.h"
#include "sys/sys.h"

/* -- general registers ----------------------------------------------------------------------------
 */

/* struct kvm_regs has its own order of the first eight. */
static const u8 order[8] = {REG_RAX, REG_RBX, REG_RCX, REG_RDX, REG_RSI, REG_RDI, REG_RSP, REG_RBP};

int vcpu_get_regs(struct object *o, void *arg)
{
	const struct cpu *cpu = &o->vcpu->cpu;
	struct kvm_regs *regs = arg;
	__u64 *r = &regs->rax;

	for (unsigned i = 0; i < 16; i++)
		r[i] = cpu->gpr[i < 8 ? order[i] : i];
	regs->rip = cpu->rip;
	regs->rflags = cpu_rflags(cpu);
	return 0;
}

/*
 * An access that user space is answering goes on if rip stays, as KVM has it; another rip abandons
 * it, and the exception that was about to be delivered.
 */
int vcpu_set_regs(struct object *o, void *arg)
{
	struct cpu *cpu = &o->vcpu->cpu;
	const struct kvm_regs *regs = arg;
	const __u64 *r = &regs->rax;

	for (unsigned i = 0; i < 16; i++)
		cpu->gpr[i < 8 ? order[i] : i] = r[i];
	if (regs->rip != cpu->rip)
		vcpu_abandon_io(o->vcpu);
	o->vcpu->inject.kind = FAULT_NONE;
	cpu->rip = regs->rip;
	cpu_rflags_set(cpu, regs->rflags);
	sys_mode_update(cpu);
	return 0;
}

/* -- segments -------------------------------------------------------------------------------------
 */

static struct kvm_segment get_segment(const struct segment *s)
{
	return (struct kvm_segment){
		.base = s->base,
		.limit = s->limit,
		.selector = s->selector,
		.type = s->attr & SEG_ATTR_TYPE,
		.s = !!(s->attr & SEG_ATTR_S),
		.dpl = (s->attr & SEG_ATTR_DPL) >> 5,
		.present = !s->unusable && s->attr & SEG_ATTR_P,
		.avl = !!(s->attr & SEG_ATTR_AVL),
		.l = !!(s->attr & SEG_ATTR_L),
		.db = !!(s->attr & SEG_ATTR_DB),
		.g = !!(s->attr & SEG_ATTR_G),
		.unusable = s->unusable,
	};
}

static struct segment put_segment(const struct kvm_segment *k)
{
	u32 attr = (k->type & 15) | (k->s & 1) << 4 | (k->dpl & 3) << 5 | (k->present & 1) << 7 |
		   (k->avl & 1) << 12 | (k->l & 1) << 13 | (k->db & 1) << 14 | (k->g & 1) << 15;

	return (struct segment){.base = k->base,
				.limit = k->limit,
				.selector = k->selector,
				.attr = (u16)attr,
				.unusable = k->unusable || !k->present};
}

/* The fields that struct kvm_sregs and struct kvm_sregs2 have in common, which is their beginning.
 */
static void get_common(struct vcpu *v, struct kvm_sregs2 *s)
{
	const struct cpu *cpu = &v->cpu;

	s->cs = get_segment(&cpu->seg[SEG_CS]);
	s->ds = get_segment(&cpu->seg[SEG_DS]);
	s->es = get_segment(&cpu->seg[SEG_ES]);
	s->fs = get_segment(&cpu->seg[SEG_FS]);
	s->gs = get_segment(&cpu->seg[SEG_GS]);
	s->ss = get_segment(&cpu->seg[SEG_SS]);
	s->tr = get_segment(&cpu->seg[SEG_TR]);
	s->ldt = get_segment(&cpu->seg[SEG_LDTR]);
	s->gdt = (struct kvm_dtable){.base = cpu->gdt.base, .limit = cpu->gdt.limit};
	s->idt = (struct kvm_dtable){.base = cpu->idt.base, .limit = cpu->idt.limit};
	s->cr0 = cpu->cr0;
	s->cr2 = cpu->cr2;
	s->cr3 = cpu->cr3;
	s->cr4 = cpu->cr4;
	s->cr8 = cpu->ops->tpr_read(&v->cpu);
	s->efer = cpu->efer;
	cpu->ops->msr_read(&v->cpu, MSR_APIC_BASE, (u64 *)&s->apic_base, true);
}

/* Before CPUID is set, whatever could be offered is allowed. */
static bool cr4_valid(struct object *o, u64 cr4)
{
	struct cpu *cpu = &o->vcpu->cpu;
	u32 features[NFEATURES];
	bool valid;

	if (cpu->ncpuid)
		return sys_cr4_valid(cpu, cr4);
	memcpy(features, cpu->features, sizeof(features));
	for (unsigned i = 0; i < NFEATURES; i++)
		cpu->features[i] = cpu_cpuid_offer((enum feature_word)i, o->params.nested);
	valid = sys_cr4_valid(cpu, cr4);
	memcpy(cpu->features, features, sizeof(features));
	return valid;
}

/* What cannot be together (SDM Vol. 3A 9.8.5), or is reserved. */
static bool sregs_valid(struct object *o, const struct kvm_sregs2 *s)
{
	struct cpu *cpu = &o->vcpu->cpu;
	bool lma = s->efer & EFER_LMA;

	if (s->efer & EFER_LME && s->cr0 & CR0_PG) {
		if (!(s->cr4 & CR4_PAE) || !lma || s->cr3 >> cpu->phys_bits)
			return false;
	} else if (lma || s->cs.l) {
		return false;
	}
	return sys_cr0_valid(cpu, s->cr0) && cr4_valid(o, s->cr4);
}

static void put_segments(struct cpu *cpu, const struct kvm_sregs2 *s)
{
	cpu->seg[SEG_CS] = put_segment(&s->cs);
	cpu->seg[SEG_DS] = put_segment(&s->ds);
	cpu->seg[SEG_ES] = put_segment(&s->es);
	cpu->seg[SEG_FS] = put_segment(&s->fs);
	cpu->seg[SEG_GS] = put_segment(&s->gs);
	cpu->seg[SEG_SS] = put_segment(&s->ss);
	cpu->seg[SEG_TR] = put_segment(&s->tr);
	cpu->seg[SEG_LDTR] = put_segment(&s->ldt);
	cpu->gdt = (struct dtable){.base = s->gdt.base, .limit = s->gdt.limit};
	cpu->idt = (struct dtable){.base = s->idt.base, .limit = s->idt.limit};
}

/* Old VMMs reset the boot processor by its registers and expect that to end a halt. */
static void unhalt_at_reset(struct vcpu *v)
{
	const struct segment *cs = &v->cpu.seg[SEG_CS];

	if (vcpu_is_bsp(v) && v->cpu.rip == 0xfff0 && cs->selector == 0xf000 &&
	    cs->base == 0xffff0000 && !cpu_protected(&v->cpu))
		vcpu_mp_state_set(v, KVM_MP_STATE_RUNNABLE);
}

static int put_common(struct object *o, const struct kvm_sregs2 *s)
{
	struct vcpu *v = o->vcpu;
	struct cpu *cpu = &v->cpu;

	if (!sregs_valid(o, s) || !cpu->ops->msr_write(cpu, MSR_APIC_BASE, s->apic_base, true))
		return -EINVAL;
	put_segments(cpu, s);
	cpu->cr0 = s->cr0 | CR0_ET;
	cpu->cr2 = s->cr2;
	cpu->cr3 = s->cr3;
	cpu->cr4 = s->cr4;
	cpu->efer = s->efer;
	if (v->lapic)
		lapic_set_cr8(v->lapic, s->cr8 & 15);
	else
		v->cr8 = v->run->cr8 = s->cr8 & 15;
	mmu_mode_changed(cpu);
	mmu_flush_all(cpu);
	sys_mode_update(cpu);
	unhalt_at_reset(v);
	return 0;
}

static bool pae_paging(const struct cpu *cpu)
{
	return cpu->cr0 & CR0_PG && cpu->cr4 & CR4_PAE && !(cpu->efer & EFER_LMA);
}

int vcpu_get_sregs(struct object *o, void *arg)
{
	struct kvm_sregs *s = arg;
	struct kvm_sregs2 s2;

	get_common(o->vcpu, &s2);
	memcpy(s, &s2, offsetof(struct kvm_sregs, interrupt_bitmap));
	memset(s->interrupt_bitmap, 0, sizeof(s->interrupt_bitmap));
	if (o->vcpu->user_irq >= 0)
		s->interrupt_bitmap[o->vcpu->user_irq / 64] |= BIT(o->vcpu->user_irq % 64);
	return 0;
}

/* The highest vector in the bitmap, or -1. */
static int pending_vector(const struct kvm_sregs *s)
{
	for (int i = 3; i >= 0; i--)
		if (s->interrupt_bitmap[i])
			return i * 64 + 63 - __builtin_clzll(s->interrupt_bitmap[i]);
	return -1;
}

int vcpu_set_sregs(struct object *o, void *arg)
{
	const struct kvm_sregs *s = arg;
	struct vcpu *v = o->vcpu;
	struct kvm_sregs2 s2 = {0};
	int r;

	memcpy(&s2, s, offsetof(struct kvm_sregs, interrupt_bitmap));
	r = put_common(o, &s2);
	if (r)
		return r;
	if (pae_paging(&v->cpu))
		mmu_load_pdptes(&v->cpu, v->cpu.cr3);
	v->user_irq = pending_vector(s);
	return 0;
}

int vcpu_get_sregs2(struct object *o, void *arg)
{
	struct kvm_sregs2 *s = arg;

	memset(s, 0, sizeof(*s));
	get_common(o->vcpu, s);
	if (!pae_paging(&o->vcpu->cpu))
		return 0;
	memcpy(s->pdptrs, o->vcpu->cpu.pdpte, sizeof(s->pdptrs));
	s->flags |= KVM_SREGS2_FLAGS_PDPTRS_VALID;
	return 0;
}

int vcpu_set_sregs2(struct object *o, void *arg)
{
	const struct kvm_sregs2 *s = arg;
	struct vcpu *v = o->vcpu;
	bool pdptrs = s->flags & KVM_SREGS2_FLAGS_PDPTRS_VALID;
	bool pae = s->cr0 & CR0_PG && s->cr4 & CR4_PAE && !(s->efer & EFER_LMA);
	int r;

	if (s->flags & ~(u64)KVM_SREGS2_FLAGS_PDPTRS_VALID || (pdptrs && !pae))
		return -EINVAL;
	r = put_common(o, s);
	if (!r && pdptrs)
		memcpy(v->cpu.pdpte, s->pdptrs, sizeof(s->pdptrs));
	else if (!r && pae)
		mmu_load_pdptes(&v->cpu, v->cpu.cr3);
	return r;
}

/* -- debug registers ------------------------------------------------------------------------------
 */

/* The guest's, wherever they are while a debugger has its own in force. */
static u64 *guest_dr(struct vcpu *v)
{
	return v->debug_hw ? v->guest_dr : v->cpu.dr;
}

int vcpu_get_debugregs(struct object *o, void *arg)
{
	const u64 *dr = guest_dr(o->vcpu);
	struct kvm_debugregs *d = arg;

	memset(d, 0, sizeof(*d));
	memcpy(d->db, dr, sizeof(d->db));
	d->dr6 = dr[6];
	d->dr7 = dr[7];
	return 0;
}

int vcpu_set_debugregs(struct object *o, void *arg)
{
	struct cpu *cpu = &o->vcpu->cpu;
	const struct kvm_debugregs *d = arg;
	u64 *dr = guest_dr(o->vcpu);

	if (d->flags || d->dr6 >> 32 || d->dr7 >> 32)
		return -EINVAL;
	memcpy(dr, d->db, sizeof(d->db));
	dr[6] = d->dr6 | DR6_FIXED;
	dr[7] = d->dr7 | DR7_FIXED;
	mmu_flush_all(cpu); /* entries of pages with breakpoints */
	cpu_event_set(cpu, EVENT_STEP);
	return 0;
}

int vcpu_translate(struct object *o, void *arg)
{
	struct kvm_translation *t = arg;
	bool writable = true, user = false;
	u64 gpa = 0;

	t->valid = mmu_translate(&o->vcpu->cpu, t->linear_address, &gpa, &writable, &user);
	t->physical_address = t->valid ? gpa : ~0ull;
	t->writeable = 1;
	t->usermode = 0;
	return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Checks on the guest-state area (SDM Vol. 3C 26.3.1). Any failure is a VM exit with reason 33. */
#include "mem/mem.h"
#include "mmu/mmu.h"
#include "virt/vmx.h"

/* Exit qualifications of a failed entry (26.8). */
#define QUAL_PDPTE	  2
#define QUAL_LINK_POINTER 4

/* -- 26.3.1.1: control registers, debug registers, MSRs -------------------------------------------
 */

/* 23.8: an unrestricted guest may clear PE and PG. CD and NW are free. */
bool vmx_guest_cr0_ok(const struct cpu *cpu, u64 cr0)
{
	const struct vmx *vmx = cpu->vmx;
	u64 fixed0 = CAP(&vmx->caps, CR0_FIXED0);

	if (vmx_unrestricted(vmx))
		fixed0 &= ~(CR0_PE | CR0_PG);
	return vmx_fixed_ok(cr0, fixed0, CAP(&vmx->caps, CR0_FIXED1));
}

bool vmx_guest_cr4_ok(const struct cpu *cpu, u64 cr4)
{
	return vmx_fixed_ok(cr4, CAP(&cpu->vmx->caps, CR4_FIXED0), vmx_cr4_fixed1(cpu));
}

static bool crs_ok(const struct cpu *cpu)
{
	const struct vmcs12 *v = &cpu->vmx->vmcs;
	bool ia32e = cpu->vmx->ctls.entry & ENTRY_IA32E;

	if (!vmx_guest_cr0_ok(cpu, v->guest_cr0) || !vmx_guest_cr4_ok(cpu, v->guest_cr4))
		return false;
	if ((v->guest_cr0 & (CR0_PG | CR0_PE)) == CR0_PG)
		return false;
	if (ia32e && !(v->guest_cr0 & CR0_PG && v->guest_cr4 & CR4_PAE))
		return false;
	if (!ia32e && v->guest_cr4 & CR4_PCIDE)
		return false;
	return mmu_phys_valid(cpu, v->guest_cr3);
}

static bool debug_ok(const struct vmx *vmx)
{
	const struct vmcs12 *v = &vmx->vmcs;

	if (!(vmx->ctls.entry & ENTRY_LOAD_DEBUG))
		return true;
	/* IA32_DEBUGCTL: only LBR and BTF, and what freezes in SMM, have no reserved meaning here.
	 */
	return !(v->guest_dr7 >> 32) && !(v->guest_debugctl & ~(3ull | BIT(14)));
}

static bool efer_ok(const struct cpu *cpu)
{
	const struct vmx *vmx = cpu->vmx;
	const struct vmcs12 *v = &vmx->vmcs;
	bool ia32e = vmx->ctls.entry & ENTRY_IA32E;

	if (!(vmx->ctls.entry & ENTRY_LOAD_EFER))
		return true;
	if (!sys_efer_valid(cpu, v->guest_efer) || !!(v->guest_efer & EFER_LMA) != ia32e)
		return false;
	return !(v->guest_cr0 & CR0_PG) || !!(v->guest_efer & EFER_LME) == ia32e;
}

static bool msrs_ok(const struct cpu *cpu)
{
	const struct vmx *vmx = cpu->vmx;
	const struct vmcs12 *v = &vmx->vmcs;

	if (!cpu_canonical(cpu, v->guest_sysenter_esp) ||
	    !cpu_canonical(cpu, v->guest_sysenter_eip))
		return false;
	if (vmx->ctls.entry & ENTRY_LOAD_PAT && !vmx_pat_ok(v->guest_pat))
		return false;
	return efer_ok(cpu);
}

/* -- 26.3.1.2: segment registers
 * ------------------------------------------------------------------- */

/* The VMCS's idea of a segment register, under the name that the checks use. */
struct seg_check {
	u16 selector;
	u64 base;
	u32 limit, ar;
	unsigned type, dpl;
	bool usable;
};

static struct seg_check seg_of(const struct vmcs12 *v, unsigned seg)
{
	u32 ar = v->guest_ar[seg];

	return (struct seg_check){.selector = v->guest_selector[seg],
				  .base = v->guest_base[seg],
				  .limit = v->guest_limit[seg],
				  .ar = ar,
				  .type = ar & 15,
				  .dpl = (unsigned)bits(ar, 6, 5),
				  .usable = !(ar & AR_UNUSABLE)};
}

/* Virtual-8086 mode: all six are fixed. */
static bool v86_segment_ok(const struct seg_check *s)
{
	return s->base == (u64)s->selector << 4 && s->limit == 0xffff && s->ar == 0xf3;
}

/* G says how the limit came about: if clear, bits 31:20 are 0; if set, bits 11:0 are 1. */
static bool granularity_ok(const struct seg_check *s)
{
	if (s->limit & 0xfff00000 && !(s->ar & SEG_ATTR_G))
		return false;
	return (s->limit & 0xfff) == 0xfff || !(s->ar & SEG_ATTR_G);
}

/* P set, bits 11:8 and 31:17 clear, granularity. */
static bool rights_ok(const struct seg_check *s)
{
	return s->ar & SEG_ATTR_P && !(s->ar & (MASK(11, 8) | MASK(31, 17))) && granularity_ok(s);
}

static bool cs_ok(const struct vmx *vmx, const struct seg_check *cs, const struct seg_check *ss)
{
	if (!cs->usable || !(cs->ar & SEG_ATTR_S) || !rights_ok(cs) || cs->base >> 32)
		return false;
	if (vmx->ctls.entry & ENTRY_IA32E && cs->ar & SEG_ATTR_L && cs->ar & SEG_ATTR_DB)
		return false;
	switch (cs->type) {
	case 3: /* an unrestricted guest in real mode */
		return vmx_unrestricted(vmx) && cs->dpl == 0;
	case 9:
	case 11:
		return cs->dpl == ss->dpl;
	case 13:
	case 15:
		return cs->dpl <= ss->dpl;
	}
	return false;
}

static bool ss_ok(const struct vmx *vmx, const struct seg_check *ss, const struct seg_check *cs)
{
	bool real = !(vmx->vmcs.guest_cr0 & CR0_PE);

	if (!vmx_unrestricted(vmx) && ss->dpl != (ss->selector & 3u))
		return false;
	if ((cs->type == 3 || real) && ss->dpl != 0)
		return false;
	if (!ss->usable)
		return true;
	if (!vmx_unrestricted(vmx) && (ss->selector & 3u) != (cs->selector & 3u))
		return false;
	return (ss->type == 3 || ss->type == 7) && ss->ar & SEG_ATTR_S && rights_ok(ss) &&
	       !(ss->base >> 32);
}

/* ES, DS, FS, GS. */
static bool data_segment_ok(const struct vmx *vmx, const struct seg_check *s)
{
	if (!s->usable)
		return true;
	if (!(s->type & 1) || (s->type & 8 && !(s->type & 2)) || !(s->ar & SEG_ATTR_S))
		return false;
	/* Data and non-conforming code: not more privileged than the selector asks for. */
	if (!vmx_unrestricted(vmx) && s->type <= 11 && s->dpl < (s->selector & 3u))
		return false;
	return rights_ok(s);
}

static bool data_segments_ok(const struct cpu *cpu)
{
	const struct vmcs12 *v = &cpu->vmx->vmcs;
	static const u8 segs[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};

	for (unsigned i = 0; i < ARRAY_SIZE(segs); i++) {
		struct seg_check s = seg_of(v, segs[i]);
		bool wide = segs[i] == SEG_FS || segs[i] == SEG_GS;

		if (!data_segment_ok(cpu->vmx, &s))
			return false;
		if (wide ? !cpu_canonical(cpu, s.base) : s.usable && s.base >> 32)
			return false;
	}
	return true;
}

static bool tr_ok(const struct cpu *cpu)
{
	struct seg_check tr = seg_of(&cpu->vmx->vmcs, SEG_TR);
	bool ia32e = cpu->vmx->ctls.entry & ENTRY_IA32E;

	if (!tr.usable || tr.selector & 4 || tr.ar & SEG_ATTR_S || !rights_ok(&tr))
		return false;
	if (tr.type != 11 && (ia32e || tr.type != 3))
		return false;
	return cpu_canonical(cpu, tr.base);
}

static bool ldtr_ok(const struct cpu *cpu)
{
	struct seg_check ldtr = seg_of(&cpu->vmx->vmcs, SEG_LDTR);

	if (!ldtr.usable)
		return true;
	return !(ldtr.selector & 4) && ldtr.type == 2 && !(ldtr.ar & SEG_ATTR_S) &&
	       rights_ok(&ldtr) && cpu_canonical(cpu, ldtr.base);
}

static bool segments_ok(const struct cpu *cpu)
{
	const struct vmcs12 *v = &cpu->vmx->vmcs;
	struct seg_check cs = seg_of(v, SEG_CS), ss = seg_of(v, SEG_SS);

	if (!tr_ok(cpu) || !ldtr_ok(cpu))
		return false;
	if (v->guest_rflags & RFLAGS_VM) {
		for (unsigned seg = SEG_ES; seg <= SEG_GS; seg++) {
			struct seg_check s = seg_of(v, seg);

			if (!v86_segment_ok(&s))
				return false;
		}
		return true;
	}
	return cs_ok(cpu->vmx, &cs, &ss) && ss_ok(cpu->vmx, &ss, &cs) && data_segments_ok(cpu);
}

/* -- 26.3.1.3: descriptor-table registers
 * ---------------------------------------------------------- */

static bool tables_ok(const struct cpu *cpu)
{
	const struct vmcs12 *v = &cpu->vmx->vmcs;

	return cpu_canonical(cpu, v->guest_gdtr_base) && cpu_canonical(cpu, v->guest_idtr_base) &&
	       !(v->guest_gdtr_limit >> 16) && !(v->guest_idtr_limit >> 16);
}

/* -- 26.3.1.4: RIP and RFLAGS
 * ---------------------------------------------------------------------- */

bool vmx_check_guest_rip(const struct cpu *cpu)
{
	const struct vmx *vmx = cpu->vmx;
	const struct vmcs12 *v = &vmx->vmcs;
	bool ia32e = vmx->ctls.entry & ENTRY_IA32E;
	u64 rsvd = MASK(63, 22) | BIT(15) | BIT(5) | BIT(3);

	if (!(ia32e && v->guest_ar[SEG_CS] & SEG_ATTR_L) ? v->guest_rip >> 32 != 0
							 : !cpu_canonical(cpu, v->guest_rip))
		return false;
	if (v->guest_rflags & rsvd || !(v->guest_rflags & RFLAGS_FIXED))
		return false;
	if (v->guest_rflags & RFLAGS_VM && (ia32e || !(v->guest_cr0 & CR0_PE)))
		return false;
	/* An injected external interrupt needs IF. */
	return v->guest_rflags & RFLAGS_IF || !(v->entry_intr_info & INTR_VALID) ||
	       INTR_TYPE(v->entry_intr_info) != EVENT_EXTERNAL;
}

/* -- 26.3.1.5: non-register state
 * ------------------------------------------------------------------- */

static bool activity_ok(const struct vmx *vmx)
{
	const struct vmcs12 *v = &vmx->vmcs;
	u32 info = v->entry_intr_info;

	if (v->guest_activity == GUEST_ACTIVE)
		return true;
	/* Of the others only HLT is offered: at CPL 0, without shadow, and with what can end it. */
	if (v->guest_activity != GUEST_HLT || bits(v->guest_ar[SEG_SS], 6, 5))
		return false;
	if (v->guest_interruptibility & (GUEST_BLOCK_STI | GUEST_BLOCK_MOV_SS))
		return false;
	if (!(info & INTR_VALID))
		return true;
	switch (INTR_TYPE(info)) {
	case EVENT_EXTERNAL:
	case EVENT_TYPE_NMI:
		return true;
	case EVENT_HARD_EXCEPTION:
		return (u8)info == VEC_DB || (u8)info == VEC_MC;
	case EVENT_OTHER:
		return (u8)info == 0;
	default:
		return false;
	}
}

static bool interruptibility_ok(const struct vmx *vmx)
{
	const struct vmcs12 *v = &vmx->vmcs;
	u32 intr = v->guest_interruptibility, info = v->entry_intr_info;
	u32 shadow = intr & (GUEST_BLOCK_STI | GUEST_BLOCK_MOV_SS);

	if (intr >> 4 || shadow == (GUEST_BLOCK_STI | GUEST_BLOCK_MOV_SS))
		return false;
	if (intr & GUEST_BLOCK_STI && !(v->guest_rflags & RFLAGS_IF))
		return false;
	if (intr & GUEST_BLOCK_SMI) /* only in SMM */
		return false;
	if (!(info & INTR_VALID))
		return true;
	if (INTR_TYPE(info) == EVENT_EXTERNAL)
		return !shadow;
	if (INTR_TYPE(info) != EVENT_TYPE_NMI)
		return true;
	/* A processor may or may not want STI clear for an NMI; this one does not. */
	return !(intr & GUEST_BLOCK_MOV_SS) &&
	       !(vmx->ctls.pin & PIN_VNMI && intr & GUEST_BLOCK_NMI);
}

static bool pending_debug_ok(const struct vmcs12 *v)
{
	u64 pending = v->guest_pending_dbg;
	bool tf = v->guest_rflags & RFLAGS_TF && !(v->guest_debugctl & BIT(1));

	if (pending & ~(MASK(3, 0) | PENDING_DBG_ENABLED | PENDING_DBG_BS))
		return false;
	if (!(v->guest_interruptibility & (GUEST_BLOCK_STI | GUEST_BLOCK_MOV_SS)) &&
	    v->guest_activity != GUEST_HLT)
		return true;
	return !!(pending & PENDING_DBG_BS) == tf;
}

/* The link pointer is ~0: there are no shadow VMCSs. */
static bool link_pointer_ok(const struct cpu *cpu)
{
	const struct vmx *vmx = cpu->vmx;
	u64 link = vmx->vmcs.link_pointer;
	u32 revision;

	if (link == NO_VMCS)
		return true;
	if (!vmx_page_valid(cpu, link) || link == vmx->current)
		return false;
	return !mem_read(cpu->mem, link, &revision, 4) && revision == VMCS12_REVISION;
}

bool vmx_check_guest_nonreg(const struct cpu *cpu)
{
	const struct vmx *vmx = cpu->vmx;

	return activity_ok(vmx) && interruptibility_ok(vmx) && pending_debug_ok(&vmx->vmcs);
}

/* -- 26.3.1.6: PDPTEs
 * -------------------------------------------------------------------------------- */

/* With EPT they come from the VMCS; without, they are checked where they are loaded. */
static bool pdptes_ok(const struct cpu *cpu)
{
	const struct vmx *vmx = cpu->vmx;
	const struct vmcs12 *v = &vmx->vmcs;
	u64 rsvd = MASK(2, 1) | MASK(8, 5) | MASK(63, cpu->phys_bits);

	if (!vmx_has_ept(vmx) || vmx->ctls.entry & ENTRY_IA32E || !(v->guest_cr0 & CR0_PG) ||
	    !(v->guest_cr4 & CR4_PAE))
		return true;
	for (unsigned i = 0; i < 4; i++)
		if (v->guest_pdpte[i] & 1 && v->guest_pdpte[i] & rsvd)
			return false;
	return true;
}

bool vmx_check_guest(const struct cpu *cpu, u64 *qual)
{
	*qual = 0;
	if (!crs_ok(cpu) || !debug_ok(cpu->vmx) || !msrs_ok(cpu) || !segments_ok(cpu) ||
	    !tables_ok(cpu))
		return false;
	*qual = QUAL_LINK_POINTER;
	if (!link_pointer_ok(cpu))
		return false;
	*qual = QUAL_PDPTE;
	if (!pdptes_ok(cpu))
		return false;
	*qual = 0;
	return true;
}

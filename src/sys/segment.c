/* SPDX-License-Identifier: BSD-2-Clause */
/* Loading and inspecting segment registers (SDM Vol. 3A chapters 3 and 5, Vol. 2 MOV, LLDT, LTR,
 * LAR). */
#include "sys/sys_impl.h"

#define ATTR_DATA_RW (SEG_ATTR_P | SEG_ATTR_S | TYPE_WRITABLE | TYPE_ACCESSED)
#define ATTR_V86     (ATTR_DATA_RW | SEG_ATTR_DPL)

struct segment sys_null_segment(u16 selector, unsigned dpl)
{
	return (struct segment){.selector = selector, .attr = (u16)(dpl << 5), .unusable = true};
}

/* Limit and rights stay in real mode ("unreal mode" lives on that), except for what cannot be used.
 */
void sys_segment_load_real(struct cpu *cpu, unsigned seg, u16 selector)
{
	struct segment *s = &cpu->seg[seg];

	s->selector = selector;
	s->base = (u64)selector << 4;
	if (cpu_v86(cpu)) {
		s->limit = 0xffff;
		s->attr = ATTR_V86;
	} else if (s->unusable || !(s->attr & SEG_ATTR_P)) {
		s->limit = 0xffff;
		s->attr = ATTR_DATA_RW;
	}
	s->unusable = false;
}

/* -- stack segment ----------------------------------------------------------------------------- */

enum outcome sys_stack_segment(struct cpu *cpu, u16 selector, unsigned cpl, u8 vector, u16 ext,
			       struct segment *ss)
{
	struct desc d;
	enum outcome o;

	if (sel_null(selector))
		return cpu_fault_code(cpu, vector, ext);
	o = sys_desc_read(cpu, selector, vector, ext, &d);
	if (o)
		return o;
	if (sel_rpl(selector) != cpl || !desc_writable(&d) || desc_dpl(&d) != cpl)
		return sys_fault_sel(cpu, vector, selector, ext);
	if (!desc_present(&d))
		return sys_fault_sel(cpu, VEC_SS, selector, ext);
	o = sys_desc_access(cpu, &d);
	*ss = desc_segment(&d);
	return o;
}

static enum outcome load_ss(struct cpu *cpu, u16 selector)
{
	struct segment ss;
	enum outcome o;

	/* In 64-bit mode below level 3 a null SS is fine. */
	if (sel_null(selector) && cpu->mode == CODE_64 && cpu->cpl < 3 &&
	    sel_rpl(selector) == cpu->cpl) {
		cpu->seg[SEG_SS] = sys_null_segment(selector, cpu->cpl);
		return OUTCOME_OK;
	}
	o = sys_stack_segment(cpu, selector, cpu->cpl, VEC_GP, 0, &ss);
	if (!o)
		cpu->seg[SEG_SS] = ss;
	return o;
}

/* -- data segments ----------------------------------------------------------------------------- */

static bool data_readable(const struct desc *d)
{
	return !desc_is_system(d) && (!desc_is_code(d) || desc_type(d) & TYPE_READABLE);
}

static enum outcome load_data(struct cpu *cpu, unsigned seg, u16 selector)
{
	struct desc d;
	enum outcome o;

	if (sel_null(selector)) {
		cpu->seg[seg] = sys_null_segment(selector, 0);
		return OUTCOME_OK;
	}
	o = sys_desc_read(cpu, selector, VEC_GP, 0, &d);
	if (o)
		return o;
	if (!data_readable(&d) ||
	    (!desc_conforming(&d) && MAX(sel_rpl(selector), cpu->cpl) > desc_dpl(&d)))
		return sys_fault_sel(cpu, VEC_GP, selector, 0);
	if (!desc_present(&d))
		return sys_fault_sel(cpu, VEC_NP, selector, 0);
	o = sys_desc_access(cpu, &d);
	if (!o)
		cpu->seg[seg] = desc_segment(&d);
	return o;
}

enum outcome sys_segment_load(struct cpu *cpu, unsigned seg, u16 selector)
{
	if (sys_real_or_v86(cpu)) {
		sys_segment_load_real(cpu, seg, selector);
		return OUTCOME_OK;
	}
	return seg == SEG_SS ? load_ss(cpu, selector) : load_data(cpu, seg, selector);
}

void sys_segments_lower(struct cpu *cpu)
{
	static const u8 segs[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};

	for (unsigned n = 0; n < ARRAY_SIZE(segs); n++) {
		struct segment *s = &cpu->seg[segs[n]];
		bool conforming =
			(s->attr & (TYPE_CODE | TYPE_CONFORMING)) == (TYPE_CODE | TYPE_CONFORMING);

		if (!s->unusable && !conforming && (s->attr >> 5 & 3) < cpu->cpl) {
			s->selector = 0; /* the base stays: a hypervisor may have set it so */
			s->unusable = true;
		}
	}
}

/* -- LDTR and TR ------------------------------------------------------------------------------- */

static struct segment system_segment(const struct cpu *cpu, const struct desc *d)
{
	return (struct segment){.selector = d->selector,
				.base = desc_system_base(cpu, d),
				.limit = desc_limit(d),
				.attr = desc_attr(d)};
}

enum outcome sys_lldt(struct cpu *cpu, u16 selector)
{
	struct desc d;
	enum outcome o;

	if (sel_null(selector)) {
		cpu->seg[SEG_LDTR] = sys_null_segment(selector, 0);
		return OUTCOME_OK;
	}
	if (selector & SEL_TI)
		return sys_fault_sel(cpu, VEC_GP, selector, 0);
	o = sys_desc_read_system(cpu, selector, VEC_GP, 0, &d);
	if (o)
		return o;
	if (!desc_is_system(&d) || desc_type(&d) != DESC_LDT)
		return sys_fault_sel(cpu, VEC_GP, selector, 0);
	if (!desc_present(&d))
		return sys_fault_sel(cpu, VEC_NP, selector, 0);
	if (!cpu_canonical(cpu, desc_system_base(cpu, &d)))
		return sys_fault_sel(cpu, VEC_GP, selector, 0);
	cpu->seg[SEG_LDTR] = system_segment(cpu, &d);
	return OUTCOME_OK;
}

static bool tss_available(const struct cpu *cpu, const struct desc *d)
{
	if (!desc_is_system(d))
		return false;
	return desc_type(d) == DESC_TSS32 || (!cpu_long_mode(cpu) && desc_type(d) == DESC_TSS16);
}

enum outcome sys_ltr(struct cpu *cpu, u16 selector)
{
	struct desc d;
	enum outcome o;

	if (sel_null(selector))
		return cpu_fault_code(cpu, VEC_GP, 0);
	if (selector & SEL_TI)
		return sys_fault_sel(cpu, VEC_GP, selector, 0);
	o = sys_desc_read_system(cpu, selector, VEC_GP, 0, &d);
	if (o)
		return o;
	if (!tss_available(cpu, &d))
		return sys_fault_sel(cpu, VEC_GP, selector, 0);
	if (!desc_present(&d))
		return sys_fault_sel(cpu, VEC_NP, selector, 0);
	if (!cpu_canonical(cpu, desc_system_base(cpu, &d)))
		return sys_fault_sel(cpu, VEC_GP, selector, 0);
	o = sys_desc_busy(cpu, &d, true);
	if (o)
		return o;
	cpu->seg[SEG_TR] = system_segment(cpu, &d);
	cpu->seg[SEG_TR].attr |= TYPE_BUSY;
	return OUTCOME_OK;
}

/* -- LAR, LSL, VERR, VERW ---------------------------------------------------------------------- */

/* System descriptor types that LAR and LSL know (SDM Vol. 2A tables 3-53 and 3-55), a bit each. */
#define LAR_LEGACY                                                                                 \
	0x1a3e		  /* TSS16, LDT, TSS16 busy, CALL16, task gate, TSS32, TSS32 busy, CALL32  \
			   */
#define LAR_LONG   0x1a04 /* LDT, TSS64, TSS64 busy, CALL64 */
#define LSL_LEGACY 0x0a0e
#define LSL_LONG   0x0a04

/*
 * Reads the descriptor for an instruction that only looks: anything wrong with the selector clears
 * *ok instead of faulting.
 */
static enum outcome look_up(struct cpu *cpu, u16 selector, bool *ok, struct desc *d)
{
	enum outcome o;

	*ok = false;
	if (sel_null(selector))
		return OUTCOME_OK;
	o = sys_desc_read_system(cpu, selector, VEC_GP, 0, d);
	*ok = !o;
	/* #GP here means "outside the table"; a page fault or vmexit on the way is real. */
	if (o == OUTCOME_FAULT && cpu->fault.kind == FAULT_EXCEPTION && cpu->fault.vector == VEC_GP)
		return OUTCOME_OK;
	return o;
}

static bool visible(const struct cpu *cpu, const struct desc *d)
{
	return desc_conforming(d) || MAX(sel_rpl(d->selector), cpu->cpl) <= desc_dpl(d);
}

static bool type_known(const struct cpu *cpu, const struct desc *d, u32 legacy, u32 in_long)
{
	u32 known = cpu_long_mode(cpu) ? in_long : legacy;

	return !desc_is_system(d) || known >> desc_type(d) & 1;
}

enum outcome sys_lar(struct cpu *cpu, u16 selector, bool *ok, u32 *value)
{
	struct desc d;
	enum outcome o = look_up(cpu, selector, ok, &d);

	if (o || !*ok)
		return o;
	*ok = type_known(cpu, &d, LAR_LEGACY, LAR_LONG) && visible(cpu, &d);
	if (*ok)
		*value = (u32)(d.lo >> 32) & 0x00f0ff00;
	return OUTCOME_OK;
}

enum outcome sys_lsl(struct cpu *cpu, u16 selector, bool *ok, u32 *value)
{
	struct desc d;
	enum outcome o = look_up(cpu, selector, ok, &d);

	if (o || !*ok)
		return o;
	*ok = type_known(cpu, &d, LSL_LEGACY, LSL_LONG) && visible(cpu, &d);
	if (*ok)
		*value = desc_limit(&d);
	return OUTCOME_OK;
}

enum outcome sys_verify(struct cpu *cpu, u16 selector, bool write, bool *ok)
{
	struct desc d;
	enum outcome o = look_up(cpu, selector, ok, &d);

	if (o || !*ok)
		return o;
	*ok = (write ? desc_writable(&d) : data_readable(&d)) && visible(cpu, &d);
	return OUTCOME_OK;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptors in memory, and stacks that are not, or not yet, the CPU's own. */
#include "sys/sys_impl.h"

enum outcome sys_fault_sel(struct cpu *cpu, u8 vector, u16 selector, u16 ext)
{
	return cpu_fault_code(cpu, vector, (selector & ~SEL_RPL) | ext);
}

enum outcome sys_read(struct cpu *cpu, u64 gva, void *dst, unsigned size)
{
	const void *p = mmu_probe_system(cpu, gva, size, false);

	if (unlikely(!p))
		return mmu_read(cpu, gva, dst, size, MMU_READ | MMU_SYSTEM);
	memcpy(dst, p, size);
	return OUTCOME_OK;
}

enum outcome sys_write(struct cpu *cpu, u64 gva, const void *src, unsigned size)
{
	void *p = mmu_probe_system(cpu, gva, size, true);

	if (unlikely(!p))
		return mmu_write(cpu, gva, src, size, MMU_WRITE | MMU_SYSTEM);
	memcpy(p, src, size);
	return OUTCOME_OK;
}

/* -- descriptors ------------------------------------------------------------------------------- */

/* Linear addresses have 32 bits outside IA-32e mode. */
static u64 table_address(const struct cpu *cpu, u64 base, u32 offset)
{
	return cpu_long_mode(cpu) ? base + offset : (u32)(base + offset);
}

/* Where `size` bytes of a descriptor lie; false: not in the table. */
static bool desc_locate(const struct cpu *cpu, u16 selector, unsigned size, u64 *gva)
{
	const struct segment *ldt = &cpu->seg[SEG_LDTR];
	u32 offset = selector & 0xfff8, limit = cpu->gdt.limit;
	u64 base = cpu->gdt.base;

	if (selector & SEL_TI) {
		if (ldt->unusable)
			return false;
		base = ldt->base;
		limit = ldt->limit;
	}
	*gva = table_address(cpu, base, offset);
	return (u64)offset + size - 1 <= limit;
}

enum outcome sys_desc_read(struct cpu *cpu, u16 selector, u8 vector, u16 ext, struct desc *d)
{
	d->selector = selector;
	d->hi = 0;
	if (!desc_locate(cpu, selector, 8, &d->gva))
		return sys_fault_sel(cpu, vector, selector, ext);
	return sys_read(cpu, d->gva, &d->lo, 8);
}

enum outcome sys_desc_read_system(struct cpu *cpu, u16 selector, u8 vector, u16 ext, struct desc *d)
{
	enum outcome o = sys_desc_read(cpu, selector, vector, ext, d);
	u64 gva;

	if (o || !cpu_long_mode(cpu) || !desc_is_system(d))
		return o;
	if (!desc_locate(cpu, selector, 16, &gva))
		return sys_fault_sel(cpu, vector, selector, ext);
	o = sys_read(cpu, d->gva + 8, &d->hi, 8);
	/* The upper type field must be 0 (SDM Vol. 3A 7.2.3). */
	if (!o && bits(d->hi, 44, 40))
		return sys_fault_sel(cpu, vector, selector, ext);
	return o;
}

/* Sets and clears bits of byte 5, with the bus lock that the CPU would take. */
static enum outcome type_byte(struct cpu *cpu, const struct desc *d, u8 set, u8 clear)
{
	u8 value = (u8)(d->lo >> 40);
	void *p;
	enum outcome o = mmu_ptr(cpu, d->gva + 5, 1, MMU_WRITE | MMU_SYSTEM, &p);

	if (o)
		return o;
	if (p) {
		__atomic_or_fetch((u8 *)p, set, __ATOMIC_SEQ_CST);
		__atomic_and_fetch((u8 *)p, (u8)~clear, __ATOMIC_SEQ_CST);
		return OUTCOME_OK;
	}
	value = (u8)((value | set) & ~clear);
	return mmu_write(cpu, d->gva + 5, &value, 1, MMU_WRITE | MMU_SYSTEM);
}

enum outcome sys_desc_access(struct cpu *cpu, const struct desc *d)
{
	if (likely(desc_type(d) & TYPE_ACCESSED))
		return OUTCOME_OK;
	return type_byte(cpu, d, TYPE_ACCESSED, 0);
}

enum outcome sys_desc_busy(struct cpu *cpu, const struct desc *d, bool busy)
{
	return busy ? type_byte(cpu, d, TYPE_BUSY, 0) : type_byte(cpu, d, 0, TYPE_BUSY);
}

/* -- stacks ------------------------------------------------------------------------------------ */

static u64 stack_mask(const struct segment *ss, bool flat)
{
	return flat ? ~0ull : ss->attr & SEG_ATTR_DB ? 0xffffffffull : 0xffffull;
}

void sys_stack_current(const struct cpu *cpu, struct sys_stack *s)
{
	s->ss = cpu->seg[SEG_SS];
	s->sp = cpu->gpr[REG_RSP];
	s->flat = cpu->mode == CODE_64;
	s->mask = stack_mask(&s->ss, s->flat);
	s->inner = false;
	s->error = 0;
}

void sys_stack_new(const struct cpu *cpu, struct sys_stack *s, const struct segment *ss, u64 sp,
		   bool flat, unsigned target_cpl, u16 error)
{
	s->ss = *ss;
	s->sp = sp;
	s->flat = flat;
	s->mask = stack_mask(ss, flat);
	s->inner = cpu->cpl == 3 && target_cpl != 3;
	s->error = error;
}

static bool limit_holds(const struct segment *ss, u64 offset, unsigned size)
{
	u64 last = offset + size - 1, top = ss->attr & SEG_ATTR_DB ? 0xffffffff : 0xffff;

	if ((ss->attr & (TYPE_CODE | TYPE_DOWN)) == TYPE_DOWN)
		return offset > ss->limit && last <= top;
	return last <= ss->limit;
}

static enum outcome stack_linear(struct cpu *cpu, const struct sys_stack *s, unsigned size,
				 u64 *gva)
{
	u64 offset = s->sp & s->mask;

	if (s->flat) {
		*gva = offset;
		if (cpu_canonical(cpu, offset) && cpu_canonical(cpu, offset + size - 1))
			return OUTCOME_OK;
	} else {
		*gva = (u32)(s->ss.base + offset);
		if (limit_holds(&s->ss, offset, size))
			return OUTCOME_OK;
	}
	return cpu_fault_code(cpu, VEC_SS, s->error);
}

static void stack_move(struct sys_stack *s, s64 by)
{
	s->sp = (s->sp & ~s->mask) | ((s->sp + (u64)by) & s->mask);
}

enum outcome sys_stack_push(struct cpu *cpu, struct sys_stack *s, u64 value, unsigned size)
{
	enum outcome o;
	u64 gva;
	void *p;

	stack_move(s, -(s64)size);
	o = stack_linear(cpu, s, size, &gva);
	if (o)
		return o;
	if (s->inner)
		return sys_write(cpu, gva, &value, size);
	p = mmu_probe_write(cpu, gva, size);
	if (unlikely(!p))
		return mmu_write(cpu, gva, &value, size, MMU_WRITE);
	memcpy(p, &value, size);
	return OUTCOME_OK;
}

enum outcome sys_stack_pop(struct cpu *cpu, struct sys_stack *s, u64 *value, unsigned size)
{
	const void *p;
	enum outcome o;
	u64 gva;

	o = stack_linear(cpu, s, size, &gva);
	*value = 0;
	if (o)
		return o;
	p = mmu_probe_read(cpu, gva, size);
	if (likely(p))
		memcpy(value, p, size);
	else
		o = mmu_read(cpu, gva, value, size, MMU_READ);
	stack_move(s, size);
	return o;
}

void sys_stack_commit(struct cpu *cpu, const struct sys_stack *s)
{
	/* A 32-bit stack pointer is all of ESP; a 16-bit one leaves the rest of it alone. */
	cpu->gpr[REG_RSP] = s->mask == 0xffffffffull ? (u32)s->sp : s->sp;
}

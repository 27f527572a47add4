/* SPDX-License-Identifier: BSD-2-Clause */
/* The LAPIC's registers as the guest sees them: MMIO page, x2APIC MSRs, IA32_APIC_BASE. */
#include "irq/internal.h"

/* What kinds of access a register has in which mode. */
enum {
	RD = 1,		/* read */
	WR = 2,		/* written */
	XAPIC = 4,	/* there is no such MSR */
	X2APIC = 8,	/* only the MSR exists */
	X2APIC_RO = 16, /* the MSR cannot be written */
};

struct reg_info {
	u8 access;
	u32 writable; /* bits; the others are reserved: #GP in x2APIC mode */
};

/* By offset / 16; SDM Vol. 3A tables 11-1 and 11-6. */
static const struct reg_info reg_table[64] = {
	[REG_ID >> 4] = {RD | WR | X2APIC_RO, 0xff000000},
	[REG_VERSION >> 4] = {RD, 0},
	[REG_TPR >> 4] = {RD | WR, 0xff},
	[REG_APR >> 4] = {RD | XAPIC, 0},
	[REG_PPR >> 4] = {RD, 0},
	[REG_EOI >> 4] = {WR, 0},
	[REG_RRD >> 4] = {RD | XAPIC, 0},
	[REG_LDR >> 4] = {RD | WR | X2APIC_RO, 0xff000000},
	[REG_DFR >> 4] = {RD | WR | XAPIC, 0xf0000000},
	[REG_SVR >> 4] = {RD | WR, 0x3ff},
	[REG_ISR >> 4 ...(REG_ESR >> 4) - 1] = {RD, 0},
	[REG_ESR >> 4] = {RD | WR, 0},
	[REG_ICR >> 4] = {RD | WR, 0xccfff},
	[REG_ICR2 >> 4] = {RD | WR | XAPIC, 0xff000000},
	[LAPIC_LVT_TIMER >> 4] = {RD | WR, 0x300ff},
	[LAPIC_LVT_THERMAL >> 4] = {RD | WR, 0x107ff},
	[LAPIC_LVT_PERF >> 4] = {RD | WR, 0x107ff},
	[LAPIC_LVT_LINT0 >> 4] = {RD | WR, 0x1a7ff},
	[LAPIC_LVT_LINT1 >> 4] = {RD | WR, 0x1a7ff},
	[LAPIC_LVT_ERROR >> 4] = {RD | WR, 0x100ff},
	[REG_TMICT >> 4] = {RD | WR, 0xffffffff},
	[REG_TMCCT >> 4] = {RD, 0},
	[REG_TDCR >> 4] = {RD | WR, 0xb},
	[REG_SELF_IPI >> 4] = {WR | X2APIC, 0xff},
};

static u32 writable_bits(const struct lapic *l, unsigned offset)
{
	u32 bits = reg_table[offset >> 4].writable;

	if (offset == LAPIC_LVT_TIMER && l->has_deadline)
		bits |= LVT_TIMER_DEADLINE;
	if (offset == REG_SVR && (lapic_version(l) & VERSION_DIRECTED))
		bits |= SVR_SUPPRESS_EOI;
	return bits;
}

bool lapic_is_enabled(const struct lapic *l)
{
	return lapic_base(l) & LAPIC_BASE_ENABLE;
}

bool lapic_is_x2apic(const struct lapic *l)
{
	return base_is_x2apic(lapic_base(l));
}

u64 lapic_mmio_page(const struct lapic *l)
{
	u64 base = lapic_base(l);

	if (!(base & LAPIC_BASE_ENABLE) || base_is_x2apic(base))
		return ~0ull;
	return base & PAGE_MASK;
}

/* ---- reading */

static u32 reg_read(struct lapic *l, unsigned offset)
{
	unsigned i = offset >> 5 & 3, shift = offset & 0x10 ? 32 : 0;

	switch (offset) {
	case REG_ID:
		return lapic_is_x2apic(l) ? l->id : reg_get(l, REG_ID);
	case REG_PPR:
		return lapic_ppr(l);
	case REG_TMCCT:
		return lapic_timer_count(l);
	case REG_ISR ... REG_ISR + 0x70:
		return l->isr[i] >> shift;
	case REG_TMR ... REG_TMR + 0x70:
		return atomic_load(&l->tmr[i]) >> shift;
	case REG_IRR ... REG_IRR + 0x70:
		return atomic_load(&l->irr[i]) >> shift;
	}
	return reg_get(l, offset);
}

u64 lapic_mmio_read(struct lapic *l, unsigned offset, unsigned len)
{
	unsigned in = offset & 15, reg = offset & ~15u;
	u32 val = 0;

	if (in + len > 4 || reg >= 0x400)
		return 0;
	if ((reg_table[reg >> 4].access & (RD | X2APIC)) == RD)
		val = reg_read(l, reg);
	val >>= 8 * in;
	return len == 4 ? val : val & MASK(8 * len - 1, 0);
}

bool lapic_msr_read(struct lapic *l, u32 msr, u64 *val)
{
	unsigned offset = (msr - 0x800) << 4;

	if (!lapic_is_x2apic(l) || msr < 0x800 || offset >= 0x400)
		return false;
	if ((reg_table[offset >> 4].access & (RD | XAPIC)) != RD)
		return false;
	*val = reg_read(l, offset);
	if (offset == REG_ICR)
		*val |= (u64)reg_get(l, REG_ICR2) << 32;
	return true;
}

/* ---- writing */

static void icr_send(struct lapic *l, u32 icr, u32 dest)
{
	struct irq_msg msg = {
		.dest = dest,
		.vector = icr & 0xff,
		.delivery = icr >> 8 & 7,
		.logical = icr & BIT(11),
		.assert = icr & BIT(14),
		.level = icr & BIT(15),
		.shorthand = icr >> 18 & 3,
	};

	if (msg.delivery <= DELIVER_LOWEST && msg.vector < 16) {
		lapic_error(l, ESR_SEND_ILLEGAL);
		return;
	}
	irq_vm_deliver(l->vm, l, &msg);
}

/* SDM Vol. 3A 11.4.7.2: while software-disabled, all LVT entries are masked. */
static void svr_write(struct lapic *l, u32 val)
{
	reg_set(l, REG_SVR, val);
	if (val & SVR_ENABLE)
		return;
	for (unsigned lvt = LAPIC_LVT_TIMER; lvt <= LAPIC_LVT_ERROR; lvt += 16)
		reg_set(l, lvt, reg_get(l, lvt) | LVT_MASKED);
}

static void lvt_write(struct lapic *l, unsigned offset, u32 val)
{
	if (!lapic_is_soft_enabled(l))
		val |= LVT_MASKED;
	if (offset == LAPIC_LVT_TIMER)
		lapic_timer_set_lvt(l, val);
	else
		reg_set(l, offset, val);
	if (offset == LAPIC_LVT_LINT0)
		lapic_recheck(l);
}

static void tmict_write(struct lapic *l, u32 val)
{
	if (reg_get(l, LAPIC_LVT_TIMER) & LVT_TIMER_DEADLINE)
		return;
	reg_set(l, REG_TMICT, val);
	lapic_timer_start(l, val);
}

/* A register that may be written, `val` without reserved bits. */
static void reg_write(struct lapic *l, unsigned offset, u32 val)
{
	switch (offset) {
	case REG_TPR:
		reg_set(l, REG_TPR, val);
		lapic_recheck(l);
		break;
	case REG_EOI:
		lapic_eoi(l);
		break;
	case REG_DFR:
		reg_set(l, REG_DFR, val | 0x0fffffff);
		break;
	case REG_SVR:
		svr_write(l, val);
		break;
	case REG_ESR:
		reg_set(l, REG_ESR, atomic_exchange(&l->errors, 0));
		break;
	case REG_ICR:
		reg_set(l, REG_ICR, val);
		icr_send(l, val, reg_get(l, REG_ICR2) >> (lapic_is_x2apic(l) ? 0 : 24));
		break;
	case LAPIC_LVT_TIMER ... LAPIC_LVT_ERROR:
		lvt_write(l, offset, val);
		break;
	case REG_TMICT:
		tmict_write(l, val);
		break;
	case REG_TDCR:
		lapic_timer_set_divide(l, val);
		break;
	case REG_SELF_IPI:
		icr_send(l, val | 1 << 18, 0);
		break;
	default:
		reg_set(l, offset, val);
	}
}

/* SDM Vol. 3A 11.4.1: 32-bit accesses at 16-byte boundaries; others may do anything. */
void lapic_mmio_write(struct lapic *l, unsigned offset, unsigned len, u64 val)
{
	if (len != 4 || (offset & 15) || offset >= 0x400)
		return;
	if ((reg_table[offset >> 4].access & (WR | X2APIC)) == WR)
		reg_write(l, offset, val & writable_bits(l, offset));
}

/*
 * Bits that x2APIC writes may have set although they do nothing: the read-only delivery status and remote
 * IRR of the LVT, which Linux writes back when it shuts down.
 */
static u32 ignored_bits(unsigned offset)
{
	if (offset >= LAPIC_LVT_TIMER && offset <= LAPIC_LVT_ERROR)
		return LVT_DELIVERY_STATUS | LVT_REMOTE_IRR;
	return 0;
}

/* SDM Vol. 3A 11.12.1.3: reserved bits fault; so does anything but 0 to EOI and ESR. */
bool lapic_msr_write(struct lapic *l, u32 msr, u64 val)
{
	unsigned offset = (msr - 0x800) << 4;

	if (!lapic_is_x2apic(l) || msr < 0x800 || offset >= 0x400)
		return false;
	if ((reg_table[offset >> 4].access & (WR | XAPIC | X2APIC_RO)) != WR)
		return false;
	if (offset == REG_ICR) {
		if ((u32)val & ~(u32)(writable_bits(l, offset) | ICR_BUSY))
			return false;
		reg_set(l, REG_ICR2, val >> 32);
		reg_write(l, offset, val & writable_bits(l, offset));
		return true;
	}
	if (val & ~(u64)(writable_bits(l, offset) | ignored_bits(offset)))
		return false;
	reg_write(l, offset, val & writable_bits(l, offset));
	return true;
}

/* ---- IA32_APIC_BASE */

u64 lapic_get_base(const struct lapic *l)
{
	return lapic_base(l);
}

/* SDM Vol. 3A figure 11-27: off to xAPIC to x2APIC to off, and xAPIC to off; no other way. */
static bool transition_is_valid(u64 old, u64 new, bool host)
{
	bool x2apic_from_off = !(old & LAPIC_BASE_ENABLE) && base_is_x2apic(new);
	bool xapic_from_x2apic =
		base_is_x2apic(old) && (new &LAPIC_BASE_ENABLE) && !(new &LAPIC_BASE_X2APIC);

	if ((new &LAPIC_BASE_X2APIC) && !(new &LAPIC_BASE_ENABLE))
		return false;
	return host || (!x2apic_from_off && !xapic_from_x2apic);
}

static void base_apply(struct lapic *l, u64 old, u64 new)
{
	/* SDM Vol. 3A 11.12.5.1: x2APIC mode derives LDR, and begins with ICR2 in another layout.
	 */
	if (base_is_x2apic(new) && !base_is_x2apic(old)) {
		reg_set(l, REG_LDR, lapic_x2apic_ldr(l->id));
		reg_set(l, REG_ICR2, 0);
	}
	if ((new &LAPIC_BASE_ENABLE) && !(old & LAPIC_BASE_ENABLE))
		reg_set(l, REG_ID, l->id << 24);
	if (!(new &LAPIC_BASE_ENABLE))
		lapic_timer_stop(l);
}

bool lapic_set_base(struct lapic *l, u64 value, u64 reserved, bool host)
{
	u64 old = lapic_base(l);

	reserved |= 0x2ff;
	if (!l->has_x2apic)
		reserved |= LAPIC_BASE_X2APIC;
	if ((value & reserved) || !transition_is_valid(old, value, host))
		return false;
	atomic_store(&l->base, value);
	base_apply(l, old, value);
	lapic_recheck(l);
	return true;
}

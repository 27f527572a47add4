/* SPDX-License-Identifier: BSD-2-Clause */
/* KVM_GET_LAPIC and KVM_SET_LAPIC: the register page in KVM's layout. */
#include <string.h>

#include "irq/internal.h"

static u32 state_get(const struct kvm_lapic_state *s, unsigned offset)
{
	u32 val;

	memcpy(&val, s->regs + offset, sizeof(val));
	return val;
}

static void state_put(struct kvm_lapic_state *s, unsigned offset, u32 val)
{
	memcpy(s->regs + offset, &val, sizeof(val));
}

static void state_put_vectors(struct kvm_lapic_state *s, unsigned offset, u64 word, unsigned i)
{
	state_put(s, offset + 32 * i, word);
	state_put(s, offset + 32 * i + 16, word >> 32);
}

static u64 state_get_vectors(const struct kvm_lapic_state *s, unsigned offset, unsigned i)
{
	return state_get(s, offset + 32 * i) | (u64)state_get(s, offset + 32 * i + 16) << 32;
}

void lapic_get_state(struct lapic *l, struct kvm_lapic_state *s)
{
	memset(s, 0, sizeof(*s));
	for (unsigned offset = 0; offset < 0x400; offset += 16)
		state_put(s, offset, reg_get(l, offset));
	for (unsigned i = 0; i < 4; i++) {
		state_put_vectors(s, REG_ISR, l->isr[i], i);
		state_put_vectors(s, REG_TMR, atomic_load(&l->tmr[i]), i);
		state_put_vectors(s, REG_IRR, atomic_load(&l->irr[i]), i);
	}
	state_put(s, REG_PPR, lapic_ppr(l));
	state_put(s, REG_TMCCT, lapic_timer_count(l));
	/* Without KVM_X2APIC_API_USE_32BIT_IDS the id is where xAPIC mode has it. */
	if (lapic_is_x2apic(l))
		state_put(s, REG_ID, atomic_load(&l->vm->x2apic_format) ? l->id : l->id << 24);
}

static void set_registers(struct lapic *l, const struct kvm_lapic_state *s)
{
	for (unsigned offset = 0; offset < 0x400; offset += 16)
		reg_set(l, offset, state_get(s, offset));
	for (unsigned i = 0; i < 4; i++) {
		l->isr[i] = state_get_vectors(s, REG_ISR, i);
		atomic_store(&l->tmr[i], state_get_vectors(s, REG_TMR, i));
		atomic_store(&l->irr[i], state_get_vectors(s, REG_IRR, i));
	}
	reg_set(l, REG_VERSION, lapic_version(l));
	reg_set(l, REG_TDCR, reg_get(l, REG_TDCR) & 0xb);
	if (!l->has_deadline)
		reg_set(l, LAPIC_LVT_TIMER, reg_get(l, LAPIC_LVT_TIMER) & ~(u32)LVT_TIMER_DEADLINE);
	if (lapic_is_x2apic(l)) {
		reg_set(l, REG_ID, l->id << 24);
		reg_set(l, REG_LDR, lapic_x2apic_ldr(l->id));
	}
}

int lapic_set_state(struct lapic *l, const struct kvm_lapic_state *s)
{
	if (lapic_is_x2apic(l) && atomic_load(&l->vm->x2apic_format) &&
	    state_get(s, REG_ID) != l->id)
		return -EINVAL;
	lapic_timer_stop(l);
	set_registers(l, s);
	lapic_update_isr(l);
	/* The timer goes on where it was: TMCCT says how much was left. */
	lapic_timer_start(l, state_get(s, REG_TMCCT));
	lapic_recheck(l);
	return 0;
}

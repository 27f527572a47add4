/* SPDX-License-Identifier: BSD-2-Clause */
/* The 8254 timer (Intel 82C54 data sheet): channel 0 drives GSI 0, channel 2 the speaker's gate in
 * port 61h.  All with the VM's mutex held. */
#include <string.h>

#include "irq/internal.h"

#define PIT_HZ	 1193182
#define NS_PER_S 1000000000ull

/* rw_mode, read_state and write_state: which byte of a count comes next. */
enum { LATCHED_NONE, LOW, HIGH, WORD_LOW, WORD_HIGH };

static u64 ns_of_ticks(u64 ticks)
{
	return ticks * NS_PER_S / PIT_HZ;
}

static u64 elapsed(const struct kvm_pit_channel_state *c)
{
	u64 ns = timer_now_ns() - (u64)c->count_load_time;

	return (unsigned __int128)ns * PIT_HZ / NS_PER_S;
}

/* A loaded 0 counts as 10000h; state of the VMM may have a 0 here. */
static u64 full_count(const struct kvm_pit_channel_state *c)
{
	return c->count ? c->count : 0x10000;
}

static u16 counter(const struct kvm_pit_channel_state *c)
{
	u64 d = elapsed(c), count = full_count(c);

	switch (c->mode) {
	case 2:
		return count - d % count;
	case 3:
		/* Counts by two, twice for each period. */
		return count - 2 * d % count;
	default:
		return count - d;
	}
}

/* The channel's OUT pin. */
static bool output(const struct kvm_pit_channel_state *c)
{
	u64 d = elapsed(c), count = full_count(c);

	switch (c->mode) {
	case 0:
		return d >= count;
	case 1:
		return d < count;
	case 2:
		return d % count != count - 1;
	case 3:
		return d % count < (count + 1) / 2;
	default:
		return d != count;
	}
}

/* ---- channel 0's interrupt */

/* A tick on GSI 0; also an NMI where LINT0 says so, for a guest's NMI watchdog. */
static void tick(struct pit *pit)
{
	struct irq_vm *vm = pit->vm;
	u32 nr = atomic_load(&vm->nr_lapics);

	routing_set_line(vm, IRQ_SOURCE_PIT, 0, true);
	routing_set_line(vm, IRQ_SOURCE_PIT, 0, false);
	for (u32 i = 0; i < nr; i++) {
		struct lapic *l = atomic_load(&vm->lapics[i]);

		if ((reg_get(l, LAPIC_LVT_LINT0) >> 8 & 7) == DELIVER_NMI)
			lapic_local_deliver(l, LAPIC_LVT_LINT0);
	}
}

static void tick_or_wait(struct pit *pit)
{
	if (pit->reinject) {
		pit->pending++;
		if (!pit->irq_ack)
			return;
		pit->irq_ack = false;
	}
	tick(pit);
}

/* The guest is done with a tick: gives it the next one that it is behind. */
void pit_acked(struct pit *pit)
{
	pit->irq_ack = true;
	if (!pit->pending || !--pit->pending)
		return;
	pit->irq_ack = false;
	tick(pit);
}

void pit_reset_reinject(struct pit *pit)
{
	pit->pending = 0;
	pit->irq_ack = true;
}

/* Far behind (the process was stopped), the missed ticks are left out. */
static void next_period(struct pit *pit, u64 now)
{
	if (!pit->periodic) {
		pit->deadline = 0;
		return;
	}
	pit->deadline += pit->period;
	if (pit->deadline + NS_PER_S < now)
		pit->deadline = now + pit->period;
	timer_arm(&pit->timer, pit->deadline);
}

/* In the timer thread. */
static void pit_fire(void *arg)
{
	struct pit *pit = arg;
	u64 now = timer_now_ns();

	pthread_mutex_lock(&pit->vm->lock);
	if (pit->deadline && pit->deadline <= now) {
		next_period(pit, now);
		tick_or_wait(pit);
	}
	pthread_mutex_unlock(&pit->vm->lock);
}

static void stop_timer(struct pit *pit)
{
	timer_cancel(&pit->timer);
	pit->deadline = 0;
}

static void start_timer(struct pit *pit)
{
	const struct kvm_pit_channel_state *c = &pit->ch[0];

	stop_timer(pit);
	pit_reset_reinject(pit);
	if (c->mode > 4 || (pit->flags & KVM_PIT_FLAGS_HPET_LEGACY))
		return;
	pit->periodic = c->mode == 2 || c->mode == 3;
	pit->period = ns_of_ticks(full_count(c));
	if (pit->periodic)
		pit->period = MAX(pit->period, IRQ_MIN_PERIOD_NS);
	pit->deadline = (u64)c->count_load_time + pit->period;
	timer_arm(&pit->timer, pit->deadline);
}

/* ---- ports */

static void load_count(struct pit *pit, unsigned channel, u16 count)
{
	struct kvm_pit_channel_state *c = &pit->ch[channel];

	c->count = count ? count : 0x10000;
	c->count_load_time = timer_now_ns();
	if (channel == 0)
		start_timer(pit);
}

static void latch_count(struct kvm_pit_channel_state *c)
{
	if (c->count_latched)
		return;
	c->latched_count = counter(c);
	c->count_latched = c->rw_mode;
}

static void latch_status(struct kvm_pit_channel_state *c)
{
	if (c->status_latched)
		return;
	c->status = output(c) << 7 | c->rw_mode << 4 | c->mode << 1 | c->bcd;
	c->status_latched = 1;
}

static void write_control(struct pit *pit, u8 val)
{
	unsigned channel = val >> 6, rw = val >> 4 & 3;
	struct kvm_pit_channel_state *c = &pit->ch[channel % 3];

	if (channel == 3) { /* read-back: bits 5 and 4 are active low */
		for (unsigned i = 0; i < 3; i++) {
			if (!(val >> (i + 1) & 1))
				continue;
			if (!(val & 0x20))
				latch_count(&pit->ch[i]);
			if (!(val & 0x10))
				latch_status(&pit->ch[i]);
		}
	} else if (rw == 0) {
		latch_count(c);
	} else {
		c->rw_mode = c->read_state = c->write_state = rw;
		c->mode = val >> 1 & 7;
		if (c->mode > 5) /* 6 and 7 are 2 and 3 */
			c->mode -= 4;
		c->bcd = val & 1;
	}
}

static void write_count(struct pit *pit, unsigned channel, u8 val)
{
	struct kvm_pit_channel_state *c = &pit->ch[channel];

	switch (c->write_state) {
	default:
		load_count(pit, channel, val);
		break;
	case HIGH:
		load_count(pit, channel, val << 8);
		break;
	case WORD_LOW:
		c->write_latch = val;
		c->write_state = WORD_HIGH;
		break;
	case WORD_HIGH:
		c->write_state = WORD_LOW;
		load_count(pit, channel, c->write_latch | val << 8);
		break;
	}
}

/* A rising gate begins the count anew in the modes that it triggers. */
static void set_gate(struct pit *pit, unsigned channel, bool gate)
{
	struct kvm_pit_channel_state *c = &pit->ch[channel];

	if (gate && !c->gate && c->mode != 0 && c->mode != 4)
		c->count_load_time = timer_now_ns();
	c->gate = gate;
}

void pit_write(struct pit *pit, u16 port, u8 val)
{
	if (port == 0x61) {
		pit->speaker_data = val >> 1 & 1;
		set_gate(pit, 2, val & 1);
	} else if (port == 0x43) {
		write_control(pit, val);
	} else {
		write_count(pit, port & 3, val);
	}
}

static u8 read_latched(struct kvm_pit_channel_state *c)
{
	switch (c->count_latched) {
	default:
		c->count_latched = LATCHED_NONE;
		return c->latched_count;
	case HIGH:
		c->count_latched = LATCHED_NONE;
		return c->latched_count >> 8;
	case WORD_LOW:
		c->count_latched = HIGH;
		return c->latched_count;
	}
}

static u8 read_count(struct kvm_pit_channel_state *c)
{
	if (c->status_latched) {
		c->status_latched = 0;
		return c->status;
	}
	if (c->count_latched)
		return read_latched(c);
	switch (c->read_state) {
	case HIGH:
		return counter(c) >> 8;
	case WORD_LOW:
		c->read_state = WORD_HIGH;
		return counter(c);
	case WORD_HIGH:
		c->read_state = WORD_LOW;
		return counter(c) >> 8;
	default:
		return counter(c);
	}
}

/* Port 61h: gate, speaker, the refresh clock that some loops wait for, OUT 2. */
static u8 read_port61(struct pit *pit)
{
	u8 refresh = timer_now_ns() >> 14 & 1;

	return pit->ch[2].gate | pit->speaker_data << 1 | refresh << 4 | output(&pit->ch[2]) << 5;
}

u8 pit_read(struct pit *pit, u16 port)
{
	if (port == 0x61)
		return read_port61(pit);
	return port == 0x43 ? 0 : read_count(&pit->ch[port & 3]);
}

/* ---- set-up and state */

void pit_init(struct irq_vm *vm, const struct kvm_pit_config *cfg)
{
	struct pit *pit = &vm->pit;
	u64 now = timer_now_ns();

	*pit = (struct pit){.vm = vm, .present = true, .reinject = true, .irq_ack = true};
	pit->speaker = cfg->flags & KVM_PIT_SPEAKER_DUMMY;
	timer_init(&pit->timer, vm->timers, pit_fire, pit);
	for (unsigned i = 0; i < 3; i++) {
		pit->ch[i].mode = 0xff; /* no count yet */
		pit->ch[i].gate = i != 2;
		pit->ch[i].count = 0x10000;
		pit->ch[i].count_load_time = now;
	}
}

void pit_get_state(struct pit *pit, struct kvm_pit_state2 *s)
{
	memset(s, 0, sizeof(*s));
	memcpy(s->channels, pit->ch, sizeof(s->channels));
	s->flags = pit->flags | (pit->speaker_data ? KVM_PIT_FLAGS_SPEAKER_DATA_ON : 0);
}

static void check_channel(struct kvm_pit_channel_state *c)
{
	c->count = c->count ? (c->count - 1) % 0x10000 + 1 : 0x10000;
	c->rw_mode &= 3;
	c->count_latched = MIN(c->count_latched, WORD_LOW);
	c->gate &= 1;
	c->bcd &= 1;
}

/* The counts begin anew: load times of another boot mean nothing here. */
void pit_set_state(struct pit *pit, const struct kvm_pit_state2 *s)
{
	u64 now = timer_now_ns();

	memcpy(pit->ch, s->channels, sizeof(pit->ch));
	pit->flags = s->flags & KVM_PIT_FLAGS_HPET_LEGACY;
	pit->speaker_data = s->flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	for (unsigned i = 0; i < 3; i++) {
		check_channel(&pit->ch[i]);
		pit->ch[i].count_load_time = now;
	}
	start_timer(pit);
}

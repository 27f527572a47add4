/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of this room share.  irq.h is for everybody else. */
#ifndef IRQ_INTERNAL_H
#define IRQ_INTERNAL_H

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/timer.h"
#include "irq/irq.h"

#define IRQ_IOAPIC_PINS KVM_IOAPIC_NUM_PINS
#define IRQ_PIC_PINS	16
#define IOAPIC_BASE	0xfec00000ull
#define IOAPIC_LENGTH	0x100

/* Who drives a pin; a pin is high while any of its sources is. */
enum irq_source {
	IRQ_SOURCE_VMM,	     /* KVM_IRQ_LINE and plain irqfds */
	IRQ_SOURCE_RESAMPLE, /* irqfds with a resamplefd */
	IRQ_SOURCE_PIT,
};

/* The shortest period of a guest's timer, ns; a shorter one would only burn the host's CPU. */
#define IRQ_MIN_PERIOD_NS 200000

/* ---- vectors: 256 bits in four words */

static inline bool vec_test(const u64 *set, u8 v)
{
	return set[v / 64] >> (v % 64) & 1;
}

static inline void vec_set(u64 *set, u8 v)
{
	set[v / 64] |= BIT(v % 64);
}

static inline bool avec_test(const _Atomic u64 *set, u8 v)
{
	return atomic_load_explicit(&set[v / 64], memory_order_acquire) >> (v % 64) & 1;
}

/* Sets a bit; was it clear? */
static inline bool avec_set(_Atomic u64 *set, u8 v)
{
	return !(atomic_fetch_or(&set[v / 64], BIT(v % 64)) >> (v % 64) & 1);
}

static inline void avec_clear(_Atomic u64 *set, u8 v)
{
	atomic_fetch_and(&set[v / 64], ~BIT(v % 64));
}

static inline int avec_highest(const _Atomic u64 *set)
{
	for (int i = 3; i >= 0; i--) {
		u64 w = atomic_load_explicit(&set[i], memory_order_acquire);

		if (w)
			return i * 64 + 63 - __builtin_clzll(w);
	}
	return -1;
}

/* ---- chips, each guarded by the VM's mutex */

struct pic {
	struct kvm_pic_state half[2]; /* master, slave */
	u8 sources[IRQ_PIC_PINS];     /* bit per enum irq_source */
	atomic_bool output;	      /* the INTR pin; read without the mutex */
};

struct ioapic {
	struct kvm_ioapic_state s;
	u32 irr_delivered; /* edges in s.irr that were delivered: the line is still high */
	u8 sources[IRQ_IOAPIC_PINS];
};

struct pit {
	struct irq_vm *vm;
	struct kvm_pit_channel_state ch[3];
	bool present;
	bool speaker;	   /* port 61h is ours */
	bool speaker_data; /* its bit 1 */
	u32 flags;	   /* KVM_PIT_FLAGS_HPET_LEGACY */
	struct timer timer;
	u64 deadline; /* of channel 0; 0: idle */
	u64 period;
	bool periodic;
	bool reinject; /* ticks that the guest was too late for are given to it later */
	bool irq_ack;  /* the guest has acknowledged the last tick */
	u32 pending;   /* ticks that it has not acknowledged */
};

struct route {
	u32 gsi;
	bool msi;
	u8 chip; /* KVM_IRQCHIP_* */
	u8 pin;	 /* on that chip */
	struct kvm_irq_routing_msi m;
};

struct route_table {
	struct route *routes; /* sorted by gsi */
	unsigned nr;
	u16 first[IRQ_MAX_ROUTES + 1];		/* where a gsi's routes start */
	s16 gsi_of_pin[3][KVM_IOAPIC_NUM_PINS]; /* by KVM_IRQCHIP_*; -1: none */
};

struct irqfd;
struct ioevent;

struct irq_vm {
	pthread_mutex_t lock;
	struct timer_queue *timers;
	struct pit pit;
	struct ioapic ioapic;
	struct route_table routing;
	struct pic pic;

	_Atomic int mode; /* enum irq_mode */
	u32 bsp;
	unsigned split_pins;
	atomic_bool x2apic_format;	/* KVM_X2APIC_API_USE_32BIT_IDS */
	atomic_bool no_broadcast_quirk; /* KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK */
	u64 bus_cycle_ns;

	/* Vectors whose EOI somebody wants to know of even if they are edge-triggered. */
	_Atomic u64 eoi_vectors[4];
	/* Vectors of the VMM's IOAPIC, split irqchip. */
	_Atomic u64 split_vectors[4];

	/* Readers take nr first; an entry below it is there. */
	_Atomic(struct lapic *) lapics[IRQ_MAX_VCPUS];
	_Atomic(struct lapic *) by_id[IRQ_MAX_VCPU_ID];
	_Atomic u32 nr_lapics;

	bool irqfd_started;
	int epoll, stop_fd;
	struct irqfd *irqfds; /* under lock */
	u64 irqfd_ids;
	pthread_t irqfd_thread;

	pthread_rwlock_t ioevent_lock;
	struct ioevent *ioevents;
	_Atomic u32 nr_ioevents;
};

/* ---- the local APIC: register offsets (SDM Vol. 3A table 11-1) */

enum {
	REG_ID = 0x20,
	REG_VERSION = 0x30,
	REG_TPR = 0x80,
	REG_APR = 0x90,
	REG_PPR = 0xa0,
	REG_EOI = 0xb0,
	REG_RRD = 0xc0,
	REG_LDR = 0xd0,
	REG_DFR = 0xe0,
	REG_SVR = 0xf0,
	REG_ISR = 0x100,
	REG_TMR = 0x180,
	REG_IRR = 0x200,
	REG_ESR = 0x280,
	REG_ICR = 0x300,
	REG_ICR2 = 0x310,
	REG_TMICT = 0x380,
	REG_TMCCT = 0x390,
	REG_TDCR = 0x3e0,
	REG_SELF_IPI = 0x3f0,
};

#define LVT_MASKED	    BIT(16)
#define LVT_DELIVERY_STATUS BIT(12)
#define LVT_REMOTE_IRR	    BIT(14)
#define LVT_LEVEL	    BIT(15)
#define LVT_TIMER_PERIODIC  BIT(17)
#define LVT_TIMER_DEADLINE  BIT(18)
#define SVR_ENABLE	    BIT(8)
#define SVR_SUPPRESS_EOI    BIT(12) /* no broadcast: software tells the IOAPIC itself */
#define VERSION_DIRECTED    BIT(24)
#define ICR_BUSY	    BIT(12)

/* ESR (SDM Vol. 3A 11.5.3) */
#define ESR_SEND_ILLEGAL    BIT(5)
#define ESR_RECEIVE_ILLEGAL BIT(6)

/* Delivery modes of ICR, LVT, IOAPIC and MSI. */
enum {
	DELIVER_FIXED,
	DELIVER_LOWEST,
	DELIVER_SMI,
	DELIVER_RESERVED,
	DELIVER_NMI,
	DELIVER_INIT,
	DELIVER_SIPI,
	DELIVER_EXTINT,
};

struct lapic {
	struct irq_vm *vm;
	const struct irq_vcpu_ops *ops;
	void *vcpu;
	u32 id;

	_Atomic u64 base; /* IA32_APIC_BASE */
	/* By offset / 16.  The vCPU's thread writes, any thread may read; ISR, TMR, IRR, PPR, TMCCT
	 * live below instead, and ICR in x2APIC mode is in the two ICR words. */
	_Atomic u32 regs[64];
	_Atomic u64 irr[4];
	_Atomic u64 tmr[4];
	_Atomic u32 errors; /* collected for ESR */
	_Atomic int extint; /* split irqchip: the VMM's KVM_INTERRUPT, or -1 */

	/* Only the vCPU's thread. */
	u64 isr[4];
	int highest_isr;
	bool has_x2apic, has_deadline;

	/* The timer: shared with the timer thread. */
	pthread_mutex_t timer_lock; /* a leaf but for the timer queue's own */
	struct timer timer;
	u64 deadline;	  /* ns; 0: not running */
	u64 period;	  /* ns; of one-shot and periodic mode */
	u64 tsc_deadline; /* IA32_TSC_DEADLINE; 0: not armed */
};

static inline u32 reg_get(const struct lapic *l, unsigned offset)
{
	return atomic_load_explicit(&l->regs[offset >> 4], memory_order_relaxed);
}

static inline void reg_set(struct lapic *l, unsigned offset, u32 val)
{
	atomic_store_explicit(&l->regs[offset >> 4], val, memory_order_relaxed);
}

static inline u64 lapic_base(const struct lapic *l)
{
	return atomic_load_explicit(&l->base, memory_order_relaxed);
}

static inline bool base_is_x2apic(u64 base)
{
	u64 both = LAPIC_BASE_ENABLE | LAPIC_BASE_X2APIC;

	return (base & both) == both;
}

static inline bool lapic_is_soft_enabled(const struct lapic *l)
{
	return reg_get(l, REG_SVR) & SVR_ENABLE;
}

/* lapic.c */
void lapic_recheck(struct lapic *l);	/* [vcpu] kicks itself if something is deliverable */
void lapic_update_isr(struct lapic *l); /* [vcpu] highest_isr anew */
u8 lapic_ppr(const struct lapic *l);	/* [vcpu] */
void lapic_error(struct lapic *l, u32 esr_bit); /* [any] notes an error, raises LVT error */
u32 lapic_x2apic_ldr(u32 id);			/* logical x2APIC id */
u32 lapic_version(const struct lapic *l);

/* lapic_timer.c: [vcpu] unless said otherwise */
void lapic_timer_init(struct lapic *l);
void lapic_timer_stop(struct lapic *l);
void lapic_timer_start(struct lapic *l, u32 count); /* from `count` in the modes that count */
u32 lapic_timer_count(struct lapic *l);		    /* TMCCT */
void lapic_timer_set_lvt(struct lapic *l, u32 lvt); /* writes LVTT, with a change of mode */
void lapic_timer_set_divide(struct lapic *l, u32 tdcr);

/* deliver.c: [vcpu] tells the VM's chips, or the VMM, of the EOI */
void irq_eoi_broadcast(struct lapic *l, u8 vector);

/* The chips: with the VM's mutex held, but for *_init. */
void pic_init(struct pic *pic);
int pic_set_line(struct irq_vm *vm, unsigned pin, unsigned source, bool level);
int pic_ack(struct irq_vm *vm);
void pic_update(struct irq_vm *vm);
u8 pic_read(struct irq_vm *vm, u16 port);
void pic_write(struct irq_vm *vm, u16 port, u8 val);
void pic_get_state(struct irq_vm *vm, unsigned half, struct kvm_pic_state *s);
void pic_set_state(struct irq_vm *vm, unsigned half, const struct kvm_pic_state *s);

void ioapic_init(struct ioapic *io);
int ioapic_set_line(struct irq_vm *vm, unsigned pin, unsigned source, bool level);
void ioapic_eoi(struct irq_vm *vm, u8 vector);
u32 ioapic_read(struct irq_vm *vm, unsigned offset);
void ioapic_write(struct irq_vm *vm, unsigned offset, u32 val);
void ioapic_get_state(struct irq_vm *vm, struct kvm_ioapic_state *s);
void ioapic_set_state(struct irq_vm *vm, const struct kvm_ioapic_state *s);
void ioapic_update_eoi_vectors(struct irq_vm *vm); /* after changes of entries, routes, watchers */

void pit_init(struct irq_vm *vm, const struct kvm_pit_config *cfg);
u8 pit_read(struct pit *pit, u16 port);
void pit_write(struct pit *pit, u16 port, u8 val);
void pit_acked(struct pit *pit);
void pit_reset_reinject(struct pit *pit);
void pit_get_state(struct pit *pit, struct kvm_pit_state2 *s);
void pit_set_state(struct pit *pit, const struct kvm_pit_state2 *s);

int routing_set_default(struct irq_vm *vm);
void routing_free(struct irq_vm *vm);
int routing_set_line(struct irq_vm *vm, unsigned source, u32 gsi, bool level);
void routing_notify_acked(struct irq_vm *vm, unsigned chip, unsigned pin);
void routing_notify_masked(struct irq_vm *vm, unsigned chip, unsigned pin, bool masked);
bool routing_pin_is_watched(struct irq_vm *vm, unsigned pin); /* of the IOAPIC */

void irqfd_notify_acked(struct irq_vm *vm, u32 gsi);
bool irqfd_watches(struct irq_vm *vm, u32 gsi);
void irqfd_stop(struct irq_vm *vm); /* ends the thread; without the mutex */
void ioevent_free(struct irq_vm *vm);

#endif

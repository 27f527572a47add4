/* SPDX-License-Identifier: BSD-2-Clause */
/* A VM's interrupt controllers and vCPUs that only count what they are told. */
#ifndef IRQ_FIXTURE_H
#define IRQ_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/timer.h"
#include "irq/irq.h"

struct fake_vcpu {
	atomic_int kicks, nmis, inits, sipis, sipi_vector, smis;
	int ioapic_eoi;
};

static inline void fake_kick(void *vcpu)
{
	atomic_fetch_add(&((struct fake_vcpu *)vcpu)->kicks, 1);
}

static inline void fake_nmi(void *vcpu)
{
	atomic_fetch_add(&((struct fake_vcpu *)vcpu)->nmis, 1);
}

static inline void fake_init(void *vcpu)
{
	atomic_fetch_add(&((struct fake_vcpu *)vcpu)->inits, 1);
}

static inline void fake_sipi(void *vcpu, u8 vector)
{
	atomic_store(&((struct fake_vcpu *)vcpu)->sipi_vector, vector);
	atomic_fetch_add(&((struct fake_vcpu *)vcpu)->sipis, 1);
}

static inline void fake_smi(void *vcpu)
{
	atomic_fetch_add(&((struct fake_vcpu *)vcpu)->smis, 1);
}

/* The guest's TSC counts ns. */
static inline u64 fake_tsc(void *vcpu)
{
	return timer_now_ns();
}

static inline u64 fake_tsc_to_ns(void *vcpu, u64 tsc)
{
	return tsc;
}

static inline void fake_ioapic_eoi(void *vcpu, u8 vector)
{
	((struct fake_vcpu *)vcpu)->ioapic_eoi = vector;
}

static const struct irq_vcpu_ops fake_ops = {
	.kick = fake_kick,
	.nmi = fake_nmi,
	.init = fake_init,
	.sipi = fake_sipi,
	.smi = fake_smi,
	.guest_tsc = fake_tsc,
	.tsc_deadline_to_ns = fake_tsc_to_ns,
	.ioapic_eoi = fake_ioapic_eoi,
};

#define MAX_FAKES 4

struct irq_fixture {
	struct irq_vm *vm;
	unsigned nr;
	struct fake_vcpu vcpu[MAX_FAKES];
	struct lapic *l[MAX_FAKES];
};

/* vCPUs with the ids first, first + 1, ...; software-enabled. */
static inline void fixture_start(struct irq_fixture *f, bool split, unsigned nr, u32 first)
{
	memset(f, 0, sizeof(*f));
	f->vm = irq_vm_create();
	assert_non_null(f->vm);
	if (split)
		assert_int_equal(irq_vm_enable_split(f->vm, 24, false), 0);
	else
		assert_int_equal(irq_vm_create_irqchip(f->vm, false), 0);
	f->nr = nr;
	for (unsigned i = 0; i < nr; i++) {
		f->l[i] = lapic_create(f->vm, first + i, &f->vcpu[i], &fake_ops);
		assert_non_null(f->l[i]);
		lapic_mmio_write(f->l[i], 0xf0, 4, 0x1ff);
	}
}

static inline void fixture_end(struct irq_fixture *f)
{
	for (unsigned i = 0; i < f->nr; i++)
		lapic_destroy(f->l[i]);
	irq_vm_destroy(f->vm);
}

static inline void fixture_x2apic(struct irq_fixture *f)
{
	for (unsigned i = 0; i < f->nr; i++)
		assert_true(lapic_set_base(f->l[i], lapic_get_base(f->l[i]) | LAPIC_BASE_X2APIC, 0,
					   false));
}

/* Waits for what another thread does; 5 s is for ever. */
#define wait_until(condition)                                                                      \
	do {                                                                                       \
		bool met = condition;                                                              \
		for (int tries = 0; tries < 50000 && !met; tries++) {                              \
			usleep(100);                                                               \
			met = condition;                                                           \
		}                                                                                  \
		assert_true(met);                                                                  \
	} while (0)

#endif

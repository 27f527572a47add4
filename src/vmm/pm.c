/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>
#include <time.h>
#include "vmm/platform.h"
#include "vmm/pm.h"

#define PM_TIMER_HZ 3579545ull

#define STATUS_BUTTON	   0x0100
#define CONTROL_SCI_EN	   0x0001
#define CONTROL_SLP_EN	   0x2000
#define CONTROL_SLP_TYP(c) ((c) >> 10 & 7)

static void pm_update_sci(struct pm *pm)
{
	intr_set(&pm->machine->intr, IRQ_SCI, 0, (pm->status & pm->enable) != 0);
}

static u64 pm_read_event(void *opaque, u64 off, unsigned len)
{
	struct pm *pm = opaque;
	u32 both;

	pthread_mutex_lock(&pm->lock);
	both = pm->status | (u32)pm->enable << 16;
	pthread_mutex_unlock(&pm->lock);
	return both >> (8 * off);
}

/* Status bits are cleared by writing ones. */
static void pm_write_event(void *opaque, u64 off, unsigned len, u64 value)
{
	struct pm *pm = opaque;
	u32 mask = MASK(8 * len - 1, 0) << (8 * off), new = value << (8 * off);

	pthread_mutex_lock(&pm->lock);
	pm->status &= ~(u16) new;
	pm->enable = (pm->enable & ~(mask >> 16)) | new >> 16;
	pm_update_sci(pm);
	pthread_mutex_unlock(&pm->lock);
}

static u64 pm_read_control(void *opaque, u64 off, unsigned len)
{
	struct pm *pm = opaque;

	return pm->control >> (8 * off);
}

static void pm_write_control(void *opaque, u64 off, unsigned len, u64 value)
{
	struct pm *pm = opaque;
	u16 mask = MASK(8 * len - 1, 0) << (8 * off), control;

	pthread_mutex_lock(&pm->lock);
	control = (pm->control & ~mask) | ((value << (8 * off)) & mask);
	pm->control = (control & ~CONTROL_SLP_EN) | CONTROL_SCI_EN;
	pthread_mutex_unlock(&pm->lock);
	if ((control & CONTROL_SLP_EN) && CONTROL_SLP_TYP(control) == PLATFORM_S5_SLP_TYP)
		machine_stop(pm->machine, MACHINE_POWEROFF);
}

static u64 pm_read_timer(void *opaque, u64 off, unsigned len)
{
	struct timespec ts;
	u32 ticks;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ticks = ts.tv_sec * PM_TIMER_HZ + ts.tv_nsec * PM_TIMER_HZ / 1000000000;
	return ticks >> (8 * off);
}

static const struct bus_ops event_ops = {pm_read_event, pm_write_event};
static const struct bus_ops control_ops = {pm_read_control, pm_write_control};
static const struct bus_ops timer_ops = {pm_read_timer, NULL};

int pm_init(struct pm *pm, struct machine *m)
{
	int ret;

	memset(pm, 0, sizeof(*pm));
	pm->machine = m;
	pm->control = CONTROL_SCI_EN; /* no SMI command: ACPI is always on */
	pthread_mutex_init(&pm->lock, NULL);
	ret = bus_add(&m->pio, PLATFORM_PM1_EVENT, 4, &event_ops, pm);
	if (!ret)
		ret = bus_add(&m->pio, PLATFORM_PM1_CONTROL, 2, &control_ops, pm);
	if (!ret)
		ret = bus_add(&m->pio, PLATFORM_PM_TIMER, 4, &timer_ops, pm);
	return ret;
}

void pm_press_button(struct pm *pm)
{
	pthread_mutex_lock(&pm->lock);
	pm->status |= STATUS_BUTTON;
	pm_update_sci(pm);
	pthread_mutex_unlock(&pm->lock);
}

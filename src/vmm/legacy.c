/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>
#include "vmm/legacy.h"
#include "vmm/platform.h"

/* Two bits: 1 system reset instead of INIT, 2 reset the CPU (rising). */
#define RESET_CPU 0x04

void legacy_write_reset(struct machine *m, u8 value)
{
	if (value & RESET_CPU)
		machine_stop(m, MACHINE_RESET);
}

static u64 legacy_read_92(void *opaque, u64 off, unsigned len)
{
	struct legacy *legacy = opaque;

	return legacy->port92;
}

static void legacy_write_92(void *opaque, u64 off, unsigned len, u64 value)
{
	struct legacy *legacy = opaque;

	if (value & 1)
		machine_stop(legacy->machine, MACHINE_RESET);
	legacy->port92 = value & ~1;
}

static const struct bus_ops port92_ops = {legacy_read_92, legacy_write_92};
/* Delay loops write here; the entry keeps them from looking like an unknown port. */
static const struct bus_ops post_ops = {NULL, NULL};

int legacy_init(struct legacy *legacy, struct machine *m)
{
	int ret;

	legacy->machine = m;
	legacy->port92 = 2; /* A20 is on */
	ret = bus_add(&m->pio, PLATFORM_PORT92, 1, &port92_ops, legacy);
	if (!ret)
		ret = bus_add(&m->pio, PLATFORM_POST, 1, &post_ops, legacy);
	return ret;
}

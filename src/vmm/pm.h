/* SPDX-License-Identifier: BSD-2-Clause */
/* ACPI power management: fixed events, sleep control, PM timer. ACPI specification 6.4,
 * section 4.8. */
#ifndef VMM_PM_H
#define VMM_PM_H

#include "vmm/machine.h"

struct pm {
	struct machine *machine;
	pthread_mutex_t lock;
	u16 status, enable, control;
};

/* Puts the registers on the port bus. 0 or a negative errno. */
int pm_init(struct pm *pm, struct machine *m);
/* Presses the power button: the guest shuts down if it listens. Any thread. */
void pm_press_button(struct pm *pm);

#endif

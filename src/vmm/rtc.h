/* SPDX-License-Identifier: BSD-2-Clause */
/* The MC146818 real-time clock and its CMOS memory, in UTC. */
#ifndef VMM_RTC_H
#define VMM_RTC_H

#include "vmm/machine.h"

struct rtc {
	struct machine *machine;
	int second_fd, periodic_fd; /* timers, armed while the guest wants their interrupts */
	pthread_mutex_t lock;
	u8 index;
	u8 cmos[128];
	s64 offset; /* seconds: guest's clock minus the host's */
};

/* Puts the clock on ports 0x70 and 0x71. 0 or a negative errno. */
int rtc_init(struct rtc *rtc, struct machine *m);
/* Frees the timers. */
void rtc_destroy(struct rtc *rtc);

#endif

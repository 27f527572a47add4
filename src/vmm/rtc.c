/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include "vmm/platform.h"
#include "vmm/rtc.h"

enum {
	RTC_SECONDS = 0,
	RTC_SECONDS_ALARM = 1,
	RTC_MINUTES = 2,
	RTC_MINUTES_ALARM = 3,
	RTC_HOURS = 4,
	RTC_HOURS_ALARM = 5,
	RTC_WEEKDAY = 6,
	RTC_DAY = 7,
	RTC_MONTH = 8,
	RTC_YEAR = 9,
	RTC_A = 10,
	RTC_B = 11,
	RTC_C = 12,
	RTC_D = 13,
	RTC_CENTURY = 0x32
};

#define A_DEFAULT 0x26 /* 32.768 kHz time base, 1024 Hz rate */
#define B_24H	  0x02
#define B_BINARY  0x04
#define B_SET	  0x80
#define D_VALID	  0x80

/* Interrupts: enable bits in B, flags at the same places in C. */
#define INT_UPDATE   0x10
#define INT_ALARM    0x20
#define INT_PERIODIC 0x40
#define INT_ANY	     0x70
#define C_IRQ	     0x80

#define ALARM_ANY 0xc0 /* an alarm byte from here up matches always */

static u8 rtc_encode(const struct rtc *rtc, int value)
{
	if (rtc->cmos[RTC_B] & B_BINARY)
		return value;
	return value / 10 << 4 | value % 10;
}

static int rtc_decode(const struct rtc *rtc, u8 value)
{
	if (rtc->cmos[RTC_B] & B_BINARY)
		return value;
	return (value >> 4) * 10 + (value & 15);
}

/* In 12-hour mode bit 7 means afternoon, and midnight and noon are 12. */
static u8 rtc_encode_hour(const struct rtc *rtc, int hour)
{
	if (rtc->cmos[RTC_B] & B_24H)
		return rtc_encode(rtc, hour);
	return rtc_encode(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? 0x80 : 0);
}

static int rtc_decode_hour(const struct rtc *rtc, u8 value)
{
	if (rtc->cmos[RTC_B] & B_24H)
		return rtc_decode(rtc, value);
	return rtc_decode(rtc, value & 0x7f) % 12 + (value & 0x80 ? 12 : 0);
}

/* Host time into the registers. */
static void rtc_load_time(struct rtc *rtc)
{
	time_t now = time(NULL) + rtc->offset;
	struct tm tm;

	gmtime_r(&now, &tm);
	rtc->cmos[RTC_SECONDS] = rtc_encode(rtc, tm.tm_sec);
	rtc->cmos[RTC_MINUTES] = rtc_encode(rtc, tm.tm_min);
	rtc->cmos[RTC_HOURS] = rtc_encode_hour(rtc, tm.tm_hour);
	rtc->cmos[RTC_WEEKDAY] = rtc_encode(rtc, tm.tm_wday + 1);
	rtc->cmos[RTC_DAY] = rtc_encode(rtc, tm.tm_mday);
	rtc->cmos[RTC_MONTH] = rtc_encode(rtc, tm.tm_mon + 1);
	rtc->cmos[RTC_YEAR] = rtc_encode(rtc, tm.tm_year % 100);
	rtc->cmos[RTC_CENTURY] = rtc_encode(rtc, 19 + tm.tm_year / 100);
}

/* The guest set the registers: remember how far it is from the host. */
static void rtc_store_time(struct rtc *rtc)
{
	struct tm tm = {
		.tm_sec = rtc_decode(rtc, rtc->cmos[RTC_SECONDS]),
		.tm_min = rtc_decode(rtc, rtc->cmos[RTC_MINUTES]),
		.tm_hour = rtc_decode_hour(rtc, rtc->cmos[RTC_HOURS]),
		.tm_mday = rtc_decode(rtc, rtc->cmos[RTC_DAY]),
		.tm_mon = rtc_decode(rtc, rtc->cmos[RTC_MONTH]) - 1,
		.tm_year = rtc_decode(rtc, rtc->cmos[RTC_YEAR]) +
			   (rtc_decode(rtc, rtc->cmos[RTC_CENTURY]) - 19) * 100,
	};

	rtc->offset = timegm(&tm) - time(NULL);
}

static void rtc_raise(struct rtc *rtc, u8 flags)
{
	rtc->cmos[RTC_C] |= flags;
	if (rtc->cmos[RTC_C] & rtc->cmos[RTC_B] & INT_ANY)
		rtc->cmos[RTC_C] |= C_IRQ;
	intr_set(&rtc->machine->intr, IRQ_RTC, 0, rtc->cmos[RTC_C] & C_IRQ);
}

/* Reading C acknowledges all of it. */
static u8 rtc_read_flags(struct rtc *rtc)
{
	u8 flags = rtc->cmos[RTC_C];

	rtc->cmos[RTC_C] = 0;
	intr_set(&rtc->machine->intr, IRQ_RTC, 0, false);
	return flags;
}

static bool rtc_alarm_matches(const struct rtc *rtc)
{
	for (u8 reg = RTC_SECONDS; reg <= RTC_HOURS; reg += 2) {
		u8 alarm = rtc->cmos[reg + 1];

		if (alarm < ALARM_ANY && alarm != rtc->cmos[reg])
			return false;
	}
	return true;
}

static void rtc_on_second(void *opaque, u32 events)
{
	struct rtc *rtc = opaque;
	u64 count;

	if (read(rtc->second_fd, &count, sizeof(count)) != sizeof(count))
		return;
	pthread_mutex_lock(&rtc->lock);
	if (!(rtc->cmos[RTC_B] & B_SET)) {
		rtc_load_time(rtc);
		rtc_raise(rtc, INT_UPDATE | (rtc_alarm_matches(rtc) ? INT_ALARM : 0));
	}
	pthread_mutex_unlock(&rtc->lock);
}

static void rtc_on_period(void *opaque, u32 events)
{
	struct rtc *rtc = opaque;
	u64 count;

	if (read(rtc->periodic_fd, &count, sizeof(count)) != sizeof(count))
		return;
	pthread_mutex_lock(&rtc->lock);
	rtc_raise(rtc, INT_PERIODIC);
	pthread_mutex_unlock(&rtc->lock);
}

/* The rate in A: 32768 Hz, halved rate - 1 times; 1 and 2 mean 8 and 9 (MC146818A, table 5). */
static u64 rtc_period_ns(const struct rtc *rtc)
{
	unsigned rate = rtc->cmos[RTC_A] & 15;

	if (!rate)
		return 0;
	return (1000000000ull << ((rate <= 2 ? rate + 7 : rate) - 1)) / 32768;
}

static void rtc_arm(int fd, int flags, struct timespec first, u64 period_ns)
{
	struct itimerspec timer = {
		.it_value = first,
		.it_interval.tv_sec = period_ns / 1000000000,
		.it_interval.tv_nsec = period_ns % 1000000000,
	};

	timerfd_settime(fd, flags, &timer, NULL);
}

/* The guest changed A or B: the host's timers run only while their interrupts are wanted. */
static void rtc_update_timers(struct rtc *rtc)
{
	struct timespec second = {0}, period = {0};
	bool ticks = rtc->cmos[RTC_B] & (INT_UPDATE | INT_ALARM);
	u64 ns = rtc->cmos[RTC_B] & INT_PERIODIC ? rtc_period_ns(rtc) : 0;

	if (ticks)
		second.tv_sec = time(NULL) + 1;
	period.tv_sec = ns / 1000000000;
	period.tv_nsec = ns % 1000000000;
	rtc_arm(rtc->second_fd, TFD_TIMER_ABSTIME, second, ticks ? 1000000000 : 0);
	rtc_arm(rtc->periodic_fd, 0, period, ns);
	rtc_raise(rtc, 0);
}

static bool rtc_is_time(u8 reg)
{
	return reg <= RTC_YEAR ? !(reg & 1) || reg >= RTC_DAY : reg == RTC_CENTURY;
}

static u64 rtc_read(void *opaque, u64 port, unsigned len)
{
	struct rtc *rtc = opaque;
	u8 value;

	if (port == 0)
		return 0xff; /* the index is write-only */
	pthread_mutex_lock(&rtc->lock);
	if (rtc_is_time(rtc->index) && !(rtc->cmos[RTC_B] & B_SET))
		rtc_load_time(rtc);
	value = rtc->index == RTC_C ? rtc_read_flags(rtc) : rtc->cmos[rtc->index];
	pthread_mutex_unlock(&rtc->lock);
	return value;
}

static void rtc_write_reg(struct rtc *rtc, u8 reg, u8 value)
{
	if (reg == RTC_C || reg == RTC_D)
		return;
	/* With B.SET the clock stands still while the guest writes it. */
	if (reg == RTC_B && (value & B_SET) && !(rtc->cmos[RTC_B] & B_SET))
		rtc_load_time(rtc);
	if (reg == RTC_B && !(value & B_SET) && (rtc->cmos[RTC_B] & B_SET))
		rtc_store_time(rtc);
	rtc->cmos[reg] = reg == RTC_A ? value & 0x7f : value;
	if (rtc_is_time(reg) && !(rtc->cmos[RTC_B] & B_SET))
		rtc_store_time(rtc);
	if (reg == RTC_A || reg == RTC_B)
		rtc_update_timers(rtc);
}

static void rtc_write(void *opaque, u64 port, unsigned len, u64 value)
{
	struct rtc *rtc = opaque;

	pthread_mutex_lock(&rtc->lock);
	if (port == 0)
		rtc->index = value & 0x7f; /* bit 7 masks NMIs, of which there are none */
	else
		rtc_write_reg(rtc, rtc->index, value);
	pthread_mutex_unlock(&rtc->lock);
}

static const struct bus_ops rtc_ops = {rtc_read, rtc_write};

static int rtc_add_timer(struct machine *m, int *fd, clockid_t clock, loop_fn fn, struct rtc *rtc)
{
	*fd = timerfd_create(clock, TFD_CLOEXEC | TFD_NONBLOCK);
	if (*fd < 0)
		return -errno;
	return loop_add(&m->loop, *fd, EPOLLIN, fn, rtc);
}

int rtc_init(struct rtc *rtc, struct machine *m)
{
	int ret;

	memset(rtc, 0, sizeof(*rtc));
	rtc->machine = m;
	pthread_mutex_init(&rtc->lock, NULL);
	rtc->cmos[RTC_A] = A_DEFAULT;
	rtc->cmos[RTC_B] = B_24H;
	rtc->cmos[RTC_D] = D_VALID;
	rtc_load_time(rtc);
	rtc->periodic_fd = -1;
	ret = rtc_add_timer(m, &rtc->second_fd, CLOCK_REALTIME, rtc_on_second, rtc);
	if (!ret)
		ret = rtc_add_timer(m, &rtc->periodic_fd, CLOCK_MONOTONIC, rtc_on_period, rtc);
	if (!ret)
		ret = bus_add(&m->pio, PLATFORM_RTC, 2, &rtc_ops, rtc);
	return ret;
}

void rtc_destroy(struct rtc *rtc)
{
	if (!rtc->machine)
		return;
	loop_remove(&rtc->machine->loop, rtc->second_fd);
	close(rtc->second_fd);
	if (rtc->periodic_fd >= 0) {
		loop_remove(&rtc->machine->loop, rtc->periodic_fd);
		close(rtc->periodic_fd);
	}
}

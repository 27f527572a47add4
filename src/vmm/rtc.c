/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>
#include <time.h>
#include "vmm/platform.h"
#include "vmm/rtc.h"

enum {
	RTC_SECONDS = 0,
	RTC_MINUTES = 2,
	RTC_HOURS = 4,
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
	value = rtc->cmos[rtc->index];
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

int rtc_init(struct rtc *rtc, struct machine *m)
{
	memset(rtc, 0, sizeof(*rtc));
	pthread_mutex_init(&rtc->lock, NULL);
	rtc->cmos[RTC_A] = A_DEFAULT;
	rtc->cmos[RTC_B] = B_24H;
	rtc->cmos[RTC_D] = D_VALID;
	rtc_load_time(rtc);
	return bus_add(&m->pio, PLATFORM_RTC, 2, &rtc_ops, rtc);
}

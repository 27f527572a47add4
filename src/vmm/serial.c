/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>
#include "vmm/platform.h"
#include "vmm/serial.h"

/* Registers, by offset; the first two are the divisor while LCR.DLAB is set. */
enum { REG_DATA, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR };

#define IER_RX	   0x01
#define IER_THRE   0x02
#define IER_LINE   0x04
#define IIR_NONE   0x01
#define IIR_THRE   0x02
#define IIR_RX	   0x04
#define IIR_LINE   0x06
#define IIR_FIFO   0xc0
#define FCR_ENABLE 0x01
#define FCR_CLR_RX 0x02
#define LCR_DLAB   0x80
#define MCR_LOOP   0x10
#define LSR_DATA   0x01
#define LSR_OVER   0x02
#define LSR_IDLE   0x60 /* transmitter holding register and shifter empty: always */
#define POLLING	   64	/* so many reads of LSR in a row: the guest waits for input */
#define MSR_READY  0xb0 /* CTS, DSR, DCD */

static u8 serial_iir(const struct serial *s)
{
	if ((s->ier & IER_LINE) && s->overrun)
		return IIR_LINE;
	if ((s->ier & IER_RX) && s->count)
		return IIR_RX;
	if ((s->ier & IER_THRE) && s->thre_pending)
		return IIR_THRE;
	return IIR_NONE;
}

static void serial_update_irq(struct serial *s)
{
	intr_set(s->intr, IRQ_COM1, 0, serial_iir(s) != IIR_NONE);
}

static bool serial_push(struct serial *s, u8 byte)
{
	if (s->count == SERIAL_FIFO)
		return false;
	s->fifo[(s->head + s->count++) % SERIAL_FIFO] = byte;
	return true;
}

static u8 serial_pop(struct serial *s)
{
	u8 byte;

	if (!s->count)
		return 0;
	byte = s->fifo[s->head];
	s->head = (s->head + 1) % SERIAL_FIFO;
	s->count--;
	return byte;
}

/* In loopback the outputs DTR, RTS, OUT1, OUT2 come back as DSR, CTS, RI, DCD. */
static u8 serial_msr(const struct serial *s)
{
	if (!(s->mcr & MCR_LOOP))
		return MSR_READY;
	return (s->mcr & 0x0c) << 4 | (s->mcr & 0x02) << 3 | (s->mcr & 0x01) << 5;
}

static u8 serial_read_lsr(struct serial *s)
{
	u8 lsr = LSR_IDLE | (s->count ? LSR_DATA : 0) | (s->overrun ? LSR_OVER : 0);

	if (s->overrun) {
		s->overrun = false;
		serial_update_irq(s);
	}
	return lsr;
}

static u8 serial_read_iir(struct serial *s)
{
	u8 iir = serial_iir(s);

	if (iir == IIR_THRE)
		s->thre_pending = false;
	return iir | (s->fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

static u8 serial_read_reg(struct serial *s, unsigned reg)
{
	bool dlab = s->lcr & LCR_DLAB;

	switch (reg) {
	case REG_DATA:
		return dlab ? s->dll : serial_pop(s);
	case REG_IER:
		return dlab ? s->dlm : s->ier;
	case REG_IIR_FCR:
		return serial_read_iir(s);
	case REG_LCR:
		return s->lcr;
	case REG_MCR:
		return s->mcr;
	case REG_LSR:
		return serial_read_lsr(s);
	case REG_MSR:
		return serial_msr(s);
	default:
		return s->scr;
	}
}

/*
 * A driver that starts throws away what it finds in the FIFO, so input (from a script, perhaps)
 * waits until the guest enables the interrupt, or polls. And it comes in FIFOs, not in a stream, or
 * a driver that empties the FIFO in its interrupt handler would never get out of it.
 */
static bool serial_wants_input(const struct serial *s)
{
	return !(s->mcr & MCR_LOOP) && !s->count && ((s->ier & IER_RX) || s->polls >= POLLING);
}

static u64 serial_read(void *opaque, u64 reg, unsigned len)
{
	struct serial *s = opaque;
	bool wanted;
	u8 value;

	pthread_mutex_lock(&s->lock);
	wanted = serial_wants_input(s);
	if (reg == REG_LSR)
		s->polls += s->polls < POLLING;
	value = serial_read_reg(s, reg);
	if (reg != REG_LSR)
		serial_update_irq(s);
	wanted = !wanted && serial_wants_input(s);
	pthread_mutex_unlock(&s->lock);
	if (wanted && s->con)
		console_resume_input(s->con);
	return value;
}

static void serial_write_data(struct serial *s, u8 value)
{
	s->thre_pending = true;
	if ((s->mcr & MCR_LOOP) && !serial_push(s, value))
		s->overrun = true;
	if (!(s->mcr & MCR_LOOP) && s->con)
		console_write(s->con, &value, 1);
}

static void serial_write_ier(struct serial *s, u8 value)
{
	/* Enabling the interrupt while the transmitter is empty raises it at once. */
	if (!(s->ier & IER_THRE) && (value & IER_THRE))
		s->thre_pending = true;
	s->ier = value & 0x0f;
}

static void serial_write_fcr(struct serial *s, u8 value)
{
	if ((value & FCR_CLR_RX) || ((value ^ s->fcr) & FCR_ENABLE))
		s->count = 0;
	s->fcr = value;
}

static void serial_write_reg(struct serial *s, unsigned reg, u8 value)
{
	bool dlab = s->lcr & LCR_DLAB;

	switch (reg) {
	case REG_DATA:
		if (dlab)
			s->dll = value;
		else
			serial_write_data(s, value);
		break;
	case REG_IER:
		if (dlab)
			s->dlm = value;
		else
			serial_write_ier(s, value);
		break;
	case REG_IIR_FCR:
		serial_write_fcr(s, value);
		break;
	case REG_LCR:
		s->lcr = value;
		break;
	case REG_MCR:
		s->mcr = value & 0x1f;
		break;
	case REG_SCR:
		s->scr = value;
		break;
	}
}

static void serial_write(void *opaque, u64 reg, unsigned len, u64 value)
{
	struct serial *s = opaque;
	bool wanted;

	pthread_mutex_lock(&s->lock);
	wanted = serial_wants_input(s);
	if (reg == REG_DATA)
		s->polls = 0;
	serial_write_reg(s, reg, value);
	serial_update_irq(s);
	wanted = !wanted && serial_wants_input(s);
	pthread_mutex_unlock(&s->lock);
	if (wanted && s->con)
		console_resume_input(s->con);
}

static size_t serial_on_input(void *opaque, const u8 *data, size_t len)
{
	struct serial *s = opaque;
	size_t n = 0;

	pthread_mutex_lock(&s->lock);
	if (serial_wants_input(s))
		while (n < len && serial_push(s, data[n]))
			n++;
	serial_update_irq(s);
	pthread_mutex_unlock(&s->lock);
	return n;
}

static const struct bus_ops serial_ops = {serial_read, serial_write};

int serial_init(struct serial *s, struct machine *m, struct console *con)
{
	memset(s, 0, sizeof(*s));
	s->con = con;
	s->intr = &m->intr;
	s->dll = 1;
	pthread_mutex_init(&s->lock, NULL);
	if (con)
		console_attach(con, serial_on_input, s);
	return bus_add(&m->pio, PLATFORM_COM1, 8, &serial_ops, s);
}

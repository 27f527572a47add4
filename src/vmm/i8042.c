/* SPDX-License-Identifier: BSD-2-Clause */
/* The 8042's commands as Linux and boot loaders probe them; its ports have nothing plugged in. */
#include <string.h>
#include "vmm/legacy.h"
#include "vmm/platform.h"

#define STATUS_FULL   0x01 /* output buffer */
#define STATUS_SYSTEM 0x04 /* self-test passed */
#define STATUS_UNLOCK 0x10

#define CMD_READ_CONFIG	 0x20
#define CMD_WRITE_CONFIG 0x60
#define CMD_TEST_AUX	 0xa9
#define CMD_SELF_TEST	 0xaa
#define CMD_TEST_KBD	 0xab
#define CMD_READ_OUTPUT	 0xd0
#define CMD_WRITE_OUTPUT 0xd1
#define CMD_LOOP_KBD	 0xd2
#define CMD_LOOP_AUX	 0xd3
#define CMD_WRITE_AUX	 0xd4
#define CMD_PULSE	 0xf0 /* to 0xff: pulse low the output lines whose bit is 0 */

#define SELF_TEST_OK 0x55
#define PORT_TEST_OK 0x00

static void i8042_reply(struct i8042 *kbc, u8 data)
{
	kbc->data = data;
	kbc->full = true;
}

static void i8042_write_output(struct i8042 *kbc, u8 value)
{
	kbc->output_port = value;
	if (!(value & 1))
		machine_stop(kbc->machine, MACHINE_RESET);
}

static void i8042_do_command(struct i8042 *kbc, u8 cmd)
{
	kbc->command = 0;
	switch (cmd) {
	case CMD_READ_CONFIG:
		i8042_reply(kbc, kbc->config);
		break;
	case CMD_SELF_TEST:
		i8042_reply(kbc, SELF_TEST_OK);
		break;
	case CMD_TEST_KBD:
	case CMD_TEST_AUX:
		i8042_reply(kbc, PORT_TEST_OK);
		break;
	case CMD_READ_OUTPUT:
		i8042_reply(kbc, kbc->output_port);
		break;
	case CMD_WRITE_CONFIG:
	case CMD_WRITE_OUTPUT:
	case CMD_LOOP_KBD:
	case CMD_LOOP_AUX:
	case CMD_WRITE_AUX:
		kbc->command = cmd;
		break;
	default:
		if (cmd >= CMD_PULSE && !(cmd & 1))
			machine_stop(kbc->machine, MACHINE_RESET);
	}
}

static void i8042_do_data(struct i8042 *kbc, u8 value)
{
	u8 cmd = kbc->command;

	kbc->command = 0;
	if (cmd == CMD_WRITE_CONFIG)
		kbc->config = value;
	else if (cmd == CMD_WRITE_OUTPUT)
		i8042_write_output(kbc, value);
	else if (cmd == CMD_LOOP_KBD || cmd == CMD_LOOP_AUX)
		i8042_reply(kbc, value);
}

static u64 i8042_read_data(void *opaque, u64 off, unsigned len)
{
	struct i8042 *kbc = opaque;
	u8 data;

	pthread_mutex_lock(&kbc->lock);
	data = kbc->data;
	kbc->full = false;
	pthread_mutex_unlock(&kbc->lock);
	return data;
}

static void i8042_write_data(void *opaque, u64 off, unsigned len, u64 value)
{
	struct i8042 *kbc = opaque;

	pthread_mutex_lock(&kbc->lock);
	i8042_do_data(kbc, value);
	pthread_mutex_unlock(&kbc->lock);
}

static u64 i8042_read_status(void *opaque, u64 off, unsigned len)
{
	struct i8042 *kbc = opaque;

	return STATUS_SYSTEM | STATUS_UNLOCK | (kbc->full ? STATUS_FULL : 0);
}

static void i8042_write_command(void *opaque, u64 off, unsigned len, u64 value)
{
	struct i8042 *kbc = opaque;

	pthread_mutex_lock(&kbc->lock);
	i8042_do_command(kbc, value);
	pthread_mutex_unlock(&kbc->lock);
}

static const struct bus_ops data_ops = {i8042_read_data, i8042_write_data};
static const struct bus_ops command_ops = {i8042_read_status, i8042_write_command};

int i8042_init(struct i8042 *kbc, struct machine *m)
{
	int ret;

	memset(kbc, 0, sizeof(*kbc));
	kbc->machine = m;
	kbc->output_port = 3;
	pthread_mutex_init(&kbc->lock, NULL);
	ret = bus_add(&m->pio, PLATFORM_I8042_DATA, 1, &data_ops, kbc);
	if (!ret)
		ret = bus_add(&m->pio, PLATFORM_I8042_COMMAND, 1, &command_ops, kbc);
	return ret;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio devices as a driver sees them. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_vsock.h>
#include "virtio_fixture.h"

#define DISK_SIZE (64 << 10)

static int out[2];

static int setup(void **state)
{
	assert_int_equal(pipe(out), 0);
	*state = fixture_create(out[1]);
	return 0;
}

static int teardown(void **state)
{
	fixture_destroy(*state);
	close(out[0]);
	close(out[1]);
	return 0;
}

/* -- the transport ----------------------------------------------------------------------------- */

static void test_negotiation(void **state)
{
	struct virtio_fixture *f = *state;
	struct virtio_dev *dev;

	assert_int_equal(virtio_rng_create(&f->board, ""), 0);
	dev = fixture_device(f, 1);
	assert_int_equal(pci_config_get(&dev->pci, PCI_DEVICE, 2), 0x1044);
	common_set(f, dev, VIRTIO_PCI_COMMON_DFSELECT, 4, 1);
	assert_int_equal(common_get(f, dev, VIRTIO_PCI_COMMON_DF, 4), 1);
	fixture_negotiate(f, dev, 0); /* not without VERSION_1 */
	assert_int_equal(common_get(f, dev, VIRTIO_PCI_COMMON_STATUS, 1), 3);
	fixture_negotiate(f, dev, VIRTIO_FEATURE_VERSION_1 | BIT(5)); /* never offered */
	assert_int_equal(common_get(f, dev, VIRTIO_PCI_COMMON_STATUS, 1), 3);
	fixture_negotiate(f, dev, VIRTIO_FEATURE_VERSION_1);
	assert_int_equal(common_get(f, dev, VIRTIO_PCI_COMMON_STATUS, 1), 11);
	assert_int_equal(common_get(f, dev, VIRTIO_PCI_COMMON_NUMQ, 2), 1);
	common_set(f, dev, VIRTIO_PCI_COMMON_Q_SELECT, 2, 1);
	assert_int_equal(common_get(f, dev, VIRTIO_PCI_COMMON_Q_SIZE, 2), 0);
	common_set(f, dev, VIRTIO_PCI_COMMON_Q_SELECT, 2, 0);
	common_set(f, dev, VIRTIO_PCI_COMMON_Q_MSIX, 2, 1);
	assert_int_equal(common_get(f, dev, VIRTIO_PCI_COMMON_Q_MSIX, 2), 1);
	common_set(f, dev, VIRTIO_PCI_COMMON_Q_MSIX, 2, 2); /* there are two vectors */
	assert_int_equal(common_get(f, dev, VIRTIO_PCI_COMMON_Q_MSIX, 2), 0xffff);
}

static void test_bad_queue_asks_for_reset(void **state)
{
	struct virtio_fixture *f = *state;
	struct virtio_dev *dev;

	assert_int_equal(virtio_rng_create(&f->board, ""), 0);
	dev = fixture_device(f, 1);
	fixture_negotiate(f, dev, VIRTIO_FEATURE_VERSION_1);
	common_set(f, dev, VIRTIO_PCI_COMMON_Q_DESCHI, 4, 0xff);
	common_set(f, dev, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	assert_true(common_get(f, dev, VIRTIO_PCI_COMMON_STATUS, 1) & VIRTIO_NEEDS_RESET);
	fixture_start(f, dev, 0);
	fixture_offer(f, 0, 0xffff);
	fixture_serve(dev, 0);
	assert_true(common_get(f, dev, VIRTIO_PCI_COMMON_STATUS, 1) & VIRTIO_NEEDS_RESET);
	common_set(f, dev, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	assert_int_equal(common_get(f, dev, VIRTIO_PCI_COMMON_STATUS, 1), 0);
}

static void test_rng_and_intx(void **state)
{
	struct virtio_fixture *f = *state;
	static const u8 zeros[32];
	struct virtio_dev *dev;

	assert_int_equal(virtio_rng_create(&f->board, ""), 0);
	dev = fixture_device(f, 1);
	fixture_start(f, dev, 0);
	fixture_desc(f, 0, 0, DATA_AT, 32, VIRTQ_DESC_WRITE, 0);
	fixture_offer(f, 0, 0);
	fixture_serve(dev, 0);
	assert_int_equal(fixture_used(f, 0), 1);
	assert_memory_not_equal(f->ram + DATA_AT, zeros, 32);
	assert_int_equal(f->m.intr.sources[pci_intx_line(1)], 2);
	assert_int_equal(common_get(f, dev, 0x1000, 1), 1); /* the interrupt status */
	assert_int_equal(f->m.intr.sources[pci_intx_line(1)], 0);
	assert_int_equal(common_get(f, dev, 0x1000, 1), 0);
}

/* The window in configuration space reads the same as the BAR. */
static void test_config_window(void **state)
{
	struct virtio_fixture *f = *state;
	struct virtio_dev *dev;
	unsigned cap;

	assert_int_equal(virtio_rng_create(&f->board, ""), 0);
	dev = fixture_device(f, 1);
	cap = dev->pci_cfg_cap;
	bus_write(&f->m.pio, 0xcf8, 4, 0x80000800 | (cap + 4));
	bus_write(&f->m.pio, 0xcfc, 1, 0);
	bus_write(&f->m.pio, 0xcf8, 4, 0x80000800 | (cap + 8));
	bus_write(&f->m.pio, 0xcfc, 4, VIRTIO_PCI_COMMON_NUMQ);
	bus_write(&f->m.pio, 0xcf8, 4, 0x80000800 | (cap + 12));
	bus_write(&f->m.pio, 0xcfc, 4, 2);
	bus_write(&f->m.pio, 0xcf8, 4, 0x80000800 | (cap + 16));
	assert_int_equal(bus_read(&f->m.pio, 0xcfc, 2), 1);
}

/* -- disk -------------------------------------------------------------------------------------- */

static int make_disk(struct virtio_fixture *f, char *path, const char *suffix)
{
	char args[64];
	int fd;

	strcpy(path, "/tmp/nestkvm-disk-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, DISK_SIZE), 0);
	snprintf(args, sizeof(args), "%s%s", path, suffix);
	assert_int_equal(virtio_blk_create(&f->board, args), 0);
	unlink(path);
	return fd;
}

/* One request through queue 0; the data is at DATA_AT + 0x1000. Returns the status byte. */
static u8 request(struct virtio_fixture *f, u32 type, u64 sector, u32 len, bool to_guest)
{
	struct virtio_dev *dev = fixture_device(f, 1);
	struct virtio_blk_outhdr hdr = {.type = type, .sector = sector};

	memcpy(f->ram + DATA_AT, &hdr, sizeof(hdr));
	f->ram[DATA_AT + 0x100] = 0xff;
	fixture_desc(f, 0, 0, DATA_AT, sizeof(hdr), VIRTQ_DESC_NEXT, len ? 1 : 2);
	fixture_desc(f, 0, 1, DATA_AT + 0x1000, len,
		     VIRTQ_DESC_NEXT | (to_guest ? VIRTQ_DESC_WRITE : 0), 2);
	fixture_desc(f, 0, 2, DATA_AT + 0x100, 1, VIRTQ_DESC_WRITE, 0);
	fixture_offer(f, 0, 0);
	fixture_serve(dev, 0);
	return f->ram[DATA_AT + 0x100];
}

static void test_disk(void **state)
{
	struct virtio_fixture *f = *state;
	u8 *data = f->ram + DATA_AT + 0x1000, sector[512];
	char path[64];
	int fd = make_disk(f, path, "");

	fixture_start(f, fixture_device(f, 1), BIT(VIRTIO_BLK_F_FLUSH));
	assert_int_equal(common_get(f, fixture_device(f, 1), 0x2000, 8), DISK_SIZE / 512);
	memset(data, 0x5a, 1024);
	assert_int_equal(request(f, VIRTIO_BLK_T_OUT, 3, 1024, false), VIRTIO_BLK_S_OK);
	assert_int_equal(pread(fd, sector, 512, 4 * 512), 512);
	assert_int_equal(sector[0], 0x5a);
	memset(data, 0, 1024);
	assert_int_equal(request(f, VIRTIO_BLK_T_IN, 4, 1024, true), VIRTIO_BLK_S_OK);
	assert_int_equal(data[511], 0x5a);
	assert_int_equal(data[512], 0);
	assert_int_equal(request(f, VIRTIO_BLK_T_FLUSH, 0, 0, false), VIRTIO_BLK_S_OK);
	assert_int_equal(request(f, VIRTIO_BLK_T_GET_ID, 0, 20, true), VIRTIO_BLK_S_OK);
	assert_memory_equal(data, path + strlen("/tmp/"), 19);
	close(fd);
}

static void test_disk_bounds(void **state)
{
	struct virtio_fixture *f = *state;
	char path[64];
	int fd = make_disk(f, path, "");

	fixture_start(f, fixture_device(f, 1), 0);
	assert_int_equal(request(f, VIRTIO_BLK_T_IN, 127, 512, true), VIRTIO_BLK_S_OK);
	assert_int_equal(request(f, VIRTIO_BLK_T_IN, 127, 1024, true), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(f, VIRTIO_BLK_T_IN, 128, 512, true), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(f, VIRTIO_BLK_T_OUT, 1ull << 55, 512, false), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(f, VIRTIO_BLK_T_OUT, ~0ull, 512, false), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(f, VIRTIO_BLK_T_IN, 0, 100, true), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(f, 77, 0, 512, true), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(lseek(fd, 0, SEEK_END), DISK_SIZE);
	/* A file that has shrunk meanwhile is an error of the disk. */
	assert_int_equal(ftruncate(fd, 512), 0);
	assert_int_equal(request(f, VIRTIO_BLK_T_IN, 8, 512, true), VIRTIO_BLK_S_IOERR);
	close(fd);
}

static void test_disk_clearing(void **state)
{
	struct virtio_fixture *f = *state;
	struct virtio_blk_discard_write_zeroes range = {.sector = 2, .num_sectors = 4};
	u8 *data = f->ram + DATA_AT + 0x1000, sector[512];
	char path[64];
	int fd = make_disk(f, path, "");

	fixture_start(f, fixture_device(f, 1), 0);
	memset(sector, 1, sizeof(sector));
	for (int i = 0; i < 8; i++)
		assert_int_equal(pwrite(fd, sector, 512, 512 * i), 512);
	memcpy(data, &range, sizeof(range));
	assert_int_equal(request(f, VIRTIO_BLK_T_WRITE_ZEROES, 0, sizeof(range), false), 0);
	assert_int_equal(pread(fd, sector, 512, 512 * 5), 512);
	assert_int_equal(sector[0], 0);
	assert_int_equal(pread(fd, sector, 512, 512 * 6), 512);
	assert_int_equal(sector[0], 1);
	assert_int_equal(request(f, VIRTIO_BLK_T_DISCARD, 0, sizeof(range), false), 0);
	range.sector = 126;
	memcpy(data, &range, sizeof(range));
	assert_int_equal(request(f, VIRTIO_BLK_T_DISCARD, 0, sizeof(range), false), 1);
	assert_int_equal(request(f, VIRTIO_BLK_T_DISCARD, 0, 15, false), 1);
	close(fd);
}

static void test_disk_read_only(void **state)
{
	struct virtio_fixture *f = *state;
	struct virtio_dev *dev;
	char path[64];
	int fd = make_disk(f, path, ",ro");

	dev = fixture_device(f, 1);
	assert_true(dev->features & BIT(VIRTIO_BLK_F_RO));
	assert_false(dev->features & BIT(VIRTIO_BLK_F_DISCARD));
	fixture_start(f, dev, BIT(VIRTIO_BLK_F_RO));
	assert_int_equal(request(f, VIRTIO_BLK_T_IN, 0, 512, true), VIRTIO_BLK_S_OK);
	assert_int_equal(request(f, VIRTIO_BLK_T_OUT, 0, 512, false), VIRTIO_BLK_S_IOERR);
	close(fd);
}

static void test_disk_without_status_breaks(void **state)
{
	struct virtio_fixture *f = *state;
	struct virtio_dev *dev;
	char path[64];
	int fd = make_disk(f, path, "");

	dev = fixture_device(f, 1);
	fixture_start(f, dev, 0);
	fixture_desc(f, 0, 0, DATA_AT, 16, 0, 0);
	fixture_offer(f, 0, 0);
	fixture_serve(dev, 0);
	assert_true(dev->status & VIRTIO_NEEDS_RESET);
	close(fd);
}

static void test_disk_refuses(void **state)
{
	struct virtio_fixture *f = *state;
	char path[64], again[64];
	int fd;

	assert_int_equal(virtio_blk_create(&f->board, "/nonexistent/disk"), -ENOENT);
	assert_int_equal(virtio_blk_create(&f->board, "/tmp"), -EISDIR);
	assert_true(virtio_blk_create(&f->board, "/dev/null") < 0);
	fd = make_disk(f, path, "");
	snprintf(again, sizeof(again), "/proc/self/fd/%d", fd);
	assert_int_equal(virtio_blk_create(&f->board, again), -EBUSY);
	close(fd);
}

/* -- console ----------------------------------------------------------------------------------- */

static void test_console(void **state)
{
	struct virtio_fixture *f = *state;
	struct virtio_dev *dev;
	char text[8] = "";

	assert_int_equal(virtio_console_create(&f->board, ""), 0);
	dev = fixture_device(f, 1);
	fixture_start(f, dev, 0);
	memcpy(f->ram + DATA_AT, "hello\n", 6);
	fixture_desc(f, 1, 0, DATA_AT, 6, 0, 0);
	fixture_offer(f, 1, 0);
	fixture_serve(dev, 1);
	assert_int_equal(read(out[0], text, 6), 6);
	assert_string_equal(text, "hello\n");
	assert_int_equal(f->con.input(f->con.input_opaque, (u8 *)"abc", 3), 0);
	fixture_desc(f, 0, 0, DATA_AT, 2, VIRTQ_DESC_WRITE, 0);
	fixture_offer(f, 0, 0);
	assert_int_equal(f->con.input(f->con.input_opaque, (u8 *)"abc", 3), 2);
	assert_memory_equal(f->ram + DATA_AT, "ab", 2);
}

/* -- sockets ----------------------------------------------------------------------------------- */

static void send_packet(struct virtio_fixture *f, u16 op, u32 host_port, const char *data, u32 len)
{
	struct virtio_vsock_hdr hdr = {
		.src_cid = 3,
		.dst_cid = 2,
		.src_port = 700,
		.dst_port = host_port,
		.len = len,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = op,
		.buf_alloc = 1000,
	};

	memcpy(f->ram + DATA_AT, &hdr, sizeof(hdr));
	memcpy(f->ram + DATA_AT + sizeof(hdr), data, len);
	fixture_desc(f, 1, 0, DATA_AT, sizeof(hdr) + len, 0, 0);
	fixture_offer(f, 1, 0);
	fixture_serve(fixture_device(f, 1), 1);
}

/* Offers a buffer and returns what came; op 0 when nothing did. */
static struct virtio_vsock_hdr take_packet(struct virtio_fixture *f, char *data, u32 room)
{
	struct virtio_vsock_hdr hdr = {0};
	u16 used = fixture_used(f, 0);

	if (*fixture_word(f, AVAIL_AT, 0, 1) == used) {
		fixture_desc(f, 0, 0, DATA_AT + 0x10000, sizeof(hdr) + room, VIRTQ_DESC_WRITE, 0);
		fixture_offer(f, 0, 0);
	}
	for (int i = 0; i < 500 && fixture_used(f, 0) == used; i++) {
		fixture_serve(fixture_device(f, 1), 0);
		if (fixture_used(f, 0) == used)
			usleep(1000); /* the device's thread may still be on its way */
	}
	if (fixture_used(f, 0) == used)
		return hdr;
	memcpy(&hdr, f->ram + DATA_AT + 0x10000, sizeof(hdr));
	if (hdr.len)
		memcpy(data, f->ram + DATA_AT + 0x10000 + sizeof(hdr), MIN(hdr.len, room));
	return hdr;
}

static void test_vsock_to_host(void **state)
{
	struct virtio_fixture *f = *state;
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd, listener = socket(AF_UNIX, SOCK_STREAM, 0);
	struct virtio_vsock_hdr hdr;
	char args[64], data[64] = "";

	snprintf(args, sizeof(args), "3,path=/tmp/nestkvm-vsock-test-%d", getpid());
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s_52", args + 7);
	assert_int_equal(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(virtio_vsock_create(&f->board, args), 0);
	fixture_start(f, fixture_device(f, 1), 0);

	send_packet(f, VIRTIO_VSOCK_OP_REQUEST, 53, "", 0); /* nobody there */
	assert_int_equal(take_packet(f, data, 16).op, VIRTIO_VSOCK_OP_RST);
	send_packet(f, VIRTIO_VSOCK_OP_REQUEST, 52, "", 0);
	hdr = take_packet(f, data, 16);
	assert_int_equal(hdr.op, VIRTIO_VSOCK_OP_RESPONSE);
	assert_int_equal(hdr.buf_alloc, 65536);
	fd = accept(listener, NULL, NULL);
	send_packet(f, VIRTIO_VSOCK_OP_RW, 52, "ping", 4);
	assert_int_equal(read(fd, data, sizeof(data)), 4);
	assert_memory_equal(data, "ping", 4);
	assert_int_equal(write(fd, "pong!", 5), 5);
	hdr = take_packet(f, data, 3); /* a small buffer gets a part */
	assert_int_equal(hdr.op, VIRTIO_VSOCK_OP_RW);
	assert_int_equal(hdr.len, 3);
	assert_int_equal(hdr.fwd_cnt, 4);
	assert_memory_equal(data, "pon", 3);
	assert_int_equal(take_packet(f, data, 16).len, 2);
	shutdown(fd, SHUT_WR);
	hdr = take_packet(f, data, 16);
	assert_int_equal(hdr.op, VIRTIO_VSOCK_OP_SHUTDOWN);
	assert_int_equal(hdr.flags, VIRTIO_VSOCK_SHUTDOWN_SEND);
	send_packet(f, VIRTIO_VSOCK_OP_RW, 52, "bye", 3);
	assert_int_equal(read(fd, data, sizeof(data)), 3);
	close(fd);
	assert_int_equal(take_packet(f, data, 16).op, VIRTIO_VSOCK_OP_SHUTDOWN);
	send_packet(f, VIRTIO_VSOCK_OP_RW, 52, "x", 1);
	assert_int_equal(take_packet(f, data, 16).op, VIRTIO_VSOCK_OP_RST);
	close(listener);
	unlink(addr.sun_path);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_negotiation),
		TEST(test_bad_queue_asks_for_reset),
		TEST(test_rng_and_intx),
		TEST(test_config_window),
		TEST(test_disk),
		TEST(test_disk_bounds),
		TEST(test_disk_clearing),
		TEST(test_disk_read_only),
		TEST(test_disk_without_status_breaks),
		TEST(test_disk_refuses),
		TEST(test_console),
		TEST(test_vsock_to_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

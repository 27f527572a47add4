/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A driver that breaks every rule, for all virtio devices at once: rings, descriptors, registers.
 * The input is a program of four-byte steps. With libFuzzer: clang -fsanitize=fuzzer,address.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include "../unit/virtio_fixture.h"

#define MAX_STEPS 400
#define DEVICES	  4

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static struct virtio_fixture *fuzz_create(void)
{
	struct virtio_fixture *f = fixture_create(open("/dev/null", O_WRONLY | O_CLOEXEC));
	char path[] = "/tmp/nestkvm-fuzz-XXXXXX", args[64];
	int fd = mkstemp(path);

	snprintf(args, sizeof(args), "3,path=%s.sock", path);
	if (fd < 0 || ftruncate(fd, 1 << 20) < 0 || virtio_blk_create(&f->board, path) ||
	    virtio_rng_create(&f->board, "") || virtio_console_create(&f->board, "") ||
	    virtio_vsock_create(&f->board, args))
		abort();
	unlink(path);
	unlink(args + 7);
	close(fd);
	return f;
}

/* Addresses near the rings and the data, at the edges of RAM, and anywhere. */
static u64 fuzz_addr(u8 a, u8 b)
{
	switch (a % 8) {
	case 0:
		return sizeof(((struct virtio_fixture *)0)->ram) - b;
	case 1:
		return ~0ull - b;
	case 2:
		return DESC_AT + 16 * b;
	case 3:
		return (u64)b << 32 | a;
	default:
		return DATA_AT + 64 * a + b;
	}
}

static u32 fuzz_len(u8 a)
{
	static const u32 odd[] = {0, 1, 15, 16, 17, 511, 512, 4096, 1 << 20, 0x7fffffff, ~0u};

	return a < 128 ? 16 * a : odd[a % ARRAY_SIZE(odd)];
}

/* The driver's own packets and requests: header-like bytes where buffers are. */
static void fuzz_data(struct virtio_fixture *f, const u8 *s)
{
	u8 *p = f->ram + DATA_AT + 64 * s[1] + (s[2] & 63);

	p[0] = s[3];
	if (s[2] & 64) { /* a virtio socket's header to port s[3] */
		const u64 header[] = {3,
				      2,
				      77 | (u64)s[3] << 32,
				      (u64)s[2] | 1ull << 32,
				      (u64)(s[3] & 7) << 16 | 1,
				      4096};

		memcpy(p, header, 24);
		memcpy(p + 24, (u32[]){s[2], 1 | (u32)(s[3] & 7) << 16, s[1], 4096, s[2]}, 20);
	}
}

static void fuzz_step(struct virtio_fixture *f, const u8 *s)
{
	struct virtio_dev *dev = fixture_device(f, 1 + (s[0] >> 4) % DEVICES);
	unsigned queue = s[1] % dev->queue_count;

	switch (s[0] & 15) {
	case 0:
		fixture_start(f, dev, dev->features & ~((u64)s[1] << 24));
		break;
	case 1:
		common_set(f, dev, s[1] & 63, 1u << (s[2] & 3), s[3] * 0x01010101ull);
		common_get(f, dev, s[2], 1u << (s[3] & 3));
		break;
	case 2:
		*fixture_word(f, AVAIL_AT, queue, s[2] % 40) = s[3] << 8 | s[3];
		break;
	case 3:
		common_set(f, dev, 0x1000 * (s[1] & 3) + s[2], 1u << (s[3] & 3), s[3]);
		common_get(f, dev, 0x1000 * (s[1] & 3) + s[2], 1u << (s[3] & 3));
		break;
	case 4:
		bus_write(&f->m.pio, 0xcf8, 4, 0x80000000 | dev->pci.slot << 11 | (s[1] & 0xfc));
		bus_write(&f->m.pio, 0xcfc, 1u << (s[2] % 3), s[3]);
		bus_read(&f->m.pio, 0xcfc, 4);
		break;
	case 5:
	case 6:
		fuzz_data(f, s);
		break;
	case 7:
		common_set(f, dev, VIRTIO_PCI_COMMON_STATUS, 1, s[3]);
		break;
	case 8:
	case 9:
	case 10:
	case 11:
		fixture_desc(f, queue, (s[1] >> 3) % RING_SIZE, fuzz_addr(s[2], s[3]),
			     fuzz_len(s[3] ^ s[1]), s[2] >> 5, s[3] % (RING_SIZE + 1));
		break;
	default:
		fixture_offer(f, queue, s[2] % (RING_SIZE + (s[3] > 250)));
		fixture_serve(dev, queue);
	}
}

/* Brings the devices back to their places, and resets them. */
static void fuzz_restore(struct virtio_fixture *f)
{
	static u32 home[1 + DEVICES];

	for (unsigned slot = 1; slot <= DEVICES; slot++) {
		u32 select = 0x80000000 | slot << 11;

		if (!home[slot])
			home[slot] = f->pci.device[slot]->bar[0].addr;
		bus_write(&f->m.pio, 0xcf8, 4, select | PCI_COMMAND);
		bus_write(&f->m.pio, 0xcfc, 2, 0);
	}
	for (unsigned slot = 1; slot <= DEVICES; slot++) {
		u32 select = 0x80000000 | slot << 11;

		bus_write(&f->m.pio, 0xcf8, 4, select | PCI_BAR0);
		bus_write(&f->m.pio, 0xcfc, 4, home[slot]);
		bus_write(&f->m.pio, 0xcf8, 4, select | PCI_COMMAND);
		bus_write(&f->m.pio, 0xcfc, 2, PCI_COMMAND_MEM);
		common_set(f, fixture_device(f, slot), VIRTIO_PCI_COMMON_STATUS, 1, 0);
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static struct virtio_fixture *f;

	if (!f) {
		f = fuzz_create();
		fuzz_restore(f);
	}
	for (size_t i = 0; i + 4 <= size && i < 4 * MAX_STEPS; i += 4)
		fuzz_step(f, data + i);
	fuzz_restore(f);
	return 0;
}

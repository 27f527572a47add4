/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest that means harm: random values to every port, to device memory, and to MSRs. Process 1's child
 * in a guest; its VMM must answer all of it, or end the guest in one of its documented ways.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <unistd.h>

static uint64_t seed;

static uint64_t random_next(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* Ports with which a guest ends itself come last. */
static int ends_guest(unsigned port)
{
	return port == 0x64 || port == 0x92 || port == 0xcf9 || (port >= 0x600 && port < 0x610);
}

static void port_write(unsigned port)
{
	uint64_t v = random_next();

	switch (v >> 60 & 3) {
	case 0:
		outb((uint8_t)v, (uint16_t)port);
		break;
	case 1:
		outw((uint16_t)v, (uint16_t)port);
		break;
	case 2:
		outl((uint32_t)v, (uint16_t)port);
		break;
	default:
		seed += inl((uint16_t)port);
	}
}

static void ports(void)
{
	if (iopl(3)) {
		perror("iopl");
		return;
	}
	for (unsigned round = 0; round < 3; round++)
		for (unsigned port = 0; port < 0xffff; port += 1 + (port > 0x1000 ? 61 : 0))
			if (!ends_guest(port) && !(port >= 0x3f8 && port < 0x400))
				port_write(port);
}

/* Windows of device memory: PCI BARs, ECAM, IOAPIC, HPET, LAPIC. */
static void device_memory(void)
{
	static const uint64_t windows[] = {0xc0000000, 0xc0001000, 0xd0000000, 0xe0000000,
					   0xe0008000, 0xfe000000, 0xfe001000, 0xfec00000,
					   0xfed00000, 0xfee00000};
	int fd = open("/dev/mem", O_RDWR | O_SYNC);

	for (unsigned w = 0; w < sizeof(windows) / sizeof(windows[0]); w++) {
		volatile uint32_t *p =
			mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)windows[w]);

		if (p == MAP_FAILED)
			continue;
		for (unsigned i = 0; i < 1000; i++) {
			p[random_next() % 1024] = (uint32_t)random_next();
			seed += p[random_next() % 1024];
			*((volatile uint8_t *)p + random_next() % 4096) = (uint8_t)random_next();
			*(volatile uint64_t *)((volatile uint8_t *)p + random_next() % 4088) =
				random_next();
		}
	}
}

static void msrs(void)
{
	static const uint32_t bases[] = {0,	0x170,	    0x200,	0x400,	   0x480,
					 0x800, 0xc0000080, 0xc0010000, 0x4b564d00};
	int fd = open("/dev/cpu/0/msr", O_RDWR);
	uint64_t v;

	for (unsigned i = 0; i < 4000; i++) {
		uint32_t msr = bases[random_next() % 9] + random_next() % 64;

		/* The kernel's own ground would only crash the guest early. */
		if (msr >= 0xc0000080 && msr < 0xc0000110)
			continue;
		v = random_next() >> random_next() % 64;
		(void)!pwrite(fd, &v, 8, msr);
		(void)!pread(fd, &v, 8, msr);
	}
}

int main(int argc, char **argv)
{
	seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	printf("GARBAGE ports\n");
	fflush(stdout);
	ports();
	printf("GARBAGE memory\n");
	fflush(stdout);
	device_memory();
	printf("GARBAGE msrs\n");
	fflush(stdout);
	msrs();
	printf("GARBAGE end\n");
	fflush(stdout);
	return 0;
}

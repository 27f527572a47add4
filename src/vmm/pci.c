/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <string.h>
#include "vmm/legacy.h"
#include "vmm/pci.h"
#include "vmm/platform.h"

#define ADDRESS_ENABLE BIT(31)
#define BAR_IO_FLAG    1

void pci_config_set(struct pci_device *dev, unsigned off, unsigned len, u32 value)
{
	memcpy(dev->config + off, &value, len);
}

u32 pci_config_get(const struct pci_device *dev, unsigned off, unsigned len)
{
	u32 value = 0;

	memcpy(&value, dev->config + off, len);
	return value;
}

void pci_device_init(struct pci_device *dev, const char *name, u16 vendor, u16 device,
		     u32 class_code)
{
	u32 command = PCI_COMMAND_IO | PCI_COMMAND_MEM | PCI_COMMAND_MASTER | PCI_COMMAND_NO_INTX;

	memset(dev, 0, sizeof(*dev));
	dev->name = name;
	dev->cap_end = 0x40;
	pci_config_set(dev, PCI_VENDOR, 2, vendor);
	pci_config_set(dev, PCI_DEVICE, 2, device);
	pci_config_set(dev, PCI_CLASS, 3, class_code);
	memcpy(dev->writable + PCI_COMMAND, &command, 2);
	dev->writable[PCI_INT_LINE] = 0xff;
	pthread_mutex_init(&dev->msix.lock, NULL);
	pthread_mutex_init(&dev->intx_lock, NULL);
}

void pci_add_bar(struct pci_device *dev, unsigned index, enum pci_bar_kind kind, u64 size,
		 const struct bus_ops *ops, void *opaque)
{
	u32 mask = ~(u32)(size - 1);

	dev->bar[index] =
		(struct pci_bar){.kind = kind, .size = size, .ops = ops, .opaque = opaque};
	memcpy(dev->writable + PCI_BAR0 + 4 * index, &mask, 4);
	pci_config_set(dev, PCI_BAR0 + 4 * index, 4, kind == PCI_BAR_IO ? BAR_IO_FLAG : 0);
}

unsigned pci_add_capability(struct pci_device *dev, u8 id, unsigned len)
{
	unsigned off = dev->cap_end;

	if (off + len > sizeof(dev->config))
		return 0;
	dev->config[dev->cap_last ? dev->cap_last + 1 : PCI_CAPABILITIES] = off;
	dev->config[off] = id;
	dev->config[PCI_STATUS] |= PCI_STATUS_CAPABILITIES;
	dev->cap_last = off;
	dev->cap_end = ALIGN_UP(off + len, 4);
	return off;
}

static struct bus *pci_bar_bus(struct pci *pci, const struct pci_bar *bar)
{
	return bar->kind == PCI_BAR_IO ? &pci->machine->pio : &pci->machine->mmio;
}

static void pci_unmap_bar(struct pci *pci, struct pci_bar *bar)
{
	if (bar->mapped)
		bus_remove(pci_bar_bus(pci, bar), bar->addr);
	bar->mapped = false;
}

/* A BAR that would overlap something else is left unmapped: its reads give all ones. */
static void pci_update_bar(struct pci_device *dev, unsigned index)
{
	struct pci_bar *bar = &dev->bar[index];
	u32 raw = pci_config_get(dev, PCI_BAR0 + 4 * index, 4);
	u64 addr = raw & ~(u64)(bar->size - 1);
	u16 command = pci_config_get(dev, PCI_COMMAND, 2);
	u16 enable = bar->kind == PCI_BAR_IO ? PCI_COMMAND_IO : PCI_COMMAND_MEM;
	bool want = (command & enable) && addr;

	if (bar->mapped && want && bar->addr == addr)
		return;
	pci_unmap_bar(dev->pci, bar);
	bar->addr = addr;
	if (want && (bar->kind != PCI_BAR_MEM || addr >= dev->pci->machine->ram.low_size))
		bar->mapped = !bus_add(pci_bar_bus(dev->pci, bar), addr, bar->size, bar->ops,
				       bar->opaque);
}

static void pci_update_bars(struct pci_device *dev)
{
	for (unsigned i = 0; i < PCI_MAX_BARS; i++)
		if (dev->bar[i].kind != PCI_BAR_NONE)
			pci_update_bar(dev, i);
}

static void pci_update_intx(struct pci_device *dev)
{
	bool off = pci_config_get(dev, PCI_COMMAND, 2) & PCI_COMMAND_NO_INTX;

	intr_set(&dev->pci->machine->intr, pci_intx_line(dev->slot), dev->slot, dev->intx && !off);
}

static bool pci_touches(unsigned off, unsigned len, unsigned start, unsigned size)
{
	return off < start + size && start < off + len;
}

static void pci_write_config(struct pci_device *dev, unsigned off, unsigned len, u32 value)
{
	for (unsigned i = 0; i < len; i++) {
		u8 mask = dev->writable[off + i];

		if (!mask)
			continue; /* another thread may be setting the INTx status */
		dev->config[off + i] = (dev->config[off + i] & ~mask) | ((value >> 8 * i) & mask);
	}
	if (pci_touches(off, len, PCI_COMMAND, 2)) {
		pthread_mutex_lock(&dev->intx_lock);
		pci_update_intx(dev);
		pthread_mutex_unlock(&dev->intx_lock);
	}
	if (pci_touches(off, len, PCI_COMMAND, 2) || pci_touches(off, len, PCI_BAR0, 24))
		pci_update_bars(dev);
	if (dev->msix.count && pci_touches(off, len, dev->msix.cap + 2, 2))
		pci_msix_control_written(dev);
	if (dev->config_written)
		dev->config_written(dev, off, len);
}

static u32 pci_read_config(struct pci_device *dev, unsigned off, unsigned len)
{
	if (dev->config_read)
		dev->config_read(dev, off, len);
	return pci_config_get(dev, off, len);
}

/* The device and register that port 0xcf8 selects; NULL when there is none. */
static struct pci_device *pci_selected(struct pci *pci, unsigned *reg)
{
	u32 a = pci->address;

	*reg = a & 0xfc;
	if (!(a & ADDRESS_ENABLE) || bits(a, 23, 16) || bits(a, 10, 8))
		return NULL;
	return pci->device[bits(a, 15, 11)];
}

static u64 pci_read_data(void *opaque, u64 off, unsigned len)
{
	struct pci *pci = opaque;
	struct pci_device *dev;
	u32 value = ~0u;
	unsigned reg;

	if (off + len > 4)
		return value;
	pthread_mutex_lock(&pci->lock);
	dev = pci_selected(pci, &reg);
	if (dev)
		value = pci_read_config(dev, reg + off, len);
	pthread_mutex_unlock(&pci->lock);
	return value;
}

static void pci_write_data(void *opaque, u64 off, unsigned len, u64 value)
{
	struct pci *pci = opaque;
	struct pci_device *dev;
	unsigned reg;

	if (off + len > 4)
		return;
	pthread_mutex_lock(&pci->lock);
	dev = pci_selected(pci, &reg);
	if (dev)
		pci_write_config(dev, reg + off, len, value);
	pthread_mutex_unlock(&pci->lock);
}

static u64 pci_read_address(void *opaque, u64 off, unsigned len)
{
	struct pci *pci = opaque;

	return off == 0 && len == 4 ? pci->address : MASK(8 * len - 1, 0);
}

/* Only a 32-bit write is an address; a byte at 0xcf9 is the reset port. */
static void pci_write_address(void *opaque, u64 off, unsigned len, u64 value)
{
	struct pci *pci = opaque;

	if (off == 0 && len == 4) {
		pthread_mutex_lock(&pci->lock);
		pci->address = value;
		pthread_mutex_unlock(&pci->lock);
	} else if (off == PLATFORM_RESET - PLATFORM_PCI_CONFIG && len == 1) {
		legacy_write_reset(pci->machine, value);
	}
}

/* ECAM: 4 KiB for each function, of which a conventional device has the first 256 bytes. */
static struct pci_device *pci_ecam_device(struct pci *pci, u64 off, unsigned len)
{
	unsigned reg = bits(off, 11, 0);

	if (bits(off, 14, 12) || reg + len > sizeof(pci->host_bridge.config) || len > 4)
		return NULL;
	return pci->device[bits(off, 19, 15)];
}

static u64 pci_read_ecam(void *opaque, u64 off, unsigned len)
{
	struct pci *pci = opaque;
	struct pci_device *dev;
	u64 value = ~0ull;

	pthread_mutex_lock(&pci->lock);
	dev = pci_ecam_device(pci, off, len);
	if (dev)
		value = pci_read_config(dev, bits(off, 11, 0), len);
	pthread_mutex_unlock(&pci->lock);
	return value;
}

static void pci_write_ecam(void *opaque, u64 off, unsigned len, u64 value)
{
	struct pci *pci = opaque;
	struct pci_device *dev;

	pthread_mutex_lock(&pci->lock);
	dev = pci_ecam_device(pci, off, len);
	if (dev)
		pci_write_config(dev, bits(off, 11, 0), len, value);
	pthread_mutex_unlock(&pci->lock);
}

static const struct bus_ops ecam_ops = {pci_read_ecam, pci_write_ecam};
static const struct bus_ops address_ops = {pci_read_address, pci_write_address};
static const struct bus_ops data_ops = {pci_read_data, pci_write_data};

unsigned pci_intx_line(unsigned slot)
{
	return IRQ_PCI_FIRST + slot % 8;
}

static void pci_assign_bar(struct pci *pci, struct pci_device *dev, unsigned index)
{
	struct pci_bar *bar = &dev->bar[index];
	u64 *next = bar->kind == PCI_BAR_IO ? &pci->next_io : &pci->next_mem;
	u64 size = bar->kind == PCI_BAR_IO ? bar->size : MAX(bar->size, PAGE_SIZE);
	u64 addr = ALIGN_UP(*next, size);

	*next = addr + size;
	pci_config_set(dev, PCI_BAR0 + 4 * index, 4,
		       addr | (bar->kind == PCI_BAR_IO ? BAR_IO_FLAG : 0));
}

static int pci_free_slot(struct pci *pci)
{
	for (int i = 0; i < PCI_MAX_DEVICES; i++)
		if (!pci->device[i])
			return i;
	return -ENOSPC;
}

int pci_register(struct pci *pci, struct pci_device *dev)
{
	int slot = pci_free_slot(pci);

	if (slot < 0)
		return slot;
	dev->pci = pci;
	dev->slot = slot;
	pci->device[slot] = dev;
	if (dev != &pci->host_bridge) {
		dev->config[PCI_INT_PIN] = 1;
		dev->config[PCI_INT_LINE] = pci_intx_line(slot);
	}
	for (unsigned i = 0; i < PCI_MAX_BARS; i++)
		if (dev->bar[i].kind != PCI_BAR_NONE)
			pci_assign_bar(pci, dev, i);
	/* Firmware leaves decoding on, and Linux keeps what works. */
	pci_config_set(dev, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEM);
	pci_update_bars(dev);
	return 0;
}

void pci_intx_set(struct pci_device *dev, bool level)
{
	pthread_mutex_lock(&dev->intx_lock);
	if (dev->intx != level) {
		dev->intx = level;
		if (level)
			dev->config[PCI_STATUS] |= PCI_STATUS_INTX;
		else
			dev->config[PCI_STATUS] &= ~PCI_STATUS_INTX;
		pci_update_intx(dev);
	}
	pthread_mutex_unlock(&dev->intx_lock);
}

int pci_init(struct pci *pci, struct machine *m)
{
	int ret;

	memset(pci, 0, sizeof(*pci));
	pci->machine = m;
	pci->next_mem = PLATFORM_PCI_MMIO;
	pci->next_io = PLATFORM_PCI_PIO;
	pthread_mutex_init(&pci->lock, NULL);
	ret = bus_add(&m->pio, PLATFORM_PCI_CONFIG, 4, &address_ops, pci);
	if (!ret)
		ret = bus_add(&m->pio, PLATFORM_PCI_DATA, 4, &data_ops, pci);
	if (!ret)
		ret = bus_add(&m->mmio, PLATFORM_ECAM, PLATFORM_ECAM_SIZE, &ecam_ops, pci);
	if (ret)
		return ret;
	/* An Intel 440FX host bridge, the plainest that every guest knows. */
	pci_device_init(&pci->host_bridge, "host bridge", 0x8086, 0x1237, 0x060000);
	pci_config_set(&pci->host_bridge, PCI_REVISION, 1, 2);
	return pci_register(pci, &pci->host_bridge);
}

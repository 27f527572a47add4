/* SPDX-License-Identifier: BSD-2-Clause */
/* MSI-X: PCI Local Bus Specification 3.0, section 6.8.2. Table at 0 of its BAR, pending bits at
 * 0x800. */
#include <string.h>
#include "vmm/pci.h"

#define MSIX_BAR_SIZE 0x1000
#define MSIX_PBA      0x800
#define MSIX_ENTRY    16

#define CONTROL_ENABLE	  0x8000
#define CONTROL_MASK_ALL  0x4000
#define VECTOR_MASKED	  1
#define VECTOR_ADDRESS_LO 0
#define VECTOR_ADDRESS_HI 4
#define VECTOR_DATA	  8
#define VECTOR_CONTROL	  12

static u16 msix_control(const struct pci_device *dev)
{
	return pci_config_get(dev, dev->msix.cap + 2, 2);
}

static bool msix_masked(struct pci_device *dev, unsigned i)
{
	return (msix_control(dev) & CONTROL_MASK_ALL) ||
	       (dev->msix.vector[i].control & VECTOR_MASKED);
}

static void msix_send(struct pci_device *dev, unsigned i)
{
	struct pci_msix_vector *v = &dev->msix.vector[i];

	dev->msix.pending &= ~BIT(i);
	intr_send_msi(&dev->pci->machine->intr, v->address, v->data);
}

static void msix_send_pending(struct pci_device *dev)
{
	for (unsigned i = 0; i < dev->msix.count; i++)
		if ((dev->msix.pending & BIT(i)) && !msix_masked(dev, i))
			msix_send(dev, i);
}

bool pci_msix_enabled(struct pci_device *dev)
{
	return dev->msix.count && (msix_control(dev) & CONTROL_ENABLE);
}

void pci_msix_notify(struct pci_device *dev, unsigned vector)
{
	if (vector >= dev->msix.count || !pci_msix_enabled(dev))
		return;
	pthread_mutex_lock(&dev->msix.lock);
	if (msix_masked(dev, vector))
		dev->msix.pending |= BIT(vector);
	else
		msix_send(dev, vector);
	pthread_mutex_unlock(&dev->msix.lock);
}

void pci_msix_control_written(struct pci_device *dev)
{
	pthread_mutex_lock(&dev->msix.lock);
	if (pci_msix_enabled(dev))
		msix_send_pending(dev);
	pthread_mutex_unlock(&dev->msix.lock);
}

static u32 msix_read_dword(const struct pci_msix_vector *v, unsigned field)
{
	switch (field) {
	case VECTOR_ADDRESS_LO:
		return v->address;
	case VECTOR_ADDRESS_HI:
		return v->address >> 32;
	case VECTOR_DATA:
		return v->data;
	default:
		return v->control;
	}
}

static void msix_write_dword(struct pci_msix_vector *v, unsigned field, u32 value)
{
	switch (field) {
	case VECTOR_ADDRESS_LO:
		v->address = (v->address & ~0xffffffffull) | value;
		break;
	case VECTOR_ADDRESS_HI:
		v->address = (u32)v->address | (u64)value << 32;
		break;
	case VECTOR_DATA:
		v->data = value;
		break;
	default:
		v->control = value & VECTOR_MASKED;
	}
}

/* Accesses are of 4 or 8 aligned bytes; others are undefined and do nothing here. */
static u64 msix_read(void *opaque, u64 off, unsigned len)
{
	struct pci_device *dev = opaque;
	u64 value = 0;

	if ((len != 4 && len != 8) || off % len)
		return 0;
	pthread_mutex_lock(&dev->msix.lock);
	if (off < dev->msix.count * MSIX_ENTRY) {
		const struct pci_msix_vector *v = &dev->msix.vector[off / MSIX_ENTRY];

		value = msix_read_dword(v, off % MSIX_ENTRY);
		if (len == 8)
			value |= (u64)msix_read_dword(v, off % MSIX_ENTRY + 4) << 32;
	} else if (off >= MSIX_PBA && off < MSIX_PBA + 8) {
		value = dev->msix.pending >> (8 * (off - MSIX_PBA));
	}
	pthread_mutex_unlock(&dev->msix.lock);
	return value;
}

static void msix_write(void *opaque, u64 off, unsigned len, u64 value)
{
	struct pci_device *dev = opaque;
	struct pci_msix_vector *v;

	if ((len != 4 && len != 8) || off % len || off >= dev->msix.count * MSIX_ENTRY)
		return;
	v = &dev->msix.vector[off / MSIX_ENTRY];
	pthread_mutex_lock(&dev->msix.lock);
	msix_write_dword(v, off % MSIX_ENTRY, value);
	if (len == 8)
		msix_write_dword(v, off % MSIX_ENTRY + 4, value >> 32);
	if (pci_msix_enabled(dev))
		msix_send_pending(dev);
	pthread_mutex_unlock(&dev->msix.lock);
}

static const struct bus_ops msix_ops = {msix_read, msix_write};

void pci_add_msix(struct pci_device *dev, unsigned index, unsigned vectors)
{
	unsigned cap = pci_add_capability(dev, PCI_CAP_MSIX, 12);

	if (!cap)
		return;
	dev->msix.cap = cap;
	dev->msix.count = MIN(vectors, PCI_MAX_VECTORS);
	for (unsigned i = 0; i < dev->msix.count; i++)
		dev->msix.vector[i].control = VECTOR_MASKED;
	pci_config_set(dev, cap + 2, 2, dev->msix.count - 1);
	pci_config_set(dev, cap + 4, 4, index);
	pci_config_set(dev, cap + 8, 4, MSIX_PBA | index);
	dev->writable[cap + 3] = (CONTROL_ENABLE | CONTROL_MASK_ALL) >> 8;
	pci_add_bar(dev, index, PCI_BAR_MEM, MSIX_BAR_SIZE, &msix_ops, dev);
}

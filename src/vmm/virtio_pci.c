/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio over PCI (virtio 1.2, section 4.1): BAR 0 holds the four structures, BAR 1 MSI-X. */
#include <stddef.h>
#include <string.h>
#include <linux/virtio_pci.h>
#include "vmm/virtio.h"

#define VENDOR_VIRTIO	 0x1af4
#define DEVICE_MODERN	 0x1040 /* plus the type */
#define REVISION_MODERN	 1
#define BAR_STRUCTS	 0
#define BAR_MSIX	 1
#define BAR_STRUCTS_SIZE 0x4000
#define COMMON_OFFSET	 0x0000
#define ISR_OFFSET	 0x1000
#define CONFIG_OFFSET	 0x2000
#define NOTIFY_OFFSET	 0x3000
#define STRUCT_SIZE	 0x1000
#define NOTIFY_STRIDE	 4

static struct virtq *selected_queue(struct virtio_dev *dev)
{
	return dev->queue_select < dev->queue_count ? &dev->queue[dev->queue_select] : NULL;
}

/* -- common configuration (4.1.4.3) ------------------------------------------------------------ */

static u32 feature_word(u64 features, u32 select)
{
	return select < 2 ? features >> (32 * select) : 0;
}

static void common_fill(struct virtio_dev *dev, struct virtio_pci_common_cfg *c)
{
	const struct virtq *q = selected_queue(dev);

	*c = (struct virtio_pci_common_cfg){
		.device_feature_select = dev->feature_select,
		.device_feature = feature_word(dev->features, dev->feature_select),
		.guest_feature_select = dev->driver_feature_select,
		.guest_feature = feature_word(dev->driver_features, dev->driver_feature_select),
		.msix_config = dev->config_vector,
		.num_queues = dev->queue_count,
		.device_status = dev->status,
		.config_generation = dev->generation,
		.queue_select = dev->queue_select,
		.queue_msix_vector = VIRTQ_NO_VECTOR,
	};
	if (!q)
		return; /* size 0: there is no such queue */
	c->queue_size = q->size;
	c->queue_msix_vector = q->vector;
	c->queue_enable = q->enabled;
	c->queue_notify_off = dev->queue_select;
	c->queue_desc_lo = q->desc;
	c->queue_desc_hi = q->desc >> 32;
	c->queue_avail_lo = q->avail;
	c->queue_avail_hi = q->avail >> 32;
	c->queue_used_lo = q->used;
	c->queue_used_hi = q->used >> 32;
}

static u64 common_read(struct virtio_dev *dev, u64 off, unsigned len)
{
	struct virtio_pci_common_cfg c;
	u64 value = 0;

	if (off + len > sizeof(c))
		return 0;
	common_fill(dev, &c);
	memcpy(&value, (u8 *)&c + off, len);
	return value;
}

static u16 valid_vector(const struct virtio_dev *dev, u16 vector)
{
	return vector < dev->pci.msix.count ? vector : VIRTQ_NO_VECTOR;
}

static void set_driver_features(struct virtio_dev *dev, u32 value)
{
	unsigned shift = 32 * dev->driver_feature_select;

	if (dev->driver_feature_select > 1 || (dev->status & VIRTIO_FEATURES_OK))
		return;
	dev->driver_features &= ~(0xffffffffull << shift);
	dev->driver_features |= (u64)value << shift;
}

static void set_low(u64 *field, u32 value)
{
	*field = (*field & ~0xffffffffull) | value;
}

static void set_high(u64 *field, u32 value)
{
	*field = (u32)*field | (u64)value << 32;
}

static void enable_queue(struct virtio_dev *dev, struct virtq *q)
{
	if (q->enabled || !(dev->status & VIRTIO_FEATURES_OK))
		return;
	if (virtq_enable(q) < 0)
		virtio_break(dev);
}

static void queue_write(struct virtio_dev *dev, struct virtq *q, u64 off, u32 value)
{
	if (off == VIRTIO_PCI_COMMON_Q_MSIX) {
		q->vector = valid_vector(dev, value);
		return;
	}
	if (q->enabled)
		return; /* its place is fixed now (4.1.4.3.2) */
	switch (off) {
	case VIRTIO_PCI_COMMON_Q_SIZE:
		q->size = value;
		break;
	case VIRTIO_PCI_COMMON_Q_ENABLE:
		if (value == 1)
			enable_queue(dev, q);
		break;
	case VIRTIO_PCI_COMMON_Q_DESCLO:
		set_low(&q->desc, value);
		break;
	case VIRTIO_PCI_COMMON_Q_DESCHI:
		set_high(&q->desc, value);
		break;
	case VIRTIO_PCI_COMMON_Q_AVAILLO:
		set_low(&q->avail, value);
		break;
	case VIRTIO_PCI_COMMON_Q_AVAILHI:
		set_high(&q->avail, value);
		break;
	case VIRTIO_PCI_COMMON_Q_USEDLO:
		set_low(&q->used, value);
		break;
	case VIRTIO_PCI_COMMON_Q_USEDHI:
		set_high(&q->used, value);
		break;
	}
}

/* The driver writes each field as a whole (4.1.3.1); a 64-bit one as two halves or at once. */
static void common_write(struct virtio_dev *dev, u64 off, unsigned len, u64 value)
{
	struct virtq *q = selected_queue(dev);

	if (len == 8) {
		common_write(dev, off, 4, (u32)value);
		common_write(dev, off + 4, 4, value >> 32);
		return;
	}
	switch (off) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		dev->feature_select = value;
		break;
	case VIRTIO_PCI_COMMON_GFSELECT:
		dev->driver_feature_select = value;
		break;
	case VIRTIO_PCI_COMMON_GF:
		set_driver_features(dev, value);
		break;
	case VIRTIO_PCI_COMMON_MSIX:
		dev->config_vector = valid_vector(dev, value);
		break;
	case VIRTIO_PCI_COMMON_STATUS:
		virtio_set_status(dev, value);
		break;
	case VIRTIO_PCI_COMMON_Q_SELECT:
		dev->queue_select = value;
		break;
	default:
		if (q)
			queue_write(dev, q, off, value);
	}
}

/* -- BAR 0 ------------------------------------------------------------------------------------- */

static u64 config_read(const struct virtio_dev *dev, u64 off, unsigned len)
{
	u64 value = 0;

	if (off < dev->config_len)
		memcpy(&value, dev->config + off, MIN(len, dev->config_len - off));
	return value;
}

static u64 structs_read(void *opaque, u64 off, unsigned len)
{
	struct virtio_dev *dev = opaque;
	u64 value = 0;

	if (off == ISR_OFFSET)
		return virtio_read_isr(dev);
	pthread_mutex_lock(&dev->lock);
	if (off < COMMON_OFFSET + STRUCT_SIZE)
		value = common_read(dev, off, len);
	else if (off >= CONFIG_OFFSET && off < CONFIG_OFFSET + STRUCT_SIZE)
		value = config_read(dev, off - CONFIG_OFFSET, len);
	pthread_mutex_unlock(&dev->lock);
	return value;
}

/* KVM takes most of the notifications; those that are left do the same. */
static void structs_write(void *opaque, u64 off, unsigned len, u64 value)
{
	struct virtio_dev *dev = opaque;

	if (off >= NOTIFY_OFFSET) {
		virtio_kick(dev, (off - NOTIFY_OFFSET) / NOTIFY_STRIDE);
	} else if (off < COMMON_OFFSET + STRUCT_SIZE) {
		pthread_mutex_lock(&dev->lock);
		common_write(dev, off, len, value);
		pthread_mutex_unlock(&dev->lock);
	}
}

static const struct bus_ops structs_ops = {structs_read, structs_write};

/* -- ioeventfds -------------------------------------------------------------------------------- */

static int set_ioeventfds(struct virtio_dev *dev, u64 addr, bool assign)
{
	int ret = 0;

	for (unsigned i = 0; i < dev->queue_count && !ret; i++)
		ret = machine_ioeventfd(dev->machine, false, addr + i * NOTIFY_STRIDE, 2,
					dev->kick[i].fd, assign, false, 0);
	return ret;
}

void virtio_pci_drop_ioeventfds(struct virtio_dev *dev)
{
	if (dev->ioeventfd_addr)
		set_ioeventfds(dev, dev->ioeventfd_addr, false);
	dev->ioeventfd_addr = 0;
}

/* Where KVM refuses, notifications arrive as MMIO. */
void virtio_pci_update_ioeventfds(struct virtio_dev *dev)
{
	const struct pci_bar *bar = &dev->pci.bar[BAR_STRUCTS];
	u64 addr = bar->mapped ? bar->addr + NOTIFY_OFFSET : 0;

	if (addr == dev->ioeventfd_addr)
		return;
	virtio_pci_drop_ioeventfds(dev);
	if (addr)
		set_ioeventfds(dev, addr, true);
	dev->ioeventfd_addr = addr;
}

/* -- configuration space ----------------------------------------------------------------------- */

static bool touches(unsigned off, unsigned len, unsigned start, unsigned size)
{
	return off < start + size && start < off + len;
}

/*
 * The window into the BARs (4.1.4.9), for drivers that cannot map them. Returns the BAR that it
 * points at, or NULL.
 */
static const struct pci_bar *window(const struct virtio_dev *dev, u32 *off, u32 *len)
{
	unsigned cap = dev->pci_cfg_cap;
	u8 index = pci_config_get(&dev->pci, cap + offsetof(struct virtio_pci_cap, bar), 1);
	const struct pci_bar *bar;

	*off = pci_config_get(&dev->pci, cap + offsetof(struct virtio_pci_cap, offset), 4);
	*len = pci_config_get(&dev->pci, cap + offsetof(struct virtio_pci_cap, length), 4);
	if (index >= PCI_MAX_BARS || dev->pci.bar[index].kind != PCI_BAR_MEM)
		return NULL;
	bar = &dev->pci.bar[index];
	if ((*len != 1 && *len != 2 && *len != 4) || *off % *len || *off >= bar->size)
		return NULL;
	return bar;
}

static void on_config_read(struct pci_device *pci, unsigned off, unsigned len)
{
	struct virtio_dev *dev = container_of(pci, struct virtio_dev, pci);
	unsigned data = dev->pci_cfg_cap + sizeof(struct virtio_pci_cap);
	const struct pci_bar *bar;
	u32 bar_off, bar_len;

	if (!touches(off, len, data, 4))
		return;
	bar = window(dev, &bar_off, &bar_len);
	if (bar)
		pci_config_set(pci, data, bar_len, bar->ops->read(bar->opaque, bar_off, bar_len));
}

static void on_config_written(struct pci_device *pci, unsigned off, unsigned len)
{
	struct virtio_dev *dev = container_of(pci, struct virtio_dev, pci);
	unsigned data = dev->pci_cfg_cap + sizeof(struct virtio_pci_cap);
	const struct pci_bar *bar;
	u32 bar_off, bar_len;

	virtio_pci_update_ioeventfds(dev);
	if (!touches(off, len, data, 4))
		return;
	bar = window(dev, &bar_off, &bar_len);
	if (bar)
		bar->ops->write(bar->opaque, bar_off, bar_len, pci_config_get(pci, data, bar_len));
}

static unsigned add_cap(struct virtio_dev *dev, u8 type, u32 offset, u32 length, unsigned extra)
{
	struct virtio_pci_cap cap = {
		.cap_len = sizeof(cap) + extra,
		.cfg_type = type,
		.bar = BAR_STRUCTS,
		.offset = offset,
		.length = length,
	};
	unsigned off = pci_add_capability(&dev->pci, PCI_CAP_VENDOR, cap.cap_len);

	memcpy(dev->pci.config + off + 2, (u8 *)&cap + 2, sizeof(cap) - 2);
	return off;
}

static void add_caps(struct virtio_dev *dev)
{
	unsigned off;

	add_cap(dev, VIRTIO_PCI_CAP_COMMON_CFG, COMMON_OFFSET, STRUCT_SIZE, 0);
	off = add_cap(dev, VIRTIO_PCI_CAP_NOTIFY_CFG, NOTIFY_OFFSET, STRUCT_SIZE, 4);
	pci_config_set(&dev->pci, off + sizeof(struct virtio_pci_cap), 4, NOTIFY_STRIDE);
	add_cap(dev, VIRTIO_PCI_CAP_ISR_CFG, ISR_OFFSET, STRUCT_SIZE, 0);
	add_cap(dev, VIRTIO_PCI_CAP_DEVICE_CFG, CONFIG_OFFSET, STRUCT_SIZE, 0);
	off = add_cap(dev, VIRTIO_PCI_CAP_PCI_CFG, 0, 0, 4);
	dev->pci_cfg_cap = off;
	dev->pci.writable[off + offsetof(struct virtio_pci_cap, bar)] = 0xff;
	memset(dev->pci.writable + off + offsetof(struct virtio_pci_cap, offset), 0xff, 12);
}

static u32 class_code(enum virtio_type type)
{
	switch (type) {
	case VIRTIO_TYPE_BLK:
		return 0x018000; /* other mass storage */
	case VIRTIO_TYPE_NET:
		return 0x020000; /* Ethernet */
	case VIRTIO_TYPE_CONSOLE:
		return 0x078000; /* other communication */
	case VIRTIO_TYPE_VSOCK:
		return 0x028000; /* other network */
	default:
		return 0x00ff00;
	}
}

void virtio_pci_init(struct virtio_dev *dev, const char *name, enum virtio_type type)
{
	struct pci_device *pci = &dev->pci;

	pci_device_init(pci, name, VENDOR_VIRTIO, DEVICE_MODERN + type, class_code(type));
	pci_config_set(pci, PCI_REVISION, 1, REVISION_MODERN);
	pci_config_set(pci, PCI_SUBSYS_VENDOR, 2, VENDOR_VIRTIO);
	pci_config_set(pci, PCI_SUBSYS, 2, DEVICE_MODERN + type);
	pci_add_bar(pci, BAR_STRUCTS, PCI_BAR_MEM, BAR_STRUCTS_SIZE, &structs_ops, dev);
	add_caps(dev);
	pci_add_msix(pci, BAR_MSIX, dev->queue_count + 1);
	pci->config_read = on_config_read;
	pci->config_written = on_config_written;
}

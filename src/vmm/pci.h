/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A conventional PCI bus 0, configured by mechanism 1 or by memory (ECAM), and what a device on it
 * needs: BARs, capabilities, MSI-X, INTx. PCI Local Bus Specification 3.0, chapter 6; PCI Firmware
 * Specification 3.0, section 4.1.
 *
 * To make a device: pci_device_init(), pci_add_bar(), pci_add_capability(), pci_add_msix(), then
 * pci_register(), all before the vCPUs start. The bus then assigns the BARs, as firmware would.
 */
#ifndef VMM_PCI_H
#define VMM_PCI_H

#include <pthread.h>
#include "vmm/machine.h"

#define PCI_MAX_DEVICES 32
#define PCI_MAX_BARS	6
#define PCI_MAX_VECTORS 64

/* Offsets in the configuration header. */
enum pci_config {
	PCI_VENDOR = 0x00,
	PCI_DEVICE = 0x02,
	PCI_COMMAND = 0x04,
	PCI_STATUS = 0x06,
	PCI_REVISION = 0x08,
	PCI_CLASS = 0x09,
	PCI_HEADER_TYPE = 0x0e,
	PCI_BAR0 = 0x10,
	PCI_SUBSYS_VENDOR = 0x2c,
	PCI_SUBSYS = 0x2e,
	PCI_CAPABILITIES = 0x34,
	PCI_INT_LINE = 0x3c,
	PCI_INT_PIN = 0x3d,
};

#define PCI_COMMAND_IO		0x0001
#define PCI_COMMAND_MEM		0x0002
#define PCI_COMMAND_MASTER	0x0004
#define PCI_COMMAND_NO_INTX	0x0400
#define PCI_STATUS_INTX		0x0008
#define PCI_STATUS_CAPABILITIES 0x0010

#define PCI_CAP_MSIX   0x11
#define PCI_CAP_VENDOR 0x09

enum pci_bar_kind {
	PCI_BAR_NONE,
	PCI_BAR_MEM, /* 32-bit, not prefetchable */
	PCI_BAR_IO,
};

struct pci_bar {
	enum pci_bar_kind kind;
	u64 size;    /* a power of two, at least 16 (I/O: 4) */
	u64 addr;    /* as programmed */
	bool mapped; /* on the bus at `addr` */
	const struct bus_ops *ops;
	void *opaque;
};

struct pci_msix_vector {
	u64 address;
	u32 data;
	u32 control; /* bit 0: masked */
};

struct pci_msix {
	unsigned count; /* vectors; 0 when the device has no MSI-X */
	u8 cap;		/* offset of the capability */
	pthread_mutex_t lock;
	u64 pending;
	struct pci_msix_vector vector[PCI_MAX_VECTORS];
};

struct pci;

struct pci_device {
	const char *name;
	struct pci *pci; /* set by pci_register() */
	u8 slot;
	u8 config[256];
	u8 writable[256]; /* bits that the guest may write */
	u8 cap_end;	  /* first free byte for capabilities */
	u8 cap_last;	  /* offset of the last capability, or 0 */
	struct pci_bar bar[PCI_MAX_BARS];
	struct pci_msix msix;
	pthread_mutex_t intx_lock; /* guards intx and its status bit; taken inside pci.lock */
	bool intx;
	/*
	 * Called after the guest wrote `len` bytes at `off`, with the bus's lock held; or NULL. Of
	 * this header it may call pci_config_*(), pci_msix_*() and pci_intx_set().
	 */
	void (*config_written)(struct pci_device *dev, unsigned off, unsigned len);
	/* Called before a read, to fill config[off..], with the bus's lock held; or NULL. */
	void (*config_read)(struct pci_device *dev, unsigned off, unsigned len);
};

struct pci {
	struct machine *machine;
	pthread_mutex_t lock; /* guards configuration space */
	u32 address;	      /* port 0xcf8 */
	u64 next_mem, next_io;
	struct pci_device *device[PCI_MAX_DEVICES];
	struct pci_device host_bridge;
};

/* Puts an empty bus (with its host bridge in slot 0) on the ports. 0 or a negative errno. */
int pci_init(struct pci *pci, struct machine *m);

/* Starts a device: `class_code` is base class, subclass and interface, 24 bits. */
void pci_device_init(struct pci_device *dev, const char *name, u16 vendor, u16 device,
		     u32 class_code);
/* Adds a BAR, whose accesses go to `ops` without any lock held. */
void pci_add_bar(struct pci_device *dev, unsigned index, enum pci_bar_kind kind, u64 size,
		 const struct bus_ops *ops, void *opaque);
/* Adds a capability of `len` bytes (id and next included), zeroed, read-only; returns its offset,
 * or 0. */
unsigned pci_add_capability(struct pci_device *dev, u8 id, unsigned len);
/* Adds MSI-X with its table in BAR `index`, which it creates. */
void pci_add_msix(struct pci_device *dev, unsigned index, unsigned vectors);
/* Puts the device into the next free slot and assigns its BARs. 0 or -ENOSPC. */
int pci_register(struct pci *pci, struct pci_device *dev);

/* Little-endian access to a device's own configuration space. */
void pci_config_set(struct pci_device *dev, unsigned off, unsigned len, u32 value);
u32 pci_config_get(const struct pci_device *dev, unsigned off, unsigned len);

/* Whether the guest has MSI-X on. Any thread. */
bool pci_msix_enabled(struct pci_device *dev);
/* Signals a vector, or marks it pending while it is masked. Any thread. */
void pci_msix_notify(struct pci_device *dev, unsigned vector);
/* Raises or lowers the device's INTx line. Any thread. */
void pci_intx_set(struct pci_device *dev, bool level);
/* The IOAPIC input of a slot's INTA#. */
unsigned pci_intx_line(unsigned slot);

/* msix.c, for pci.c: the guest wrote the capability's control word. */
void pci_msix_control_written(struct pci_device *dev);

#endif

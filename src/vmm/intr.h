/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupt lines and messages into KVM's interrupt controllers. */
#ifndef VMM_INTR_H
#define VMM_INTR_H

#include <pthread.h>
#include "vmm/kvm.h"

#define IRQ_LINES 24 /* inputs of the IOAPIC; the first 16 go to the PICs, too */

/* ISA interrupts of the devices here. */
enum {
	IRQ_KBD = 1,
	IRQ_COM1 = 4,
	IRQ_RTC = 8,
	IRQ_SCI = 9,
	IRQ_MOUSE = 12,
	IRQ_PCI_FIRST = 16, /* PCI's INTx use lines 16 to 23 */
};

struct intr {
	const struct kvm_dev *kvm;
	int vm_fd;
	pthread_mutex_t lock;
	u64 sources[IRQ_LINES]; /* who holds the line up: one bit each */
};

/* Prepares all lines low. */
void intr_init(struct intr *intr, const struct kvm_dev *kvm, int vm_fd);
/*
 * Wires the lines as a PC has them, and the MADT says: line n to pin n, but the PIT's line 0 to pin
 * 2 of the IOAPIC, where the PICs have their cascade. Returns 0 or a negative errno.
 */
int intr_route(struct intr *intr);
/*
 * Raises or lowers a line on behalf of `source` (0 to 63); a shared line is up while one of its
 * sources holds it. Costs nothing when the source's level does not change. Any thread.
 */
void intr_set(struct intr *intr, unsigned line, unsigned source, bool level);
/* Sends a message-signalled interrupt. Any thread. Returns 0 or a negative errno. */
int intr_send_msi(struct intr *intr, u64 address, u32 data);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* The ACPI tables: all that the guest learns about its hardware besides probing PCI. */
#ifndef VMM_ACPI_H
#define VMM_ACPI_H

#include "vmm/machine.h"

/*
 * Writes RSDP, XSDT, FADT, FACS, MADT, MCFG and DSDT into the guest's memory from PLATFORM_ACPI_TABLES
 * on, and stores the RSDP's address. 0, or -ENOSPC when they do not fit.
 */
int acpi_build(struct machine *m, u64 *rsdp);

#endif

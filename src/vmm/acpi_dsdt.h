/* SPDX-License-Identifier: BSD-2-Clause */
/* The DSDT's byte code: sleep state, PCI root, ISA devices. */
#ifndef VMM_ACPI_DSDT_H
#define VMM_ACPI_DSDT_H

#include "base/types.h"

/* Writes the AML after the table's header; returns its length, 0 when `cap` bytes are too few. */
size_t acpi_dsdt_build(u8 *buf, size_t cap);

#endif

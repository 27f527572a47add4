/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the virtual PC has its devices: the one place for addresses that several files share. */
#ifndef VMM_PLATFORM_H
#define VMM_PLATFORM_H

/* Physical addresses. */
#define PLATFORM_ACPI_TABLES   0xe0000ull /* to 1 MiB */
#define PLATFORM_PCI_MMIO      0xc0000000ull
#define PLATFORM_PCI_MMIO_SIZE 0x20000000ull
#define PLATFORM_ECAM	       0xe0000000ull /* bus 0 only */
#define PLATFORM_ECAM_SIZE     0x100000ull
#define PLATFORM_IOAPIC	       0xfec00000ull
#define PLATFORM_LAPIC	       0xfee00000ull

/* I/O ports. */
#define PLATFORM_I8042_DATA    0x60
#define PLATFORM_PORT61	       0x61
#define PLATFORM_I8042_COMMAND 0x64
#define PLATFORM_RTC	       0x70
#define PLATFORM_POST	       0x80
#define PLATFORM_PORT92	       0x92
#define PLATFORM_COM1	       0x3f8
#define PLATFORM_PM1_EVENT     0x600 /* status, enable: 4 bytes */
#define PLATFORM_PM1_CONTROL   0x604 /* 2 bytes */
#define PLATFORM_PM_TIMER      0x608 /* 4 bytes */
#define PLATFORM_PCI_CONFIG    0xcf8
#define PLATFORM_RESET	       0xcf9
#define PLATFORM_PCI_DATA      0xcfc
#define PLATFORM_PCI_PIO       0xc000
#define PLATFORM_PCI_PIO_SIZE  0x4000

/* What SLP_TYP means S5 (soft off); the DSDT's _S5 object says the same. */
#define PLATFORM_S5_SLP_TYP 5

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/acpi_dsdt.h"
#include "vmm/aml.h"
#include "vmm/intr.h"
#include "vmm/pci.h"
#include "vmm/platform.h"

/* _S5: the value of SLP_TYP for soft off (ACPI 6.4, 7.4.2). */
static void dsdt_sleep(struct aml *a)
{
	aml_name(a, "\\_S5_");
	aml_begin_package(a, 4);
	aml_int(a, PLATFORM_S5_SLP_TYP);
	aml_int(a, PLATFORM_S5_SLP_TYP);
	aml_int(a, 0);
	aml_int(a, 0);
	aml_end(a);
}

static void dsdt_pci_windows(struct aml *a)
{
	aml_name(a, "_CRS");
	aml_begin_resources(a);
	aml_res_bus_range(a, 0, 0);
	aml_res_io(a, PLATFORM_PCI_CONFIG, 8);
	aml_res_io_window(a, 0x0000, PLATFORM_PCI_CONFIG - 1);
	aml_res_io_window(a, PLATFORM_PCI_CONFIG + 8, 0xffff);
	aml_res_mem_window(a, PLATFORM_PCI_MMIO, PLATFORM_PCI_MMIO + PLATFORM_PCI_MMIO_SIZE - 1);
	aml_end(a);
}

/* _PRT (6.2.13): each slot's INTA# goes straight to an IOAPIC input, without link devices. */
static void dsdt_pci_routing(struct aml *a)
{
	aml_name(a, "_PRT");
	aml_begin_package(a, PCI_MAX_DEVICES);
	for (u32 slot = 0; slot < PCI_MAX_DEVICES; slot++) {
		aml_begin_package(a, 4);
		aml_int(a, slot << 16 | 0xffff);
		aml_int(a, 0);
		aml_int(a, 0);
		aml_int(a, pci_intx_line(slot));
		aml_end(a);
	}
	aml_end(a);
}

static void dsdt_pci(struct aml *a)
{
	aml_begin_device(a, "PCI0");
	aml_name_eisaid(a, "_HID", "PNP0A03");
	aml_name_int(a, "_ADR", 0);
	aml_name_int(a, "_BBN", 0);
	aml_name_int(a, "_UID", 0);
	dsdt_pci_windows(a);
	dsdt_pci_routing(a);
	aml_end(a);
}

static void dsdt_isa_device(struct aml *a, const char *name, const char *hid, u16 port, u8 len,
			    u8 irq)
{
	aml_begin_device(a, name);
	aml_name_eisaid(a, "_HID", hid);
	aml_name_int(a, "_UID", 1);
	aml_name(a, "_CRS");
	aml_begin_resources(a);
	aml_res_io(a, port, len);
	aml_res_irq(a, irq);
	aml_end(a);
	aml_end(a);
}

/* Ports that belong to no driver, so that nobody puts a BAR there. */
static void dsdt_board(struct aml *a)
{
	aml_begin_device(a, "MBRD");
	aml_name_eisaid(a, "_HID", "PNP0C02");
	aml_name(a, "_CRS");
	aml_begin_resources(a);
	aml_res_io(a, PLATFORM_PM1_EVENT, 16);
	aml_res_io(a, PLATFORM_PORT92, 1);
	aml_end(a);
	aml_end(a);
}

size_t acpi_dsdt_build(u8 *buf, size_t cap)
{
	struct aml a;

	aml_init(&a, buf, cap);
	dsdt_sleep(&a);
	aml_begin_scope(&a, "\\_SB_");
	dsdt_pci(&a);
	dsdt_isa_device(&a, "COM1", "PNP0501", PLATFORM_COM1, 8, IRQ_COM1);
	dsdt_isa_device(&a, "RTC0", "PNP0B00", PLATFORM_RTC, 2, IRQ_RTC);
	dsdt_board(&a);
	aml_end(&a);
	return a.overflow ? 0 : a.len;
}

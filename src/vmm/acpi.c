/* SPDX-License-Identifier: BSD-2-Clause */
/* Section numbers are those of the ACPI specification 6.4. */
#include <errno.h>
#include <string.h>
#include "vmm/acpi.h"
#include "vmm/acpi_dsdt.h"
#include "vmm/platform.h"

#define ACPI_SPACE (0x100000 - PLATFORM_ACPI_TABLES)

#define GAS_SYSTEM_IO 1

#define FADT_WBINVD	  BIT(0)
#define FADT_PROC_C1	  BIT(2)
#define FADT_SLP_BUTTON	  BIT(5) /* there is none as fixed hardware */
#define FADT_TMR_VAL_EXT  BIT(8) /* the PM timer has 32 bits */
#define FADT_RESET_REG	  BIT(10)
#define FADT_BOOT_LEGACY  BIT(0) /* has ISA devices */
#define FADT_BOOT_NO_VGA  BIT(2)
#define FADT_BOOT_NO_ASPM BIT(4)

#define RESET_VALUE 0x06

struct acpi_header { /* 5.2.6 */
	char signature[4];
	u32 length;
	u8 revision;
	u8 checksum;
	char oem_id[6];
	char oem_table_id[8];
	u32 oem_revision;
	char creator_id[4];
	u32 creator_revision;
} __attribute__((packed));

struct acpi_gas { /* 5.2.3.2 */
	u8 space, bits, offset, access;
	u64 address;
} __attribute__((packed));

struct acpi_rsdp { /* 5.2.5.3 */
	char signature[8];
	u8 checksum;
	char oem_id[6];
	u8 revision;
	u32 rsdt;
	u32 length;
	u64 xsdt;
	u8 extended_checksum;
	u8 reserved[3];
} __attribute__((packed));

struct acpi_fadt { /* 5.2.9 */
	struct acpi_header h;
	u32 facs, dsdt;
	u8 reserved0, profile;
	u16 sci;
	u32 smi_cmd;
	u8 acpi_enable, acpi_disable, s4bios, pstate;
	u32 pm1a_evt, pm1b_evt, pm1a_cnt, pm1b_cnt, pm2_cnt, pm_tmr, gpe0, gpe1;
	u8 pm1_evt_len, pm1_cnt_len, pm2_cnt_len, pm_tmr_len, gpe0_len, gpe1_len, gpe1_base, cst;
	u16 c2_latency, c3_latency, flush_size, flush_stride;
	u8 duty_offset, duty_width, day_alarm, month_alarm, century;
	u16 boot_flags;
	u8 reserved1;
	u32 flags;
	struct acpi_gas reset_reg;
	u8 reset_value;
	u16 arm_flags;
	u8 minor;
	u64 x_facs, x_dsdt;
	struct acpi_gas x_pm1a_evt, x_pm1b_evt, x_pm1a_cnt, x_pm1b_cnt, x_pm2_cnt, x_pm_tmr, x_gpe0,
		x_gpe1, sleep_control, sleep_status;
	u64 hypervisor;
} __attribute__((packed));

struct acpi_facs { /* 5.2.10 */
	char signature[4];
	u32 length;
	u32 hardware_signature, waking_vector, lock, flags;
	u64 x_waking_vector;
	u8 version;
	u8 reserved[31];
} __attribute__((packed));

struct acpi_madt { /* 5.2.12 */
	struct acpi_header h;
	u32 lapic, flags;
} __attribute__((packed));

struct madt_lapic { /* 5.2.12.2 */
	u8 type, length, uid, apic_id;
	u32 flags;
} __attribute__((packed));

struct madt_ioapic { /* 5.2.12.3 */
	u8 type, length, id, reserved;
	u32 address, gsi_base;
} __attribute__((packed));

struct madt_override { /* 5.2.12.5 */
	u8 type, length, bus, irq;
	u32 gsi;
	u16 flags;
} __attribute__((packed));

struct madt_nmi { /* 5.2.12.7 */
	u8 type, length, uid;
	u16 flags;
	u8 lint;
} __attribute__((packed));

struct acpi_mcfg { /* PCI Firmware Specification 3.0, 4.1.2 */
	struct acpi_header h;
	u64 reserved0, base;
	u16 segment;
	u8 first_bus, last_bus;
	u32 reserved1;
} __attribute__((packed));

/* Where the next table goes; `p` is the host's view of PLATFORM_ACPI_TABLES. */
struct acpi_area {
	u8 *p;
	size_t used;
};

static u8 acpi_checksum(const void *data, size_t len)
{
	const u8 *p = data;
	u8 sum = 0;

	while (len--)
		sum += *p++;
	return -sum;
}

static void acpi_fill_header(struct acpi_header *h, const char *signature, u8 revision, u32 length)
{
	memcpy(h->signature, signature, 4);
	h->length = length;
	h->revision = revision;
	memcpy(h->oem_id, "NSTKVM", 6);
	memcpy(h->oem_table_id, "NESTKVM ", 8);
	h->oem_revision = 1;
	memcpy(h->creator_id, "NKVM", 4);
	h->creator_revision = 1;
	h->checksum = 0;
	h->checksum = acpi_checksum(h, length);
}

/* Reserves aligned room and returns the guest's address, or 0 when it is full. */
static u64 acpi_reserve(struct acpi_area *area, size_t len, void **host)
{
	size_t start = ALIGN_UP(area->used, 64);

	if (start + len > ACPI_SPACE)
		return 0;
	area->used = start + len;
	*host = area->p + start;
	return PLATFORM_ACPI_TABLES + start;
}

static u64 acpi_place(struct acpi_area *area, const void *table, size_t len)
{
	void *host;
	u64 gpa = acpi_reserve(area, len, &host);

	if (gpa)
		memcpy(host, table, len);
	return gpa;
}

static u64 acpi_build_facs(struct acpi_area *area)
{
	struct acpi_facs facs = {.signature = "FACS", .length = sizeof(facs), .version = 2};

	return acpi_place(area, &facs, sizeof(facs));
}

static u64 acpi_build_dsdt(struct acpi_area *area)
{
	struct acpi_header *h;
	size_t room, len;
	u64 gpa;

	gpa = acpi_reserve(area, sizeof(*h), (void **)&h);
	if (!gpa)
		return 0;
	room = ACPI_SPACE - area->used;
	len = acpi_dsdt_build((u8 *)(h + 1), room);
	if (!len)
		return 0;
	area->used += len;
	acpi_fill_header(h, "DSDT", 2, sizeof(*h) + len);
	return gpa;
}

static struct acpi_gas acpi_io(u16 port, u8 bits_wide)
{
	/* Access size: 1 byte, 2 word, 3 dword. */
	return (struct acpi_gas){GAS_SYSTEM_IO, bits_wide, 0, bits_wide >= 32 ? 3 : bits_wide / 8,
				 port};
}

static u64 acpi_build_fadt(struct acpi_area *area, u64 facs, u64 dsdt)
{
	struct acpi_fadt fadt = {
		.facs = facs,
		.dsdt = dsdt,
		.sci = IRQ_SCI,
		.pm1a_evt = PLATFORM_PM1_EVENT,
		.pm1a_cnt = PLATFORM_PM1_CONTROL,
		.pm_tmr = PLATFORM_PM_TIMER,
		.pm1_evt_len = 4,
		.pm1_cnt_len = 2,
		.pm_tmr_len = 4,
		.c2_latency = 0xfff, /* no C2, no C3 */
		.c3_latency = 0xfff,
		.century = 0x32,
		/* Without the 8042 flag Linux does not look for a keyboard, and boots quicker. */
		.boot_flags = FADT_BOOT_LEGACY | FADT_BOOT_NO_VGA | FADT_BOOT_NO_ASPM,
		.flags = FADT_WBINVD | FADT_PROC_C1 | FADT_SLP_BUTTON | FADT_TMR_VAL_EXT |
			 FADT_RESET_REG,
		.reset_reg = acpi_io(PLATFORM_RESET, 8),
		.reset_value = RESET_VALUE,
		.minor = 0,
		.x_dsdt = dsdt,
		.x_pm1a_evt = acpi_io(PLATFORM_PM1_EVENT, 32),
		.x_pm1a_cnt = acpi_io(PLATFORM_PM1_CONTROL, 16),
		.x_pm_tmr = acpi_io(PLATFORM_PM_TIMER, 32),
	};

	acpi_fill_header(&fadt.h, "FACP", 6, sizeof(fadt));
	return acpi_place(area, &fadt, sizeof(fadt));
}

/* Timer interrupt 0 is IOAPIC input 2; the SCI is level-triggered, active high (flags 0x0d). */
static u8 *acpi_fill_madt_fixed(u8 *p, unsigned cpus)
{
	struct madt_ioapic ioapic = {1, sizeof(ioapic), cpus, 0, PLATFORM_IOAPIC, 0};
	struct madt_override timer = {2, sizeof(timer), 0, 0, 2, 0};
	struct madt_override sci = {2, sizeof(sci), 0, IRQ_SCI, IRQ_SCI, 0x0d};
	struct madt_nmi nmi = {4, sizeof(nmi), 0xff, 0, 1};

	p = mempcpy(p, &ioapic, sizeof(ioapic));
	p = mempcpy(p, &timer, sizeof(timer));
	p = mempcpy(p, &sci, sizeof(sci));
	return mempcpy(p, &nmi, sizeof(nmi));
}

static u64 acpi_build_madt(struct acpi_area *area, unsigned cpus)
{
	size_t max = sizeof(struct acpi_madt) + cpus * sizeof(struct madt_lapic) +
		     sizeof(struct madt_ioapic) + 2 * sizeof(struct madt_override) +
		     sizeof(struct madt_nmi);
	struct acpi_madt *madt;
	u64 gpa = acpi_reserve(area, max, (void **)&madt);
	u8 *p;

	if (!gpa)
		return 0;
	madt->lapic = PLATFORM_LAPIC;
	madt->flags = 1; /* the PICs are there, too */
	p = (u8 *)(madt + 1);
	for (unsigned i = 0; i < cpus; i++) {
		struct madt_lapic lapic = {0, sizeof(lapic), i, i, 1};

		p = mempcpy(p, &lapic, sizeof(lapic));
	}
	p = acpi_fill_madt_fixed(p, cpus);
	acpi_fill_header(&madt->h, "APIC", 4, p - (u8 *)madt);
	return gpa;
}

static u64 acpi_build_mcfg(struct acpi_area *area)
{
	struct acpi_mcfg mcfg = {.base = PLATFORM_ECAM};

	acpi_fill_header(&mcfg.h, "MCFG", 1, sizeof(mcfg));
	return acpi_place(area, &mcfg, sizeof(mcfg));
}

static u64 acpi_build_xsdt(struct acpi_area *area, const u64 *tables, unsigned count)
{
	struct {
		struct acpi_header h;
		u64 entry[4];
	} __attribute__((packed)) xsdt = {0};

	memcpy(xsdt.entry, tables, count * sizeof(u64));
	acpi_fill_header(&xsdt.h, "XSDT", 1, sizeof(xsdt.h) + count * sizeof(u64));
	return acpi_place(area, &xsdt, xsdt.h.length);
}

static void acpi_fill_rsdp(struct acpi_rsdp *rsdp, u64 xsdt)
{
	memcpy(rsdp->signature, "RSD PTR ", 8);
	memcpy(rsdp->oem_id, "NSTKVM", 6);
	rsdp->revision = 2;
	rsdp->length = sizeof(*rsdp);
	rsdp->xsdt = xsdt;
	rsdp->checksum = acpi_checksum(rsdp, 20); /* the ACPI 1.0 part */
	rsdp->extended_checksum = acpi_checksum(rsdp, sizeof(*rsdp));
}

int acpi_build(struct machine *m, u64 *rsdp_gpa)
{
	struct acpi_area area = {.p = ram_ptr(&m->ram, PLATFORM_ACPI_TABLES, ACPI_SPACE)};
	struct acpi_rsdp *rsdp;
	u64 facs, dsdt, tables[3], xsdt;

	if (!area.p)
		return -ENOSPC;
	*rsdp_gpa = acpi_reserve(&area, sizeof(*rsdp), (void **)&rsdp);
	facs = acpi_build_facs(&area);
	dsdt = acpi_build_dsdt(&area);
	tables[0] = acpi_build_fadt(&area, facs, dsdt);
	tables[1] = acpi_build_madt(&area, m->cpu_count);
	tables[2] = acpi_build_mcfg(&area);
	xsdt = acpi_build_xsdt(&area, tables, ARRAY_SIZE(tables));
	if (!facs || !dsdt || !tables[0] || !tables[1] || !tables[2] || !xsdt)
		return -ENOSPC;
	acpi_fill_rsdp(rsdp, xsdt);
	return 0;
}

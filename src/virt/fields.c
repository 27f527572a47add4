/* SPDX-License-Identifier: BSD-2-Clause */
/* From VMCS field encodings to places in struct vmcs12 (SDM Vol. 3C 24.11.2, Vol. 3D appendix B).
 */
#include <string.h>

#include "virt/vmcs12.h"

/*
 * An encoding is: bit 0 access to the high half, 9:1 index, 11:10 type (control, read-only data,
 * guest, host), 14:13 width (16, 64, 32, natural). Few indices are in use, so a table of widths,
 * types and indices below 32 has it all.
 */
#define NINDEX	  32
#define SLOT(enc) (((enc) >> 13 & 3) << 7 | ((enc) >> 10 & 3) << 5 | ((enc) >> 1 & 31))

#define AT(enc, member, n) [SLOT(enc)] = offsetof(struct vmcs12, member) + (n)
#define F(enc, member)	   AT(enc, member, 0)

/* Consecutive fields, a segment register each. */
#define SEGS7(enc, m, w)                                                                           \
	AT((enc) + 0, m, 0 * (w)), AT((enc) + 2, m, 1 * (w)), AT((enc) + 4, m, 2 * (w)),           \
		AT((enc) + 6, m, 3 * (w)), AT((enc) + 8, m, 4 * (w)), AT((enc) + 10, m, 5 * (w)),  \
		AT((enc) + 12, m, 6 * (w))
#define SEGS8(enc, m, w) SEGS7(enc, m, w), AT((enc) + 14, m, 7 * (w))

static const u16 field_offset[4 * 4 * NINDEX] = {
	/* 16 bits */
	F(0x0000, vpid),
	F(0x0002, posted_vector),
	SEGS8(0x0800, guest_selector, 2),
	F(0x0810, guest_intr_status),
	F(0x0812, guest_pml_index),
	SEGS7(0x0c00, host_es, 2), /* ES CS SS DS FS GS TR */
	/* 64 bits */
	F(0x2000, io_bitmap_a),
	F(0x2002, io_bitmap_b),
	F(0x2004, msr_bitmap),
	F(0x2006, exit_msr_store),
	F(0x2008, exit_msr_load),
	F(0x200a, entry_msr_load),
	F(0x200e, pml_address),
	F(0x2010, tsc_offset),
	F(0x2012, virtual_apic),
	F(0x2014, apic_access),
	F(0x2016, posted_desc),
	F(0x2018, vmfunc_controls),
	F(0x201a, eptp),
	AT(0x201c, eoi_exit, 0),
	AT(0x201e, eoi_exit, 8),
	AT(0x2020, eoi_exit, 16),
	AT(0x2022, eoi_exit, 24),
	F(0x2024, eptp_list),
	F(0x2026, vmread_bitmap),
	F(0x2028, vmwrite_bitmap),
	F(0x202c, xss_exit_bitmap),
	F(0x202e, encls_bitmap),
	F(0x2032, tsc_multiplier),
	F(0x2400, guest_physical),
	F(0x2800, link_pointer),
	F(0x2802, guest_debugctl),
	F(0x2804, guest_pat),
	F(0x2806, guest_efer),
	F(0x2808, guest_perf_global),
	AT(0x280a, guest_pdpte, 0),
	AT(0x280c, guest_pdpte, 8),
	AT(0x280e, guest_pdpte, 16),
	AT(0x2810, guest_pdpte, 24),
	F(0x2812, guest_bndcfgs),
	F(0x2c00, host_pat),
	F(0x2c02, host_efer),
	F(0x2c04, host_perf_global),
	/* 32 bits */
	F(0x4000, pin_controls),
	F(0x4002, cpu_controls),
	F(0x4004, exception_bitmap),
	F(0x4006, pf_mask),
	F(0x4008, pf_match),
	F(0x400a, cr3_target_count),
	F(0x400c, exit_controls),
	F(0x400e, exit_msr_store_count),
	F(0x4010, exit_msr_load_count),
	F(0x4012, entry_controls),
	F(0x4014, entry_msr_load_count),
	F(0x4016, entry_intr_info),
	F(0x4018, entry_error_code),
	F(0x401a, entry_insn_len),
	F(0x401c, tpr_threshold),
	F(0x401e, cpu2_controls),
	F(0x4400, insn_error),
	F(0x4402, exit_reason),
	F(0x4404, exit_intr_info),
	F(0x4406, exit_intr_error),
	F(0x4408, idt_info),
	F(0x440a, idt_error),
	F(0x440c, exit_insn_len),
	F(0x440e, exit_insn_info),
	SEGS8(0x4800, guest_limit, 4),
	F(0x4810, guest_gdtr_limit),
	F(0x4812, guest_idtr_limit),
	SEGS8(0x4814, guest_ar, 4),
	F(0x4824, guest_interruptibility),
	F(0x4826, guest_activity),
	F(0x482a, guest_sysenter_cs),
	F(0x482e, preemption_timer),
	F(0x4c00, host_sysenter_cs),
	/* natural width */
	F(0x6000, cr0_mask),
	F(0x6002, cr4_mask),
	F(0x6004, cr0_shadow),
	F(0x6006, cr4_shadow),
	F(0x6400, exit_qual),
	F(0x640a, guest_linear),
	F(0x6800, guest_cr0),
	F(0x6802, guest_cr3),
	F(0x6804, guest_cr4),
	SEGS8(0x6806, guest_base, 8),
	F(0x6816, guest_gdtr_base),
	F(0x6818, guest_idtr_base),
	F(0x681a, guest_dr7),
	F(0x681c, guest_rsp),
	F(0x681e, guest_rip),
	F(0x6820, guest_rflags),
	F(0x6822, guest_pending_dbg),
	F(0x6824, guest_sysenter_esp),
	F(0x6826, guest_sysenter_eip),
	F(0x6c00, host_cr0),
	F(0x6c02, host_cr3),
	F(0x6c04, host_cr4),
	F(0x6c06, host_fs_base),
	F(0x6c08, host_gs_base),
	F(0x6c0a, host_tr_base),
	F(0x6c0c, host_gdtr_base),
	F(0x6c0e, host_idtr_base),
	F(0x6c10, host_sysenter_esp),
	F(0x6c12, host_sysenter_eip),
	F(0x6c14, host_rsp),
	F(0x6c16, host_rip),
};

/* Fields that a hypervisor writes before almost every entry, and what is checked without being
 * told. */
static u8 field_checks(u32 encoding)
{
	switch (encoding & ~1u) {
	case 0x2010: /* TSC offset */
	case 0x4004: /* exception bitmap */
	case 0x4016: /* event injection: always checked */
	case 0x4018:
	case 0x401a:
	case 0x6000: /* masks and shadows take any value */
	case 0x6002:
	case 0x6004:
	case 0x6006:
	case 0x4824: /* non-register state: always checked */
	case 0x4826:
	case 0x482e: /* preemption timer: any value */
	case 0x681c: /* RSP: any value */
	case 0x6c14:
	case 0x681e: /* RIP, RFLAGS: always checked */
	case 0x6820:
	case 0x6822:
		return 0;
	}
	switch (bits(encoding, 11, 10)) {
	case 0:
		return VMCS_CHECK_CTLS;
	case 2:
		return VMCS_CHECK_GUEST;
	case 3:
		return VMCS_CHECK_HOST;
	}
	return 0;
}

struct vmcs_field vmcs_field_find(u64 encoding)
{
	static const u8 sizes[4] = {2, 8, 4, 8};
	struct vmcs_field f = {0};
	unsigned width = (unsigned)bits(encoding, 14, 13);

	/* Bits 31:15 and 12 are reserved, indices from 32 up are not in use. */
	if (encoding & ~0x6c3full || (encoding & 1 && width != 1))
		return f;
	f.offset = field_offset[SLOT(encoding)];
	f.size = sizes[width];
	f.checks = field_checks((u32)encoding);
	if (encoding & 1 && f.offset) {
		f.offset += 4;
		f.size = 4;
	}
	return f;
}

u64 vmcs_field_read(const struct vmcs12 *v, struct vmcs_field f)
{
	u64 value = 0;

	switch (f.size) {
	case 2:
		memcpy(&value, (const u8 *)v + f.offset, 2);
		break;
	case 4:
		memcpy(&value, (const u8 *)v + f.offset, 4);
		break;
	default:
		memcpy(&value, (const u8 *)v + f.offset, 8);
	}
	return value;
}

void vmcs_field_write(struct vmcs12 *v, struct vmcs_field f, u64 value)
{
	switch (f.size) {
	case 2:
		memcpy((u8 *)v + f.offset, &value, 2);
		break;
	case 4:
		memcpy((u8 *)v + f.offset, &value, 4);
		break;
	default:
		memcpy((u8 *)v + f.offset, &value, 8);
	}
}

unsigned vmcs_field_max_index(void)
{
	unsigned max = 0;

	for (unsigned slot = 0; slot < ARRAY_SIZE(field_offset); slot++)
		if (field_offset[slot])
			max = MAX(max, slot % NINDEX);
	return max;
}

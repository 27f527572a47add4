/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The VMCS region in guest memory. Its layout is that of Linux KVM's nested VMX (struct vmcs12,
 * revision 11e57ed0h), so that the state of a nested guest moves between nestkvm and a hardware
 * KVM. Fields that come in the order of the segment registers (SEG_ES to SEG_TR) are arrays.
 */
#ifndef VIRT_VMCS12_H
#define VIRT_VMCS12_H

#include "base/types.h"

#define VMCS12_REVISION 0x11e57ed0u
#define VMCS12_SIZE	4096u /* of the region, of which the structure is the first part */

struct vmcs12 {
	u32 revision; /* bit 31: shadow VMCS */
	u32 abort;
	u32 launched;
	u32 reserved0[7];

	/* 64-bit fields */
	u64 io_bitmap_a, io_bitmap_b, msr_bitmap;
	u64 exit_msr_store, exit_msr_load, entry_msr_load; /* addresses of MSR lists */
	u64 tsc_offset;
	u64 virtual_apic, apic_access;
	u64 posted_desc;
	u64 eptp;
	u64 eoi_exit[4];
	u64 xss_exit_bitmap;
	u64 guest_physical;
	u64 link_pointer;
	u64 guest_debugctl, guest_pat, guest_efer, guest_perf_global;
	u64 guest_pdpte[4];
	u64 guest_bndcfgs;
	u64 host_pat, host_efer, host_perf_global;
	u64 vmread_bitmap, vmwrite_bitmap;
	u64 vmfunc_controls, eptp_list;
	u64 pml_address;
	u64 encls_bitmap;
	u64 tsc_multiplier;
	u64 reserved1[1];

	/* natural-width fields */
	u64 cr0_mask, cr4_mask, cr0_shadow, cr4_shadow;
	u64 reserved2[4]; /* CR3-target values once */
	u64 exit_qual;
	u64 guest_linear;
	u64 guest_cr0, guest_cr3, guest_cr4;
	u64 guest_base[8];
	u64 guest_gdtr_base, guest_idtr_base;
	u64 guest_dr7, guest_rsp, guest_rip, guest_rflags;
	u64 guest_pending_dbg;
	u64 guest_sysenter_esp, guest_sysenter_eip;
	u64 host_cr0, host_cr3, host_cr4;
	u64 host_fs_base, host_gs_base, host_tr_base, host_gdtr_base, host_idtr_base;
	u64 host_sysenter_esp, host_sysenter_eip;
	u64 host_rsp, host_rip;
	u64 reserved3[8];

	/* 32-bit fields */
	u32 pin_controls, cpu_controls;
	u32 exception_bitmap, pf_mask, pf_match;
	u32 cr3_target_count;
	u32 exit_controls, exit_msr_store_count, exit_msr_load_count;
	u32 entry_controls, entry_msr_load_count;
	u32 entry_intr_info, entry_error_code, entry_insn_len;
	u32 tpr_threshold;
	u32 cpu2_controls;
	u32 insn_error;
	u32 exit_reason, exit_intr_info, exit_intr_error;
	u32 idt_info, idt_error;
	u32 exit_insn_len, exit_insn_info;
	u32 guest_limit[8];
	u32 guest_gdtr_limit, guest_idtr_limit;
	u32 guest_ar[8];
	u32 guest_interruptibility, guest_activity;
	u32 guest_sysenter_cs, host_sysenter_cs;
	u32 preemption_timer;
	u32 reserved4[7];

	/* 16-bit fields */
	u16 vpid;
	u16 posted_vector;
	u16 guest_selector[8];
	u16 guest_intr_status;
	u16 host_es, host_cs, host_ss, host_ds, host_fs, host_gs, host_tr;
	u16 guest_pml_index;
} __attribute__((packed));

/* A few landmarks; the unit test checks the rest. */
_Static_assert(offsetof(struct vmcs12, io_bitmap_a) == 40, "64-bit fields");
_Static_assert(offsetof(struct vmcs12, cr0_mask) == 344, "natural-width fields");
_Static_assert(offsetof(struct vmcs12, pin_controls) == 744, "32-bit fields");
_Static_assert(offsetof(struct vmcs12, vpid) == 960, "16-bit fields");
_Static_assert(offsetof(struct vmcs12, guest_pml_index) == 996, "last field");

/* Groups of checks at VM entry; a VMWRITE makes those of its field due again. */
#define VMCS_CHECK_CTLS	 1u
#define VMCS_CHECK_HOST	 2u
#define VMCS_CHECK_GUEST 4u /* registers but RSP, RIP, RFLAGS; not the non-register state */

/* What a VMCS field encoding names (SDM Vol. 3D appendix B). */
struct vmcs_field {
	u16 offset; /* into struct vmcs12; 0: no such field */
	u8 size;
	u8 checks; /* VMCS_CHECK_* */
};

/* The field, with offset 0 when it does not exist. The high half of a 64-bit field is a field. */
struct vmcs_field vmcs_field_find(u64 encoding);

/* A read-only data field (type 1)? */
static inline bool vmcs_field_read_only(u64 encoding)
{
	return bits(encoding, 11, 10) == 1;
}

u64 vmcs_field_read(const struct vmcs12 *v, struct vmcs_field f);
void vmcs_field_write(struct vmcs12 *v, struct vmcs_field f, u64 value);

/* The highest index of any field, for IA32_VMX_VMCS_ENUM. */
unsigned vmcs_field_max_index(void);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* Private to virt/: control bits, exit reasons, and the VMX state of a vCPU. */
#ifndef VIRT_VMX_H
#define VIRT_VMX_H

#include "cpu/cpu.h"
#include "sys/sys.h"
#include "virt/virt.h"
#include "virt/vmcs12.h"

/* Pin-based VM-execution controls (SDM Vol. 3C table 24-5). */
#define PIN_EXT_INTR   BIT(0)
#define PIN_NMI	       BIT(3)
#define PIN_VNMI       BIT(5)
#define PIN_PREEMPTION BIT(6)

/* Primary processor-based controls (table 24-6). */
#define CPU_INTR_WINDOW BIT(2)
#define CPU_TSC_OFFSET	BIT(3)
#define CPU_HLT		BIT(7)
#define CPU_INVLPG	BIT(9)
#define CPU_MWAIT	BIT(10)
#define CPU_RDPMC	BIT(11)
#define CPU_RDTSC	BIT(12)
#define CPU_CR3_LOAD	BIT(15)
#define CPU_CR3_STORE	BIT(16)
#define CPU_CR8_LOAD	BIT(19)
#define CPU_CR8_STORE	BIT(20)
#define CPU_TPR_SHADOW	BIT(21)
#define CPU_NMI_WINDOW	BIT(22)
#define CPU_MOV_DR	BIT(23)
#define CPU_UNCOND_IO	BIT(24)
#define CPU_IO_BITMAPS	BIT(25)
#define CPU_MTF		BIT(27)
#define CPU_MSR_BITMAPS BIT(28)
#define CPU_MONITOR	BIT(29)
#define CPU_PAUSE	BIT(30)
#define CPU_SECONDARY	BIT(31)

/* Secondary processor-based controls (table 24-7). */
#define CPU2_EPT	  BIT(1)
#define CPU2_DESC	  BIT(2)
#define CPU2_RDTSCP	  BIT(3)
#define CPU2_VPID	  BIT(5)
#define CPU2_WBINVD	  BIT(6)
#define CPU2_UNRESTRICTED BIT(7)
#define CPU2_RDRAND	  BIT(11)
#define CPU2_INVPCID	  BIT(12)
#define CPU2_RDSEED	  BIT(16)
#define CPU2_XSAVES	  BIT(20)

/* VM-exit controls (table 24-13). */
#define EXIT_SAVE_DEBUG BIT(2)
#define EXIT_HOST_64	BIT(9)
#define EXIT_ACK_INTR	BIT(15)
#define EXIT_SAVE_PAT	BIT(18)
#define EXIT_LOAD_PAT	BIT(19)
#define EXIT_SAVE_EFER	BIT(20)
#define EXIT_LOAD_EFER	BIT(21)
#define EXIT_SAVE_TIMER BIT(22)

/* VM-entry controls (table 24-16). */
#define ENTRY_LOAD_DEBUG BIT(2)
#define ENTRY_IA32E	 BIT(9)
#define ENTRY_LOAD_PAT	 BIT(14)
#define ENTRY_LOAD_EFER	 BIT(15)

/* Basic exit reasons (SDM Vol. 3D appendix C). */
enum {
	REASON_EXCEPTION_NMI = 0,
	REASON_EXTERNAL_INTERRUPT = 1,
	REASON_TRIPLE_FAULT = 2,
	REASON_INIT = 3,
	REASON_INTR_WINDOW = 7,
	REASON_NMI_WINDOW = 8,
	REASON_TASK_SWITCH = 9,
	REASON_CPUID = 10,
	REASON_HLT = 12,
	REASON_INVD = 13,
	REASON_INVLPG = 14,
	REASON_RDPMC = 15,
	REASON_RDTSC = 16,
	REASON_VMCALL = 18,
	REASON_VMCLEAR = 19,
	REASON_VMLAUNCH = 20,
	REASON_VMPTRLD = 21,
	REASON_VMPTRST = 22,
	REASON_VMREAD = 23,
	REASON_VMRESUME = 24,
	REASON_VMWRITE = 25,
	REASON_VMXOFF = 26,
	REASON_VMXON = 27,
	REASON_CR_ACCESS = 28,
	REASON_DR_ACCESS = 29,
	REASON_IO = 30,
	REASON_RDMSR = 31,
	REASON_WRMSR = 32,
	REASON_ENTRY_GUEST_STATE = 33,
	REASON_ENTRY_MSR_LOAD = 34,
	REASON_MWAIT = 36,
	REASON_MTF = 37,
	REASON_MONITOR = 39,
	REASON_PAUSE = 40,
	REASON_TPR_THRESHOLD = 43,
	REASON_GDTR_IDTR = 46,
	REASON_LDTR_TR = 47,
	REASON_EPT_VIOLATION = 48,
	REASON_EPT_MISCONFIG = 49,
	REASON_INVEPT = 50,
	REASON_RDTSCP = 51,
	REASON_PREEMPTION_TIMER = 52,
	REASON_INVVPID = 53,
	REASON_WBINVD = 54,
	REASON_XSETBV = 55,
	REASON_RDRAND = 57,
	REASON_INVPCID = 58,
	REASON_VMFUNC = 59,
	REASON_RDSEED = 61,
	REASON_XSAVES = 63,
	REASON_XRSTORS = 64,
};
#define REASON_ENTRY_FAILURE BIT(31)

/* VM-instruction error numbers (SDM Vol. 3C 30.4). */
enum {
	VMERR_VMCLEAR_ADDRESS = 2,
	VMERR_VMCLEAR_VMXON = 3,
	VMERR_LAUNCH_NOT_CLEAR = 4,
	VMERR_RESUME_NOT_LAUNCHED = 5,
	VMERR_CONTROLS = 7,
	VMERR_HOST_STATE = 8,
	VMERR_VMPTRLD_ADDRESS = 9,
	VMERR_VMPTRLD_VMXON = 10,
	VMERR_VMPTRLD_REVISION = 11,
	VMERR_FIELD = 12,
	VMERR_READ_ONLY = 13,
	VMERR_VMXON_IN_ROOT = 15,
	VMERR_MOV_SS = 26,
	VMERR_INVALIDATE_OPERAND = 28,
};

/* Interruption information, of entries, exits and IDT vectoring (24.8.3, 24.9.2, 24.9.3). */
#define INTR_VECTOR	 0xffu
#define INTR_TYPE(info)	 ((enum event_type)((info) >> 8 & 7))
#define INTR_TYPE_SHIFT	 8
#define INTR_ERROR	 BIT(11)
#define INTR_NMI_UNBLOCK BIT(12)
#define INTR_VALID	 BIT(31)

/* Guest non-register state (24.4.2). */
#define GUEST_BLOCK_STI	    BIT(0)
#define GUEST_BLOCK_MOV_SS  BIT(1)
#define GUEST_BLOCK_SMI	    BIT(2)
#define GUEST_BLOCK_NMI	    BIT(3)
#define GUEST_ACTIVE	    0u
#define GUEST_HLT	    1u
#define PENDING_DBG_ENABLED BIT(12)
#define PENDING_DBG_BS	    BIT(14)

#define AR_UNUSABLE BIT(16)

#define NO_VMCS (~0ull)

/* Values of the capability MSRs: 480h to 491h, by index (caps.c). */
struct vmx_caps {
	u64 msr[0x12];
};
#define CAP(caps, name) ((caps)->msr[VMX_##name])
enum {
	VMX_BASIC,
	VMX_PINBASED,
	VMX_PROCBASED,
	VMX_EXIT,
	VMX_ENTRY,
	VMX_MISC,
	VMX_CR0_FIXED0,
	VMX_CR0_FIXED1,
	VMX_CR4_FIXED0,
	VMX_CR4_FIXED1,
	VMX_VMCS_ENUM,
	VMX_PROCBASED2,
	VMX_EPT_VPID,
	VMX_TRUE_PINBASED,
	VMX_TRUE_PROCBASED,
	VMX_TRUE_EXIT,
	VMX_TRUE_ENTRY,
	VMX_VMFUNC,
};

#define VMX_MISC_TIMER_RATE    MASK(4, 0)
#define VMX_MISC_EFER_LMA      BIT(5)
#define VMX_MISC_HLT	       BIT(6)
#define VMX_MISC_VMWRITE_RO    BIT(29)
#define VMX_MISC_ZERO_LEN      BIT(30)
#define VMX_EPT_WALK_4	       BIT(6)
#define VMX_EPT_WB	       BIT(14)
#define VMX_EPT_2M	       BIT(16)
#define VMX_EPT_1G	       BIT(17)
#define VMX_EPT_INVEPT	       BIT(20)
#define VMX_EPT_AD	       BIT(21)
#define VMX_EPT_SINGLE	       BIT(25)
#define VMX_EPT_ALL	       BIT(26)
#define VMX_VPID_INVVPID       BIT(32)
#define VMX_VPID_ADDRESS       BIT(40)
#define VMX_VPID_SINGLE	       BIT(41)
#define VMX_VPID_ALL	       BIT(42)
#define VMX_VPID_SINGLE_GLOBAL BIT(43)

#define MSR_LIST_MAX 512u /* as IA32_VMX_MISC bits 27:25 = 0 say */

/* Controls of the current VMCS that depend on one another, as in force: cpu2 is 0 without
 * CPU_SECONDARY. */
struct vmx_ctls {
	u32 pin, cpu, cpu2, entry, exit;
};

struct vmx {
	struct virt_params params;
	struct vmx_caps caps, offered; /* what this vCPU has, and what user space may choose from */
	bool vmxon;
	u64 vmxon_pa;
	u64 current;		      /* gpa of the VMCS, or NO_VMCS */
	u32 checked;		      /* VMCS_CHECK_* that hold for vmcs as it is */
	struct vmx_ctls ctls;	      /* of the last entry (unpacked) */
	struct vmx_ctls checked_ctls; /* those under which `checked` came about */
	bool checked_v86;	      /* RFLAGS.VM when the guest state was checked */
	struct vmcs12 vmcs;	      /* the current VMCS; memory is out of date */

	/* In guest mode. */
	bool inject; /* `injected` has not been handed out yet */
	struct event injected;
	bool mtf_armed, mtf_due;
	bool entered_halted;
	u32 idt_info, idt_error; /* IDT-vectoring information for the vmexit under way */
	bool timer_on, timer_due;
	u64 timer_tsc; /* L1's TSC at which the preemption timer fires */
	u64 timer_ns;  /* the same by CLOCK_MONOTONIC */
};

static inline bool vmx_has_ept(const struct vmx *vmx)
{
	return vmx->ctls.cpu2 & CPU2_EPT;
}

static inline bool vmx_unrestricted(const struct vmx *vmx)
{
	return vmx->ctls.cpu2 & CPU2_UNRESTRICTED;
}

/* -- caps.c */
void vmx_caps_init(struct vmx_caps *caps, const struct virt_params *params);
/* The CR4 bits that CPUID allows are those that VMX operation allows. */
u64 vmx_cr4_fixed1(const struct cpu *cpu);

/* Is `value` one that a control may have, by its capability MSR (allowed 0s low, allowed 1s high)?
 */
static inline bool vmx_control_ok(u32 value, u64 cap)
{
	return !(~value & (u32)cap) && !(value & ~(u32)(cap >> 32));
}

/* Is `cr` in accordance with a pair of fixed-bit MSRs? */
static inline bool vmx_fixed_ok(u64 cr, u64 fixed0, u64 fixed1)
{
	return (cr & fixed0) == fixed0 && !(cr & ~fixed1);
}

/* -- checks at VM entry: false when the VMCS's contents are not valid */
void vmx_unpack_controls(const struct vmcs12 *v, struct vmx_ctls *c);
bool vmx_check_controls(const struct cpu *cpu);
/* Event injection, and what depends on memory: at every entry. */
bool vmx_check_injection(const struct cpu *cpu);
bool vmx_check_tpr_threshold(const struct cpu *cpu);
bool vmx_check_host(const struct cpu *cpu);
bool vmx_pat_ok(u64 pat);
/* *qual: the exit qualification when false. */
bool vmx_check_guest(const struct cpu *cpu, u64 *qual);
/* RIP, RFLAGS and the non-register state: at every entry. */
bool vmx_check_guest_rip(const struct cpu *cpu);
bool vmx_check_guest_nonreg(const struct cpu *cpu);
/* CR0 and CR4 of a guest in VMX non-root operation (23.8). */
bool vmx_guest_cr0_ok(const struct cpu *cpu, u64 cr0);
bool vmx_guest_cr4_ok(const struct cpu *cpu, u64 cr4);

/* -- entry.c, exit.c */
/* 26.3 to 26.7, after the checks that end in VMfail. OUTCOME_RESYNC. */
enum outcome vmx_enter(struct cpu *cpu);
/* Loads L2's registers from the VMCS, and everything that makes guest mode. false: bad PDPTEs. */
bool vmx_load_guest(struct cpu *cpu, bool load_msrs);
/* Saves L2's state into the cached VMCS (27.3). */
void vmx_save_guest(struct cpu *cpu);
/* Ends guest mode after a failed entry: host state, exit reason. OUTCOME_RESYNC, or
 * OUTCOME_SHUTDOWN. */
enum outcome vmx_entry_failed(struct cpu *cpu, u32 reason, u64 qual);

/* -- icpt.c: unpacks what decides intercepts into cpu->intercepts. */
void vmx_unpack_intercepts(struct cpu *cpu);

/* -- event.c */
/* Injection, pending debug exceptions, windows, MTF, timer (26.5 to 26.7). */
void vmx_event_entry(struct cpu *cpu, bool inject);
void vmx_event_exit(struct cpu *cpu);
/* The preemption timer fires when L1's TSC reaches `tsc`. */
void vmx_timer_start(struct cpu *cpu, u64 tsc);
u32 vmx_timer_remaining(const struct cpu *cpu);

/* -- msrlist.c: 0, or the number (from 1) of the entry that failed. */
u32 vmx_msr_load(struct cpu *cpu, u64 gpa, u32 count, bool entry);
bool vmx_msr_store(struct cpu *cpu, u64 gpa, u32 count);

/* -- insn.c */
void vmx_vmcs_flush(struct cpu *cpu); /* writes the cached VMCS back to memory */
bool vmx_page_valid(const struct cpu *cpu, u64 gpa);

/* Fills cpu->vmexit. Always OUTCOME_VMEXIT. */
static inline enum outcome vmx_exit(struct cpu *cpu, u32 reason, u64 qual, u32 insn_len)
{
	cpu->vmexit = (struct vmexit){.reason = reason, .qual = qual, .insn_len = insn_len};
	return OUTCOME_VMEXIT;
}

#endif

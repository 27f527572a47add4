/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The architectural state of one virtual CPU, and the few words through which the rooms that execute
 * it speak to one another. Only the thread that runs the vCPU touches struct cpu, except for the
 * fields marked "any thread".
 */
#ifndef CPU_CPU_H
#define CPU_CPU_H

#include <stdatomic.h>
#include <linux/kvm.h>

#include "base/types.h"
#include "cpu/outcome.h"
#include "cpu/regs.h"

struct mem;
struct mmu;
struct vmx;
struct lapic;
struct interp;
struct insn;
struct cpu;

/* A segment register with its hidden part. */
struct segment {
	u64 base;
	u32 limit; /* in bytes, after scaling by G */
	u16 selector;
	u16 attr; /* as in a VMCS: bits 7:0 type,S,DPL,P; 12 AVL, 13 L, 14 D/B, 15 G; see SEG_* */
	bool unusable;
};

struct dtable {
	u64 base;
	u16 limit;
};

/* x87, SSE, AVX state in the standard XSAVE format (SDM Vol. 1 13.4); 64-byte aligned. */
struct fpu {
	u8 legacy[512];
	u64 xstate_bv;
	u64 xcomp_bv;
	u64 reserved[6];
	u8 ymm_hi[16][16]; /* component 2, offset 576 */
	u32 pkru;	   /* component 9, offset 832 */
	u8 pad[60];
} __attribute__((aligned(64)));

#define FPU_FCW(f)    (*(u16 *)&(f)->legacy[0])
#define FPU_FSW(f)    (*(u16 *)&(f)->legacy[2])
#define FPU_FTW(f)    ((f)->legacy[4])
#define FPU_MXCSR(f)  (*(u32 *)&(f)->legacy[24])
#define FPU_XMM(f, n) (&(f)->legacy[160 + 16 * (n)])

#define FPU_XSAVE_SIZE 840 /* of the standard format with x87, SSE, AVX and PKRU */

/* Why the engine must leave its loop: bits of cpu->events. Set by any thread with cpu_event_set(). */
#define EVENT_KICK  (1u << 0) /* leave KVM_RUN with EINTR (signal, immediate_exit) */
#define EVENT_IRQ   (1u << 1) /* the LAPIC or the PIC may have something deliverable */
#define EVENT_NMI   (1u << 2) /* an NMI is pending */
#define EVENT_INIT  (1u << 3) /* INIT */
#define EVENT_SIPI  (1u << 4) /* SIPI; vector in cpu->sipi_vector */
#define EVENT_PAUSE (1u << 5) /* somebody wants the VM's vCPUs out of guest code (slots change) */
#define EVENT_WATCH (1u << 6) /* drop TLB write entries of watched pages (mmu_drop_watched) */
#define EVENT_TLB   (1u << 7) /* flush the whole TLB */
#define EVENT_VMX   (1u << 8) /* windows, preemption timer, MTF: ask virt/ */
#define EVENT_USER_INT                                                                             \
	(1u << 9) /* KVM_INTERRUPT queued, or user space wants the interrupt window */
#define EVENT_STEP    (1u << 10) /* must single-step: TF, breakpoints, interrupt shadow, pending #DB */
#define EVENT_REQUEST (1u << 11) /* vcpu/ has requests of its own (kvmclock update, ...) */
#define EVENT_LEAVE   (1u << 31) /* interp_step's own: nothing runs after the instruction */

/* Interrupt shadow (GUEST_INTERRUPTIBILITY_INFO's encoding, SDM Vol. 3C 24.4.2). */
#define SHADOW_STI   1u
#define SHADOW_MOVSS 2u

/*
 * What L1 intercepts of L2's instructions, unpacked at VM entry so that one test of a bit decides.
 * All zero outside guest mode. The owner is virt/; interp/ tests.
 */
#define ICPT_HLT	BIT(0)
#define ICPT_CPUID	BIT(1)
#define ICPT_RDTSC	BIT(2)
#define ICPT_RDPMC	BIT(3)
#define ICPT_INVLPG	BIT(4)
#define ICPT_INVPCID	BIT(5)
#define ICPT_CR0_WRITE	BIT(6) /* ask virt/: depends on mask and value */
#define ICPT_CR3_LOAD	BIT(7)
#define ICPT_CR3_STORE	BIT(8)
#define ICPT_CR4_WRITE	BIT(9)
#define ICPT_CR8_LOAD	BIT(10)
#define ICPT_CR8_STORE	BIT(11)
#define ICPT_CR_READ	BIT(12) /* CR0/CR4 reads see a shadow: ask virt/ */
#define ICPT_DR		BIT(13)
#define ICPT_IO		BIT(14) /* ask virt/: unconditional or by bitmap */
#define ICPT_MSR	BIT(15) /* ask virt/: unconditional or by bitmap */
#define ICPT_MWAIT	BIT(16)
#define ICPT_MONITOR	BIT(17)
#define ICPT_PAUSE	BIT(18)
#define ICPT_DTABLE	BIT(19) /* LGDT, LIDT, SGDT, SIDT */
#define ICPT_RDTSCP	BIT(20) /* #UD unless enabled is ICPT_RDTSCP_UD */
#define ICPT_RDTSCP_UD	BIT(21)
#define ICPT_INVPCID_UD BIT(22)
#define ICPT_XSAVES	BIT(23)
#define ICPT_XSAVES_UD	BIT(24)
#define ICPT_WBINVD	BIT(25)
#define ICPT_RDRAND	BIT(26)
#define ICPT_RDSEED	BIT(27)
#define ICPT_TPR_SHADOW BIT(28) /* CR8 and the APIC page go to the virtual-APIC page */
#define ICPT_TASK	BIT(30) /* task switches exit: always in VMX non-root */
#define ICPT_XSETBV	BIT(31)
#define ICPT_VMX_INSN	BIT(32) /* VMX instructions exit */
#define ICPT_UMIP	BIT(33)
#define ICPT_TSC_OFFSET BIT(34)
#define ICPT_INVD	BIT(35)
#define ICPT_LDT_TR	BIT(36) /* LLDT, LTR, SLDT, STR */
#define ICPT_XRSTORS	BIT(37)

/* A vmexit to perform: what virt/ needs to fill the VMCS's exit fields. */
struct vmexit {
	u32 reason;
	u64 qual;
	u32 intr_info; /* VM-exit interruption information, 0 when not valid */
	u32 intr_error;
	u32 insn_len;  /* 0 when the exit is not due to an instruction */
	u32 insn_info; /* VM-exit instruction information */
	u64 gpa;
	u64 gla;
};

/* One access of a device in user space (or of one that vcpu/ emulates). */
struct io_access {
	u64 addr; /* port or gpa */
	u8 size;  /* of one element, 1 to 8 */
	bool write;
	bool pio;
	u32 count; /* string I/O: elements; else 1 */
};

#define IO_DATA_MAX   4096
#define IO_REPLAY_MAX 16

/*
 * Accesses to user-space devices.
 *
 * MMIO: a load that user space must answer ends the instruction with OUTCOME_USEREXIT; the instruction is
 * executed again on re-entry, and its loads are answered in order from `done`. Stores are queued in
 * `posted` and handed to user space one by one after the instruction; who queues one sets EVENT_REQUEST,
 * so that the engine leaves soon. vcpu/ executes the restarted instruction with interp_step() and then
 * forgets `done`. OUTCOME_USEREXIT with USER_NONE: `posted` is full; it is handed out, and the instruction
 * executed again. A repeated string instruction stops between iterations when cpu->events is not 0.
 *
 * Ports (interp/io.c): user.kind is USER_IO and cur.pio is set.
 * - OUT, OUTS: the instruction (for REP: the iterations in cur.count) has completed; rip and the
 *   registers are after it. data[] holds cur.count elements of cur.size bytes. Nothing is left to do on
 *   re-entry: in_flight is false.
 * - IN, INS: the state is before the instruction, in_flight is true. Before re-entry the answer (cur.count
 *   elements) is put into data[] and `answered` is set; then the instruction is executed again and takes it
 *   from there, clearing in_flight and answered. vcpu/ clears both when the instruction is abandoned
 *   (registers set from outside, event delivered in between).
 */
struct cpu_io {
	struct io_access cur; /* the access that user space sees now */
	u8 data[IO_DATA_MAX]; /* its data: from the guest for writes, for the guest for reads */
	bool in_flight;	      /* cur has been handed out and not yet completed */
	bool answered;	      /* IN, INS: data[] holds the answer for cur */
	unsigned ndone, next; /* answered loads of the instruction under way; the next to replay */
	struct {
		u64 addr;
		u64 data;
		u8 size;
	} done[IO_REPLAY_MAX], posted[IO_REPLAY_MAX];
	unsigned nposted;
};

enum user_kind {
	USER_NONE,
	USER_IO,       /* cpu->io.cur (pio) */
	USER_MMIO,     /* cpu->io.cur (mmio) */
	USER_INTERNAL, /* KVM_INTERNAL_ERROR_EMULATION: an instruction that nestkvm cannot execute */
	USER_FAIL_ENTRY,  /* user.code */
	USER_HYPERCALL,	  /* not answered in the library */
	USER_IOAPIC_EOI,  /* user.code: vector */
	USER_DEBUG,	  /* user.debug */
	USER_SYSTEM_EVENT /* user.code */
};

struct userexit {
	enum user_kind kind;
	u64 code;
	struct kvm_debug_exit_arch debug;
};

/*
 * What the CPU asks of the rooms above it. Set once by vcpu/; every function runs in the vCPU's thread.
 */
struct cpu_ops {
	/* MSRs that neither cpu/ nor virt/ own (x2APIC, APIC base, TSC deadline, kvmclock). `host`: from
	 * KVM_SET/GET_MSRS. false: no such MSR or a bad value (#GP). */
	bool (*msr_read)(struct cpu *cpu, u32 index, u64 *value, bool host);
	bool (*msr_write)(struct cpu *cpu, u32 index, u64 value, bool host);
	/* CR8. */
	u8 (*tpr_read)(struct cpu *cpu);
	void (*tpr_write)(struct cpu *cpu, u8 tpr);
	/* A device of the library at a gpa without memory. false: not ours, user space must act. */
	bool (*mmio_read)(struct cpu *cpu, u64 gpa, unsigned size, u64 *value);
	bool (*mmio_write)(struct cpu *cpu, u64 gpa, unsigned size, u64 value);
	/* The same for ports. */
	bool (*pio_read)(struct cpu *cpu, u16 port, unsigned size, u32 *value);
	bool (*pio_write)(struct cpu *cpu, u16 port, unsigned size, u32 value);
	/* The guest's TSC has jumped (MSR write): timers on it are to be armed anew. May be NULL. */
	void (*tsc_changed)(struct cpu *cpu);
	/* VMCALL/VMMCALL outside guest mode: KVM's hypercalls. The result goes to RAX. */
	enum outcome (*hypercall)(struct cpu *cpu);
};

struct cpu {
	/* -- hot: first cache lines -------------------------------------------------------------------- */
	/*
	 * General registers in encoding order, then two that only decoded instructions name:
	 * gpr[REG_ZERO] is always 0, gpr[REG_PAGE] the linear address of the page that holds the code.
	 */
	u64 gpr[NREGS];
	u64 rip;
	/* Arithmetic flags as LAHF and SETO leave them: bits 15:8 SF ZF - AF - PF - CF, bit 0 OF. */
	u16 cc;
	u8 cpl;
	bool guest_mode; /* in L2 (VMX non-root operation or SVM guest) */
	/* RFLAGS without CF PF AF ZF SF OF, which are in cc; bit 1 set. */
	u64 rflags_sys;
	_Atomic u32 events; /* EVENT_*, any thread */
	u32 tlb_ctx;	    /* low 12 bits of a TLB tag for accesses at the current CPL (mmu/) */
	u64 tlb_xor;	    /* mixes the context into the TLB's index, as a byte offset (mmu/) */
	struct tlb_entry *tlb;
	u64 intercepts; /* ICPT_* */
	u64 icount;	/* instructions retired */
	enum code_mode {
		CODE_16,
		CODE_32,
		CODE_64
	} mode;	   /* of CS, with EFER.LMA: sizes for decoding */
	u8 shadow; /* SHADOW_* */
	/*
	 * EVENT_* to raise when EFLAGS.IF becomes 1. Set by vcpu/ (an interrupt waits, or user space wants
	 * the window) and virt/ (interrupt window), which then clear the event itself; so while
	 * IF is 0 the engine runs undisturbed.
	 */
	u32 if_events;

	/* -- segments and system registers ------------------------------------------------------------- */
	struct segment seg[NSEGS]; /* SEG_ES.. SEG_GS, SEG_LDTR, SEG_TR */
	struct dtable gdt, idt;
	u64 cr0, cr2, cr3, cr4;
	u64 efer;
	u64 dr[8]; /* 0-3, 6, 7 */
	u64 xcr0, xss;
	u64 pdpte[4]; /* PAE paging: loaded with CR3 (SDM Vol. 3A 4.4.1) */
	struct fpu fpu;
	/*
	 * While the interpreter runs: the guest's MXCSR when the host's register holds it, else 0, and the
	 * thread's own, which comes back before the interpreter returns (interp/native.c).
	 */
	u32 mxcsr_live, mxcsr_host;

	/* -- MSRs with storage only; the rest are derived (cpu/msr.c) ---------------------------------- */
	struct cpu_msrs {
		u64 star, lstar, cstar, sfmask, kernel_gs_base, tsc_aux;
		u64 sysenter_cs, sysenter_esp, sysenter_eip;
		u64 pat, misc_enable, feature_control, spec_ctrl, tsc_adjust, debugctl;
		u64 mtrr_def_type, mtrr_fixed[11], mtrr_var[16];
		u64 smbase, ucode_rev, arch_capabilities, platform_info, misc_features;
		u64 mcg_cap, mcg_status, mcg_ctl, mc[4 * 32];
		u64 bndcfgs, umwait_control, tsx_ctrl, virt_ssbd, hwcr, vm_hsave_pa, vm_cr;
		u64 perf[32];
		u64 smi_count, power_ctl, de_cfg, osvw[2];
	} msr;
	/* Guest TSC = host TSC * scale + offset (48 fractional bits); L2's offset is added in guest mode. */
	u64 tsc_scale;
	u64 tsc_offset;
	u64 tsc_offset_l2;
	u32 tsc_khz;

	/* -- events under way -------------------------------------------------------------------------- */
	struct fault fault;
	struct vmexit vmexit;
	struct userexit user;
	struct cpu_io io;
	u64 pending_db;	 /* DR6 bits of data/IO breakpoints and BS to raise after the instruction */
	bool nmi_masked; /* from NMI delivery to IRET */
	bool halted;
	_Atomic u8 sipi_vector; /* any thread */

	/* -- nested paging in force; owned by virt/, used by mmu/ -------------------------------------- */
	struct cpu_nested_paging {
		enum { NESTED_NONE, NESTED_EPT } kind;
		u64 root; /* EPTP */
	} nested;
	u16 vpid; /* 0 for L1; L2's VPID or ASID in guest mode (see mmu_context_switch) */

	/* -- CPUID ------------------------------------------------------------------------------------- */
	struct kvm_cpuid_entry2 *cpuid;
	u32 ncpuid;
	u32 features[NFEATURES]; /* the guest's feature words, FEAT_* (cpu/features.h) */
	u8 phys_bits, virt_bits;
	bool vendor_amd;

	/* -- rooms above ------------------------------------------------------------------------------- */
	const struct cpu_ops *ops;
	void *owner; /* struct vcpu */
	struct mem *mem;
	struct mmu *mmu;
	struct vmx *vmx;
	struct interp *interp;
	const struct insn *insn_next; /* interp/: only in builds without tail calls */
	u32 id;			      /* vCPU id = initial APIC id */
};

/* RFLAGS as PUSHF would see it. */
static inline u64 cpu_rflags(const struct cpu *cpu)
{
	return cpu->rflags_sys | (cpu->cc >> 8 & 0xd5) | (u64)(cpu->cc & 1) << 11;
}

/* Sets all of RFLAGS; reserved bits are dropped. The caller has applied the rules of POPF or IRET. */
static inline void cpu_rflags_set(struct cpu *cpu, u64 v)
{
	cpu->cc = (u16)((v & 0xd5) << 8 | (v >> 11 & 1));
	cpu->rflags_sys = (v & RFLAGS_SYS) | RFLAGS_FIXED;
	if (unlikely(v & RFLAGS_TF))
		atomic_fetch_or_explicit(&cpu->events, EVENT_STEP, memory_order_relaxed);
	if (unlikely(cpu->if_events && (v & RFLAGS_IF)))
		atomic_fetch_or_explicit(&cpu->events, cpu->if_events, memory_order_relaxed);
}

/* Any thread: marks an event. Waking a halted vCPU is the business of vcpu/. */
static inline void cpu_event_set(struct cpu *cpu, u32 event)
{
	atomic_fetch_or_explicit(&cpu->events, event, memory_order_release);
}

static inline void cpu_event_clear(struct cpu *cpu, u32 event)
{
	atomic_fetch_and_explicit(&cpu->events, ~event, memory_order_acq_rel);
}

static inline bool cpu_long_mode(const struct cpu *cpu)
{
	return cpu->efer & EFER_LMA;
}

static inline bool cpu_protected(const struct cpu *cpu)
{
	return cpu->cr0 & CR0_PE;
}

static inline bool cpu_v86(const struct cpu *cpu)
{
	return cpu->rflags_sys & RFLAGS_VM;
}

/* Address is canonical for the current paging (SDM Vol. 1 3.3.7.1). */
static inline bool cpu_canonical(const struct cpu *cpu, u64 gva)
{
	unsigned bits = cpu->cr4 & CR4_LA57 ? 57 : 48;

	return (u64)sext(gva, bits) == gva;
}

/* Raises exception `vector` without error code. Always returns OUTCOME_FAULT. */
enum outcome cpu_fault(struct cpu *cpu, u8 vector);
/* The same with an error code. */
enum outcome cpu_fault_code(struct cpu *cpu, u8 vector, u32 error);
/* Raises #PF for linear address gva with `error` (PF_*). */
enum outcome cpu_fault_page(struct cpu *cpu, u64 gva, u32 error);

/* The guest's TSC now, with L2's offset in guest mode. */
u64 cpu_tsc(const struct cpu *cpu);
/* L1's TSC for a host TSC value. */
u64 cpu_tsc_at(const struct cpu *cpu, u64 host_tsc);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VMX as the guest sees it (SDM Vol. 3C), on the one struct cpu: L2 is the same CPU with other
 * contents.
 *
 * Intercepts are two steps. Before an instruction has changed anything, interp/ asks virt_icpt_*():
 * that fills cpu->vmexit and returns OUTCOME_VMEXIT when L1 wants it, else OUTCOME_OK. The run loop
 * then calls virt_exit(), which saves L2, loads L1's host state and leaves guest mode.
 *
 * What the run loop does while cpu->guest_mode is set, at every instruction boundary at which it
 * looks at the world (that is: before it enters the engine for the first time and after each
 * outcome of it), in this order. Wherever OUTCOME_VMEXIT comes back: virt_exit(), and start over,
 * now in L1.
 *
 * 1. virt_injected_event(): true - deliver *ev through the IDT as in 4, at once and before anything
 * else. A host #DB, an NMI and so on wait.
 * 2. EVENT_INIT: virt_init_intercept(). SIPIs are ignored in VMX operation. Outside guest mode an
 *    INIT waits while virt_init_blocked().
 * 3. virt_pending(): MTF. Then pending debug traps (cpu->pending_db), as faults of kind
 *    FAULT_EXCEPTION, #DB, trap - which go through 4. virt_pending() itself leaves everything of
 * lower priority alone while cpu->pending_db is not 0; so one call before the traps is enough. It
 * also looks at the preemption timer, the NMI window and (when no NMI is deliverable) the interrupt
 *    window, and clears EVENT_VMX when nothing of that can happen before the guest's state changes.
 * It is cheap: call it each time, whether EVENT_VMX is set or not. An NMI that waits (EVENT_NMI),
 * whether or not cpu->nmi_masked: virt_nmi_intercept(). On OUTCOME_VMEXIT the NMI has been
 * consumed; on OUTCOME_OK it is delivered to L2 unless nmi_masked. An external interrupt that the
 * LAPIC or the PIC would deliver: if virt_wants_external(), then regardless of EFLAGS.IF and of
 * cpu->shadow virt_external_exit(), for which the vector is acknowledged first if virt_intr_acks(),
 * and otherwise stays where it is. If not: deliver to L2 under the usual rules.
 * 4. A fault or event to deliver. virt_fault_intercept() is asked first with `idt` NULL. If L1 does
 * not want it: CR2 or DR6 are written, then sys_event_deliver(). If that faults,
 * virt_fault_intercept() is asked about the second fault with `idt` pointing to the event under
 * delivery, BEFORE the two are combined (SDM Vol. 3C 25.2: exception bitmap first). Then #DF by
 * table 6-5, for which it is asked again; then virt_triple_fault(). FAULT_EPT and FAULT_EPT_MISCONF
 * always exit. INT n (fault.int_n) may be asked about like any fault and never exits by itself;
 * external interrupts and NMIs on their way to L2 are not asked about, only what their delivery
 * raises. NMIs set cpu->nmi_masked before delivery (for an injected NMI virt/ has done so).
 * 5. Halted (cpu->halted, virt_entered_halted() after an entry): steps 1 to 3 wake it as they do
 *    outside guest mode; a vmexit ends the halt. virt_preemption_deadline() limits the sleep.
 * 6. virt_wants_step(): run one instruction with interp_step(), and when it has retired - or an
 *    event was delivered instead - call virt_stepped().
 *
 * A successful VMLAUNCH/VMRESUME returns OUTCOME_RESYNC: guest_mode, all state and cpu->shadow are
 * L2's.
 *
 * All functions run in the vCPU's thread.
 */
#ifndef VIRT_VIRT_H
#define VIRT_VIRT_H

#include "base/types.h"
#include "cpu/cpu.h"
#include "sys/sys.h"

/* Which features the VM's vCPUs get: KVM's module parameters. */
struct virt_params {
	bool nested, ept, ept_ad, vpid, unrestricted_guest, flexpriority, preemption_timer;
};

/* Returns 0 or -ENOMEM. */
int virt_init(struct cpu *cpu, const struct virt_params *params);
void virt_destroy(struct cpu *cpu);
/* Leaves VMX operation, as a reset does. */
void virt_reset(struct cpu *cpu);

/* -- MSRs 0x480-0x491 and IA32_FEATURE_CONTROL's part. false: no such MSR, or not that value. ----
 */
bool virt_msr_read(struct cpu *cpu, u32 index, u64 *value, bool host);
bool virt_msr_write(struct cpu *cpu, u32 index, u64 value, bool host);
/* The value of a capability MSR for KVM_GET_MSRS on the system descriptor. */
bool virt_msr_feature(const struct virt_params *params, u32 index, u64 *value);

/*
 * CR0/CR4 bits fixed in VMX operation (SDM Vol. 3C 23.8): false when `value` is not allowed now.
 * For the callers of sys_cr0_write() and sys_cr4_write(): #GP(0). True outside VMX operation.
 */
bool virt_cr0_allowed(const struct cpu *cpu, u64 value);
bool virt_cr4_allowed(const struct cpu *cpu, u64 value);

/* -- VMX instructions; operands decoded, gva linear; insn_info as SDM Vol. 3C 27.2.5 -------------
 */
/* Each does its own #UD/#GP/vmexit checks, and sets RFLAGS (VMsucceed, VMfail). OUTCOME_OK:
 * retired. VMLAUNCH/VMRESUME: OUTCOME_RESYNC after a successful entry, with L2's state in cpu.
 * `rip_next` is what RIP becomes on VMfail (the caller's usual advance happens only with
 * OUTCOME_OK). */
enum outcome virt_vmxon(struct cpu *cpu, u64 gva, u32 insn_len, u32 insn_info, u64 disp);
enum outcome virt_vmxoff(struct cpu *cpu, u32 insn_len);
enum outcome virt_vmclear(struct cpu *cpu, u64 gva, u32 insn_len, u32 insn_info, u64 disp);
enum outcome virt_vmptrld(struct cpu *cpu, u64 gva, u32 insn_len, u32 insn_info, u64 disp);
enum outcome virt_vmptrst(struct cpu *cpu, u64 gva, u32 insn_len, u32 insn_info, u64 disp);
enum outcome virt_vmread(struct cpu *cpu, u64 field, u64 *value, u32 insn_len, u32 insn_info,
			 u64 disp, bool *fail);
enum outcome virt_vmwrite(struct cpu *cpu, u64 field, u64 value, u32 insn_len, u32 insn_info,
			  u64 disp);
enum outcome virt_vmlaunch(struct cpu *cpu, bool resume, u64 rip_next, u32 insn_len);
enum outcome virt_invept(struct cpu *cpu, u64 type, u64 gva, u32 insn_len, u32 insn_info, u64 disp);
enum outcome virt_invvpid(struct cpu *cpu, u64 type, u64 gva, u32 insn_len, u32 insn_info,
			  u64 disp);
/* VMCALL: in guest mode a vmexit; else OUTCOME_OK and the caller makes the hypercall. */
enum outcome virt_vmcall(struct cpu *cpu, u32 insn_len);
/* VMFUNC: #UD where not enabled. */
enum outcome virt_vmfunc(struct cpu *cpu, u32 insn_len);

/* -- does L1 want this instruction? Only call with the ICPT_ bit set (it says "ask"). ------------
 */
/* HLT, CPUID, RDTSC, RDTSCP, RDPMC, MWAIT, MONITOR, PAUSE, WBINVD, INVD, XSETBV, XSAVES, XRSTORS.
 */
enum outcome virt_icpt_simple(struct cpu *cpu, u64 icpt_bit, u32 insn_len);
/* With an exit qualification and instruction information: INVLPG and INVPCID (qual: the linear
 * address, or the displacement), DTABLE and LDT_TR (displacement), RDRAND, RDSEED. */
enum outcome virt_icpt_operand(struct cpu *cpu, u64 icpt_bit, u32 insn_len, u64 qual,
			       u32 insn_info);
/* MOV to/from CR, CLTS (type 2), LMSW (type 3): see SDM Vol. 3C table 27-3. For CR0/CR4 writes that
 * do not exit, *value becomes what is really written (host-owned bits kept). */
enum outcome virt_icpt_cr_write(struct cpu *cpu, unsigned cr, unsigned gpr, u64 *value,
				u32 insn_len);
enum outcome virt_icpt_clts(struct cpu *cpu, u32 insn_len, bool *nop);
enum outcome virt_icpt_lmsw(struct cpu *cpu, u16 *value, u64 mem_gla, bool is_mem, u32 insn_len);
/* Reads of CR0, CR3, CR4, CR8: the value that L2 sees. */
enum outcome virt_icpt_cr_read(struct cpu *cpu, unsigned cr, unsigned gpr, u64 *value,
			       u32 insn_len);
enum outcome virt_icpt_dr(struct cpu *cpu, unsigned dr, unsigned gpr, bool write, u32 insn_len);
/* flags for strings: rep, string, imm: bits of the exit qualification (table 27-5). */
enum outcome virt_icpt_io(struct cpu *cpu, u16 port, unsigned size, bool in, bool string, bool rep,
			  bool imm, u64 gla, u32 insn_len, u32 insn_info);
enum outcome virt_icpt_msr(struct cpu *cpu, u32 index, bool write, u32 insn_len);
enum outcome virt_icpt_task(struct cpu *cpu, u16 selector, enum task_source source, u32 insn_len);

/* -- events --------------------------------------------------------------------------------------
 */
/*
 * cpu->fault is about to be delivered in guest mode: does L1 intercept it? On OUTCOME_VMEXIT
 * cpu->vmexit is complete. `idt`: the event whose delivery raised it (IDT-vectoring), or NULL.
 * Here, and while events are under delivery, cpu->rip is that of the instruction for soft faults
 * and events; the return address behind it is in the event.
 */
enum outcome virt_fault_intercept(struct cpu *cpu, const struct fault *f, const struct event *idt);
/* The same for a triple fault. */
enum outcome virt_triple_fault(struct cpu *cpu);
/* External interrupt / NMI / INIT / SIPI arriving in guest mode. For interrupts: *vector is asked
 * for (acknowledge) by the caller when virt_intr_acks() says so. */
bool virt_wants_external(const struct cpu *cpu); /* external-interrupt exiting */
bool virt_intr_acks(const struct cpu *cpu);	 /* acknowledge interrupt on exit */
enum outcome virt_external_exit(struct cpu *cpu, bool acked, u8 vector);
enum outcome virt_nmi_intercept(struct cpu *cpu);
enum outcome virt_init_intercept(struct cpu *cpu);
/* In VMX root operation INIT waits, for VMXOFF or the next VM entry (SDM Vol. 3C 23.8). */
bool virt_init_blocked(const struct cpu *cpu);
/* At an instruction boundary in guest mode: MTF, preemption timer, NMI and interrupt windows. */
enum outcome virt_pending(struct cpu *cpu);
/* The monitor trap flag: see above. */
bool virt_wants_step(const struct cpu *cpu);
void virt_stepped(struct cpu *cpu);
/* The CLOCK_MONOTONIC ns at which the preemption timer fires, 0 when off: vcpu/ arms a timer that
 * sets EVENT_VMX, also while the guest halts. */
u64 virt_preemption_deadline(const struct cpu *cpu);
/* An event that the VM entry injected and that the run loop must deliver now; false: none. Once. */
bool virt_injected_event(struct cpu *cpu, struct event *ev);

/* Performs cpu->vmexit: L1's host state is in cpu afterwards. OUTCOME_OK, or OUTCOME_SHUTDOWN (VMX
 * abort). */
enum outcome virt_exit(struct cpu *cpu);

/* Activity state of L2 after entry (HLT): the caller halts. */
bool virt_entered_halted(const struct cpu *cpu);

/* CR8 of L2 while ICPT_TPR_SHADOW is set: bits 7:4 of VTPR on the virtual-APIC page. The write
 * returns OUTCOME_VMEXIT (trap-like: rip must be that of the next instruction) below the TPR
 * threshold. */
u8 virt_tpr_read(struct cpu *cpu);
enum outcome virt_tpr_write(struct cpu *cpu, u8 cr8);

/* -- KVM_GET/SET_NESTED_STATE. size: of the buffer. Returns bytes needed (get), 0 or -errno. ------
 */
int virt_nested_state_get(struct cpu *cpu, struct kvm_nested_state *state, u32 size);
int virt_nested_state_set(struct cpu *cpu, const struct kvm_nested_state *state, u32 size);

#endif

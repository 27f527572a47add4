/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VMX as the guest sees it (SDM Vol. 3C), on the one struct cpu: L2 is the same CPU with other contents.
 *
 * Intercepts are two steps. Before an instruction has changed anything, interp/ asks virt_icpt_*(): that
 * fills cpu->vmexit and returns OUTCOME_VMEXIT when L1 wants it, else OUTCOME_OK. The run loop then calls
 * virt_exit(), which saves L2, loads L1's host state and leaves guest mode.
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
/* Reset and INIT: VMX operation is left. */
void virt_reset(struct cpu *cpu);

/* -- MSRs 0x480-0x491 and IA32_FEATURE_CONTROL's part. false: no such MSR, or not that value. ---- */
bool virt_msr_read(struct cpu *cpu, u32 index, u64 *value, bool host);
bool virt_msr_write(struct cpu *cpu, u32 index, u64 value, bool host);
/* The value of a capability MSR for KVM_GET_MSRS on the system descriptor. */
bool virt_msr_feature(const struct virt_params *params, u32 index, u64 *value);

/* CR0/CR4 bits fixed in VMX operation (SDM Vol. 3C 23.8): false when `value` is not allowed now. */
bool virt_cr0_allowed(const struct cpu *cpu, u64 value);
bool virt_cr4_allowed(const struct cpu *cpu, u64 value);

/* -- VMX instructions; operands decoded, gva linear; insn_info as SDM Vol. 3C 27.2.5 ------------- */
/* Each does its own #UD/#GP/vmexit checks, and sets RFLAGS (VMsucceed, VMfail). OUTCOME_OK: retired.
 * VMLAUNCH/VMRESUME: OUTCOME_RESYNC after a successful entry, with L2's state in cpu. `rip_next` is what
 * RIP becomes on VMfail (the caller's usual advance happens only with OUTCOME_OK). */
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

/* -- does L1 want this instruction? Only call with the ICPT_ bit set (it says "ask"). ------------ */
enum outcome virt_icpt_simple(struct cpu *cpu, u64 icpt_bit, u32 insn_len); /* HLT, CPUID, ... */
/* With an exit qualification and instruction information (INVLPG, LGDT, RDRAND ...). */
enum outcome virt_icpt_operand(struct cpu *cpu, u64 icpt_bit, u32 insn_len, u64 qual, u32 insn_info);
/* MOV to/from CR, CLTS (type 2), LMSW (type 3): see SDM Vol. 3C table 27-3. For CR0/CR4 writes that do
 * not exit, *value becomes what is really written (host-owned bits kept). */
enum outcome virt_icpt_cr_write(struct cpu *cpu, unsigned cr, unsigned gpr, u64 *value, u32 insn_len);
enum outcome virt_icpt_clts(struct cpu *cpu, u32 insn_len, bool *nop);
enum outcome virt_icpt_lmsw(struct cpu *cpu, u16 *value, u64 mem_gla, bool is_mem, u32 insn_len);
/* Reads of CR0, CR3, CR4, CR8: the value that L2 sees. */
enum outcome virt_icpt_cr_read(struct cpu *cpu, unsigned cr, unsigned gpr, u64 *value, u32 insn_len);
enum outcome virt_icpt_dr(struct cpu *cpu, unsigned dr, unsigned gpr, bool write, u32 insn_len);
/* flags for strings: rep, string, imm: bits of the exit qualification (table 27-5). */
enum outcome virt_icpt_io(struct cpu *cpu, u16 port, unsigned size, bool in, bool string, bool rep,
			  bool imm, u64 gla, u32 insn_len, u32 insn_info);
enum outcome virt_icpt_msr(struct cpu *cpu, u32 index, bool write, u32 insn_len);
enum outcome virt_icpt_task(struct cpu *cpu, u16 selector, enum task_source source, u32 insn_len);

/* -- events -------------------------------------------------------------------------------------- */
/*
 * cpu->fault is about to be delivered in guest mode: does L1 intercept it? On OUTCOME_VMEXIT
 * cpu->vmexit is complete. `idt`: the event whose delivery raised it (IDT-vectoring), or NULL.
 */
enum outcome virt_fault_intercept(struct cpu *cpu, const struct fault *f, const struct event *idt,
				  u32 insn_len);
/* The same for a triple fault. */
enum outcome virt_triple_fault(struct cpu *cpu);
/* External interrupt / NMI / INIT / SIPI arriving in guest mode. For interrupts: *vector is asked for (acknowledge) by
 * the caller when virt_intr_acks() says so. */
bool virt_wants_external(const struct cpu *cpu); /* external-interrupt exiting */
bool virt_intr_acks(const struct cpu *cpu);	 /* acknowledge interrupt on exit */
enum outcome virt_external_exit(struct cpu *cpu, bool acked, u8 vector);
enum outcome virt_nmi_intercept(struct cpu *cpu);
enum outcome virt_init_intercept(struct cpu *cpu);
/* EVENT_VMX at an instruction boundary in guest mode: MTF, preemption timer, NMI and interrupt windows. */
enum outcome virt_pending(struct cpu *cpu);
/* The CLOCK_MONOTONIC ns at which the preemption timer fires, 0 when off: vcpu/ arms a timer that sets
 * EVENT_VMX, also while the guest halts. */
u64 virt_preemption_deadline(const struct cpu *cpu);
/* An event that the VM entry injected and that the run loop must deliver now; false: none. */
bool virt_injected_event(struct cpu *cpu, struct event *ev);

/* Performs cpu->vmexit: L1's host state is in cpu afterwards. OUTCOME_OK, or OUTCOME_SHUTDOWN (VMX abort). */
enum outcome virt_exit(struct cpu *cpu);

/* Activity state of L2 after entry (HLT): the caller halts. */
bool virt_entered_halted(const struct cpu *cpu);

/* -- KVM_GET/SET_NESTED_STATE. size: of the buffer. Returns bytes needed (get), 0 or -errno. ------ */
int virt_nested_state_get(struct cpu *cpu, struct kvm_nested_state *state, u32 size);
int virt_nested_state_set(struct cpu *cpu, const struct kvm_nested_state *state, u32 size);

#endif

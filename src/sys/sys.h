/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the CPU does with segments, descriptor tables and task state: loading segment registers, far
 * transfers of control, delivery of events through the IDT, task switches, and moves to
 * control registers and MSRs with all their checks and side effects.
 *
 * Nothing here knows of intercepts: callers (interp/, vcpu/, virt/) have asked before.
 * All functions run in the vCPU's thread. On anything but OUTCOME_OK the state is unchanged, except for
 * what the manual says is not restartable.
 */
#ifndef SYS_SYS_H
#define SYS_SYS_H

#include "base/types.h"
#include "cpu/cpu.h"

/* -- segments (SDM Vol. 3A chapters 3 and 5) --------------------------------------------------- */

/* MOV/POP/LDS... to ES, SS, DS, FS, GS in any mode. */
enum outcome sys_segment_load(struct cpu *cpu, unsigned seg, u16 selector);
enum outcome sys_lldt(struct cpu *cpu, u16 selector);
enum outcome sys_ltr(struct cpu *cpu, u16 selector);
/* LAR, LSL, VERR, VERW: *ok is ZF; *value for LAR (access rights masked as the manual says) and LSL. */
enum outcome sys_lar(struct cpu *cpu, u16 selector, bool *ok, u32 *value);
enum outcome sys_lsl(struct cpu *cpu, u16 selector, bool *ok, u32 *value);
enum outcome sys_verify(struct cpu *cpu, u16 selector, bool write, bool *ok);

/*
 * Recomputes what follows from CS, EFLAGS.VM, CR0.PE and EFER.LMA: cpu->mode, cpu->cpl (from SS.DPL or
 * 0/3 in real/virtual-8086 mode), and tells mmu/. After any change of these from outside (SET_SREGS, VM
 * entry and exit).
 */
void sys_mode_update(struct cpu *cpu);

/*
 * Logical to linear with all segment checks outside 64-bit mode (limit, type, null), and FS/GS bases and
 * canonical checks inside. write: the access writes. Faults are #GP(0), or #SS(0) for SS.
 */
enum outcome sys_linear(struct cpu *cpu, unsigned seg, u64 ea, unsigned size, bool write, u64 *gva);

/* -- far transfers ----------------------------------------------------------------------------- */
/* size: operand size in bytes. rip_next: address of the next instruction (what CALL pushes). */
enum outcome sys_far_jmp(struct cpu *cpu, u16 selector, u64 target, unsigned size, u64 rip_next);
enum outcome sys_far_call(struct cpu *cpu, u16 selector, u64 target, unsigned size, u64 rip_next);
enum outcome sys_far_ret(struct cpu *cpu, unsigned size, u16 pop_bytes);
/* IRET in every mode, with NT (task return), VM86 and NMI unmasking. */
enum outcome sys_iret(struct cpu *cpu, unsigned size, u64 rip_next);
enum outcome sys_syscall(struct cpu *cpu, u64 rip_next);
enum outcome sys_sysret(struct cpu *cpu, unsigned size);
enum outcome sys_sysenter(struct cpu *cpu);
enum outcome sys_sysexit(struct cpu *cpu, unsigned size);

/* -- events ------------------------------------------------------------------------------------ */

enum event_type { /* the encoding of VMX interruption information (SDM Vol. 3C 24.8.3) */
		  EVENT_EXTERNAL = 0,
		  EVENT_TYPE_NMI = 2,
		  EVENT_HARD_EXCEPTION = 3,
		  EVENT_SOFT_INT = 4,
		  EVENT_PRIV_SOFT_EXCEPTION = 5,
		  EVENT_SOFT_EXCEPTION = 6,
		  EVENT_OTHER = 7
};

struct event {
	enum event_type type;
	u8 vector;
	bool has_error;
	u32 error;
	u64 rip; /* return address to push: that of the instruction for faults, the next one for traps
		  * and software interrupts */
};

/*
 * Delivers an event through the IDT (or the IVT in real mode), including VM86, stack switches, IST, task
 * gates, and the DPL checks of software interrupts. Pure delivery: CR2/DR6 have been written by the
 * caller. OUTCOME_FAULT: delivery itself faulted (cpu->fault, with EXT set in its error code as due);
 * the caller combines the two (double fault, SDM Vol. 3A 6.15 table 6-5).
 */
enum outcome sys_event_deliver(struct cpu *cpu, const struct event *ev);

/* Task switch (SDM Vol. 3A 7.3). */
enum task_source { TASK_CALL = 0, TASK_IRET = 1, TASK_JMP = 2, TASK_GATE = 3 };
enum outcome sys_task_switch(struct cpu *cpu, u16 selector, enum task_source source, u64 rip_next,
			     bool has_error, u32 error);

/* -- control registers and MSRs ---------------------------------------------------------------- */

/* MOV to CRn, LMSW, CLTS: all checks (#GP) and effects. Intercepts have been asked. */
enum outcome sys_cr0_write(struct cpu *cpu, u64 value);
enum outcome sys_cr3_write(struct cpu *cpu, u64 value);
enum outcome sys_cr4_write(struct cpu *cpu, u64 value);
enum outcome sys_dr_write(struct cpu *cpu, unsigned dr, u64 value);
enum outcome sys_dr_read(struct cpu *cpu, unsigned dr, u64 *value);
enum outcome sys_xsetbv(struct cpu *cpu, u32 index, u64 value);

/*
 * MSRs, all of them: those of cpu/, and the others (VMX capabilities, x2APIC, kvmclock) by cpu->ops.
 * host: on behalf of user space (fewer checks, as in KVM). false: #GP.
 */
bool sys_msr_read(struct cpu *cpu, u32 index, u64 *value, bool host);
bool sys_msr_write(struct cpu *cpu, u32 index, u64 value, bool host);

/* Values that are legal together, for SET_SREGS and VM entry (SDM Vol. 3A 2.5, Vol. 3C 23.8). */
bool sys_cr0_valid(const struct cpu *cpu, u64 cr0);
bool sys_cr4_valid(const struct cpu *cpu, u64 cr4); /* reserved bits by CPUID */
u64 sys_cr4_reserved(const struct cpu *cpu);
bool sys_efer_valid(const struct cpu *cpu, u64 efer);

/* Power-on reset (SDM Vol. 3A 9.1) and INIT. */
void sys_reset(struct cpu *cpu);
void sys_init(struct cpu *cpu);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* Single steps and breakpoints: the guest's own (SDM Vol. 3B 17.2, 17.3), and those of user space's
 * debugger. */
#include <errno.h>
#include <string.h>

#include "interp/interp.h"
#include "mmu/mmu.h"
#include "vcpu/run.h"

#define DR7_ENABLED  0xffull
#define DR7_RW(d, n) ((d) >> (16 + 4 * (n)) & 3)

static bool debugger_steps(const struct vcpu *v)
{
	return v->debug.control & KVM_GUESTDBG_ENABLE && v->debug.control & KVM_GUESTDBG_SINGLESTEP;
}

/* Which of the enabled breakpoints in dr[] are for the execution of `lin`. */
static u64 exec_hits(const u64 *dr, u64 dr7, u64 lin)
{
	u64 hits = 0;

	for (unsigned n = 0; n < 4; n++)
		if (dr7 >> (2 * n) & 3 && DR7_RW(dr7, n) == 0 && dr[n] == lin)
			hits |= BIT(n);
	return hits;
}

static bool has_exec_breakpoints(u64 dr7)
{
	for (unsigned n = 0; n < 4; n++)
		if (dr7 >> (2 * n) & 3 && DR7_RW(dr7, n) == 0)
			return true;
	return false;
}

bool debug_must_step(const struct vcpu *v)
{
	const struct cpu *cpu = &v->cpu;

	return cpu->shadow || cpu->pending_db || cpu->rflags_sys & RFLAGS_TF || debugger_steps(v) ||
	       (cpu->dr[7] & DR7_ENABLED && has_exec_breakpoints(cpu->dr[7]));
}

static u64 linear_rip(const struct cpu *cpu)
{
	return cpu->mode == CODE_64 ? cpu->rip : (u32)(cpu->rip + cpu->seg[SEG_CS].base);
}

/* -- user space's debugger ------------------------------------------------------------------------
 */

static bool debugger_exit(struct vcpu *v, u32 exception, u64 dr6)
{
	v->cpu.user = (struct userexit){.kind = USER_DEBUG,
					.debug = {.exception = exception,
						  .pc = linear_rip(&v->cpu),
						  .dr6 = dr6 | DR6_FIXED,
						  .dr7 = v->cpu.dr[7]}};
	return true;
}

bool debug_takes(struct vcpu *v, const struct fault *f)
{
	u32 control = v->debug.control;

	if (!(control & KVM_GUESTDBG_ENABLE) || f->kind != FAULT_EXCEPTION)
		return false;
	if (f->vector == VEC_BP && f->soft && control & KVM_GUESTDBG_USE_SW_BP)
		debugger_exit(v, VEC_BP, 0);
	else if (f->vector == VEC_DB &&
		 control & (KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP))
		debugger_exit(v, VEC_DB, f->dr6);
	else
		return false;
	exit_fill(v);
	return true;
}

/* DR0 to DR3 and DR7 are the debugger's as long as it has hardware breakpoints. */
static void swap_registers(struct vcpu *v)
{
	u32 both = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
	u64 *dr = v->cpu.dr;

	if (v->debug_hw)
		memcpy(dr, v->guest_dr, sizeof(v->guest_dr));
	v->debug_hw = (v->debug.control & both) == both;
	if (!v->debug_hw)
		return;
	memcpy(v->guest_dr, dr, sizeof(v->guest_dr));
	for (unsigned n = 0; n < 4; n++)
		dr[n] = v->debug.arch.debugreg[n];
	dr[7] = v->debug.arch.debugreg[7] | DR7_FIXED;
}

int vcpu_debug_set(struct vcpu *v, const struct kvm_guest_debug *dbg)
{
	u32 inject = dbg->control & (KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP);

	if (inject && v->inject.kind != FAULT_NONE)
		return -EBUSY;
	if (inject) {
		v->inject =
			(struct fault){.kind = FAULT_EXCEPTION,
				       .vector = inject & KVM_GUESTDBG_INJECT_DB ? VEC_DB : VEC_BP,
				       .trap = true};
		cpu_event_set(&v->cpu, EVENT_REQUEST);
	}
	v->debug = *dbg;
	if (!(dbg->control & KVM_GUESTDBG_ENABLE))
		v->debug.control = 0;
	swap_registers(v);
	mmu_flush_all(&v->cpu); /* entries of pages with breakpoints */
	cpu_event_set(&v->cpu, EVENT_STEP);
	return 0;
}

/* -- one instruction ------------------------------------------------------------------------------
 */

static enum outcome breakpoint_fault(struct cpu *cpu, u64 hits)
{
	cpu->fault = (struct fault){.kind = FAULT_EXCEPTION, .vector = VEC_DB, .dr6 = hits};
	return OUTCOME_FAULT;
}

/* Breakpoints on the instruction's address come before it, unless RF says that they have been. */
static u64 instruction_breakpoints(const struct vcpu *v)
{
	const struct cpu *cpu = &v->cpu;
	u64 lin = linear_rip(cpu);

	if (!(cpu->dr[7] & DR7_ENABLED) || (cpu->rflags_sys & RFLAGS_RF && !v->debug_hw))
		return 0;
	return exec_hits(cpu->dr, cpu->dr[7], lin);
}

static bool retired(const struct cpu *cpu, enum outcome o)
{
	if (o == OUTCOME_USEREXIT)
		return cpu->user.kind == USER_IO && cpu->io.cur.write;
	return o == OUTCOME_OK || o == OUTCOME_RESYNC || o == OUTCOME_HLT;
}

/* SYSCALL alone goes to level 0 without TF: it is judged by what SFMASK leaves of TF, so that the kernel does
 * not trap at its entry. */
static bool tf_ended_by_syscall(const struct cpu *cpu, u8 cpl)
{
	return cpl && !cpu->cpl && !(cpu->rflags_sys & RFLAGS_TF);
}

enum outcome debug_step(struct vcpu *v)
{
	struct cpu *cpu = &v->cpu;
	bool guest_mode = cpu->guest_mode, tf = cpu->rflags_sys & RFLAGS_TF;
	u8 cpl = cpu->cpl;
	u64 hits = v->restart ? 0 : instruction_breakpoints(v);
	enum outcome o;

	if (hits)
		return breakpoint_fault(cpu, hits);
	o = interp_step(cpu);
	if (!retired(cpu, o))
		return o;
	if (guest_mode)
		virt_stepped(cpu);
	tf = tf && !tf_ended_by_syscall(cpu, cpl);
	if ((tf || debugger_steps(v)) && cpu->guest_mode == guest_mode)
		cpu->pending_db |= DR6_BS;
	return o;
}

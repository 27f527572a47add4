/* SPDX-License-Identifier: BSD-2-Clause */
/* Events around guest mode: injection, exception intercepts, IDT vectoring, windows, timer. */
#include <x86intrin.h>
#include <time.h>

#include "virt/vmx.h"

/* -- VM entry (26.5 to 26.7)
 * ----------------------------------------------------------------------------- */

static bool is_software(enum event_type type)
{
	return type == EVENT_SOFT_INT || type == EVENT_PRIV_SOFT_EXCEPTION ||
	       type == EVENT_SOFT_EXCEPTION;
}

static void inject(struct cpu *cpu)
{
	struct vmx *vmx = cpu->vmx;
	const struct vmcs12 *v = &vmx->vmcs;
	u32 info = v->entry_intr_info;
	enum event_type type = INTR_TYPE(info);

	if (type == EVENT_OTHER) { /* a pending MTF exit */
		vmx->mtf_due = true;
		return;
	}
	vmx->inject = true;
	vmx->injected =
		(struct event){.type = type,
			       .vector = (u8)info,
			       .has_error = info & INTR_ERROR,
			       .error = v->entry_error_code,
			       .rip = cpu->rip + (is_software(type) ? v->entry_insn_len : 0)};
	if (type == EVENT_TYPE_NMI)
		cpu->nmi_masked = true;
}

/* Which pending debug exceptions survive (26.7.3). */
static u64 pending_debug(const struct vmx *vmx, bool injecting)
{
	const struct vmcs12 *v = &vmx->vmcs;
	u64 pending = v->guest_pending_dbg & (MASK(3, 0) | PENDING_DBG_BS);

	if (!injecting)
		return pending;
	switch (INTR_TYPE(v->entry_intr_info)) {
	case EVENT_SOFT_INT:
	case EVENT_SOFT_EXCEPTION:
		return v->guest_interruptibility & GUEST_BLOCK_MOV_SS ? pending : 0;
	case EVENT_OTHER:
		return pending;
	default:
		return 0;
	}
}

void vmx_event_entry(struct cpu *cpu, bool may_inject)
{
	struct vmx *vmx = cpu->vmx;
	const struct vmcs12 *v = &vmx->vmcs;
	bool injecting = may_inject && v->entry_intr_info & INTR_VALID;

	vmx->inject = false;
	vmx->mtf_due = false;
	vmx->mtf_armed = vmx->ctls.cpu & CPU_MTF;
	vmx->idt_info = 0;
	vmx->entered_halted = v->guest_activity == GUEST_HLT && !injecting;
	cpu->halted = vmx->entered_halted;
	cpu->pending_db = pending_debug(vmx, injecting);
	if (injecting)
		inject(cpu);
	if (vmx->ctls.pin & PIN_PREEMPTION)
		vmx_timer_start(cpu, cpu_tsc_at(cpu, __rdtsc()) +
					     ((u64)v->preemption_timer
					      << bits(CAP(&vmx->caps, MISC), 4, 0)));
	if (cpu->shadow || cpu->pending_db || vmx->mtf_armed || cpu->dr[7] & 0xff)
		cpu_event_set(cpu, EVENT_STEP);
	cpu_event_set(cpu, EVENT_VMX);
}

void vmx_event_exit(struct cpu *cpu)
{
	struct vmx *vmx = cpu->vmx;

	vmx->inject = false;
	vmx->mtf_armed = false;
	vmx->mtf_due = false;
	vmx->timer_on = false;
	cpu->if_events &= ~EVENT_VMX;
	cpu_event_clear(cpu, EVENT_VMX);
}

bool virt_injected_event(struct cpu *cpu, struct event *ev)
{
	struct vmx *vmx = cpu->vmx;

	if (!vmx || !vmx->inject)
		return false;
	vmx->inject = false;
	*ev = vmx->injected;
	return true;
}

bool virt_entered_halted(const struct cpu *cpu)
{
	return cpu->vmx && cpu->guest_mode && cpu->vmx->entered_halted;
}

/* -- faults and interrupts of L2 (25.2)
 * --------------------------------------------------------------------- */

/*
 * 27.2.4; the double fault that two exceptions became is on its own. RIP is still that of a
 * software event's instruction, while the event holds the return address behind it.
 */
static void record_idt_vectoring(struct cpu *cpu, const struct event *idt)
{
	struct vmx *vmx = cpu->vmx;

	vmx->idt_info = 0;
	vmx->idt_error = 0;
	if (!idt)
		return;
	vmx->idt_info = (u32)INTR_VALID | (u32)idt->type << INTR_TYPE_SHIFT | idt->vector |
			(idt->has_error ? (u32)INTR_ERROR : 0);
	vmx->idt_error = idt->has_error ? idt->error : 0;
	if (is_software(idt->type))
		cpu->vmexit.insn_len = (u8)(idt->rip - cpu->rip);
}

/* The exception bitmap, with its mask and match of error codes for #PF (25.2). */
static bool exception_intercepted(const struct vmx *vmx, const struct fault *f)
{
	const struct vmcs12 *v = &vmx->vmcs;
	bool set = v->exception_bitmap >> f->vector & 1;

	if (f->vector != VEC_PF)
		return set;
	return (f->error & v->pf_mask) == v->pf_match ? set : !set;
}

static enum event_type fault_type(const struct fault *f)
{
	if (f->icebp)
		return EVENT_PRIV_SOFT_EXCEPTION;
	return f->soft ? EVENT_SOFT_EXCEPTION : EVENT_HARD_EXCEPTION;
}

static void exception_exit(struct cpu *cpu, const struct fault *f)
{
	u64 qual = f->vector == VEC_PF ? f->cr2 : 0;

	if (f->vector == VEC_DB)
		qual = f->dr6 & (MASK(3, 0) | DR6_BD | DR6_BS);
	vmx_exit(cpu, REASON_EXCEPTION_NMI, qual, 0);
	cpu->vmexit.intr_info = (u32)INTR_VALID | (u32)fault_type(f) << INTR_TYPE_SHIFT |
				f->vector | (f->has_error ? (u32)INTR_ERROR : 0);
	cpu->vmexit.intr_error = f->has_error ? f->error : 0;
	if (f->soft)
		cpu->vmexit.insn_len = f->len;
}

enum outcome virt_fault_intercept(struct cpu *cpu, const struct fault *f, const struct event *idt)
{
	if (!cpu->guest_mode)
		return OUTCOME_OK;
	switch (f->kind) {
	case FAULT_EPT:
		vmx_exit(cpu, REASON_EPT_VIOLATION, f->qual, 0);
		cpu->vmexit.gpa = f->gpa;
		cpu->vmexit.gla = f->gla;
		break;
	case FAULT_EPT_MISCONF:
		vmx_exit(cpu, REASON_EPT_MISCONFIG, 0, 0);
		cpu->vmexit.gpa = f->gpa;
		break;
	case FAULT_EXCEPTION:
		if (f->int_n || !exception_intercepted(cpu->vmx, f))
			return OUTCOME_OK;
		exception_exit(cpu, f);
		if (f->vector == VEC_DF)
			idt = NULL;
		break;
	default:
		return OUTCOME_OK;
	}
	record_idt_vectoring(cpu, idt);
	return OUTCOME_VMEXIT;
}

enum outcome virt_triple_fault(struct cpu *cpu)
{
	if (!cpu->guest_mode)
		return OUTCOME_OK;
	return vmx_exit(cpu, REASON_TRIPLE_FAULT, 0, 0);
}

bool virt_wants_external(const struct cpu *cpu)
{
	return cpu->guest_mode && cpu->vmx->ctls.pin & PIN_EXT_INTR;
}

bool virt_intr_acks(const struct cpu *cpu)
{
	return cpu->vmx->ctls.exit & EXIT_ACK_INTR;
}

enum outcome virt_external_exit(struct cpu *cpu, bool acked, u8 vector)
{
	vmx_exit(cpu, REASON_EXTERNAL_INTERRUPT, 0, 0);
	if (acked)
		cpu->vmexit.intr_info =
			(u32)INTR_VALID | EVENT_EXTERNAL << INTR_TYPE_SHIFT | vector;
	return OUTCOME_VMEXIT;
}

/* With virtual NMIs, nothing that the guest does blocks the NMIs that exit. */
enum outcome virt_nmi_intercept(struct cpu *cpu)
{
	const struct vmx *vmx = cpu->vmx;

	if (!cpu->guest_mode || !(vmx->ctls.pin & PIN_NMI))
		return OUTCOME_OK;
	if (!(vmx->ctls.pin & PIN_VNMI) && cpu->nmi_masked)
		return OUTCOME_OK;
	vmx_exit(cpu, REASON_EXCEPTION_NMI, 0, 0);
	cpu->vmexit.intr_info = (u32)INTR_VALID | EVENT_TYPE_NMI << INTR_TYPE_SHIFT | VEC_NMI;
	return OUTCOME_VMEXIT;
}

enum outcome virt_init_intercept(struct cpu *cpu)
{
	return cpu->guest_mode ? vmx_exit(cpu, REASON_INIT, 0, 0) : OUTCOME_OK;
}

bool virt_init_blocked(const struct cpu *cpu)
{
	return cpu->vmx && cpu->vmx->vmxon && !cpu->guest_mode;
}

/* -- preemption timer (25.5.1)
 * ------------------------------------------------------------------------------ */

static u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000000000 + (u64)ts.tv_nsec;
}

void vmx_timer_start(struct cpu *cpu, u64 tsc)
{
	struct vmx *vmx = cpu->vmx;
	u64 now = cpu_tsc_at(cpu, __rdtsc());
	u64 cycles = (s64)(tsc - now) > 0 ? tsc - now : 0;
	u64 khz = cpu->tsc_khz ? cpu->tsc_khz : 1000000;

	vmx->timer_on = true;
	vmx->timer_tsc = tsc;
	vmx->timer_ns = now_ns() + (u64)((unsigned __int128)cycles * 1000000 / khz) + 1;
}

static bool timer_expired(const struct cpu *cpu)
{
	const struct vmx *vmx = cpu->vmx;

	return vmx->timer_on && (s64)(cpu_tsc_at(cpu, __rdtsc()) - vmx->timer_tsc) >= 0;
}

u32 vmx_timer_remaining(const struct cpu *cpu)
{
	const struct vmx *vmx = cpu->vmx;
	s64 left = (s64)(vmx->timer_tsc - cpu_tsc_at(cpu, __rdtsc()));

	if (!vmx->timer_on || left <= 0)
		return 0;
	return (u32)((u64)left >> bits(CAP(&vmx->caps, MISC), 4, 0));
}

u64 virt_preemption_deadline(const struct cpu *cpu)
{
	if (!cpu->guest_mode || !cpu->vmx->timer_on)
		return 0;
	return cpu->vmx->timer_ns;
}

/* -- windows and MTF (25.2, 25.5.2)
 * ----------------------------------------------------------------------------- */

bool virt_wants_step(const struct cpu *cpu)
{
	return cpu->guest_mode && cpu->vmx->mtf_armed && !cpu->vmx->mtf_due;
}

void virt_stepped(struct cpu *cpu)
{
	struct vmx *vmx = cpu->vmx;

	if (!cpu->guest_mode || !vmx->mtf_armed)
		return;
	vmx->mtf_due = true;
	cpu_event_set(cpu, EVENT_VMX);
}

static bool nmi_deliverable(const struct cpu *cpu)
{
	return atomic_load_explicit(&cpu->events, memory_order_relaxed) & EVENT_NMI &&
	       (cpu->vmx->ctls.pin & PIN_VNMI || !cpu->nmi_masked);
}

/* NMIs come before this window, external interrupts after it. */
static enum outcome interrupt_window(struct cpu *cpu)
{
	if (!(cpu->rflags_sys & RFLAGS_IF)) {
		cpu->if_events |= EVENT_VMX;
		return OUTCOME_OK;
	}
	if (cpu->shadow || nmi_deliverable(cpu))
		return OUTCOME_OK;
	return vmx_exit(cpu, REASON_INTR_WINDOW, 0, 0);
}

enum outcome virt_pending(struct cpu *cpu)
{
	const struct vmx *vmx = cpu->vmx;

	if (!cpu->guest_mode)
		return OUTCOME_OK;
	cpu_event_clear(cpu, EVENT_VMX);
	if (vmx->mtf_due)
		return vmx_exit(cpu, REASON_MTF, 0, 0);
	if (cpu->pending_db)
		return OUTCOME_OK;
	if (timer_expired(cpu))
		return vmx_exit(cpu, REASON_PREEMPTION_TIMER, 0, 0);
	if (vmx->ctls.cpu & CPU_NMI_WINDOW && !cpu->nmi_masked && !cpu->shadow)
		return vmx_exit(cpu, REASON_NMI_WINDOW, 0, 0);
	return vmx->ctls.cpu & CPU_INTR_WINDOW ? interrupt_window(cpu) : OUTCOME_OK;
}

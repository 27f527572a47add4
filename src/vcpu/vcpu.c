/* SPDX-License-Identifier: BSD-2-Clause */
/* A vCPU's life, what reaches it from other threads, and its activity state. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cpu/cpuid.h"
#include "interp/interp.h"
#include "irq/irq.h"
#include "mmu/mmu.h"
#include "vcpu/pv.h"
#include "vcpu/run.h"

/* -- from other threads ---------------------------------------------------------------------------
 */

void vcpu_event(struct vcpu *v, u32 events)
{
	const u64 one = 1;

	cpu_event_set(&v->cpu, events);
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load(&v->sleeping))
		(void)!write(v->wake_fd, &one, sizeof(one));
}

/* One NMI can wait while another is being handled (SDM Vol. 3A 6.7.1). */
void vcpu_nmi(struct vcpu *v)
{
	u32 n = atomic_load(&v->nmi_pending);

	while (n < 2 && !atomic_compare_exchange_weak(&v->nmi_pending, &n, n + 1))
		;
	vcpu_event(v, EVENT_NMI);
}

static void irq_kick(void *arg)
{
	vcpu_event(arg, EVENT_IRQ);
}

static void irq_nmi(void *arg)
{
	vcpu_nmi(arg);
}

static void irq_init(void *arg)
{
	vcpu_event(arg, EVENT_INIT);
}

static void irq_sipi(void *arg, u8 vector)
{
	struct vcpu *v = arg;

	atomic_store(&v->cpu.sipi_vector, vector);
	vcpu_event(v, EVENT_SIPI);
}

static u64 irq_guest_tsc(void *arg)
{
	return vcpu_tsc(arg);
}

static u64 irq_deadline_ns(void *arg, u64 deadline)
{
	struct vcpu *v = arg;
	u64 now = vcpu_tsc(v), ns = timer_now_ns();
	unsigned __int128 delta;

	if (deadline <= now)
		return ns;
	delta = (unsigned __int128)(deadline - now) * 1000000 / v->cpu.tsc_khz;
	return delta > UINT64_MAX / 2 ? UINT64_MAX : ns + (u64)delta;
}

static void irq_ioapic_eoi(void *arg, u8 vector)
{
	struct vcpu *v = arg;

	v->eoi_vector = vector;
	v->eoi_exit = true;
	cpu_event_set(&v->cpu, EVENT_REQUEST);
}

static const struct irq_vcpu_ops irq_ops = {
	.kick = irq_kick,
	.nmi = irq_nmi,
	.init = irq_init,
	.sipi = irq_sipi,
	.guest_tsc = irq_guest_tsc,
	.tsc_deadline_to_ns = irq_deadline_ns,
	.ioapic_eoi = irq_ioapic_eoi,
};

static void preempt_fire(void *arg)
{
	struct vcpu *v = arg;

	atomic_store_explicit(&v->preempt_armed, 0, memory_order_relaxed);
	vcpu_event(v, EVENT_VMX);
}

/* -- life ---------------------------------------------------------------------------------------
 */

static int create_engine(struct vcpu *v)
{
	struct cpu *cpu = &v->cpu;
	int r = mmu_init(cpu);

	if (!r)
		r = virt_init(cpu, &v->vm->virt);
	if (!r)
		r = interp_init(cpu);
	return r;
}

static int create_parts(struct vcpu *v)
{
	v->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (v->wake_fd < 0)
		return -errno;
	v->run = mmap(NULL, VCPU_MMAP_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (v->run == MAP_FAILED) {
		v->run = NULL;
		return -ENOMEM;
	}
	if (irq_vm_mode(v->vm->irq) != IRQ_MODE_NONE) {
		v->lapic = lapic_create(v->vm->irq, v->cpu.id, v, &irq_ops);
		if (!v->lapic)
			return -ENOMEM;
	}
	return create_engine(v);
}

static void init_fields(struct vcpu *v, struct vm *vm, u32 id, int fd)
{
	struct cpu *cpu = &v->cpu;

	v->vm = vm;
	v->fd = fd;
	v->wake_fd = -1;
	signals_init(&v->signals);
	v->user_irq = -1;
	cpu->id = id;
	cpu->ops = &vcpu_cpu_ops;
	cpu->owner = v;
	cpu->mem = vm->mem;
	cpu->phys_bits = 36;
	cpu->virt_bits = 48;
	pthread_mutex_init(&v->lock, NULL);
	timer_init(&v->preempt, vm->timers, preempt_fire, v);
	v->apic_base = 0xfee00000 | LAPIC_BASE_ENABLE | (vcpu_is_bsp(v) ? LAPIC_BASE_BSP : 0);
}

/* The TSC goes with that of the other vCPUs. */
static void init_clock(struct vcpu *v)
{
	struct vm *vm = v->vm;

	v->cpu.tsc_scale = BIT(48);
	pthread_mutex_lock(&vm->clock_lock);
	u32 khz = vm->clock.tsc_khz;
	u64 offset = vm->clock.tsc_offset;

	pthread_mutex_unlock(&vm->clock_lock);
	v->cpu.tsc_khz = clock_host_tsc_khz();
	if (khz != v->cpu.tsc_khz)
		vcpu_tsc_khz_set(v, khz);
	v->cpu.tsc_offset = offset;
}

struct vcpu *vcpu_create(struct vm *vm, u32 id, int fd, int *err)
{
	struct vcpu *v = aligned_alloc(64, ALIGN_UP(sizeof(*v), 64));

	*err = -ENOMEM;
	if (!v)
		return NULL;
	memset(v, 0, sizeof(*v));
	init_fields(v, vm, id, fd);
	*err = create_parts(v);
	if (*err) {
		vcpu_destroy(v);
		return NULL;
	}
	init_clock(v);
	pv_reset(v);
	sys_reset(&v->cpu);
	v->mp_state =
		vcpu_is_bsp(v) || !v->lapic ? KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_UNINITIALIZED;
	return v;
}

void vcpu_destroy(struct vcpu *v)
{
	timer_cancel_sync(&v->preempt);
	interp_destroy(&v->cpu);
	virt_destroy(&v->cpu);
	mmu_destroy(&v->cpu);
	cpu_cpuid_free(&v->cpu);
	lapic_destroy(v->lapic);
	if (v->run)
		munmap(v->run, VCPU_MMAP_SIZE);
	if (v->wake_fd >= 0)
		close(v->wake_fd);
	signals_destroy(&v->signals);
	pthread_mutex_destroy(&v->lock);
	free(v);
}

/* -- activity state -------------------------------------------------------------------------------
 */

bool vcpu_is_bsp(const struct vcpu *v)
{
	return irq_vm_is_bsp(v->vm->irq, v->cpu.id);
}

void vcpu_init(struct vcpu *v)
{
	sys_init(&v->cpu);
	if (v->lapic)
		lapic_reset(v->lapic, true);
	v->cpu.halted = false;
	v->cpu.pending_db = 0;
	v->cpu.nmi_masked = false;
	atomic_store(&v->nmi_pending, 0);
	vcpu_abandon_io(v);
}

u32 vcpu_mp_state(const struct vcpu *v)
{
	return v->cpu.halted ? KVM_MP_STATE_HALTED : v->mp_state;
}

void vcpu_mp_state_set(struct vcpu *v, u32 state)
{
	v->cpu.halted = state == KVM_MP_STATE_HALTED;
	v->mp_state = v->cpu.halted ? KVM_MP_STATE_RUNNABLE : state;
	cpu_event_set(&v->cpu, EVENT_IRQ | EVENT_NMI);
}

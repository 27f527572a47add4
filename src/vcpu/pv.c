/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What KVM offers to a guest that knows it (Documentation/virt/kvm/x86/msr.rst, cpuid.rst,
 * hypercalls.rst): kvmclock, the PV EOI, and hypercalls.
 */
#include <string.h>
#include <time.h>

#include "irq/irq.h"
#include "mem/mem.h"
#include "vcpu/pv.h"

#define NSEC_PER_SEC 1000000000ull

/* The guest's view of time: system_time + (tsc - tsc_timestamp) << shift * mul >> 32. */
struct pvclock_time {
	u32 version; /* odd while it is being written */
	u32 pad0;
	u64 tsc_timestamp;
	u64 system_time;
	u32 mul;
	s8 shift;
	u8 flags;
	u8 pad[2];
};

#define PVCLOCK_STABLE	BIT(0)
#define PVCLOCK_STOPPED BIT(1)

_Static_assert(sizeof(struct pvclock_time) == 32, "the ABI of pvclock");

struct pvclock_wall {
	u32 version, sec, nsec;
} __attribute__((packed));

/* Multiplier and shift that turn ticks of `khz` into ns, with 1/2 <= mul / 2^32 < 1. */
static void clock_scale(u32 khz, u32 *mul, s8 *shift)
{
	u64 hz = (u64)khz * 1000, ns = NSEC_PER_SEC;

	*shift = 0;
	while (hz > ns * 2) {
		hz >>= 1;
		--*shift;
	}
	while (hz <= ns) {
		hz <<= 1;
		++*shift;
	}
	*mul = (u32)(((unsigned __int128)ns << 32) / hz);
}

/* Writes the vCPU's time page. All vCPUs name the same moment, so that they agree to the
 * nanosecond. */
static void clock_write(struct vcpu *v)
{
	u64 gpa = v->pv.system_time & ~1ull, tsc, ns;
	struct pvclock_time t = {0};

	if (!(v->pv.system_time & KVM_MSR_ENABLED))
		return;
	clock_host_base(&tsc, &ns);
	pthread_mutex_lock(&v->vm->clock_lock);
	t.system_time = ns + (u64)v->vm->clock.offset;
	pthread_mutex_unlock(&v->vm->clock_lock);
	t.tsc_timestamp = cpu_tsc_at(&v->cpu, tsc);
	clock_scale(v->cpu.tsc_khz, &t.mul, &t.shift);
	t.flags = PVCLOCK_STABLE | (v->pv.guest_stopped ? PVCLOCK_STOPPED : 0);
	v->pv.guest_stopped = false;
	t.version = v->pv.clock_version + 1;
	if (mem_write(v->cpu.mem, gpa, &t.version, 4))
		return;
	atomic_thread_fence(memory_order_release);
	mem_write(v->cpu.mem, gpa + 4, (u8 *)&t + 4, sizeof(t) - 4);
	atomic_thread_fence(memory_order_release);
	t.version = v->pv.clock_version += 2;
	mem_write(v->cpu.mem, gpa, &t.version, 4);
}

void pv_update(struct vcpu *v)
{
	if (atomic_exchange(&v->clock_update, false))
		clock_write(v);
}

/* The wall clock at kvmclock's zero; written once, at the guest's request. */
static void wall_clock_write(struct vcpu *v, u64 gpa)
{
	struct pvclock_wall w;
	struct timespec now;
	u32 version = 0;

	if (!gpa || mem_read(v->cpu.mem, gpa, &version, 4))
		return;
	version += version & 1;
	clock_gettime(CLOCK_REALTIME, &now);
	u64 zero = (u64)now.tv_sec * NSEC_PER_SEC + (u64)now.tv_nsec - vm_clock_ns(v->vm);

	w = (struct pvclock_wall){version + 1, (u32)(zero / NSEC_PER_SEC),
				  (u32)(zero % NSEC_PER_SEC)};
	mem_write(v->cpu.mem, gpa, &w, sizeof(w));
	version += 2;
	mem_write(v->cpu.mem, gpa, &version, 4);
}

/* -- PV EOI -------------------------------------------------------------------------------------
 */

void pv_eoi_offer(struct vcpu *v)
{
	u8 one = KVM_PV_EOI_MASK;

	if (!(v->pv.eoi & KVM_MSR_ENABLED) || v->pv.eoi_pending || !v->lapic)
		return;
	if (!lapic_may_skip_eoi(v->lapic))
		return;
	v->pv.eoi_pending = !mem_write(v->cpu.mem, v->pv.eoi & ~3ull, &one, 1);
}

void pv_eoi_collect(struct vcpu *v)
{
	u8 flag = 0;

	if (!v->pv.eoi_pending)
		return;
	v->pv.eoi_pending = false;
	if (mem_read(v->cpu.mem, v->pv.eoi & ~3ull, &flag, 1))
		return;
	if (flag & KVM_PV_EOI_MASK) {
		flag &= ~KVM_PV_EOI_MASK;
		mem_write(v->cpu.mem, v->pv.eoi & ~3ull, &flag, 1);
	} else {
		lapic_eoi(v->lapic);
	}
}

/* -- MSRs ---------------------------------------------------------------------------------------
 */

static bool feature(const struct vcpu *v, unsigned bit)
{
	return v->cpu.features[FEAT_KVM_EAX] & BIT(bit);
}

static void system_time_set(struct vcpu *v, u64 value, bool old)
{
	v->pv.system_time = value;
	v->pv.old_msrs = old;
	atomic_store(&v->clock_update, true);
	cpu_event_set(&v->cpu, EVENT_REQUEST);
}

static bool eoi_set(struct vcpu *v, u64 value)
{
	u8 zero = 0;

	if (value & 2)
		return false;
	v->pv.eoi = value;
	v->pv.eoi_pending = false;
	if (value & KVM_MSR_ENABLED)
		mem_write(v->cpu.mem, value & ~3ull, &zero, 1);
	return true;
}

bool pv_msr_write(struct vcpu *v, u32 index, u64 value)
{
	switch (index) {
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		v->pv.wall_clock = value;
		wall_clock_write(v, value);
		return true;
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		system_time_set(v, value, index == MSR_KVM_SYSTEM_TIME);
		return true;
	case MSR_KVM_EOI_EN:
		return eoi_set(v, value);
	case MSR_KVM_POLL_CONTROL:
		if (value & ~1ull)
			return false;
		v->pv.poll_control = value;
		return true;
	}
	return false;
}

bool pv_msr_read(struct vcpu *v, u32 index, u64 *value)
{
	switch (index) {
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		*value = v->pv.wall_clock;
		return true;
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		*value = v->pv.system_time;
		return true;
	case MSR_KVM_EOI_EN:
		*value = v->pv.eoi;
		return true;
	case MSR_KVM_POLL_CONTROL:
		*value = v->pv.poll_control;
		return true;
	}
	return false;
}

void pv_reset(struct vcpu *v)
{
	u64 poll = 1;

	memset(&v->pv, 0, sizeof(v->pv));
	v->pv.poll_control = poll;
}

/* -- hypercalls ---------------------------------------------------------------------------------
 */

#define HC_ERR_NOSYS 1000
#define HC_ERR_PERM  1
#define HC_ERR_INVAL 22

/* KVM_HC_SEND_IPI: a fixed IPI or NMI to the vCPUs in two bitmaps, the first from APIC id `min` on.
 */
static s64 send_ipi(struct vcpu *v, const u64 map[2], unsigned nbits, u32 min, u32 icr)
{
	s64 count = 0;

	if (icr & (MASK(19, 18) | BIT(11))) /* no shorthands, no logical destinations */
		return -HC_ERR_INVAL;
	for (unsigned i = 0; i < 2 * nbits; i++) {
		struct irq_msg m = {.dest = min + i, .vector = (u8)icr, .delivery = icr >> 8 & 7};

		if (map[i / nbits] >> i % nbits & 1)
			count += irq_vm_deliver(v->vm->irq, v->lapic, &m) > 0;
	}
	return count;
}

static s64 kick_cpu(struct vcpu *v, u32 apic_id)
{
	for (u32 i = 0; i < v->vm->nvcpus; i++)
		if (v->vm->vcpus[i]->cpu.id == apic_id)
			vcpu_event(v->vm->vcpus[i], EVENT_IRQ);
	return 0;
}

enum outcome pv_hypercall(struct cpu *cpu)
{
	struct vcpu *v = vcpu_of(cpu);
	bool is64 = cpu->mode == CODE_64;
	u64 arg[5] = {cpu->gpr[REG_RAX], cpu->gpr[REG_RBX], cpu->gpr[REG_RCX], cpu->gpr[REG_RDX],
		      cpu->gpr[REG_RSI]};
	s64 ret = -HC_ERR_NOSYS;

	for (int i = 0; !is64 && i < 5; i++)
		arg[i] = (u32)arg[i];
	if (cpu->cpl)
		ret = -HC_ERR_PERM;
	else if (arg[0] == KVM_HC_VAPIC_POLL_IRQ)
		ret = 0;
	else if (arg[0] == KVM_HC_KICK_CPU && feature(v, KVM_FEATURE_PV_UNHALT))
		ret = kick_cpu(v, (u32)arg[2]);
	else if (arg[0] == KVM_HC_SEND_IPI && feature(v, KVM_FEATURE_PV_SEND_IPI) && v->lapic)
		ret = send_ipi(v, &arg[1], is64 ? 64 : 32, (u32)arg[3], (u32)arg[4]);
	cpu->gpr[REG_RAX] = is64 ? (u64)ret : (u32)ret;
	return OUTCOME_OK;
}

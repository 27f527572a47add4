/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ioctls. Private to api/: objects behind file descriptors, tables of requests, arguments.
 */
#ifndef API_API_H
#define API_API_H

#include <errno.h>
#include <linux/kvm.h>
#include <stdatomic.h>

#include "base/types.h"
#include "vcpu/vcpu.h"

enum object_kind { OBJECT_SYSTEM, OBJECT_VM, OBJECT_VCPU, NOBJECTS };

/*
 * What a file descriptor of ours stands for. The table holds one reference, each call under way
 * another, and each vCPU one of its VM: so a VM lives until its last vCPU is closed.
 */
struct object {
	enum object_kind kind;
	_Atomic unsigned refs;
	unsigned fork_count; /* that of the process which made it */
	struct object *parent;
	struct virt_params params; /* of the system */
	struct vm *vm;		   /* of VMs and vCPUs */
	struct vcpu *vcpu;
};

/* What KVM_X86_SETUP_MCE may set beyond the number of banks: MCG_CTL_P, MCG_SER_P. */
#define MCE_CAPS  (BIT(8) | BIT(24))
#define MCE_BANKS 32

/* -- fdtable.c ----------------------------------------------------------------------------------
 */

/* NULL without memory. The caller owns the one reference. */
struct object *object_create(enum object_kind kind, struct object *parent);
void object_put(struct object *o);
/* A new reference to what `fd` stands for; NULL: not one of ours. */
struct object *object_get(int fd);
/* Makes `fd` stand for `o`, whose reference moves into the table. Returns fd, or -ENOMEM. */
int object_install(int fd, struct object *o);
/* false in a child of the process that made the object. */
bool object_is_ours(const struct object *o);

/* -- ioctl.c ------------------------------------------------------------------------------------
 */

/* How a handler gets its argument, and under which lock. */
#define ARG_VALUE  0u /* as is: an integer, or a pointer into the caller's memory */
#define ARG_STRUCT 1u /* a copy of the structure, by the request's size and direction */
#define NO_LOCK	   2u /* does not need the VM's or vCPU's lock */

struct ioctl_entry {
	unsigned long request;
	int (*fn)(struct object *o, void *arg); /* 0 or more, or -errno */
	u32 flags;
};

extern const struct ioctl_entry system_ioctls[], vm_ioctls[], vcpu_ioctls[];

/* -- user.c: the caller's memory. 0 or -EFAULT ----------------------------------------------------
 */

int user_read(void *dst, const void *user, size_t len);
int user_write(void *user, const void *src, size_t len);

/*
 * A copy of a structure that ends in an array: `head` bytes, of which the u32 at offset 0 says how
 * many elements of `elem` bytes follow. *err: -EFAULT, -E2BIG beyond `max`, -ENOMEM. To be freed.
 */
void *user_read_array(const void *user, size_t head, size_t elem, u32 max, int *err);

/* -- params.c -----------------------------------------------------------------------------------
 */

/* Module parameters from a list, after the defaults. 0 or -EINVAL. */
int params_parse(struct virt_params *p, const char *list);
void params_default(struct virt_params *p);

/* -- caps.c -------------------------------------------------------------------------------------
 */

int caps_check(const struct virt_params *params, long cap);
int caps_enable_vm(struct object *o, void *arg);
int caps_enable_vcpu(struct object *o, void *arg);

/* -- handlers, by the ioctl's name ----------------------------------------------------------------
 */

int system_create_vm(struct object *o, void *arg);
int system_get_cpuid(struct object *o, void *arg);
int system_emulated_cpuid(struct object *o, void *arg);
int system_msr_list(struct object *o, void *arg);
int system_msr_feature_list(struct object *o, void *arg);
int system_get_msrs(struct object *o, void *arg);

int vm_set_memory(struct object *o, void *arg);
int vm_get_dirty_log(struct object *o, void *arg);
int vm_clear_dirty_log(struct object *o, void *arg);
int vm_register_coalesced(struct object *o, void *arg);
int vm_unregister_coalesced(struct object *o, void *arg);

int vm_create_irqchip(struct object *o, void *arg);
int vm_create_pit2(struct object *o, void *arg);
int vm_create_pit(struct object *o, void *arg);
int vm_irq_line(struct object *o, void *arg);
int vm_irq_line_status(struct object *o, void *arg);
int vm_get_irqchip(struct object *o, void *arg);
int vm_set_irqchip(struct object *o, void *arg);
int vm_get_pit(struct object *o, void *arg);
int vm_set_pit(struct object *o, void *arg);
int vm_get_pit2(struct object *o, void *arg);
int vm_set_pit2(struct object *o, void *arg);
int vm_reinject(struct object *o, void *arg);
int vm_gsi_routing(struct object *o, void *arg);
int vm_signal_msi(struct object *o, void *arg);
int vm_irqfd(struct object *o, void *arg);
int vm_ioeventfd(struct object *o, void *arg);

int vcpu_get_regs(struct object *o, void *arg);
int vcpu_set_regs(struct object *o, void *arg);
int vcpu_get_sregs(struct object *o, void *arg);
int vcpu_set_sregs(struct object *o, void *arg);
int vcpu_get_sregs2(struct object *o, void *arg);
int vcpu_set_sregs2(struct object *o, void *arg);
int vcpu_get_debugregs(struct object *o, void *arg);
int vcpu_set_debugregs(struct object *o, void *arg);
int vcpu_translate(struct object *o, void *arg);

int vcpu_get_fpu(struct object *o, void *arg);
int vcpu_set_fpu(struct object *o, void *arg);
int vcpu_get_xsave(struct object *o, void *arg);
int vcpu_set_xsave(struct object *o, void *arg);
int vcpu_get_xcrs(struct object *o, void *arg);
int vcpu_set_xcrs(struct object *o, void *arg);

int vcpu_get_events(struct object *o, void *arg);
int vcpu_set_events(struct object *o, void *arg);
int vcpu_get_mp_state(struct object *o, void *arg);
int vcpu_set_mp_state(struct object *o, void *arg);
int vcpu_interrupt(struct object *o, void *arg);
int vcpu_user_nmi(struct object *o, void *arg);
int vcpu_get_lapic(struct object *o, void *arg);
int vcpu_set_lapic(struct object *o, void *arg);
int vcpu_set_vapic(struct object *o, void *arg);
int vcpu_setup_mce(struct object *o, void *arg);

int vcpu_get_msrs(struct object *o, void *arg);
int vcpu_set_msrs(struct object *o, void *arg);
int vcpu_get_tsc_khz(struct object *o, void *arg);
int vcpu_set_tsc_khz(struct object *o, void *arg);
int vcpu_has_attr(struct object *o, void *arg);
int vcpu_get_attr(struct object *o, void *arg);
int vcpu_set_attr(struct object *o, void *arg);

int vcpu_set_cpuid(struct object *o, void *arg);
int vcpu_set_cpuid2(struct object *o, void *arg);
int vcpu_get_cpuid2(struct object *o, void *arg);

int vcpu_get_nested_state(struct object *o, void *arg);
int vcpu_set_nested_state(struct object *o, void *arg);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupt controllers, lines, messages, eventfds. */
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "irq/irq.h"

int vm_create_irqchip(struct object *o, void *arg)
{
	return irq_vm_create_irqchip(o->vm->irq, o->vm->nvcpus);
}

int vm_create_pit2(struct object *o, void *arg)
{
	return irq_vm_create_pit(o->vm->irq, arg);
}

int vm_create_pit(struct object *o, void *arg)
{
	const struct kvm_pit_config cfg = {.flags = KVM_PIT_SPEAKER_DUMMY};

	return irq_vm_create_pit(o->vm->irq, &cfg);
}

static bool has_irqchip(const struct object *o)
{
	return irq_vm_mode(o->vm->irq) != IRQ_MODE_NONE;
}

int vm_irq_line(struct object *o, void *arg)
{
	const struct kvm_irq_level *l = arg;

	if (!has_irqchip(o))
		return -ENXIO;
	irq_vm_set_line(o->vm->irq, l->irq, l->level);
	return 0;
}

int vm_irq_line_status(struct object *o, void *arg)
{
	struct kvm_irq_level *l = arg;

	if (!has_irqchip(o))
		return -ENXIO;
	l->status = irq_vm_set_line(o->vm->irq, l->irq, l->level);
	return 0;
}

int vm_get_irqchip(struct object *o, void *arg)
{
	return irq_vm_get_irqchip(o->vm->irq, arg);
}

int vm_set_irqchip(struct object *o, void *arg)
{
	return irq_vm_set_irqchip(o->vm->irq, arg);
}

/* KVM_GET_PIT and KVM_SET_PIT know no flags. */
int vm_get_pit(struct object *o, void *arg)
{
	struct kvm_pit_state2 state;
	int r = irq_vm_get_pit(o->vm->irq, &state);

	if (!r)
		memcpy(arg, &state, sizeof(struct kvm_pit_state));
	return r;
}

int vm_set_pit(struct object *o, void *arg)
{
	struct kvm_pit_state2 state;
	int r = irq_vm_get_pit(o->vm->irq, &state);

	if (r)
		return r;
	memcpy(&state, arg, sizeof(struct kvm_pit_state));
	return irq_vm_set_pit(o->vm->irq, &state);
}

int vm_get_pit2(struct object *o, void *arg)
{
	return irq_vm_get_pit(o->vm->irq, arg);
}

int vm_set_pit2(struct object *o, void *arg)
{
	return irq_vm_set_pit(o->vm->irq, arg);
}

/* The request's number says nothing of its argument, which is a structure. */
int vm_reinject(struct object *o, void *arg)
{
	struct kvm_reinject_control ctl;

	if (user_read(&ctl, arg, sizeof(ctl)))
		return -EFAULT;
	return irq_vm_set_reinject(o->vm->irq, &ctl);
}

int vm_gsi_routing(struct object *o, void *arg)
{
	struct kvm_irq_routing *r;
	int err;

	r = user_read_array(arg, sizeof(*r), sizeof(r->entries[0]), IRQ_MAX_ROUTES, &err);
	if (!r)
		return err == -E2BIG ? -EINVAL : err;
	err = r->flags ? -EINVAL : irq_vm_set_routing(o->vm->irq, r->entries, r->nr);
	free(r);
	return err;
}

int vm_signal_msi(struct object *o, void *arg)
{
	return irq_vm_signal_msi(o->vm->irq, arg);
}

int vm_irqfd(struct object *o, void *arg)
{
	return irq_vm_irqfd(o->vm->irq, arg);
}

int vm_ioeventfd(struct object *o, void *arg)
{
	return irq_vm_ioeventfd(o->vm->irq, arg);
}

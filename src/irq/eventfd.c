/* SPDX-License-Identifier: BSD-2-Clause */
/* Event descriptors: irqfds, which one thread of the VM waits for, and ioeventfds. */
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "irq/internal.h"

struct irqfd {
	struct irqfd *next;
	u64 key;      /* what epoll knows it by; never used twice */
	u64 identity; /* of the VMM's eventfd */
	int fd;
	int resample_fd; /* or -1 */
	u32 gsi;
};

struct ioevent {
	struct ioevent *next;
	u64 identity;
	int fd;
	bool pio, wildcard;
	u64 addr, datamatch;
	u32 len; /* 0: any */
};

/* ---- eventfds in general */

/* The kernel's number of the eventfd, so that a duplicate of a descriptor is recognized; the
 * descriptor's own number where there is none. */
static u64 eventfd_identity(int fd)
{
	char path[64], line[128];
	u64 id = fd;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "re");
	if (!f)
		return id;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "eventfd-id: %" SCNu64, &id) == 1)
			id |= BIT(63);
	fclose(f);
	return id;
}

/* 0, -EBADF, or -EINVAL for a descriptor of another kind. */
static int eventfd_check(int fd)
{
	char path[64], name[64];
	ssize_t n;

	if (fcntl(fd, F_GETFD) < 0)
		return -EBADF;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, name, sizeof(name) - 1);
	if (n < 0)
		return 0; /* no /proc: believe it */
	name[n] = 0;
	return strstr(name, "[eventfd]") ? 0 : -EINVAL;
}

static int eventfd_dup(int fd)
{
	int err = eventfd_check(fd), copy;

	if (err)
		return err;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return copy < 0 ? -errno : copy;
}

/* A VMM's counter that is full must not block us; it is signalled already. */
static void eventfd_kick(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	u64 one = 1;

	if (poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) && write(fd, &one, sizeof(one)) < 0)
		return;
}

/* Takes the count; false if somebody else was faster. */
static bool eventfd_take(int fd)
{
	u64 count;
	struct iovec iov = {&count, sizeof(count)};
	struct pollfd p = {.fd = fd, .events = POLLIN};
	ssize_t n = preadv2(fd, &iov, 1, -1, RWF_NOWAIT);

	if (n < 0 && errno == EOPNOTSUPP && poll(&p, 1, 0) == 1)
		n = read(fd, &count, sizeof(count));
	return n == sizeof(count);
}

/* ---- irqfd: the list is under the VM's mutex */

static void irqfd_free(struct irq_vm *vm, struct irqfd *f)
{
	epoll_ctl(vm->epoll, EPOLL_CTL_DEL, f->fd, NULL);
	close(f->fd);
	if (f->resample_fd >= 0)
		close(f->resample_fd);
	free(f);
}

/* A plain irqfd is a pulse; with a resamplefd the line stays high until the guest's EOI. */
static void irqfd_inject(struct irq_vm *vm, const struct irqfd *f)
{
	if (f->resample_fd >= 0) {
		routing_set_line(vm, IRQ_SOURCE_RESAMPLE, f->gsi, true);
		return;
	}
	routing_set_line(vm, IRQ_SOURCE_VMM, f->gsi, true);
	routing_set_line(vm, IRQ_SOURCE_VMM, f->gsi, false);
}

bool irqfd_watches(struct irq_vm *vm, u32 gsi)
{
	for (const struct irqfd *f = vm->irqfds; f; f = f->next)
		if (f->gsi == gsi && f->resample_fd >= 0)
			return true;
	return false;
}

void irqfd_notify_acked(struct irq_vm *vm, u32 gsi)
{
	if (!irqfd_watches(vm, gsi))
		return;
	routing_set_line(vm, IRQ_SOURCE_RESAMPLE, gsi, false);
	for (const struct irqfd *f = vm->irqfds; f; f = f->next)
		if (f->gsi == gsi && f->resample_fd >= 0)
			eventfd_kick(f->resample_fd);
}

static void irqfd_event(struct irq_vm *vm, u64 key)
{
	pthread_mutex_lock(&vm->lock);
	for (const struct irqfd *f = vm->irqfds; f; f = f->next)
		if (f->key == key && eventfd_take(f->fd))
			irqfd_inject(vm, f);
	pthread_mutex_unlock(&vm->lock);
}

/* Key 0 is the descriptor that ends the thread. */
static void *irqfd_loop(void *arg)
{
	struct irq_vm *vm = arg;
	struct epoll_event events[16];

	for (;;) {
		int n = epoll_wait(vm->epoll, events, ARRAY_SIZE(events), -1);

		for (int i = 0; i < n; i++) {
			if (!events[i].data.u64)
				return NULL;
			irqfd_event(vm, events[i].data.u64);
		}
	}
}

static int epoll_add(struct irq_vm *vm, int fd, u64 key)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = key};

	return epoll_ctl(vm->epoll, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

static int irqfd_start(struct irq_vm *vm)
{
	sigset_t all, old;
	int err;

	if (vm->irqfd_started)
		return 0;
	if (vm->epoll < 0)
		vm->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (vm->stop_fd < 0) {
		vm->stop_fd = eventfd(0, EFD_CLOEXEC);
		if (vm->stop_fd >= 0 && vm->epoll >= 0)
			epoll_add(vm, vm->stop_fd, 0);
	}
	if (vm->epoll < 0 || vm->stop_fd < 0)
		return -errno;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&vm->irqfd_thread, NULL, irqfd_loop, vm);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	vm->irqfd_started = !err;
	return -err;
}

void irqfd_stop(struct irq_vm *vm)
{
	u64 one = 1;

	if (vm->irqfd_started && write(vm->stop_fd, &one, sizeof(one)) == sizeof(one))
		pthread_join(vm->irqfd_thread, NULL);
	while (vm->irqfds) {
		struct irqfd *f = vm->irqfds;

		vm->irqfds = f->next;
		irqfd_free(vm, f);
	}
	if (vm->epoll >= 0)
		close(vm->epoll);
	if (vm->stop_fd >= 0)
		close(vm->stop_fd);
}

static bool irqfd_exists(const struct irq_vm *vm, u64 identity)
{
	for (const struct irqfd *f = vm->irqfds; f; f = f->next)
		if (f->identity == identity)
			return true;
	return false;
}

/* With the mutex held.  Takes `f` only if it returns 0. */
static int irqfd_insert(struct irq_vm *vm, struct irqfd *f)
{
	int err;

	if (irqfd_exists(vm, f->identity))
		return -EBUSY;
	err = irqfd_start(vm);
	if (err)
		return err;
	f->key = ++vm->irqfd_ids;
	err = epoll_add(vm, f->fd, f->key);
	if (err)
		return err;
	f->next = vm->irqfds;
	vm->irqfds = f;
	ioapic_update_eoi_vectors(vm);
	return 0;
}

static int irqfd_assign(struct irq_vm *vm, const struct kvm_irqfd *args)
{
	bool resample = args->flags & KVM_IRQFD_FLAG_RESAMPLE;
	struct irqfd *f = calloc(1, sizeof(*f));
	int err;

	if (!f)
		return -ENOMEM;
	f->identity = eventfd_identity(args->fd);
	f->gsi = args->gsi;
	f->resample_fd = -1;
	err = f->fd = eventfd_dup(args->fd);
	if (err >= 0 && resample)
		err = f->resample_fd = eventfd_dup(args->resamplefd);
	if (err >= 0) {
		pthread_mutex_lock(&vm->lock);
		err = irqfd_insert(vm, f);
		pthread_mutex_unlock(&vm->lock);
		if (!err)
			return 0;
	}
	if (f->fd >= 0)
		close(f->fd);
	if (f->resample_fd >= 0)
		close(f->resample_fd);
	free(f);
	return err;
}

/* When it returns, an event of this descriptor can inject nothing any more. */
static int irqfd_deassign(struct irq_vm *vm, const struct kvm_irqfd *args)
{
	int err = eventfd_check(args->fd);
	u64 identity = eventfd_identity(args->fd);

	if (err)
		return err;
	pthread_mutex_lock(&vm->lock);
	for (struct irqfd **p = &vm->irqfds, *f; (f = *p);) {
		if (f->identity != identity || f->gsi != args->gsi) {
			p = &f->next;
			continue;
		}
		*p = f->next;
		if (f->resample_fd >= 0 && !irqfd_watches(vm, f->gsi))
			routing_set_line(vm, IRQ_SOURCE_RESAMPLE, f->gsi, false);
		irqfd_free(vm, f);
	}
	ioapic_update_eoi_vectors(vm);
	pthread_mutex_unlock(&vm->lock);
	return 0;
}

int irq_vm_irqfd(struct irq_vm *vm, const struct kvm_irqfd *args)
{
	if (args->flags & ~(KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE))
		return -EINVAL;
	if (args->gsi >= IRQ_MAX_ROUTES || irq_vm_mode(vm) == IRQ_MODE_NONE)
		return -EINVAL;
	if (args->flags & KVM_IRQFD_FLAG_DEASSIGN)
		return irqfd_deassign(vm, args);
	return irqfd_assign(vm, args);
}

/* ---- ioeventfd */

static bool ioevent_covers(const struct ioevent *e, bool pio, u64 addr, unsigned len, u64 val)
{
	if (e->pio != pio || e->addr != addr)
		return false;
	if (!e->len)
		return true;
	if (e->len != len)
		return false;
	return e->wildcard || e->datamatch == (len < 8 ? val & MASK(8 * len - 1, 0) : val);
}

bool irq_ioevent_signal(struct irq_vm *vm, bool pio, u64 addr, unsigned len, u64 val)
{
	bool found = false;

	if (!atomic_load_explicit(&vm->nr_ioevents, memory_order_acquire))
		return false;
	pthread_rwlock_rdlock(&vm->ioevent_lock);
	for (const struct ioevent *e = vm->ioevents; e && !found; e = e->next) {
		found = ioevent_covers(e, pio, addr, len, val);
		if (found)
			eventfd_kick(e->fd);
	}
	pthread_rwlock_unlock(&vm->ioevent_lock);
	return found;
}

/* Could one write mean both? */
static bool ioevents_clash(const struct ioevent *a, const struct ioevent *b)
{
	return a->pio == b->pio && a->addr == b->addr &&
	       (!a->len || !b->len ||
		(a->len == b->len && (a->wildcard || b->wildcard || a->datamatch == b->datamatch)));
}

static bool ioevents_equal(const struct ioevent *a, const struct ioevent *b)
{
	return a->identity == b->identity && a->pio == b->pio && a->addr == b->addr &&
	       a->len == b->len && a->wildcard == b->wildcard &&
	       (a->wildcard || a->datamatch == b->datamatch);
}

/* With the lock held for writing. */
static int ioevent_insert(struct irq_vm *vm, const struct ioevent *wanted, int fd)
{
	struct ioevent *e;

	for (e = vm->ioevents; e; e = e->next)
		if (ioevents_clash(e, wanted))
			return -EEXIST;
	e = malloc(sizeof(*e));
	if (!e)
		return -ENOMEM;
	*e = *wanted;
	e->fd = eventfd_dup(fd);
	if (e->fd < 0) {
		int err = e->fd;

		free(e);
		return err;
	}
	e->next = vm->ioevents;
	vm->ioevents = e;
	atomic_fetch_add(&vm->nr_ioevents, 1);
	return 0;
}

static int ioevent_remove(struct irq_vm *vm, const struct ioevent *wanted)
{
	for (struct ioevent **p = &vm->ioevents, *e; (e = *p); p = &e->next) {
		if (!ioevents_equal(e, wanted))
			continue;
		*p = e->next;
		close(e->fd);
		free(e);
		atomic_fetch_sub(&vm->nr_ioevents, 1);
		return 0;
	}
	return -ENOENT;
}

static int ioeventfd_check(const struct kvm_ioeventfd *args)
{
	const u32 known =
		KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DEASSIGN;

	if (args->len > 8 || (args->len & (args->len - 1)) || args->addr + args->len < args->addr)
		return -EINVAL;
	if ((args->flags & ~known) || (!args->len && (args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH)))
		return -EINVAL;
	return eventfd_check(args->fd);
}

int irq_vm_ioeventfd(struct irq_vm *vm, const struct kvm_ioeventfd *args)
{
	int err = ioeventfd_check(args);
	struct ioevent wanted;

	if (err)
		return err;
	wanted = (struct ioevent){
		.identity = eventfd_identity(args->fd),
		.pio = args->flags & KVM_IOEVENTFD_FLAG_PIO,
		.wildcard = !(args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH),
		.addr = args->addr,
		.datamatch = args->datamatch,
		.len = args->len,
	};
	pthread_rwlock_wrlock(&vm->ioevent_lock);
	if (args->flags & KVM_IOEVENTFD_FLAG_DEASSIGN)
		err = ioevent_remove(vm, &wanted);
	else
		err = ioevent_insert(vm, &wanted, args->fd);
	pthread_rwlock_unlock(&vm->ioevent_lock);
	return err;
}

void ioevent_free(struct irq_vm *vm)
{
	while (vm->ioevents) {
		struct ioevent *e = vm->ioevents;

		vm->ioevents = e->next;
		close(e->fd);
		free(e);
	}
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* A vCPU that waits: for an interrupt after HLT, for a SIPI, or for what ends KVM_RUN. */
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "vcpu/run.h"

bool wait_interrupted(struct vcpu *v)
{
	return *(volatile u8 *)&v->run->immediate_exit || signals_pending(&v->signals);
}

int wait_event(struct vcpu *v, u32 mask)
{
	struct pollfd fds[2] = {{.fd = v->wake_fd, .events = POLLIN},
				{.fd = signals_fd(&v->signals), .events = POLLIN}};
	/* Without a signalfd, signals are found at this interval. */
	int timeout = fds[1].fd < 0 ? 10 : -1;
	bool interrupted = false;
	u64 count;

	vm_leave(v->vm, v);
	atomic_store(&v->sleeping, true);
	while (!(atomic_load(&v->cpu.events) & mask) && !interrupted) {
		if (poll(fds, 2, timeout) >= 0 && fds[0].revents & POLLIN)
			(void)!read(v->wake_fd, &count, sizeof(count));
		interrupted = wait_interrupted(v);
	}
	atomic_store(&v->sleeping, false);
	vm_enter(v->vm, v);
	return interrupted ? -EINTR : RUN_GO;
}

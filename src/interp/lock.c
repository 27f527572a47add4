/* SPDX-License-Identifier: BSD-2-Clause */
#include <pthread.h>

#include "interp/lock.h"

static pthread_mutex_t split_lock = PTHREAD_MUTEX_INITIALIZER;

enum outcome insn_lock_ptr(struct cpu *cpu, const struct insn *i, unsigned size, void **p)
{
	u64 gva = 0;
	enum outcome o = insn_linear(cpu, i, size, true, &gva);

	*p = NULL;
	if (!o)
		o = mmu_ptr(cpu, gva, size, MMU_WRITE, p);
	return likely(!o) ? o : insn_stop_access(cpu, i, o);
}

enum outcome insn_split_lock(struct cpu *cpu, const struct insn *i, insn_fn body)
{
	enum outcome o;

	pthread_mutex_lock(&split_lock);
	o = body(cpu, i);
	pthread_mutex_unlock(&split_lock);
	return o;
}

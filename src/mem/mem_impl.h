/* SPDX-License-Identifier: BSD-2-Clause */
/* Private to mem/. */
#ifndef MEM_MEM_IMPL_H
#define MEM_MEM_IMPL_H

#include "mem/mem.h"

/* As KVM on x86: 32767 slots less those that it keeps for itself, and 2^31 - 1 pages in one. */
#define MEM_SLOTS_MAX	   32764
#define MEM_SLOT_PAGES_MAX ((1ull << 31) - 1)

struct mem {
	struct mem_slot **slots; /* sorted by gpa */
	unsigned nslots, capacity;
	mem_watch_fn watch;
	void *watch_arg;
};

#endif

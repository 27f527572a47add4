/* SPDX-License-Identifier: BSD-2-Clause */
/* `nestkvm demo`, in parts: options (demo.c), the run (demo_run.c), what the levels say
 * (demo_events.c), and what the user reads (demo_print.c). */
#ifndef CLI_DEMO_H
#define CLI_DEMO_H

#include <stdio.h>
#include "cli/initramfs.h"

#define DEMO_TAIL_LINES 24

enum {
	DEMO_EXIT_LEVEL = 1,   /* a level did not come up, or had trouble */
	DEMO_EXIT_PREPARE = 3, /* no kernel, no room for the initramfs, ... */
	DEMO_EXIT_TIMEOUT = 4,
};

/* What a level has said of itself. */
struct demo_level {
	bool seen;    /* it came to user space, at user_ms after the start */
	bool started; /* its VMM was started */
	bool done;    /* it ended by itself, at done_ms */
	u64 user_ms, done_ms;
	char kernel[96], cpu[96], hypervisor[24], virtualization[8], clocksource[24];
	char module[16], parameters[256]; /* its KVM: "nested=Y ept=Y ..." */
	char error[256];		  /* the first thing that went wrong, "" when nothing did */
	int cpus, kvm_api;
	long long memory_mib;
	long long exits, io_exits, mmio_exits, halt_exits; /* its KVM's counts of the next level */
	int bad_messages; /* kernel messages that tell of trouble; the first is in `error` */
	int status;
};

struct demo {
	struct initramfs_config config;
	struct kernel kernel;
	const char *log_file;
	unsigned timeout_s;
	bool json, colour, keep;
	FILE *log;

	struct demo_level level[INITRAMFS_MAX_LEVELS + 2]; /* from 1 */
	char accel[200];				   /* what L0's VMM says of its KVM */
	char tail[DEMO_TAIL_LINES][200];		   /* the last console lines, a ring */
	unsigned tail_next;
	u64 start_ms, end_ms;
	int status; /* exit status of L0's VMM */
	bool timed_out;
};

/* demo_events.c: takes one console line, without its end. */
void demo_take_line(struct demo *demo, const char *line, u64 now_ms);

/* demo_run.c: runs level 1 to its end; 0 or a negative errno. With a shell, on the user's terminal.
 */
int demo_run(struct demo *demo, const char *initramfs);
u64 demo_now_ms(void);

/* demo_print.c */
void demo_print_start(const struct demo *demo);
/* Called after an event of this level. */
void demo_print_event(const struct demo *demo, unsigned level, const char *event, u64 now_ms);
void demo_print_progress(const struct demo *demo, u64 now_ms);
/* The summary or the JSON object; and on failure the last console lines. */
void demo_print_summary(const struct demo *demo);
/* Whether every level came up and ended well. */
bool demo_succeeded(const struct demo *demo);

#endif

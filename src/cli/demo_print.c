/* SPDX-License-Identifier: BSD-2-Clause */
/* What the user reads: the levels as they come up, the summary, or one JSON object. */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/demo.h"
#include "nestkvm.h"

static const char *bold(const struct demo *demo)
{
	return demo->colour ? "\033[1m" : "";
}

static const char *plain(const struct demo *demo)
{
	return demo->colour ? "\033[0m" : "";
}

/* On a terminal a line of progress is written over; it ends where other output starts. */
static void clear_progress(const struct demo *demo)
{
	if (demo->colour)
		fputs("\r\033[K", stdout);
}

static void print_time(const struct demo *demo, u64 ms, unsigned level)
{
	printf("[%7.2f s] %sL%u%s  ", ms / 1000.0, bold(demo), level, plain(demo));
}

void demo_print_start(const struct demo *demo)
{
	const struct level_config *l = &demo->config.level[1];

	if (demo->json)
		return;
	printf("%snestkvm %s%s: %u levels of guests, kernel %s (%s)\n", bold(demo),
	       nestkvm_version(), plain(demo), demo->config.depth,
	       demo->kernel.release[0] ? demo->kernel.release : demo->kernel.image,
	       demo->kernel.origin);
	printf("[%7.2f s] %sL0%s  starts level 1: --cpu %s, %u CPU%s, %llu MiB, --accel %s\n", 0.0,
	       bold(demo), plain(demo), l->cpu, l->cpus, l->cpus == 1 ? "" : "s",
	       (unsigned long long)l->mem_mib, l->accel);
	fflush(stdout);
}

static void print_user(const struct demo *demo, unsigned n)
{
	const struct demo_level *l = &demo->level[n];

	printf("user space: Linux %s, %d CPU%s \"%s\", %lld MiB\n", l->kernel, l->cpus,
	       l->cpus == 1 ? "" : "s", l->cpu[0] ? l->cpu : "without a name", l->memory_mib);
	printf("             %4s hypervisor seen: %s; virtualization offered: %s; clock: %s\n", "",
	       l->hypervisor, l->virtualization, l->clocksource);
}

static void print_kvm(const struct demo_level *l)
{
	if (l->module[0] && l->kvm_api)
		printf("/dev/kvm (API %d), %s: %s\n", l->kvm_api, l->module, l->parameters);
	else
		printf("%s\n", l->error[0] ? l->error : "no KVM");
}

void demo_print_event(const struct demo *demo, unsigned level, const char *event, u64 now_ms)
{
	const struct demo_level *l = &demo->level[level];
	static const char *const shown[] = {"user", "kvm", "next", "module_error", "exits", "done"};
	bool show = false;

	for (size_t i = 0; i < ARRAY_SIZE(shown); i++)
		show |= !strcmp(event, shown[i]);
	if (demo->json || !show)
		return;
	clear_progress(demo);
	print_time(demo, now_ms - demo->start_ms, level);
	if (!strcmp(event, "user"))
		print_user(demo, level);
	else if (!strcmp(event, "kvm"))
		print_kvm(l);
	else if (!strcmp(event, "next"))
		printf("starts level %u with nestkvm run --accel %s\n", level + 1,
		       demo->config.level[level + 1].accel);
	else if (!strcmp(event, "module_error"))
		printf("module %s\n", l->error);
	else if (!strcmp(event, "exits"))
		printf("its KVM counted %lld exits of level %u (%lld for I/O, %lld MMIO, %lld "
		       "halts)\n",
		       l->exits, level + 1, l->io_exits, l->mmio_exits, l->halt_exits);
	else
		printf("powers off\n");
	fflush(stdout);
}

/* The highest level that was started. */
static unsigned level_now(const struct demo *demo)
{
	unsigned n = 1;

	while (n < demo->config.depth && demo->level[n + 1].started)
		n++;
	return n;
}

void demo_print_progress(const struct demo *demo, u64 now_ms)
{
	static u64 last_ms;
	u64 ms = now_ms - demo->start_ms;
	u64 every = demo->colour ? 250 : 10000;

	if (demo->json || ms < 2000 || now_ms - last_ms < every)
		return;
	last_ms = now_ms;
	if (demo->colour)
		printf("\r[%7.2f s] L%u  ...\033[K", ms / 1000.0, level_now(demo));
	else
		printf("[%7.2f s] L%u  ...\n", ms / 1000.0, level_now(demo));
	fflush(stdout);
}

/* The level above ran under this one's KVM, when that counted exits and the level saw a KVM. */
static bool is_proved(const struct demo *demo, unsigned level)
{
	return demo->level[level].exits > 0 && demo->level[level + 1].seen &&
	       !strcmp(demo->level[level + 1].hypervisor, "KVMKVMKVM");
}

bool demo_succeeded(const struct demo *demo)
{
	for (unsigned i = 1; i <= demo->config.depth; i++) {
		const struct demo_level *l = &demo->level[i];

		if (!l->seen || !l->done || l->error[0] || l->status)
			return false;
		if (i < demo->config.depth && !is_proved(demo, i))
			return false;
	}
	return demo->status == 0 && !demo->timed_out;
}

static void print_failure(const struct demo *demo)
{
	unsigned first = demo->tail_next > DEMO_TAIL_LINES ? demo->tail_next - DEMO_TAIL_LINES : 0;

	fflush(stdout);
	for (unsigned i = 1; i <= demo->config.depth; i++) {
		const struct demo_level *l = &demo->level[i];

		if (!l->seen)
			fprintf(stderr, "nestkvm: level %u did not come up\n", i);
		else if (l->error[0])
			fprintf(stderr, "nestkvm: level %u: %s\n", i, l->error);
		else if (l->status)
			fprintf(stderr, "nestkvm: level %u ended with status %d\n", i, l->status);
		else if (!l->done)
			fprintf(stderr, "nestkvm: level %u did not end by itself\n", i);
		else if (i < demo->config.depth && !is_proved(demo, i))
			fprintf(stderr, "nestkvm: level %u's KVM counted no exits of level %u\n", i,
				i + 1);
		if (!l->seen)
			break;
	}
	if (demo->timed_out)
		fprintf(stderr, "nestkvm: the time (--timeout %u) is over\n", demo->timeout_s);
	else if (demo->status)
		fprintf(stderr, "nestkvm: level 1's machine ended with status %d\n", demo->status);
	fprintf(stderr, "The last console lines:\n");
	for (unsigned i = first; i < demo->tail_next; i++)
		fprintf(stderr, "  | %s\n", demo->tail[i % DEMO_TAIL_LINES]);
}

static void print_text(const struct demo *demo)
{
	clear_progress(demo);
	printf("\n%sSummary%s\n", bold(demo), plain(demo));
	if (demo->accel[0])
		printf("  L0  %s\n", demo->accel);
	for (unsigned i = 1; i <= demo->config.depth && demo->level[i].seen; i++)
		printf("  L%u  Linux %s under %s: user space after %.2f s\n", i,
		       demo->level[i].kernel, demo->level[i].hypervisor,
		       demo->level[i].user_ms / 1000.0);
	for (unsigned i = 1; i < demo->config.depth; i++)
		if (is_proved(demo, i))
			printf("  L%u ran under KVM in L%u: L%u's %s counted %lld exits\n", i + 1,
			       i, i, demo->level[i].module, demo->level[i].exits);
	printf("  total %.2f s\n", (demo->end_ms - demo->start_ms) / 1000.0);
}

static cJSON *level_json(const struct demo *demo, unsigned n)
{
	const struct demo_level *l = &demo->level[n];
	cJSON *object = cJSON_CreateObject();

	cJSON_AddNumberToObject(object, "level", n);
	cJSON_AddBoolToObject(object, "user_space", l->seen);
	cJSON_AddBoolToObject(object, "done", l->done);
	cJSON_AddStringToObject(object, "error", l->error);
	if (!l->seen)
		return object;
	cJSON_AddNumberToObject(object, "user_space_ms", (double)l->user_ms);
	cJSON_AddNumberToObject(object, "done_ms", (double)l->done_ms);
	cJSON_AddStringToObject(object, "kernel", l->kernel);
	cJSON_AddStringToObject(object, "cpu", l->cpu);
	cJSON_AddNumberToObject(object, "cpus", l->cpus);
	cJSON_AddNumberToObject(object, "memory_mib", (double)l->memory_mib);
	cJSON_AddStringToObject(object, "hypervisor", l->hypervisor);
	cJSON_AddStringToObject(object, "virtualization", l->virtualization);
	cJSON_AddStringToObject(object, "clocksource", l->clocksource);
	cJSON_AddStringToObject(object, "kvm_module", l->module);
	cJSON_AddStringToObject(object, "kvm_parameters", l->parameters);
	cJSON_AddNumberToObject(object, "kvm_exits", (double)l->exits);
	cJSON_AddNumberToObject(object, "trouble_messages", l->bad_messages);
	return object;
}

/* Whether no hardware virtualization stands under level 1, as far as the VMM has said. */
static bool demo_is_emulated(const struct demo *demo)
{
	return strncmp(demo->accel, "kernel KVM", strlen("kernel KVM")) != 0;
}

static void print_json(const struct demo *demo)
{
	cJSON *object = cJSON_CreateObject(), *levels;
	char *text;

	cJSON_AddBoolToObject(object, "ok", demo_succeeded(demo));
	cJSON_AddStringToObject(object, "version", nestkvm_version());
	cJSON_AddStringToObject(object, "accelerator", demo->accel);
	cJSON_AddBoolToObject(object, "emulated", demo_is_emulated(demo));
	cJSON_AddBoolToObject(object, "timed_out", demo->timed_out);
	cJSON_AddNumberToObject(object, "total_ms", (double)(demo->end_ms - demo->start_ms));
	levels = cJSON_AddArrayToObject(object, "levels");
	for (unsigned i = 1; i <= demo->config.depth; i++)
		cJSON_AddItemToArray(levels, level_json(demo, i));
	text = cJSON_Print(object);
	puts(text ? text : "{}");
	free(text);
	cJSON_Delete(object);
}

void demo_print_summary(const struct demo *demo)
{
	if (demo->json)
		print_json(demo);
	else
		print_text(demo);
	if (!demo_succeeded(demo))
		print_failure(demo);
}

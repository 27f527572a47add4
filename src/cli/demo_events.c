/* SPDX-License-Identifier: BSD-2-Clause */
/* What the levels say: the lines of process 1 (src/guest/guest.h), and signs of trouble beside
 * them. */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/demo.h"

#define EVENT_MARK "NESTKVM {"
#define ACCEL_MARK "nestkvm: "

static void copy_string(const cJSON *object, const char *key, char *to, size_t size)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItem(object, key));

	snprintf(to, size, "%s", text ? text : "");
}

static long long number(const cJSON *object, const char *key)
{
	const cJSON *item = cJSON_GetObjectItem(object, key);

	return cJSON_IsNumber(item) ? (long long)item->valuedouble : 0;
}

static void take_user(struct demo_level *level, const cJSON *object, u64 ms)
{
	level->seen = true;
	level->user_ms = ms;
	copy_string(object, "kernel", level->kernel, sizeof(level->kernel));
	copy_string(object, "cpu", level->cpu, sizeof(level->cpu));
	copy_string(object, "hypervisor", level->hypervisor, sizeof(level->hypervisor));
	copy_string(object, "virtualization", level->virtualization, sizeof(level->virtualization));
	copy_string(object, "clocksource", level->clocksource, sizeof(level->clocksource));
	level->cpus = (int)number(object, "cpus");
	level->memory_mib = number(object, "memory_mib");
}

static void set_error(struct demo_level *level, const char *what, const char *detail)
{
	if (!level->error[0])
		snprintf(level->error, sizeof(level->error), "%s: %s", what, detail);
}

static void take_kvm(struct demo_level *level, const cJSON *object)
{
	const cJSON *item;
	char error[100];
	size_t len = 0;

	copy_string(object, "module", level->module, sizeof(level->module));
	copy_string(object, "error", error, sizeof(error));
	level->kvm_api = (int)number(object, "api");
	level->parameters[0] = 0;
	cJSON_ArrayForEach(item, cJSON_GetObjectItem(object, "parameters"))
	{
		if (!cJSON_IsString(item) || len >= sizeof(level->parameters))
			continue;
		len += snprintf(level->parameters + len, sizeof(level->parameters) - len, "%s%s=%s",
				len ? " " : "", item->string, item->valuestring);
	}
	if (error[0])
		set_error(level, "/dev/kvm", error);
}

static void take_exits(struct demo_level *level, const cJSON *object)
{
	level->exits = number(object, "exits");
	level->io_exits = number(object, "io_exits");
	level->mmio_exits = number(object, "mmio_exits");
	level->halt_exits = number(object, "halt_exits");
}

static void take_event(struct demo_level *level, const char *event, const cJSON *object, u64 ms)
{
	char text[100], detail[100];

	if (!strcmp(event, "user")) {
		take_user(level, object, ms);
	} else if (!strcmp(event, "kvm")) {
		take_kvm(level, object);
	} else if (!strcmp(event, "exits")) {
		take_exits(level, object);
	} else if (!strcmp(event, "module_error")) {
		copy_string(object, "module", text, sizeof(text));
		copy_string(object, "error", detail, sizeof(detail));
		set_error(level, text, detail);
	} else if (!strcmp(event, "selfcheck")) {
		level->bad_messages = (int)number(object, "messages");
		copy_string(object, "first", text, sizeof(text));
		if (level->bad_messages)
			set_error(level, "kernel message", text);
	} else if (!strcmp(event, "done")) {
		level->done = true;
		level->done_ms = ms;
		level->status = (int)number(object, "status");
	}
}

static void take_json(struct demo *demo, const char *text, u64 now_ms)
{
	cJSON *object = cJSON_Parse(text);
	const char *event = cJSON_GetStringValue(cJSON_GetObjectItem(object, "event"));
	long long level = number(object, "level");

	if (event && level >= 1 && level <= (long long)demo->config.depth) {
		take_event(&demo->level[level], event, object, now_ms - demo->start_ms);
		if (!strcmp(event, "next"))
			demo->level[level + 1].started = true;
		demo_print_event(demo, level, event, now_ms);
	}
	cJSON_Delete(object);
}

/* The last lines are shown when a level fails. */
static void keep_tail(struct demo *demo, const char *line)
{
	char *to = demo->tail[demo->tail_next++ % DEMO_TAIL_LINES];

	snprintf(to, sizeof(demo->tail[0]), "%s", line);
}

void demo_take_line(struct demo *demo, const char *line, u64 now_ms)
{
	const char *mark = strstr(line, EVENT_MARK);

	if (demo->log)
		fprintf(demo->log, "[%9.3f] %s\n", (now_ms - demo->start_ms) / 1000.0, line);
	keep_tail(demo, line);
	if (mark)
		take_json(demo, mark + strlen(EVENT_MARK) - 1, now_ms);
	else if (!demo->level[1].seen && !demo->accel[0] &&
		 !strncmp(line, ACCEL_MARK, strlen(ACCEL_MARK)) && strstr(line, "KVM"))
		snprintf(demo->accel, sizeof(demo->accel), "%s", line + strlen(ACCEL_MARK));
}

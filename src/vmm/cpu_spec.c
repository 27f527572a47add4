/* SPDX-License-Identifier: BSD-2-Clause */
/* Parses --cpu: a model's name, then features as +name, -name, name=on, name=off, name. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "vmm/cpu_model.h"
#include "vmm/msg.h"

#define NAME_MAX_LEN 47
#define NEAREST	     3

/*
 * What QEMU gives named models: a guest that moves between hosts cannot have the host's width. And
 * Linux does not expect more than 46 of a processor with the L1TF bug.
 */
#define MODEL_PHYS_BITS 40
#define PHYS_BITS_MIN	36
#define PHYS_BITS_MAX	52

/* Levenshtein distance, letters' case apart. */
static unsigned name_distance(const char *a, const char *b)
{
	unsigned row[NAME_MAX_LEN + 2];
	size_t len = strnlen(b, NAME_MAX_LEN);

	for (size_t j = 0; j <= len; j++)
		row[j] = j;
	for (size_t i = 0; a[i]; i++) {
		unsigned diag = row[0];

		row[0] = i + 1;
		for (size_t j = 0; j < len; j++) {
			unsigned above = row[j + 1];
			unsigned same = tolower((u8)a[i]) != tolower((u8)b[j]);

			row[j + 1] = MIN(MIN(above, row[j]) + 1, diag + same);
			diag = above;
		}
	}
	return row[len];
}

struct nearest {
	const char *wanted;
	const char *name[NEAREST];
	unsigned distance[NEAREST];
	unsigned count;
};

static void nearest_offer(struct nearest *n, const char *name)
{
	unsigned d = name_distance(n->wanted, name), i;

	if (n->count < NEAREST)
		n->distance[n->count++] = ~0u;
	for (i = n->count - 1; i > 0 && n->distance[i - 1] > d; i--) {
		n->name[i] = n->name[i - 1];
		n->distance[i] = n->distance[i - 1];
	}
	if (d < n->distance[i]) {
		n->name[i] = name;
		n->distance[i] = d;
	}
}

static int nearest_fail(struct nearest *n, const char *kind)
{
	char list[NEAREST * (NAME_MAX_LEN + 3)] = "";

	for (unsigned i = 0; i < n->count && n->name[i]; i++) {
		if (i)
			strcat(list, ", ");
		strncat(list, n->name[i], NAME_MAX_LEN);
	}
	return msg_fail(-EINVAL, "there is no CPU %s %s; the nearest: %s", kind, n->wanted, list);
}

static int unknown_model(const char *name)
{
	struct nearest n = {.wanted = name};

	for (unsigned i = 0; i < cpu_model_count; i++)
		nearest_offer(&n, cpu_models[i].name);
	nearest_offer(&n, "host");
	nearest_offer(&n, "max");
	return nearest_fail(&n, "model");
}

static int unknown_feature(const char *name)
{
	struct nearest n = {.wanted = name};

	for (unsigned w = 0; w < CPU_WORDS; w++)
		for (unsigned b = 0; b < 32; b++)
			if (cpu_words[w].names[b])
				nearest_offer(&n, cpu_words[w].names[b]);
	return nearest_fail(&n, "feature");
}

static const struct cpu_model_info *find_model(const char *name)
{
	for (unsigned i = 0; i < cpu_model_count; i++)
		if (!strcasecmp(cpu_models[i].name, name))
			return &cpu_models[i];
	return NULL;
}

/* Finds a feature; underscores are as good as dashes. */
static bool find_feature(const char *text, unsigned *word, u32 *bit)
{
	char name[NAME_MAX_LEN + 1];

	snprintf(name, sizeof(name), "%s", text);
	for (char *p = name; *p; p++)
		*p = *p == '_' ? '-' : tolower((u8)*p);
	for (unsigned i = 0; i < cpu_alias_count; i++)
		if (!strcmp(name, cpu_aliases[i].alias))
			snprintf(name, sizeof(name), "%s", cpu_aliases[i].name);
	for (unsigned w = 0; w < CPU_WORDS; w++)
		for (unsigned b = 0; b < 32; b++)
			if (cpu_words[w].names[b] && !strcmp(cpu_words[w].names[b], name)) {
				*word = w;
				*bit = 1u << b;
				return true;
			}
	return false;
}

/* Sets or clears a list of features separated by spaces; the tables' names are all known. */
static void spec_apply_list(struct cpu_spec *spec, const char *list, bool on)
{
	char buf[1024], *save, *name;
	unsigned word;
	u32 bit;

	snprintf(buf, sizeof(buf), "%s", list ? list : "");
	for (name = strtok_r(buf, " ", &save); name; name = strtok_r(NULL, " ", &save)) {
		if (!find_feature(name, &word, &bit))
			continue;
		spec->want[word] = on ? spec->want[word] | bit : spec->want[word] & ~bit;
	}
}

static void spec_add_model(struct cpu_spec *spec, const struct cpu_model_info *model)
{
	if (model->base)
		spec_add_model(spec, find_model(model->base));
	spec_apply_list(spec, model->features, true);
	spec_apply_list(spec, model->without, false);
}

static int spec_set_model(struct cpu_spec *spec, const char *name)
{
	snprintf(spec->name, sizeof(spec->name), "%s", name);
	if (!strcmp(name, "host") || !strcmp(name, "max"))
		return 0;
	spec->model = find_model(name);
	if (!spec->model)
		return unknown_model(name);
	spec->phys_bits = MODEL_PHYS_BITS;
	spec_add_model(spec, spec->model);
	return 0;
}

static int spec_set_feature(struct cpu_spec *spec, const char *name, bool on)
{
	unsigned word;
	u32 bit;

	if (!find_feature(name, &word, &bit))
		return unknown_feature(name);
	if (on) {
		spec->asked[word] |= bit;
		spec->want[word] |= bit;
		spec->refused[word] &= ~bit;
	} else {
		spec->refused[word] |= bit;
		spec->want[word] &= ~bit;
		spec->asked[word] &= ~bit;
	}
	return 0;
}

static int spec_set_phys_bits(struct cpu_spec *spec, const char *value)
{
	char *end;
	unsigned long n = strtoul(value, &end, 10);

	if (end == value || *end || (n && (n < PHYS_BITS_MIN || n > PHYS_BITS_MAX)))
		return msg_fail(-EINVAL,
				"CPU option phys-bits wants a number from %d to %d, not %s",
				PHYS_BITS_MIN, PHYS_BITS_MAX, value);
	spec->phys_bits = n;
	return 0;
}

/* name=on|off, and what is no CPUID bit. */
static int spec_set_option(struct cpu_spec *spec, const char *name, const char *value)
{
	bool on = !strcmp(value, "on") || !strcmp(value, "yes") || !strcmp(value, "true");
	bool off = !strcmp(value, "off") || !strcmp(value, "no") || !strcmp(value, "false");

	if (!strcmp(name, "phys-bits"))
		return spec_set_phys_bits(spec, value);
	if (!on && !off)
		return msg_fail(-EINVAL, "CPU option %s wants on or off, not %s", name, value);
	if (!strcmp(name, "enforce"))
		spec->enforce = on;
	else if (!strcmp(name, "kvm"))
		spec->no_kvm = off;
	else if (!strcmp(name, "host-phys-bits"))
		spec->phys_bits = on ? 0 : MODEL_PHYS_BITS;
	else if (strcmp(name, "check") != 0 && strcmp(name, "migratable") != 0)
		return spec_set_feature(spec, name, on);
	return 0;
}

static int spec_parse_item(struct cpu_spec *spec, char *item)
{
	char *value = strchr(item, '=');

	if (*item == '+' || *item == '-')
		return spec_set_feature(spec, item + 1, *item == '+');
	if (!value)
		return spec_set_option(spec, item, "on");
	*value++ = 0;
	return spec_set_option(spec, item, value);
}

int cpu_spec_parse(const char *text, struct cpu_spec *spec)
{
	char buf[1024], *save, *item;
	int ret;

	memset(spec, 0, sizeof(*spec));
	if (strlen(text) >= sizeof(buf))
		return msg_fail(-EINVAL, "the CPU specification is too long");
	strcpy(buf, text);
	item = strtok_r(buf, ",", &save);
	if (!item)
		return msg_fail(-EINVAL, "the CPU specification is empty");
	ret = spec_set_model(spec, item);
	while (!ret && (item = strtok_r(NULL, ",", &save)))
		ret = spec_parse_item(spec, item);
	return ret;
}

void cpu_model_list(FILE *out)
{
	fprintf(out, "CPU models:\n  host\n  max\n");
	for (unsigned i = 0; i < cpu_model_count; i++)
		fprintf(out, "  %-26s %s\n", cpu_models[i].name, cpu_models[i].brand);
	fprintf(out, "\nCPU features:");
	for (unsigned w = 0; w < CPU_WORDS; w++) {
		fprintf(out, "\n ");
		for (unsigned b = 0; b < 32; b++)
			if (cpu_words[w].names[b])
				fprintf(out, " %s", cpu_words[w].names[b]);
	}
	fprintf(out, "\n");
}

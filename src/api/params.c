/* SPDX-License-Identifier: BSD-2-Clause */
/* Module parameters, by the names that kvm_intel gives them. */
#include <string.h>

#include "api/api.h"

static const struct {
	const char *name;
	size_t offset;
	bool value; /* default */
} params[] = {
	{"nested", offsetof(struct virt_params, nested), true},
	{"ept", offsetof(struct virt_params, ept), true},
	{"eptad", offsetof(struct virt_params, ept_ad), true},
	{"vpid", offsetof(struct virt_params, vpid), true},
	{"unrestricted_guest", offsetof(struct virt_params, unrestricted_guest), true},
	{"flexpriority", offsetof(struct virt_params, flexpriority), true},
	{"preemption_timer", offsetof(struct virt_params, preemption_timer), true},
};

static bool *field(struct virt_params *p, unsigned i)
{
	return (bool *)((char *)p + params[i].offset);
}

void params_default(struct virt_params *p)
{
	memset(p, 0, sizeof(*p));
	for (unsigned i = 0; i < ARRAY_SIZE(params); i++)
		*field(p, i) = params[i].value;
}

static bool is(const char *s, size_t len, const char *word)
{
	return strlen(word) == len && !strncmp(s, word, len);
}

/* What the kernel takes for a boolean parameter. */
static int parse_bool(const char *s, size_t len, bool *value)
{
	if (len == 1 && strchr("1yY", *s))
		*value = true;
	else if (len == 1 && strchr("0nN", *s))
		*value = false;
	else if (is(s, len, "on"))
		*value = true;
	else if (is(s, len, "off"))
		*value = false;
	else
		return -EINVAL;
	return 0;
}

static int parse_one(struct virt_params *p, const char *s, size_t len)
{
	const char *eq = memchr(s, '=', len);
	size_t name = eq ? (size_t)(eq - s) : len;

	for (unsigned i = 0; i < ARRAY_SIZE(params); i++)
		if (eq && is(s, name, params[i].name))
			return parse_bool(eq + 1, len - name - 1, field(p, i));
	return -EINVAL;
}

int params_parse(struct virt_params *p, const char *list)
{
	int r = 0;

	while (list && *list && !r) {
		size_t len = strcspn(list, ",");

		if (len)
			r = parse_one(p, list, len);
		list += len + (list[len] == ',');
	}
	return r;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Kernel modules: loading, and what KVM's say about themselves. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "guest.h"

/* The name as /sys/module spells it: the file's, without folder and ".ko", "_" for "-". */
static void module_name(const char *path, char *name, size_t size)
{
	const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	size_t i, len = strcspn(base, ".");

	for (i = 0; i < len && i + 1 < size; i++)
		name[i] = base[i] == '-' ? '_' : base[i];
	name[i] = 0;
}

static void module_print_error(int level, const char *path, int error)
{
	struct line line;
	char name[64];

	module_name(path, name, sizeof(name));
	line_start(&line, level, "module_error");
	line_string(&line, "module", name);
	line_string(&line, "error", strerror(error));
	line_print(&line);
}

/* path: ends at a blank, after which the module's parameters follow. */
static void module_load(int level, char *path, bool optional)
{
	char *params = strchr(path, ' ');
	int fd;

	if (params)
		*params++ = 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || syscall(SYS_finit_module, fd, params ? params : "", 0) < 0) {
		if (errno != EEXIST && !optional)
			module_print_error(level, path, errno);
	}
	if (fd >= 0)
		close(fd);
}

/* One line of the list: [intel:|amd:][?]PATH[ PARAMETERS]. */
static void module_load_line(int level, char *text)
{
	char *colon = strchr(text, ':');
	bool optional;

	if (colon && colon < strchr(text, '/')) {
		*colon = 0;
		if (strcmp(text, facts_vendor()))
			return;
		text = colon + 1;
	}
	optional = *text == '?';
	module_load(level, text + optional, optional);
}

void modules_load(int level)
{
	static char list[16384];
	char *save = NULL, *text;

	file_read(GUEST_MODULES_FILE, list, sizeof(list));
	for (text = strtok_r(list, "\n", &save); text; text = strtok_r(NULL, "\n", &save))
		module_load_line(level, text);
}

static void kvm_add_parameters(struct line *line, const char *module, const char *const *names)
{
	char path[128], value[64];

	line_string(line, "module", module);
	line_open(line, "parameters");
	for (; *names; names++) {
		snprintf(path, sizeof(path), "/sys/module/%s/parameters/%s", module, *names);
		if (!access(path, F_OK))
			line_string(line, *names, file_read(path, value, sizeof(value)));
	}
	line_close(line);
}

/* What L1's KVM says of itself: its API version and the parameters that matter for nesting. */
void modules_print_kvm(int level)
{
	static const char *const intel[] = {"nested",
					    "ept",
					    "vpid",
					    "unrestricted_guest",
					    "enable_shadow_vmcs",
					    "enable_apicv",
					    "flexpriority",
					    "pml",
					    "eptad",
					    "preemption_timer",
					    NULL};
	static const char *const amd[] = {"nested", "npt", "nrips", "vgif", "vls", "avic", NULL};
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	struct line line;

	line_start(&line, level, "kvm");
	if (!access("/sys/module/kvm_intel", F_OK))
		kvm_add_parameters(&line, "kvm_intel", intel);
	else if (!access("/sys/module/kvm_amd", F_OK))
		kvm_add_parameters(&line, "kvm_amd", amd);
	if (fd < 0) {
		line_string(&line, "error", strerror(errno));
	} else {
		line_number(&line, "api", ioctl(fd, KVM_GET_API_VERSION, 0));
		close(fd);
	}
	line_print(&line);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* What runs in this level, as the kernel and CPUID tell it. */
#include <cpuid.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "guest.h"

const char *facts_vendor(void)
{
	unsigned eax, sig[3];

	__cpuid(0, eax, sig[0], sig[2], sig[1]);
	if (!memcmp(sig, "GenuineIntel", 12))
		return "intel";
	if (!memcmp(sig, "AuthenticAMD", 12) || !memcmp(sig, "HygonGenuine", 12))
		return "amd";
	return "other";
}

/* The brand string, leaves 0x80000002 to 0x80000004, without the blanks around it. */
static const char *facts_cpu(char name[64])
{
	unsigned r[12], max, x;
	char *end;

	__cpuid(0x80000000, max, x, x, x);
	if (max < 0x80000004)
		return "unknown";
	for (unsigned i = 0; i < 3; i++)
		__cpuid(0x80000002 + i, r[4 * i], r[4 * i + 1], r[4 * i + 2], r[4 * i + 3]);
	memcpy(name, r, 48);
	name[48] = 0;
	for (end = name + strlen(name); end > name && end[-1] == ' '; end--)
		end[-1] = 0;
	return name + strspn(name, " ");
}

/* The signature of leaf 0x40000000, when CPUID.1:ECX[31] says that there is a hypervisor. */
static const char *facts_hypervisor(char name[16])
{
	unsigned eax, b, c, d;

	__cpuid(1, eax, b, c, d);
	if (!(c >> 31))
		return "none";
	__cpuid(0x40000000, eax, b, c, d);
	memcpy(name, (unsigned[]){b, c, d}, 12);
	name[12] = 0;
	return name[0] ? name : "unnamed";
}

static const char *facts_virtualization(void)
{
	unsigned a, b, c, d, max;

	__cpuid(1, a, b, c, d);
	if (c >> 5 & 1)
		return "vmx";
	__cpuid(0x80000000, max, b, c, d);
	if (max < 0x80000001)
		return "none";
	__cpuid(0x80000001, a, b, c, d);
	return c >> 2 & 1 ? "svm" : "none";
}

void facts_print(int level)
{
	char cpu[64], hypervisor[16], clock[32];
	struct utsname uts;
	struct sysinfo info;
	struct line line;

	uname(&uts);
	sysinfo(&info);
	line_start(&line, level, "user");
	line_string(&line, "kernel", uts.release);
	line_string(&line, "cpu", facts_cpu(cpu));
	line_number(&line, "cpus", sysconf(_SC_NPROCESSORS_ONLN));
	line_string(&line, "vendor", facts_vendor());
	line_string(&line, "virtualization", facts_virtualization());
	line_string(&line, "hypervisor", facts_hypervisor(hypervisor));
	line_number(&line, "memory_mib", (long long)info.totalram * info.mem_unit >> 20);
	line_string(&line, "clocksource",
		    file_read("/sys/devices/system/clocksource/clocksource0/current_clocksource",
			      clock, sizeof(clock)));
	line_print(&line);
}

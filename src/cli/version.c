/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include "cli/command.h"
#include "nestkvm.h"

int cmd_version(int argc, char **argv)
{
	printf("nestkvm %s\n", nestkvm_version());
	return EXIT_OK;
}

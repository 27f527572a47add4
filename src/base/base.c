/* SPDX-License-Identifier: BSD-2-Clause */
#include "nestkvm.h"

const char *nestkvm_version(void)
{
	return "0.1.0";
}

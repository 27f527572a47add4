/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The run loop of a vCPU: events, engine, outcome. It is the one judge of what becomes an exception, a
 * vmexit or a userexit.
 */
#ifndef VCPU_VCPU_H
#define VCPU_VCPU_H

#include "cpu/cpu.h"

#endif

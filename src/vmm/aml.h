/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A small emitter of AML, ACPI's byte code: ACPI specification 6.4, chapter 20. It writes forward;
 * aml_begin_*() and aml_end() nest, and aml_end() patches the length in.
 */
#ifndef VMM_AML_H
#define VMM_AML_H

#include "base/types.h"

#define AML_MAX_DEPTH 8

struct aml {
	u8 *buf;
	size_t cap, len;
	bool overflow; /* something did not fit, or nested too deep */
	unsigned depth;
	struct {
		size_t start; /* where the length goes */
		u8 kind;
	} open[AML_MAX_DEPTH];
};

/* Starts writing into buf. */
void aml_init(struct aml *a, u8 *buf, size_t cap);

/* Scope (path: "\\_SB_" or a four-letter name), Device and Method (no locals). */
void aml_begin_scope(struct aml *a, const char *path);
void aml_begin_device(struct aml *a, const char *name);
/* Package of `count` elements, which follow. */
void aml_begin_package(struct aml *a, u8 count);
/* Buffer that holds a resource template; its descriptors follow. */
void aml_begin_resources(struct aml *a);
/* Ends the innermost open thing. */
void aml_end(struct aml *a);

/* Name(name, ...): the value follows. */
void aml_name(struct aml *a, const char *name);
/* An integer in its shortest form. */
void aml_int(struct aml *a, u64 value);
void aml_string(struct aml *a, const char *s);
/* An EISA id such as "PNP0A03". */
void aml_eisaid(struct aml *a, const char *id);
/* Name(name, value) for the common kinds. */
void aml_name_int(struct aml *a, const char *name, u64 value);
void aml_name_eisaid(struct aml *a, const char *name, const char *id);

/* Resource descriptors (ACPI 6.4, section 6.4), inside aml_begin_resources(). */
void aml_res_io(struct aml *a, u16 port, u8 len);
void aml_res_irq(struct aml *a, u8 irq); /* edge, active high, exclusive */
void aml_res_bus_range(struct aml *a, u16 first, u16 last);
void aml_res_io_window(struct aml *a, u16 first, u16 last);
void aml_res_mem_window(struct aml *a, u32 first, u32 last);

#endif

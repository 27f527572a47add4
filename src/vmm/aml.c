/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>
#include "vmm/aml.h"

#define OP_ZERO	   0x00
#define OP_ONE	   0x01
#define OP_NAME	   0x08
#define OP_BYTE	   0x0a
#define OP_WORD	   0x0b
#define OP_DWORD   0x0c
#define OP_STRING  0x0d
#define OP_QWORD   0x0e
#define OP_SCOPE   0x10
#define OP_BUFFER  0x11
#define OP_PACKAGE 0x12
#define OP_EXT	   0x5b
#define OP_DEVICE  0x82 /* after OP_EXT */

/* Lengths are always in the three-byte form: up to 1 MiB (20.2.4, Package Length Encoding). */
#define PKG_LENGTH_BYTES 3
/* A resource buffer's own size: OP_WORD and two bytes. */
#define RES_SIZE_BYTES 3

enum { KIND_PLAIN, KIND_RESOURCES };

void aml_init(struct aml *a, u8 *buf, size_t cap)
{
	memset(a, 0, sizeof(*a));
	a->buf = buf;
	a->cap = cap;
}

static void aml_bytes(struct aml *a, const void *data, size_t len)
{
	if (len > a->cap - a->len) {
		a->overflow = true;
		return;
	}
	memcpy(a->buf + a->len, data, len);
	a->len += len;
}

static void aml_u8(struct aml *a, u8 v)
{
	aml_bytes(a, &v, 1);
}

static void aml_u16(struct aml *a, u16 v)
{
	aml_bytes(a, &v, 2);
}

static void aml_u32(struct aml *a, u32 v)
{
	aml_bytes(a, &v, 4);
}

/* A name segment is four characters, padded with underscores; a root prefix may precede it. */
static void aml_path(struct aml *a, const char *path)
{
	char seg[4] = {'_', '_', '_', '_'};

	if (*path == '\\')
		aml_u8(a, *path++);
	memcpy(seg, path, MIN(strlen(path), 4u));
	aml_bytes(a, seg, 4);
}

static void aml_open(struct aml *a, u8 kind)
{
	static const u8 room[PKG_LENGTH_BYTES];

	if (a->depth == AML_MAX_DEPTH) {
		a->overflow = true;
		return;
	}
	a->open[a->depth].start = a->len;
	a->open[a->depth].kind = kind;
	a->depth++;
	aml_bytes(a, room, sizeof(room));
}

void aml_begin_scope(struct aml *a, const char *path)
{
	aml_u8(a, OP_SCOPE);
	aml_open(a, KIND_PLAIN);
	aml_path(a, path);
}

void aml_begin_device(struct aml *a, const char *name)
{
	aml_u8(a, OP_EXT);
	aml_u8(a, OP_DEVICE);
	aml_open(a, KIND_PLAIN);
	aml_path(a, name);
}

void aml_begin_package(struct aml *a, u8 count)
{
	aml_u8(a, OP_PACKAGE);
	aml_open(a, KIND_PLAIN);
	aml_u8(a, count);
}

void aml_begin_resources(struct aml *a)
{
	aml_u8(a, OP_BUFFER);
	aml_open(a, KIND_RESOURCES);
	aml_u8(a, OP_WORD);
	aml_u16(a, 0);
}

void aml_end(struct aml *a)
{
	static const u8 end_tag[2] = {0x79, 0}; /* checksum 0: not checked */
	size_t start, len;
	u8 *p;

	if (a->overflow || !a->depth)
		return;
	a->depth--;
	start = a->open[a->depth].start;
	if (a->open[a->depth].kind == KIND_RESOURCES) {
		u16 size;

		aml_bytes(a, end_tag, sizeof(end_tag));
		size = a->len - start - PKG_LENGTH_BYTES - RES_SIZE_BYTES;
		memcpy(a->buf + start + PKG_LENGTH_BYTES + 1, &size, 2);
	}
	p = a->buf + start;
	len = a->len - start;
	p[0] = (PKG_LENGTH_BYTES - 1) << 6 | (len & 15);
	p[1] = len >> 4;
	p[2] = len >> 12;
}

void aml_name(struct aml *a, const char *name)
{
	aml_u8(a, OP_NAME);
	aml_path(a, name);
}

void aml_int(struct aml *a, u64 v)
{
	if (v <= 1) {
		aml_u8(a, v ? OP_ONE : OP_ZERO);
	} else if (v <= 0xff) {
		aml_u8(a, OP_BYTE);
		aml_u8(a, v);
	} else if (v <= 0xffff) {
		aml_u8(a, OP_WORD);
		aml_u16(a, v);
	} else if (v <= 0xffffffff) {
		aml_u8(a, OP_DWORD);
		aml_u32(a, v);
	} else {
		aml_u8(a, OP_QWORD);
		aml_bytes(a, &v, 8);
	}
}

void aml_string(struct aml *a, const char *s)
{
	aml_u8(a, OP_STRING);
	aml_bytes(a, s, strlen(s) + 1);
}

static unsigned aml_hex(char c)
{
	return c <= '9' ? c - '0' : c - 'A' + 10;
}

/* Three letters of five bits and four hex digits, big-endian (ACPI 6.4, 19.3.4 EISAID). */
void aml_eisaid(struct aml *a, const char *id)
{
	u32 v = (id[0] - '@') << 26 | (id[1] - '@') << 21 | (id[2] - '@') << 16;

	v |= aml_hex(id[3]) << 12 | aml_hex(id[4]) << 8 | aml_hex(id[5]) << 4 | aml_hex(id[6]);
	aml_u8(a, OP_DWORD);
	aml_u32(a, __builtin_bswap32(v));
}

void aml_name_int(struct aml *a, const char *name, u64 value)
{
	aml_name(a, name);
	aml_int(a, value);
}

void aml_name_eisaid(struct aml *a, const char *name, const char *id)
{
	aml_name(a, name);
	aml_eisaid(a, id);
}

void aml_res_io(struct aml *a, u16 port, u8 len)
{
	aml_u8(a, 0x47);
	aml_u8(a, 1); /* decodes 16 bits */
	aml_u16(a, port);
	aml_u16(a, port);
	aml_u8(a, 1);
	aml_u8(a, len);
}

void aml_res_irq(struct aml *a, u8 irq)
{
	aml_u8(a, 0x22);
	aml_u16(a, 1u << irq);
}

/* Flags: producer, positive decode, fixed minimum and maximum. */
#define WINDOW_FLAGS 0x0c

static void aml_word_window(struct aml *a, u8 type, u8 type_flags, u16 first, u16 last)
{
	aml_u8(a, 0x88);
	aml_u16(a, 13);
	aml_u8(a, type);
	aml_u8(a, WINDOW_FLAGS);
	aml_u8(a, type_flags);
	aml_u16(a, 0);
	aml_u16(a, first);
	aml_u16(a, last);
	aml_u16(a, 0);
	aml_u16(a, last - first + 1);
}

void aml_res_bus_range(struct aml *a, u16 first, u16 last)
{
	aml_word_window(a, 2, 0, first, last);
}

void aml_res_io_window(struct aml *a, u16 first, u16 last)
{
	aml_word_window(a, 1, 3, first, last);
}

void aml_res_mem_window(struct aml *a, u32 first, u32 last)
{
	aml_u8(a, 0x87);
	aml_u16(a, 23);
	aml_u8(a, 0);
	aml_u8(a, WINDOW_FLAGS);
	aml_u8(a, 1); /* read-write, not cacheable */
	aml_u32(a, 0);
	aml_u32(a, first);
	aml_u32(a, last);
	aml_u32(a, 0);
	aml_u32(a, last - first + 1);
}

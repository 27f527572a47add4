/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Arithmetic by the host CPU's own instruction, so that results and flags, undefined ones included,
 * are what the host makes of them. Every function takes and returns flags in cpu->cc's format.
 *
 * Private to interp/.
 */
#ifndef INTERP_HOST_ALU_H
#define INTERP_HOST_ALU_H

#include "base/types.h"

#define CC_SAVE	   "lahf\n\tseto %%al"
#define CC_RESTORE "addb $0x7f, %%al\n\tsahf\n\t"
#define CC_CARRY   "btw $8, %%ax\n\t"

/* d = d op s; flags not read. */
#define HOST_OP2(op, T)                                                                            \
	static inline T host_##op##_##T(T d, T s, u16 *cc)                                         \
	{                                                                                          \
		u16 f;                                                                             \
		__asm__(#op " %2, %0\n\t" CC_SAVE : "+r"(d), "=&a"(f) : "rm"(s) : "cc");           \
		*cc = f;                                                                           \
		return d;                                                                          \
	}                                                                                          \
	static inline void host_lock_##op##_##T(T *d, T s, u16 *cc)                                \
	{                                                                                          \
		u16 f;                                                                             \
		__asm__ volatile("lock " #op " %2, %0\n\t" CC_SAVE                                 \
				 : "+m"(*d), "=&a"(f)                                              \
				 : "r"(s)                                                          \
				 : "cc", "memory");                                                \
		*cc = f;                                                                           \
	}

/* d = d op s with carry. */
#define HOST_OP2C(op, T)                                                                           \
	static inline T host_##op##_##T(T d, T s, u16 *cc)                                         \
	{                                                                                          \
		u16 f = *cc;                                                                       \
		__asm__(CC_CARRY #op " %2, %0\n\t" CC_SAVE : "+r"(d), "+&a"(f) : "rm"(s) : "cc");  \
		*cc = f;                                                                           \
		return d;                                                                          \
	}                                                                                          \
	static inline void host_lock_##op##_##T(T *d, T s, u16 *cc)                                \
	{                                                                                          \
		u16 f = *cc;                                                                       \
		__asm__ volatile(CC_CARRY "lock " #op " %2, %0\n\t" CC_SAVE                        \
				 : "+m"(*d), "+&a"(f)                                              \
				 : "r"(s)                                                          \
				 : "cc", "memory");                                                \
		*cc = f;                                                                           \
	}

/* Only flags. */
#define HOST_TEST(op, T)                                                                           \
	static inline T host_##op##_##T(T d, T s, u16 *cc)                                         \
	{                                                                                          \
		u16 f;                                                                             \
		__asm__(#op " %2, %1\n\t" CC_SAVE : "=&a"(f) : "r"(d), "rm"(s) : "cc");            \
		*cc = f;                                                                           \
		return d;                                                                          \
	}

/* One operand; the carry comes through. */
#define HOST_OP1(op, sfx, T)                                                                       \
	static inline T host_##op##_##T(T d, u16 *cc)                                              \
	{                                                                                          \
		u16 f = *cc;                                                                       \
		__asm__(CC_CARRY #op " %0\n\t" CC_SAVE : "+r"(d), "+&a"(f) : : "cc");              \
		*cc = f;                                                                           \
		return d;                                                                          \
	}                                                                                          \
	static inline void host_lock_##op##_##T(T *d, u16 *cc)                                     \
	{                                                                                          \
		u16 f = *cc;                                                                       \
		__asm__ volatile(CC_CARRY "lock " #op sfx " %0\n\t" CC_SAVE                        \
				 : "+m"(*d), "+&a"(f)                                              \
				 :                                                                 \
				 : "cc", "memory");                                                \
		*cc = f;                                                                           \
	}

/* Shifts and rotates by cl; a count of 0 leaves the flags alone. */
#define HOST_SHIFT(op, T)                                                                          \
	static inline T host_##op##_##T(T d, u8 count, u16 *cc)                                    \
	{                                                                                          \
		u16 f = *cc;                                                                       \
		__asm__(CC_RESTORE #op " %%cl, %0\n\t" CC_SAVE                                     \
			: "+r"(d), "+&a"(f)                                                        \
			: "c"(count)                                                               \
			: "cc");                                                                   \
		*cc = f;                                                                           \
		return d;                                                                          \
	}

#define HOST_SHIFT2(op, T)                                                                         \
	static inline T host_##op##_##T(T d, T s, u8 count, u16 *cc)                               \
	{                                                                                          \
		u16 f = *cc;                                                                       \
		__asm__(CC_RESTORE #op " %%cl, %3, %0\n\t" CC_SAVE                                 \
			: "+r"(d), "+&a"(f)                                                        \
			: "c"(count), "r"(s)                                                       \
			: "cc");                                                                   \
		*cc = f;                                                                           \
		return d;                                                                          \
	}

#endif

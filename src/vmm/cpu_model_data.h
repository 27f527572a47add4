/* SPDX-License-Identifier: BSD-2-Clause */
/* CPU features and models as tables. Names are QEMU's; bits are those of SDM Vol. 2A CPUID and APM
 * Vol. 3 E. */
#ifndef VMM_CPU_MODEL_DATA_H
#define VMM_CPU_MODEL_DATA_H

#include "base/types.h"

enum cpu_reg { CPU_EAX, CPU_EBX, CPU_ECX, CPU_EDX };

enum cpu_word {
	WORD_1_EDX,
	WORD_1_ECX,
	WORD_7_EBX,
	WORD_7_ECX,
	WORD_7_EDX,
	WORD_7_1_EAX,
	WORD_6_EAX,
	WORD_D_1_EAX,
	WORD_X1_EDX, /* 80000001H */
	WORD_X1_ECX,
	WORD_X7_EDX,
	WORD_X8_EBX,
	WORD_XA_EDX,  /* 8000000AH: SVM */
	WORD_X21_EAX, /* 80000021H */
	WORD_KVM_EAX, /* 40000001H: KVM's paravirtual features */
	CPU_WORDS
};

struct cpu_word_info {
	u32 leaf, index;
	enum cpu_reg reg;
	const char *names[32];
};

extern const struct cpu_word_info cpu_words[CPU_WORDS];

/* Other spellings of a feature's name. */
struct cpu_alias {
	const char *alias, *name;
};

extern const struct cpu_alias cpu_aliases[];
extern const unsigned cpu_alias_count;

struct cpu_model_info {
	const char *name;
	const char *base;     /* model whose features this one has, too, or NULL */
	const char *vendor;   /* 12 letters */
	const char *brand;    /* up to 47 letters */
	const char *features; /* separated by spaces */
	const char *without;  /* features of `base` that this one has not, or NULL */
	u32 level, xlevel;    /* highest basic and extended leaf */
	u16 family, model, stepping;
	u16 l2_kb; /* level-2 cache of a core */
};

extern const struct cpu_model_info cpu_models[];
extern const unsigned cpu_model_count;

#endif

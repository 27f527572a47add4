/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which forms there are: all opcodes of all maps with all prefixes that matter, in register and memory
 * form, as far as the decoder takes them for something that may run here.
 */
#include <stdlib.h>
#include <string.h>

#include "state.h"

#define FORMS_MAX  16384
#define TABLE_SIZE 65536

static struct form *forms;
static unsigned nforms;
static u64 seen[TABLE_SIZE];

/* -- what may run ----------------------------------------------------------------------------------- */

static bool category_ok(ZydisInstructionCategory c)
{
	switch (c) {
	case ZYDIS_CATEGORY_INTERRUPT:
	case ZYDIS_CATEGORY_SEGOP:
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_SYSRET:
	case ZYDIS_CATEGORY_RDRAND: /* another value each time */
	case ZYDIS_CATEGORY_RDSEED:
		return false;
	default:
		return true;
	}
}

bool is_branch(const struct x86_decoded *d)
{
	switch (d->insn.meta.category) {
	case ZYDIS_CATEGORY_CALL:
	case ZYDIS_CATEGORY_COND_BR:
	case ZYDIS_CATEGORY_RET:
	case ZYDIS_CATEGORY_UNCOND_BR:
		return true;
	default:
		return false;
	}
}

/* Near ones in 64-bit code; Intel's and AMD's CPUs do not agree on what 66 does to them. */
static bool branch_ok(const struct x86_decoded *d)
{
	if (!is_branch(d))
		return true;
	return trial_mode == CODE_64 && d->insn.meta.branch_type != ZYDIS_BRANCH_TYPE_FAR &&
	       d->insn.mnemonic != ZYDIS_MNEMONIC_IRET &&
	       d->insn.mnemonic != ZYDIS_MNEMONIC_IRETD &&
	       d->insn.mnemonic != ZYDIS_MNEMONIC_IRETQ &&
	       !(d->insn.attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE);
}

/* Of the system instructions those that fault in user mode, whatever the CPU. */
static bool system_ok(const struct x86_decoded *d)
{
	return d->insn.meta.category != ZYDIS_CATEGORY_SYSTEM ||
	       d->insn.attributes & ZYDIS_ATTRIB_IS_PRIVILEGED;
}

static bool isa_ok(ZydisISASet isa)
{
	static const u16 ok[] = {
		ZYDIS_ISA_SET_ADOX_ADCX,     ZYDIS_ISA_SET_AES,		 ZYDIS_ISA_SET_AVX,
		ZYDIS_ISA_SET_AVX2,	     ZYDIS_ISA_SET_AVX2GATHER,	 ZYDIS_ISA_SET_AVXAES,
		ZYDIS_ISA_SET_BMI1,	     ZYDIS_ISA_SET_BMI2,	 ZYDIS_ISA_SET_CLFLUSHOPT,
		ZYDIS_ISA_SET_CLFSH,	     ZYDIS_ISA_SET_CMOV,	 ZYDIS_ISA_SET_CMPXCHG16B,
		ZYDIS_ISA_SET_F16C,	     ZYDIS_ISA_SET_FAT_NOP,	 ZYDIS_ISA_SET_FCMOV,
		ZYDIS_ISA_SET_FMA,	     ZYDIS_ISA_SET_I186,	 ZYDIS_ISA_SET_I286REAL,
		ZYDIS_ISA_SET_I286PROTECTED, ZYDIS_ISA_SET_I386,	 ZYDIS_ISA_SET_I486,
		ZYDIS_ISA_SET_I486REAL,	     ZYDIS_ISA_SET_I86,		 ZYDIS_ISA_SET_LAHF,
		ZYDIS_ISA_SET_LONGMODE,	     ZYDIS_ISA_SET_LZCNT,	 ZYDIS_ISA_SET_MOVBE,
		ZYDIS_ISA_SET_PAUSE,	     ZYDIS_ISA_SET_PCLMULQDQ,	 ZYDIS_ISA_SET_PENTIUMMMX,
		ZYDIS_ISA_SET_PENTIUMREAL,   ZYDIS_ISA_SET_POPCNT,	 ZYDIS_ISA_SET_PPRO,
		ZYDIS_ISA_SET_PREFETCH_NOP,  ZYDIS_ISA_SET_SHA,		 ZYDIS_ISA_SET_SSE,
		ZYDIS_ISA_SET_SSE2,	     ZYDIS_ISA_SET_SSE2MMX,	 ZYDIS_ISA_SET_SSE3,
		ZYDIS_ISA_SET_SSE3X87,	     ZYDIS_ISA_SET_SSE4,	 ZYDIS_ISA_SET_SSE42,
		ZYDIS_ISA_SET_SSEMXCSR,	     ZYDIS_ISA_SET_SSE_PREFETCH, ZYDIS_ISA_SET_SSSE3,
		ZYDIS_ISA_SET_SSSE3MMX,	     ZYDIS_ISA_SET_X87,
	};

	for (unsigned n = 0; n < ARRAY_SIZE(ok); n++)
		if (ok[n] == isa)
			return true;
	return false;
}

static bool mnemonic_ok(ZydisMnemonic m)
{
	switch (m) {
	case ZYDIS_MNEMONIC_CPUID: /* hidden by a hypervisor, or by us */
	case ZYDIS_MNEMONIC_RDTSC:
	case ZYDIS_MNEMONIC_RDPMC:
	case ZYDIS_MNEMONIC_XABORT:
	case ZYDIS_MNEMONIC_LAR: /* our GDT is not Linux's */
	case ZYDIS_MNEMONIC_LSL:
	case ZYDIS_MNEMONIC_VERR:
	case ZYDIS_MNEMONIC_VERW:
		return false;
	default:
		return true;
	}
}

static bool touches_segments(const struct x86_decoded *d)
{
	for (unsigned n = 0; n < d->insn.operand_count_visible; n++)
		if (d->ops[n].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    ZydisRegisterGetClass(d->ops[n].reg.value) == ZYDIS_REGCLASS_SEGMENT)
			return true;
	return false;
}

/* 0F 0D with registers: a NOP on Intel's CPUs, #UD on AMD's (Vol. 3 PREFETCHW). */
static bool differs_by_vendor(const struct x86_decoded *d)
{
	return d->insn.mnemonic == ZYDIS_MNEMONIC_NOP && d->insn.opcode == 0x0d;
}

static bool may_run(const struct x86_decoded *d)
{
	return system_ok(d) && branch_ok(d) && category_ok(d->insn.meta.category) &&
	       isa_ok(d->insn.meta.isa_set) && mnemonic_ok(d->insn.mnemonic) &&
	       !touches_segments(d) && !differs_by_vendor(d) &&
	       x86_feature_present(d, guest_features());
}

/* -- 32-bit code ------------------------------------------------------------------------------------------ */

static bool same_operand(const ZydisDecodedOperand *a, const ZydisDecodedOperand *b)
{
	if (a->type != b->type || a->visibility != b->visibility)
		return false;
	if (a->type == ZYDIS_OPERAND_TYPE_MEMORY)
		return a->size == b->size && a->mem.base == b->mem.base &&
		       a->mem.index == b->mem.index && a->mem.disp.value == b->mem.disp.value;
	if (a->type != ZYDIS_OPERAND_TYPE_REGISTER)
		return a->size == b->size;
	return (a->reg.value == b->reg.value && a->size == b->size) ||
	       ZydisRegisterGetClass(a->reg.value) == ZYDIS_REGCLASS_FLAGS;
}

/* Whether 64-bit code with an address-size prefix does what *d does in 32-bit code. */
static bool same_in_64(const struct x86_decoded *d, const u8 *bytes)
{
	struct x86_decoded wide;
	u8 b[16] = {0x67};

	memcpy(b + 1, bytes, 14);
	if (d->insn.address_width != 32 || !x86_decode(&wide, CODE_64, b, 15) ||
	    wide.insn.mnemonic != d->insn.mnemonic || wide.insn.length != d->insn.length + 1 ||
	    wide.insn.operand_count != d->insn.operand_count)
		return false;
	for (unsigned n = 0; n < d->insn.operand_count; n++)
		if (!same_operand(&d->ops[n], &wide.ops[n]))
			return false;
	return true;
}

static bool decode(struct x86_decoded *d, const u8 *b)
{
	return x86_decode(d, trial_mode, b, 15) && (trial_mode == CODE_64 || same_in_64(d, b));
}

/* -- enumeration --------------------------------------------------------------------------------------- */

static u64 mix(u64 h, u64 v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15ull;
	return h ^ h >> 29;
}

/* Two instructions are of one form when these agree. */
static u64 form_key(const struct form *f, const struct x86_decoded *d)
{
	const ZydisInstructionAttributes prefixes = ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE |
						    ZYDIS_ATTRIB_HAS_REPNE | ZYDIS_ATTRIB_HAS_LOCK;
	u64 h = mix(d->insn.mnemonic, f->vex | f->mem << 1 | f->map << 2 | f->opcode << 8);

	h = mix(h, d->insn.attributes & prefixes);
	h = mix(h, f->mem ? d->insn.address_width : 0);
	for (unsigned n = 0; n < d->insn.operand_count; n++) {
		h = mix(h, d->ops[n].type | d->ops[n].size << 8);
		h = mix(h, (u64)d->ops[n].encoding | d->ops[n].visibility << 8);
		if (d->ops[n].visibility != ZYDIS_OPERAND_VISIBILITY_EXPLICIT &&
		    d->ops[n].type == ZYDIS_OPERAND_TYPE_REGISTER)
			h = mix(h, d->ops[n].reg.value);
	}
	return h | 1;
}

static bool is_new(u64 key)
{
	unsigned n = key >> 16 & (TABLE_SIZE - 1);

	for (; seen[n]; n = (n + 1) & (TABLE_SIZE - 1))
		if (seen[n] == key)
			return false;
	seen[n] = key;
	return true;
}

static bool uses_encoding(const struct x86_decoded *d, ZydisOperandEncoding e)
{
	for (unsigned n = 0; n < d->insn.operand_count; n++)
		if (d->ops[n].encoding == e)
			return true;
	return false;
}

static unsigned put_opcode(const struct form *f, u8 rex, u8 vvvv, u8 *p)
{
	unsigned n = 0;

	if (f->vex) {
		p[n++] = 0xc4;
		p[n++] = (u8)((~rex & 7) << 5 | f->map);
		p[n++] = (u8)(f->w << 7 | (~vvvv & 15) << 3 | f->l << 2 | f->pp);
		p[n++] = f->opcode;
		return n;
	}
	for (unsigned k = 0; k < f->nprefix; k++)
		p[n++] = f->prefix[k];
	rex |= f->w << 3;
	if (rex)
		p[n++] = (u8)(0x40 | rex);
	if (f->map)
		p[n++] = 0x0f;
	if (f->map >= 2)
		p[n++] = f->map == 2 ? 0x38 : 0x3a;
	p[n++] = f->opcode;
	return n;
}

static void try_form(struct form *f)
{
	struct x86_decoded *d = &f->d;
	u8 b[16] = {0};
	unsigned n = put_opcode(f, 0, 0, b);

	b[n] = f->modrm;
	if ((f->modrm & 0xc7) == 5)
		return;
	if (!decode(d, b) || d->insn.opcode != f->opcode || !may_run(d))
		return; /* (another opcode: f->opcode is a prefix) */
	f->has_modrm = d->insn.attributes & ZYDIS_ATTRIB_HAS_MODRM;
	f->mem = f->has_modrm && f->modrm < 0xc0;
	if (nforms == FORMS_MAX || !is_new(form_key(f, d)))
		return;
	f->fixed_reg = !uses_encoding(d, ZYDIS_OPERAND_ENCODING_MODRM_REG);
	f->fixed_rm = !uses_encoding(d, ZYDIS_OPERAND_ENCODING_MODRM_RM);
	forms[nforms++] = *f;
}

/* Memory forms: [rax] and, for gathers, [rax + rax]. Register forms with every rm, for 0F 01 and x87. */
static void try_modrms(struct form *f)
{
	for (unsigned opcode = 0; opcode < 256; opcode++) {
		f->opcode = (u8)opcode;
		for (unsigned reg = 0; reg < 8; reg++) {
			f->modrm = (u8)(reg << 3 | 4);
			try_form(f);
			for (unsigned rm = 0; rm < 8; rm++) {
				f->modrm = (u8)(0xc0 | reg << 3 | rm);
				try_form(f);
			}
		}
	}
}

static void legacy_forms(void)
{
	static const struct {
		u8 n, b[2];
	} prefixes[] = {{0, {0}},	   {1, {0x66}},	      {1, {0xf3}}, {1, {0xf2}},
			{2, {0x66, 0xf2}}, {2, {0x66, 0xf3}}, {1, {0xf0}}, {2, {0x66, 0xf0}},
			{1, {0x67}},	   {2, {0x67, 0xf3}}};

	for (unsigned p = 0; p < ARRAY_SIZE(prefixes); p++)
		for (unsigned k = 0; k < 8; k++) {
			struct form f = {.nprefix = prefixes[p].n, .w = k & 1, .map = k >> 1};

			memcpy(f.prefix, prefixes[p].b, 2);
			try_modrms(&f);
		}
}

static void vex_forms(void)
{
	for (unsigned k = 0; k < 48; k++) {
		struct form f = {.vex = true,
				 .w = k & 1,
				 .l = k >> 1 & 1,
				 .pp = k >> 2 & 3,
				 .map = 1 + (k >> 4)};

		try_modrms(&f);
	}
}

struct form *forms_list(unsigned *count)
{
	nforms = 0;
	memset(seen, 0, sizeof(seen));
	forms = calloc(FORMS_MAX, sizeof(*forms));
	legacy_forms();
	vex_forms();
	*count = nforms;
	return forms;
}

/* -- instances -------------------------------------------------------------------------------------------- */

/* A ModRM byte with memory operand, its SIB and displacement. */
static unsigned put_memory(const struct form *f, u8 reg, u8 *p)
{
	unsigned n = 0, mod = (unsigned)random_below(3), rm = (unsigned)random_below(8);

	if (f->d.insn.attributes & ZYDIS_ATTRIB_HAS_SIB && f->vex &&
	    f->d.insn.meta.category == ZYDIS_CATEGORY_AVX2GATHER)
		rm = 4;
	p[n++] = (u8)(mod << 6 | reg << 3 | rm);
	if (rm == 4)
		p[n++] = (u8)random64();
	/* Displacement and immediate: what the decoder does not use is cut off. */
	for (unsigned k = 0; k < 4; k++)
		p[n++] = (u8)random64();
	if (mod == 2 || (mod == 0 && rm == 5)) {
		p[n - 1] = 0;
		p[n - 2] = 0;
	}
	return n;
}

static void put_modrm(const struct form *f, u8 *p)
{
	u8 reg = f->fixed_reg ? f->modrm >> 3 & 7 : random64() & 7;
	unsigned n = 1;

	if (f->mem)
		n = put_memory(f, reg, p);
	else
		p[0] = (u8)(0xc0 | reg << 3 | (f->fixed_rm ? f->modrm & 7 : random64() & 7));
	for (unsigned k = 0; k < 4; k++)
		p[n + k] = (u8)random64();
}

static void set_reach(struct x86_decoded *d, u8 *b)
{
	const s32 reach = BRANCH_REACH;

	if (is_branch(d) && d->insn.attributes & ZYDIS_ATTRIB_IS_RELATIVE)
		memcpy(b + d->insn.raw.imm[0].offset, &reach, d->insn.raw.imm[0].size / 8);
}

bool form_instance(const struct form *f, struct trial *t, struct x86_decoded *d)
{
	u8 b[32] = {0}, rex = trial_mode == CODE_64 ? random64() & 7 : 0;
	u8 vvvv = uses_encoding(&f->d, ZYDIS_OPERAND_ENCODING_NDSNDD) ? random64() & 15 : 0;
	unsigned n;

	if (trial_mode == CODE_32)
		vvvv &= 7;
	n = put_opcode(f, rex, vvvv, b);
	if (f->has_modrm)
		put_modrm(f, b + n);
	else
		for (unsigned k = 0; k < 8; k++)
			b[n + k] = (u8)random64();
	if (!decode(d, b) || form_key(f, d) != form_key(f, &f->d))
		return false;
	set_reach(d, b);
	memset(t->code, 0, sizeof(t->code));
	memcpy(t->code, b, d->insn.length);
	t->len = d->insn.length;
	return true;
}

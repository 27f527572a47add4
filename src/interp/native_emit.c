/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stubs: loads, the guest's instruction with its registers renamed, stores.
 *
 * On entry rdi = cpu, rsi = the decoded instruction, rdx = host memory of the memory operand. In
 * the stub explicit operand k lives in xmm(k+1), mm(k) or r(8+k); implicit ones (RAX, RCX, RDX,
 * XMM0) in themselves; the memory operand is [r11]; rax is scratch around the instruction.
 */
#include "interp/native.h"

#define STUB_MAX  256
#define MEM_REG	  11
#define MAX_NAMED 4 /* explicit register operands */

/* Host code under construction. */
struct code {
	u8 b[STUB_MAX];
	unsigned n;
};

static void put(struct code *c, unsigned n, const void *bytes)
{
	assert(c->n + n <= STUB_MAX);
	memcpy(c->b + c->n, bytes, n);
	c->n += n;
}

#define PUT(c, ...)                                                                                \
	do {                                                                                       \
		const u8 put_bytes[] = {__VA_ARGS__};                                              \
		put((c), sizeof(put_bytes), put_bytes);                                            \
	} while (0)

static void put32(struct code *c, size_t v)
{
	u32 v32 = (u32)v;

	put(c, 4, &v32);
}

/* -- what the instruction's operands are ----------------------------------------------------------
 */

enum kind {
	KIND_NONE, /* not a register that a stub can hold */
	KIND_GPR,
	KIND_MMX,
	KIND_XMM,
	KIND_YMM
};

static enum kind reg_kind(ZydisRegister reg)
{
	switch (ZydisRegisterGetClass(reg)) {
	case ZYDIS_REGCLASS_GPR8:
	case ZYDIS_REGCLASS_GPR16:
	case ZYDIS_REGCLASS_GPR32:
	case ZYDIS_REGCLASS_GPR64:
		return KIND_GPR;
	case ZYDIS_REGCLASS_MMX:
		return KIND_MMX;
	case ZYDIS_REGCLASS_XMM:
		return KIND_XMM;
	case ZYDIS_REGCLASS_YMM:
		return KIND_YMM;
	default:
		return KIND_NONE;
	}
}

/* The slot value in struct insn: byte offset into cpu->gpr, or twice the vector register's number.
 */
static u8 reg_slot(ZydisRegister reg)
{
	int n;

	if (ZydisRegisterGetClass(reg) != ZYDIS_REGCLASS_GPR8)
		return (u8)(ZydisRegisterGetId(reg) * (reg_kind(reg) == KIND_GPR ? 8 : 2));
	n = reg - ZYDIS_REGISTER_AL;
	if (n < 4)
		return (u8)(8 * n);
	return n < 8 ? (u8)(8 * (n - 4) + 1) : (u8)(8 * (n - 4));
}

static const u8 slot_offset[MAX_NAMED] = {
	offsetof(struct insn, dst),
	offsetof(struct insn, src),
	offsetof(struct insn, reg),
	offsetof(struct insn, pad) + NATIVE_OP3,
};

struct named {
	enum kind kind;
	u8 host; /* register number in the stub */
	bool load, store;
};

struct form {
	const struct x86_decoded *d;
	bool vex, w, l, has_mem, xmm, ymm, mmx;
	unsigned nnamed;
	struct named named[MAX_NAMED];
	/* Host register numbers for the fields of the encoding. */
	u8 reg, rm, vvvv, is4;
};

static bool op_named(const ZydisDecodedOperand *op)
{
	return op->type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       op->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT;
}

static bool form_place(struct form *f, const ZydisDecodedOperand *op, u8 host)
{
	switch (op->encoding) {
	case ZYDIS_OPERAND_ENCODING_MODRM_REG:
		f->reg = host;
		return true;
	case ZYDIS_OPERAND_ENCODING_MODRM_RM:
		f->rm = host;
		return true;
	case ZYDIS_OPERAND_ENCODING_NDSNDD:
		f->vvvv = host;
		return true;
	case ZYDIS_OPERAND_ENCODING_IS4:
		f->is4 = host;
		return true;
	default:
		return false;
	}
}

static u8 host_number(enum kind kind, unsigned k)
{
	if (kind == KIND_GPR)
		return (u8)(8 + k);
	return kind == KIND_MMX ? (u8)k : (u8)(k + 1);
}

static bool form_name(struct form *f, const ZydisDecodedOperand *op, struct insn *i)
{
	unsigned k = f->nnamed;
	enum kind kind = reg_kind(op->reg.value);

	if (k == MAX_NAMED || kind == KIND_NONE)
		return false;
	*((u8 *)i + slot_offset[k]) = reg_slot(op->reg.value);
	f->named[k].kind = kind;
	f->named[k].host = host_number(kind, k);
	/* Legacy forms may keep a part of what they only write. */
	f->named[k].load =
		!f->vex || kind == KIND_GPR || op->actions & ZYDIS_OPERAND_ACTION_MASK_READ;
	f->named[k].store = op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
	f->mmx |= kind == KIND_MMX;
	f->xmm |= kind == KIND_XMM || kind == KIND_YMM;
	f->ymm |= kind == KIND_YMM;
	f->nnamed++;
	return form_place(f, op, f->named[k].host);
}

static bool form_operand(struct form *f, const ZydisDecodedOperand *op, struct insn *i)
{
	if (op_named(op))
		return form_name(f, op, i);
	if (op->type != ZYDIS_OPERAND_TYPE_MEMORY)
		return true;
	if (op->mem.type != ZYDIS_MEMOP_TYPE_MEM ||
	    op->visibility != ZYDIS_OPERAND_VISIBILITY_EXPLICIT)
		return false;
	f->has_mem = true;
	f->rm = MEM_REG;
	return true;
}

static bool form_init(struct form *f, const struct x86_decoded *d, struct insn *i)
{
	memset(f, 0, sizeof(*f));
	f->d = d;
	f->vex = d->insn.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;
	f->w = f->vex ? d->insn.raw.vex.W : d->insn.raw.rex.W;
	f->l = f->vex && d->insn.raw.vex.L;
	f->reg = d->insn.raw.modrm.reg; /* an opcode extension unless an operand claims it */
	for (unsigned n = 0; n < d->insn.operand_count; n++)
		if (!form_operand(f, &d->ops[n], i))
			return false;
	return true;
}

/* -- the instruction itself
 * ------------------------------------------------------------------------- */

/* F2 or F3, whichever comes last, and 66. */
static void legacy_prefixes(const struct x86_decoded *d, u8 *f2f3, bool *opsize)
{
	*f2f3 = 0;
	*opsize = false;
	for (unsigned n = 0; n < d->insn.raw.prefix_count; n++) {
		u8 v = d->insn.raw.prefixes[n].value;

		if (v == 0xf2 || v == 0xf3)
			*f2f3 = v;
		*opsize |= v == 0x66;
	}
}

/* 66 sets the operand size instead of choosing the instruction. */
static bool opsize_scales(ZydisMnemonic m)
{
	return m == ZYDIS_MNEMONIC_POPCNT || m == ZYDIS_MNEMONIC_LZCNT ||
	       m == ZYDIS_MNEMONIC_TZCNT || m == ZYDIS_MNEMONIC_CRC32 ||
	       m == ZYDIS_MNEMONIC_MOVBE || m == ZYDIS_MNEMONIC_RDRAND ||
	       m == ZYDIS_MNEMONIC_RDSEED;
}

static bool any_operand_is_16(const struct x86_decoded *d)
{
	for (unsigned n = 0; n < d->insn.operand_count_visible; n++)
		if (d->ops[n].type != ZYDIS_OPERAND_TYPE_IMMEDIATE && d->ops[n].size == 16)
			return true;
	return false;
}

static void put_opcode_map(struct code *c, ZydisOpcodeMap map)
{
	if (map != ZYDIS_OPCODE_MAP_DEFAULT)
		PUT(c, 0x0f);
	if (map == ZYDIS_OPCODE_MAP_0F38)
		PUT(c, 0x38);
	if (map == ZYDIS_OPCODE_MAP_0F3A)
		PUT(c, 0x3a);
}

static void put_modrm_imm(struct code *c, const struct form *f)
{
	const struct x86_decoded *d = f->d;

	if (d->insn.attributes & ZYDIS_ATTRIB_HAS_MODRM)
		PUT(c, (u8)((f->has_mem ? 0 : 0xc0) | (f->reg & 7) << 3 | (f->rm & 7)));
	if (f->is4)
		PUT(c, (u8)(f->is4 << 4 | (d->bytes[d->insn.length - 1] & 15)));
	else if (d->insn.raw.imm[0].size)
		put(c, d->insn.raw.imm[0].size / 8, d->bytes + d->insn.raw.imm[0].offset);
}

static void put_legacy(struct code *c, const struct form *f)
{
	const struct x86_decoded *d = f->d;
	u8 f2f3, rex = (u8)(0x40 | f->w << 3 | (f->reg >> 3) << 2 | f->rm >> 3);
	bool opsize;

	legacy_prefixes(d, &f2f3, &opsize);
	if (opsize_scales(d->insn.mnemonic) ? any_operand_is_16(d) : opsize)
		PUT(c, 0x66);
	if (f2f3)
		PUT(c, f2f3);
	if (rex != 0x40)
		PUT(c, rex);
	put_opcode_map(c, d->insn.opcode_map);
	PUT(c, d->insn.opcode);
	put_modrm_imm(c, f);
}

static void put_vex(struct code *c, const struct form *f)
{
	const ZydisDecodedInstruction *n = &f->d->insn;

	PUT(c, 0xc4, (u8)((f->reg < 8) << 7 | 1 << 6 | (f->rm < 8) << 5 | n->raw.vex.m_mmmm),
	    (u8)(f->w << 7 | (~f->vvvv & 15) << 3 | f->l << 2 | n->raw.vex.pp), n->opcode);
	put_modrm_imm(c, f);
}

/* Flags and the like have the mode's size, and Zydis has one for RAX in 32-bit code (PCMPESTRI). */
static bool op_size_counts(const ZydisDecodedOperand *op, enum code_mode mode)
{
	return op->type != ZYDIS_OPERAND_TYPE_REGISTER ||
	       op->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT ||
	       (mode == CODE_64 && reg_kind(op->reg.value) != KIND_NONE);
}

/* Whether two operands are of one kind and size. */
static bool op_same(const ZydisDecodedOperand *a, const ZydisDecodedOperand *b, enum code_mode mode)
{
	if (a->type != b->type || a->actions != b->actions)
		return false;
	if (a->size != b->size && op_size_counts(a, mode))
		return false;
	return a->type != ZYDIS_OPERAND_TYPE_REGISTER ||
	       reg_kind(a->reg.value) == reg_kind(b->reg.value);
}

/* The bytes from `start` are the guest's instruction indeed, as 64-bit code. */
static bool insn_same(const struct x86_decoded *d, const struct code *c, unsigned start)
{
	struct x86_decoded h;

	if (!x86_decode(&h, CODE_64, c->b + start, c->n - start) || h.insn.length != c->n - start ||
	    h.insn.mnemonic != d->insn.mnemonic || h.insn.operand_count != d->insn.operand_count)
		return false;
	for (unsigned n = 0; n < d->insn.operand_count; n++)
		if (!op_same(&h.ops[n], &d->ops[n], d->mode))
			return false;
	return true;
}

static bool put_insn_as(struct code *c, const struct form *f, unsigned start)
{
	c->n = start;
	if (f->vex)
		put_vex(c, f);
	else
		put_legacy(c, f);
	return insn_same(f->d, c, start);
}

/*
 * W and L are 0 wherever that makes no difference, so that equal instructions share a stub. (Outside
 * 64-bit mode some VEX forms ignore a W that 64-bit mode does not.)
 */
static bool put_insn(struct code *c, struct form *f)
{
	const struct form whole = *f;
	const unsigned start = c->n;

	for (unsigned keep = 0; keep < 4; keep++) {
		f->w = whole.w && keep & 1;
		f->l = whole.l && keep & 2;
		if (put_insn_as(c, f, start))
			return true;
	}
	return false;
}

/* -- loads and stores
 * ------------------------------------------------------------------------------- */

#define OFF_XMM	  (offsetof(struct cpu, fpu) + 160)
#define OFF_YMMH  (offsetof(struct cpu, fpu) + offsetof(struct fpu, ymm_hi))
#define OFF_ST	  (offsetof(struct cpu, fpu) + 32)
#define OFF_CC	  offsetof(struct cpu, cc)
#define SIB_GPR	  0x07 /* [rdi + rax] */
#define SIB_VEC	  0xc7 /* [rdi + rax * 8] */
#define ACC_LOAD  0
#define ACC_STORE 1

/* movzx eax, byte [rsi + slot] */
static void put_slot(struct code *c, unsigned k)
{
	PUT(c, 0x0f, 0xb6, 0x46, slot_offset[k]);
}

/* (v)movups between xmm`host` and [modrm, sib], upper halves by v(insert|extract)f128. */
static void put_xmm(struct code *c, const struct form *f, u8 host, bool implicit, unsigned store)
{
	u8 modrm = (u8)(0x80 | host << 3 | (implicit ? 7 : 4));
	size_t off;

	if (f->vex)
		PUT(c, 0xc5, 0xf8, (u8)(0x10 + store), modrm);
	else
		PUT(c, 0x0f, (u8)(0x10 + store), modrm);
	if (!implicit)
		PUT(c, SIB_VEC);
	put32(c, OFF_XMM);
	/* A load's upper half matters only to 256-bit forms; every VEX form writes all of its
	 * result. */
	if (!f->vex || (store == ACC_LOAD && !f->ymm))
		return;
	off = OFF_YMMH;
	PUT(c, 0xc4, 0xe3, (u8)(store ? 0x7d : ((~host & 15) << 3 | 5)), (u8)(0x18 + store), modrm);
	if (!implicit)
		PUT(c, SIB_VEC);
	put32(c, off);
	PUT(c, 1);
}

static void put_mmx(struct code *c, u8 host, unsigned store)
{
	PUT(c, 0x0f, store ? 0x7f : 0x6f, (u8)(0x84 | host << 3), SIB_VEC);
	put32(c, OFF_ST);
	if (!store)
		return;
	/* mov word [...], 0xffff: the exponent of an MMX register (SDM Vol. 1 9.2) */
	PUT(c, 0x66, 0xc7, 0x84, SIB_VEC);
	put32(c, OFF_ST + 8);
	PUT(c, 0xff, 0xff);
}

static void put_named(struct code *c, const struct form *f, unsigned k, unsigned store)
{
	const struct named *n = &f->named[k];

	put_slot(c, k);
	if (n->kind == KIND_GPR) {
		PUT(c, 0x4c, store ? 0x89 : 0x8b, (u8)(0x84 | (n->host & 7) << 3), SIB_GPR);
		put32(c, offsetof(struct cpu, gpr));
	} else if (n->kind == KIND_MMX) {
		put_mmx(c, n->host, store);
	} else {
		put_xmm(c, f, n->host, false, store);
	}
}

static void put_implicit(struct code *c, const struct form *f, const ZydisDecodedOperand *op,
			 unsigned store)
{
	enum kind kind = reg_kind(op->reg.value);
	u8 id = (u8)ZydisRegisterGetId(op->reg.value);

	if (kind == KIND_GPR) {
		PUT(c, 0x48, store ? 0x89 : 0x8b, (u8)(0x87 | id << 3));
		put32(c, offsetof(struct cpu, gpr) + 8 * id);
	} else if (kind != KIND_NONE) {
		assert(id == 0);
		put_xmm(c, f, 0, true, store);
	}
}

static void put_implicits(struct code *c, const struct form *f, unsigned store)
{
	u8 action = store ? ZYDIS_OPERAND_ACTION_MASK_WRITE : ZYDIS_OPERAND_ACTION_MASK_READ;

	for (unsigned n = 0; n < f->d->insn.operand_count; n++) {
		const ZydisDecodedOperand *op = &f->d->ops[n];

		if (op->type == ZYDIS_OPERAND_TYPE_REGISTER && !op_named(op) &&
		    op->actions & action)
			put_implicit(c, f, op, store);
	}
}

static bool touches_flags(const struct x86_decoded *d)
{
	const ZydisAccessedFlags *a = d->insn.cpu_flags;

	return a && (a->tested | a->modified | a->set_0 | a->set_1 | a->undefined);
}

static void put_flags_load(struct code *c, const struct x86_decoded *d)
{
	if (!touches_flags(d))
		return;
	PUT(c, 0x0f, 0xb7, 0x87); /* movzx eax, word [rdi + cc] */
	put32(c, OFF_CC);
	PUT(c, 0x04, 0x7f, 0x9e); /* add al, 0x7f: OF; sahf */
}

static void put_flags_store(struct code *c, const struct x86_decoded *d)
{
	if (!touches_flags(d))
		return;
	PUT(c, 0x9f, 0x0f, 0x90, 0xc0); /* lahf; seto al */
	PUT(c, 0x66, 0x89, 0x87);	/* mov [rdi + cc], ax */
	put32(c, OFF_CC);
}

static void put_loads(struct code *c, const struct form *f)
{
	if (f->has_mem)
		PUT(c, 0x49, 0x89, 0xd3); /* mov r11, rdx */
	put_flags_load(c, f->d);
	for (unsigned k = 0; k < f->nnamed; k++)
		if (f->named[k].load)
			put_named(c, f, k, ACC_LOAD);
	put_implicits(c, f, ACC_LOAD);
}

static void put_stores(struct code *c, const struct form *f)
{
	put_implicits(c, f, ACC_STORE);
	/* From the last to the first: of two equal destinations the first wins (MULX). */
	for (unsigned k = f->nnamed; k-- > 0;)
		if (f->named[k].store)
			put_named(c, f, k, ACC_STORE);
	put_flags_store(c, f->d);
	if (f->mmx)
		PUT(c, 0x0f, 0x77); /* emms */
	if (f->vex && f->xmm)
		PUT(c, 0xc5, 0xf8, 0x77); /* vzeroupper */
	PUT(c, 0xc3);
}

native_fn native_emit_vector(const struct x86_decoded *d, struct insn *i)
{
	struct code c = {.n = 0};
	struct form f;

	if (!form_init(&f, d, i))
		return NULL;
	put_loads(&c, &f);
	if (!put_insn(&c, &f))
		return NULL;
	put_stores(&c, &f);
	return native_pool_get(c.b, c.n);
}

/* -- x87 ------------------------------------------------------------------------------------------
 */

/*
 * The whole of the guest's x87 state is loaded, with its control word: an unmasked exception only
 * makes itself felt at the next waiting instruction, and none follows before FNINIT.
 */
native_fn native_emit_x87(const struct x86_decoded *d)
{
	struct code c = {.n = 0};
	u8 modrm = (u8)(d->insn.raw.modrm.mod << 6 | d->insn.raw.modrm.reg << 3 |
			d->insn.raw.modrm.rm);

	if (d->insn.raw.modrm.mod != 3)
		modrm = (u8)(d->insn.raw.modrm.reg << 3 | 2); /* [rdx] */
	PUT(&c, 0xd9, 0x7c, 0x24, 0xf8);		      /* fnstcw [rsp - 8] */
	PUT(&c, 0x0f, 0xae, 0x5c, 0x24, 0xfc);		      /* stmxcsr [rsp - 4] */
	PUT(&c, 0x48, 0x0f, 0xae, 0x8f);		      /* fxrstor64 [rdi + fpu] */
	put32(&c, offsetof(struct cpu, fpu));
	put_flags_load(&c, d);
	PUT(&c, d->insn.opcode, modrm);
	put_flags_store(&c, d);		 /* FCOMI and its kin */
	PUT(&c, 0x48, 0x0f, 0xae, 0x87); /* fxsave64 [rdi + fpu] */
	put32(&c, offsetof(struct cpu, fpu));
	PUT(&c, 0xdb, 0xe3);		       /* fninit */
	PUT(&c, 0xd9, 0x6c, 0x24, 0xf8);       /* fldcw [rsp - 8] */
	PUT(&c, 0x0f, 0xae, 0x54, 0x24, 0xfc); /* ldmxcsr [rsp - 4] */
	PUT(&c, 0xc3);
	return native_pool_get(c.b, c.n);
}

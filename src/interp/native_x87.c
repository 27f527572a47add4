/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * x87. Arithmetic runs on the host with the guest's whole x87 state loaded; control instructions
 * work on the saved image, whose data registers are in stack order: slot n is ST(n).
 */
#include "interp/native.h"

#define FCW_INIT     0x037f
#define FCW_WRITABLE 0x1f3fu
#define FCW_FIXED    0x0040u
#define FSW_PE	     0x0020u

/* -- the image
 * -------------------------------------------------------------------------------------- */

/* Changes TOP; what each physical register holds stays. */
static void x87_set_top(struct fpu *f, unsigned top)
{
	unsigned turn = (top - FPU_TOP(FPU_FSW(f))) & 7;
	u8 st[8][16];

	if (!turn)
		return;
	memcpy(st, FPU_ST(f, 0), sizeof(st));
	for (unsigned n = 0; n < 8; n++)
		memcpy(FPU_ST(f, n), st[(n + turn) & 7], 16);
	FPU_FSW(f) = (u16)((FPU_FSW(f) & ~FSW_TOP) | top << 11);
}

void native_mmx_enter(struct fpu *f)
{
	x87_set_top(f, 0);
	FPU_FTW(f) = 0xff;
}

/* ES and B follow from the exceptions and their masks (SDM Vol. 1 8.1.3.3). */
static void x87_update_summary(struct fpu *f)
{
	FPU_FSW(f) &= (u16)~FSW_BUSY_BITS;
	if (native_x87_pending(f))
		FPU_FSW(f) |= FSW_BUSY_BITS;
}

static void x87_set_fcw(struct fpu *f, u16 v)
{
	FPU_FCW(f) = (u16)((v & FCW_WRITABLE) | FCW_FIXED);
	x87_update_summary(f);
}

static void x87_init(struct fpu *f)
{
	x87_set_top(f, 0);
	FPU_FCW(f) = FCW_INIT;
	FPU_FSW(f) = 0;
	FPU_FTW(f) = 0;
	FPU_FOP(f) = 0;
	FPU_FIP(f) = 0;
	FPU_FDP(f) = 0;
}

/* The two-bit tag of a register that is not empty (SDM Vol. 1 8.1.7). */
static unsigned x87_tag(const u8 *st)
{
	u64 significand;
	u16 exponent;

	memcpy(&significand, st, 8);
	memcpy(&exponent, st + 8, 2);
	exponent &= 0x7fff;
	if (!exponent && !significand)
		return 1;
	return exponent && exponent != 0x7fff && significand >> 63 ? 0 : 2;
}

static u16 x87_full_tags(struct fpu *f)
{
	unsigned top = FPU_TOP(FPU_FSW(f)), tags = 0;

	for (unsigned reg = 0; reg < 8; reg++) {
		unsigned tag = FPU_FTW(f) >> reg & 1 ? x87_tag(FPU_ST(f, (reg - top) & 7)) : 3;

		tags |= tag << 2 * reg;
	}
	return (u16)tags;
}

static u8 x87_short_tags(u16 tags)
{
	unsigned ftw = 0;

	for (unsigned reg = 0; reg < 8; reg++)
		ftw |= ((tags >> 2 * reg & 3) != 3) << reg;
	return (u8)ftw;
}

/* -- memory
 * ----------------------------------------------------------------------------------------- */

#define CHUNK 64 /* the most that mmu_read and mmu_write take */

static enum outcome x87_load(struct cpu *cpu, const struct insn *i, void *dst, unsigned size)
{
	enum outcome o;
	u64 gva;

	o = insn_linear(cpu, i, size, false, &gva);
	if (o != OUTCOME_OK)
		return insn_stop(cpu, i, o);
	for (unsigned n = 0; n < size; n += CHUNK) {
		o = mmu_read(cpu, gva + n, (u8 *)dst + n, MIN(size - n, CHUNK), MMU_READ);
		if (o != OUTCOME_OK)
			return insn_stop_access(cpu, i, o);
	}
	return OUTCOME_OK;
}

static enum outcome x87_store(struct cpu *cpu, const struct insn *i, const void *src, unsigned size)
{
	enum outcome o;
	u64 gva;

	o = insn_linear(cpu, i, size, true, &gva);
	if (o != OUTCOME_OK)
		return insn_stop(cpu, i, o);
	o = mmu_check(cpu, gva, size, MMU_WRITE);
	for (unsigned n = 0; n < size && o == OUTCOME_OK; n += CHUNK)
		o = mmu_write(cpu, gva + n, (const u8 *)src + n, MIN(size - n, CHUNK), MMU_WRITE);
	return o == OUTCOME_OK ? o : insn_stop_access(cpu, i, o);
}

/* -- the environment in memory (SDM Vol. 1 8.1.10): four layouts of seven words or dwords
 * ----------- */

#define ENV_WORDS 7

/* i->size is 2 or 4; in real and virtual-8086 mode pointers are linear and split over two words. */
static bool env_linear(const struct cpu *cpu)
{
	return !cpu_protected(cpu) || cpu_v86(cpu);
}

static void env_pack(const u32 *w, unsigned size, u8 *out)
{
	for (unsigned n = 0; n < ENV_WORDS; n++)
		memcpy(out + n * size, &w[n], size);
}

static void env_unpack(u32 *w, unsigned size, const u8 *in)
{
	for (unsigned n = 0; n < ENV_WORDS; n++) {
		w[n] = 0;
		memcpy(&w[n], in + n * size, size);
	}
}

static void env_get(struct cpu *cpu, u8 size, u8 *out)
{
	struct fpu *f = &cpu->fpu;
	u32 high = 0xffff0000, fip = (u32)FPU_FIP(f), fdp = (u32)FPU_FDP(f);
	u32 w[ENV_WORDS] = {high | FPU_FCW(f), high | FPU_FSW(f), high | x87_full_tags(f)};

	if (env_linear(cpu)) {
		w[3] = high | (u16)fip;
		w[4] = (fip >> 16) << 12 | FPU_FOP(f);
		w[5] = high | (u16)fdp;
		w[6] = (fdp >> 16) << 12;
	} else {
		/* FCS and FDS read as 0, as on CPUs that deprecate them (CPUID.7.EBX bit 13). */
		w[3] = fip;
		w[4] = (u32)FPU_FOP(f) << 16;
		w[5] = fdp;
		w[6] = high;
	}
	env_pack(w, size, out);
}

static void env_set(struct cpu *cpu, u8 size, const u8 *in)
{
	struct fpu *f = &cpu->fpu;
	u32 w[ENV_WORDS];

	env_unpack(w, size, in);
	x87_set_top(f, FPU_TOP(w[1]));
	FPU_FSW(f) = (u16)w[1];
	FPU_FTW(f) = x87_short_tags((u16)w[2]);
	if (env_linear(cpu)) {
		FPU_FIP(f) = (u16)w[3] | (w[4] >> 12) << 16;
		FPU_FOP(f) = w[4] & 0x7ff;
		FPU_FDP(f) = (u16)w[5] | (w[6] >> 12) << 16;
	} else {
		FPU_FIP(f) = w[3];
		FPU_FOP(f) = size == 4 ? w[4] >> 16 & 0x7ff : 0;
		FPU_FDP(f) = w[5];
	}
	x87_set_fcw(f, (u16)w[0]);
}

/* -- control instructions
 * --------------------------------------------------------------------------- */

/* The FN... forms do not wait for pending exceptions. */
static enum outcome check_no_wait(struct cpu *cpu, const struct insn *i)
{
	return cpu->cr0 & (CR0_EM | CR0_TS) ? native_fault(cpu, i, VEC_NM) : OUTCOME_OK;
}

#define TRY(expr)                                                                                  \
	do {                                                                                       \
		enum outcome try_o = (expr);                                                       \
		if (unlikely(try_o != OUTCOME_OK))                                                 \
			return try_o;                                                              \
	} while (0)

/* WAIT looks at CR0.MP, not at EM (SDM Vol. 3A 2.5). */
static enum outcome do_fwait(struct cpu *cpu, const struct insn *i)
{
	if ((cpu->cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS))
		return native_fault(cpu, i, VEC_NM);
	if (cpu->cr0 & CR0_NE && native_x87_pending(&cpu->fpu))
		return native_fault(cpu, i, VEC_MF);
	NEXT(cpu, i);
}

/* FNOP, and what the 8087 and 80287 needed: FENI, FDISI, FSETPM. */
static enum outcome do_fnop(struct cpu *cpu, const struct insn *i)
{
	TRY(native_check(cpu, i));
	NEXT(cpu, i);
}

static enum outcome do_old_nop(struct cpu *cpu, const struct insn *i)
{
	TRY(check_no_wait(cpu, i));
	NEXT(cpu, i);
}

static enum outcome do_fninit(struct cpu *cpu, const struct insn *i)
{
	TRY(check_no_wait(cpu, i));
	x87_init(&cpu->fpu);
	NEXT(cpu, i);
}

static enum outcome do_fnclex(struct cpu *cpu, const struct insn *i)
{
	TRY(check_no_wait(cpu, i));
	FPU_FSW(&cpu->fpu) &= 0x7f00;
	NEXT(cpu, i);
}

static enum outcome run_fldcw(struct cpu *cpu, const struct insn *i)
{
	u16 v;

	TRY(native_check(cpu, i));
	TRY(x87_load(cpu, i, &v, 2));
	x87_set_fcw(&cpu->fpu, v);
	return OUTCOME_OK;
}
SLOW_HANDLER(do_fldcw, run_fldcw)

static enum outcome do_fnstcw(struct cpu *cpu, const struct insn *i)
{
	TRY(check_no_wait(cpu, i));
	TRY(x87_store(cpu, i, &FPU_FCW(&cpu->fpu), 2));
	NEXT(cpu, i);
}

static enum outcome do_fnstsw(struct cpu *cpu, const struct insn *i)
{
	TRY(check_no_wait(cpu, i));
	if (i->flags & INSN_MEM)
		TRY(x87_store(cpu, i, &FPU_FSW(&cpu->fpu), 2));
	else
		gpr_write(cpu, 8 * REG_RAX, 2, FPU_FSW(&cpu->fpu));
	NEXT(cpu, i);
}

static enum outcome run_fldenv(struct cpu *cpu, const struct insn *i)
{
	u8 env[ENV_WORDS * 4];

	TRY(native_check(cpu, i));
	TRY(x87_load(cpu, i, env, ENV_WORDS * i->size));
	env_set(cpu, i->size, env);
	return OUTCOME_OK;
}
SLOW_HANDLER(do_fldenv, run_fldenv)

static enum outcome run_fnstenv(struct cpu *cpu, const struct insn *i)
{
	u8 env[ENV_WORDS * 4];

	TRY(check_no_wait(cpu, i));
	env_get(cpu, i->size, env);
	TRY(x87_store(cpu, i, env, ENV_WORDS * i->size));
	x87_set_fcw(&cpu->fpu, FPU_FCW(&cpu->fpu) | FSW_FLAGS);
	return OUTCOME_OK;
}
SLOW_HANDLER(do_fnstenv, run_fnstenv)

static enum outcome run_frstor(struct cpu *cpu, const struct insn *i)
{
	unsigned env_size = ENV_WORDS * i->size;
	u8 image[ENV_WORDS * 4 + 80];

	TRY(native_check(cpu, i));
	TRY(x87_load(cpu, i, image, env_size + 80));
	env_set(cpu, i->size, image);
	for (unsigned n = 0; n < 8; n++)
		memcpy(FPU_ST(&cpu->fpu, n), image + env_size + 10 * n, 10);
	return OUTCOME_OK;
}
SLOW_HANDLER(do_frstor, run_frstor)

static enum outcome run_fnsave(struct cpu *cpu, const struct insn *i)
{
	unsigned env_size = ENV_WORDS * i->size;
	u8 image[ENV_WORDS * 4 + 80];

	TRY(check_no_wait(cpu, i));
	env_get(cpu, i->size, image);
	for (unsigned n = 0; n < 8; n++)
		memcpy(image + env_size + 10 * n, FPU_ST(&cpu->fpu, n), 10);
	TRY(x87_store(cpu, i, image, env_size + 80));
	x87_init(&cpu->fpu);
	return OUTCOME_OK;
}
SLOW_HANDLER(do_fnsave, run_fnsave)

/* -- arithmetic
 * ------------------------------------------------------------------------------------- */

/*
 * Runs the stub and sets what the host's own run says wrongly: the pointers to the last instruction
 * and operand (SDM Vol. 1 8.1.8).
 */
static void x87_run(struct cpu *cpu, const struct insn *i, void *mem)
{
	struct fpu *f = &cpu->fpu;
	u64 fdp = i->flags & INSN_MEM ? insn_ea(cpu, i) : FPU_FDP(f);

	FPU_MXCSR(f) &= MXCSR_VALID; /* others make FXRSTOR fault */
	((native_fn)i->aux)(cpu, i, mem);
	memcpy(&FPU_FOP(f), &i->pad[NATIVE_FOP], 2);
	FPU_FIP(f) = insn_rip(cpu, i);
	FPU_FDP(f) = fdp;
}

static enum outcome do_x87_reg(struct cpu *cpu, const struct insn *i)
{
	TRY(native_check(cpu, i));
	x87_run(cpu, i, NULL);
	NEXT(cpu, i);
}

static enum outcome run_x87_read(struct cpu *cpu, const struct insn *i)
{
	u8 operand[16];

	TRY(native_check(cpu, i));
	TRY(x87_load(cpu, i, operand, i->mem_size));
	x87_run(cpu, i, operand);
	return OUTCOME_OK;
}
SLOW_HANDLER(do_x87_read, run_x87_read)

/* An unmasked exception other than precision prevents the store (SDM Vol. 1 8.5). */
static bool x87_stored(const struct fpu *f)
{
	return !(FPU_FSW(f) & ~FPU_FCW(f) & FSW_FLAGS & ~FSW_PE);
}

static enum outcome run_x87_write(struct cpu *cpu, const struct insn *i)
{
	struct fpu before;
	u8 operand[16];
	enum outcome o;
	u64 gva;

	TRY(native_check(cpu, i));
	o = insn_linear(cpu, i, i->mem_size, true, &gva);
	if (o != OUTCOME_OK)
		return insn_stop(cpu, i, o);
	o = mmu_check(cpu, gva, i->mem_size, MMU_WRITE);
	if (o != OUTCOME_OK)
		return insn_stop_access(cpu, i, o);
	before = cpu->fpu;
	x87_run(cpu, i, operand);
	if (x87_stored(&cpu->fpu)) {
		o = mmu_write(cpu, gva, operand, i->mem_size, MMU_WRITE);
		if (o != OUTCOME_OK) {
			cpu->fpu = before;
			return insn_stop_access(cpu, i, o);
		}
	}
	return OUTCOME_OK;
}
SLOW_HANDLER(do_x87_write, run_x87_write)

/* -- selection
 * -------------------------------------------------------------------------------------- */

static insn_fn control_handler(ZydisMnemonic m)
{
	switch (m) {
	case ZYDIS_MNEMONIC_FWAIT:
		return do_fwait;
	case ZYDIS_MNEMONIC_FNOP:
		return do_fnop;
	case ZYDIS_MNEMONIC_FENI8087_NOP:
	case ZYDIS_MNEMONIC_FDISI8087_NOP:
	case ZYDIS_MNEMONIC_FSETPM287_NOP:
		return do_old_nop;
	case ZYDIS_MNEMONIC_FNINIT:
		return do_fninit;
	case ZYDIS_MNEMONIC_FNCLEX:
		return do_fnclex;
	case ZYDIS_MNEMONIC_FLDCW:
		return do_fldcw;
	case ZYDIS_MNEMONIC_FNSTCW:
		return do_fnstcw;
	case ZYDIS_MNEMONIC_FNSTSW:
		return do_fnstsw;
	case ZYDIS_MNEMONIC_FLDENV:
		return do_fldenv;
	case ZYDIS_MNEMONIC_FNSTENV:
		return do_fnstenv;
	case ZYDIS_MNEMONIC_FRSTOR:
		return do_frstor;
	case ZYDIS_MNEMONIC_FNSAVE:
		return do_fnsave;
	default:
		return NULL;
	}
}

static insn_fn memory_handler(const struct x86_decoded *d, struct insn *i)
{
	for (unsigned n = 0; n < d->insn.operand_count_visible; n++) {
		const ZydisDecodedOperand *op = &d->ops[n];

		if (op->type != ZYDIS_OPERAND_TYPE_MEMORY)
			continue;
		i->mem_size = (u8)(op->size / 8);
		return op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE ? do_x87_write : do_x87_read;
	}
	return do_x87_reg;
}

/* By opcode: the ISA sets of FISTTP and FCOMI are those of the time when they came. */
static bool is_x87(const struct x86_decoded *d)
{
	return d->insn.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
	       d->insn.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT &&
	       ((d->insn.opcode & 0xf8) == 0xd8 || d->insn.mnemonic == ZYDIS_MNEMONIC_FWAIT);
}

bool native_select_x87(const struct x86_decoded *d, struct insn *i)
{
	u16 fop = (u16)((d->insn.opcode & 7) << 8 | d->insn.raw.modrm.mod << 6 |
			d->insn.raw.modrm.reg << 3 | d->insn.raw.modrm.rm);

	if (!is_x87(d))
		return false;
	i->sub = NATIVE_X87;
	i->size = d->insn.operand_width == 16 ? 2 : 4;
	memcpy(&i->pad[NATIVE_FOP], &fop, 2);
	i->fn = control_handler(d->insn.mnemonic);
	if (i->fn)
		return true;
	i->fn = memory_handler(d, i);
	i->aux = (const void *)native_emit_x87(d);
	return i->aux;
}

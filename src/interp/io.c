/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IN, OUT, INS, OUTS (SDM Vol. 1 chapter 19). How a port access reaches user space and comes back is said
 * at struct cpu_io.
 */
#include <string.h>

#include "interp/block.h"
#include "interp/handler.h"
#include "interp/insn_info.h"
#include "interp/repeat.h"
#include "sys/sys.h"
#include "virt/virt.h"

/* insn.sub, beside those of repeat.h: the port is an immediate. */
#define IO_IMM 8u

/* -- permission and intercepts ------------------------------------------------------------------- */

#define TSS_IOMAP_OFFSET 0x66

static bool tss_is_32(const struct cpu *cpu)
{
	unsigned type = cpu->seg[SEG_TR].attr & SEG_ATTR_TYPE;

	return !cpu->seg[SEG_TR].unusable && (type == 9 || type == 11);
}

/* The bits of the ports in the TSS's bitmap must be 0 (SDM Vol. 1 19.5.2). */
static enum outcome bitmap_allows(struct cpu *cpu, u16 port, unsigned size)
{
	const struct segment *tr = &cpu->seg[SEG_TR];
	u16 base = 0, map = 0;
	u32 offset;
	enum outcome o;

	if (!tss_is_32(cpu) || tr->limit < TSS_IOMAP_OFFSET + 1)
		return cpu_fault_code(cpu, VEC_GP, 0);
	o = mmu_read(cpu, tr->base + TSS_IOMAP_OFFSET, &base, 2, MMU_READ | MMU_SYSTEM);
	if (o)
		return o;
	offset = base + port / 8u;
	if (offset + 1 > tr->limit)
		return cpu_fault_code(cpu, VEC_GP, 0);
	o = mmu_read(cpu, tr->base + offset, &map, 2, MMU_READ | MMU_SYSTEM);
	if (o)
		return o;
	return map >> port % 8 & ((1u << size) - 1) ? cpu_fault_code(cpu, VEC_GP, 0) : OUTCOME_OK;
}

static enum outcome port_allowed(struct cpu *cpu, u16 port, unsigned size)
{
	unsigned iopl = (unsigned)bits(cpu->rflags_sys, 13, 12);

	if (!cpu_protected(cpu) || (cpu->cpl <= iopl && !cpu_v86(cpu)))
		return OUTCOME_OK;
	return bitmap_allows(cpu, port, size);
}

/* An I/O breakpoint traps after the access (SDM Vol. 3B 17.2.4); CR4.DE makes them possible. */
static void port_breakpoints(struct cpu *cpu, u16 port, unsigned size)
{
	static const u8 lens[4] = {1, 2, 8, 4};

	if (likely(!(cpu->dr[7] & 0xff)) || !(cpu->cr4 & CR4_DE))
		return;
	for (unsigned n = 0; n < 4; n++) {
		u64 len = lens[cpu->dr[7] >> (18 + 4 * n) & 3], start = ALIGN_DOWN(cpu->dr[n], len);

		if ((cpu->dr[7] >> (2 * n) & 3) && (cpu->dr[7] >> (16 + 4 * n) & 3) == 2 &&
		    port < start + len && start < (u64)port + size) {
			cpu->pending_db |= BIT(n);
			cpu_event_set(cpu, EVENT_STEP);
		}
	}
}

static u16 port_of(const struct cpu *cpu, const struct insn *i)
{
	return i->sub & IO_IMM ? (u16)(i->imm & 0xff) : (u16)cpu->gpr[REG_RDX];
}

static enum outcome io_ask(struct cpu *cpu, const struct insn *i, bool in, bool string, u64 gla)
{
	u16 port = port_of(cpu, i);
	enum outcome o = port_allowed(cpu, port, i->size);
	u32 info = info_address_size(i) << 7 | (u32)i->seg << 15;

	if (o || likely(!(cpu->intercepts & ICPT_IO)))
		return o;
	return virt_icpt_io(cpu, port, i->size, in, string, i->sub & REPEAT, i->sub & IO_IMM, gla,
			    i->len, string ? info : 0);
}

/* -- to and from user space ---------------------------------------------------------------------- */

static void user_access(struct cpu *cpu, const struct insn *i, bool write, u32 count)
{
	cpu->io.cur = (struct io_access){.addr = port_of(cpu, i),
					 .size = i->size,
					 .write = write,
					 .pio = true,
					 .count = count};
	cpu->user.kind = USER_IO;
}

/* true: data[] holds what this very access asked for. */
static bool user_answered(struct cpu *cpu, const struct insn *i)
{
	struct cpu_io *io = &cpu->io;

	return io->answered && io->cur.pio && !io->cur.write && io->cur.size == i->size &&
	       io->cur.addr == port_of(cpu, i);
}

static void user_done(struct cpu *cpu)
{
	cpu->io.answered = false;
	cpu->io.in_flight = false;
}

/* -- IN and OUT ---------------------------------------------------------------------------------- */

static enum outcome body_in(struct cpu *cpu, const struct insn *i)
{
	enum outcome o = io_ask(cpu, i, true, false, 0);
	u32 v = 0;

	if (o)
		return insn_stop(cpu, i, o);
	if (user_answered(cpu, i)) {
		memcpy(&v, cpu->io.data, i->size);
		user_done(cpu);
	} else if (!cpu->ops->pio_read(cpu, port_of(cpu, i), i->size, &v)) {
		user_access(cpu, i, false, 1);
		cpu->io.in_flight = true;
		return insn_stop(cpu, i, OUTCOME_USEREXIT);
	}
	port_breakpoints(cpu, port_of(cpu, i), i->size);
	gpr_write(cpu, 8 * REG_RAX, i->size, v);
	return OUTCOME_OK;
}

static enum outcome op_in(struct cpu *cpu, const struct insn *i)
{
	return insn_slow(cpu, i, body_in);
}

static enum outcome body_out(struct cpu *cpu, const struct insn *i)
{
	u32 v = (u32)(cpu->gpr[REG_RAX] & MASK(8 * i->size - 1, 0));
	enum outcome o = io_ask(cpu, i, false, false, 0);

	if (o)
		return insn_stop(cpu, i, o);
	port_breakpoints(cpu, port_of(cpu, i), i->size);
	if (cpu->ops->pio_write(cpu, port_of(cpu, i), i->size, v))
		return OUTCOME_OK;
	user_access(cpu, i, true, 1);
	memcpy(cpu->io.data, &v, i->size);
	cpu->icount += i->pos;
	insn_sync_next(cpu, i);
	return OUTCOME_USEREXIT;
}

static enum outcome op_out(struct cpu *cpu, const struct insn *i)
{
	return insn_slow(cpu, i, body_out);
}

/* -- INS and OUTS -------------------------------------------------------------------------------- */

/* How many elements one userexit may carry: upward, inside the page at gva and the segment. */
static u64 batch(struct cpu *cpu, const struct insn *i, unsigned reg, u64 gva)
{
	u64 n = MIN(repeat_count(cpu, i), (u64)IO_DATA_MAX / i->size);

	n = MIN(n, repeat_room(cpu, i, reg, gva));
	if (n < 2 || cpu->rflags_sys & (RFLAGS_DF | RFLAGS_TF) ||
	    repeat_linear(cpu, i, reg, (u32)n * i->size, reg == REG_RDI, &gva))
		return 1;
	return n;
}

static void iterations_done(struct cpu *cpu, const struct insn *i, u64 n)
{
	bool in = i->reg == REG_RDI;

	port_breakpoints(cpu, port_of(cpu, i), i->size);
	repeat_advance(cpu, i, !in, in, n);
}

/* INS: the answer of user space goes to memory, whose writability has been checked before it was asked. */
static enum outcome ins_take(struct cpu *cpu, const struct insn *i, u64 gva)
{
	u64 n = MIN(cpu->io.cur.count, repeat_count(cpu, i));
	enum outcome o = OUTCOME_OK;

	for (u64 k = 0; k < n && !o; k++)
		o = insn_store_at(cpu, i, gva + k * i->size, cpu->io.data + k * i->size, i->size);
	user_done(cpu);
	if (!o)
		iterations_done(cpu, i, n);
	return o;
}

static enum outcome ins_step(struct cpu *cpu, const struct insn *i, bool *more)
{
	u64 gva = 0, n;
	u32 v = 0;
	enum outcome o = repeat_linear(cpu, i, REG_RDI, i->size, true, &gva);

	if (!o)
		o = io_ask(cpu, i, true, true, gva);
	if (!o && user_answered(cpu, i))
		return ins_take(cpu, i, gva);
	if (!o)
		o = mmu_check(cpu, gva, i->size, MMU_WRITE);
	if (o)
		return insn_stop(cpu, i, o);
	if (cpu->ops->pio_read(cpu, port_of(cpu, i), i->size, &v)) {
		o = insn_store_at(cpu, i, gva, &v, i->size);
		if (!o)
			iterations_done(cpu, i, 1);
		return o;
	}
	n = batch(cpu, i, REG_RDI, gva);
	user_access(cpu, i, false, (u32)n);
	cpu->io.in_flight = true;
	return insn_stop(cpu, i, OUTCOME_USEREXIT);
}

/* Gathers up to n elements; the first one's faults count, later ones end the batch. */
static enum outcome outs_gather(struct cpu *cpu, const struct insn *i, u64 gva, u64 *n)
{
	for (u64 k = 0; k < *n; k++) {
		enum outcome o = insn_load_at(cpu, i, gva + k * i->size, cpu->io.data + k * i->size,
					      i->size);

		if (o && k == 0)
			return o;
		if (o)
			*n = k;
	}
	return OUTCOME_OK;
}

static enum outcome outs_step(struct cpu *cpu, const struct insn *i, bool *more)
{
	u64 gva = 0, n;
	u32 v = 0;
	enum outcome o = repeat_linear(cpu, i, REG_RSI, i->size, false, &gva);

	if (!o)
		o = io_ask(cpu, i, false, true, gva);
	if (o)
		return insn_stop(cpu, i, o);
	o = insn_load_at(cpu, i, gva, &v, i->size);
	if (o)
		return o;
	if (cpu->ops->pio_write(cpu, port_of(cpu, i), i->size, v)) {
		iterations_done(cpu, i, 1);
		return OUTCOME_OK;
	}
	n = batch(cpu, i, REG_RSI, gva);
	o = outs_gather(cpu, i, gva, &n);
	if (o)
		return o;
	user_access(cpu, i, true, (u32)n);
	iterations_done(cpu, i, n);
	if (i->sub & REPEAT && repeat_count(cpu, i)) {
		cpu->icount += i->pos - 1;
		return insn_stop(cpu, i, OUTCOME_USEREXIT);
	}
	cpu->icount += i->pos;
	insn_sync_next(cpu, i);
	return OUTCOME_USEREXIT;
}

static enum outcome op_ins(struct cpu *cpu, const struct insn *i)
{
	return repeat_run(cpu, i, ins_step);
}

static enum outcome op_outs(struct cpu *cpu, const struct insn *i)
{
	return repeat_run(cpu, i, outs_step);
}

/* -- selection ----------------------------------------------------------------------------------- */

static bool select_port(const struct x86_decoded *d, struct insn *i, unsigned port_op,
			unsigned data_op, insn_fn fn)
{
	i->size = d->ops[data_op].size / 8;
	if (d->ops[port_op].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		i->sub = IO_IMM;
	i->fn = fn;
	return true;
}

static bool select_in(const struct x86_decoded *d, struct insn *i)
{
	return select_port(d, i, 1, 0, op_in);
}

static bool select_out(const struct x86_decoded *d, struct insn *i)
{
	return select_port(d, i, 0, 1, op_out);
}

/* The segment of the memory operand stands in i->seg already. */
static bool select_string_io(const struct x86_decoded *d, struct insn *i, unsigned size, insn_fn fn)
{
	i->size = (u8)size;
	i->reg = fn == op_ins ? REG_RDI : REG_RSI;
	i->sub = repeat_prefix(d) ? REPEAT : 0;
	i->fn = fn;
	return true;
}

#define SELECT(name, fn, size)                                                                     \
	static bool select_##name(const struct x86_decoded *d, struct insn *i)                     \
	{                                                                                          \
		return select_string_io(d, i, size, fn);                                           \
	}

SELECT(insb, op_ins, 1)
SELECT(insw, op_ins, 2)
SELECT(insd, op_ins, 4)
SELECT(outsb, op_outs, 1)
SELECT(outsw, op_outs, 2)
SELECT(outsd, op_outs, 4)

const struct interp_select interp_io[] = {
	{ZYDIS_MNEMONIC_IN, select_in},
	{ZYDIS_MNEMONIC_OUT, select_out},
	{ZYDIS_MNEMONIC_INSB, select_insb},
	{ZYDIS_MNEMONIC_INSW, select_insw},
	{ZYDIS_MNEMONIC_INSD, select_insd},
	{ZYDIS_MNEMONIC_OUTSB, select_outsb},
	{ZYDIS_MNEMONIC_OUTSW, select_outsw},
	{ZYDIS_MNEMONIC_OUTSD, select_outsd},
	{0, NULL},
};

/* SPDX-License-Identifier: BSD-2-Clause */
/* The VMX instructions (SDM Vol. 3C chapter 30): operands here, meaning in virt/. */
#include "interp/handler.h"
#include "interp/insn_info.h"
#include "virt/virt.h"

/* Operands are 64 bits wide in 64-bit mode and 32 elsewhere. */
static unsigned operand_size(const struct cpu *cpu)
{
	return cpu->mode == CODE_64 ? 8 : 4;
}

static u64 gpr_operand(const struct cpu *cpu, u8 off)
{
	u64 v = GPR(cpu, off, u64);

	return cpu->mode == CODE_64 ? v : (u32)v;
}

typedef enum outcome (*vmx_pointer_fn)(struct cpu *cpu, u64 gva, u32 len, u32 info, u64 disp);

/* VMXON, VMCLEAR, VMPTRLD, VMPTRST: one memory operand of 8 bytes. */
static enum outcome pointer_insn(struct cpu *cpu, const struct insn *i, vmx_pointer_fn fn)
{
	u64 gva = 0;
	enum outcome o = insn_linear(cpu, i, 8, fn == virt_vmptrst, &gva);

	if (!o)
		o = fn(cpu, gva, i->len, info_memory(i), info_displacement(cpu, i));
	return o ? insn_stop(cpu, i, o) : o;
}

#define POINTER_OP(name)                                                                           \
	static enum outcome body_##name(struct cpu *cpu, const struct insn *i)                     \
	{                                                                                          \
		return pointer_insn(cpu, i, virt_##name);                                          \
	}                                                                                          \
	static enum outcome op_##name(struct cpu *cpu, const struct insn *i)                       \
	{                                                                                          \
		return insn_slow(cpu, i, body_##name);                                             \
	}

POINTER_OP(vmxon)
POINTER_OP(vmclear)
POINTER_OP(vmptrld)
POINTER_OP(vmptrst)

/* INVEPT, INVVPID: a type in a register and a descriptor in memory. */
typedef enum outcome (*vmx_inv_fn)(struct cpu *cpu, u64 type, u64 gva, u32 len, u32 info, u64 disp);

static enum outcome inv_insn(struct cpu *cpu, const struct insn *i, vmx_inv_fn fn)
{
	u32 info = info_memory(i) | info_gpr(i->dst) << 28;
	u64 gva = 0;
	enum outcome o = insn_linear(cpu, i, 16, false, &gva);

	if (!o)
		o = fn(cpu, gpr_operand(cpu, i->dst), gva, i->len, info, info_displacement(cpu, i));
	return o ? insn_stop(cpu, i, o) : o;
}

static enum outcome body_invept(struct cpu *cpu, const struct insn *i)
{
	return inv_insn(cpu, i, virt_invept);
}

static enum outcome op_invept(struct cpu *cpu, const struct insn *i)
{
	return insn_slow(cpu, i, body_invept);
}

static enum outcome body_invvpid(struct cpu *cpu, const struct insn *i)
{
	return inv_insn(cpu, i, virt_invvpid);
}

static enum outcome op_invvpid(struct cpu *cpu, const struct insn *i)
{
	return insn_slow(cpu, i, body_invvpid);
}

/* VMREAD r/m, r: the field's encoding is the second operand. */
static enum outcome body_vmread(struct cpu *cpu, const struct insn *i)
{
	u32 info = info_operand(i, i->dst) | info_gpr(i->src) << 28;
	unsigned size = operand_size(cpu);
	bool fail = false;
	u64 value = 0;
	enum outcome o = virt_vmread(cpu, gpr_operand(cpu, i->src), &value, i->len, info,
				     info_displacement(cpu, i), &fail);

	if (o)
		return insn_stop(cpu, i, o);
	if (fail)
		return OUTCOME_OK;
	if (i->flags & INSN_MEM)
		return insn_store(cpu, i, &value, size);
	gpr_write(cpu, i->dst, size, value);
	return OUTCOME_OK;
}

static enum outcome op_vmread(struct cpu *cpu, const struct insn *i)
{
	return insn_slow(cpu, i, body_vmread);
}

/* VMWRITE r, r/m: the field's encoding is the first operand. */
static enum outcome body_vmwrite(struct cpu *cpu, const struct insn *i)
{
	u32 info = info_operand(i, i->src) | info_gpr(i->dst) << 28;
	u64 value = 0;
	enum outcome o;

	if (i->flags & INSN_MEM) {
		o = insn_load(cpu, i, &value, operand_size(cpu));
		if (o)
			return o;
	} else {
		value = gpr_operand(cpu, i->src);
	}
	o = virt_vmwrite(cpu, gpr_operand(cpu, i->dst), value, i->len, info,
			 info_displacement(cpu, i));
	return o ? insn_stop(cpu, i, o) : o;
}

static enum outcome op_vmwrite(struct cpu *cpu, const struct insn *i)
{
	return insn_slow(cpu, i, body_vmwrite);
}

static enum outcome body_vmxoff(struct cpu *cpu, const struct insn *i)
{
	enum outcome o = virt_vmxoff(cpu, i->len);

	return o ? insn_stop(cpu, i, o) : o;
}

static enum outcome op_vmxoff(struct cpu *cpu, const struct insn *i)
{
	return insn_slow(cpu, i, body_vmxoff);
}

/* After a successful entry rip is L2's. */
static enum outcome vm_enter(struct cpu *cpu, const struct insn *i, bool resume)
{
	enum outcome o;

	insn_sync(cpu, i);
	cpu->icount += i->pos;
	o = virt_vmlaunch(cpu, resume, insn_rip_next(cpu, i), i->len);
	if (o == OUTCOME_OK)
		insn_sync_next(cpu, i);
	return o;
}

static enum outcome op_vmlaunch(struct cpu *cpu, const struct insn *i)
{
	return vm_enter(cpu, i, false);
}

static enum outcome op_vmresume(struct cpu *cpu, const struct insn *i)
{
	return vm_enter(cpu, i, true);
}

/* Outside guest mode VMCALL and VMMCALL are KVM's hypercalls, whichever vendor the guest sees. */
static enum outcome body_vmcall(struct cpu *cpu, const struct insn *i)
{
	enum outcome o = cpu->guest_mode ? virt_vmcall(cpu, i->len) : cpu->ops->hypercall(cpu);

	return o ? insn_stop(cpu, i, o) : o;
}

static enum outcome op_vmcall(struct cpu *cpu, const struct insn *i)
{
	return insn_slow(cpu, i, body_vmcall);
}

static enum outcome body_vmfunc(struct cpu *cpu, const struct insn *i)
{
	enum outcome o = virt_vmfunc(cpu, i->len);

	return o ? insn_stop(cpu, i, o) : o;
}

static enum outcome op_vmfunc(struct cpu *cpu, const struct insn *i)
{
	return insn_slow(cpu, i, body_vmfunc);
}

#define SELECT(name)                                                                               \
	static bool select_##name(const struct x86_decoded *d, struct insn *i)                     \
	{                                                                                          \
		i->fn = op_##name;                                                                 \
		return true;                                                                       \
	}

SELECT(vmxon)
SELECT(vmxoff)
SELECT(vmclear)
SELECT(vmptrld)
SELECT(vmptrst)
SELECT(vmread)
SELECT(vmwrite)
SELECT(vmlaunch)
SELECT(vmresume)
SELECT(vmcall)
SELECT(vmfunc)
SELECT(invept)
SELECT(invvpid)

const struct interp_select interp_vmx[] = {
	{ZYDIS_MNEMONIC_VMXON, select_vmxon},
	{ZYDIS_MNEMONIC_VMXOFF, select_vmxoff},
	{ZYDIS_MNEMONIC_VMCLEAR, select_vmclear},
	{ZYDIS_MNEMONIC_VMPTRLD, select_vmptrld},
	{ZYDIS_MNEMONIC_VMPTRST, select_vmptrst},
	{ZYDIS_MNEMONIC_VMREAD, select_vmread},
	{ZYDIS_MNEMONIC_VMWRITE, select_vmwrite},
	{ZYDIS_MNEMONIC_VMLAUNCH, select_vmlaunch},
	{ZYDIS_MNEMONIC_VMRESUME, select_vmresume},
	{ZYDIS_MNEMONIC_VMCALL, select_vmcall},
	{ZYDIS_MNEMONIC_VMMCALL, select_vmcall},
	{ZYDIS_MNEMONIC_VMFUNC, select_vmfunc},
	{ZYDIS_MNEMONIC_INVEPT, select_invept},
	{ZYDIS_MNEMONIC_INVVPID, select_invvpid},
	{0, NULL},
};

/* SPDX-License-Identifier: BSD-2-Clause */
/* MSRs without effects: their storage, their reserved bits, and who may write them. */
#include <string.h>

#include "cpu/features.h"
#include "cpu/msr.h"

#define ARCH_CAP_NO_BUGS                                                                           \
	(BIT(0) /* RDCL_NO */ | BIT(1) /* IBRS_ALL */ | BIT(3) /* SKIP_L1DFL_VMENTRY */ |          \
	 BIT(4) /* SSB_NO */ | BIT(5) /* MDS_NO */ | BIT(6) /* PSCHANGE_MC_NO */ |                 \
	 BIT(8) /* TAA_NO */ | BIT(13) /* SBDR_SSDP_NO */ | BIT(14) /* FBSDP_NO */ |               \
	 BIT(15) /* PSDP_NO */ | BIT(20) /* BHI_NO */ | BIT(24) /* PBRSB_NO */ |                   \
	 BIT(26) /* GDS_NO */ | BIT(27) /* RFDS_NO */ | BIT(62) /* ITS_NO */)

#define MISC_ENABLE_BTS_UNAVAIL	  BIT(11)
#define MISC_ENABLE_PEBS_UNAVAIL  BIT(12)
#define PLATFORM_INFO_CPUID_FAULT BIT(31)
#define MCG_CTL_P		  BIT(8)
#define MCG_BANKS		  32
#define MTRR_VAR		  8
#define PAT_RESET		  0x0007040600070406ull
#define UCODE_INTEL		  0x100000000ull
#define UCODE_AMD		  0x01000065ull
#define DE_CFG_LFENCE_SERIALIZE	  BIT(1)
#define HWCR_IGNORED		  (BIT(3) | BIT(6) | BIT(8)) /* TlbCacheDis, FFDIS, IGNNE */
#define HWCR_ALLOWED		  (BIT(18) | BIT(24))	     /* McStatusWrEn, TscFreqSel */

const u32 cpu_msr_list[] = {
	MSR_SYSENTER_CS,
	MSR_SYSENTER_ESP,
	MSR_SYSENTER_EIP,
	MSR_STAR,
	MSR_CSTAR,
	MSR_KERNEL_GS_BASE,
	MSR_SFMASK,
	MSR_LSTAR,
	MSR_TSC,
	MSR_PAT,
	MSR_FEATURE_CONTROL,
	MSR_TSC_AUX,
	MSR_SPEC_CTRL,
	MSR_DEBUGCTL,
	MSR_XSS,
	MSR_KVM_SYSTEM_TIME,
	MSR_KVM_WALL_CLOCK,
	MSR_KVM_SYSTEM_TIME_NEW,
	MSR_KVM_WALL_CLOCK_NEW,
	MSR_KVM_EOI_EN,
	MSR_TSC_ADJUST,
	MSR_TSC_DEADLINE,
	MSR_ARCH_CAPABILITIES,
	MSR_MISC_ENABLE,
	MSR_MCG_STATUS,
	MSR_MCG_CTL,
	MSR_SMBASE,
	0x34 /* SMI_COUNT */,
	MSR_PLATFORM_INFO,
	MSR_MISC_FEATURES,
	0x1fc /* POWER_CTL */,
	MSR_UCODE_REV,
	0xc0010015 /* HWCR */,
	0x480,
	0x481,
	0x482,
	0x483,
	0x484,
	0x485,
	0x486,
	0x487,
	0x488,
	0x489,
	0x48a,
	0x48b,
	0x48c,
	0x48d,
	0x48e,
	0x48f,
	0x490,
};
const u32 cpu_msr_list_len = ARRAY_SIZE(cpu_msr_list);

const u32 cpu_msr_feature_list[] = {
	0xc0011029 /* DE_CFG */,
	MSR_UCODE_REV,
	MSR_ARCH_CAPABILITIES,
	0x480,
	0x481,
	0x482,
	0x483,
	0x484,
	0x485,
	0x486,
	0x487,
	0x488,
	0x489,
	0x48a,
	0x48b,
	0x48c,
	0x48d,
	0x48e,
	0x48f,
	0x490,
};
const u32 cpu_msr_feature_list_len = ARRAY_SIZE(cpu_msr_feature_list);

u64 cpu_arch_capabilities(void)
{
	return ARCH_CAP_NO_BUGS;
}

bool cpu_msr_feature(u32 index, u64 *value)
{
	switch (index) {
	case 0xc0011029:
		*value = DE_CFG_LFENCE_SERIALIZE;
		return true;
	case MSR_UCODE_REV:
		*value = UCODE_INTEL;
		return true;
	case MSR_ARCH_CAPABILITIES:
		*value = ARCH_CAP_NO_BUGS;
		return true;
	default:
		return false;
	}
}

void cpu_msr_reset(struct cpu *cpu)
{
	struct cpu_msrs *m = &cpu->msr;
	u64 feature_control = m->feature_control;

	memset(m, 0, sizeof(*m));
	m->feature_control = feature_control;
	m->pat = PAT_RESET;
	m->misc_enable = MISC_ENABLE_BTS_UNAVAIL | MISC_ENABLE_PEBS_UNAVAIL;
	m->platform_info = PLATFORM_INFO_CPUID_FAULT;
	m->arch_capabilities = ARCH_CAP_NO_BUGS;
	m->smbase = 0x30000;
	m->ucode_rev = cpu->vendor_amd ? UCODE_AMD : UCODE_INTEL;
	m->de_cfg = DE_CFG_LFENCE_SERIALIZE;
	m->mcg_cap = MCG_BANKS;
	for (unsigned bank = 0; bank < MCG_BANKS; bank++)
		m->mc[4 * bank] = ~0ull;
}

/* -- memory types (SDM Vol. 3A 11.11 and 11.12) ------------------------------------------------ */

static bool mtrr_type_valid(u8 type)
{
	return type < 8 && (1u << type & 0x73); /* UC WC WT WP WB */
}

static bool pat_valid(u64 value)
{
	for (unsigned n = 0; n < 8; n++, value >>= 8)
		if ((value & 0xff) > 7 || !(1u << (value & 7) & 0xf3)) /* and UC- */
			return false;
	return true;
}

static bool mtrr_fixed_valid(u64 value)
{
	for (unsigned n = 0; n < 8; n++, value >>= 8)
		if (!mtrr_type_valid(value & 0xff))
			return false;
	return true;
}

/* Storage of a fixed-range MTRR, or NULL. */
static u64 *mtrr_fixed(struct cpu *cpu, u32 index)
{
	if (index == MSR_MTRR_FIX64K)
		return &cpu->msr.mtrr_fixed[0];
	if (index == 0x258 || index == 0x259)
		return &cpu->msr.mtrr_fixed[1 + index - 0x258];
	if (index >= 0x268 && index <= 0x26f)
		return &cpu->msr.mtrr_fixed[3 + index - 0x268];
	return NULL;
}

static enum msr_result mtrr_var_write(struct cpu *cpu, unsigned n, u64 value)
{
	u64 reserved = ~MASK(cpu->phys_bits - 1, 0);

	reserved |= n & 1 ? 0x7ff : 0xf00;
	if (value & reserved || (!(n & 1) && !mtrr_type_valid(value & 0xff)))
		return MSR_BAD;
	cpu->msr.mtrr_var[n] = value;
	return MSR_OK;
}

static enum msr_result mtrr_write(struct cpu *cpu, u32 index, u64 value)
{
	u64 *fixed = mtrr_fixed(cpu, index);

	if (fixed) {
		if (!mtrr_fixed_valid(value))
			return MSR_BAD;
		*fixed = value;
		return MSR_OK;
	}
	if (index >= MSR_MTRR_PHYSBASE0 && index < MSR_MTRR_PHYSBASE0 + 2 * MTRR_VAR)
		return mtrr_var_write(cpu, index - MSR_MTRR_PHYSBASE0, value);
	if (index == MSR_MTRR_DEF_TYPE) {
		if (value & ~0xcffull || !mtrr_type_valid(value & 0xff))
			return MSR_BAD;
		cpu->msr.mtrr_def_type = value;
		return MSR_OK;
	}
	return MSR_UNKNOWN;
}

static enum msr_result mtrr_read(struct cpu *cpu, u32 index, u64 *value)
{
	u64 *fixed = mtrr_fixed(cpu, index);

	if (fixed)
		*value = *fixed;
	else if (index >= MSR_MTRR_PHYSBASE0 && index < MSR_MTRR_PHYSBASE0 + 2 * MTRR_VAR)
		*value = cpu->msr.mtrr_var[index - MSR_MTRR_PHYSBASE0];
	else if (index == MSR_MTRR_DEF_TYPE)
		*value = cpu->msr.mtrr_def_type;
	else if (index == MSR_MTRRCAP)
		*value = 0x500 | MTRR_VAR; /* WC, fixed ranges */
	else
		return MSR_UNKNOWN;
	return MSR_OK;
}

/* -- machine check (SDM Vol. 3B 15.3) ---------------------------------------------------------- */

static unsigned mc_words(const struct cpu *cpu)
{
	return 4 * MIN((unsigned)(cpu->msr.mcg_cap & 0xff), (unsigned)MCG_BANKS);
}

static enum msr_result mc_write(struct cpu *cpu, u32 index, u64 value, bool host)
{
	unsigned n = index - MSR_MC0_CTL;

	/* CTL takes all or nothing; some guests leave bit 10 or the low bits out. */
	if (n % 4 == 0 && value && (value | BIT(10) | 1) != ~0ull)
		return MSR_BAD;
	/* STATUS is only ever cleared, except with AMD's HWCR.McStatusWrEn. */
	if (n % 4 == 1 && value && !host && !(cpu->msr.hwcr & BIT(18)))
		return MSR_BAD;
	cpu->msr.mc[n] = value;
	return MSR_OK;
}

static enum msr_result mce_write(struct cpu *cpu, u32 index, u64 value, bool host)
{
	if (index >= MSR_MC0_CTL && index < MSR_MC0_CTL + mc_words(cpu))
		return mc_write(cpu, index, value, host);
	if (index == MSR_MCG_STATUS) {
		cpu->msr.mcg_status = value;
		return MSR_OK;
	}
	if (index == MSR_MCG_CTL) {
		if (!(cpu->msr.mcg_cap & MCG_CTL_P) && (value || !host))
			return MSR_BAD;
		if (value && value != ~0ull)
			return MSR_BAD;
		cpu->msr.mcg_ctl = value;
		return MSR_OK;
	}
	return MSR_UNKNOWN;
}

static enum msr_result mce_read(struct cpu *cpu, u32 index, u64 *value, bool host)
{
	if (index >= MSR_MC0_CTL && index < MSR_MC0_CTL + mc_words(cpu))
		*value = cpu->msr.mc[index - MSR_MC0_CTL];
	else if (index == MSR_MCG_CAP)
		*value = cpu->msr.mcg_cap;
	else if (index == MSR_MCG_STATUS)
		*value = cpu->msr.mcg_status;
	else if (index == MSR_MCG_CTL && (host || cpu->msr.mcg_cap & MCG_CTL_P))
		*value = cpu->msr.mcg_ctl;
	else
		return index == MSR_MCG_CTL ? MSR_BAD : MSR_UNKNOWN;
	return MSR_OK;
}

/* -- tables ------------------------------------------------------------------------------------ */

#define RW	 0
#define GUEST_RO 1 /* only user space may write */
#define IGNORE	 2 /* a guest's write is accepted and dropped */

/* MSRs of one word in struct cpu_msrs. `needs`: a feature without which a guest gets #GP; 0: none.
 */
static const struct stored_msr {
	u32 index;
	u16 offset;
	u8 rule;
	u64 allowed;
	int needs;
} stored[] = {
#define STORED(index, field, rule, allowed, needs)                                                 \
	{                                                                                          \
		index, offsetof(struct cpu_msrs, field), rule, allowed, needs                      \
	}
	STORED(MSR_ARCH_CAPABILITIES, arch_capabilities, GUEST_RO, ~0ull, FEATURE_ARCH_CAP),
	STORED(MSR_MISC_ENABLE, misc_enable, RW, ~0ull, 0),
	STORED(MSR_PLATFORM_INFO, platform_info, GUEST_RO, PLATFORM_INFO_CPUID_FAULT, 0),
	STORED(MSR_UCODE_REV, ucode_rev, IGNORE, ~0ull, 0),
	STORED(MSR_SMBASE, smbase, GUEST_RO, 0xffffffff, 0),
	STORED(0x34, smi_count, GUEST_RO, ~0ull, 0),
	STORED(0x1fc, power_ctl, RW, ~0ull, 0),
	STORED(0xc0011029, de_cfg, RW, DE_CFG_LFENCE_SERIALIZE, 0),
	STORED(0xc0010140, osvw[0], GUEST_RO, ~0ull, 0),
	STORED(0xc0010141, osvw[1], GUEST_RO, ~0ull, 0),
	STORED(MSR_VM_HSAVE_PA, vm_hsave_pa, RW, ~0ull, FEATURE_SVM),
#undef STORED
};

/* MSRs that read as a constant. Writes: 0 is accepted (`zero`), all are dropped (`drop`), or #GP.
 */
static const struct constant_msr {
	u32 first, last;
	u64 value;
	enum { NONE, ZERO, DROP } write;
} constants[] = {
	{0x00, 0x01, 0, NONE}, /* P5_MC_ADDR, P5_MC_TYPE */
	{MSR_PLATFORM_ID, MSR_PLATFORM_ID, 0, NONE},
	{0x2a, 0x2a, 0, NONE},			 /* EBL_CR_POWERON */
	{0x2c, 0x2c, BIT(24), NONE},		 /* EBC_FREQUENCY_ID */
	{0x79, 0x79, 0, DROP},			 /* BIOS_UPDT_TRIG */
	{0xc1, 0xc2, 0, DROP},			 /* PMC0, PMC1: there are no counters */
	{0xcd, 0xcd, 3, NONE},			 /* FSB_FREQ */
	{0x11e, 0x11e, 0xbe702111, NONE},	 /* BBL_CR_CTL3 */
	{0x186, 0x187, 0, DROP},		 /* PERFEVTSEL0, 1 */
	{0x198, 0x198, 1000 | 4ull << 40, NONE}, /* PERF_STATUS */
	{0x199, 0x199, 0, DROP},		 /* PERF_CTL */
	{0x1db, 0x1de, 0, ZERO},		 /* LASTBRANCH, LASTINT */
	{0x280, 0x29f, 0, ZERO},		 /* MCi_CTL2 */
	{0x606, 0x606, 0, NONE},		 /* RAPL: unit, energy counters */
	{0x611, 0x611, 0, NONE},
	{0x619, 0x619, 0, NONE},
	{0x639, 0x639, 0, NONE},
	{0x641, 0x641, 0, NONE},
	{0xc0010000, 0xc0010007, 0, DROP},	    /* K7 counters */
	{0xc0010010, 0xc0010010, 0, NONE},	    /* SYSCFG */
	{0xc001001b, 0xc001001b, 0x20000000, NONE}, /* CLK_CTL */
	{0xc001001f, 0xc0010020, 0, DROP},	    /* NB_CFG, PATCH_LOADER */
	{0xc0010055, 0xc0010055, 0, NONE},	    /* INT_PENDING_MSG */
	{0xc0010058, 0xc0010058, 0, ZERO},	    /* MMIO_CONF_BASE */
	{0xc0010112, 0xc0010113, 0, NONE},	    /* TSEG */
	{0xc0011022, 0xc0011023, 0, DROP},	    /* DC_CFG, TW_CFG */
	{0xc001102a, 0xc001102a, 0, DROP},	    /* BU_CFG2 */
	{0xc001102c, 0xc001102c, 0, DROP},	    /* F15H_EX_CFG */
};

static const struct stored_msr *find_stored(u32 index)
{
	for (unsigned n = 0; n < ARRAY_SIZE(stored); n++)
		if (stored[n].index == index)
			return &stored[n];
	return NULL;
}

static const struct constant_msr *find_constant(u32 index)
{
	for (unsigned n = 0; n < ARRAY_SIZE(constants); n++)
		if (index >= constants[n].first && index <= constants[n].last)
			return &constants[n];
	return NULL;
}

static u64 *stored_word(struct cpu *cpu, const struct stored_msr *m)
{
	return (u64 *)((u8 *)&cpu->msr + m->offset);
}

static enum msr_result stored_write(struct cpu *cpu, const struct stored_msr *m, u64 value,
				    bool host)
{
	u64 *word = stored_word(cpu, m);

	if (!host && m->needs && !cpu_has(cpu, m->needs))
		return MSR_BAD;
	if (!host && m->rule == IGNORE)
		return MSR_OK;
	if ((!host && m->rule == GUEST_RO) || value & ~m->allowed)
		return MSR_BAD;
	/* The bits that say what is not there stay (SDM Vol. 4, IA32_MISC_ENABLE). */
	if (m->index == MSR_MISC_ENABLE && !host &&
	    (*word ^ value) & (MISC_ENABLE_BTS_UNAVAIL | MISC_ENABLE_PEBS_UNAVAIL))
		return MSR_BAD;
	*word = value;
	return MSR_OK;
}

/* -- the few with rules of their own ----------------------------------------------------------- */

static bool has_spec_ctrl(const struct cpu *cpu)
{
	return cpu_has(cpu, FEATURE_SPEC_CTRL) || cpu_has(cpu, FEATURE_STIBP) ||
	       cpu_has(cpu, FEATURE_SSBD) || cpu_has(cpu, FEATURE_AMD_IBRS) ||
	       cpu_has(cpu, FEATURE_AMD_STIBP) || cpu_has(cpu, FEATURE_AMD_SSBD);
}

static bool has_pred_cmd(const struct cpu *cpu)
{
	return cpu_has(cpu, FEATURE_SPEC_CTRL) || cpu_has(cpu, FEATURE_AMD_IBPB);
}

/* IBRS, STIBP, SSBD, BHI_DIS_S; nothing here speculates, so they are only remembered. */
#define SPEC_CTRL_ALLOWED (7ull | BIT(10))

static enum msr_result spec_ctrl_write(struct cpu *cpu, u64 value, bool host)
{
	if ((!host && !has_spec_ctrl(cpu)) || value & ~SPEC_CTRL_ALLOWED)
		return MSR_BAD;
	cpu->msr.spec_ctrl = value;
	return MSR_OK;
}

/* Write-only commands of one bit. */
static enum msr_result command_write(u64 value, bool present)
{
	return present && !(value & ~1ull) ? MSR_OK : MSR_BAD;
}

static enum msr_result hwcr_write(struct cpu *cpu, u64 value)
{
	value &= ~HWCR_IGNORED;
	if (value & ~HWCR_ALLOWED)
		return MSR_BAD;
	cpu->msr.hwcr = value;
	return MSR_OK;
}

static enum msr_result misc_features_write(struct cpu *cpu, u64 value)
{
	if (value & ~1ull || (value && !(cpu->msr.platform_info & PLATFORM_INFO_CPUID_FAULT)))
		return MSR_BAD;
	cpu->msr.misc_features = value;
	return MSR_OK;
}

static enum msr_result special_write(struct cpu *cpu, u32 index, u64 value, bool host)
{
	switch (index) {
	case MSR_SPEC_CTRL:
		return spec_ctrl_write(cpu, value, host);
	case MSR_PRED_CMD:
		return command_write(value, host || has_pred_cmd(cpu));
	case MSR_FLUSH_CMD:
		return command_write(value, host || cpu_has(cpu, FEATURE_FLUSH_L1D));
	case MSR_MISC_FEATURES:
		return misc_features_write(cpu, value);
	case 0xc0010015:
		return hwcr_write(cpu, value);
	case MSR_PAT:
		if (!pat_valid(value))
			return MSR_BAD;
		cpu->msr.pat = value;
		return MSR_OK;
	case MSR_DEBUGCTL:
		/* No LBR and no branch stepping: the two bits read back as 0, as in KVM. */
		if (value & ~3ull)
			return MSR_BAD;
		cpu->msr.debugctl = 0;
		return MSR_OK;
	default:
		return MSR_UNKNOWN;
	}
}

static enum msr_result special_read(struct cpu *cpu, u32 index, u64 *value, bool host)
{
	switch (index) {
	case MSR_SPEC_CTRL:
		*value = cpu->msr.spec_ctrl;
		return host || has_spec_ctrl(cpu) ? MSR_OK : MSR_BAD;
	case MSR_MISC_FEATURES:
		*value = cpu->msr.misc_features;
		return MSR_OK;
	case 0xc0010015:
		*value = cpu->msr.hwcr;
		return MSR_OK;
	case MSR_PAT:
		*value = cpu->msr.pat;
		return MSR_OK;
	case MSR_DEBUGCTL:
		*value = cpu->msr.debugctl;
		return MSR_OK;
	default:
		return MSR_UNKNOWN;
	}
}

enum msr_result cpu_msr_read(struct cpu *cpu, u32 index, u64 *value, bool host)
{
	const struct stored_msr *m = find_stored(index);
	const struct constant_msr *c;
	enum msr_result r = special_read(cpu, index, value, host);

	if (r == MSR_UNKNOWN)
		r = mtrr_read(cpu, index, value);
	if (r == MSR_UNKNOWN)
		r = mce_read(cpu, index, value, host);
	if (r != MSR_UNKNOWN)
		return r;
	if (m) {
		*value = *stored_word(cpu, m);
		if (index == MSR_SMBASE && !host)
			return MSR_BAD;
		return host || !m->needs || cpu_has(cpu, m->needs) ? MSR_OK : MSR_BAD;
	}
	c = find_constant(index);
	if (!c)
		return MSR_UNKNOWN;
	*value = c->value;
	return MSR_OK;
}

enum msr_result cpu_msr_write(struct cpu *cpu, u32 index, u64 value, bool host)
{
	const struct stored_msr *m = find_stored(index);
	const struct constant_msr *c;
	enum msr_result r = special_write(cpu, index, value, host);

	if (r == MSR_UNKNOWN)
		r = mtrr_write(cpu, index, value);
	if (r == MSR_UNKNOWN)
		r = mce_write(cpu, index, value, host);
	if (r != MSR_UNKNOWN)
		return r;
	if (m)
		return stored_write(cpu, m, value, host);
	c = find_constant(index);
	if (!c)
		return MSR_UNKNOWN;
	return c->write == DROP || (c->write == ZERO && !value) ? MSR_OK : MSR_BAD;
}

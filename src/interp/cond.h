/* SPDX-License-Identifier: BSD-2-Clause */
/* The sixteen conditions (SDM Vol. 1 appendix B) on cpu->cc. Private to interp/. */
#ifndef INTERP_COND_H
#define INTERP_COND_H

#include "cpu/cpu.h"

#define CC_LESS(cc) (((cc) >> 15 ^ (cc)) & 1) /* SF != OF */

#define COND_o(cc)   ((cc)&CC_OF)
#define COND_b(cc)   ((cc)&CC_CF)
#define COND_z(cc)   ((cc)&CC_ZF)
#define COND_be(cc)  ((cc) & (CC_CF | CC_ZF))
#define COND_s(cc)   ((cc)&CC_SF)
#define COND_p(cc)   ((cc)&CC_PF)
#define COND_l(cc)   CC_LESS(cc)
#define COND_le(cc)  (((cc)&CC_ZF) || CC_LESS(cc))
#define COND_no(cc)  (!COND_o(cc))
#define COND_nb(cc)  (!COND_b(cc))
#define COND_nz(cc)  (!COND_z(cc))
#define COND_nbe(cc) (!COND_be(cc))
#define COND_ns(cc)  (!COND_s(cc))
#define COND_np(cc)  (!COND_p(cc))
#define COND_nl(cc)  (!COND_l(cc))
#define COND_nle(cc) (!COND_le(cc))

/* X(name, part of Zydis's mnemonics) for each. */
#define FOR_CONDS(X)                                                                               \
	X(o, O)                                                                                    \
	X(b, B)                                                                                    \
	X(z, Z) X(be, BE) X(s, S) X(p, P) X(l, L) X(le, LE) X(no, NO) X(nb, NB) X(nz, NZ)          \
		X(nbe, NBE) X(ns, NS) X(np, NP) X(nl, NL) X(nle, NLE)

#endif

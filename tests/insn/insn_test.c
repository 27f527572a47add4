/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every instruction form that the decoder knows and that may run in user mode, on the host CPU and on
 * the interpreter, with random and edge operands: all state, flags, memory and faults must agree.
 *
 *   insn_test [--mode 64|32] [--filter MNEMONIC] [--iterations N] [--seed N] [--trial N] [--list]
 *             [--verbose]
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/state.h"

#define FAILURES_SHOWN 2 /* of each form */

/* Trials of each form: some 20 s on one core; with sanitizers it is ten times slower. */
#ifdef __SANITIZE_ADDRESS__
#define ITERATIONS 8
#else
#define ITERATIONS 60
#endif

static struct {
	const char *filter;
	u64 seed, trial; /* trial: only this one, of each form */
	unsigned iterations;
	unsigned mode; /* 64, 32, or 0 for both */
	bool list, verbose;
} options = {.seed = 1, .iterations = ITERATIONS};

static struct {
	u64 trials, faults;
	unsigned forms, bad_forms;
} totals;

static const char *text(const struct x86_decoded *d, const struct trial *t)
{
	static char s[128];
	ZydisFormatter f;

	ZydisFormatterInit(&f, ZYDIS_FORMATTER_STYLE_INTEL);
	ZydisFormatterFormatInstruction(&f, &d->insn, d->ops, d->insn.operand_count_visible, s,
					sizeof(s), CODE_ADDR, NULL);
	return s;
}

static bool prepare(const struct form *f, struct trial *t, struct x86_decoded *d)
{
	for (unsigned tries = 0; tries < 100; tries++)
		if (form_instance(f, t, d) && trial_fill(t, d))
			return true;
	return false;
}

/* One trial of one form, named by its seed. false: it differs. */
static bool run_trial(const struct form *f, u64 seed, bool print)
{
	static struct trial t;
	static struct result host, guest;
	struct x86_decoded d;

	random_state = seed;
	if (!prepare(f, &t, &d))
		return true;
	host_run(&t, &host);
	guest_run(&t, &guest);
	totals.trials++;
	totals.faults += host.vector != NO_FAULT;
	if (results_equal(&t, &d, &host, &guest, false))
		return true;
	if (print) {
		printf("# %s (--trial %llu)\n", text(&d, &t), (unsigned long long)seed);
		trial_print(&t, &d);
		results_equal(&t, &d, &host, &guest, true);
	}
	return false;
}

static u64 trial_seed(unsigned form, unsigned n)
{
	return options.seed * 1000003 + form * 65537ull * 4099 + n;
}

static void run_form(const struct form *f, unsigned index)
{
	unsigned bad = 0;

	for (unsigned n = 0; n < options.iterations; n++) {
		u64 seed = options.trial ? options.trial : trial_seed(index, n);

		if (!run_trial(f, seed, bad < FAILURES_SHOWN))
			bad++;
	}
	totals.forms++;
	totals.bad_forms += bad != 0;
	if (bad)
		printf("# %s: %u of %u differ\n", ZydisMnemonicGetString(f->d.insn.mnemonic), bad,
		       options.iterations);
}

static bool wanted(const struct form *f)
{
	return !options.filter ||
	       !strcasecmp(options.filter, ZydisMnemonicGetString(f->d.insn.mnemonic));
}

static int usage(const char *name)
{
	fprintf(stderr,
		"usage: %s [--mode 64|32] [--filter MNEMONIC] [--iterations N] [--seed N] "
		"[--trial N] [--list] [--verbose]\n",
		name);
	return 2;
}

static bool parse(int argc, char **argv)
{
	static const struct option longs[] = {
		{"filter", required_argument, NULL, 'f'},
		{"iterations", required_argument, NULL, 'i'},
		{"seed", required_argument, NULL, 's'},
		{"trial", required_argument, NULL, 't'},
		{"mode", required_argument, NULL, 'm'},
		{"list", no_argument, NULL, 'l'},
		{"verbose", no_argument, NULL, 'v'},
		{NULL, 0, NULL, 0},
	};
	int c;

	if (getenv("NESTKVM_LONG") && atoi(getenv("NESTKVM_LONG")))
		options.iterations *= 3;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'f':
			options.filter = optarg;
			break;
		case 'i':
			options.iterations = (unsigned)strtoul(optarg, NULL, 0);
			break;
		case 's':
			options.seed = strtoull(optarg, NULL, 0);
			break;
		case 't':
			options.trial = strtoull(optarg, NULL, 0);
			options.iterations = 1;
			break;
		case 'm':
			options.mode = (unsigned)strtoul(optarg, NULL, 0);
			break;
		case 'l':
			options.list = true;
			break;
		case 'v':
			options.verbose = true;
			break;
		default:
			return false;
		}
	}
	return optind == argc;
}

static void run_mode(enum code_mode mode)
{
	struct form *forms;
	unsigned count;

	trial_mode = mode;
	guest_set_mode();
	forms = forms_list(&count);
	for (unsigned n = 0; n < count; n++) {
		if (!wanted(&forms[n]))
			continue;
		if (options.list || options.verbose)
			printf("# %u %s\n", n, text(&forms[n].d, NULL));
		if (!options.list)
			run_form(&forms[n], n);
	}
	free(forms);
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!parse(argc, argv))
		return usage(argv[0]);
	host_init();
	guest_init();
	if (options.mode != 32)
		run_mode(CODE_64);
	if (options.mode != 64)
		run_mode(CODE_32);
	printf("insn_test: %u forms, %llu trials (%llu faulted), %u forms differ; seed %llu\n",
	       totals.forms, (unsigned long long)totals.trials, (unsigned long long)totals.faults,
	       totals.bad_forms, (unsigned long long)options.seed);
	return totals.bad_forms != 0;
}

# SPDX-License-Identifier: BSD-2-Clause
# What the end-to-end tests share. Sourced by each; a test ends with 0, 77 (skipped) or anything else.
set -u
NESTKVM=${NESTKVM_BUILD:-build}/nestkvm
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

fail() {
	echo "FAILED: $*"
	exit 1
}
skip() {
	echo "skipped: $*"
	exit 77
}

# expect STATUS TEXT COMMAND...: the command ends with STATUS and prints TEXT (a grep -E pattern).
expect() {
	local status=$1 text=$2 got
	shift 2
	timeout 60 "$@" >"$work/out" 2>&1 </dev/null
	got=$?
	[ $got = "$status" ] || { cat "$work/out"; fail "status $got instead of $status from: $*"; }
	grep -qE -- "$text" "$work/out" || { cat "$work/out"; fail "no \"$text\" from: $*"; }
}

# find_kernel VERSION: sets kernel and modules; downloads the package once, skips without network.
find_kernel() {
	"$NESTKVM" initramfs --print-kernel --kernel "$1" >"$work/kernel" || skip "no kernel $1 on this machine"
	{ read -r kernel && read -r modules; } <"$work/kernel"
}

# boot TIMEOUT OPTIONS...: runs a guest, its console in $work/console; its exit status.
boot() {
	local limit=$1
	shift
	timeout "$limit" "$NESTKVM" run --accel "${NESTKVM_ACCEL:-soft}" "$@" >"$work/console" 2>&1 </dev/null
}

# console_has PATTERN...: the last boot's console has a line for each pattern (grep -E).
console_has() {
	local pattern
	for pattern; do
		grep -qE -- "$pattern" "$work/console" || { tail -40 "$work/console"; fail "the console lacks: $pattern"; }
	done
}

# console_is_clean: no sign of trouble in a kernel's messages.
console_is_clean() {
	! grep -E 'BUG:|Oops|WARNING: CPU|soft lockup|detected stall|unchecked MSR|unhandled (rd|wr)msr|Kernel panic' \
		"$work/console" || fail "the guest's kernel is in trouble"
}

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The main job: level 1 boots level 2 under its own KVM.
. "$(dirname "$0")/lib.sh"
find_kernel 6.1
timeout 400 "$NESTKVM" demo --accel soft --kernel 6.1 --timeout 380 --json --log "$work/console" \
	>"$work/json" 2>"$work/err" || { cat "$work/json" "$work/err"; fail "the demo failed"; }
grep -q '"ok":	true' "$work/json" || fail "not ok"
grep -q '"emulated":	true' "$work/json" || fail "it does not say that it is emulated"
grep -q '"kvm_module":	"kvm_intel"' "$work/json" || fail "no kvm_intel"
console_has '"level":1,"event":"user"' '"level":2,"event":"user"' '"level":1,"event":"exits"'
console_is_clean

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# What is missing, corrupt or too small is named, and nothing hangs.
. "$(dirname "$0")/lib.sh"
run=("$NESTKVM" run --accel soft)

expect 1 'nonexistent' "${run[@]}" -k /nonexistent
head -c 100000 /dev/urandom >"$work/noise"
expect 1 'noise' "${run[@]}" -k "$work/noise"
: >"$work/empty"
expect 1 'empty' "${run[@]}" -k "$work/empty"
expect 1 "$work" "${run[@]}" -k "$work"
expect 3 'no folder' "$NESTKVM" demo --kernel "$work/noise" --modules /nonexistent

find_kernel 6.1
expect 1 'initrd|nonexistent' "${run[@]}" -k "$kernel" -i /nonexistent
expect 1 'too little|memory' "${run[@]}" -k "$kernel" -m 8
expect 1 'Haswel' "${run[@]}" -k "$kernel" --cpu Haswel
expect 1 'frobnicate' "${run[@]}" -k "$kernel" --cpu qemu64,+frobnicate
head -c 3000000 "$kernel" >"$work/truncated"
expect 1 'truncated' "${run[@]}" -k "$work/truncated"
cp "$kernel" "$work/corrupt"
dd if=/dev/zero of="$work/corrupt" bs=4096 seek=500 count=20 conv=notrunc status=none
# Some kernels are packed with a checksum, others are not: those fail when they run.
timeout 60 "${run[@]}" -k "$work/corrupt" >"$work/out" 2>&1 </dev/null
status=$?
[ $status != 0 ] && [ $status -lt 124 ] || fail "status $status with a corrupt kernel"
grep -qE 'corrupt|triple fault|halted' "$work/out" || { cat "$work/out"; fail "no word about a corrupt kernel"; }
[ -c /dev/kvm ] || expect 1 'no /dev/kvm' "$NESTKVM" run --accel kvm -k "$kernel"

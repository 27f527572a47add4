#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The demo with other kernels, more CPUs, another level, and KVM without its newer features.
. "$(dirname "$0")/../lib.sh"

# demo NAME OPTIONS...: all levels run, and their kernels' logs are clean.
demo() {
	local name=$1
	shift
	timeout 580 "$NESTKVM" demo --accel soft --timeout 570 --log "$work/console" "$@" >"$work/out" 2>&1 ||
		{ cat "$work/out"; fail "$name"; }
	console_is_clean
	echo "$name: $(grep total "$work/out")"
}
for kernel in 6.1 6.12 6.1-amd64; do
	find_kernel $kernel
done
demo "6.1, 4 CPUs, 2 in level 2" --kernel 6.1 -c 4 --l2-cpus 2
demo "6.12" --kernel 6.12
demo "6.12, 2 CPUs, 2 in level 2" --kernel 6.12 -c 2 --l2-cpus 2
demo "6.1, ordinary" --kernel 6.1-amd64
demo "three levels" --kernel 6.1 --depth 3
demo "ept=0" --kernel 6.1 --kvm-params ept=0

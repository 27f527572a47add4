#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# What a user process can provoke of the CPU: exceptions and their error codes, steps, breakpoints, segments, 32-bit
# code, ports, protection keys. The expected answers are the architecture's.
. "$(dirname "$0")/lib.sh"

program=${NESTKVM_BUILD:-build}/tests/workloads/traps
expected=$(dirname "$0")/../workloads/traps.expected
find_kernel "${NESTKVM_TEST_KERNEL:-6.1}"

cat >"$work/run.sh" <<'SCRIPT'
#!/bin/busybox sh
echo "BEGIN 1"; /bin/traps; echo "END 1"
SCRIPT
"$NESTKVM" initramfs -o "$work/initrd" --kernel "$kernel" --modules "$modules" --add "$program:/bin/traps" \
	--add "$work/run.sh:/run.sh" || fail "no initramfs"
boot 120 --cpu max -m 512 -k "$kernel" -i "$work/initrd" -p "console=ttyS0 quiet nestkvm.run=/run.sh" ||
	{ tail -40 "$work/console"; fail "the guest ended with $?"; }
tr -d '\r' <"$work/console" | sed -n "/^BEGIN 1/,/^END 1/p" | sed '1d;$d' >"$work/got"
diff -u "$expected" "$work/got" || fail "the CPU answers something else"
console_is_clean

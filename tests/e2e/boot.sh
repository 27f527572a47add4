#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Level 1: Linux boots to user space, runs a script, powers off or reboots, with 1 and 2 CPUs.
. "$(dirname "$0")/lib.sh"
find_kernel 6.1
head -c 3000000 /dev/urandom >"$work/data"
sum=$(sha256sum <"$work/data" | cut -d' ' -f1)
cat >"$work/script" <<'END'
echo "sum: $(sha256sum </data | cut -d' ' -f1)"
echo "back: $(gzip -c /data | gunzip | sha256sum | cut -d' ' -f1)"
echo "cpus: $(nproc)"
seq 1 20000 | sort -rn | sort -n | md5sum
grep -q nestkvm.reboot /proc/cmdline && reboot -f
exit 7
END
"$NESTKVM" initramfs -o "$work/initramfs" --add "$work/data:/data" --add "$work/script:/script" || fail "initramfs"
boot_script() {
	boot 120 -m 256 -k "$kernel" -i "$work/initramfs" "$@"
}
params="panic=-1 oops=panic mitigations=off nestkvm.run=/script"

for cpus in 1 2; do
	boot_script -c $cpus -p "$params" || fail "status $? with $cpus CPUs: $(tail -30 "$work/console")"
	console_has '"event":"user"' "^sum: $sum" "^back: $sum" "^cpus: $cpus" \
		"^$(seq 1 20000 | md5sum | cut -d' ' -f1)" '"event":"done",.*"status":7' 'Power down'
	console_has '"event":"selfcheck",.*"messages":0'
	console_is_clean
done
boot_script -p "$params nestkvm.reboot"
[ $? = 3 ] || fail "a reboot does not end with status 3"

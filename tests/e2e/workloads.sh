#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Real work in level 1 and level 2, on two CPUs each: threads, processes, integers, floating point and vectors, and
# OpenSSL's AES and SHA, with the same results as on the host.
. "$(dirname "$0")/lib.sh"

program=${NESTKVM_BUILD:-build}/tests/workloads/work
openssl=$(command -v openssl) || skip "no openssl on this machine"
find_kernel "${NESTKVM_TEST_KERNEL:-6.1}"

# What the guests do; the host does it first.
cat >"$work/work.sh" <<'SCRIPT'
#!/bin/busybox sh
/bin/work
busybox seq 1 200000 >/tmp/data
for digest in sha1 sha256 sha512 blake2b512; do
	openssl dgst -$digest -r /tmp/data
done
for cipher in aes-128-cbc aes-256-ctr chacha20; do
	echo $cipher $(openssl enc -$cipher -K 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f \
		-iv 000102030405060708090a0b0c0d0e0f -in /tmp/data 2>/dev/null | busybox sha256sum)
done
SCRIPT
sed -e "s|^/bin/work|$program|; s|/tmp/data|$work/data|g; s|busybox ||g" "$work/work.sh" >"$work/host.sh"
sh "$work/host.sh" | sed "s|$work/data|/tmp/data|" >"$work/expected" || fail "the host cannot do the work"

cat >"$work/l1.sh" <<'SCRIPT'
#!/bin/busybox sh
busybox mkdir -p /tmp
echo "BEGIN 1"; busybox sh /work.sh; echo "END 1"
nestkvm run --accel kvm --cpu host -c 2 -m 256 -k /l2/kernel -i /l2/initrd -q \
	-p "quiet mitigations=off nestkvm.level=2 nestkvm.run=/l2.sh"
SCRIPT
cat >"$work/l2.sh" <<'SCRIPT'
#!/bin/busybox sh
busybox mkdir -p /tmp
echo "BEGIN 2"; busybox sh /work.sh; echo "END 2"
SCRIPT
common=(--kernel "$kernel" --modules "$modules" --add "$program:/bin/work" --add "$openssl:/bin/openssl"
	--add "$work/work.sh:/work.sh")
"$NESTKVM" initramfs -o "$work/l2.img" "${common[@]}" --add "$work/l2.sh:/l2.sh" || fail "no initramfs"
"$NESTKVM" initramfs -o "$work/l1.img" "${common[@]}" --add "$work/l1.sh:/l1.sh" --load kvm_intel \
	--add "$NESTKVM:/bin/nestkvm" --add "$kernel:/l2/kernel" --add "$work/l2.img:/l2/initrd" ||
	fail "no initramfs"
boot 300 --cpu Haswell-noTSX-IBRS,vmx=on -c 2 -m 1536 -k "$kernel" -i "$work/l1.img" \
	-p "console=ttyS0 quiet mitigations=off nestkvm.run=/l1.sh" || { tail -40 "$work/console"; fail "level 1 ended with $?"; }
for level in 1 2; do
	tr -d '\r' <"$work/console" | sed -n "/^BEGIN $level/,/^END $level/p" | sed '1d;$d' >"$work/got"
	diff -u "$work/expected" "$work/got" || fail "level $level computes something else than the host"
done
console_is_clean

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Debian 12's netboot installer reaches its first menu on the serial console.
. "$(dirname "$0")/../lib.sh"

images=/usr/lib/debian-installer/images/12/amd64/text
if [ ! -d $images ]; then
	(cd "$work" && apt-get -q -o APT::Sandbox::User=root download debian-installer-12-netboot-amd64 &&
		dpkg-deb -x debian-installer-12-*.deb .) >"$work/log" 2>&1 || skip "no debian-installer-12-netboot-amd64"
	images=$work$images
fi
boot_dir=$(dirname "$(find "$images" -name linux | head -1)")
[ -f "$boot_dir/initrd.gz" ] || fail "no initrd.gz in $images"

timeout 300 "$NESTKVM" run --accel soft -m 1024 -k "$boot_dir/linux" -i "$boot_dir/initrd.gz" \
	-p "console=ttyS0 mitigations=off" >"$work/console" 2>&1 </dev/null &
guest=$!
for ((i = 0; i < 280; i++)); do
	grep -qa 'Select a language' "$work/console" && break
	kill -0 $guest 2>/dev/null || break
	sleep 1
done
kill $guest 2>/dev/null
wait $guest
grep -qa 'Select a language' "$work/console" || { tail -c 2000 "$work/console"; fail "no menu"; }
console_is_clean

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Installs the Debian packages that the build, the demo and the tests need. Only what is missing is
# installed; when nothing is, this does nothing and needs no network.
set -u

packages="gcc libc6-dev make pkg-config ca-certificates file
	libzydis-dev libslirp-dev libcjson-dev libcmocka-dev
	libzstd-dev liblz4-dev liblzma-dev zlib1g-dev
	linux-libc-dev dpkg-dev busybox-static e2fsprogs openssl"
# Wanted by `make check-style` only, and large: installed with NESTKVM_SETUP_STYLE=1.
[ "${NESTKVM_SETUP_STYLE:-0}" = 1 ] && packages="$packages clang-format clang-tidy"

fail() {
	echo "setup: $*" >&2
	exit 1
}

command -v dpkg-query >/dev/null || fail "this is not a Debian system: install by hand what corresponds to:" $packages

missing=
for p in $packages; do
	case "$(dpkg-query -W -f '${Status}' "$p" 2>/dev/null)" in
	"install ok installed") ;;
	*) missing="$missing $p" ;;
	esac
done
[ -z "$missing" ] && exit 0

run=
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || fail "packages are missing; as root, run: apt-get install$missing"
	run=sudo
	# Without a terminal sudo could not ask for a password, and would only fail less clearly.
	[ -t 0 ] || sudo -n true 2>/dev/null || fail "packages are missing, and sudo wants a password; run: sudo apt-get install$missing"
fi

echo "setup: installing$missing"
apt() {
	$run env DEBIAN_FRONTEND=noninteractive apt-get -q -o Dpkg::Use-Pty=0 -o Acquire::Retries=3 "$@" </dev/null
}
install() {
	apt install -y --no-install-recommends $missing
}
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
# The package lists of a fresh machine may be absent or old, so they are read anew first; what is
# already in apt's lists may still do when that fails.
apt update >"$log" 2>&1 || echo "setup: apt-get update failed; trying with the package lists that are here"
install >>"$log" 2>&1 || {
	tail -20 "$log" >&2
	fail "apt-get could not install:$missing"
}
echo "setup: done"

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Level 1 writes an ext4 file system on a virtio disk, which the host's e2fsck finds clean, and downloads a
# file from the host's loopback through the user-mode network; checksums agree.
. "$(dirname "$0")/lib.sh"
find_kernel 6.1
PATH=$PATH:/sbin:/usr/sbin
busybox=$(command -v busybox) || skip "no busybox"
port=$((20000 + RANDOM % 20000))

mkdir "$work/www"
head -c 5000000 /dev/urandom >"$work/www/data"
sum=$(sha256sum <"$work/www/data" | cut -d' ' -f1)
"$busybox" httpd -f -p 127.0.0.1:$port -h "$work/www" &
server=$!
trap 'kill $server 2>/dev/null; rm -rf "$work"' EXIT
truncate -s 64M "$work/disk"
mke2fs -q -t ext4 "$work/disk" || fail "mke2fs"

cat >"$work/script" <<END
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
ip route add default via 10.0.2.2
mkdir -p /mnt
mount -t ext4 /dev/vda /mnt || exit 1
wget -q -O /mnt/data http://10.0.2.2:$port/data || exit 2
sha256sum </mnt/data
for i in \$(seq 1 200); do mkdir -p /mnt/d\$i && echo \$i >/mnt/d\$i/f; done
rm -rf /mnt/d1?
umount /mnt || exit 3
END
"$NESTKVM" initramfs -o "$work/initramfs" -k "$kernel" --modules "$modules" --load virtio_pci \
	--load virtio_blk --load virtio_net --load ext4 --load crc32c_generic --add "$work/script:/script" || fail "initramfs"
boot 200 -m 256 -k "$kernel" -i "$work/initramfs" --disk "$work/disk" --net user \
	-p "quiet mitigations=off panic=-1 nestkvm.run=/script" || fail "status $?: $(tail -20 "$work/console")"
console_has "^$sum" '"event":"done",.*"status":0'
console_is_clean
e2fsck -fn "$work/disk" >"$work/fsck" 2>&1 || { cat "$work/fsck"; fail "e2fsck finds errors"; }
[ "$(debugfs -R 'cat /data' "$work/disk" 2>/dev/null | sha256sum | cut -d' ' -f1)" = "$sum" ] || fail "the file on the disk differs"
[ "$(debugfs -R 'cat /d42/f' "$work/disk" 2>/dev/null)" = 42 ] || fail "a small file on the disk differs"

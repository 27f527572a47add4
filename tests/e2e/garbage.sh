#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# A guest that writes garbage to every port, to device memory and to MSRs: the VMM lives until the guest ends in a
# documented way or is told to end.
. "$(dirname "$0")/lib.sh"

find_kernel "${NESTKVM_TEST_KERNEL:-6.1}"
truncate -s 16M "$work/disk"
cat >"$work/garbage.sh" <<'SCRIPT'
#!/bin/busybox sh
read seed </seed
/bin/garbage $seed
SCRIPT
for seed in ${NESTKVM_TEST_SEEDS:-1}; do
	echo $seed >"$work/seed"
	"$NESTKVM" initramfs -o "$work/img" --kernel "$kernel" --modules "$modules" --load msr \
		--add "${NESTKVM_BUILD:-build}/tests/workloads/garbage:/bin/garbage" \
		--add "$work/garbage.sh:/garbage.sh" --add "$work/seed:/seed" || fail "no initramfs"
	boot 30 --cpu Haswell-noTSX-IBRS,vmx=on -m 512 -k "$kernel" -i "$work/img" --disk "$work/disk" --net user \
		--rng -p "quiet mitigations=off panic=-1 msr.allow_writes=on nestkvm.run=/garbage.sh"
	status=$?
	echo "seed $seed: $(grep -a GARBAGE "$work/console" | tail -1), status $status"
	case $status in
	0 | 1 | 3 | 4 | 5 | 124) ;; # 124: the guest hangs, and its VMM ends when asked to
	*) tail -20 "$work/console"; fail "the VMM ended with $status" ;;
	esac
	console_has 'GARBAGE ports'
done

#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The command line: help, versions, and what is wrong with arguments.
. "$(dirname "$0")/lib.sh"

expect 0 '^Commands:' "$NESTKVM" --help
expect 0 '^Commands:' "$NESTKVM" help
expect 0 '[0-9]+\.[0-9]+\.[0-9]+' "$NESTKVM" --version
expect 2 '^usage: nestkvm' "$NESTKVM"
expect 2 'no command frob' "$NESTKVM" frob
for command in run demo initramfs; do
	expect 0 "^usage: nestkvm $command" "$NESTKVM" "$command" --help
	expect 2 "unrecognized option" "$NESTKVM" "$command" --frob
done
expect 2 'no kernel given' "$NESTKVM" run
expect 2 'wants auto, kvm or soft' "$NESTKVM" run --accel frob -k x
expect 2 'wants a size' "$NESTKVM" run -m lots -k x
expect 2 'wants a number' "$NESTKVM" run -c 0 -k x
expect 2 'wants auto, kvm or soft' "$NESTKVM" demo --accel frob
expect 2 'wants a number from 1' "$NESTKVM" demo --depth 0
expect 2 'argument too many' "$NESTKVM" demo frob
expect 2 'not with --json' "$NESTKVM" demo --shell 1 --json
expect 3 'cannot read the kernel' "$NESTKVM" demo --kernel /nonexistent
expect 2 'wrong arguments' "$NESTKVM" initramfs

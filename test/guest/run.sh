#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the tests of this directory in guests: test/guest/run.sh [LSM [KERNEL [TESTFLAG...]]], for example `selinux 6.12 -test.run Stdio`.
# Without an LSM, in all of them; without a kernel, on both.
set -eu
cd "$(dirname "$0")/../.."
lsms=${1:-selinux apparmor none}
kernels=${2:-6.12 6.1}
[ $# -lt 1 ] || shift
[ $# -lt 1 ] || shift

export CGO_ENABLED=0
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
[ -n "${BULKHEAD_BIN:-}" ] || make -s build
program=$(realpath "${BULKHEAD_BIN:-bin/bulkhead}")
go build -o "$build/vm" ./internal/vm/run
go test -c -o "$build/guest.test" ./test/guest

cd test/guest
failed=
for kernel in $kernels; do
	for lsm in $lsms; do
		profiles=
		if [ "$lsm" = apparmor ]; then
			for file in testdata/*.profile; do profiles="$profiles --profile $file"; done
		fi
		# shellcheck disable=SC2086 # a list of words
		if "$build/vm" --lsm "$lsm" --kernel "$kernel" --fail-on-skip --stats $profiles \
			--add "$program:/usr/bin/bulkhead" --add "$program:/usr/bin/bulkhead-runtime" \
			--add "$(command -v runc):/usr/sbin/runc" --add "$(command -v crun):/usr/bin/crun" \
			-- "$build/guest.test" "$@" >"$build/output" 2>&1; then
			printf 'ok   %s %s: %s\n' "$lsm" "$kernel" "$(tail -n 1 "$build/output")"
		else
			failed=1
			printf 'FAIL %s %s\n' "$lsm" "$kernel"
			cat "$build/output"
		fi
	done
done
[ -z "$failed" ]

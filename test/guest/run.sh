#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the tests of this directory in guests: test/guest/run.sh [LSM [KERNEL [TESTFLAG...]]], for example `selinux 6.12 -test.run Output`.
# Without an LSM, in all of them; without a kernel, on both, side by side. BULKHEAD_BIN names a binary that is built already.
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
runc=$(command -v runc) || { echo "no runc: apt-get install runc" >&2; exit 1; }
crun=$(command -v crun) || { echo "no crun: apt-get install crun" >&2; exit 1; }
go build -o "$build/vm" ./internal/vm/run
go test -c -o "$build/guest.test" ./test/guest

# guest LSM KERNEL [TESTFLAG...]
guest() {
	lsm=$1 kernel=$2 profiles=
	shift 2
	if [ "$lsm" = apparmor ]; then
		for file in testdata/*.profile; do profiles="$profiles --profile $file"; done
	fi
	# shellcheck disable=SC2086 # a list of words
	if "$build/vm" --lsm "$lsm" --kernel "$kernel" --fail-on-skip --stats $profiles --add "$runc:/usr/sbin/runc" --add "$crun:/usr/bin/crun" \
		--add "$program:/usr/bin/bulkhead" --add "$(dirname "$program")/bulkhead-runtime:/usr/bin/bulkhead-runtime" -- "$build/guest.test" -test.timeout 8m "$@" >"$build/$lsm-$kernel" 2>&1; then
		printf 'ok   %s %s: %s\n' "$lsm" "$kernel" "$(tail -n 1 "$build/$lsm-$kernel")"
	else
		printf 'FAIL %s %s\n' "$lsm" "$kernel"
		cat "$build/$lsm-$kernel"
		: >"$build/failed"
	fi
}

cd test/guest
pids=
for kernel in $kernels; do
	(for lsm in $lsms; do guest "$lsm" "$kernel" "$@"; done) &
	pids="$pids $!"
done
for pid in $pids; do wait "$pid" || : >"$build/failed"; done
[ ! -e "$build/failed" ]

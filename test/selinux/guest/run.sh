#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the tests of this directory in guests with SELinux: test/selinux/guest/run.sh [KERNELS [TESTFLAG...]], for example
# `6.12 -questions 1000000 -seed 7 -test.run Debian`. Debian's policy goes with them out of the cache of test/selinux. BULKHEAD_BIN names a binary that is built already.
set -eu
cd "$(dirname "$0")/../../.."
kernels=${1:-6.12 6.1}
[ $# -lt 1 ] || shift

export CGO_ENABLED=0
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
[ -n "${BULKHEAD_BIN:-}" ] || make -s build
program=$(realpath "${BULKHEAD_BIN:-bin/bulkhead}")
crun=$(command -v crun) || { echo "no crun: apt-get install crun" >&2; exit 1; }
debian=$(go run ./test/selinux/debian)
go build -o "$build/vm" ./internal/vm/run
go test -c -o "$build/selinux.test" ./test/selinux/guest
cd test/selinux/guest
for kernel in $kernels; do
	"$build/vm" --lsm selinux --kernel "$kernel" --fail-on-skip --stats --timeout 12h --add "$debian/policy.33:/policies/debian" \
		--add "$program:/usr/bin/bulkhead" --add "$crun:/usr/bin/crun" -- "$build/selinux.test" -test.timeout 12h -test.v "$@" || exit 1
done

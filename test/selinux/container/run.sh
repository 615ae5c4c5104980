#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the tests of this directory in guests that enforce Debian's policy: test/selinux/container/run.sh [KERNELS [TESTFLAG...]], for example `6.12 -test.run Apart`.
# The policy is that of the cache of test/selinux. BULKHEAD_BIN names a binary that is built already.
set -eu
cd "$(dirname "$0")/../../.."
kernels=${1:-6.12 6.1}
[ $# -lt 1 ] || shift

export CGO_ENABLED=0
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
[ -n "${BULKHEAD_BIN:-}" ] || make -s build
program=$(realpath "${BULKHEAD_BIN:-bin/bulkhead}")
runc=$(command -v runc) || { echo "no runc: apt-get install runc" >&2; exit 1; }
debian=$(go run ./test/selinux/debian)
go build -o "$build/vm" ./internal/vm/run
go test -c -o "$build/container.test" ./test/selinux/container
cd test/selinux/container
for kernel in $kernels; do
	"$build/vm" --lsm selinux --kernel "$kernel" --policy "$debian/policy.33" --fail-on-skip --stats --timeout 20m --add "$debian/policy.33:/policies/debian" --add "$runc:/usr/sbin/runc" \
		--add "$program:/usr/bin/bulkhead" --add "$(dirname "$program")/bulkhead-runtime:/usr/bin/bulkhead-runtime" -- "$build/container.test" -test.timeout 18m "$@" || exit 1
done

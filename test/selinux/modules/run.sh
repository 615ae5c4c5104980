#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the tests of this directory in guests with SELinux: test/selinux/modules/run.sh [KERNELS [TESTFLAG...]], for example `6.12 -test.run Killed`.
# Debian's policy goes with them out of the cache of test/selinux. BULKHEAD_BIN names a binary that is built already.
set -eu
cd "$(dirname "$0")/../../.."
kernels=${1:-6.12 6.1}
[ $# -lt 1 ] || shift

export CGO_ENABLED=0
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
[ -n "${BULKHEAD_BIN:-}" ] || make -s build
program=$(realpath "${BULKHEAD_BIN:-bin/bulkhead}")
debian=$(go run ./test/selinux/debian)
go build -o "$build/vm" ./internal/vm/run
go test -c -o "$build/modules.test" ./test/selinux/modules
cd test/selinux/modules
for kernel in $kernels; do
	"$build/vm" --lsm selinux --kernel "$kernel" --fail-on-skip --stats --timeout 10m --add "$program:/usr/bin/bulkhead" --add "$debian/policy.33:/policies/debian" \
		--add /usr/sbin/semodule --add /usr/sbin/load_policy --add /usr/sbin/load_policy:/sbin/load_policy --add /sbin/setfiles --add /sbin/sefcontext_compile -- "$build/modules.test" -test.timeout 9m "$@" || exit 1
done

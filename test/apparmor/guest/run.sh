#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the tests of this directory in guests with AppArmor: test/apparmor/guest/run.sh [KERNELS [TESTFLAG...]], for example `"6.12 6.1" -test.run Probe`.
# The reference parsers go with them: this machine's, and Debian 13's out of the cache of test/apparmor/reference.
set -eu
cd "$(dirname "$0")/../../.."
kernels=${1:-6.12 6.1}
[ $# -lt 1 ] || shift

export CGO_ENABLED=0
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
cache=${XDG_CACHE_HOME:-$HOME/.cache}/bulkhead-test
newer=$cache/apparmor-trixie
mkdir -p "$cache"
[ -d "$newer" ] || flock "$newer.lock" sh -c '[ -d "$1" ] || test/apparmor/reference/testdata/fetch.sh "$1"' sh "$newer"
go build -o "$build/vm" ./internal/vm/run
go test -c -o "$build/apparmor.test" ./test/apparmor/guest
# As an archive: the harness would look for the libraries of what it carries among this machine's.
tar -cf "$build/newer.tar" -C "$newer/root" usr/sbin/apparmor_parser \
	$(cd "$newer/root" && find usr/lib -name 'ld-linux*' -o -name 'libc.so.*' -o -name 'libm.so.*' -o -name 'libgcc_s.so.*' -o -name 'libstdc++.so.*')
cd test/apparmor/guest
for kernel in $kernels; do
	"$build/vm" --lsm apparmor --kernel "$kernel" --fail-on-skip --stats --add /usr/sbin/apparmor_parser --add "$build/newer.tar:/newer.tar" \
		--add /etc/apparmor.d/abi -- "$build/apparmor.test" -test.timeout 8m "$@" || exit 1
done

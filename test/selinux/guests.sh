# SPDX-License-Identifier: Apache-2.0
# What run.sh of the directories beside this does, which read this file: their first argument is a list of kernels, the others are the test's. It makes the
# directory's tests ($test), Debian's policy ($debian, of the cache of test/selinux), and the binary ($program), where BULKHEAD_BIN does not name one that is built already.
set -eu
cd "$(dirname "$0")"
directory=$(pwd)
cd ../../..
kernels=${1:-6.12 6.1}
[ $# -lt 1 ] || shift

export CGO_ENABLED=0
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
[ -n "${BULKHEAD_BIN:-}" ] || make -s build
program=$(realpath "${BULKHEAD_BIN:-bin/bulkhead}")
test=$build/$(basename "$directory").test
debian=$(go run ./test/selinux/debian)
go build -o "$build/vm" ./internal/vm/run
go test -c -o "$test" "$directory"
cd "$directory"

# path PROGRAM: where a program lies, which Debian has in a package of the same name.
path() {
	command -v "$1" || { echo "no $1: apt-get install $1" >&2; exit 1; }
}

# guests LIMIT [OPTION...] -- COMMAND [ARGUMENT...]: runs a command in a guest of each kernel that enforces SELinux, with bulkhead and Debian's policy.
guests() {
	limit=$1
	shift
	for kernel in $kernels; do
		"$build/vm" --lsm selinux --kernel "$kernel" --fail-on-skip --stats --timeout "$limit" --add "$debian/policy.33:/policies/debian" \
			--add "$program:/usr/bin/bulkhead" --add "$(dirname "$program")/bulkhead-runtime:/usr/bin/bulkhead-runtime" "$@" || exit 1
	done
}

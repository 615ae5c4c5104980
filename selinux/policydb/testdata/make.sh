#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes small.24 to small.33 of small.cil with secilc (Debian: apt-get install secilc). Extended permissions came with version 30.
set -eu
cd "$(dirname "$0")"
for version in 24 25 26 27 28 29 30 31 32 33; do
	grep -v -E '^\((allow|auditallow|dontaudit)x' small.cil >small.tmp
	[ "$version" -lt 30 ] || cp small.cil small.tmp
	secilc --mls true --policyvers "$version" -o "small.$version" -f /dev/null small.tmp
done
rm small.tmp

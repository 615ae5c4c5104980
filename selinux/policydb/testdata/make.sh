#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes small.24 to small.33 of small.cil with secilc 3.4 (Debian 12: apt-get install secilc), and plain.33, without MLS. Extended permissions came with version 30.
# With $NEWER, the command of a secilc from 3.6 on (Debian 13 has 3.8.1), makes small.later, which is small.33 in the later order.
set -eu
cd "$(dirname "$0")"
for version in 24 25 26 27 28 29 30 31 32 33; do
	grep -v -E '^\((allow|auditallow|dontaudit)x' small.cil >small.tmp
	[ "$version" -lt 30 ] || cp small.cil small.tmp
	secilc --mls true --policyvers "$version" -o "small.$version" -f /dev/null small.tmp
done
rm small.tmp
sed 's/^(mls true)/(mls false)/' small.cil >plain.tmp
secilc --mls false --policyvers 33 -o plain.33 -f /dev/null plain.tmp
rm plain.tmp
[ -z "${NEWER:-}" ] || $NEWER --mls true --policyvers 33 -o small.later -f /dev/null small.cil

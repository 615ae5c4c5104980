#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the tests of this directory in guests that enforce Debian's policy: test/selinux/labels/run.sh [KERNELS [TESTFLAG...]], for example `6.12 -test.run Planned`.
. "$(dirname "$0")/../guests.sh"
runc=$(path runc)
guests 20m --policy "$debian/policy.33" --module loop --module vfat --module nls_cp437 --module nls_ascii --add "$debian/file_contexts:/policies/file_contexts" \
	--add "$runc:/usr/sbin/runc" -- "$test" -test.timeout 18m "$@"

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the tests of this directory in guests that enforce Debian's policy: test/selinux/container/run.sh [KERNELS [TESTFLAG...]], for example `6.12 -test.run Apart`.
. "$(dirname "$0")/../guests.sh"
runc=$(path runc)
guests 20m --policy "$debian/policy.33" --add "$runc:/usr/sbin/runc" -- "$test" -test.timeout 18m "$@"

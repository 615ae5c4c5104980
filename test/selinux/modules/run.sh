#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the tests of this directory in guests with SELinux: test/selinux/modules/run.sh [KERNELS [TESTFLAG...]], for example `6.12 -test.run Killed`.
. "$(dirname "$0")/../guests.sh"
guests 10m --add /usr/sbin/semodule --add /usr/sbin/load_policy --add /usr/sbin/load_policy:/sbin/load_policy --add /sbin/setfiles --add /sbin/sefcontext_compile \
	-- "$test" -test.timeout 9m "$@"

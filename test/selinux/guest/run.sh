#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the tests of this directory in guests with SELinux: test/selinux/guest/run.sh [KERNELS [TESTFLAG...]], for example
# `6.12 -questions 1000000 -seed 7 -test.run Debian`.
. "$(dirname "$0")/../guests.sh"
crun=$(path crun)
guests 12h --add "$crun:/usr/bin/crun" -- "$test" -test.timeout 12h -test.v "$@"

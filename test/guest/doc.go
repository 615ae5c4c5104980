// SPDX-License-Identifier: Apache-2.0

// Package guest holds the tests of the whole program on kernels that enforce SELinux or AppArmor, or neither. They run inside the guests
// of internal/vm; run.sh starts them. It has no code of its own.
//
// A guest brings /usr/bin/bulkhead, the same as /usr/bin/bulkhead-runtime, /usr/sbin/runc, /usr/bin/crun and busybox.
package guest

// SPDX-License-Identifier: Apache-2.0

// Package labels holds the tests of volumes' labels on a kernel that enforces Debian's policy: who can read and write what, beside what `bulkhead label plan` and the
// policy say. They run inside the guests of internal/vm; run.sh starts them. It has no code of its own.
package labels

// SPDX-License-Identifier: Apache-2.0

// Package container holds the tests of the container policy on a kernel that enforces Debian's policy, which has no container types: Bulkhead puts its own onto it. They
// run inside the guests of internal/vm; run.sh starts them. It has no code of its own.
package container

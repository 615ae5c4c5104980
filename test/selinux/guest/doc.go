// SPDX-License-Identifier: Apache-2.0

// Package guest puts questions about policies to a kernel that has loaded them, and to package policydb: they must have the same answers. The tests run in the
// guests of internal/vm; run.sh starts them. It has no code of its own.
package guest

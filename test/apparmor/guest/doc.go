// SPDX-License-Identifier: Apache-2.0

// Package guest holds the tests of compiled AppArmor policy on kernels that enforce it. They run inside the guests of internal/vm; run.sh starts them.
// It has no code of its own.
package guest

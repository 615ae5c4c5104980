// SPDX-License-Identifier: Apache-2.0

// Package modules holds the tests of `bulkhead apply` on kernels that enforce SELinux, beside Debian's semodule. They run inside the guests of internal/vm;
// run.sh starts them. It has no code of its own.
package modules

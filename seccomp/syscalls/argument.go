// SPDX-License-Identifier: Apache-2.0

package syscalls

// Type is what the kernel reads of an argument: how many bits, and whether they are signed.
type Type struct {
	Bits   uint8 // 8, 16, 32, 64; 0 = the call has no such argument or its prototype is not known
	Signed bool
}

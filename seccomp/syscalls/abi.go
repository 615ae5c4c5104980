// SPDX-License-Identifier: Apache-2.0

// Package syscalls knows the kernel's system calls: their names and numbers on every architecture, what each reads of its arguments, and
// the first kernel that has them.
package syscalls

// Version is a kernel's version.
type Version struct{ Major, Minor uint8 }

// Before reports whether v is older than w.
func (v Version) Before(w Version) bool {
	return v.Major < w.Major || v.Major == w.Major && v.Minor < w.Minor
}

// Call is a system call by name, whatever its number: an index into the sorted table of names. The zero value is no call.
type Call uint16

// ABI is one way to enter the kernel: the calls and the calling convention of an architecture, as a filter sees them.
type ABI struct {
	Name  string // as libseccomp and the kernel spell it: x86_64, x86, x32, aarch64, arm, riscv64, ppc64le, s390x, loongarch64, mips64el-n32, ...
	OCI   string // SCMP_ARCH_X86_64, ...
	Audit uint32 // seccomp_data.arch, AUDIT_ARCH_*
	// Base is added to (x32: a bit set in) the numbers of the kernel's table to give seccomp_data.nr; 0 but for x32 and mips.
	Base      uint32
	BigEndian bool
	Word      int // bits of a register as seccomp_data shows it: 32 (the upper half of every argument is 0) or 64
}

// Type is what the kernel reads of an argument: how many bits, and whether they are signed.
type Type struct {
	Bits   uint8 // 8, 16, 32, 64; 0 = the call has no such argument or its prototype is not known
	Signed bool
}

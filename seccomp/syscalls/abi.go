// SPDX-License-Identifier: Apache-2.0

// Package syscalls knows the kernel's system calls: their names and numbers on every architecture, what each reads of its arguments, and
// the first kernel that has them. Names are spelled as in the kernel's tables, which is how libseccomp and profiles spell them.
package syscalls

import (
	"iter"
	"slices"
)

//go:generate go run ./generate $KERNEL .

// Version is a kernel's version.
type Version struct{ Major, Minor uint8 }

// Before reports whether v is older than w.
func (v Version) Before(w Version) bool {
	return v.Major < w.Major || v.Major == w.Major && v.Minor < w.Minor
}

// ABI is one way to enter the kernel: the calls and the calling convention of an architecture, as a filter sees them.
type ABI struct {
	Name  string // as libseccomp spells it: x86_64, x86, x32, aarch64, arm, riscv64, ppc64le, s390x, loongarch64, mipsel64n32, ...
	OCI   string // SCMP_ARCH_X86_64, ...
	Audit uint32 // seccomp_data.arch, AUDIT_ARCH_*
	// Base is added to (x32: a bit set in) the numbers of the kernel's table to give seccomp_data.nr; 0 but for x32 and mips.
	Base      uint32
	BigEndian bool
	// Word is how many bits of an argument in seccomp_data count: 32 or 64. Where it is 32 the upper half says nothing: it is 0, the sign on 64-bit MIPS
	// kernels, and whatever was in the register where a 64-bit program of x86 calls by int 0x80.
	Word int

	goarch  string                 // whose native ABI this is, or ""
	numbers *[len(nameEnds)]uint16 // of each call, without Base; noNumber, or privateBit and what is above privateBase
	calls   *[tableSize]Call       // by number without Base
	private []Call                 // by number above privateBase
	// parameters are the indices of the calls' prototypes.
	parameters *[len(nameEnds)]uint16
}

// ARM numbers a few calls from 0x0f0000 on, outside its table (arch/arm/include/uapi/asm/unistd.h).
const (
	privateBase = 0x0f0000
	privateBit  = 0x8000
	noNumber    = 0xffff
)

// ABIs returns every ABI that the OCI runtime specification names.
func ABIs() []*ABI { return slices.Clone(abis[:]) }

// ByOCI returns the ABI that the OCI runtime specification calls so (SCMP_ARCH_X86_64), or nil.
func ByOCI(name string) *ABI {
	return find(func(a *ABI) bool { return a.OCI == name })
}

// ByName returns the ABI that libseccomp calls so (x86_64), or nil.
func ByName(name string) *ABI {
	return find(func(a *ABI) bool { return a.Name == name })
}

// Native returns the ABI of programs for a GOARCH, or nil.
func Native(goarch string) *ABI {
	return find(func(a *ABI) bool { return a.goarch == goarch && goarch != "" })
}

func find(is func(*ABI) bool) *ABI {
	for _, a := range abis {
		if is(a) {
			return a
		}
	}
	return nil
}

// Number returns the call's number as it stands in seccomp_data.nr, Base included.
func (a *ABI) Number(c Call) (number uint32, ok bool) {
	if int(c) >= len(a.numbers) {
		return 0, false
	}
	switch n := uint32(a.numbers[c]); {
	case n == noNumber:
		return 0, false
	case n&privateBit != 0:
		return privateBase + n - privateBit + a.Base, true
	default:
		return n + a.Base, true
	}
}

// Call returns the call that has a number, as it stands in seccomp_data.nr.
func (a *ABI) Call(number uint32) (Call, bool) {
	n, calls := number-a.Base, a.calls[:]
	if n >= privateBase {
		n, calls = n-privateBase, a.private
	}
	if n >= uint32(len(calls)) || calls[n] == 0 {
		return 0, false
	}
	return calls[n], true
}

// Numbers yields the numbers of the ABI's calls, ascending, with the calls.
func (a *ABI) Numbers() iter.Seq2[uint32, Call] {
	return func(yield func(uint32, Call) bool) {
		_ = yieldNumbers(a.calls[:], a.Base, yield) && yieldNumbers(a.private, a.Base+privateBase, yield)
	}
}

// yieldNumbers yields calls that are numbered from first on and says whether more are wanted.
func yieldNumbers(calls []Call, first uint32, yield func(uint32, Call) bool) bool {
	for n, c := range calls {
		if c != 0 && !yield(first+uint32(n), c) {
			return false
		}
	}
	return true
}

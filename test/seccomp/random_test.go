// SPDX-License-Identifier: Apache-2.0

package seccomp_test

import (
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
	"github.com/bulkhead-project/bulkhead/test/seccomp/meaning"
)

// random makes profiles and the calls that tell them apart.
type random struct{ *rand.Rand }

func newRandom(seed uint64) random { return random{rand.New(rand.NewPCG(seed, 3))} }

func one[T any](r random, list []T) T { return list[r.IntN(len(list))] }

// chance is true once in n.
func (r random) chance(n int) bool { return r.IntN(n) == 0 }

// machines are native ABIs with what profiles list for them. The common ones come more often.
var machines = [][]string{
	{"SCMP_ARCH_X86_64"}, {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86_64"}, {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"},
	{"SCMP_ARCH_X86_64", "SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"}, {"SCMP_ARCH_X86_64", "SCMP_ARCH_X32"}, {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86"},
	{"SCMP_ARCH_X86", "SCMP_ARCH_X86"}, {"SCMP_ARCH_AARCH64", "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"}, {"SCMP_ARCH_S390X", "SCMP_ARCH_S390X", "SCMP_ARCH_S390"},
	{"SCMP_ARCH_PPC64LE"}, {"SCMP_ARCH_PPC64", "SCMP_ARCH_PPC"}, {"SCMP_ARCH_RISCV64"}, {"SCMP_ARCH_LOONGARCH64"},
	{"SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPS64N32", "SCMP_ARCH_MIPS"}, {"SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL"},
}

// pool are calls with arguments of every kind: of 64 bits, signed and unsigned ints, 16 bits, pointers; old and new ones, one that does not
// exist, ones that exist on some architectures, and the multiplexers with calls of theirs.
var pool = strings.Fields(`read write getpriority socket socket clone mmap mmap lseek ioctl fcntl personality setpriority prctl kcmp futex
	bind connect accept accept4 semget semop shmat socketcall ipc openat2 close_range clone3 mseal statmount fchmodat2 arch_prctl
	execveat copy_file_range chmod umask setuid getuid truncate fallocate syslog frobnicate`)

// oldPool are those of the pool that every library knows.
var oldPool = strings.Fields("read getpriority socket socket clone mmap lseek lseek ioctl fcntl personality setpriority prctl kcmp futex bind fallocate truncate socketcall")

var operators = []string{"SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_MASKED_EQ"}

var actions = []string{"SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP", "SCMP_ACT_ERRNO", "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE", "SCMP_ACT_LOG", "SCMP_ACT_ALLOW"}

// value is a number near a border of some width, or any.
func (r random) value() uint64 {
	switch r.IntN(10) {
	case 0, 1, 2:
		return r.Uint64N(6)
	case 3:
		return 1<<31 - 2 + r.Uint64N(5)
	case 4:
		return 1<<32 - 2 + r.Uint64N(5)
	case 5:
		return r.Uint64N(6) | 1<<32
	case 6:
		return -r.Uint64N(4)
	case 7:
		return 1<<63 - 2 + r.Uint64N(5)
	case 8:
		return r.Uint64N(1 << 16)
	}
	return r.Uint64()
}

// profile makes a profile of 1 to 8 entries. raw compares all conditions at 64 bits, and is of calls that every library knows.
func (r random) profile(raw bool) *meaning.Profile {
	machine := one(r, machines)
	for raw && machine[0] == "SCMP_ARCH_LOONGARCH64" { // libseccomp 2.5 has no such
		machine = one(r, machines)
	}
	p := &meaning.Profile{Native: machine[0], DefaultAction: "SCMP_ACT_ERRNO", Architectures: machine[1:]}
	main := "SCMP_ACT_ALLOW"
	if r.chance(4) {
		p.DefaultAction, main = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"
	}
	mixed := r.chance(2)
	if mixed && r.chance(3) {
		if p.DefaultAction = one(r, actions); p.DefaultAction == "SCMP_ACT_NOTIFY" {
			p.DefaultAction = "SCMP_ACT_TRACE"
		}
	}
	if p.DefaultAction == "SCMP_ACT_ERRNO" {
		p.DefaultErrnoRet = r.number()
	}
	pool := pool
	if raw && !r.chance(20) {
		pool = oldPool
	}
	few := make([]string, 1+r.IntN(3)) // several rules of one call are what is hard
	for i := range few {
		few[i] = one(r, pool)
	}
	for range 1 + r.IntN(8) {
		e := meaning.Entry{Action: main}
		if mixed && !r.chance(3) {
			e.Action = one(r, actions)
		}
		if e.Action == "SCMP_ACT_ERRNO" || e.Action == "SCMP_ACT_TRACE" {
			e.ErrnoRet = r.number()
		}
		for range 1 + r.IntN(2) {
			if name := one(r, append(few, one(r, pool))); !slices.Contains(e.Names, name) {
				e.Names = append(e.Names, name)
			}
		}
		for range max(0, r.IntN(5)-1) {
			r.addArg(&e, raw)
		}
		p.Syscalls = append(p.Syscalls, e)
	}
	return p
}

// number is an errno or the data of TRACE, or none.
func (r random) number() *uint16 {
	if r.chance(3) {
		return nil
	}
	n := one(r, []uint16{0, 1, 2, 38, 4094})
	return &n
}

// addArg adds a condition. One argument has a second condition at times, and then both are of 64 bits.
func (r random) addArg(e *meaning.Entry, raw bool) {
	a := meaning.Arg{Index: uint(r.IntN(3)), Value: r.value(), Op: one(r, operators), Width: one(r, []int{0, 0, 0, 32, 64})}
	if r.chance(6) {
		a.Index = uint(r.IntN(6))
	}
	if raw {
		a.Width = 64
	}
	if a.Op == "SCMP_CMP_MASKED_EQ" {
		a.ValueTwo = r.value()
		if !r.chance(4) {
			a.ValueTwo &= a.Value
		}
	}
	for i := range e.Args {
		if e.Args[i].Index == a.Index {
			if !r.chance(5) || raw && !r.chance(10) {
				return
			}
			e.Args[i].Width, a.Width = 64, 64
		}
	}
	e.Args = append(e.Args, a)
}

// call makes a call that the profile is about, mostly, with arguments at the borders of its conditions.
func (r random) call(p *meaning.Profile) bpf.Data {
	d := bpf.Data{InstructionPointer: r.Uint64()}
	abi := syscalls.ByOCI(one(r, append([]string{p.Native}, p.Architectures...)))
	name := one(r, one(r, p.Syscalls).Names)
	call, _ := syscalls.Lookup(name)
	number, ok := abi.Number(call)
	switch {
	case !ok || r.chance(12):
		number = abi.Base | uint32(r.IntN(480))
	case r.chance(50):
		number = one(r, []uint32{0xffffffff, 0x7fffffff, 0x80000000, 0x40000000, 511, 512, 600, 1000000}) ^ abi.Base
	}
	d.Arch, d.Number = abi.Audit, number
	if r.chance(60) {
		d.Arch = one(r, []uint32{0, 0x40000003, 0xc000003e, 0xc00000b7, 0x80000016})
	}
	var near []meaning.Arg
	for _, e := range p.Syscalls {
		if slices.Contains(e.Names, name) {
			near = append(near, e.Args...)
		}
	}
	for i := range d.Args {
		d.Args[i] = r.argument(uint(i), near) // of all 64 bits for i386, too, which is what int 0x80 of a process of 64 bits shows
	}
	if name == "socketcall" || name == "ipc" {
		d.Args[0] = r.Uint64N(26) | r.Uint64N(2)<<16
	}
	return d
}

// argument is a value at the border of a condition on it, or any.
func (r random) argument(index uint, near []meaning.Arg) uint64 {
	var v uint64
	for _, a := range near {
		if a.Index != index || r.chance(3) {
			continue
		}
		v = a.Value
		if a.Op == "SCMP_CMP_MASKED_EQ" {
			v = a.ValueTwo&a.Value | r.Uint64()&^a.Value&-r.Uint64N(2)
			if r.chance(3) {
				v ^= 1 << r.IntN(64)
			}
			break
		}
		v += r.Uint64N(3) - 1
		break
	}
	switch r.IntN(8) {
	case 0:
		return r.value()
	case 1:
		return v ^ 1<<(32+r.IntN(32))
	case 2:
		return uint64(int64(int32(v)))
	case 3:
		return v & 0xffffffff
	}
	return v
}

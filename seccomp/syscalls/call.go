// SPDX-License-Identifier: Apache-2.0

package syscalls

import "iter"

// Call is a system call by name, whatever its number: an index into the sorted table of names. The zero value is no call.
type Call uint16

// Lookup returns the call of a name. ARM has two names for one call: arm_sync_file_range is sync_file_range2 (arch/arm/include/uapi/asm/unistd.h).
func Lookup(name string) (Call, bool) {
	if name == "arm_sync_file_range" {
		name = "sync_file_range2"
	}
	h := hash(name)
	c := hashSlots[slot(h, hashSeeds[h%uint32(len(hashSeeds))])]
	if c == 0 || c.String() != name {
		return 0, false
	}
	return c, true
}

// String returns the call's name, "" for no call.
func (c Call) String() string {
	if c == 0 || int(c) >= len(nameEnds) {
		return ""
	}
	return names[nameEnds[c-1]:nameEnds[c]]
}

// Since returns the first mainline kernel that has the call, on whatever architecture came first: also where the call is a later addition to an ABI, as
// socket on x86. The zero Version stands for what is older than 3.0 and so than filters themselves, or never was in a kernel.
func (c Call) Since() Version {
	if int(c) >= len(since) {
		return Version{}
	}
	return Version{Major: uint8(since[c] >> 8), Minor: uint8(since[c])}
}

// Calls yields every call that is known, on whatever ABI, in the order of the names.
func Calls() iter.Seq[Call] {
	return func(yield func(Call) bool) {
		for c := Call(1); int(c) < len(nameEnds); c++ {
			if !yield(c) {
				return
			}
		}
	}
}

// hash takes eight bytes at a time. The generator has the same, and gives each bucket of names a seed that sends them to slots of their own.
func hash(name string) uint32 {
	h := uint64(len(name))
	for len(name) >= 8 {
		h = (h ^ eight(name)) * 0x9e3779b97f4a7c15
		h ^= h >> 32
		name = name[8:]
	}
	tail := uint64(0)
	for i := range len(name) {
		tail = tail<<8 | uint64(name[i])
	}
	h = (h ^ tail) * 0x9e3779b97f4a7c15
	return uint32(h >> 32)
}

// eight is one load to the compiler.
func eight(s string) uint64 {
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 | uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

func slot(h uint32, seed uint8) uint32 {
	return (h ^ uint32(seed)*0x9e3779b9) * 0x85ebca6b >> 22
}

// SPDX-License-Identifier: Apache-2.0

// Package mcs is the registry of category pairs: it gives each container on a host a pair of MCS categories that no
// other container has, such as c12,c907, and knows who holds which pair and which volumes are labelled for it.
//
// A registry is a directory with one file per held pair, named by the pair. There is no daemon, and no lock is held
// while a container runs. A pair is taken by linking a complete file to its name, which the kernel does once only, so a
// process killed at any point has either taken a pair and said who it is, or left nothing. Removing and rewriting hold
// a lock for as long as one file is read again and changed, so nobody removes a file that a successor has just made.
//
// A holder is a container: it lives as long as the path named as its record exists (which covers a stopped container),
// or as its process runs. Nothing watches for its end: Sweep frees the pairs of those that are gone. What cannot be
// read or understood is never taken for free. A pair has as many holders as share it, and is free when the last is gone;
// what a container labelled for itself alone holds the pair on, as long as the label is on disk.
//
// Hosts that share storage agree on pairs in an etcd, see Cluster.
//
// Limits: the processes that use one registry share a PID namespace and see each other in /proc; the directory is on a
// file system with O_TMPFILE and hard links (ext4, XFS, Btrfs, tmpfs, overlayfs since Linux 6.1).
package mcs

import (
	"cmp"
	"fmt"

	"github.com/bulkhead-project/bulkhead/selinux"
)

// Pairs is how many pairs of different categories there are.
const Pairs = selinux.MaxCategories * (selinux.MaxCategories - 1) / 2

// Pair is two categories, Low < High <= 1023.
type Pair struct{ Low, High uint16 }

// ParsePair reads "c12,c907", in either order. Anything but two different categories is an error.
func ParsePair(text string) (Pair, error) {
	set, err := selinux.ParseCategories(text)
	if err != nil {
		return Pair{}, err
	}
	pair, ok := PairOf(set)
	if !ok {
		return Pair{}, fmt.Errorf("categories %.64q: %d, where a pair has two", text, set.Len())
	}
	return pair, nil
}

// PairOf returns the pair that a set of exactly two categories is, such as that of a level to be reserved.
func PairOf(set selinux.CategorySet) (Pair, bool) {
	if set.Len() != 2 {
		return Pair{}, false
	}
	var members []uint16
	for category := range set.All() {
		members = append(members, category)
	}
	return Pair{members[0], members[1]}, true
}

// ParseRange reads "c512.c1023", the categories that pairs are drawn from: one run of two or more.
func ParseRange(text string) (low, high uint16, err error) {
	set, err := selinux.ParseCategories(text)
	if err != nil {
		return 0, 0, err
	}
	first := true
	for category := range set.All() {
		if !first && category != high+1 {
			return 0, 0, fmt.Errorf("range %.64q: c%d is missing, where a range is one run such as c512.c1023", text, high+1)
		}
		if first {
			low, first = category, false
		}
		high = category
	}
	if low == high {
		return 0, 0, fmt.Errorf("range %.64q: one category, where a pair has two", text)
	}
	return low, high, nil
}

// Categories returns the pair as a set.
func (p Pair) Categories() selinux.CategorySet { return selinux.Categories(p.Low, p.High) }

// Level returns the level of a container that holds the pair: s0 with the two categories.
func (p Pair) Level() selinux.Level { return selinux.Level{Categories: p.Categories()} }

// String is the name of the pair's file, and the kernel's form of the two categories.
func (p Pair) String() string { return fmt.Sprintf("c%d,c%d", p.Low, p.High) }

// compare orders pairs by their lower category, then their higher.
func (p Pair) compare(other Pair) int {
	return cmp.Or(cmp.Compare(p.Low, other.Low), cmp.Compare(p.High, other.High))
}

func (p Pair) check() error {
	if p.Low >= p.High || p.High >= selinux.MaxCategories {
		return fmt.Errorf("pair %s: its categories do not rise within c0 to c%d", p, selinux.MaxCategories-1)
	}
	return nil
}

// pairFromName reads the canonical name of a pair's file, without allocating: a full directory has half a million.
func pairFromName(name string) (Pair, bool) {
	low, rest, ok := categoryFromName(name)
	if !ok || rest == "" || rest[0] != ',' {
		return Pair{}, false
	}
	high, rest, ok := categoryFromName(rest[1:])
	return Pair{low, high}, ok && rest == "" && low < high
}

func categoryFromName(name string) (category uint16, rest string, ok bool) {
	if name == "" || name[0] != 'c' {
		return 0, "", false
	}
	digits := 1
	for ; digits < len(name) && digits < 5 && name[digits] >= '0' && name[digits] <= '9'; digits++ {
		category = category*10 + uint16(name[digits]-'0')
	}
	canonical := digits > 1 && (digits == 2 || name[1] != '0')
	return category, name[digits:], canonical && category < selinux.MaxCategories
}

// pairSet is a set of pairs; 128 KiB. A nil set is empty.
type pairSet [selinux.MaxCategories * selinux.MaxCategories / 64]uint64

func (s *pairSet) add(pairs ...Pair) {
	for _, p := range pairs {
		s[p.word()] |= 1 << (p.High % 64)
	}
}

func (s *pairSet) has(p Pair) bool { return s != nil && s[p.word()]>>(p.High%64)&1 != 0 }

func (p Pair) word() int { return (int(p.Low)*selinux.MaxCategories + int(p.High)) / 64 }

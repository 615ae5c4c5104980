// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// tables is everything that is written.
type tables struct {
	abis  []*abi
	names []string // sorted; call n is names[n-1]
	calls map[string]int
	since []uint16 // major<<8 | minor, by call
	seeds []uint8  // of the perfect hash, by bucket
	slots []uint16 // calls by slot
	// parameters are the distinct prototypes with the widths of their parameters; the first is that of what is not known.
	parameters []reading
}

// reading is a prototype as a table has it.
type reading struct {
	text string
	code uint32
}

// newTables numbers the names of all ABIs.
func newTables(abis []*abi) (*tables, error) {
	t := &tables{abis: abis, calls: map[string]int{}}
	for _, a := range abis {
		for _, e := range a.entries {
			t.names = append(t.names, e.name)
		}
	}
	slices.Sort(t.names)
	t.names = slices.Compact(t.names)
	for i, name := range t.names {
		t.calls[name] = i + 1
	}
	t.collectParameters()
	if err := t.readSince(); err != nil {
		return nil, err
	}
	return t, t.findHash()
}

// readSince reads data/since.txt, in which every call stands once.
func (t *tables) readSince() error {
	lines, err := dataRecords("since.txt", 2)
	if err != nil {
		return err
	}
	t.since = make([]uint16, len(t.names)+1)
	seen := map[string]bool{}
	for _, line := range lines {
		var major, minor uint16
		if _, err := fmt.Sscanf(line[0], "%d.%d", &major, &minor); err != nil || major > 0xff || minor > 0xff {
			return fmt.Errorf("since.txt: %q is no version", line[0])
		}
		for name := range strings.FieldsSeq(line[1]) {
			if t.calls[name] == 0 || seen[name] {
				return fmt.Errorf("since.txt: %s is no call, or stands twice", name)
			}
			seen[name] = true
			t.since[t.calls[name]] = major<<8 | minor
		}
	}
	for _, name := range t.names {
		if !seen[name] {
			return fmt.Errorf("since.txt: %s is missing", name)
		}
	}
	return nil
}

func (e entry) reading() reading {
	if e.prototype == nil {
		return reading{text: unknownParameters}
	}
	return reading{e.prototype.String(), e.code}
}

// unknownParameters stand for a prototype that is not known.
const unknownParameters = "..."

// collectParameters sorts the distinct prototypes.
func (t *tables) collectParameters() {
	for _, a := range t.abis {
		for _, e := range a.entries {
			t.parameters = append(t.parameters, e.reading())
		}
	}
	slices.SortFunc(t.parameters, compareReadings)
	t.parameters = slices.Compact(t.parameters)
	unknown := slices.Index(t.parameters, reading{text: unknownParameters})
	t.parameters = slices.Insert(slices.Delete(t.parameters, unknown, unknown+1), 0, reading{text: unknownParameters})
}

func compareReadings(a, b reading) int {
	return cmp.Or(strings.Compare(a.text, b.text), cmp.Compare(a.code, b.code))
}

// parametersByCall are indices into t.parameters.
func (t *tables) parametersByCall(a *abi) []uint16 {
	indices := make([]uint16, len(t.names)+1)
	for _, e := range a.entries {
		if e.prototype != nil {
			i, _ := slices.BinarySearchFunc(t.parameters[1:], e.reading(), compareReadings)
			indices[t.calls[e.name]] = uint16(i + 1)
		}
	}
	return indices
}

// Sizes of the hash; package syscalls has the same.
const (
	hashBuckets = 256
	hashSlots   = 1024
)

// hash is that of package syscalls.
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

// slot is that of package syscalls: where a name of hash h lies when its bucket has the seed.
func slot(h uint32, seed uint8) uint32 {
	return (h ^ uint32(seed)*0x9e3779b9) * 0x85ebca6b >> 22
}

// findHash finds a seed for each bucket, the fullest first, such that no two names share a slot.
func (t *tables) findHash() error {
	buckets := make([][]string, hashBuckets)
	for _, name := range t.names {
		b := hash(name) % hashBuckets
		buckets[b] = append(buckets[b], name)
	}
	order := make([]int, hashBuckets)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return len(buckets[j]) - len(buckets[i]) })
	t.seeds, t.slots = make([]uint8, hashBuckets), make([]uint16, hashSlots)
	for _, b := range order {
		if !t.place(b, buckets[b]) {
			return fmt.Errorf("no seed separates %v", buckets[b])
		}
	}
	return nil
}

// place finds the bucket's seed and enters its names.
func (t *tables) place(bucket int, names []string) bool {
	for seed := range 256 {
		taken := map[uint32]bool{}
		for _, name := range names {
			s := slot(hash(name), uint8(seed))
			if t.slots[s] != 0 || taken[s] {
				break
			}
			taken[s] = true
		}
		if len(taken) < len(names) {
			continue
		}
		t.seeds[bucket] = uint8(seed)
		for _, name := range names {
			t.slots[slot(hash(name), uint8(seed))] = uint16(t.calls[name])
		}
		return true
	}
	return false
}

// privateBase and privateBit pack the numbers of ARM's private calls into 16 bits, as package syscalls reads them.
const (
	privateBase = 0x0f0000
	privateBit  = 0x8000
	noNumber    = 0xffff
)

func packed(number uint32) uint16 {
	if number >= privateBase {
		return uint16(number-privateBase) | privateBit
	}
	return uint16(number)
}

// numbers are the ABI's packed numbers by call, noNumber where it has none.
func (t *tables) numbers(a *abi) []uint16 {
	numbers := slices.Repeat([]uint16{noNumber}, len(t.names)+1)
	for _, e := range a.entries {
		numbers[t.calls[e.name]] = packed(e.number)
	}
	return numbers
}

// callsByNumber are the calls of the ABI's table, and of the private numbers, by number.
func (t *tables) callsByNumber(a *abi) (table, private []uint16) {
	for _, e := range a.entries {
		list, index := &table, e.number
		if e.number >= privateBase {
			list, index = &private, e.number-privateBase
		}
		for uint32(len(*list)) <= index {
			*list = append(*list, 0)
		}
		(*list)[index] = uint16(t.calls[e.name])
	}
	return table, private
}

// tableSize is one more than the largest number of any ABI's table.
func (t *tables) tableSize() int {
	size := 0
	for _, a := range t.abis {
		table, _ := t.callsByNumber(a)
		size = max(size, len(table))
	}
	return size
}

// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

var orderings = []Operator{NotEqual, Less, LessEqual, Equal, GreaterEqual, Greater}

// types are all that the kernel reads of arguments, and an argument that it does not read.
var types = []syscalls.Type{{}, {Bits: 8}, {Bits: 16}, {Bits: 32}, {Bits: 64}, {Bits: 8, Signed: true}, {Bits: 16, Signed: true}, {Bits: 32, Signed: true}, {Bits: 64, Signed: true}}

// read returns the number that bits of a register are.
func read(value uint64, bits uint8, signed bool) *big.Int {
	value &= math.MaxUint64 >> (64 - bits)
	n := new(big.Int).SetUint64(value)
	if signed && value>>(bits-1) != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(bits)))
	}
	return n
}

// meant returns the number that a profile's value means where it is compared with so many bits: two's complement of that width, or of 64 bits.
func meant(value uint64, bits uint8, signed bool) *big.Int {
	highBits := ^(uint64(math.MaxUint64) >> (64 - bits))
	if n := new(big.Int).SetUint64(value); value&highBits == 0 && !signed {
		return n
	}
	if value&highBits == 0 {
		return read(value, bits, true)
	}
	n := read(value, 64, signed)
	if !signed && value|math.MaxUint64>>(64-bits)>>1 == math.MaxUint64 { // a negative number of that width, where the type has none: its bits
		n = read(value, bits, false)
	}
	return n
}

func holdsInMathematics(c Condition, t syscalls.Type, word int, argument uint64) bool {
	bits, signed := t.Bits, t.Signed
	if c.Width != 0 {
		bits, signed = uint8(c.Width), false
	}
	if bits == 0 {
		bits, signed = 64, false
	}
	bits = min(bits, uint8(word))
	if c.Op == MaskedEqual {
		mask := c.Mask & (math.MaxUint64 >> (64 - bits))
		return argument&mask == c.Value&mask
	}
	order := read(argument, bits, signed).Cmp(meant(c.Value, bits, signed))
	return map[Operator]bool{NotEqual: order != 0, Less: order < 0, LessEqual: order <= 0, Equal: order == 0, GreaterEqual: order >= 0, Greater: order > 0}[c.Op]
}

// checkCondition holds the three against each other: mathematics, the direct meaning and the values that the compiler works with.
func checkCondition(t *testing.T, c Condition, kind syscalls.Type, word int, argument uint64) {
	t.Helper()
	want := holdsInMathematics(c, kind, word, argument)
	if got := c.Holds(kind, word, argument); got != want {
		t.Fatalf("%+v of %+v, %d bits: %#x: %v", c, kind, word, argument, got)
	}
	v := viewOf(c, kind, word)
	if c.Op == MaskedEqual {
		return
	}
	list := v.values(c)
	if contains(list, argument&v.mask()) != want {
		t.Fatalf("%+v of %+v, %d bits: %#x: values %#x", c, kind, word, argument, list)
	}
	for i, r := range list {
		if r.low > r.high || r.high > v.mask() || i > 0 && r.low <= list[i-1].high {
			t.Fatalf("%+v of %+v: values %#x", c, kind, list)
		}
	}
}

// boundaries are values at which something changes for some width and sign.
func boundaries() []uint64 {
	values := []uint64{0, 1, 40}
	for _, bits := range []uint{7, 8, 15, 16, 31, 32, 63} {
		for _, at := range []uint64{1 << bits, math.MaxUint64 << bits} {
			values = append(values, at-1, at, at+1)
		}
	}
	return append(values, math.MaxUint64, math.MaxUint64-1, math.MaxUint64-39, 1<<32|40, 40|1<<63, 0xffffffff00000000, 0xffff0000ffffffff)
}

func TestConditionsAtEveryBoundary(t *testing.T) {
	values := boundaries()
	for _, kind := range types {
		for _, word := range []int{32, 64} {
			for _, width := range []int{0, 32, 64} {
				for _, op := range append(orderings, MaskedEqual) {
					for _, value := range values {
						for _, argument := range values {
							checkCondition(t, Condition{Op: op, Value: value, Mask: 0xffff00ff0000ff80, Width: width}, kind, word, argument)
						}
					}
				}
			}
		}
	}
}

func FuzzConditions(f *testing.F) {
	for i, value := range boundaries() {
		f.Add(uint8(i), uint8(i), value, value-1, uint64(i))
	}
	f.Fuzz(func(t *testing.T, op, kind uint8, value, argument, mask uint64) {
		c := Condition{Op: Operator(1 + op%7), Value: value, Mask: mask, Width: []int{0, 32, 64}[kind/9%3]}
		for _, word := range []int{32, 64} {
			checkCondition(t, c, types[int(kind)%len(types)], word, argument)
		}
	})
}

func TestWhatProfilesWriteForNumbers(t *testing.T) {
	signed, unsigned, long := syscalls.Type{Bits: 32, Signed: true}, syscalls.Type{Bits: 32}, syscalls.Type{Bits: 64}
	for _, test := range []struct {
		name     string
		kind     syscalls.Type
		op       Operator
		value    uint64
		width    int
		argument uint64
		want     bool
	}{
		{"MinusOneIn32Bits", signed, Equal, 0xffffffff, 0, 0xffffffff, true},
		{"MinusOneIn64Bits", signed, Equal, math.MaxUint64, 0, 0xffffffff, true},
		{"MinusOneIn64BitsOfAnUnsignedInt", unsigned, Equal, math.MaxUint64, 0, 0xffffffff, true},
		{"MinusOneIn32BitsIsNotMinusOneOfALong", long, Equal, 0xffffffff, 0, math.MaxUint64, false},
		{"HighBitsOfAnIntDoNotCount", signed, Equal, 40, 0, 40 | 1<<32, true},
		{"HighBitsOfAnIntDoNotPassNotEqual", signed, NotEqual, 40, 0, 40 | 1<<32, false},
		{"HighBitsOfAnIntDoNotPassGreater", signed, Greater, 40, 0, 40 | 1<<32, false},
		{"RawBitsDoCount", signed, Equal, 40, 64, 40 | 1<<32, false},
		{"NegativeIsLess", signed, Less, 5, 0, 0xfffffff0, true},
		{"NegativeIsNotLessAsUnsigned", unsigned, Less, 5, 0, 0xfffffff0, false},
		{"NegativeIsNotLessInRawBits", signed, Less, 5, 32, 0xfffffff0, false},
		{"ValueAboveTheTypeIsNeverEqual", signed, Equal, 1 << 32, 0, 0, false},
		{"ValueAboveTheTypeIsGreaterThanAll", signed, Less, 1 << 32, 0, 0x7fffffff, true},
		{"ValueBelowTheTypeIsLessThanAll", signed, Greater, 1 << 63, 0, 0x80000000, true},
		{"ValueBelowTheTypeIsNeverEqual", signed, NotEqual, 1 << 63, 0, 0, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := Condition{Op: test.op, Value: test.value, Width: test.width}
			checkCondition(t, c, test.kind, 64, test.argument)
			if got := c.Holds(test.kind, 64, test.argument); got != test.want {
				t.Errorf("%v", got)
			}
		})
	}
}

func TestListsOfIntervals(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 8))
	list := func() []interval {
		var out []interval
		for low := uint64(random.IntN(4)); low < 40; low += 2 + uint64(random.IntN(9)) {
			out = append(out, interval{low, low + uint64(random.IntN(2))})
		}
		return out
	}
	for range 500 {
		a, b := list(), list()
		both, either := intersect(a, b), joined(slices.Concat(a, b))
		for value := range uint64(60) {
			if inA, inB := contains(a, value), contains(b, value); contains(both, value) != (inA && inB) || contains(either, value) != (inA || inB) {
				t.Fatalf("%d of %v and %v", value, a, b)
			}
		}
		for i := range either {
			if i > 0 && either[i].low <= either[i-1].high+1 {
				t.Fatalf("%v are not joined", either)
			}
		}
	}
	if whole := joined([]interval{{5, math.MaxUint64}, {0, 4}, {7, 9}}); !slices.Equal(whole, []interval{{0, math.MaxUint64}}) {
		t.Errorf("%v", whole)
	}
}

// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// someTest is a test of a word of few bits, spread over the word by spread.
func someTest(random *rand.Rand, spread func(uint32) uint32) test {
	mask, value := spread(random.Uint32()), spread(random.Uint32())
	switch random.IntN(6) {
	case 0, 1:
		return equal(mask, value&mask)
	case 2:
		return equal(whole, value)
	case 3:
		return atLeast(mask, spread(random.Uint32()), value&mask)
	case 4:
		return atLeast(mask, 0, value&mask)
	}
	return atLeast(whole, 0, value)
}

// TestNarrowingIsExact divides a region again and again by tests of a word and holds what the region says of the word against all its values.
// The word has ten bits that matter, at its ends and in the middle; the others are 0.
func TestNarrowingIsExact(t *testing.T) {
	const bitsThatMatter = 0xe0010007 | 0x00380000
	var all []uint32
	for w := uint32(0); ; w = (w - bitsThatMatter) & bitsThatMatter { // the next submask
		all = append(all, w)
		if w == bitsThatMatter {
			break
		}
	}
	if len(all) != 1024 {
		t.Fatalf("%d values", len(all))
	}
	random := seeded(9)
	spread := func(v uint32) uint32 { return v & bitsThatMatter }
	empties, deep, searches := 0, 0, 0
	for range 6000 {
		region := Everything()
		steps := 1 << 30
		_, region, _ = region.Equal(Word{8, ^uint32(bitsThatMatter)}, 1<<5) // a condition that is left aside
		region, _, err := region.Equal(Word{8, ^uint32(bitsThatMatter)}, 0)
		if err != nil {
			t.Fatal(err)
		}
		values := all
		for depth := 0; len(values) > 0; depth++ {
			tested := someTest(random, spread)
			yes, no := region.split(2, tested, &steps)
			holds, fails := region, region
			holds.set(2, yes)
			fails.set(2, no)
			var passing, failing []uint32
			for _, w := range values {
				if tested.holds(w) {
					passing = append(passing, w)
				} else {
					failing = append(failing, w)
				}
			}
			saysOf(t, &holds, passing)
			saysOf(t, &fails, failing)
			if len(passing) == 0 || len(failing) == 0 {
				empties++
			}
			if region, values = holds, passing; len(passing) == 0 || len(failing) > 0 && random.IntN(2) == 0 {
				region, values = fails, failing
			}
			if depth > 40 {
				deep++
				break
			}
		}
		if 1<<30-steps > 500 {
			searches++
		}
	}
	t.Logf("%d tests that all or no values pass, %d words divided 40 times, %d with a long search", empties, deep, searches)
	if empties < 1000 || deep < 1000 || searches < 1000 {
		t.Error("the test does not test what it should")
	}
}

// saysOf holds what the region says of the word at offset 8 against the values that it has.
func saysOf(t *testing.T, r *Region, values []uint32) {
	t.Helper()
	if r.Empty() != (len(values) == 0) {
		t.Fatalf("empty: %v, where there are %d values", r.Empty(), len(values))
	}
	if r.Empty() {
		return
	}
	if low, high := r.Range(8); low != values[0] || high != values[len(values)-1] {
		t.Fatalf("from %#x to %#x, not %#x to %#x", low, high, values[0], values[len(values)-1])
	}
	data := r.Witness(LittleEndian)
	if data.Word(LittleEndian, 8) != values[0] || !r.Contains(LittleEndian, &data) {
		t.Fatalf("the witness %+v is not in the region", data)
	}
}

func TestQuestionsOfWords(t *testing.T) {
	low, high := Word{Offset: 16, Mask: ^uint32(0)}, Word{Offset: 20, Mask: 0xff00}
	everything := Everything()
	for name, c := range map[string]struct {
		ask          func(r *Region) (Region, Region, error)
		offset       uint32
		yes, no      [2]uint32
		noYes, noneN bool
	}{
		"Equal":                     {func(r *Region) (Region, Region, error) { return r.Equal(low, 7) }, 16, [2]uint32{7, 7}, [2]uint32{0, whole}, false, false},
		"EqualToTheLeast":           {func(r *Region) (Region, Region, error) { return r.Equal(low, 0) }, 16, [2]uint32{0, 0}, [2]uint32{1, whole}, false, false},
		"EqualToTheGreatest":        {func(r *Region) (Region, Region, error) { return r.Equal(low, whole) }, 16, [2]uint32{whole, whole}, [2]uint32{0, whole - 1}, false, false},
		"AtLeast":                   {func(r *Region) (Region, Region, error) { return r.AtLeast(low, 7) }, 16, [2]uint32{7, whole}, [2]uint32{0, 6}, false, false},
		"AtLeastZeroIsAll":          {func(r *Region) (Region, Region, error) { return r.AtLeast(low, 0) }, 16, [2]uint32{0, whole}, [2]uint32{}, false, true},
		"MaskedEqual":               {func(r *Region) (Region, Region, error) { return r.Equal(high, 0x1200) }, 20, [2]uint32{0x1200, 0xffff12ff}, [2]uint32{0, whole}, false, false},
		"MaskedEqualToMoreThanMask": {func(r *Region) (Region, Region, error) { return r.Equal(high, 0x1201) }, 20, [2]uint32{}, [2]uint32{0, whole}, true, false},
		"MaskedAtLeast":             {func(r *Region) (Region, Region, error) { return r.AtLeast(high, 0x1201) }, 20, [2]uint32{0x1300, whole}, [2]uint32{0, 0xffff12ff}, false, false},
		"MaskedAtLeastMoreThanMask": {func(r *Region) (Region, Region, error) { return r.AtLeast(high, 0xff01) }, 20, [2]uint32{}, [2]uint32{0, whole}, true, false},
		"NoMask":                    {func(r *Region) (Region, Region, error) { return r.Equal(Word{Offset: 20}, 0) }, 20, [2]uint32{0, whole}, [2]uint32{}, false, true},
	} {
		yes, no, err := c.ask(&everything)
		if err != nil || yes.Empty() != c.noYes || no.Empty() != c.noneN {
			t.Errorf("%s: %v, empty: %v and %v", name, err, yes.Empty(), no.Empty())
			continue
		}
		if from, to := yes.Range(c.offset); !c.noYes && [2]uint32{from, to} != c.yes {
			t.Errorf("%s: holds from %#x to %#x", name, from, to)
		}
		if from, to := no.Range(c.offset); !c.noneN && [2]uint32{from, to} != c.no {
			t.Errorf("%s: fails from %#x to %#x", name, from, to)
		}
	}
}

func TestAnEmptyRegionStaysEmpty(t *testing.T) {
	r := Everything()
	_, none, _ := r.AtLeast(Word{Offset: 16, Mask: whole}, 0)
	holds, fails, err := none.Equal(Word{Offset: 0, Mask: whole}, 3)
	if err != nil || !none.Empty() || !holds.Empty() || !fails.Empty() || none.Contains(LittleEndian, &Data{}) {
		t.Errorf("%v %v %v %v", err, none.Empty(), holds.Empty(), fails.Empty())
	}
	err = Explore([]Instruction{{RET | K, 0, 0, 0}}, none, 10, func(*Region, uint32) error { t.Error("visited"); return nil })
	if err != nil {
		t.Error(err)
	}
}

// contradiction narrows a word by random conditions of the hard kind: three bits each, about as many as leave a solution or none.
func contradiction(random *rand.Rand, steps *int, clauses int) {
	region := Everything()
	for range clauses {
		mask := uint32(0)
		for range 3 {
			mask |= 1 << random.IntN(32)
		}
		_, no := region.split(5, equal(mask, random.Uint32()&mask), steps)
		if !no.exists || *steps < 0 {
			return
		}
		region.set(5, no)
	}
}

func TestHardContradictionsAreFoundWithinTheLimit(t *testing.T) {
	random := seeded(10)
	most := 0
	for range 100 {
		steps := regionSteps
		contradiction(random, &steps, 200)
		if steps < 0 {
			t.Fatal("the limit does not suffice for random conditions of three bits")
		}
		most = max(most, regionSteps-steps)
	}
	t.Logf("at most %d steps", most)
	if most < 10000 {
		t.Errorf("at most %d steps: the conditions are not hard", most)
	}
}

func TestTooManyConditionsAreAnError(t *testing.T) {
	random := seeded(11)
	var program []Instruction
	for range 1000 { // conditions of seven bits, which leave a word, but hide it
		mask := uint32(0)
		for range 7 {
			mask |= 1 << random.IntN(32)
		}
		program = append(program, Instruction{LD | W | ABS, 0, 0, 16}, Instruction{ALU | AND | K, 0, 0, mask}, Instruction{JMP | JEQ | K, 0, 1, random.Uint32() & mask}, Instruction{RET | K, 0, 0, 0})
	}
	program = append(program, Instruction{RET | K, 0, 0, 1})
	if err := Check(program); err != nil {
		t.Fatal(err)
	}
	err := Explore(program, Everything(), 1<<22, func(*Region, uint32) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "more than 4194304 steps") {
		t.Errorf("got %v", err)
	}
}

// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
)

// Compare calls visit for regions that do not overlap and together are start, with what the programs a and b return for all calls of the region.
// Limits and errors are those of Explore, the limit being one for both programs.
func Compare(a, b []Instruction, start Region, limit int, visit func(region *Region, a, b uint32) error) error {
	for i, program := range [][]Instruction{a, b} {
		if err := Check(program); err != nil {
			return fmt.Errorf("%s%w", titles[i], err)
		}
	}
	if start.empty {
		return nil
	}
	first := explorer{program: a, title: titles[0], region: &start, limit: limit, steps: &limit}
	second := explorer{program: b, title: titles[1], region: &start, limit: limit, steps: &limit}
	first.visit = func(_ *Region, ofA uint32) error {
		second.visit = func(region *Region, ofB uint32) error { return visit(region, ofA, ofB) }
		return second.walk(0, registers{})
	}
	return first.walk(0, registers{})
}

// titles of the two programs in errors.
var titles = [2]string{"first program: ", "second program: "}

// Difference is a call on which two programs differ, with what they return for it.
type Difference struct {
	Data Data
	A, B uint32
}

// Diff returns a call for which the programs return different values, nil if there is none. Limits and errors are those of Compare.
func Diff(order Order, a, b []Instruction, limit int) (*Difference, error) {
	var found *Difference
	stop := errors.New("found")
	err := Compare(a, b, Everything(), limit, func(region *Region, ofA, ofB uint32) error {
		if ofA == ofB {
			return nil
		}
		found = &Difference{region.Witness(order), ofA, ofB}
		return stop
	})
	if err == stop {
		err = nil
	}
	return found, err
}

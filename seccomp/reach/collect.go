// SPDX-License-Identifier: Apache-2.0

package reach

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

// made is a call by the number that makes it.
type made struct {
	abi    *syscalls.ABI
	number uint32
	call   syscalls.Call
}

// collection gathers what the instructions of a program make.
type collection struct {
	e      *exploration
	result *Result
	sites  map[made][]Site
}

// collect resolves every system call instruction that was reached.
func (e *exploration) collect(result *Result) error {
	native, compat := abiNames(e.objects[0].file)
	result.ABI = syscalls.ByName(native)
	c := collection{e, result, map[made][]Site{}}
	for _, r := range e.order {
		for _, p := range r.traps {
			if p.trap == trapCompat {
				c.add(r, p, syscalls.ByName(compat))
			} else {
				c.add(r, p, result.ABI)
			}
			if e.left < 0 {
				return errTooMuch
			}
		}
	}
	c.sortCalls()
	slices.SortFunc(result.Unresolved, compareSites)
	result.Unresolved = slices.Compact(result.Unresolved)
	for name, by := range e.missing {
		result.Undefined = append(result.Undefined, Missing{name, by.path})
	}
	for name, by := range e.reached {
		if loads(name) {
			result.Loads = append(result.Loads, Missing{name, by})
		}
	}
	for _, list := range [][]Missing{result.Undefined, result.Loads} {
		slices.SortFunc(list, func(a, b Missing) int { return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.By, b.By)) })
	}
	return nil
}

// add resolves one instruction.
func (c *collection) add(r *routine, p placed, abi *syscalls.ABI) {
	numbers, unknown := c.e.resolve(r, p, r.o.machine.numberRegister())
	c.result.Unresolved = append(c.result.Unresolved, unknown...)
	for _, number := range numbers {
		call, ok := abi.Call(number)
		if !ok {
			c.result.Unresolved = append(c.result.Unresolved, r.site(p.pc, fmt.Sprintf("passes %d, which is no call of %s", int32(number), abi.Name)))
			continue
		}
		c.note(made{abi, number, call}, r, p)
		if served := abi.Multiplexed(call); served != nil {
			c.addServed(r, p, made{abi, number, call}, served)
		}
	}
}

func (c *collection) note(m made, r *routine, p placed) {
	c.sites[m] = append(c.sites[m], r.site(p.pc, ""))
}

// addServed resolves which calls are made through socketcall or ipc, which say so in the first argument: ebx. Any may be where that is unknown.
func (c *collection) addServed(r *routine, p placed, through made, served []syscalls.Subcall) {
	numbers, unknown := c.e.resolve(r, p, x86BX)
	for _, subcall := range served {
		if len(unknown) > 0 || slices.ContainsFunc(numbers, func(n uint32) bool { return n&subcall.Mask == subcall.Number }) {
			c.note(made{through.abi, through.number, subcall.Call}, r, p)
		}
	}
}

// sortCalls writes the calls into the result.
func (c *collection) sortCalls() {
	for m, found := range c.sites {
		slices.SortFunc(found, compareSites)
		c.result.Calls = append(c.result.Calls, Call{m.abi, m.call, m.number, slices.Compact(found)})
	}
	slices.SortFunc(c.result.Calls, func(a, b Call) int {
		return cmp.Or(strings.Compare(a.ABI.Name, b.ABI.Name), cmp.Compare(a.Number, b.Number), cmp.Compare(a.Call, b.Call))
	})
}

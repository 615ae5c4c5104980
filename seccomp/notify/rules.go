// SPDX-License-Identifier: Apache-2.0

// Package notify answers the calls that a filter hands to user space (SCMP_ACT_NOTIFY): a supervisor with the listener's descriptor tells the
// kernel, call by call, to carry it out, to fail it or to return a value.
//
// Limits: an answer depends on the call's number and on its arguments as they are in registers. What an argument points to is not read: the
// caller's other threads could change it between the look and the kernel's own. For the same reason Continue decides nothing about security: the
// kernel looks at the arguments in memory once more, and a second filter or another layer has to hold.
//
// Source: seccomp_unotify(2), Linux 6.18.
package notify

import (
	"fmt"

	"github.com/bulkhead-project/bulkhead/seccomp"
	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

// Answer is what becomes of a call. The zero value has it return 0 without having been carried out.
type Answer struct {
	Continue bool   // the kernel carries the call out
	Errno    uint16 // what it fails with, if not 0
	Value    int64  // what it returns otherwise
}

// maximumErrno is the kernel's MAX_ERRNO.
const maximumErrno = 4095

func (a Answer) check() error {
	switch {
	case a.Continue && (a.Errno != 0 || a.Value != 0):
		return fmt.Errorf("a call that goes on has no result of its own")
	case a.Errno != 0 && a.Value != 0:
		return fmt.Errorf("errno %d and value %d: a call that fails returns nothing", a.Errno, a.Value)
	case a.Errno > maximumErrno:
		return fmt.Errorf("errno %d is above %d", a.Errno, maximumErrno)
	}
	return nil
}

// Rule answers some calls.
type Rule struct {
	Names      []string            // of system calls, as the kernel spells them
	Conditions []seccomp.Condition // all have to hold
	Answer     Answer
}

// Rules decide calls of every ABI. The first rule that holds decides.
type Rules struct {
	rules     []rule
	abis      []*syscalls.ABI
	otherwise Answer
}

type rule struct {
	calls map[syscalls.Call]bool
	Rule
}

// NewRules makes rules of a list; otherwise is the answer to calls that none holds for. Names that are no call of any ABI, and conditions and
// answers that make no sense, are errors.
func NewRules(list []Rule, otherwise Answer) (*Rules, error) {
	if err := otherwise.check(); err != nil {
		return nil, fmt.Errorf("notify: otherwise: %w", err)
	}
	made := &Rules{abis: syscalls.ABIs(), otherwise: otherwise}
	for i, given := range list {
		r := rule{map[syscalls.Call]bool{}, given}
		for _, name := range given.Names {
			call, ok := syscalls.Lookup(name)
			if !ok {
				return nil, fmt.Errorf("notify: rule %d: unknown call %q", i, name)
			}
			r.calls[call] = true
		}
		for _, condition := range given.Conditions {
			if condition.Index < 0 || condition.Index > 5 || condition.Op < seccomp.NotEqual || condition.Op > seccomp.MaskedEqual ||
				condition.Width != 0 && condition.Width != 32 && condition.Width != 64 {
				return nil, fmt.Errorf("notify: rule %d: condition %+v", i, condition)
			}
		}
		if err := given.Answer.check(); err != nil {
			return nil, fmt.Errorf("notify: rule %d: %w", i, err)
		}
		made.rules = append(made.rules, r)
	}
	return made, nil
}

// Answer decides one call.
func (r *Rules) Answer(data bpf.Data) Answer {
	abi, call := r.find(data)
	if abi == nil {
		return r.otherwise
	}
	for _, rule := range r.rules {
		if rule.calls[call] && rule.holds(abi, call, data.Args) {
			return rule.Answer
		}
	}
	return r.otherwise
}

func (r *Rules) find(data bpf.Data) (*syscalls.ABI, syscalls.Call) {
	for _, abi := range r.abis {
		if abi.Audit != data.Arch {
			continue
		}
		if call, ok := abi.Call(data.Number); ok {
			return abi, call
		}
	}
	return nil, 0
}

func (r *rule) holds(abi *syscalls.ABI, call syscalls.Call, arguments [6]uint64) bool {
	for _, condition := range r.Conditions {
		if !condition.Holds(abi.Argument(call, condition.Index), abi.Word, arguments[condition.Index]) {
			return false
		}
	}
	return true
}

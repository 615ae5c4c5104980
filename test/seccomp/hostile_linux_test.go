// SPDX-License-Identifier: Apache-2.0

package seccomp_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
	"github.com/bulkhead-project/bulkhead/test/seccomp/meaning"
	"github.com/bulkhead-project/bulkhead/test/seccomp/subject"
)

// hostile are profiles whose rules are as tangled as can be: many of one call, on all arguments.
var hostile = map[string]func(r random, rules int) []meaning.Entry{
	"RangesOnAllArguments": func(r random, rules int) []meaning.Entry {
		return tangle(r, rules, 6, []string{"SCMP_CMP_LE", "SCMP_CMP_GE", "SCMP_CMP_NE"})
	},
	"RangesOnTwoArguments": func(r random, rules int) []meaning.Entry {
		return tangle(r, rules, 2, []string{"SCMP_CMP_LE", "SCMP_CMP_GE"})
	},
	"MasksOnAllArguments": func(r random, rules int) []meaning.Entry {
		return tangle(r, rules, 6, []string{"SCMP_CMP_MASKED_EQ"})
	},
	"MasksOnOneArgument": func(r random, rules int) []meaning.Entry {
		return tangle(r, rules, 1, []string{"SCMP_CMP_MASKED_EQ"})
	},
	"EverythingOnAllArguments": func(r random, rules int) []meaning.Entry { return tangle(r, rules, 6, operators) },
	"EqualOnAllArguments": func(r random, rules int) []meaning.Entry {
		return tangle(r, rules, 6, []string{"SCMP_CMP_EQ"})
	},
	"UnequalOnAllArguments": func(r random, rules int) []meaning.Entry {
		return tangle(r, rules, 6, []string{"SCMP_CMP_NE"})
	},
}

func tangle(r random, rules, arguments int, ops []string) []meaning.Entry {
	var entries []meaning.Entry
	for range rules {
		e := meaning.Entry{Names: []string{"mmap"}, Action: one(r, actions)}
		for index := range arguments {
			a := meaning.Arg{Index: uint(index), Op: one(r, ops), Value: r.Uint64(), Width: 64}
			if a.Op == "SCMP_CMP_MASKED_EQ" {
				a.Value &= r.Uint64() & r.Uint64() // few bits
				a.ValueTwo = a.Value & r.Uint64()
			}
			e.Args = append(e.Args, a)
		}
		entries = append(entries, e)
	}
	return entries
}

// TestHostileProfilesEnd gives a filter that is right, or an error that says why there is none, in less than a second.
func TestHostileProfilesEnd(t *testing.T) {
	for name, make := range hostile {
		for _, rules := range []int{5, 20, 60, 250, 1000} {
			t.Run(fmt.Sprintf("%s/%d", name, rules), func(t *testing.T) {
				r := newRandom(uint64(rules))
				p := &meaning.Profile{Native: "SCMP_ARCH_X86_64", DefaultAction: "SCMP_ACT_ERRNO", Architectures: []string{"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"}, Syscalls: make(r, rules)}
				start := clock(t, unix.CLOCK_PROCESS_CPUTIME_ID)
				program, err := subject.Program(p)
				if spent := clock(t, unix.CLOCK_PROCESS_CPUTIME_ID) - start; spent > compileTime {
					t.Errorf("took %v", spent)
				}
				var length *bpf.LengthError
				if errors.As(err, &length) || rules >= 20 && err != nil && strings.Contains(err.Error(), "too many ways") {
					return // too long, or tangled beyond the compiler's bounds
				}
				if err != nil {
					t.Fatal(err)
				}
				for range 500 {
					if d := r.call(p); different(p, program, d) {
						t.Fatalf("wrong for %s", callText(p, d))
					}
				}
			})
		}
	}
}

func clock(t *testing.T, id int32) time.Duration {
	t.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(id, &now); err != nil {
		t.Fatal(err)
	}
	return time.Duration(now.Nano())
}

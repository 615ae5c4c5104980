// SPDX-License-Identifier: Apache-2.0

// Compiled filters are held against the direct meaning of their profiles, and against what others make of them.
package seccomp_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
	"github.com/bulkhead-project/bulkhead/test/seccomp/meaning"
	"github.com/bulkhead-project/bulkhead/test/seccomp/subject"
)

var (
	profiles = flag.Int("profiles", 10000, "random profiles that are held against their meaning; against libseccomp a fifth of them")
	seed     = flag.Uint64("seed", 1, "of the first random profile")
)

const (
	callsEach   = 24
	compileTime = time.Second // no profile may take longer
)

func order(p *meaning.Profile) bpf.Order {
	if syscalls.ByOCI(p.Native).BigEndian {
		return bpf.BigEndian
	}
	return bpf.LittleEndian
}

func text(p *meaning.Profile) string {
	raw, _ := json.Marshal(p)
	return string(raw)
}

func callText(p *meaning.Profile, d bpf.Data) string {
	return fmt.Sprintf("arch %#x nr %#x (%s) args %#x", d.Arch, d.Number, nameOf(p, d), d.Args)
}

func nameOf(p *meaning.Profile, d bpf.Data) string {
	for _, oci := range append([]string{p.Native}, p.Architectures...) {
		if abi := syscalls.ByOCI(oci); abi.Audit == d.Arch {
			if call, ok := abi.Call(d.Number); ok {
				return abi.Name + " " + call.String()
			}
		}
	}
	return "no call"
}

// tally is what a share of the profiles has come to.
type tally struct {
	profiles, calls, longest int
	slowest, total           time.Duration // CPU time of compiling
	seed                     uint64        // of the slowest
}

func (a *tally) add(b tally) {
	a.profiles, a.calls, a.total = a.profiles+b.profiles, a.calls+b.calls, a.total+b.total
	a.longest = max(a.longest, b.longest)
	if b.slowest > a.slowest {
		a.slowest, a.seed = b.slowest, b.seed
	}
}

// TestFiltersMeanWhatProfilesSay is never wrong, whatever the profile.
func TestFiltersMeanWhatProfilesSay(t *testing.T) {
	const shares = 4
	tallies := make([]tally, shares)
	t.Run("profiles", func(t *testing.T) {
		for share := range shares {
			t.Run(fmt.Sprint(share), func(t *testing.T) {
				t.Parallel()
				for i := share; i < *profiles && !t.Failed(); i += shares {
					tallies[share].add(holdAgainstMeaning(t, *seed+uint64(i)))
				}
			})
		}
	})
	var sum tally
	for _, part := range tallies {
		sum.add(part)
	}
	t.Logf("%d profiles, %d calls: none wrong unless said; to compile %v in the mean, %v at most (seed %d); %d instructions at most", sum.profiles, sum.calls,
		sum.total/time.Duration(max(1, sum.profiles)), sum.slowest, sum.seed, sum.longest)
	if sum.slowest > compileTime {
		t.Errorf("one profile took %v of CPU to compile, more than %v", sum.slowest, compileTime)
	}
}

// holdAgainstMeaning makes one profile and calls of it.
func holdAgainstMeaning(t *testing.T, seed uint64) tally {
	r := newRandom(seed)
	p := r.profile(false)
	runtime.LockOSThread() // whose clock does not run while others do
	defer runtime.UnlockOSThread()
	start := clock(t, unix.CLOCK_THREAD_CPUTIME_ID)
	program, err := subject.Program(p)
	spent := clock(t, unix.CLOCK_THREAD_CPUTIME_ID) - start
	if err != nil {
		t.Fatalf("seed %d: %v: %s", seed, err, text(p))
	}
	for range callsEach {
		d := r.call(p)
		if got, _ := bpf.Execute(order(p), program, &d); got != p.Action(d) {
			t.Fatalf("seed %d: %#08x, want %#08x for %s\nby %s", seed, got, p.Action(d), callText(p, d), text(p))
		}
	}
	return tally{profiles: 1, calls: callsEach, longest: len(program), slowest: spent, total: spent, seed: seed}
}

// TestComparisonSeesWrongFilters swaps the ways of one jump of each filter: of several hundred such, random calls notice many.
func TestComparisonSeesWrongFilters(t *testing.T) {
	const filters = 400
	noticed := 0
	for i := range uint64(filters) {
		r := newRandom(i)
		p := r.profile(false)
		program := subject.Compile(t, p)
		var jumps []int
		for at, instruction := range program {
			if instruction.True != instruction.False {
				jumps = append(jumps, at)
			}
		}
		at := one(r, jumps)
		program[at].True, program[at].False = program[at].False, program[at].True
		for range callsEach {
			if d := r.call(p); different(p, program, d) {
				noticed++
				break
			}
		}
	}
	t.Logf("%d of %d", noticed, filters)
	if noticed < filters/5 {
		t.Errorf("%d wrong filters of %d noticed", noticed, filters)
	}
}

func different(p *meaning.Profile, program []bpf.Instruction, d bpf.Data) bool {
	got, _ := bpf.Execute(order(p), program, &d)
	return got != p.Action(d)
}

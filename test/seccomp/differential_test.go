// SPDX-License-Identifier: Apache-2.0

// Compiled filters are held against the direct meaning of their profiles, and against what others make of them.
package seccomp_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"testing"
	"time"

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

// TestFiltersMeanWhatProfilesSay is never wrong, whatever the profile.
func TestFiltersMeanWhatProfilesSay(t *testing.T) {
	var slowest, total time.Duration
	longest, calls := 0, 0
	for i := range *profiles {
		r := newRandom(*seed + uint64(i))
		p := r.profile(false)
		start := time.Now()
		program, err := subject.Program(p)
		spent := time.Since(start)
		if err != nil {
			t.Fatalf("seed %d: %v: %s", *seed+uint64(i), err, text(p))
		}
		if total += spent; spent > slowest {
			slowest = spent
		}
		longest = max(longest, len(program))
		for range callsEach {
			d := r.call(p)
			calls++
			if got, _ := bpf.Execute(order(p), program, &d); got != p.Action(d) {
				t.Fatalf("seed %d: %#08x, want %#08x for %s\nby %s", *seed+uint64(i), got, p.Action(d), callText(p, d), text(p))
			}
		}
	}
	t.Logf("%d profiles, %d calls: none wrong; to compile %v in the mean, %v at most; %d instructions at most", *profiles, calls, total/time.Duration(max(1, *profiles)), slowest, longest)
	if slowest > compileTime {
		t.Errorf("one profile took %v to compile, more than %v", slowest, compileTime)
	}
}

// SPDX-License-Identifier: Apache-2.0

package seccomp_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
	"github.com/bulkhead-project/bulkhead/test/seccomp/libseccomp"
	"github.com/bulkhead-project/bulkhead/test/seccomp/meaning"
	"github.com/bulkhead-project/bulkhead/test/seccomp/subject"
)

// libseccompLimit is how long libseccomp may take for a profile before it counts as hung, in seconds of CPU time. Ours take milliseconds.
const libseccompLimit = 1

// comparisons are enum scmp_compare.
var comparisons = map[string]int{"SCMP_CMP_NE": 1, "SCMP_CMP_LT": 2, "SCMP_CMP_LE": 3, "SCMP_CMP_EQ": 4, "SCMP_CMP_GE": 5, "SCMP_CMP_GT": 6, "SCMP_CMP_MASKED_EQ": 7}

// given is a rule as libseccomp is given it, with the entry that it is from.
type given struct {
	libseccomp.Rule
	entry *meaning.Entry
}

// rulesFor are the calls of libseccomp that runc makes of a profile: an entry with the default action is left out, and one that names an
// argument twice becomes a rule for each condition.
func rulesFor(p *meaning.Profile) []given {
	var rules []given
	for i := range p.Syscalls {
		e := &p.Syscalls[i]
		if meaning.Value(e.Action, e.ErrnoRet) == meaning.Value(p.DefaultAction, p.DefaultErrnoRet) {
			continue
		}
		for _, name := range e.Names {
			var all []libseccomp.Comparison
			for _, a := range e.Args {
				all = append(all, libseccomp.Comparison{Index: a.Index, Op: comparisons[a.Op], A: a.Value, B: a.ValueTwo})
			}
			lists := [][]libseccomp.Comparison{all}
			if repeats(e) {
				lists = nil
				for _, one := range all {
					lists = append(lists, []libseccomp.Comparison{one})
				}
			}
			for _, list := range lists {
				rules = append(rules, given{libseccomp.Rule{Action: meaning.Value(e.Action, e.ErrnoRet), Name: name, Args: list}, e})
			}
		}
	}
	return rules
}

// repeats reports whether an entry has two conditions on one argument.
func repeats(e *meaning.Entry) bool {
	seen := map[uint]bool{}
	for _, a := range e.Args {
		if seen[a.Index] {
			return true
		}
		seen[a.Index] = true
	}
	return false
}

func filterFor(p *meaning.Profile, rules []given, level int) libseccomp.Filter {
	f := libseccomp.Filter{Default: meaning.Value(p.DefaultAction, p.DefaultErrnoRet), Level: level}
	for _, oci := range append([]string{p.Native}, p.Architectures...) {
		if name := syscalls.ByOCI(oci).Name; !slices.Contains(f.Arches, name) {
			f.Arches = append(f.Arches, name)
		}
	}
	for _, rule := range rules {
		f.Rules = append(f.Rules, rule.Rule)
	}
	return f
}

// disagreement is a call that libseccomp's filter answers otherwise than the profile means.
type disagreement struct {
	profile   *meaning.Profile
	rules     []given
	result    libseccomp.Result
	data      bpf.Data
	abi       *syscalls.ABI // nil: not listed
	call      syscalls.Call
	want, got uint32
}

// ofCall are the rules of the call, those that were refused left out; refused are the others.
func (d *disagreement) ofCall() (taken, refused []given) {
	for i, rule := range d.rules {
		switch {
		case rule.Name != d.call.String():
		case d.result.Refused[i] != 0:
			refused = append(refused, rule)
		default:
			taken = append(taken, rule)
		}
	}
	return taken, refused
}

func (d *disagreement) String() string {
	return fmt.Sprintf("libseccomp %#08x, ours %#08x, refused %v, %s by %s", d.got, d.want, d.result.Refused, callText(d.profile, d.data), text(d.profile))
}

// newDisagreement returns nil if there is none.
func newDisagreement(p *meaning.Profile, rules []given, result libseccomp.Result, program []bpf.Instruction, data bpf.Data) *disagreement {
	d := &disagreement{profile: p, rules: rules, result: result, data: data, want: p.Action(data)}
	if d.got, _ = bpf.Execute(order(p), program, &data); d.got == d.want {
		return nil
	}
	if d.abi = p.ABI(data); d.abi != nil {
		d.call, _ = d.abi.Call(data.Number)
	}
	return d
}

func (d *disagreement) class() string {
	for _, c := range classes {
		if c.explains != nil && c.explains(d) {
			return c.name
		}
	}
	return ""
}

func newCompiler(t *testing.T) *libseccomp.Compiler {
	t.Helper()
	compiler, err := libseccomp.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { compiler.Close() })
	return compiler
}

// compileBoth asks libseccomp; program is nil if it has made none.
func compileBoth(t *testing.T, compiler *libseccomp.Compiler, p *meaning.Profile) (rules []given, result libseccomp.Result, program []bpf.Instruction) {
	t.Helper()
	rules = rulesFor(p)
	result, err := compiler.Compile(filterFor(p, rules, 2), libseccompLimit)
	if err != nil {
		t.Fatal(err)
	}
	if result.Hung || result.Error != "" {
		return rules, result, nil
	}
	if program, err = bpf.Decode(order(p), result.Program); err != nil {
		t.Fatalf("libseccomp: %v by %s", err, text(p))
	}
	return rules, result, program
}

// TestDisagreementsWithLibseccompHaveNames compares on profiles whose conditions are of 64 bits, as all of libseccomp's are.
func TestDisagreementsWithLibseccompHaveNames(t *testing.T) {
	t.Parallel()
	compiler := newCompiler(t)
	count, calls := map[string]int{}, 0
	for i := range (*profiles + 4) / 5 {
		r := newRandom(*seed + uint64(i))
		p := r.profile(true)
		rules, result, program := compileBoth(t, compiler, p)
		ours := subject.Compile(t, p)
		switch {
		case result.Hung:
			count[hangs]++
			continue
		case result.Error != "":
			count["refuses the profile: "+result.Error]++
			continue
		}
		seen := map[string]bool{}
		for range callsEach {
			data := r.call(p)
			if got, _ := bpf.Execute(order(p), ours, &data); got != p.Action(data) {
				t.Fatalf("seed %d: %#08x, want %#08x for %s\nby %s", *seed+uint64(i), got, p.Action(data), callText(p, data), text(p))
			}
			calls++
			d := newDisagreement(p, rules, result, program, data)
			if d == nil {
				continue
			}
			class := d.class()
			if class == "" {
				t.Fatalf("seed %d: a disagreement of no known class: %v", *seed+uint64(i), d)
			}
			seen[class] = true
		}
		for class := range seen {
			count[class]++
		}
	}
	for _, class := range slices.SortedFunc(maps.Keys(count), func(a, b string) int { return cmp.Compare(count[b], count[a]) }) {
		t.Logf("%6d profiles: %s", count[class], class)
	}
	t.Logf("%d calls", calls)
}

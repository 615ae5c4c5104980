// SPDX-License-Identifier: Apache-2.0

//go:build linux

package suite

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
	"github.com/bulkhead-project/bulkhead/test/seccomp/meaning"
)

// holder holds our filters of one test against its vectors.
type holder struct {
	t         *testing.T
	name      string
	simulator string
	request   request
	filters   map[*syscalls.ABI]filter
	calls     int
	differ    map[string]int
}

// filter is one of ours, with the path of its bytes.
type filter struct {
	profile *meaning.Profile
	program []bpf.Instruction
	path    string
}

func (h *holder) filter(abi *syscalls.ABI) filter {
	h.t.Helper()
	if f, ok := h.filters[abi]; ok {
		return f
	}
	profile, program := h.request.compile(h.t, abi)
	f := filter{profile, program, filepath.Join(h.t.TempDir(), abi.Name)}
	if err := os.WriteFile(f.path, bpf.Encode(orderOf(abi), program), 0o600); err != nil {
		h.t.Fatal(err)
	}
	h.filters[abi] = f
	return f
}

// numbers are those of the vector's calls: of the multiplexer for a call that the ABI has one for. They are none for a name that the ABI has
// no number for, whose vectors ask libseccomp's own numbers for such.
func (h *holder) numbers(v *vector) (first, last uint32, ok bool) {
	h.t.Helper()
	call, named := syscalls.Lookup(callName(v.call))
	if !named {
		r := parseRange(h.t, v.call)
		return uint32(r.first), uint32(r.last), true
	}
	number, ok := v.abi.Number(call)
	for _, name := range []string{"socketcall", "ipc"} {
		multiplexer, _ := syscalls.Lookup(name)
		if slices.ContainsFunc(v.abi.Multiplexed(multiplexer), func(sub syscalls.Subcall) bool { return sub.Call == call }) {
			number, ok = v.abi.Number(multiplexer)
		}
	}
	return number, number, ok
}

func (h *holder) hold(v *vector) {
	h.t.Helper()
	filter := h.filter(v.abi)
	first, last, ok := h.numbers(v)
	if !ok {
		h.differ[notAsked]++
		return
	}
	for number := first; ; number++ {
		v.each(func(args [6]uint64) {
			h.calls++
			d := bpf.Data{Arch: v.abi.Audit, Number: number, Args: args}
			value, _ := bpf.Execute(orderOf(v.abi), filter.program, &d)
			if number == first || number == last { // a process each, so not for all of a range
				if theirs := h.simulate(filter.path, v.abi, &d); theirs != resultOf(value) {
					h.t.Errorf("its simulator says %s, ours %s: %s", theirs, resultOf(value), v.line)
				}
			}
			if got := resultOf(value); got != v.result {
				class := h.class(v, filter.profile, d, value)
				if class == "" {
					h.t.Errorf("%s %d %#x: %s, want %s: %s", v.abi.Name, number, args, got, v.result, v.line)
				}
				h.differ[class]++
			}
		})
		if number == last {
			return
		}
	}
}

func (h *holder) simulate(path string, abi *syscalls.ABI, d *bpf.Data) string {
	h.t.Helper()
	args := []string{"-f", path, "-a", abi.Name, "-s", fmt.Sprint(int32(d.Number))}
	for i, a := range d.Args {
		if a != 0 {
			args = append(args, fmt.Sprintf("-%d", i), fmt.Sprint(a))
		}
	}
	out, err := exec.Command(h.simulator, args...).CombinedOutput()
	if err != nil {
		h.t.Fatalf("scmp_bpf_sim %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

const notAsked = "not asked: the ABI has no such call"

// class names a difference that is meant, "" for none.
func (h *holder) class(v *vector, p *meaning.Profile, d bpf.Data, value uint32) string {
	call, known := v.abi.Call(d.Number)
	if got := resultOf(value); !known && (got == "ERRNO(38)" || got == "ERRNO(89)") {
		return "a number that is no call answers ENOSYS"
	}
	for i := range p.Syscalls {
		e := &p.Syscalls[i]
		other := meaning.Value(e.Action, e.ErrnoRet)
		if slices.Contains(e.Names, call.String()) && p.Holds(e, d) && resultOf(other) == v.result && other>>16 == value>>16 {
			return "of rules that hold with different errnos the first counts"
		}
	}
	return ""
}

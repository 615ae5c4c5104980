// SPDX-License-Identifier: Apache-2.0

//go:build linux

// libseccomp's own tests, with our compiler in its place: its Python programs ask a module of ours for rules, our filters are made of those,
// and its simulator, and ours, run them on its vectors. The source is Debian's package, fetched when the tests run, and kept nowhere else but in
// the user's cache.
package suite

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/bulkhead-project/bulkhead/seccomp"
	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
	"github.com/bulkhead-project/bulkhead/test/seccomp/meaning"
)

// fetch returns the directory of libseccomp's source.
func fetch(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	directory := filepath.Join(cache, "bulkhead-test", "libseccomp")
	if _, err := os.Stat(directory); err == nil {
		return directory
	}
	if err := os.MkdirAll(filepath.Dir(directory), 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("testdata/fetch.sh", directory).CombinedOutput(); err != nil {
		t.Fatalf("fetch libseccomp's source: %v: %s", err, out)
	}
	return directory
}

// buildSimulator compiles scmp_bpf_sim.
func buildSimulator(t *testing.T, directory string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "scmp_bpf_sim")
	tools := filepath.Join(directory, "tools")
	command := exec.Command("gcc", "-O2", "-I", filepath.Join(directory, "include"), "-o", binary, filepath.Join(tools, "scmp_bpf_sim.c"), filepath.Join(tools, "util.c"))
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v: %s", err, out)
	}
	return binary
}

// request is what a Python program asked our module for.
type request struct {
	Action   string
	ErrnoRet *uint16
	Arches   []string
	Rules    []struct {
		Arches   []string
		Action   string
		ErrnoRet *uint16
		Call     string
		Args     []meaning.Arg
	}
}

func run(t *testing.T, directory, name, calls string) request {
	t.Helper()
	command := exec.Command("python3", filepath.Join(directory, "tests", name+".py"), "-b")
	fake, err := filepath.Abs("testdata/python")
	if err != nil {
		t.Fatal(err)
	}
	command.Env = append(os.Environ(), "PYTHONPATH="+fake, "PYTHONDONTWRITEBYTECODE=1", "SECCOMP_CALLS="+calls)
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("python3 %s: %v", name, err)
	}
	var r request
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// spare are calls that no test names. They stand for the numbers from 1000 that some use, which are no calls.
var spare = []string{"add_key", "request_key", "keyctl", "ioprio_set", "ioprio_get", "migrate_pages", "vmsplice", "tee", "mbind", "get_mempolicy"}

func callName(call string) string {
	var number int
	if _, err := fmt.Sscanf(call, "%d", &number); err == nil && number >= 1000 && number < 1000+len(spare) {
		return spare[number-1000]
	}
	return call
}

// compile makes the filter for a machine on which calls by that ABI can be made: the rules of that ABI alone, since ours are for all ABIs of
// a profile. Calls newer than the profile, for which libseccomp has no notion, are treated as it does.
func (r *request) compile(t *testing.T, abi *syscalls.ABI) (*meaning.Profile, []bpf.Instruction) {
	t.Helper()
	p := &meaning.Profile{Native: machineOf(abi, r.Arches).OCI, DefaultAction: r.Action, DefaultErrnoRet: r.ErrnoRet}
	for _, name := range r.Arches {
		p.Architectures = append(p.Architectures, syscalls.ByName(name).OCI)
	}
	for _, rule := range r.Rules {
		if name := callName(rule.Call); slices.Contains(rule.Arches, abi.Name) {
			p.Syscalls = append(p.Syscalls, meaning.Entry{Names: []string{name}, Action: rule.Action, ErrnoRet: rule.ErrnoRet, Args: rule.Args})
		}
	}
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	profile, err := seccomp.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	policy, _, err := profile.Resolve(seccomp.Target{Architecture: machineOf(abi, r.Arches).Name})
	if err != nil {
		t.Fatal(err)
	}
	policy.Newest = seccomp.Version{Major: 255}
	filter, err := seccomp.Compile(policy)
	if err != nil {
		t.Fatal(err)
	}
	return p, filter.Program
}

// machineOf is the native ABI of a machine for the filter: one on which the calls by that ABI can be made, if the filter is for any such, as
// ours are for the native one at least.
func machineOf(abi *syscalls.ABI, arches []string) *syscalls.ABI {
	switch {
	case !slices.Contains(arches, abi.Name):
		return syscalls.ByName(arches[0])
	case abi.Name == "x86" || abi.Name == "x32":
		return syscalls.ByName("x86_64")
	}
	return abi
}

func orderOf(abi *syscalls.ABI) bpf.Order {
	if abi.BigEndian {
		return bpf.BigEndian
	}
	return bpf.LittleEndian
}

func TestVectorsOfLibseccomp(t *testing.T) {
	directory := fetch(t)
	simulator := buildSimulator(t, directory)
	calls := writeCalls(t)
	files, err := filepath.Glob(filepath.Join(directory, "tests", "*-sim-*.tests"))
	if err != nil || len(files) < 35 {
		t.Fatalf("%d tests in %s, %v", len(files), directory, err)
	}
	var mutex sync.Mutex
	sum, differ, slots := 0, map[string]int{}, make(chan struct{}, runtime.NumCPU())
	t.Run("tests", func(t *testing.T) {
		for _, file := range files {
			name := strings.TrimSuffix(filepath.Base(file), ".tests")
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				slots <- struct{}{}
				defer func() { <-slots }()
				h := &holder{t: t, name: name, simulator: simulator, request: run(t, directory, name, calls), filters: map[*syscalls.ABI]filter{}, differ: map[string]int{}}
				for _, v := range readVectors(t, directory, name) {
					h.hold(&v)
				}
				mutex.Lock()
				defer mutex.Unlock()
				sum += h.calls
				for class, n := range h.differ {
					differ[class] += n
				}
			})
		}
	})
	t.Logf("%d calls of %d tests", sum, len(files))
	for _, class := range slices.Sorted(maps.Keys(differ)) {
		t.Logf("%6d answered otherwise on purpose: %s", differ[class], class)
	}
	if sum < 5000 {
		t.Errorf("only %d calls", sum)
	}
}

// writeCalls writes the calls of x86_64 for the Python module.
func writeCalls(t *testing.T) string {
	t.Helper()
	numbers := map[string]uint32{}
	for number, call := range syscalls.ByName("x86_64").Numbers() {
		numbers[call.String()] = number
	}
	text, err := json.Marshal(numbers)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "calls.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

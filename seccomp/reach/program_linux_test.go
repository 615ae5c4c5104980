// SPDX-License-Identifier: Apache-2.0

package reach

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func openHost(name string) (io.ReaderAt, error) { return os.Open(name) }

// realPath follows the symbolic links of a program.
func realPath(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Lines of strace -f: a process and a call that it starts, or an execve that succeeds, at once or resumed.
var (
	started  = regexp.MustCompile(`^(\d+) +([a-z][a-z0-9_]*)\(`)
	executes = regexp.MustCompile(`^(\d+) +(?:execve\(|<\.\.\. execve resumed>).* = 0$`)
)

// observed runs a command under strace and returns the calls that its program makes, without those of programs that it executes.
func observed(t *testing.T, command ...string) []string {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	tracer := exec.Command("strace", append([]string{"-f", "-qq", "-o", log}, command...)...)
	tracer.Dir = t.TempDir()
	tracer.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	if output, err := tracer.CombinedOutput(); err != nil && len(output) == 0 {
		t.Fatalf("strace: %v", err)
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	other := map[string]bool{} // processes that have become another program
	var names []string
	begun := false // the first execve is the tracer's
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if match := started.FindStringSubmatch(line); match != nil && begun && !other[match[1]] {
			names = append(names, match[2])
		}
		if match := executes.FindStringSubmatch(line); match != nil {
			other[match[1]] = begun
			begun = true
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// programs of Debian, what they are run with, and how many calls are found at most: the precision, which is not to get worse unseen.
var programs = []struct {
	command []string
	most    int
}{
	{[]string{"true"}, 80},
	{[]string{"cat", "/etc/passwd"}, 80},
	{[]string{"ls", "-la", "/etc"}, 90},
	{[]string{"sort", "/etc/passwd"}, 90},
	{[]string{"cp", "/etc/passwd", "copy"}, 115},
	{[]string{"timeout", "5", "true"}, 90},
	{[]string{"bash", "-c", "x=$(echo a | cat); read y </etc/passwd; kill -0 $$; ulimit -n; trap : USR1; kill -USR1 $$; cd /; echo $x $y"}, 115},
	{[]string{"busybox", "sh", "-c", "echo a | busybox cat; ls /etc >/dev/null; sleep 0"}, 180},
	{[]string{"perl", "-e", "fork; $SIG{ALRM}=sub{}; open(F,'/etc/passwd'); socketpair(A,B,1,1,0); print scalar(<F>)"}, 150},
}

func TestProgramsMakeNoCallThatWasNotFound(t *testing.T) {
	for _, test := range programs {
		t.Run(test.command[0], func(t *testing.T) {
			path := realPath(t, test.command[0])
			result, err := Program(openHost, path, Options{})
			if err != nil {
				t.Fatal(err)
			}
			seen := observed(t, test.command...)
			found := result.Names()
			t.Logf("%d found, %d observed, %d unresolved", len(found), len(seen), len(result.Unresolved))
			for _, name := range seen {
				if !slices.Contains(found, name) {
					t.Errorf("%v makes %s, which was not found", test.command, name)
				}
			}
			if len(seen) < 10 {
				t.Errorf("only %v was observed", seen)
			}
			if len(found) > test.most {
				t.Errorf("%d calls, at most %d before: %v", len(found), test.most, found)
			}
		})
	}
}

// goSource makes calls by each of the ways that Go has: the runtime, package syscall's wrappers, and numbers in the program itself.
const goSource = `package main

import "syscall"

func main() {
	syscall.Syscall(syscall.SYS_GETPRIORITY, 0, 0, 0)
	syscall.RawSyscall6(syscall.SYS_GETSID, 0, 0, 0, 0, 0, 0)
	syscall.Chroot("/nowhere")
	println("done")
}
`

func TestGoProgramIsUnderstood(t *testing.T) {
	directory := t.TempDir()
	source, program := filepath.Join(directory, "main.go"), filepath.Join(directory, "program")
	if err := os.WriteFile(source, []byte(goSource), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, flags := range [][]string{{}, {"-ldflags=-s -w"}, {"-buildmode=pie"}} {
		build := exec.Command("go", append(append([]string{"build", "-o", program}, flags...), source)...)
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
		build.Dir = directory
		if output, err := build.CombinedOutput(); err != nil {
			t.Fatalf("go build: %v: %s", err, output)
		}
		result, err := Program(openHost, program, Options{})
		if err != nil {
			t.Fatal(err)
		}
		found := result.Names()
		for _, name := range append(observed(t, program), "getpriority", "getsid", "chroot") {
			if !slices.Contains(found, name) {
				t.Errorf("%v: %s was not found", flags, name)
			}
		}
		if len(found) > 60 {
			t.Errorf("%v: %d calls: %v", flags, len(found), found)
		}
		for _, site := range result.Unresolved {
			if site.Function != "runtime.runPerThreadSyscall" { // its number is a variable
				t.Errorf("%v: not resolved: %v", flags, site)
			}
		}
	}
}

func TestWholeLibrariesAreTheUpperBound(t *testing.T) {
	path := realPath(t, "cat")
	reached, err := Program(openHost, path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	whole, err := Program(openHost, path, Options{Limits: Limits{Whole: true}})
	if err != nil {
		t.Fatal(err)
	}
	if len(whole.Calls) < 2*len(reached.Calls) {
		t.Errorf("%d calls of %d in all", len(reached.Calls), len(whole.Calls))
	}
	for _, name := range reached.Names() {
		if !slices.Contains(whole.Names(), name) {
			t.Errorf("%s is reached, but not there", name)
		}
	}
}

func TestResultIsTheSameEachTime(t *testing.T) {
	path := realPath(t, "ls")
	one, err := Program(openHost, path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	two, err := Program(openHost, path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if describe(one) != describe(two) {
		t.Error("two results of one program")
	}
}

func TestLibraryLoadedAtRunTimeCounts(t *testing.T) {
	libc := ""
	result, err := Program(openHost, realPath(t, "true"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range result.Objects {
		if strings.Contains(o, "/libc.so") {
			libc = o
		}
	}
	busybox, err := Program(openHost, realPath(t, "busybox"), Options{Libraries: []string{libc}})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(busybox.Objects, libc) || !slices.Contains(busybox.Names(), "swapoff") {
		t.Errorf("%v: %v", busybox.Objects, busybox.Names())
	}
}

func TestMissingLibraryIsNamed(t *testing.T) {
	path := realPath(t, "bash")
	open := func(name string) (io.ReaderAt, error) {
		if strings.Contains(name, "libtinfo") {
			name = "/nonexistent"
		}
		return openHost(name)
	}
	result, err := Program(open, path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Missing) != 1 || !strings.HasPrefix(result.Missing[0].Name, "libtinfo.so") || result.Missing[0].By != path {
		t.Errorf("missing: %v", result.Missing)
	}
	if len(result.Undefined) == 0 || !slices.ContainsFunc(result.Undefined, func(m Missing) bool { return m.Name == "tgetent" }) {
		t.Errorf("undefined: %v", result.Undefined)
	}
	if !slices.ContainsFunc(result.Loads, func(m Missing) bool { return m.Name == "dlopen" }) {
		t.Errorf("loads: %v", result.Loads)
	}
}

func BenchmarkBash(b *testing.B) {
	for b.Loop() {
		if _, err := Program(openHost, "/bin/bash", Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

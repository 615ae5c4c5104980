// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

func TestTestFlagsAreRewritten(t *testing.T) {
	for name, test := range map[string]struct {
		in, want string
		outputs  []testOutput
	}{
		"others pass":                {in: "-test.v=true -test.run=X -flag a=b", want: "-test.v=true -test.run=X -flag a=b"},
		"the log of files is gone":   {in: "-test.testlogfile=/tmp/log -test.paniconexit0", want: "-test.paniconexit0"},
		"coverage comes back":        {in: "-test.coverprofile=/tmp/c.out", want: "-test.coverprofile=/out/0/c.out", outputs: []testOutput{{"/out/0/c.out", "/tmp/c.out", false}}},
		"two dashes":                 {in: "--test.trace=t", want: "-test.trace=/out/0/t", outputs: []testOutput{{"/out/0/t", "/src/t", false}}},
		"below the output directory": {in: "-test.cpuprofile=p -test.outputdir=/o", want: "-test.cpuprofile=/out/0/p", outputs: []testOutput{{"/out/0/p", "/o/p", false}}},
		"same names stay apart": {
			in: "-test.cpuprofile=a/p -test.memprofile=b/p", want: "-test.cpuprofile=/out/0/p -test.memprofile=/out/1/p",
			outputs: []testOutput{{"/out/0/p", "/src/a/p", false}, {"/out/1/p", "/src/b/p", false}},
		},
		"a directory of counters":   {in: "-test.gocoverdir=/tmp/d", want: "-test.gocoverdir=/out/0/d", outputs: []testOutput{{"/out/0/d", "/tmp/d", true}}},
		"arguments of the tests":    {in: "-test.v -- -test.testlogfile=x", want: "-test.v -- -test.testlogfile=x"},
		"no fuzzing is the default": {in: "-test.fuzz=", want: "-test.fuzz="},
	} {
		got, outputs, err := rewriteTestFlags(strings.Fields(test.in), "/src")
		if err != nil || strings.Join(got, " ") != test.want || !reflect.DeepEqual(outputs, test.outputs) {
			t.Errorf("%s: %q, %+v, %v", name, got, outputs, err)
		}
	}
	if got, _, err := rewriteTestFlags([]string{"-test.fuzz=X"}, "/src"); err == nil {
		t.Errorf("fuzzing became %q", got)
	}
}

func TestFilesOfTheGuestFindTheirPlace(t *testing.T) {
	one := testOutput{guest: "/out/0/c.out", host: "/tmp/c.out"}
	many := testOutput{guest: "/out/1/d", host: "/tmp/d", isDirectory: true}
	for guest, want := range map[string]string{
		"/out/0/c.out": "/tmp/c.out", "/out/1/d/covmeta.1": "/tmp/d/covmeta.1", "/out/1/d": "", "/out/1/d/a/b": "", "/etc/passwd": "",
	} {
		got, ok := one.hostPath(guest)
		if !ok {
			got, ok = many.hostPath(guest)
		}
		if got != want || ok != (want != "") {
			t.Errorf("%s: %q, %v; want %q", guest, got, ok, want)
		}
	}
}

func TestVerboseCommand(t *testing.T) {
	for in, want := range map[string]string{
		"/tmp/a.test -test.run=X":       "/tmp/a.test -test.v -test.run=X",
		"/tmp/a.test -test.v=test2json": "/tmp/a.test -test.v=test2json",
		"./renamed -test.short=true":    "./renamed -test.v -test.short=true",
		"sh -c true":                    "",
	} {
		got, err := Verbose(strings.Fields(in))
		if strings.Join(got, " ") != want || (err != nil) != (want == "") {
			t.Errorf("%s: %q, %v", in, got, err)
		}
	}
}

const verboseOutput = `=== RUN   TestA
    a_test.go:5: vmtest: TestA belongs to the apparmor guest, this is the selinux guest
--- SKIP: TestA (0.00s)
=== RUN   TestB
--- PASS: TestB (0.00s)
    --- SKIP: TestB/sub (0.00s)
=== RUN   TestC
    a_test.go:9: --- SKIP: no line of its own
--- PASS: TestC (0.00s)
` + "\x16--- SKIP: TestD (0.00s)\n"

func TestSkipsAreNoticed(t *testing.T) {
	for _, step := range []int{1, 7, len(verboseOutput)} {
		var passed bytes.Buffer
		w := NewSkipWatch(&passed)
		for rest := verboseOutput; rest != ""; {
			n := min(step, len(rest))
			if _, err := w.Write([]byte(rest[:n])); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if got, want := w.Skipped(), []string{"TestB/sub", "TestD"}; !reflect.DeepEqual(got, want) {
			t.Errorf("written by %d: %q, want %q", step, got, want)
		}
		if passed.String() != verboseOutput {
			t.Errorf("written by %d: the output changed", step)
		}
	}
}

func FuzzSkipWatch(f *testing.F) {
	f.Add([]byte(verboseOutput))
	f.Fuzz(func(t *testing.T, data []byte) {
		var passed bytes.Buffer
		w := NewSkipWatch(&passed)
		if _, err := w.Write(data); err != nil || !bytes.Equal(passed.Bytes(), data) {
			t.Errorf("output changed, %v", err)
		}
		w.Skipped()
	})
}

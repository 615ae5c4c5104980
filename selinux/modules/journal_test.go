// SPDX-License-Identifier: Apache-2.0

package modules

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func module(name string) Module {
	return Module{Name: name, Digest: digestOf([]byte(name)), Applied: time.Unix(1700000000, 0).UTC(), Declares: []string{"type " + name + "_t"}}
}

func modulesOf(names ...string) (list []Module) {
	for _, name := range names {
		list = append(list, module(name))
	}
	return list
}

var base, policyA, policyB, policyC = digestOf([]byte("base")), digestOf([]byte("a")), digestOf([]byte("b")), digestOf([]byte("c"))

func filled() *journal {
	return &journal{Format: journalFormat, Boot: "boot", Sequence: 3, state: state{base, policyA, modulesOf("one", "two")},
		Pending: &state{base, policyB, modulesOf("one", "two", "three")}}
}

func TestAJournalIsReadAsItWasWritten(t *testing.T) {
	for _, j := range []*journal{{Format: journalFormat}, filled()} {
		text, err := j.encode()
		if err != nil {
			t.Fatal(err)
		}
		read, err := decodeJournal(text)
		if err != nil || !reflect.DeepEqual(read, j) {
			t.Errorf("%s is read as %+v, %v", text, read, err)
		}
	}
}

func TestABrokenJournalIsRefused(t *testing.T) {
	good, err := filled().encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ old, new, words string }{
		"another format":      {`"format": 1`, `"format": 2`, "format 2, expected 1"},
		"a way out":           {`"name": "two"`, `"name": "../two"`, `'.' at byte 0`},
		"no digest":           {module("two").Digest, "../../etc/shadow", "is not a digest"},
		"a digest too short":  {policyA, policyA[2:], "is not a digest"},
		"capitals":            {policyA, strings.ToUpper(policyA), "is not a digest"},
		"a module twice":      {`"name": "two"`, `"name": "one"`, "module one is there twice"},
		"an unknown word":     {`"boot"`, `"foot"`, "unknown field"},
		"something behind":    {"}\n", "}\n{}", ""},
		"cut off":             {"}\n", "", "EOF"},
		"the change is wrong": {policyB, "x", "pending: "},
	} {
		text := bytes.Replace(good, []byte(test.old), []byte(test.new), -1)
		if name == "cut off" {
			text = good[:len(good)/2]
		}
		if _, err := decodeJournal(text); err == nil || !strings.Contains(err.Error(), test.words) {
			t.Errorf("%s: %v, expected %q", name, err, test.words)
		}
	}
	if _, err := decodeJournal(make([]byte, maximumJournal+1)); err == nil {
		t.Error("a journal without end is read")
	}
}

func FuzzJournal(f *testing.F) {
	text, err := filled().encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"format":1,"boot":"x","modules":[{"name":"a"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		j, err := decodeJournal(text)
		if err != nil {
			return
		}
		for name := range j.files() {
			if strings.ContainsAny(name, "/.") {
				t.Fatalf("the journal names the file %q", name)
			}
		}
		again, err := j.encode()
		if err != nil {
			t.Fatal(err)
		}
		read, err := decodeJournal(again)
		if err != nil {
			t.Fatal(err)
		}
		if third, err := read.encode(); err != nil || !bytes.Equal(third, again) {
			t.Fatalf("%q becomes %q, %v", again, third, err)
		}
	})
}

func FuzzStore(f *testing.F) {
	f.Add([]byte(`{"format":1,"modules":[{"policy":"default","name":"a","digest":"` + base + `"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		record, err := decodeStore(text)
		if err != nil {
			return
		}
		for _, module := range record.Modules {
			if strings.ContainsAny(module.Name+module.Policy, "/\x00") || module.Policy == ".." {
				t.Fatalf("the record names %q of %q", module.Name, module.Policy)
			}
		}
	})
}

func TestWhatTheKernelHasTellsWhatBecameOfAChange(t *testing.T) {
	applying := &state{base, policyB, modulesOf("one", "two")}
	removing := &state{base, policyB, nil}
	replacing := &state{base, policyB, []Module{{Name: "one", Digest: digestOf([]byte("newer"))}}}
	for name, test := range map[string]struct {
		pending *state
		kernel  string
		modules string
		base    string
		lost    bool
	}{
		"nothing happened":                      {nil, policyA, "one", base, false},
		"killed before the load":                {applying, policyA, "one", base, false},
		"killed after the load":                 {applying, policyB, "one two", base, false},
		"another policy":                        {nil, policyC, "one", "", true},
		"killed, then another policy":           {applying, policyC, "one", "", true},
		"killed at removal, then another":       {removing, policyC, "", "", false},
		"killed at removal":                     {removing, policyA, "one", base, false},
		"killed after removal":                  {removing, policyB, "", base, false},
		"killed at a replacement, then another": {replacing, policyC, "", "", false},
	} {
		j := &journal{Format: journalFormat, state: state{base, policyA, modulesOf("one")}, Pending: test.pending, Sequence: 1}
		j.reconcile(7, test.kernel)
		var names []string
		for _, module := range j.Modules {
			names = append(names, module.Name)
		}
		if j.lost() != test.lost || strings.Join(names, " ") != test.modules || j.Base != test.base || j.Pending != nil || j.Sequence != 7 || j.Loaded != test.kernel {
			t.Errorf("%s: modules %v on %q, want %q on %q", name, names, j.Base, test.modules, test.base)
		}
	}
}

func TestAReloadForgetsWhatTheOldBaseContained(t *testing.T) {
	contained := module("one")
	contained.Contained = true
	j := &journal{state: state{base, policyA, []Module{contained}}}
	before := slices.Clone(j.Modules)
	j.reconcile(2, policyB)
	if j.Modules[0].Contained || !before[0].Contained {
		t.Errorf("%+v, before %+v", j.Modules, before)
	}
}

func TestNamesAreThoseOfLibsemanage(t *testing.T) {
	for name, good := range map[string]bool{
		"a": true, "container": true, "my-module_2": true, "a.b": true, "A9": true, "bulkhead.container_t": true,
		"": false, "9a": false, "_a": false, "a..b": false, "a.": false, ".a": false, "a/b": false, "a b": false, "é": false, "a\x00": false, strings.Repeat("a", nameLimit+1): false,
	} {
		if err := checkName(name); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
	for file, want := range map[string]string{"/tmp/web.cil": "web", "web.cil": "web", "web": "", "web.te": "", ".cil": "", "a b.cil": ""} {
		if name, err := NameOf(file); (err == nil) != (want != "") || err == nil && name != want {
			t.Errorf("%s: %q, %v, want %q", file, name, err, want)
		}
	}
}

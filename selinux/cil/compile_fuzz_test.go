// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"bytes"
	"errors"
	"testing"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
	"github.com/bulkhead-project/bulkhead/source"
)

// FuzzCompile holds for any text: an error is told with its findings, and what is taken is a policy that reads back to its own bytes, by itself and joined to another; twice
// compiled it is the same.
func FuzzCompile(f *testing.F) {
	for _, text := range []string{
		"(block b (blockabstract b) (type t) (allow t a (file (read)))) (block c (blockinherit b)) (allow c.t self (process (fork)))",
		"(macro m ((type x) (classpermission p)) (allow x b p) (optional o (allow x gone (file (read))) (type made))) (call m (a (file (all))))",
		"(booleanif (and on (not off)) (true (allow a b (file (write))) (typetransition a b file c)) (false (dontaudit a b (file (read)))))",
		"(classmap m (p q)) (classmapping m p (file (read))) (classmapping m q (file (not (read)))) (allow a all_three (m (not (p)))) (constrain (m (p)) (eq t1 t2))",
		"(typeattribute x) (typeattributeset x (and (all) (not (a b)))) (expandtypeattribute x true) (neverallow x self (process (signal))) (allow x x (file (read)))",
		"(allowx a b (ioctl file (and (range 0x100 0x3ff) (not (0x110))))) (allow a b (file (ioctl))) (neverallowx a b (ioctl file (0x110)))",
		"(typetransition a b file \"name\" c) (typetransition all_three b file \"name\" c) (rangetransition a b file ((s0) (s0 (c0)))) (typebounds a b) (typepermissive c)",
		"(in b (type u)) (block b (type t)) (tunable t true) (tunableif t (true (allow a b.u (file (read)))) (false (allow a b (file (read)))))",
		"(filecon \"/a(/.*)?\" any (u object_r a ((s0) (s0)))) (genfscon proc \"/\" (u object_r a ((s0) (s0)))) (portcon tcp (1 2) (u object_r a ((s0) (s0))))",
		"(roleattribute ra) (roleattributeset ra (all)) (roleallow ra r) (userbounds u u) (deny a b (file (read))) (allow a b (file (read write)))",
	} {
		f.Add(text)
	}
	onto, err := Compile([]Source{{"base", []byte(checked)}}, Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		compileSoundly(t, checkedSources(text), Options{Version: 33})
		compileSoundly(t, []Source{{"t", []byte(text)}}, Options{Onto: onto.Policy})
	})
}

func compileSoundly(t *testing.T, sources []Source, options Options) {
	t.Helper()
	result, err := Compile(sources, options)
	if err != nil {
		var findings source.Diagnostics
		var finding source.Diagnostic
		if !errors.As(err, &findings) && !errors.As(err, &finding) {
			t.Fatalf("an error of another kind: %T %v", err, err)
		}
		return
	}
	data, err := result.Policy.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := policydb.Decode(data)
	if err != nil {
		t.Fatalf("the policy cannot be read: %v", err)
	}
	if again, err := back.Encode(); err != nil || !bytes.Equal(again, data) {
		t.Fatalf("read and written again the policy is another: %v", err)
	}
	twice, err := Compile(sources, options)
	if err != nil {
		t.Fatalf("taken once, then refused: %v", err)
	}
	if again, err := twice.Policy.Encode(); err != nil || !bytes.Equal(again, data) || !bytes.Equal(twice.FileContexts, result.FileContexts) {
		t.Fatalf("the same sources give two policies: %v", err)
	}
}

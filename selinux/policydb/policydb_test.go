// SPDX-License-Identifier: Apache-2.0

package policydb

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// small returns the policy of testdata/small.cil in a version.
func small(t testing.TB, version int) ([]byte, *Policy) {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("testdata/small.%d", version))
	if err != nil {
		t.Fatal(err)
	}
	p, err := Decode(data)
	if err != nil {
		t.Fatalf("version %d: %v", version, err)
	}
	return data, p
}

func TestWhatIsReadIsWrittenToTheSameBytes(t *testing.T) {
	for version := 24; version <= 33; version++ {
		data, p := small(t, version)
		if int(p.Version) != version || !p.MLS || p.Unknown != DenyUnknown {
			t.Errorf("version %d: %+v", version, p.Version)
		}
		if out, err := p.Encode(); err != nil || !bytes.Equal(out, data) {
			t.Errorf("version %d: %d bytes became %d, %v", version, len(data), len(out), err)
		}
	}
}

// Version 34 is laid out as 33; 35 has one set more. No tool that writes them was compared with.
func TestVersionsOfNewKernels(t *testing.T) {
	_, p := small(t, 33)
	for version := uint32(34); version <= 35; version++ {
		p.Version = version
		if version == 35 {
			p.NeverAudit.set(3)
		}
		data, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Decode(data)
		if err != nil || again.Version != version || again.NeverAudit.Has(3) != (version == 35) {
			t.Fatalf("version %d: %+v, %v", version, again, err)
		}
		if out, err := again.Encode(); err != nil || !bytes.Equal(out, data) {
			t.Errorf("version %d: %d bytes became %d, %v", version, len(data), len(out), err)
		}
	}
}

// Policies without MLS have ranges in contexts and users all the same, of one level that is nothing.
func TestPolicyWithoutMLS(t *testing.T) {
	data, err := os.ReadFile("testdata/plain.33")
	if err != nil {
		t.Fatal(err)
	}
	plain, err := Decode(data)
	if err != nil || plain.MLS || len(plain.RangeRules) > 0 {
		t.Fatal(plain, err)
	}
	if again, err := plain.Encode(); err != nil || !bytes.Equal(again, data) {
		t.Errorf("%d bytes became %d, %v", len(data), len(again), err)
	}
	if context, err := plain.ParseContext("system_u:system_r:app_t"); err != nil || plain.FormatContext(context) != "system_u:system_r:app_t" {
		t.Errorf("%+v, %v", context, err)
	}
	if _, err := plain.ParseContext("system_u:system_r:app_t:s0"); err == nil {
		t.Error("a range was taken")
	}
	exercise(plain)
}

func TestVersionsThatCannotSayIt(t *testing.T) {
	_, p := small(t, 33)
	for version, want := range map[uint32]string{24: "file name transitions", 32: "several sources", 23: "expected 24 to 35", 36: "expected 24 to 35"} {
		p.Version = version
		if _, err := p.Encode(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("version %d: %v, want %q", version, err, want)
		}
	}
}

func TestCutAndLengthenedFilesAreErrors(t *testing.T) {
	data, _ := small(t, 33)
	for size := range len(data) {
		if _, err := Decode(data[:size]); err == nil {
			t.Fatalf("the first %d of %d bytes were taken", size, len(data))
		}
	}
	if _, err := Decode(append(slices.Clone(data), 0)); err == nil || !strings.Contains(err.Error(), "1 bytes behind the end") {
		t.Errorf("one byte more: %v", err)
	}
}

// Every policy that is taken can be written, asked and walked without a fault, whatever bytes it was made of.
func FuzzDecode(f *testing.F) {
	for _, version := range []int{24, 30, 33} {
		data, _ := small(f, version)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Decode(data)
		if err != nil {
			return
		}
		out, err := p.Encode()
		if err != nil || !bytes.Equal(out, data) {
			t.Fatalf("%d bytes became %d, %v", len(data), len(out), err)
		}
		exercise(p)
	})
}

// exercise asks everything of the contexts that the policy has itself.
func exercise(p *Policy) {
	var contexts []*Context
	for i := range p.Objects.Initial {
		contexts = append(contexts, &p.Objects.Initial[i].Context)
	}
	for i := range p.Objects.Ports {
		contexts = append(contexts, &p.Objects.Ports[i].Context)
	}
	contexts = contexts[:min(len(contexts), 4)]
	for _, source := range contexts {
		p.FormatContext(source)
		for _, target := range contexts {
			for class := range min(p.Classes.Primary, 8) + 1 {
				p.Decide(source, target, class)
				p.Compute(Transition, source, target, class, "named")
				p.ValidateTransition(source, target, source, class)
			}
		}
	}
}

func TestMutatedPoliciesNeverPanic(t *testing.T) {
	data, _ := small(t, 33)
	taken := 0
	for i := 0; i < len(data); i++ {
		for _, change := range []byte{1, 0x80, 0xff} {
			mutant := slices.Clone(data)
			mutant[i] ^= change
			p, err := Decode(mutant)
			if err != nil {
				continue
			}
			taken++
			exercise(p)
			if out, err := p.Encode(); err != nil || !bytes.Equal(out, mutant) {
				t.Errorf("byte %d ^ %#x: taken, and written differently: %v", i, change, err)
			}
		}
	}
	if taken == 0 {
		t.Error("no mutant was taken: letters of names alone should be")
	}
}

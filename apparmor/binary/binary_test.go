// SPDX-License-Identifier: Apache-2.0

package binary

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// compiled returns the streams of testdata, each made by apparmor_parser from the text beside it.
func compiled(t testing.TB) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob("testdata/*.bin")
	if err != nil || len(names) < 4 {
		t.Fatalf("%d streams in testdata: %v", len(names), err)
	}
	streams := map[string][]byte{}
	for _, name := range names {
		stream, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		streams[strings.TrimSuffix(filepath.Base(name), ".bin")] = stream
	}
	return streams
}

func decoded(t testing.TB, name string) *Policy {
	t.Helper()
	policy, err := Decode(compiled(t)[name])
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return policy
}

func TestDecodedStreamIsEncodedToTheSameBytes(t *testing.T) {
	for name, stream := range compiled(t) {
		policy, err := Decode(stream)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		again, err := Encode(policy)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.Equal(again, stream) {
			t.Errorf("%s: %d bytes became %d others", name, len(stream), len(again))
		}
	}
}

func TestDecodeReadsWhatTheTextSays(t *testing.T) {
	family := decoded(t, "family").Profiles
	if len(family) != 3 || family[0].Name != "family" || family[1].Name != "family//child" || family[2].Name != "family//hat" {
		t.Fatalf("%d profiles, the first three should be family, family//child and family//hat", len(family))
	}
	parent := family[0]
	if parent.Version != (Version{Kernel: 7, Parser: 2, Policy: 2}) {
		t.Errorf("version %+v", parent.Version)
	}
	if parent.Mode != ModeComplain || !parent.Audit || parent.Hat || parent.PathFlags&PathAttachDisconnected == 0 {
		t.Errorf("mode %d, audit %v, hat %v, path flags %#x", parent.Mode, parent.Audit, parent.Hat, parent.PathFlags)
	}
	if family[1].Hat || !family[2].Hat {
		t.Errorf("hat is a hat: %v, child is one: %v", family[2].Hat, family[1].Hat)
	}
	if parent.XMatch == nil || parent.XMatchLength == 0 || parent.PolicyDB == nil || parent.File == nil || family[1].XMatch != nil {
		t.Error("automata are not where they should be")
	}
	const admin, network = 1 << 21, 1 << 12
	if parent.Capabilities.Allow != admin|network || parent.Capabilities.Audit != network {
		t.Errorf("capabilities %#x, audited %#x", parent.Capabilities.Allow, parent.Capabilities.Audit)
	}
	if parent.Rlimits == nil || parent.Rlimits.Mask != 1<<7 || parent.Rlimits.Values[7] != 1024 {
		t.Errorf("limits %+v", parent.Rlimits)
	}
	if want := []string{":elsewhere\x00stranger", "family//child", "stranger"}; !reflect.DeepEqual(parent.File.Targets, want) {
		t.Errorf("exec targets %q, want %q", parent.File.Targets, want)
	}
	confined := decoded(t, "confined").Profiles[0]
	if confined.Mode != ModeKill || !reflect.DeepEqual(confined.XAttrs, []string{"user.role"}) || confined.PathFlags != PathMediateDeleted {
		t.Errorf("mode %d, attributes %q, path flags %#x", confined.Mode, confined.XAttrs, confined.PathFlags)
	}
	rows := decoded(t, "rows").Profiles[0]
	if rows.Disconnected != "/disconnected" || len(rows.PolicyDB.Permissions) < 2 {
		t.Errorf("disconnected at %q, %d rows", rows.Disconnected, len(rows.PolicyDB.Permissions))
	}
}

func TestSplitPartsByNamespace(t *testing.T) {
	policy := decoded(t, "namespaces")
	var found []string
	for _, part := range policy.Split() {
		stream, err := Encode(part)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := Decode(stream); err != nil || len(again.Profiles) != 1 {
			t.Errorf("part of %s: %v", part.Profiles[0].Name, err)
		}
		found = append(found, part.Profiles[0].Namespace+":"+part.Profiles[0].Name)
	}
	if want := []string{":one", "blue:three", "red:two"}; !reflect.DeepEqual(found, want) {
		t.Errorf("parts %q, want %q", found, want)
	}
}

func TestTruncatedStreamIsAnError(t *testing.T) {
	stream := compiled(t)["namespaces"]
	ends := map[int]bool{0: true}
	for at := range stream {
		if bytes.HasPrefix(stream[at:], []byte("\x04\x08\x00version\x00")) {
			ends[at] = true
		}
	}
	for end := range stream {
		_, err := Decode(stream[:end])
		var fault *FormatError
		if ends[end] != (err == nil) || err != nil && (!errors.As(err, &fault) || fault.Offset > end) {
			t.Errorf("%d bytes of %d: %v", end, len(stream), err)
		}
	}
}

func TestOrphansAreChildrenWhoseParentsAreMissing(t *testing.T) {
	policy := decoded(t, "family")
	if orphans := policy.Orphans(); orphans != nil {
		t.Errorf("a whole family has %d", len(orphans))
	}
	policy.Profiles = policy.Profiles[1:]
	policy.Profiles[0].Namespace = "elsewhere"
	policy.Profiles = append(policy.Profiles, &Profile{Name: "family"})
	if orphans := policy.Orphans(); len(orphans) != 1 || orphans[0].Namespace != "elsewhere" || orphans[0].Parent() != "family" {
		t.Errorf("orphans %v, want the child in the other namespace", orphans)
	}
}

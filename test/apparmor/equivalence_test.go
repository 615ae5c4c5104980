// SPDX-License-Identifier: Apache-2.0

package apparmor_test

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"hash/fnv"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/bulkhead-project/bulkhead/apparmor/binary"
	"github.com/bulkhead-project/bulkhead/test/apparmor/reference"
)

// sampleSize is how many valid cases of the suite are compared: all that are written by hand, the rest from those that are generated.
var sampleSize = flag.Int("sample", 5000, "compare this `number` of the suite's valid cases")

// only restricts the comparisons for whoever looks for the cause of one.
var only = flag.String("only", "", "compare the subjects whose names match this `regexp`")

// subject is one text to compare.
type subject struct {
	name string // of the table
	path string // nil text: the file
	text []byte
	from reference.Sources
}

// verdict compiles a subject with both compilers and says what the outcomes differ in. The judge is this machine's parser where it knows the
// language, Debian 13's otherwise.
func verdict(ctx context.Context, s subject, judges []reference.Parser) (differs []string, judge string, err error) {
	var theirs []byte
	if _, slow := slowest[s.name]; slow {
		judges = judges[1:]
	}
	var refused *reference.RefusedError
	for _, parser := range judges {
		theirs, err = parser.Compile(ctx, s.from, s.path, s.text)
		judge = parser.Version
		if err == nil {
			break
		}
		if !errors.As(err, &refused) {
			return nil, judge, err
		}
	}
	text := s.text
	if text == nil {
		var failure error
		if text, failure = os.ReadFile(s.path); failure != nil {
			return nil, judge, failure
		}
	}
	ours, failure := compile(ctx, s.from, cmp.Or(s.path, "-"), text)
	switch {
	case err != nil && failure != nil:
		return nil, "both refuse it", nil
	case err != nil:
		return []string{"refused by the reference: " + lastLine(err.Error())}, judge, nil
	case failure != nil:
		return []string{"refused: " + failure.Error()}, judge, nil
	}
	a, err := binary.Decode(ours)
	if err != nil {
		return []string{"our own is not decoded: " + err.Error()}, judge, nil
	}
	b, err := binary.Decode(theirs)
	if err != nil {
		return []string{"the reference's is not decoded: " + err.Error()}, judge, nil
	}
	return differences(a, b), judge, nil
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// compareAll compares the subjects and holds the outcomes against a table of divergences.
func compareAll(t *testing.T, subjects []subject, table map[string]string) {
	t.Helper()
	chosen := regexp.MustCompile(*only)
	subjects = slices.DeleteFunc(subjects, func(s subject) bool { return !chosen.MatchString(s.name) })
	judges := []reference.Parser{reference.Host(t), reference.Newer(t)}
	var mutex sync.Mutex
	equal, diverging, met := map[string]int{}, 0, map[string]bool{}
	parallel(subjects, func(s subject) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		differs, judge, err := verdict(ctx, s, judges)
		mutex.Lock()
		defer mutex.Unlock()
		reason, listed := table[s.name]
		met[s.name] = true
		switch {
		case err != nil:
			t.Errorf("%s: %v", s.name, err)
		case !listed && len(differs) > 0:
			t.Errorf("%s: beside %s: %s", s.name, judge, strings.Join(differs, "\n\t"))
		case listed && len(differs) == 0:
			t.Errorf("%s: equal, though the list says: %s", s.name, reason)
		case listed:
			diverging++
		default:
			equal[judge]++
		}
	})
	for name := range table {
		if !met[name] && chosen.MatchString(name) {
			t.Errorf("%s is listed and was not compared", name)
		}
	}
	t.Logf("of %d: equivalent %v, by name %d", len(subjects), equal, diverging)
}

func TestDebiansProfilesMeanTheSame(t *testing.T) {
	t.Parallel()
	var subjects []subject
	for _, directory := range []string{"/etc/apparmor.d", "/usr/share/apparmor/extra-profiles"} {
		entries, err := os.ReadDir(directory)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			path := filepath.Join(directory, entry.Name())
			if entry.Type().IsRegular() && entry.Name() != "README" {
				subjects = append(subjects, subject{name: path, path: path, from: reference.Sources{Features: debianFeatures, Base: "/etc/apparmor.d"}})
			}
		}
	}
	if len(subjects) < 130 {
		t.Fatalf("only %d profiles", len(subjects))
	}
	compareAll(t, subjects, profileDivergences)
}

// debianFeatures are those of the kernel that the profiles are compiled for.
const debianFeatures = "/etc/apparmor.d/abi/3.0"

func TestSimpleTestsMeanTheSame(t *testing.T) {
	t.Parallel()
	from := suiteSources(t)
	written, generated := reference.Cases(t)
	var subjects []subject
	for _, c := range append(valid(written), sample(valid(generated), *sampleSize-len(valid(written)))...) {
		subjects = append(subjects, subject{name: c.Name, text: c.Text, from: from})
	}
	table := policydbDivergences()
	maps.Copy(table, fileDivergences())
	maps.Copy(table, suiteDivergences)
	compareAll(t, subjects, table)
}

// valid are the cases that the suite wants to be compiled.
func valid(cases []reference.Case) []reference.Case {
	return slices.DeleteFunc(slices.Clone(cases), func(c reference.Case) bool { return !c.Pass || c.Disabled })
}

// sample picks cases by the hash of their names: the same on every run.
func sample(cases []reference.Case, size int) []reference.Case {
	hash := func(c reference.Case) uint64 {
		h := fnv.New64a()
		h.Write([]byte(c.Name))
		return h.Sum64()
	}
	slices.SortFunc(cases, func(a, b reference.Case) int { return cmp.Compare(hash(a), hash(b)) })
	return cases[:min(size, len(cases))]
}

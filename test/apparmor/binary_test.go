// SPDX-License-Identifier: Apache-2.0

package apparmor_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"

	"github.com/bulkhead-project/bulkhead/apparmor"
	"github.com/bulkhead-project/bulkhead/apparmor/binary"
	"github.com/bulkhead-project/bulkhead/test/apparmor/reference"
)

// recodedCases is how many of the suite's cases each parser compiles for a kernel.
const recodedCases = 100

// reencode decodes a stream of the reference, checks it so, and encodes it again.
func reencode(stream []byte) (*binary.Policy, error) {
	policy, err := binary.Decode(stream)
	if err != nil {
		return nil, err
	}
	again, err := binary.Encode(policy)
	if err == nil && !bytes.Equal(again, stream) {
		err = errors.New("encoded to other bytes")
	}
	return policy, err
}

// profileSubjects are Debian's profiles, and caseSubjects valid cases of the suite, for a kernel.
func profileSubjects(t *testing.T, features string) []subject {
	t.Helper()
	paths, err := filepath.Glob("/etc/apparmor.d/*")
	if err != nil || len(paths) < 20 {
		t.Fatalf("%d profiles: %v (apt-get install apparmor-profiles)", len(paths), err)
	}
	var subjects []subject
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			subjects = append(subjects, subject{name: path, path: path, from: reference.Sources{Features: features, Base: "/etc/apparmor.d"}})
		}
	}
	return subjects
}

func caseSubjects(t *testing.T, features string) []subject {
	t.Helper()
	from := suiteSources(t)
	from.Features = features
	written, _ := reference.Cases(t)
	var subjects []subject
	for _, c := range sample(valid(written), recodedCases) {
		subjects = append(subjects, subject{name: c.Name, text: c.Text, from: from})
	}
	return subjects
}

// What either parser writes, in every form that it knows, is decoded and encoded to the same bytes.
func TestStreamsOfTheParserAreEncodedToTheSameBytes(t *testing.T) {
	features := filepath.Join(reference.Suite(t), "features_files")
	for _, row := range []struct {
		parser reference.Parser
		forms  []string
	}{
		{reference.Host(t), []string{"features.all", "features.nopolicydb"}},
		{reference.Newer(t), []string{"features.all", "features.af_inet", "features.extended-perms-policydb"}},
	} {
		parser := row.parser
		var subjects []subject
		for _, name := range row.forms {
			subjects = append(subjects, caseSubjects(t, filepath.Join(features, name))...)
		}
		subjects = append(subjects, profileSubjects(t, debianFeatures)...)
		var mutex sync.Mutex
		same := 0
		parallel(subjects, func(s subject) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			stream, err := parser.Compile(ctx, s.from, s.path, s.text)
			var refused *reference.RefusedError
			if errors.As(err, &refused) || errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return // language that one of the parsers does not know, or cannot get through
			}
			if err == nil {
				_, err = reencode(stream)
			}
			mutex.Lock()
			defer mutex.Unlock()
			if err != nil {
				t.Errorf("%s for %s, by %s: %v", s.name, filepath.Base(s.from.Features), parser.Version, err)
				return
			}
			same++
		})
		if same < len(subjects)/2 {
			t.Errorf("%s compiled only %d of %d", parser.Version, same, len(subjects))
		}
		t.Logf("%d streams of %s", same, parser.Version)
	}
}

// The permissions of a policy are in the accept words for one kernel and in a table for the other: kernels that take both decide alike.
func TestTablesOfPermissionsMeanWhatWordsMean(t *testing.T) {
	suite, directory := reference.Suite(t), t.TempDir()
	text, err := os.ReadFile(filepath.Join(suite, "features_files/features.af_inet"))
	if err != nil {
		t.Fatal(err)
	}
	rows, words := filepath.Join(directory, "rows"), filepath.Join(directory, "words")
	without := regexp.MustCompile(`permstable32\w* \{[^}]*\}\n`).ReplaceAll(text, nil)
	if bytes.Equal(text, without) {
		t.Fatal("the features have no permission tables")
	}
	for path, text := range map[string][]byte{rows: text, words: without} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	parser := reference.Newer(t)
	var mutex sync.Mutex
	compared := 0
	parallel(caseSubjects(t, ""), func(s subject) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		var forms [2]*binary.Policy
		for i, features := range []string{words, rows} {
			s.from.Features = features
			stream, err := parser.Compile(ctx, s.from, s.path, s.text)
			var refused *reference.RefusedError
			if errors.As(err, &refused) {
				return // it fails an assertion of its own where the table would be empty
			}
			if err == nil {
				forms[i], err = binary.Decode(stream)
			}
			if err != nil {
				t.Errorf("%s: %v", s.name, err)
				return
			}
		}
		found, err := apparmor.Diff(forms[0], forms[1], apparmor.DiffOptions{})
		mutex.Lock()
		defer mutex.Unlock()
		compared++
		if err != nil || found != nil {
			t.Errorf("%s: %v %v", s.name, found, err)
		}
	})
	if compared < recodedCases/2 {
		t.Errorf("only %d cases compared", compared)
	}
	t.Logf("%d cases are equal in both forms", compared)
}

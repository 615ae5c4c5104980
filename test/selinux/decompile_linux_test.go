// SPDX-License-Identifier: Apache-2.0

package selinux

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// fileNameTransition is one as checkpolicy 3.4 writes it, without quotes, which cannot be told from what has no name if that is a word of CIL's.
var fileNameTransition = regexp.MustCompile(`^(\(typetransition \S+ \S+ \S+) (\S+) (\S+\))$`)

// laterForm is the text of checkpolicy 3.4 as later versions write it: names of files are quoted, and a validatetrans on the third context's type or role is one without
// levels (libsepol 3.6 and 3.7).
func laterForm(text string) string {
	var names, validations []string
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if found := fileNameTransition.FindStringSubmatch(line); found != nil {
			names = append(names, found[1]+` "`+found[2]+`" `+found[3])
			continue
		}
		if strings.HasPrefix(line, "(mlsvalidatetrans ") && !regexp.MustCompile(` [lh][12] [lh][12]\)`).MatchString(line) {
			validations = append(validations, "(validatetrans"+strings.TrimPrefix(line, "(mlsvalidatetrans"))
			continue
		}
		if len(names) > 0 && strings.HasPrefix(line, "(rangetransition ") {
			slices.Sort(names)
			lines, names = append(lines, names...), nil
		}
		if strings.HasPrefix(line, "(sidcontext ") {
			lines, validations = append(lines, validations...), nil
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n") + "\n"
}

func decompiled(t *testing.T, path string) string {
	t.Helper()
	var text bytes.Buffer
	if err := decode(t, path).FormatCIL(&text); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return text.String()
}

func TestTextIsCheckpolicys(t *testing.T) {
	debian, _ := debian(t)
	small := filepath.Join("..", "..", "selinux", "policydb", "testdata", "small.")
	for _, path := range []string{debian, small + "29", small + "30", small + "31", small + "32", small + "33"} {
		output := filepath.Join(t.TempDir(), "out.cil")
		if out, err := exec.Command("checkpolicy", "-M", "-b", "-C", "-o", output, path).CombinedOutput(); err != nil {
			t.Fatalf("checkpolicy: %v: %s (apt-get install checkpolicy)", err, out)
		}
		text, err := os.ReadFile(output)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := decompiled(t, path), laterForm(string(text)); got != want {
			t.Errorf("%s: %d bytes, checkpolicy has %d: %s", filepath.Base(path), len(got), len(want), firstUnlike(got, want))
		}
	}
}

// firstUnlike is the first line that differs.
func firstUnlike(got, want string) string {
	wanted := strings.Split(want, "\n")
	for i, line := range strings.Split(got, "\n") {
		if i >= len(wanted) || line != wanted[i] {
			return line + " instead of " + wanted[min(i, len(wanted)-1)]
		}
	}
	return "nothing"
}

// secilc makes the same policy of the text: only attributes are lost that no rule and no constraint asks about, as secilc leaves them out.
func TestTextCompilesToTheSamePolicy(t *testing.T) {
	path, policy := debian(t)
	for _, source := range []string{path, filepath.Join("..", "..", "selinux", "policydb", "testdata", "small.33")} {
		text, output := filepath.Join(t.TempDir(), "text.cil"), filepath.Join(t.TempDir(), "again")
		if err := os.WriteFile(text, []byte(decompiled(t, source)), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("secilc", "-c", "33", "-o", output, "-f", "/dev/null", text).CombinedOutput(); err != nil {
			t.Fatalf("secilc: %v: %s", err, out)
		}
		again := decode(t, output)
		var lost []string
		for one := range policydb.Diff(decode(t, source), again) {
			switch {
			case one.Kind == "attribute" && one.Sign == policydb.Removed:
				lost = append(lost, one.Text)
			case one.Kind == "type" && one.Sign == policydb.Modified && !slices.ContainsFunc(one.Details, func(line string) bool { return !strings.HasPrefix(line, "- attribute ") }):
			default:
				t.Errorf("%s: %s %s %s %s", filepath.Base(source), one.Kind, one.Sign, one.Text, one.Details)
			}
		}
		if source != path {
			continue
		}
		if len(lost) != 12 {
			t.Errorf("lost: %s", lost)
		}
		for _, name := range lost {
			if found, err := policy.Search(policydb.Query{Source: name, DirectSource: true}); err != nil || len(found) > 0 {
				t.Errorf("%s has rules, %v", name, err)
			}
		}
	}
}

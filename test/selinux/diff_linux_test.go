// SPDX-License-Identifier: Apache-2.0

package selinux

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

const smallCIL = "../../selinux/policydb/testdata/small.cil"

// compileSmall compiles a text with secilc.
func compileSmall(t *testing.T, text string) string {
	t.Helper()
	source, output := filepath.Join(t.TempDir(), "policy.cil"), filepath.Join(t.TempDir(), "policy.33")
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("secilc", "--mls", "true", "-c", "33", "-o", output, "-f", "/dev/null", source).CombinedOutput(); err != nil {
		t.Fatalf("secilc: %v: %s (apt-get install secilc)", err, out)
	}
	return output
}

func decode(t *testing.T, path string) *policydb.Policy {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := policydb.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	return policy
}

// sediff and Diff find the same differences after every edit of testdata/diff/edits.txt, and after all of them.
func TestDiffIsSediffs(t *testing.T) {
	text, err := os.ReadFile(smallCIL)
	if err != nil {
		t.Fatal(err)
	}
	edits, err := os.ReadFile("testdata/diff/edits.txt")
	if err != nil {
		t.Fatal(err)
	}
	before := compileSmall(t, string(text))
	all, found := string(text), 0
	compareDiff := func(t *testing.T, changed string) int {
		after := compileSmall(t, changed)
		out, err := exec.Command("sediff", before, after).Output()
		if err != nil {
			t.Fatalf("sediff: %v (apt-get install setools)", err)
		}
		want := Sediff(string(out))
		var got []string
		for one := range policydb.Diff(decode(t, before), decode(t, after)) {
			got = append(got, OurLines(one))
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			missing := slices.DeleteFunc(slices.Clone(want), func(line string) bool { return slices.Contains(got, line) })
			more := slices.DeleteFunc(slices.Clone(got), func(line string) bool { return slices.Contains(want, line) })
			t.Errorf("only here:\n%s\nonly in sediff:\n%s", strings.Join(more, "\n"), strings.Join(missing, "\n"))
		}
		return len(got)
	}
	for i, edit := range strings.Split(strings.TrimSpace(string(edits)), "\n\n") {
		old, replacement, ok := strings.Cut(edit, "\n=> ")
		if !ok {
			old, replacement = strings.TrimSuffix(edit, "\n=>"), ""
		}
		if !strings.Contains(all, old) {
			t.Fatalf("edit %d: %q is not there", i+1, old)
		}
		all = strings.Replace(all, old, replacement, 1)
		if i%8 == 7 {
			found += compareDiff(t, all)
		}
	}
	if found += compareDiff(t, all); found < 200 {
		t.Errorf("the edits made %d differences", found)
	}
}

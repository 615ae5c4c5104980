// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestLabelPlanSetListUndo(t *testing.T) {
	tree := filepath.Join(t.TempDir(), "tree")
	inner := filepath.Join(tree, "inner")
	old := []byte("system_u:object_r:old_t:s0")
	for _, err := range []error{os.MkdirAll(inner, 0o755), os.WriteFile(filepath.Join(inner, "file"), nil, 0o600), unix.Setxattr(inner, "security.selinux", old, 0)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	const want = "system_u:object_r:container_file_t:s0:c1,c2"
	var planned, done struct {
		Path, Label    string
		Files, Changes int
		From           map[string]int
	}
	parse := func(text string, into any) {
		t.Helper()
		if err := json.Unmarshal([]byte(text), into); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
	}
	parse(must(t, "label", "plan", "--json", "--level", "s0:c2,c1", tree), &planned)
	if planned.Path != tree || planned.Label != want || planned.Files != 3 || planned.Changes != 3 || planned.From[""] != 2 || planned.From[string(old)] != 1 {
		t.Errorf("got %+v", planned)
	}
	if list := must(t, "label", "ls", tree); strings.Contains(list, want) || !strings.Contains(list, string(old)) {
		t.Errorf("after plan: %s", list)
	}
	must(t, "label", "set", "--level", "s0:c1,c2", tree)
	parse(must(t, "label", "set", "--level", "s0:c1,c2", "--json", tree), &done)
	if done.Files != 3 || done.Changes != 0 {
		t.Errorf("the second time: %+v", done)
	}
	if list := must(t, "label", "ls", tree); strings.Count(list, want) != 2 {
		t.Errorf("after set: %s", list)
	}
	if out := must(t, "label", "undo", tree); !strings.Contains(out, "3 of 3 files restored") {
		t.Errorf("got %q", out)
	}
	text := make([]byte, 100)
	if size, err := unix.Getxattr(inner, "security.selinux", text); err != nil || string(text[:size]) != string(old) {
		t.Errorf("after undo: %q, %v", text[:max(size, 0)], err)
	}
	if got := bulkhead(t, "", "label", "undo", tree); got.status != 1 || !strings.Contains(got.stderr, "nothing to undo") {
		t.Errorf("got %+v", got)
	}
}

func TestLabelRefusesWithReasonAndHint(t *testing.T) {
	tree := t.TempDir()
	if err := os.WriteFile(filepath.Join(tree, "a"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(tree, "a"), filepath.Join(t.TempDir(), "b")); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink("/etc", link); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		path   string
		reason string
	}{
		"Root": {"/", ""}, "System": {"/usr", "host's own files"}, "Within": {"/etc/apt", "host's own files"}, "Holding": {"/var", "host's own files"}, "Home": {"/root", "home directory of root"},
		"BySymbolicLink": {link, "volume /etc:"}, "HardLink": {tree, "1 hard links lead to it from outside"},
	} {
		for _, verb := range []string{"plan", "set"} {
			got := bulkhead(t, "", "label", verb, "--level", "s0:c1,c2", test.path)
			if got.status != 4 || !strings.Contains(got.stderr, test.reason) || !strings.Contains(got.stderr, "bulkhead: hint: ") {
				t.Errorf("%s: label %s: %+v", name, verb, got)
			}
		}
	}
	for _, args := range [][]string{{"set", tree}, {"set", "--level", "s0:1", tree}, {"set", "--level", "s0", "--type", "a:b", tree}, {"set", "--level", "s0", "--mounts", "x", tree}, {"set", "--level", "s0"}} {
		if got := bulkhead(t, "", append([]string{"label"}, args...)...); got.status != 2 {
			t.Errorf("label %s: %+v", strings.Join(args, " "), got)
		}
	}
}

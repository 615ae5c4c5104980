// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/test/harness"
)

// predicted is what label plan --json says of access.
type predicted struct {
	Users []struct {
		Container, Level, Destination string
		ReadOnly                      bool `json:"read_only"`
	}
	Refused string
	Access  []struct {
		Process, Who, Object, Label, Class, Read, Write, Created string
		WhyNotRead                                               string `json:"why_not_read"`
		WhyNotWrite                                              string `json:"why_not_write"`
	}
}

func predict(t *testing.T, args ...string) predicted {
	t.Helper()
	var made predicted
	if err := json.Unmarshal([]byte(must(t, append([]string{"label", "plan", "--json"}, args...)...)), &made); err != nil {
		t.Fatal(err)
	}
	return made
}

// of returns "READ WRITE" for a process by the end of its context, and an object by its path, or its class where it is the tree's.
func (p predicted) of(t *testing.T, level, object string) string {
	t.Helper()
	for _, row := range p.Access {
		if strings.HasSuffix(row.Process, level) && (row.Object == object || row.Object == "" && row.Class == object) {
			if (row.Read == "no") != (row.WhyNotRead != "") && row.Read != "unknown" || row.Write == "no" && row.WhyNotWrite == "" {
				t.Errorf("no reason: %+v", row)
			}
			return row.Read + " " + row.Write
		}
	}
	t.Errorf("no row for %s and %s in %+v", level, object, p.Access)
	return ""
}

// containerPolicy compiles the container policy onto a small one.
func containerPolicy(t *testing.T) string {
	t.Helper()
	directory := t.TempDir()
	plain, text, whole := filepath.Join(directory, "plain.33"), filepath.Join(directory, "container.cil"), filepath.Join(directory, "whole.33")
	must(t, "selinux", "compile", "../../selinux/container/testdata/plain.cil", "-o", plain)
	if err := os.WriteFile(text, []byte(must(t, "selinux", "container-policy", "--policy", plain)), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, "selinux", "compile", text, "--onto", plain, "-o", whole)
	return whole
}

func labelAs(t *testing.T, path, level string) {
	t.Helper()
	if err := unix.Setxattr(path, "security.selinux", []byte("system_u:object_r:container_file_t:"+level+"\x00"), 0); err != nil {
		t.Fatal(err)
	}
}

func TestPlanPredictsWhoReadsAndWrites(t *testing.T) {
	volume, policy := newVolume(t), containerPolicy(t)
	outside := filepath.Dir(volume)
	moved, shared, unlabelled := filepath.Join(outside, "moved"), filepath.Join(outside, "shared"), filepath.Join(outside, "unlabelled")
	for _, path := range []string{moved, shared, unlabelled} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	labelAs(t, moved, "s0:c3,c4")
	labelAs(t, shared, "s0")
	labelAs(t, filepath.Join(volume, "a"), "s0:c3,c4") // which will be relabelled
	files := []string{"--file", moved, "--file", shared, "--file", unlabelled, "--file", filepath.Join(volume, "a")}
	asked := []string{"--access", "system_u:system_r:container_t:s0:c3,c4"}
	for name, options := range map[string][]string{"ByPolicy": {"--policy", policy}, "ByCategories": nil} {
		t.Run(name, func(t *testing.T) {
			private := predict(t, append(append(append(asked, options...), files...), "--level", "s0:c1,c2", volume)...)
			common := predict(t, append(append(append(asked, options...), files...), "--level", "s0", volume)...)
			readOnly := predict(t, append(options, "--read-only", "--level", "s0:c1,c2", volume)...)
			for _, test := range []struct {
				made                predicted
				level, object, want string
			}{
				{private, ":s0:c1,c2", "dir", "yes yes"}, {private, ":s0:c1,c2", "file", "yes yes"}, {private, ":s0:c1,c2", filepath.Join(volume, "a"), "yes yes"},
				{private, ":s0:c1,c2", moved, "no no"}, {private, ":s0:c1,c2", shared, "yes yes"}, {private, ":s0:c1,c2", unlabelled, "unknown unknown"},
				{private, ":s0:c0,c3", "dir", "no no"}, {private, ":s0:c0,c3", "file", "no no"},
				{private, ":s0:c3,c4", moved, "no no"}, // it has that label, and lies in directories that have not
				{private, ":s0:c3,c4", shared, "no no"},
				{common, ":s0:c0,c1", "dir", "yes yes"}, {common, ":s0:c0,c1", "file", "yes yes"}, {common, ":s0:c0,c1", moved, "no no"}, {common, ":s0:c3,c4", moved, "yes yes"},
				{readOnly, ":s0:c1,c2", "dir", "yes no"}, {readOnly, ":s0:c1,c2", "file", "yes no"}, {readOnly, ":s0:c0,c3", "file", "no no"},
			} {
				if got := test.made.of(t, test.level, test.object); got != test.want {
					t.Errorf("%s, %s: got %q, want %q", test.level, test.object, got, test.want)
				}
			}
		})
	}
	text := must(t, "label", "plan", "--policy", policy, "--level", "s0", volume)
	if !strings.Contains(text, "new files become system_u:object_r:container_file_t:s0:c0,c1") {
		t.Errorf("what containers make in a shared directory is their own: %s", text)
	}
	if label := labelOf(t, volume); label != "" {
		t.Errorf("plan labelled it %q", label)
	}
	for _, args := range [][]string{{"--access", "x"}, {"--policy"}} {
		if got := bulkhead(t, "", append([]string{"label", "plan", "--level", "s0", volume}, args...)...); got.status != 2 {
			t.Errorf("%q: %+v", args, got)
		}
	}
	if got := bulkhead(t, "", "label", "plan", "--level", "s0", "--policy", "/none", volume); got.status != 1 {
		t.Errorf("got %+v", got)
	}
}

// Of a container that has the tree now it is known how it is mounted there.
func TestPlanNamesWhoUsesATreeNow(t *testing.T) {
	root, volume := harness.RootFS(t), newVolume(t)
	writer := background(t, root, "-v", volume+":/data")
	reader := background(t, root, "-v", volume+"/inner:/inner:ro")
	made := predict(t, "--level", "s0:c1,c2", volume)
	found := map[string]string{}
	for _, user := range made.Users {
		found[user.Container] = user.Destination + map[bool]string{true: " read-only"}[user.ReadOnly]
		if !strings.HasPrefix(user.Level, "s0:c") {
			t.Errorf("%+v", user)
		}
	}
	if len(found) != 2 || found[writer] != "/data" || found[reader] != "/inner read-only" || !strings.Contains(made.Refused, " uses it now on ") {
		t.Errorf("%+v, refused %q", found, made.Refused)
	}
	for _, row := range made.Access {
		if row.Who == "container "+reader && row.WhyNotWrite != "the volume is mounted read-only" || strings.HasPrefix(row.Who, "container ") && row.Read != "no" {
			t.Errorf("%+v", row)
		}
	}
	for _, row := range predict(t, "--level", "s0", volume).Access {
		if row.Read != "yes" || (row.Write == "no") != (row.Who == "container "+reader) {
			t.Errorf("%+v", row)
		}
	}
}

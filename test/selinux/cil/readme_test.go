// SPDX-License-Identifier: Apache-2.0

package cil_test

import (
	"os"
	"strings"
	"testing"
)

// The table of selinux/cil/README.md has every section that differs, and none that is not there.
func TestTheReadmeListsEveryDifference(t *testing.T) {
	readme, err := os.ReadFile("../../../selinux/cil/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(readme), "## Where it differs from secilc")
	if !found {
		t.Fatal("the README has no section on what differs")
	}
	rows := map[string]string{}
	for line := range strings.Lines(table) {
		if cells := strings.Split(line, " | "); len(cells) == 3 && !strings.HasPrefix(line, "| case") {
			rows[strings.TrimPrefix(cells[0], "| ")] = line
		}
	}
	for _, file := range []string{"stricter.cil", "laxer.cil", "differs.cil"} {
		for _, section := range sections(t, file) {
			if !strings.Contains(rows[section.name], section.because) {
				t.Errorf("%s: %s: not in the table with its reason, %q", file, section.name, section.because)
			}
			delete(rows, section.name)
		}
	}
	for name := range rows {
		t.Errorf("%s: in the table, and in no file of testdata", name)
	}
}

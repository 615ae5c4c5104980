// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"os"
	"strings"
	"testing"
)

// The table of README.md has every statement of the language, and says whether it is covered.
func TestTheReadmeTellsOfEveryStatement(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]string{}
	for line := range strings.Lines(string(readme)) {
		if cells := strings.Split(line, " | "); len(cells) == 3 && (cells[1] == "yes" || cells[1] == "no") {
			said[strings.TrimPrefix(cells[0], "| ")] = cells[1]
		}
	}
	for _, word := range strings.Fields(language) {
		want := "yes"
		if notCovered[word] != "" {
			want = "no"
		}
		if said[word] != want {
			t.Errorf("%s: %q, want %s", word, said[word], want)
		}
		delete(said, word)
	}
	for word := range said {
		t.Errorf("%s is no statement of the language", word)
	}
}

// SPDX-License-Identifier: Apache-2.0

package selinux

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// seinfo (setools) and Counts count alike.
func TestCountsAreSeinfos(t *testing.T) {
	directory, err := Debian()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(directory, "policy.33"), filepath.Join("..", "..", "selinux", "policydb", "testdata", "small.33")} {
		out, err := exec.Command("seinfo", path).Output()
		if err != nil {
			t.Fatalf("seinfo: %v (apt-get install setools)", err)
		}
		want := map[string]string{}
		for _, found := range regexp.MustCompile(`([A-Z][A-Za-z_. ]+?):\s+(\d+)`).FindAllStringSubmatch(string(out), -1) {
			want[found[1]] = found[2]
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		policy, err := policydb.Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		counts := policy.Counts()
		if len(counts) != 38 {
			t.Errorf("%d counts", len(counts))
		}
		for _, count := range counts {
			if got := strconv.Itoa(count.Count); got != want[count.Name] {
				t.Errorf("%s: %s: %s, seinfo says %q", filepath.Base(path), count.Name, got, want[count.Name])
			}
		}
	}
}

// seinfo and Describe list alike, by name and as statements. setools writes constraints with other parentheses, and the attributes of a type in the order of their values.
func TestListsAreSeinfos(t *testing.T) {
	debian, _ := debian(t)
	for _, path := range []string{debian, filepath.Join("..", "..", "selinux", "policydb", "testdata", "small.33")} {
		policy := decode(t, path)
		for _, expanded := range []bool{false, true} {
			args := []string{"--all", "--flat", path}
			if expanded {
				args = append(args, "-x")
			}
			out, err := exec.Command("seinfo", args...).Output()
			if err != nil {
				t.Fatalf("seinfo: %v", err)
			}
			var all []string
			for _, component := range policydb.Components() {
				lines, err := policy.Describe(component, "", expanded)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, lines...)
			}
			got, want := plainList(strings.Join(all, "\n")), plainList(string(out))
			if !slices.Equal(got, want) {
				t.Errorf("expanded %t: %d lines, seinfo has %d: %s", expanded, len(got), len(want), firstUnlike(strings.Join(got, "\n"), strings.Join(want, "\n")))
			}
		}
	}
}

// plainList are the lines, without their order, that of the words, and spaces.
func plainList(text string) []string {
	text = strings.NewReplacer(" - ", "-", "low_high", "low-high", "c0,c1;", "c0.c1;", "\t<empty attribute>", "").Replace(text) // a run of two has a point in setools
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		if head, _, found := strings.Cut(line, " ("); found || strings.Contains(line, "onstrain ") || strings.Contains(line, "validatetrans ") {
			words := strings.Fields(head)
			line = strings.Join(words[:min(2, len(words))], " ") // a constraint's kind and class
		}
		words := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t,;", r) })
		slices.Sort(words)
		if len(words) > 0 {
			lines = append(lines, strings.Join(words, " "))
		}
	}
	slices.Sort(lines)
	return lines
}

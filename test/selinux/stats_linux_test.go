// SPDX-License-Identifier: Apache-2.0

package selinux

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
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

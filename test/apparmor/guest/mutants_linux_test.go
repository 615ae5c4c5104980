// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/apparmor/binary"
	"github.com/bulkhead-project/bulkhead/internal/vm/vmtest"
)

// mutants is how many streams are tried of each compiler.
const mutants = 500

// loaded are the profiles of the kernel, without those of namespaces.
func loaded(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(interfaceDirectory + "profiles")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		names = append(names, line[:strings.LastIndex(line, " (")])
	}
	return names
}

// mutate changes a few bytes, most of them near the items between the tables. Half of the mutants keep their length: others are rarely valid.
func mutate(random *rand.Rand, stream []byte) []byte {
	mutant := slices.Clone(stream)
	kinds := 2 + 2*random.IntN(2)
	for range 1 + random.IntN(2) {
		at := random.IntN(len(mutant))
		if random.IntN(2) == 0 {
			names := []string{"version", "profile", "aadfa", "flags", "path_flags", "caps64", "policydb", "xtable", "rlimits"}
			if i := bytes.Index(mutant[at:], []byte(names[random.IntN(len(names))])); i >= 0 {
				at = min(at+i+random.IntN(24), len(mutant)-1)
			}
		}
		switch random.IntN(kinds) {
		case 0:
			mutant[at] ^= 1 << random.IntN(8)
		case 1:
			mutant[at] = byte(random.Uint32())
		case 2:
			mutant = slices.Delete(mutant, at, at+1)
		case 3:
			mutant = slices.Insert(mutant, at, byte(random.Uint32()))
		}
	}
	return mutant
}

func TestKernelTakesEveryMutantThatDecodeTakes(t *testing.T) {
	vmtest.Require(t, vmtest.AppArmor)
	text := policies(t)[0].named("mutant") + "\nprofile mutant-other { /bin/a px -> mutant, /bin/b Cx -> inner, set rlimit nofile <= 9, profile inner { /** r, } ^hat { /** r, } }\n"
	streams := map[string][]byte{"ours": compileOurs(t, text), "the reference's": compileReference(t, []string{"/usr/sbin/apparmor_parser"}, text)}
	before := loaded(t)
	random := rand.New(rand.NewPCG(6, 12))
	for name, stream := range streams {
		taken, refused, strict, orphans := 0, 0, 0, 0
		for range mutants {
			mutant := mutate(random, stream)
			policy, err := binary.Decode(mutant)
			failure := os.WriteFile(interfaceDirectory+".replace", mutant, 0)
			switch {
			case err == nil && failure != nil && len(policy.Orphans()) > 0 && errors.Is(failure, unix.ENOENT):
				orphans++
			case err == nil && failure != nil:
				t.Errorf("of %s: Decode takes what the kernel refuses: %v\n%x", name, failure, mutant)
			case err == nil:
				taken++
			case failure == nil:
				strict++
				if strict < 10 {
					t.Logf("the kernel takes what Decode refuses: %v", err)
				}
			default:
				refused++
			}
			for _, profile := range loaded(t) {
				if slices.Contains(before, profile) || strings.Contains(profile, "//") {
					continue
				}
				if err := os.WriteFile(interfaceDirectory+".remove", []byte(profile), 0); err != nil {
					t.Fatalf("remove %q: %v", profile, err)
				}
			}
		}
		t.Logf("mutants of %s: both take %d, both refuse %d, Decode alone refuses %d; of children without parents, %d", name, taken, refused, strict, orphans)
		if taken == 0 || refused == 0 {
			t.Errorf("mutants of %s: both take %d and refuse %d, which shows nothing", name, taken, refused)
		}
	}
}

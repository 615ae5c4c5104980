// SPDX-License-Identifier: Apache-2.0

package binary

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// checkHostile decodes what may be anything: an error of the stream, or a policy that survives being encoded.
func checkHostile(t *testing.T, stream []byte) (accepted bool) {
	t.Helper()
	policy, err := Decode(stream)
	if err != nil {
		var fault *FormatError
		if !errors.As(err, &fault) || fault.Offset < 0 || fault.Offset > len(stream) {
			t.Fatalf("error %v of a stream of %d bytes", err, len(stream))
		}
		return false
	}
	again, err := Encode(policy)
	if err != nil {
		t.Fatalf("decoded, but not encoded: %v", err)
	}
	second, err := Decode(again)
	if err != nil {
		t.Fatalf("encoded, but not decoded: %v", err)
	}
	if !reflect.DeepEqual(policy, second) {
		t.Fatal("decoded twice, and differently")
	}
	return true
}

// items returns the offsets where items of a stream begin, by what the decoder reads.
func items(stream []byte) []int {
	var at []int
	for _, name := range []string{"version", "namespace", "profile", "rename", "attach", "aadfa", "flags", "path_flags", "caps64", "capsx", "xattrs", "rlimits", "policydb", "perms", "permsv", "start", "dfa_start", "xtable", "disconnected"} {
		for i := 0; ; i++ {
			next := bytes.Index(stream[i:], append([]byte(name), 0))
			if next < 0 {
				break
			}
			i += next
			at = append(at, max(i-3, 0), i+len(name)+1, min(i+len(name)+2, len(stream)-1))
		}
	}
	return at
}

func TestThousandMutatedStreamsAreErrorsOrValid(t *testing.T) {
	random := rand.New(rand.NewPCG(4, 1))
	accepted, refused := 0, 0
	for name, stream := range compiled(t) {
		places := items(stream)
		slices.Sort(places)
		for range 500 {
			mutant := slices.Clone(stream)
			for range 1 + random.IntN(3) {
				// Half of the places are items, where a byte means most: elsewhere it is mostly a transition.
				at := random.IntN(len(mutant))
				if random.IntN(2) == 0 {
					at = min(places[random.IntN(len(places))]+random.IntN(6), len(mutant)-1)
				}
				switch random.IntN(5) {
				case 0:
					mutant[at] ^= 1 << random.IntN(8)
				case 1:
					mutant[at] = byte(random.Uint32())
				case 2:
					mutant = slices.Delete(mutant, at, min(at+1+random.IntN(8), len(mutant)))
				case 3:
					mutant = slices.Insert(mutant, at, byte(random.Uint32()))
				case 4:
					mutant = mutant[:at+1]
				}
			}
			if bytes.Equal(mutant, stream) {
				continue
			}
			if checkHostile(t, mutant) {
				accepted++
			} else {
				refused++
			}
		}
		if t.Failed() {
			t.Fatalf("of %s", name)
		}
	}
	if refused < 1000 || accepted == 0 {
		t.Errorf("%d mutants refused, %d accepted: a thousand errors are wanted, and some that are valid", refused, accepted)
	}
}

func FuzzDecode(f *testing.F) {
	for _, stream := range compiled(f) {
		f.Add(stream)
	}
	f.Add([]byte("\x04\x08\x00version\x00\x02\x05\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, stream []byte) { checkHostile(t, stream) })
}

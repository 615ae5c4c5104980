// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Shield is a volume of the shield: an ordinary directory in the container, and ciphertext to everybody else.
type Shield struct {
	Source      string   `json:"source"`         // host directory with the volume's header and blocks
	Destination string   `json:"destination"`    // absolute in the container
	Policy      string   `json:"policy"`         // what the volume must do for its content
	Keys        []string `json:"keys,omitempty"` // options of `bulkhead shield` that name keys: --key-file=/path. Never a key itself
}

// shieldPolicies are what volumes do for their content, see shield/key. What was not asked for is not taken: authenticated volumes are readable on the host.
var shieldPolicies = []string{"encrypted", "authenticated", "ephemeral"}

// ParseShield reads DESTINATION=DIRECTORY[:POLICY].
func ParseShield(text string) (Shield, error) {
	destination, rest, ok := strings.Cut(text, "=")
	source, policy, named := strings.Cut(rest, ":")
	if !named {
		policy = shieldPolicies[0]
	}
	fail := func(reason string, arguments ...any) (Shield, error) {
		return Shield{}, &OptionError{Option: "shield " + text, Reason: fmt.Sprintf(reason, arguments...), Hint: "write DESTINATION=DIRECTORY, or DESTINATION=DIRECTORY:POLICY with one of " + strings.Join(shieldPolicies, ", ")}
	}
	switch {
	case !ok:
		return fail("no directory of the host")
	case !path.IsAbs(destination) || path.Clean(destination) == "/" || slices.Contains(strings.Split(destination, "/"), ".."):
		return fail("%q is no absolute path below the container's root", destination)
	case !filepath.IsAbs(source):
		return fail("%q is no absolute path of the host", source)
	case !slices.Contains(shieldPolicies, policy):
		return fail("unknown policy %q", policy)
	}
	return Shield{Source: filepath.Clean(source), Destination: path.Clean(destination), Policy: policy}, nil
}

// shieldKeys are the options by which containers name keys. Passphrases are asked for on a terminal, which containers may not have.
var shieldKeys = []string{"key-file", "identity", "passphrase-file"}

// ParseShields reads what an engine's annotation says: shields separated by ';', each DESTINATION=DIRECTORY[:POLICY] and, after commas, the files with its keys:
// /data=/srv/db,key-file=/etc/keys/db.
func ParseShields(text string) ([]Shield, error) {
	var list []Shield
	for one := range strings.SplitSeq(text, ";") {
		words := strings.Split(strings.TrimSpace(one), ",")
		shield, err := ParseShield(words[0])
		if err != nil {
			return nil, err
		}
		for _, word := range words[1:] {
			name, file, _ := strings.Cut(word, "=")
			if !slices.Contains(shieldKeys, name) || !filepath.IsAbs(file) {
				return nil, &OptionError{Option: "shield " + one, Reason: fmt.Sprintf("%q names no key", word),
					Hint: "write key-file=FILE, identity=FILE or passphrase-file=FILE with absolute paths of the host"}
			}
			shield.Keys = append(shield.Keys, "--"+word)
		}
		list = append(list, shield)
	}
	return list, checkShields(list)
}

// checkShields refuses two shields of which one would hide the other, or that have one volume.
func checkShields(list []Shield) error {
	for i, shield := range list {
		for _, other := range list[:i] {
			if shield.Source == other.Source {
				return &RefusedError{Subject: "shield " + shield.Destination, Reason: "volume " + shield.Source + " is already that of " + other.Destination,
					Hint: "a volume is mounted once"}
			}
			if beneath(shield.Destination, other.Destination) || beneath(other.Destination, shield.Destination) {
				return &RefusedError{Subject: "shield " + shield.Destination, Reason: "the one on " + other.Destination + " hides it, or is hidden by it", Hint: "mount them beside each other"}
			}
		}
	}
	return nil
}

func (s Shield) describe() string {
	return fmt.Sprintf("%s on %s (%s)", s.Source, s.Destination, s.Policy)
}

// SPDX-License-Identifier: Apache-2.0

// Package modules puts modules in CIL onto the policy that the kernel runs, and takes them off again.
//
// The policy as the distribution loaded it is the base; it is kept as the kernel showed it. Modules are compiled onto it, all of them together, and the result is
// loaded. Taking a module off compiles those that remain onto the base again, and taking off the last one loads the base itself: so modules go on and off in any
// order, and nothing is left of one that was taken off. Where the distribution loads a policy of its own meanwhile (semodule -B, load_policy, a package), that is the
// new base, and Host.Ensure puts the modules back onto it.
//
// A directory under /run has the journal: it is written before the kernel is asked for anything, so that a process that is killed at any point leaves either what was,
// or what it wanted, and the next one can tell which. It is gone after a boot, as the loaded policy is. Modules that are to outlive a boot go into the distribution's
// module store besides, in the form of libsemanage, from which its tools build the next policy.
//
// The kernel keeps the values of booleans across a load, and a policy that it shows has them as they are; so they survive both.
package modules

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// Source is one module: its name and its text in CIL.
type Source struct {
	Name string // as `semodule -l` would list it
	File string // where the text came from, for messages; Name where it is empty
	Text []byte
}

// Extension is that of files with modules in CIL.
const Extension = ".cil"

// NameOf is the name of the module in a file: that of the file without its extension.
func NameOf(file string) (string, error) {
	name, found := strings.CutSuffix(filepath.Base(file), Extension)
	if !found {
		return "", fmt.Errorf("%s: a module in CIL is in a file NAME%s", file, Extension)
	}
	return name, checkName(name)
}

// Permissive is the module that makes a domain permissive: what it is not allowed happens and is logged. Its name is the one that `semanage permissive` uses.
func Permissive(domain string) (Source, error) {
	if err := checkName(domain); err != nil {
		return Source{}, err
	}
	return Source{Name: "permissive_" + domain, Text: fmt.Appendf(nil, "(typepermissive %s)\n", domain)}, nil
}

// nameLimit keeps a name short enough for the name of a file.
const nameLimit = 200

// checkName holds names to what libsemanage takes (semanage_module_validate_name): [a-zA-Z](\.?[a-zA-Z0-9_-])*.
func checkName(name string) error {
	for i := range len(name) {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if letter || i > 0 && (c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.' && i+1 < len(name) && name[i+1] != '.') {
			continue
		}
		return fmt.Errorf("module name %.64q: %q at byte %d, where a name is a letter and then letters, digits, \"_\", \"-\" and single \".\"", name, c, i)
	}
	if name == "" || len(name) > nameLimit {
		return fmt.Errorf("module name %.64q has %d bytes, expected 1 to %d", name, len(name), nameLimit)
	}
	return nil
}

// Module is a module that is applied, as the journal has it.
type Module struct {
	Name    string    `json:"name"`
	File    string    `json:"file,omitempty"`
	Digest  string    `json:"digest"` // sha256 of its text, in hexadecimal
	Applied time.Time `json:"applied"`
	// Declares are the types, roles, users and booleans that the policy has from it.
	Declares []string `json:"declares,omitempty"`
	// Contained says that the base has all that it declares: the distribution built it in from its module store, or has the same of its own.
	Contained bool `json:"contained,omitempty"`
}

func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// symbolsOf are the names of a policy that modules declare, each with what it is: sorted.
func symbolsOf(p *policydb.Policy) []string {
	names := make([]string, 0, len(p.Types.Entries)+len(p.Roles.Entries)+len(p.Users.Entries)+len(p.Booleans.Entries))
	for i := range p.Types.Entries {
		if p.Types.Entries[i].Properties&policydb.TypeAttribute == 0 { // compilers drop attributes that nothing needs
			names = append(names, "type "+p.Types.Entries[i].Name)
		}
	}
	for i := range p.Roles.Entries {
		names = append(names, "role "+p.Roles.Entries[i].Name)
	}
	for i := range p.Users.Entries {
		names = append(names, "user "+p.Users.Entries[i].Name)
	}
	for i := range p.Booleans.Entries {
		names = append(names, "boolean "+p.Booleans.Entries[i].Name)
	}
	slices.Sort(names)
	return names
}

// added are the names that are in after and not in before, both sorted.
func added(before, after []string) []string {
	var names []string
	for _, name := range after {
		if _, had := slices.BinarySearch(before, name); !had {
			names = append(names, name)
		}
	}
	return names
}

// hasAll reports whether all names are among the sorted ones. Of none it says false: then nothing tells whether the module is there.
func hasAll(sorted, names []string) bool {
	for _, name := range names {
		if _, has := slices.BinarySearch(sorted, name); !has {
			return false
		}
	}
	return len(names) > 0
}

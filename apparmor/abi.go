// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
	"github.com/bulkhead-project/bulkhead/source"
)

// kernelABI is the abi rule by which a policy means the features of whatever kernel it is compiled for.
const kernelABI = "kernel"

// LoadABI reads the features that a policy's abi rule names, from where its includes are. It is nil where the policy has no such rule, or means the
// kernel's own. A file that is not there is an error: without it, it is not known what the policy means to be mediated.
func LoadABI(policy *syntax.Policy, options syntax.Options) (*Features, error) {
	rule := policy.ABI
	if rule == nil || rule.Path == kernelABI {
		return nil, nil
	}
	if options.Files == nil {
		return nil, source.Diagnostic{Position: rule.Position, Message: "abi files cannot be read here"}
	}
	for i, name := range abiPaths(rule, options) {
		text, err := fs.ReadFile(options.Files, strings.TrimPrefix(name, "/"))
		if errors.Is(err, fs.ErrNotExist) && i+1 < len(abiPaths(rule, options)) {
			continue
		}
		if err != nil {
			return nil, source.Diagnostic{Position: rule.Position, Message: "abi " + name + ": " + reason(err)}
		}
		features, err := ParseFeatures(string(text))
		if err != nil {
			return nil, source.Diagnostic{Position: rule.Position, Message: "abi " + name + ": " + err.Error()}
		}
		return &features, nil
	}
	return nil, nil
}

// abiPaths are where a rule's file is looked for, in the order of includes; there is always one.
func abiPaths(rule *syntax.Reference, options syntax.Options) []string {
	if path.IsAbs(rule.Path) && !rule.Magic {
		return []string{path.Clean(rule.Path)}
	}
	base := options.Base
	if base == "" {
		base = "/etc/apparmor.d"
	}
	if !rule.Magic {
		if options.Directory != "" {
			base = options.Directory
		}
		return []string{path.Join(base, rule.Path)}
	}
	directories := slices.Concat([]string{base}, options.Include)
	for i, directory := range directories {
		directories[i] = path.Join(directory, rule.Path)
	}
	return directories
}

// reason is a file system's error without the path that it repeats.
func reason(err error) string {
	var of *fs.PathError
	if errors.As(err, &of) {
		return of.Err.Error()
	}
	return err.Error()
}

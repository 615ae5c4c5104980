// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Features is what a kernel says that it can mediate: the tree under /sys/kernel/security/apparmor/features. The zero value says nothing, and policy
// cannot be compiled for it.
type Features struct {
	tree map[string]string // by path, "mount/mask"; only files, never directories
}

// Limits of a features text; the kernel with the most has some 5 kB.
const (
	maximumFeatures     = 1 << 20 // bytes
	maximumFeatureDepth = 16
)

// ParseFeatures reads a features file, the form in which abi files are and in which apparmor_parser takes them: NAME {CONTENT}, where the content is
// further such pairs, or the words of a file.
func ParseFeatures(text string) (Features, error) {
	if len(text) > maximumFeatures {
		return Features{}, fmt.Errorf("features of %d bytes: more than %d", len(text), maximumFeatures)
	}
	tree := map[string]string{}
	var path []string
	start := 0 // behind the last brace
	for at := 0; at < len(text); at++ {
		if text[at] != '{' && text[at] != '}' {
			continue
		}
		words := strings.Fields(text[start:at])
		line := func() int { return 1 + strings.Count(text[:at], "\n") }
		start = at + 1
		if text[at] == '{' {
			if len(words) != 1 || strings.Contains(words[0], "/") {
				return Features{}, fmt.Errorf("features: line %d: %q before {, expected a name", line(), strings.Join(words, " "))
			}
			if path = append(path, words[0]); len(path) > maximumFeatureDepth {
				return Features{}, fmt.Errorf("features: line %d: nested more than %d deep", line(), maximumFeatureDepth)
			}
			continue
		}
		if len(path) == 0 {
			continue // the abi files kernel-5.4-vanilla and kernel-5.4-outoftree-network, which distributions install, have one too many
		}
		if len(words) > 0 {
			tree[strings.Join(path, "/")] = strings.Join(words, " ")
		}
		path = path[:len(path)-1]
	}
	pending := strings.TrimSpace(text[start:])
	switch {
	case len(path) > 0:
		return Features{}, fmt.Errorf("features: %s is not closed, expected }", strings.Join(path, "/"))
	case pending != "":
		return Features{}, fmt.Errorf("features: %q outside of braces", pending)
	case len(tree) == 0:
		return Features{}, fmt.Errorf("features: no feature")
	}
	return Features{tree}, nil
}

// Empty reports whether there is nothing.
func (f Features) Empty() bool { return len(f.tree) == 0 }

// Value is the content of a file of the tree, its words separated by one space each.
func (f Features) Value(path string) (string, bool) {
	value, ok := f.tree[path]
	return value, ok
}

// Values are the words of a file of the tree, as of mount/mask.
func (f Features) Values(path string) []string { return strings.Fields(f.tree[path]) }

// Has reports whether a file or a directory is in the tree, as mount or mount/mask. A file that says no is there all the same.
func (f Features) Has(path string) bool {
	if _, ok := f.tree[path]; ok {
		return true
	}
	for name := range f.tree {
		if strings.HasPrefix(name, path) && len(name) > len(path) && name[len(path)] == '/' {
			return true
		}
	}
	return false
}

// Yes reports whether a file of the tree says yes.
func (f Features) Yes(path string) bool { return f.tree[path] == "yes" }

// Intersect is what both have: of a mask the words that are in both, in this one's order; of single values, as of a version, the lesser.
func (f Features) Intersect(other Features) Features {
	both := map[string]string{}
	for path, value := range f.tree {
		if theirs, ok := other.tree[path]; ok {
			both[path] = intersectValues(value, theirs)
		}
	}
	return Features{both}
}

func intersectValues(a, b string) string {
	if a == b {
		return a
	}
	ours, theirs := strings.Fields(a), strings.Fields(b)
	if len(ours) == 1 && len(theirs) == 1 {
		return min(a, b) // "no" before "yes", 1.1 before 1.2
	}
	return strings.Join(slices.DeleteFunc(ours, func(word string) bool { return !slices.Contains(theirs, word) }), " ")
}

// String is the text that ParseFeatures reads, in the order of the names.
func (f Features) String() string {
	var text strings.Builder
	var open []string
	for _, path := range slices.Sorted(maps.Keys(f.tree)) {
		parts := strings.Split(path, "/")
		common := 0
		for common < len(open) && common < len(parts)-1 && open[common] == parts[common] {
			common++
		}
		text.WriteString(strings.Repeat("}\n", len(open)-common))
		open = append(open[:common], parts[common:]...)
		for _, part := range parts[common:] {
			text.WriteString(part + " {")
		}
		text.WriteString(f.tree[path] + "\n")
		text.WriteString("}\n")
		open = open[:len(open)-1]
	}
	text.WriteString(strings.Repeat("}\n", len(open)))
	return text.String()
}

// Lists reports whether a file of the tree has the word.
func (f Features) Lists(path, word string) bool { return slices.Contains(f.Values(path), word) }

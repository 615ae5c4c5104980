// SPDX-License-Identifier: Apache-2.0

package dfa

import (
	"context"
	"slices"
	"testing"
)

func TestGlobsComeBack(t *testing.T) {
	for name, globs := range map[string][]string{
		"None":                  {},
		"Literals":              {"/bin/sh", "/bin/true", "/etc/passwd"},
		"ComponentsAndTrees":    {"/tmp/*", "/var/**", "/usr/lib/*.so"},
		"MiddleOfAPath":         {"/proc/*/maps", "/sys/**/uevent"},
		"Sets":                  {"/proc/[0-9]*", "/x[^ab]y"},
		"QuestionMarks":         {"/dev/tty?", "/dev/pts/??"},
		"Escapes":               {`/a\*b`, `/c\[d`, "/e\\x07f", `/g\,h`},
		"TrailingSlashIncluded": {"/srv/{,**}"},
		"SlashesNotFolded":      {`/\/a/\/b`},
		"EmptyMiddle":           {"/a/{,*}/b"},
	} {
		t.Run(name, func(t *testing.T) {
			var patterns []Pattern
			for _, text := range globs {
				p, err := Glob(text, PathGlob)
				if err != nil {
					t.Fatal(err)
				}
				patterns = append(patterns, p)
			}
			a := compile(t, patterns...)
			got, err := a.Globs(context.Background(), Start, func(says Accept) bool { return says.One != 0 }, 100)
			slices.Sort(globs)
			if err != nil || !slices.Equal(got, globs) {
				t.Errorf("got %q (%v), want %q", got, err, globs)
			}
		})
	}
}

// SPDX-License-Identifier: Apache-2.0

package dfa

import (
	"context"
	"errors"
	"slices"
	"testing"
)

func TestGlobsComeBack(t *testing.T) {
	for name, texts := range map[string][]string{
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
			for _, text := range texts {
				p, err := Glob(text, PathGlob)
				if err != nil {
					t.Fatal(err)
				}
				patterns = append(patterns, p)
			}
			a := compile(t, patterns...)
			got, err := a.Globs(context.Background(), Start, func(says Accept) bool { return says.One != 0 }, 100)
			slices.Sort(texts)
			if err != nil || !slices.Equal(got, texts) {
				t.Errorf("got %q (%v), want %q", got, err, texts)
			}
		})
	}
}

func TestGlobsSayWhatTheAutomatonMatches(t *testing.T) {
	patterns := globs(t, container...)
	a := compile(t, patterns...)
	for tag := range patterns {
		texts, err := a.Globs(context.Background(), Start, func(says Accept) bool { return says.One>>(tag&31)&1 != 0 }, 500)
		if err != nil {
			t.Fatalf("%s: %v", container[tag], err)
		}
		back := Alternate(globs(t, texts...)...)
		for _, path := range []string{"/", "/a", "/proc/1/mem", "/proc/sys/kernel/shmmax", "/proc/sys/kernel/sem", "/sys/fs/cgroup/a", "/sys/firmware/x", "/usr/lib/a.so.1", "//a", "/a//b"} {
			want := a.Accept[a.Walk(Start, path)].One>>(tag&31)&1 != 0
			if back.Matches(path) != want {
				t.Errorf("%s as %q: %q is matched: %v", container[tag], texts, path, !want)
			}
		}
	}
}

func TestWhatNoGlobsSayIsAnError(t *testing.T) {
	pairs := Star(Concat(OneOf(func(b byte) bool { return b != 0 }), OneOf(func(b byte) bool { return b != 0 })))
	a := compile(t, Concat(Literal("/"), pairs)) // paths of an odd length
	if texts, err := a.Globs(context.Background(), Start, func(says Accept) bool { return says.One != 0 }, 50); !errors.Is(err, ErrNoGlobs) {
		t.Errorf("got %q (%v)", texts, err)
	}
}

func TestQuotedTextIsMatchedAlone(t *testing.T) {
	for _, text := range []string{"", "/a b", `/*?[]{}\,`, "/a//b", "//", "///", "/\x00\x1f\x7fé", `/"#@`} {
		got, ok := LiteralGlob(Quote(text), PathGlob)
		if !ok || got != text {
			t.Errorf("%q is quoted as %q, which stands for %q", text, Quote(text), got)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package dfa

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// globCases are globs with strings that they match and do not match. refused says that the text is no glob. differs admits that the reference compiler
// reads the glob otherwise, and says why we do not.
var globCases = map[string]struct {
	glob    string
	matches []string
	not     []string
	refused int // offset of the error and one
	differs string
}{
	"Literal":                         {glob: "/bin/sh", matches: []string{"/bin/sh"}, not: []string{"/bin/s", "/bin/shx", ""}},
	"QuestionMarkIsOneByteOfAName":    {glob: "/a/?", matches: []string{"/a/b", "/a/\xff"}, not: []string{"/a/", "/a//", "/a/bb", "/a/\x00"}},
	"StarStaysInItsComponent":         {glob: "/a*/b", matches: []string{"/a/b", "/axx/b"}, not: []string{"/a/x/b", "/ab", "/a\x00/b"}},
	"StarThatIsAComponentIsSome":      {glob: "/a/*", matches: []string{"/a/b", "/a/bc"}, not: []string{"/a/", "/a/b/", "/a//"}},
	"StarComponentInTheMiddleIsSome":  {glob: "/a/*/b", matches: []string{"/a/x/b"}, not: []string{"/a//b", "/a/b"}},
	"TreeIsSome":                      {glob: "/a/**", matches: []string{"/a/b", "/a/b/", "/a/b//c"}, not: []string{"/a/", "/a//", "/a/b\x00"}},
	"TreeOfDirectories":               {glob: "/a/**/", matches: []string{"/a/b/", "/a/b/c/"}, not: []string{"/a/", "/a//", "/a/b"}},
	"TreeInTheMiddle":                 {glob: "/a/**/b", matches: []string{"/a/x/b", "/a/x/y/b"}, not: []string{"/a/b", "/a//b"}},
	"StarBeforeMoreMayBeNothing":      {glob: "/a/*b", matches: []string{"/a/b", "/a/bb"}, not: []string{"/a/", "/a/x/b"}},
	"TreeBeforeMoreMayBeNothing":      {glob: "/a/**b", matches: []string{"/a/b", "/a/x/b", "/a//b"}, not: []string{"/a/"}},
	"ThreeStars":                      {glob: "/a/***", matches: []string{"/a/b", "/a/b/c"}, not: []string{"/a/", "/a//"}},
	"StarAndOneByte":                  {glob: "/a/*?", matches: []string{"/a/b", "/a/bcd"}, not: []string{"/a/", "/a/b/"}},
	"StarAfterAnAlternation":          {glob: "/a{/,/b}*", matches: []string{"/a/", "/a/c", "/a/bc"}, not: []string{"/a"}},
	"StarInAnAlternation":             {glob: "/a/{*,b/c}", matches: []string{"/a/", "/a/x", "/a/b/c"}, not: []string{"/a/x/"}},
	"SlashInAnAlternationThenStar":    {glob: "/a{/*,b}", matches: []string{"/a/", "/a/x", "/ab"}, not: []string{"/a", "/a/x/y"}},
	"ComponentInAnAlternation":        {glob: "/a{b,/*/c}", matches: []string{"/ab", "/a/x/c"}, not: []string{"/a//c"}},
	"EmptyChoice":                     {glob: "/a/{,b}", matches: []string{"/a/", "/a/b"}, not: []string{"/a/bb", "/a"}},
	"EmptyChoiceAndTree":              {glob: "/a/{,**}", matches: []string{"/a/", "/a/b", "/a//"}, not: []string{"/a"}},
	"OnlyEmptyChoices":                {glob: "/a/{,}", matches: []string{"/a/"}, not: []string{"/a"}},
	"NestedAlternations":              {glob: "/{a,b{c,d{e,f}}}", matches: []string{"/a", "/bc", "/bde", "/bdf"}, not: []string{"/b", "/bd"}},
	"CommaOutside":                    {glob: "/a,b", matches: []string{"/a,b"}, not: []string{"/a"}},
	"Set":                             {glob: "/[abx-z]", matches: []string{"/a", "/b", "/x", "/y"}, not: []string{"/c", "/-", "/"}},
	"NegatedSetMatchesSlashAndNUL":    {glob: "/a[^x]b", matches: []string{"/ayb", "/a/b", "/a\x00b"}, not: []string{"/axb", "/ab"}},
	"RangeBackwards":                  {glob: "/[c-a]", matches: []string{"/a", "/b", "/c"}, not: []string{"/d"}},
	"DashFirst":                       {glob: "/[-a]", matches: []string{"/-", "/a"}, not: []string{"/b"}},
	"CaretLater":                      {glob: "/[a^]", matches: []string{"/a", "/^"}, not: []string{"/b"}},
	"BracesCommasInASet":              {glob: "/{[}],[a,b]}", matches: []string{"/}", "/a", "/,"}, not: []string{"/]"}},
	"BracketInASet":                   {glob: "/[a\\]b]", matches: []string{"/a", "/]", "/b"}, not: []string{"/\\"}},
	"OpenBracketInASet":               {glob: "/[[]", matches: []string{"/["}, not: []string{"/"}},
	"BytesOfUTF8InASet":               {glob: "/[é]", matches: []string{"/\xc3", "/\xa9"}, not: []string{"/é"}},
	"StarInASetIsAStar":               {glob: "/[*]", matches: []string{"/*"}, not: []string{"/a", "/"}, differs: "it expands the * in the set: [[^/\\0]*]"},
	"QuestionMarkInASetIsItself":      {glob: "/[a?]", matches: []string{"/a", "/?"}, not: []string{"/b"}, differs: "it expands the ? in the set"},
	"EscapedDashInASetIsNoRange":      {glob: "/[a\\-c]", matches: []string{"/a", "/-", "/c"}, not: []string{"/b"}, differs: "it drops the escape, so there is a range"},
	"EscapedCaretInASetNegatesNot":    {glob: "/[\\^a]", matches: []string{"/^", "/a"}, not: []string{"/b"}, differs: "it drops the escape, so the set is negated"},
	"EscapedWildcards":                {glob: `/\*\?\[\]\{\}\\`, matches: []string{`/*?[]{}\`}, not: []string{`/a`}},
	"EscapesOfBytes":                  {glob: `/\x41\102\d067`, matches: []string{"/ABC"}, not: []string{"/x41"}},
	"EscapesOfFewDigits":              {glob: "/\\x4g\\1g\\d6g", matches: []string{"/\x04g\x01g\x06g"}, not: []string{"/"}},
	"EscapesAreABytesWorth":           {glob: `/\400\d256`, matches: []string{"/\x20\x30\x19\x36"}, not: []string{"/"}},
	"EscapesOfControls":               {glob: `/\t\r\f\a\e`, matches: []string{"/\t\r\f\a\x1b"}, not: []string{"/trfae"}},
	"EscapesWithoutANumber":           {glob: `/\xz\dz\8`, matches: []string{"/xzdz8"}, not: []string{"/"}},
	"EscapesOfNothingSpecial":         {glob: `/\q\o\ `, matches: []string{`/qo `}, not: []string{`/\q`}},
	"EscapedNumberIsNoWildcard":       {glob: `/\x2a\052\d042`, matches: []string{"/***"}, not: []string{"/a"}},
	"EscapedNUL":                      {glob: `/a\x00b`, matches: []string{"/a\x00b"}, not: []string{"/ab"}},
	"EscapedComma":                    {glob: `/{a\,b,c}`, matches: []string{"/a,b", "/c"}, not: []string{"/a"}},
	"SlashesAreFolded":                {glob: "/a//b///c/", matches: []string{"/a/b/c/"}, not: []string{"/a//b/c/"}},
	"SlashesAreFoldedBeforeStars":     {glob: "/a//*//", matches: []string{"/a/x/"}, not: []string{"/a//x/", "/a//"}},
	"TwoSlashesAtTheBeginningStay":    {glob: "//a//b", matches: []string{"//a/b"}, not: []string{"/a/b"}},
	"ThreeSlashesAtTheBeginningAre1":  {glob: "///a", matches: []string{"/a"}, not: []string{"//a"}},
	"EscapedSlashIsNotFolded":         {glob: `/a/\/b`, matches: []string{"/a//b"}, not: []string{"/a/b"}},
	"SlashAfterAnEscapedOneIsFolded":  {glob: `/a/\//b`, matches: []string{"/a//b"}, not: []string{"/a///b"}},
	"SlashByNumberIsASlash":           {glob: `/a\x2f*`, matches: []string{"/a/b"}, not: []string{"/a/"}},
	"StarAfterAnEscapedSlashIsSome":   {glob: `/a/\/*`, matches: []string{"/a//b"}, not: []string{"/a//"}},
	"StarBeforeAnEscapedSlashIsAny":   {glob: `/a/*\/b`, matches: []string{"/a//b", "/a/x/b"}, not: []string{"/a/b"}},
	"SlashesInAlternationsAreNotOne":  {glob: "/a/{/b,c}", matches: []string{"/a//b", "/a/c"}, not: []string{"/a/b"}},
	"SyntaxOfRegularExpressionsIsNot": {glob: "/a.b+c|d(e)^$", matches: []string{"/a.b+c|d(e)^$"}, not: []string{"/axb+c|d(e)^$"}},
	"FortyNineNestedAlternations":     {glob: "/" + strings.Repeat("{b,", 49) + strings.Repeat("}", 49), matches: []string{"/b", "/"}, not: []string{"/bb"}},

	"FiftyNestedAlternations": {glob: "/" + strings.Repeat("{b,", 50) + strings.Repeat("}", 50), refused: 149},
	"OneChoice":               {glob: "/a/{b}", refused: 4},
	"NoChoice":                {glob: "/a/{}", refused: 4},
	"OpenAlternation":         {glob: "/a/{b,c", refused: 4},
	"ClosingBrace":            {glob: "/a/b}", refused: 5},
	"ClosingBracket":          {glob: "/a/b]", refused: 5},
	"OpenSet":                 {glob: "/a/[b", refused: 4},
	"EmptySet":                {glob: "/a/[]", refused: 4},
	"EmptyNegatedSet":         {glob: "/a/[^]", refused: 4},
	"ClosingBracketFirst":     {glob: "/a/[]b]", refused: 4},
	"DashLast":                {glob: "/a/[b-]", refused: 6},
	"RangeOfRanges":           {glob: "/a/[a-c-e]", refused: 8},
	"RangeToADash":            {glob: "/a/[a--]", refused: 6},
	"BackslashAtTheEnd":       {glob: `/a/b\`, refused: 5},
}

func TestGlobs(t *testing.T) {
	for name, c := range globCases {
		t.Run(name, func(t *testing.T) {
			p, err := Glob(c.glob, PathGlob)
			if c.refused > 0 {
				var fault *GlobError
				if !errors.As(err, &fault) || fault.Offset != c.refused-1 {
					t.Fatalf("%q: %v, want an error at byte %d", c.glob, err, c.refused-1)
				}
				return
			}
			if err != nil {
				t.Fatalf("%q: %v", c.glob, err)
			}
			a := compile(t, p)
			for _, text := range c.matches {
				if !p.Matches(text) || a.Accept[a.Walk(Start, text)] == (Accept{}) {
					t.Errorf("%q does not match %q", c.glob, text)
				}
			}
			for _, text := range c.not {
				if p.Matches(text) || a.Accept[a.Walk(Start, text)] != (Accept{}) {
					t.Errorf("%q matches %q", c.glob, text)
				}
			}
		})
	}
}

func TestGlobsOfOtherKinds(t *testing.T) {
	for name, c := range map[string]struct {
		glob    string
		kind    GlobKind
		matches []string
		not     []string
	}{
		"PlainIsNotFolded":        {"a//b", PlainGlob, []string{"a//b"}, []string{"a/b"}},
		"PlainStarLeavesOutSlash": {"a*", PlainGlob, []string{"a", "ab"}, []string{"a/b", "a\x00"}},
		"PlainStarAloneIsAny":     {"*", PlainGlob, []string{"", "a"}, []string{"/"}},
		"PlainComponentIsSome":    {"a/*", PlainGlob, []string{"a/b"}, []string{"a/"}},
		"NullStarMatchesNUL":      {"a*", NullGlob, []string{"a\x00b"}, []string{"a/"}},
		"NullTreeMatchesAll":      {"a**", NullGlob, []string{"a\x00/b"}, []string{"b"}},
		"NullQuestionMark":        {"a?", NullGlob, []string{"a\x00"}, []string{"a/", "a"}},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Glob(c.glob, c.kind)
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range c.matches {
				if !p.Matches(text) {
					t.Errorf("%q does not match %q", c.glob, text)
				}
			}
			for _, text := range c.not {
				if p.Matches(text) {
					t.Errorf("%q matches %q", c.glob, text)
				}
			}
		})
	}
}

func TestLiteralGlobsAreWhatTheyStandFor(t *testing.T) {
	for glob, want := range map[string]string{"/a//b": "/a/b", `/a\*b`: "/a*b", "/a,b": "/a,b", `/\x41`: "/A", "": ""} {
		if got, ok := LiteralGlob(glob, PathGlob); !ok || got != want {
			t.Errorf("%q: %q %v, want %q", glob, got, ok, want)
		}
	}
	for _, glob := range []string{"/a*", "/a?", "/[a]", "/{a,b}", `/a\`} {
		if _, ok := LiteralGlob(glob, PathGlob); ok {
			t.Errorf("%q is literal", glob)
		}
	}
}

// TestReferenceReadsGlobsAsWeDo gives the cases to apparmor_parser, where it is installed, and compares the automata.
func TestReferenceReadsGlobsAsWeDo(t *testing.T) {
	reference, err := exec.LookPath("apparmor_parser")
	if err != nil {
		if reference, err = exec.LookPath("/usr/sbin/apparmor_parser"); err != nil {
			t.Skip("no apparmor_parser to ask")
		}
	}
	features := filepath.Join(t.TempDir(), "features")
	if err := os.WriteFile(features, []byte("file {mask {create read write exec append mmap_exec link lock\n}\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const read = 0x4
	for name, c := range globCases {
		t.Run(name, func(t *testing.T) {
			command := exec.Command(reference, "-K", "-Q", "-S", "-M", features)
			command.Stdin = strings.NewReader("profile p {\n  \"" + strings.ReplaceAll(c.glob, `"`, `\"`) + "\" r,\n}\n")
			policy, err := command.Output()
			if (err != nil) != (c.refused > 0) {
				t.Fatalf("%q: the reference says %v", c.glob, err)
			}
			if c.refused > 0 {
				return
			}
			at := bytes.LastIndex(policy, binary.BigEndian.AppendUint32(nil, tablesMagic))
			if at < 0 {
				t.Fatal("no automaton in the policy")
			}
			theirs, err := Decode(policy[at:][:binary.BigEndian.Uint32(policy[at+8:])])
			if err != nil {
				t.Fatal(err)
			}
			p, err := Glob(c.glob, PathGlob)
			if err != nil {
				t.Fatal(err)
			}
			d := Compare(compile(t, p), theirs, Start, Start, func(a, b Accept) bool { return (a.One != 0) == (b.One&read != 0) })
			if (d != nil) != (c.differs != "") {
				t.Errorf("%q: %+v, expected to differ: %q", c.glob, d, c.differs)
			}
		})
	}
}

func FuzzGlob(f *testing.F) {
	for _, c := range globCases {
		f.Add(c.glob, "/a/b")
		for _, text := range append(c.matches, c.not...) {
			f.Add(c.glob, text)
		}
	}
	f.Fuzz(func(t *testing.T, glob, text string) {
		if len(glob) > 64 || len(text) > 64 {
			return
		}
		for _, kind := range []GlobKind{PathGlob, PlainGlob, NullGlob} {
			p, err := Glob(glob, kind)
			if err != nil {
				var fault *GlobError
				if !errors.As(err, &fault) || fault.Offset < 0 || fault.Offset >= len(glob) {
					t.Fatalf("%q: %v", glob, err)
				}
				continue
			}
			if literal, ok := LiteralGlob(glob, kind); ok && !p.Matches(literal) {
				t.Fatalf("%q does not match %q, for which it stands", glob, literal)
			}
			a := compile(t, p)
			if (a.Accept[a.Walk(Start, text)] != Accept{}) != p.Matches(text) {
				t.Fatalf("%q and %q: the automaton and the pattern disagree", glob, text)
			}
		}
		quoted, err := Glob(Quote(text), PathGlob)
		if err != nil || !quoted.Matches(text) {
			t.Fatalf("%q quoted as %q does not match (%v)", text, Quote(text), err)
		}
	})
}

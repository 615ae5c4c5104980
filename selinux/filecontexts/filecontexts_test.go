// SPDX-License-Identifier: Apache-2.0

package filecontexts

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const sample = `# what goes where
/.*					system_u:object_r:default_t:s0
/etc(/.*)?				system_u:object_r:etc_t:s0
/etc/passwd[-+]?		--	system_u:object_r:passwd_t:s0
/etc/shadow.*		--	system_u:object_r:shadow_t:s0
/usr/(local/)?lib(64)?/.*\.so(\.[^/]+)*	--	system_u:object_r:lib_t:s0
/usr/bin/tool\.sh	--	system_u:object_r:tool_t:s0
/usr/bin/[^/]+	-l	system_u:object_r:link_t:s0
/usr/bin/.*		system_u:object_r:bin_t:s0
/proc/.*		<<none>>
/dev/tty[0-9]{1,2}	-c	system_u:object_r:tty_t:s0
/run/a|/run/b	system_u:object_r:run_t:s0
`

func table(t testing.TB, texts ...string) *Table {
	t.Helper()
	var lines []Line
	for _, text := range texts {
		more, err := Parse(Source{"file_contexts", []byte(text)})
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, more...)
	}
	return NewTable(lines)
}

func find(t testing.TB, table *Table, path string, kind Kind) string {
	t.Helper()
	line, err := table.Match(path, kind)
	switch {
	case err != nil:
		t.Fatal(err)
	case line == nil:
		return "nothing"
	case line.Context == "":
		return "none"
	}
	return strings.Split(line.Context, ":")[2]
}

func TestMatch(t *testing.T) {
	one := table(t, sample)
	if err := one.Check(); err != nil || one.Len() != 11 {
		t.Fatalf("%d lines, %v", one.Len(), err)
	}
	one.Substitute([]byte("/alias /etc\n"), []byte("# of the distribution\n/bin /usr/bin\n/lib64 /usr/lib\n/whole /\n"))
	for name, test := range map[string]struct {
		path string
		kind Kind
		want string
	}{
		"TheLastLineWins":             {"/etc/shadow-", Regular, "shadow_t"},
		"TheTypeOfTheFileCounts":      {"/etc/shadow-", Directory, "etc_t"},
		"TheDirectoryItself":          {"/etc", Directory, "etc_t"},
		"NotItsNeighbour":             {"/etcetera", Regular, "default_t"},
		"AnyKindIsAllKinds":           {"/etc/passwd", AnyKind, "passwd_t"},
		"OptionalCharacter":           {"/etc/passwd+", Regular, "passwd_t"},
		"AnchoredAtTheEnd":            {"/etc/passwd+x", Regular, "etc_t"},
		"Groups":                      {"/usr/local/lib64/x.so.1.2", Regular, "lib_t"},
		"ALiteralBeforeALaterPattern": {"/usr/bin/tool.sh", Regular, "tool_t"},
		"OfAnotherTypeItIsNone":       {"/usr/bin/tool.sh", Socket, "bin_t"},
		"ALaterPatternCoversALink":    {"/usr/bin/tool.sh", Link, "bin_t"},
		"None":                        {"/proc/1/status", Regular, "none"},
		"Repetition":                  {"/dev/tty10", CharacterDevice, "tty_t"},
		"NotMoreOften":                {"/dev/tty100", CharacterDevice, "default_t"},
		"TheAnchorBelongsToTheFirst":  {"/run/abc", Regular, "run_t"}, // ^/run/a|/run/b$
		"AndToTheLast":                {"/x/run/b", Regular, "run_t"},
		"DoubledSlashes":              {"//etc///shadow", Regular, "shadow_t"},
		"ASlashAtTheEnd":              {"/etc/", Directory, "etc_t"},
		"Substituted":                 {"/bin/tool.sh", Regular, "tool_t"},
		"SubstitutedWhole":            {"/whole/etc/shadow", Regular, "shadow_t"},
		"OnlyWholeDirectories":        {"/binary", Regular, "default_t"},
		"OfTheMachineThenOfAll":       {"/alias/shadow", Regular, "shadow_t"},
		"BytesThatAreNoText":          {"/etc/shadow\xff\xfe", Regular, "shadow_t"},
		"ACharacterOfTwoBytes":        {"/usr/bin/é", Link, "bin_t"},
		"ANewlineAtTheEnd":            {"/etc/passwd\n", Regular, "passwd_t"},
		"Relative":                    {"etc", Regular, "nothing"},
		"Empty":                       {"", Regular, "nothing"},
	} {
		if got := find(t, one, test.path, test.kind); got != test.want {
			t.Errorf("%s: %q %s: %s, want %s", name, test.path, test.kind, got, test.want)
		}
	}
}

func TestLaterFilesWin(t *testing.T) {
	local := table(t, sample, "/usr/bin/tool\\.sh\tu:r:other_t:s0\n", "/etc/.*\tu:r:mine_t:s0\n")
	if got := find(t, local, "/usr/bin/tool.sh", Regular); got != "other_t" {
		t.Errorf("a literal: %s", got)
	}
	if got := find(t, local, "/etc/shadow", Regular); got != "mine_t" {
		t.Errorf("a pattern: %s", got)
	}
}

func TestBadLines(t *testing.T) {
	for text, want := range map[string]string{
		"/etc\n":                               "file_contexts:1: /etc without a context",
		"\n/etc -x u:r:t:s0\n":                 `file_contexts:2: type of file "-x", expected one of`,
		"/etc -f u:r:t:s0\n":                   `type of file "-f"`,
		"/etc d u:r:t:s0\n":                    `type of file "d"`,
		"/é u:r:t:s0\n":                        "is not ASCII",
		strings.Repeat("a", 65535) + " u:r:t ": "a field of 65535 bytes",
	} {
		var bad *ParseError
		if _, err := Parse(Source{"file_contexts", []byte(text)}); !errors.As(err, &bad) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %s", text, err, want)
		}
	}
}

// What PCRE has and Go's regular expressions have not is an error with its place, when it is needed.
func TestPatternsThatCannotBeMatched(t *testing.T) {
	for _, pattern := range []string{`/a(?=b).*`, `/a(?<!b)`, `/a(b)\1`, `/ab*+b`, `/a(?>b)`, `/ab{1,2000}`, `/a[a`, `/a)`} {
		bad := table(t, "/x(/.*)? u:r:fine_t:s0\n\n"+pattern+" u:r:bad_t:s0\n")
		if err := bad.Check(); err == nil || !strings.HasPrefix(err.Error(), "file_contexts:3: pattern "+pattern+": ") {
			t.Errorf("%s: %v", pattern, err)
		}
		if got := find(t, bad, "/x/y", Regular); got != "fine_t" {
			t.Errorf("%s spoils others: %s", pattern, got)
		}
		if line, err := bad.Match("/ab", Regular); err == nil {
			t.Errorf("%s: %+v", pattern, line)
		}
	}
}

func TestLoad(t *testing.T) {
	base := filepath.Join(t.TempDir(), "file_contexts")
	if _, err := Load(base); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	for suffix, text := range map[string]string{"": sample, ".local": "/srv/.* u:r:local_t:s0\n", ".homedirs": "/srv/.* u:r:home_t:s0\n", ".subs": "/s /srv\n"} {
		if err := os.WriteFile(base+suffix, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	loaded, err := Load(base)
	if err != nil {
		t.Fatal(err)
	}
	if got := find(t, loaded, "/s/x", Regular); got != "local_t" {
		t.Errorf("/s/x: %s", got)
	}
	if err := os.WriteFile(base+".local", []byte("/srv\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(base); err == nil || !strings.Contains(err.Error(), ".local:1: ") {
		t.Errorf("a bad line: %v", err)
	}
}

func TestKinds(t *testing.T) {
	for mode, want := range map[fs.FileMode]string{0: "--", fs.ModeDir | fs.ModeSticky: "-d", fs.ModeSymlink: "-l", fs.ModeNamedPipe: "-p", fs.ModeSocket: "-s",
		fs.ModeDevice: "-b", fs.ModeDevice | fs.ModeCharDevice: "-c", fs.ModeIrregular: ""} {
		if got := KindOf(mode).String(); got != want {
			t.Errorf("%v: %q, want %q", mode, got, want)
		}
	}
	for _, letter := range []string{"", "x", "dd", " "} {
		if kind, err := ParseKind(letter); err == nil {
			t.Errorf("%q: %s", letter, kind)
		}
	}
}

func FuzzMatch(f *testing.F) {
	f.Add([]byte(sample), "/etc/shadow")
	f.Add([]byte("/a\\.b*c{2}(x|[]y])+ -d u:r:t\n"), "/a.ccx]")
	f.Fuzz(func(t *testing.T, text []byte, path string) {
		lines, err := Parse(Source{"file_contexts", text})
		if err != nil {
			return
		}
		table := NewTable(lines)
		table.Substitute(text, text)
		line, err := table.Match(path, AnyKind)
		if err != nil || line == nil {
			return
		}
		// The indexes leave nothing out: no later line of the same rank matches.
		wanted := substitute(table.common, substitute(table.local, clean(path)))
		for i := len(lines) - 1; i >= 0 && &lines[i] != line; i-- {
			if _, exact := literal(lines[i].Pattern); exact || len(table.literals[wanted]) > 0 {
				continue
			}
			if compiled, err := (&pattern{line: &lines[i]}).compile(); err == nil && compiled.MatchString(bytewise(wanted)) {
				t.Fatalf("%q matches line %d, %s, and line %d was found", wanted, lines[i].Number, lines[i].Pattern, line.Number)
			}
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	one := table(b, sample)
	for b.Loop() {
		if _, err := one.Match("/usr/lib/x86_64-linux-gnu/libc.so.6", Regular); err != nil {
			b.Fatal(err)
		}
	}
}

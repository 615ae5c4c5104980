// SPDX-License-Identifier: Apache-2.0

package selinux

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp/syntax"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/selinux/filecontexts"
)

// lookups are how many paths are looked up in both.
const lookups = 12_000

// modes are the types of files, by stat(2)'s numbers.
var modes = map[filecontexts.Kind]int{filecontexts.AnyKind: 0, filecontexts.Directory: 0o040000, filecontexts.CharacterDevice: 0o020000, filecontexts.BlockDevice: 0o060000,
	filecontexts.Socket: 0o140000, filecontexts.Pipe: 0o010000, filecontexts.Link: 0o120000, filecontexts.Regular: 0o100000}

// written is a text that a regular expression matches, chosen at random.
func written(random *rand.Rand, re *syntax.Regexp) string {
	times := func(least, most int) string {
		if most < 0 {
			most = least + 3
		}
		var text strings.Builder
		for range least + random.IntN(most-least+1) {
			text.WriteString(written(random, re.Sub[0]))
		}
		return text.String()
	}
	switch re.Op {
	case syntax.OpLiteral:
		return string(re.Rune)
	case syntax.OpCharClass:
		at := 2 * random.IntN(len(re.Rune)/2)
		low, high := re.Rune[at], min(re.Rune[at+1], 126)
		if low > high || low < 32 {
			return "x"
		}
		return string(low + random.Int32N(high-low+1))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return string("ab/._-1é"[random.IntN(7)])
	case syntax.OpCapture:
		return written(random, re.Sub[0])
	case syntax.OpStar:
		return times(0, -1)
	case syntax.OpPlus:
		return times(1, -1)
	case syntax.OpQuest:
		return times(0, 1)
	case syntax.OpRepeat:
		return times(re.Min, re.Max)
	case syntax.OpConcat:
		var text strings.Builder
		for _, sub := range re.Sub {
			text.WriteString(written(random, sub))
		}
		return text.String()
	case syntax.OpAlternate:
		return written(random, re.Sub[random.IntN(len(re.Sub))])
	}
	return ""
}

// somewhere is a path near what a line is about.
func somewhere(random *rand.Rand, lines []filecontexts.Line, prefixes []string) string {
	line := lines[random.IntN(len(lines))]
	re, err := syntax.Parse(line.Pattern, syntax.Perl)
	if err != nil {
		return "/"
	}
	path := written(random, re)
	switch random.IntN(12) {
	case 0:
		path += []string{"x", "/x", "/", "//", ".so", "~"}[random.IntN(6)]
	case 1:
		path = path[:random.IntN(len(path))+1]
	case 2:
		path = prefixes[random.IntN(len(prefixes))] + path
	case 3:
		path = strings.Replace(path, "/usr", "", 1)
	case 4:
		path = strings.Replace(path, "/", "//", 1)
	case 5:
		path = strings.ToUpper(path[:len(path)/2]) + path[len(path)/2:]
	case 6:
		path += "/ä\xff"
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return strings.ReplaceAll(path, "\n", "")
}

// libselinux and Match find the same contexts for paths near those that Debian's file_contexts is about, with files beside it.
func TestContextsOfPathsAreLibselinuxs(t *testing.T) {
	oracle := filepath.Join(t.TempDir(), "selabel")
	if out, err := exec.Command("gcc", "-O2", "-o", oracle, filepath.Join("testdata", "selabel.c"), "-lselinux").CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v: %s (apt-get install gcc libc6-dev libselinux1-dev)", err, out)
	}
	debian, err := Debian()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(debian, "file_contexts"))
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(t.TempDir(), "file_contexts")
	for suffix, text := range map[string]string{
		"":           string(text),
		".homedirs":  "/home/[^/]+/.*\tsystem_u:object_r:user_home_t:s0\n/home/[^/]+/\\.ssh(/.*)?\tsystem_u:object_r:ssh_home_t:s0\n/home/[^/]+\t-d\tsystem_u:object_r:user_home_dir_t:s0\n",
		".local":     "# of this machine\n/usr/bin/passwd\tsystem_u:object_r:bin_t:s0\n/srv/(a|b)+[[:digit:]]{2,3}x?\t--\tsystem_u:object_r:var_t:s0\n/opt/.*|/mnt/odd\t<<none>>\n  /etc/with\\.dot\t--\tsystem_u:object_r:etc_t:s0 ignored words\n",
		".subs_dist": "/lib64 /usr/lib\n/var/run /run\n/lib /usr/lib\n/a/b /usr\n/bin /usr/bin\n/a /etc\n",
		".subs":      "/alias /home\n/alias/deep /var\n/whole /\n",
	} {
		if err := os.WriteFile(base+suffix, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	table, err := filecontexts.Load(base)
	if err != nil {
		t.Fatal(err)
	}
	var lines []filecontexts.Line
	for _, suffix := range []string{"", ".homedirs", ".local"} {
		text, err := os.ReadFile(base + suffix)
		if err != nil {
			t.Fatal(err)
		}
		more, err := filecontexts.Parse(filecontexts.Source{Name: suffix, Text: text})
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, more...)
	}
	compareLookups(t, oracle, base, table, lines)
}

func compareLookups(t *testing.T, oracle, base string, table *filecontexts.Table, lines []filecontexts.Line) {
	random := rand.New(rand.NewPCG(1, 3))
	prefixes := []string{"/lib64", "/var/run", "/alias", "/alias/deep", "/whole", "/a", "/a/b", "/bin"}
	var asked strings.Builder
	var answers []string
	unlike := map[string]int{}
	for range lookups {
		path, kind := somewhere(random, lines, prefixes), filecontexts.Kind(random.IntN(len(modes)))
		fmt.Fprintf(&asked, "%o %s\n", modes[kind], path)
		line, err := table.Match(path, kind)
		switch {
		case err != nil:
			t.Fatal(err)
		case line == nil || line.Context == "":
			answers = append(answers, "<<none>>")
		default:
			answers = append(answers, line.Context)
		}
		unlike[answers[len(answers)-1]]++
	}
	command := exec.Command(oracle, base)
	command.Stdin = strings.NewReader(asked.String())
	out, err := command.Output()
	if err != nil {
		t.Fatalf("the oracle: %v", err)
	}
	want, questions, wrong := strings.Split(strings.TrimSpace(string(out)), "\n"), strings.Split(asked.String(), "\n"), 0
	if len(want) != len(answers) {
		t.Fatalf("%d answers to %d questions", len(want), len(answers))
	}
	for i := range answers {
		if answers[i] != want[i] {
			if wrong++; wrong <= 10 {
				t.Errorf("%q: %s, libselinux says %s", questions[i], answers[i], want[i])
			}
		}
	}
	t.Logf("%d lookups, %d different contexts, %d wrong", len(answers), len(unlike), wrong)
	if len(unlike) < 800 {
		t.Errorf("the questions ask little: %d different contexts", len(unlike))
	}
}

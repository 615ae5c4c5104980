// SPDX-License-Identifier: Apache-2.0

package apparmor_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/bulkhead-project/bulkhead/test/apparmor/reference"
)

// recorder takes the place of functions of equality.sh: it writes down what was to be compared, each call ended by an empty word. The script's own
// starts five processes for each of its texts, which are tens of thousands.
const recorder = `
verify_binary() { printf '%s\0' "$features_file" "$@" ''; }
compare_priorities() {
	local a=${1#priority=} b=${3#priority=}
	[ "${a:-0}" "$2" "${b:-0}" ]
}
priority_eq() { compare_priorities "$1" -eq "$2"; }
priority_lt() { compare_priorities "$1" -lt "$2"; }
priority_gt() { compare_priorities "$1" -gt "$2"; }
`

// comparison is one call of verify_binary.
type comparison struct {
	kind        string // equality, inequality, or x before either: a known fault of the reference
	description string
	features    string
	known       string
	others      []string
}

// comparisons has equality.sh write down what it compares.
func comparisons(t *testing.T, suite string) []comparison {
	script, err := os.ReadFile(filepath.Join(suite, "equality.sh"))
	if err != nil {
		t.Fatal(err)
	}
	const first = "\nverify_set()\n"
	before, after, found := strings.Cut(string(script), first)
	if !found {
		t.Fatal("equality.sh has no verify_set")
	}
	command := exec.Command("bash", "-s")
	command.Dir, command.Stdin = suite, strings.NewReader(before+recorder+first+after)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("equality.sh: %v: %s", err, &stderr)
	}
	var list []comparison
	for _, call := range strings.Split(string(out), "\x00\x00") {
		words := strings.Split(call, "\x00")
		if len(words) < 5 {
			continue // the end, where the script says that it passed
		}
		features := words[0][strings.LastIndexByte(words[0], '\n')+1:] // what the script prints comes before the first
		list = append(list, comparison{features: features, kind: words[1], description: words[2], known: words[3], others: words[4:]})
	}
	return list
}

// inequalities are descriptions of comparisons that come out otherwise, each with its reason.
var inequalities = map[string]string{
	"@{profile_name} is literal in peer with pattern":          "a comma of the name stays the name's: the reference has it part the alternatives around the variable",
	"@{profile_name} is literal in peer with esc sequence":     "the label is the name as written, with both backslashes: the reference's pattern does not match it",
	"@{profile_name} is literal in peer with esc alt sequence": "the label is the name as written, with its backslashes: the reference's pattern does not match it",
}

// compiledText is a text's outcome, which many comparisons share.
type compiledText struct{ features, text string }

func TestEqualityScriptOfTheParser(t *testing.T) {
	t.Parallel()
	suite := reference.Suite(t)
	list := comparisons(t, suite)
	outcomes := map[compiledText]string{}
	var texts []compiledText
	pairs := 0
	for _, c := range list {
		pairs += len(c.others)
		for _, text := range append([]string{c.known}, c.others...) {
			key := compiledText{c.features, text}
			if _, there := outcomes[key]; !there {
				outcomes[key] = ""
				texts = append(texts, key)
			}
		}
	}
	if pairs < 20000 {
		t.Fatalf("only %d comparisons in equality.sh", pairs)
	}
	var mutex sync.Mutex
	parallel(texts, func(key compiledText) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		stream, err := compile(ctx, reference.Sources{Features: filepath.Join(suite, "features_files", key.features)}, "-", []byte(key.text))
		digest := sha256.Sum256(stream)
		mutex.Lock()
		defer mutex.Unlock()
		if outcomes[key] = string(digest[:]); err != nil {
			outcomes[key] = "refused: " + err.Error()
		}
	})
	equal, known, otherwise := 0, 0, 0
	for _, c := range list {
		for _, other := range c.others {
			a, b := outcomes[compiledText{c.features, c.known}], outcomes[compiledText{c.features, other}]
			switch same := a == b; {
			case strings.HasPrefix(a, "refused") || strings.HasPrefix(b, "refused"):
				t.Errorf("%s: %s\n\t%s\n\t%s\n%.200q\n%.200q", c.kind, c.description, c.known, other, a, b)
			case strings.HasPrefix(c.kind, "x"):
				known++ // what the reference gets wrong, we may get right
			case inequalities[unprioritised(c.description)] != "":
				if otherwise++; same == (c.kind == "equality") {
					t.Errorf("%s: %s: as the script expects, though the list says otherwise\n\t%s\n\t%s", c.kind, c.description, c.known, other)
				}
			case same != (c.kind == "equality"):
				t.Errorf("%s: %s: same %v\n\t%s\n\t%s", c.kind, c.description, same, c.known, other)
			default:
				equal++
			}
		}
	}
	t.Logf("%d comparisons of %d texts: %d as the script expects, %d that it knows the reference to miss, %d otherwise, by name", pairs, len(texts), equal, known, otherwise)
}

// unprioritised is a description without the priorities that it is for, 'A'x'B'.
func unprioritised(description string) string {
	return regexp.MustCompile("^'[^']*'x'[^']*' ").ReplaceAllString(description, "")
}

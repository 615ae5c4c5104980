// SPDX-License-Identifier: Apache-2.0

package selinux

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// questions is how many are put to both for each setting of the booleans.
const questions = 10_000

func debian(t testing.TB) (path string, policy *policydb.Policy) {
	t.Helper()
	directory, err := Debian()
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(directory, "policy.33")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if policy, err = policydb.Decode(data); err != nil {
		t.Fatal(err)
	}
	if out, err := policy.Encode(); err != nil || !bytes.Equal(out, data) {
		t.Errorf("Debian's policy of %d bytes is written as another, %v", len(data), err)
	}
	return path, policy
}

// Debian's modules as secilc writes them for each version.
func TestEveryVersionIsWrittenToTheSameBytes(t *testing.T) {
	directory, err := Debian()
	if err != nil {
		t.Fatal(err)
	}
	modules, err := filepath.Glob(filepath.Join(directory, "cil", "*.cil"))
	if err != nil || len(modules) < 300 {
		t.Fatalf("%d modules, %v", len(modules), err)
	}
	for _, version := range []string{"24", "30"} {
		output := filepath.Join(t.TempDir(), "policy")
		if out, err := exec.Command("secilc", append([]string{"-c", version, "-o", output, "-f", "/dev/null"}, modules...)...).CombinedOutput(); err != nil {
			t.Fatalf("secilc: %v: %s", err, out)
		}
		data, err := os.ReadFile(output)
		if err != nil {
			t.Fatal(err)
		}
		policy, err := policydb.Decode(data)
		if err != nil {
			t.Errorf("version %s: %v", version, err)
			continue
		}
		if out, err := policy.Encode(); err != nil || !bytes.Equal(out, data) {
			t.Errorf("version %s: %d bytes became %d, %v", version, len(data), len(out), err)
		}
	}
}

// asker makes contexts and questions that are about something: most pairs of types have no rule.
type asker struct {
	*rand.Rand
	policy   *policydb.Policy
	holders  map[uint32][]uint32 // types by attribute (or type) value
	names    map[uint32]string
	contexts []string
}

func newAsker(policy *policydb.Policy, seed uint64) *asker {
	a := &asker{Rand: rand.New(rand.NewPCG(seed, 1)), policy: policy, holders: map[uint32][]uint32{}, names: map[uint32]string{}}
	for i, attributes := range policy.Attributes {
		for attribute := range attributes.All() {
			a.holders[attribute+1] = append(a.holders[attribute+1], uint32(i+1))
		}
	}
	for _, entry := range policy.Types.Entries {
		if entry.Properties&policydb.TypePrimary != 0 {
			a.names[entry.Value] = entry.Name
		}
	}
	return a
}

// pick is a context of a type that has the attribute, of any user, any role that goes with it and any range. Few of them are different, as libsepol looks for
// each in a list.
func (a *asker) pick(attribute uint16) string {
	if len(a.contexts) > 400 && a.IntN(2) == 0 {
		return a.contexts[a.IntN(len(a.contexts))]
	}
	types := a.holders[uint32(attribute)]
	value := types[a.IntN(len(types))]
	roles := []string{"object_r"}
	for _, role := range a.policy.Roles.Entries {
		if role.Types.Has(value - 1) {
			roles = append(roles, role.Name)
		}
	}
	user := a.policy.Users.Entries[a.IntN(len(a.policy.Users.Entries))].Name
	text := fmt.Sprintf("%s:%s:%s:%s", user, roles[a.IntN(len(roles))], a.names[value], a.levels())
	a.contexts = append(a.contexts, text)
	return text
}

func (a *asker) levels() string {
	last := int(a.policy.Categories.Primary) - 1
	first := a.IntN(last)
	level := fmt.Sprintf("s%d", a.IntN(len(a.policy.Levels.Entries)))
	return []string{"s0", fmt.Sprintf("s0-s0:c0.c%d", last), fmt.Sprintf("s0:c%d", first), fmt.Sprintf("s0:c%d,c%d", first%3, 3+first%3),
		fmt.Sprintf("%s-%[1]s:c%d,c%d", level, first, last), level}[a.IntN(6)]
}

func (a *asker) question() string {
	rules := a.policy.Rules
	if a.IntN(4) == 0 && len(a.policy.Conditions) > 0 {
		condition := a.policy.Conditions[a.IntN(len(a.policy.Conditions))]
		if branch := [][]policydb.Rule{condition.True, condition.False}[a.IntN(2)]; len(branch) > 0 {
			rules = branch
		}
	}
	rule := rules[a.IntN(len(rules))]
	class := uint32(rule.Class)
	if a.IntN(8) == 0 {
		class = a.Uint32N(a.policy.Classes.Primary) + 1
	}
	return fmt.Sprintf("%s %s %d", a.pick(rule.Source), a.pick(rule.Target), class)
}

// answer is ours, in the words of decide.c.
func answer(policy *policydb.Policy, question string) string {
	var source, target string
	var class uint32
	fmt.Sscan(question, &source, &target, &class)
	from, err := policy.ParseContext(source)
	if err != nil {
		return "invalid"
	}
	to, err := policy.ParseContext(target)
	if err != nil {
		return "invalid"
	}
	d := policy.Decide(from, to, class)
	return fmt.Sprintf("%x %x %x", d.Allowed, d.AuditAllow, d.AuditDeny)
}

func TestDecisionsAreLibsepols(t *testing.T) {
	oracle := filepath.Join(t.TempDir(), "decide")
	if out, err := exec.Command("gcc", "-O2", "-o", oracle, filepath.Join("testdata", "decide.c"), "-l:libsepol.a").CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v: %s (apt-get install gcc libc6-dev libsepol-dev)", err, out)
	}
	debianPath, debianPolicy := debian(t)
	small := filepath.Join("..", "..", "selinux", "policydb", "testdata", "small.33")
	data, err := os.ReadFile(small)
	if err != nil {
		t.Fatal(err)
	}
	smallPolicy, err := policydb.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		path   string
		policy *policydb.Policy
	}{"Debian's": {debianPath, debianPolicy}, "small": {small, smallPolicy}} {
		for seed := range uint64(2) {
			t.Run(fmt.Sprintf("%s/%d", name, seed), func(t *testing.T) { compare(t, oracle, test.path, test.policy, seed) })
		}
	}
}

// compare puts the same questions to both, with booleans set at random.
func compare(t *testing.T, oracle, path string, policy *policydb.Policy, seed uint64) {
	a := newAsker(policy, seed)
	values, args := map[string]bool{}, []string{path}
	for _, boolean := range policy.Booleans.Entries {
		if values[boolean.Name] = a.IntN(2) == 0; values[boolean.Name] {
			args = append(args, boolean.Name)
		}
	}
	if err := policy.SetBooleans(values); err != nil {
		t.Fatal(err)
	}
	var asked []string
	for range questions {
		asked = append(asked, a.question())
	}
	command := exec.Command(oracle, args...)
	command.Stdin = strings.NewReader(strings.Join(asked, "\n") + "\n")
	out, err := command.Output()
	if err != nil {
		t.Fatalf("the oracle: %v", err)
	}
	answers := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(answers) != len(asked) {
		t.Fatalf("%d answers to %d questions", len(answers), len(asked))
	}
	wrong, allowed, invalid := 0, 0, 0
	for i, question := range asked {
		got := answer(policy, question)
		switch {
		case got == "invalid":
			invalid++
		case !strings.HasPrefix(got, "0 "):
			allowed++
		}
		if got != answers[i] {
			if wrong++; wrong <= 5 {
				t.Errorf("%s: %s, libsepol says %s", question, got, answers[i])
			}
		}
	}
	t.Logf("%d questions, %d allow something, %d contexts are invalid in both, %d wrong", len(asked), allowed, invalid, wrong)
	if allowed < questions/20 || invalid > questions*9/10 {
		t.Errorf("the questions ask little: %d of %d allow something", allowed, len(asked))
	}
}

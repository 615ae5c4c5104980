// SPDX-License-Identifier: Apache-2.0

package cil_test

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/selinux/cil"
	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

var modules = flag.Uint64("modules", 2, "random modules to compile onto Debian's policy")

// moduleWriter writes random modules about a policy: new types in attributes that are there, rules about both, conditions over old and new booleans, transitions,
// contexts of objects, constraints.
type moduleWriter struct {
	*rand.Rand
	text                              strings.Builder
	types, attributes, booleans, mine []string
}

func newModuleWriter(policy *policydb.Policy, seed uint64) *moduleWriter {
	w := &moduleWriter{Rand: rand.New(rand.NewPCG(seed, 5))}
	for _, entry := range policy.Types.Entries {
		switch entry.Properties {
		case policydb.TypePrimary:
			w.types = append(w.types, entry.Name)
		case policydb.TypePrimary | policydb.TypeAttribute:
			w.attributes = append(w.attributes, entry.Name)
		}
	}
	for _, entry := range policy.Booleans.Entries {
		w.booleans = append(w.booleans, entry.Name)
	}
	return w
}

func (w *moduleWriter) one(from []string) string { return from[w.IntN(len(from))] }

// side is a type or an attribute, a new one half of the time.
func (w *moduleWriter) side() string {
	return w.one([][]string{w.mine, w.mine, w.types, w.attributes}[w.IntN(4)])
}

func (w *moduleWriter) typ() string { return w.one([][]string{w.mine, w.types}[w.IntN(2)]) }

func (w *moduleWriter) line(format string, arguments ...any) {
	fmt.Fprintf(&w.text, format+"\n", arguments...)
}

func (w *moduleWriter) access() string {
	permissions := []string{"file (read open getattr)", "file (write append)", "dir (search read)", "process (signal transition)", "tcp_socket (name_bind)", "chr_file (not (write))"}
	target := w.side()
	if w.IntN(6) == 0 {
		target = "self"
	}
	return fmt.Sprintf("(%s %s %s (%s))", w.one([]string{"allow", "allow", "dontaudit", "auditallow"}), w.side(), target, w.one(permissions))
}

// module is one module of some statements.
func (w *moduleWriter) module(statements int) string {
	for i := range 6 {
		w.mine = append(w.mine, fmt.Sprintf("onto%d_t", i))
		w.line("(type onto%d_t)(roletype object_r onto%[1]d_t)(roletype system_r onto%[1]d_t)", i)
	}
	for i := range 2 {
		w.line("(boolean onto_boolean%d %t)", i, i == 0)
		w.booleans = append(w.booleans, fmt.Sprintf("onto_boolean%d", i))
		w.line("(typeattribute onto_attribute%d)(typeattributeset onto_attribute%[1]d (%s %s))(allow onto_attribute%[1]d %s (file (read)))", i, w.typ(), w.typ(), w.one(w.types))
	}
	for range 4 {
		w.line("(typeattributeset %s (%s))", w.one(w.attributes), w.one(w.mine))
	}
	for i := range statements {
		switch w.IntN(10) {
		case 0, 1, 2, 3:
			w.line("%s", w.access())
		case 4, 5:
			w.line("(booleanif (%s %s %s) (true %s %s) (false %s))", w.one([]string{"and", "or", "xor"}), w.one(w.booleans), w.one(w.booleans), w.access(), w.access(), w.access())
		case 6:
			w.line("(typetransition %s %s %s %s)", w.one(w.mine), w.one(w.types), []string{"process", "file", "dir"}[i%3], w.one(w.mine))
		case 7:
			w.line(`(typetransition %s %s file "onto%d" %s)`, w.one(w.types), w.one(w.types), i, w.one(w.mine))
		case 8:
			w.line("(allowx %s %s (ioctl file (range 0x%02x00 0x%02[3]x80)))", w.one(w.mine), w.typ(), i%256)
		case 9:
			w.line("(mlsconstrain (file (write)) (or (dom h1 h2) (neq t1 %s)))", w.one(w.mine))
		}
	}
	w.line("(roletransition system_r onto0_t process system_r)(rangetransition onto0_t onto1_t process ((s0) (s0 (c1))))")
	w.line("(portcon tcp (60001 60010) (system_u object_r onto0_t ((s0) (s0))))(genfscon ontofs / (system_u object_r onto1_t ((s0) (s0))))")
	w.line("(fsuse xattr ontofs2 (system_u object_r onto2_t ((s0) (s0))))(typepermissive onto3_t)(typealias onto_alias)(typealiasactual onto_alias onto4_t)")
	return w.text.String()
}

// A module onto a policy means what it means in one compilation with that policy's sources, but for what a binary policy does not say: which rules about self, and
// which transitions, were about an attribute, and which attributes are all types but some. Those are about new types alone.
func TestOntoAPolicyIsAsTogetherWithItsSources(t *testing.T) {
	_, _, enabled := debianModules(t)
	sources := make([]cil.Source, len(enabled), len(enabled)+1)
	for i, file := range enabled {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sources[i] = cil.Source{Name: filepath.Base(file), Text: text}
	}
	base, err := cil.Compile(sources, cil.Options{DisableNeverAllow: true})
	if err != nil {
		t.Fatal(err)
	}
	before, err := base.Policy.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for seed := range *modules {
		module := cil.Source{Name: "module.cil", Text: []byte(newModuleWriter(base.Policy, seed).module(60))}
		together, err := cil.Compile(append(slices.Clone(sources), module), cil.Options{DisableNeverAllow: true})
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, module.Text)
		}
		onto, err := cil.Compile([]cil.Source{module}, cil.Options{Onto: base.Policy, DisableNeverAllow: true})
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, module.Text)
		}
		if after, err := base.Policy.Encode(); err != nil || !bytes.Equal(before, after) {
			t.Fatalf("seed %d: the policy that was compiled onto is another now, %v", seed, err)
		}
		all, fewer := attributeCounts(together.Policy), attributeCounts(onto.Policy)
		poorer := func(name string) bool { return all[name] != fewer[name] }
		for d := range policydb.Diff(together.Policy, onto.Policy) {
			if !named(d, poorer) {
				t.Error(seed, d.Kind, d.Sign, d.Text, d.Details)
			}
		}
		sameDecisions(t, together.Policy, onto.Policy, poorer, seed)
	}
}

func attributeCounts(p *policydb.Policy) map[string]int {
	count := map[string]int{}
	for _, entry := range p.Types.Entries {
		if entry.Properties == policydb.TypePrimary {
			count[entry.Name] = p.Attributes[entry.Value-1].Len()
		}
	}
	return count
}

// lost are the differences that are to be expected: the policy lacks something that is about a new type.
var lost = map[string]*regexp.Regexp{
	"allow": regexp.MustCompile(`^allow (\S+) (\S+):`), "dontaudit": regexp.MustCompile(`^dontaudit (\S+) (\S+):`), "auditallow": regexp.MustCompile(`^auditallow (\S+) (\S+):`),
	"type_trans": regexp.MustCompile(`onto\d_t`), "type_change": regexp.MustCompile(`onto\d_t`), "type_member": regexp.MustCompile(`onto\d_t`),
	"role_trans": regexp.MustCompile(`onto\d_t`), "range_trans": regexp.MustCompile(`onto\d_t`), "role": regexp.MustCompile(`.`),
	"type": regexp.MustCompile(`^onto\d_t`), "attribute": regexp.MustCompile(`_typeattr_`),
}

// named reports whether a difference is one of those that a binary policy cannot help. Types that are poorer lack an attribute, of all types but some.
func named(d policydb.Difference, poorer func(string) bool) bool {
	match := lost[d.Kind]
	if match == nil {
		return false
	}
	found := match.FindStringSubmatch(d.Text)
	access := len(found) > 2
	self := access && found[1] == found[2] && strings.HasPrefix(found[1], "onto")
	switch {
	case self && strings.Contains(d.Text, " [ "):
		return true // a conditional rule that says no more than a lost one that held always is only seen without that
	case found == nil, access && !self && !poorer(found[1]) && !poorer(found[2]), d.Sign == policydb.Added:
		return false
	}
	for _, detail := range d.Details {
		if !strings.HasPrefix(detail, "- ") || d.Kind == "type" && !strings.Contains(detail, "_typeattr_") || d.Kind == "role" && !strings.Contains(detail, "onto") {
			return false
		}
	}
	return d.Sign == policydb.Removed || len(d.Details) > 0 || strings.Contains(d.Text, " -") && !strings.Contains(d.Text, " +")
}

// sameDecisions puts random questions to both, most of them about what a rule is about; none is about one type alone, nor about types that lack an attribute.
func sameDecisions(t *testing.T, together, onto *policydb.Policy, poorer func(string) bool, seed uint64) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 6))
	var old, fresh []string
	members := map[uint32][]string{} // of an attribute, or a type itself, by value
	for _, entry := range together.Types.Entries {
		if entry.Properties != policydb.TypePrimary || poorer(entry.Name) {
			continue
		}
		for attribute := range together.Attributes[entry.Value-1].All() {
			members[attribute+1] = append(members[attribute+1], entry.Name)
		}
		if strings.HasPrefix(entry.Name, "onto") {
			fresh = append(fresh, entry.Name)
		} else {
			old = append(old, entry.Name)
		}
	}
	if len(fresh) < 3 {
		t.Fatalf("seed %d: %d new types have their attributes", seed, len(fresh))
	}
	type asked struct {
		name   string
		values [2]*policydb.Context
	}
	pick := func(from []string) asked {
		if len(from) == 0 || random.IntN(4) == 0 {
			from = [][]string{old, fresh}[random.IntN(2)]
		}
		name := from[random.IntN(len(from))]
		text := fmt.Sprintf("system_u:object_r:%s:%s", name, []string{"s0", "s0:c1,c2", "s0-s0:c0.c1023", "s0:c2"}[random.IntN(4)])
		made := asked{name: name}
		for i, policy := range []*policydb.Policy{together, onto} {
			context, err := policy.ParseContext(text)
			if err != nil {
				t.Fatal(err)
			}
			made.values[i] = context
		}
		return made
	}
	const questions = 100_000
	allowed := 0
	for range questions {
		rule := together.Rules[random.IntN(len(together.Rules))]
		source, target, class := pick(members[uint32(rule.Source)]), pick(members[uint32(rule.Target)]), uint32(rule.Class)
		if source.name == target.name {
			continue
		}
		first := together.Decide(source.values[0], target.values[0], class)
		second := onto.Decide(source.values[1], target.values[1], class)
		if first != second {
			t.Fatalf("seed %d: %s, %s, class %d: %+v together, %+v onto", seed, source.name, target.name, class, first, second)
		}
		if first.Allowed != 0 {
			allowed++
		}
	}
	if allowed < questions/10 {
		t.Errorf("seed %d: %d of %d questions are about something that is allowed", seed, allowed, questions)
	}
}

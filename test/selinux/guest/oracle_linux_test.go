// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/bulkhead-project/bulkhead/internal/vm/vmtest"
	"github.com/bulkhead-project/bulkhead/selinux/cil"
	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

var (
	questions = flag.Int("questions", 10_000, "access questions for each policy; there are a tenth as many of each other kind")
	seed      = flag.Uint64("seed", 1, "of the questions and of the policies")
)

// round is how many access questions are asked with one setting of the booleans.
const round = 1000

func TestKernelAgreesOnDebiansPolicy(t *testing.T) {
	vmtest.Require(t, vmtest.SELinux)
	ask := newOracle(load(t, encode(t, debian(t))), rand.New(rand.NewPCG(*seed, 0)))
	for asked := 0; asked < *questions; asked += round {
		ask.flip(t)
		ask.round(t, min(round, *questions-asked))
	}
	ask.report(t, 1)
}

// Debian's policy has no levels but one, and no bounds, permissive types, defaults of classes, extended permissions or validatetrans. Random policies have them all.
func TestKernelAgreesOnRandomPolicies(t *testing.T) {
	vmtest.Require(t, vmtest.SELinux)
	var all oracle
	policies := 0
	for asked := 0; asked < *questions; policies++ {
		random := rand.New(rand.NewPCG(*seed, uint64(1+policies)))
		policy := compile(t, "base.cil")
		extend(policy, random)
		ask := newOracle(load(t, encode(t, policy)), random)
		for range 2 {
			ask.flip(t)
			ask.round(t, min(round, *questions-asked))
			asked += min(round, *questions-asked)
		}
		all.add(ask)
		if t.Failed() {
			t.Logf("policy %d of seed %d", policies, *seed)
			break
		}
	}
	all.report(t, policies)
}

// debian is Debian's policy as run.sh brings it, but that kernel_t, in which the test runs, is permissive: it may not set all of the booleans, nor start containers.
func debian(t *testing.T) *policydb.Policy {
	t.Helper()
	data, err := os.ReadFile("/policies/debian")
	if err != nil {
		t.Fatal(err)
	}
	policy, err := policydb.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range policy.Types.Entries {
		if entry.Name == "kernel_t" {
			set(&policy.Permissive, entry.Value)
		}
	}
	return policy
}

// compile makes a policy of files in testdata.
func compile(t *testing.T, names ...string) *policydb.Policy {
	t.Helper()
	var sources []cil.Source
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, cil.Source{Name: name, Text: text})
	}
	result, err := cil.Compile(sources, cil.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return result.Policy
}

func encode(t *testing.T, policy *policydb.Policy) []byte {
	t.Helper()
	data, err := policy.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// oracle compares answers and counts them.
type oracle struct {
	*asker
	kernel kernel
	counts map[string]int // answers by kind
	wrong  int
}

func newOracle(policy *policydb.Policy, random *rand.Rand) *oracle {
	return &oracle{asker: newAsker(policy, random), counts: map[string]int{}}
}

// add adds up what another counted.
func (o *oracle) add(other *oracle) {
	if o.counts == nil {
		o.counts = map[string]int{}
	}
	for kind, count := range other.counts {
		o.counts[kind] += count
	}
	o.wrong += other.wrong
}

// flip sets the booleans at random, for both.
func (o *oracle) flip(t *testing.T) {
	t.Helper()
	values := map[string]bool{}
	for _, boolean := range o.policy.Booleans.Entries {
		values[boolean.Name] = o.IntN(2) == 0
	}
	setBooleans(t, values)
	if err := o.policy.SetBooleans(values); err != nil {
		t.Fatal(err)
	}
}

func (o *oracle) round(t *testing.T, count int) {
	t.Helper()
	for i := range count {
		o.access(t)
		if i%10 != 0 {
			continue
		}
		o.compute(t, "create", policydb.Transition)
		o.compute(t, "relabel", policydb.Change)
		o.compute(t, "member", policydb.Member)
		o.validate(t)
		o.canonical(t)
	}
}

// compare takes down both answers to a question.
func (o *oracle) compare(t *testing.T, kind, question, kernels, ours string) {
	t.Helper()
	o.counts[kind]++
	if kernels == ours {
		return
	}
	if o.wrong++; o.wrong <= 20 {
		t.Errorf("%s %s: the kernel says %q, policydb %q", kind, question, kernels, ours)
	}
}

// said is an answer, or that there is none: invalid contexts are errors of the kernel.
func said(answer string, err error) string {
	if err != nil {
		return "error"
	}
	return answer
}

func (o *oracle) access(t *testing.T) {
	t.Helper()
	source, target, class := o.object(o.rules)
	question := fmt.Sprintf("%s %s %d", source.text, target.text, class)
	answer, err := o.kernel.transact("access", question)
	kernels, ours := said(answer, err), "error"
	if source.context != nil && target.context != nil {
		d := o.policy.Decide(source.context, target.context, class)
		var allowed, decided, auditAllow, auditDeny, sequence, flags uint32
		if _, err := fmt.Sscanf(kernels, "%x %x %x %x %d %x", &allowed, &decided, &auditAllow, &auditDeny, &sequence, &flags); err == nil {
			kernels = fmt.Sprintf("%x %x %x %t", allowed, auditAllow, auditDeny, flags&1 != 0)
		}
		ours = fmt.Sprintf("%x %x %x %t", d.Allowed, d.AuditAllow, d.AuditDeny, d.Permissive)
		if d.Allowed != 0 {
			o.counts["access, allowed"]++
		}
		if d.Permissive {
			o.counts["access, permissive"]++
		}
		if o.IntN(30) == 0 { // it looks at every rule
			o.explain(t, question, source.context, target.context, class, d.Allowed)
		}
	}
	o.compare(t, "access", question, kernels, ours)
}

// explain holds the reason for one permission against the decision about all of them.
func (o *oracle) explain(t *testing.T, question string, source, target *policydb.Context, class, allowed uint32) {
	t.Helper()
	bit := uint32(1) << o.IntN(20)
	x := o.policy.Explain(source, target, class, bit)
	sound := x.Allowed == (allowed&bit != 0)
	switch x.Cause {
	case policydb.ByRule:
		sound = sound && x.Allowed && len(x.Rules) > 0
	case policydb.NoRule:
		sound = sound && !x.Allowed && len(x.Rules) == 0
	case policydb.ByConstraint:
		sound = sound && !x.Allowed && x.Constraint != nil
	case policydb.ByRole:
		sound = sound && !x.Allowed && source.Role != target.Role
	case policydb.ByBounds:
		sound = sound && !x.Allowed && x.Bounds != nil && !x.Bounds.Allowed
	}
	o.counts["explained by "+string(x.Cause)]++
	if sound {
		return
	}
	if o.wrong++; o.wrong <= 20 {
		t.Errorf("%s %#x: allowed %#x, explained by %s", question, bit, allowed, x.Cause)
	}
}

func (o *oracle) compute(t *testing.T, file string, kind uint16) {
	t.Helper()
	rules := o.types
	if len(rules) == 0 || o.IntN(4) == 0 {
		rules = o.rules
	}
	source, target, class := o.object(rules)
	question, name := fmt.Sprintf("%s %s %d", source.text, target.text, class), ""
	if kind == policydb.Transition {
		if len(o.policy.Filenames) > 0 && o.IntN(3) == 0 {
			named := among(o.Rand, o.policy.Filenames)
			for from := range among(o.Rand, named.Results).Sources.All() {
				source = o.pick(from + 1)
				break
			}
			target, class = o.pick(named.Target), named.Class
			question = fmt.Sprintf("%s %s %d", source.text, target.text, class)
		}
		if name = o.file(); name != "" {
			question += " " + escape(name)
		}
	}
	kernels, ours := said(o.kernel.transact(file, question)), "error"
	if source.context != nil && target.context != nil {
		if made, err := o.policy.Compute(kind, source.context, target.context, class, name); err == nil {
			ours = o.policy.FormatContext(made)
			o.counts[file+", a context"]++
		}
	}
	o.compare(t, file, question, kernels, ours)
}

func (o *oracle) validate(t *testing.T) {
	t.Helper()
	old, process, class := o.object(o.rules)
	fresh := o.pick(1 + o.Uint32N(o.policy.Types.Primary))
	if o.IntN(3) == 0 {
		fresh = old
	}
	question := fmt.Sprintf("%s %s %d %s", old.text, fresh.text, class, process.text)
	holds, err := o.kernel.validateTransition(question)
	kernels, ours := said(fmt.Sprint(holds), err), "error"
	if old.context != nil && fresh.context != nil && process.context != nil && class != 0 && class <= o.policy.Classes.Primary {
		broken := o.policy.ValidateTransition(old.context, fresh.context, process.context, class)
		ours = fmt.Sprint(broken == nil)
		if broken != nil {
			o.counts["validatetrans, no"]++
		}
	}
	o.compare(t, "validatetrans", question, kernels, ours)
}

func (o *oracle) canonical(t *testing.T) {
	t.Helper()
	asked := o.pick(1 + o.Uint32N(o.policy.Types.Primary))
	if o.IntN(10) == 0 { // spoiled
		at := o.IntN(len(asked.text))
		asked = subject{text: asked.text[:at] + among(o.Rand, []string{"", ":", "-", ",", ".", "s0", "c1"}) + asked.text[at+o.IntN(2):]}
		if context, err := o.policy.ParseContext(asked.text); err == nil {
			asked.context = context
		}
	}
	kernels, ours := said(o.kernel.transact("context", asked.text)), "error"
	if asked.context != nil {
		ours = o.policy.FormatContext(asked.context)
		o.counts["context, valid"]++
	}
	o.compare(t, "context", asked.text, kernels, ours)
}

// report logs the counts, and fails where the questions asked little. policies is how many the counts are of.
func (o *oracle) report(t *testing.T, policies int) {
	t.Helper()
	t.Logf("seed %d, %d policies: %d differences in %v", *seed, policies, o.wrong, o.counts)
	for kind, least := range map[string]int{"access, allowed": 10, "create, a context": 50, "relabel, a context": 50, "member, a context": 50, "context, valid": 50} {
		if o.counts[kind]*least < *questions {
			t.Errorf("only %d of %d questions: %s", o.counts[kind], *questions, kind)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package modules

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/selinux"
	"github.com/bulkhead-project/bulkhead/selinux/policydb"
	"github.com/bulkhead-project/bulkhead/source"
)

// kernelOf is a kernel in files: it takes policies, keeps booleans' values, counts loads, and shows the policy in an order of its own.
type kernelOf struct {
	t     *testing.T
	host  *Host
	loads int
	// At a load: what happens before the policy is taken and after, and what the kernel makes of the policy.
	before, after func()
	mangle        func(*policydb.Policy)
}

func newKernel(t *testing.T) *kernelOf {
	t.Helper()
	root := t.TempDir()
	k := &kernelOf{t: t}
	k.host = New(selinux.Host{Selinuxfs: filepath.Join(root, "selinux"), Proc: filepath.Join(root, "proc")}, filepath.Join(root, "run"), filepath.Join(root, "state"))
	k.host.Root, k.host.compile, k.host.Load = filepath.Join(root, "root"), compileLines, k.load
	write(t, filepath.Join(k.host.SELinux.Proc, "sys/kernel/random/boot_id"), "this boot\n")
	for _, process := range guest().Processes {
		name := fmt.Sprint(process.PID)
		if process.PID == guest().Caller { // is this one
			name = fmt.Sprint(os.Getpid())
			write(t, filepath.Join(k.host.SELinux.Proc, "self/attr/current"), process.Context+"\x00")
		}
		directory := filepath.Join(k.host.SELinux.Proc, name)
		write(t, filepath.Join(directory, "attr/current"), process.Context+"\x00")
		write(t, filepath.Join(directory, "stat"), fmt.Sprintf("%d (%s) S %d 1 1", process.PID, process.Command, process.Parent))
	}
	k.install(guestPolicy(t))
	return k
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// install is what the distribution's tools do: another policy is loaded.
func (k *kernelOf) install(policy *policydb.Policy) {
	k.t.Helper()
	kept := copied(k.t, policy)
	slices.SortFunc(kept.Types.Entries, func(a, b policydb.Type) int { return strings.Compare(b.Name, a.Name) })
	slices.SortFunc(kept.Rules, func(a, b policydb.Rule) int {
		return cmp.Or(cmp.Compare(a.Data, b.Data), cmp.Compare(a.Class, b.Class), cmp.Compare(a.Target, b.Target), cmp.Compare(a.Source, b.Source))
	})
	content, err := kept.Encode()
	if err != nil {
		k.t.Fatal(err)
	}
	k.loads++
	write(k.t, filepath.Join(k.host.SELinux.Selinuxfs, "policy"), string(content))
	k.count()
}

func (k *kernelOf) count() {
	path := filepath.Join(k.host.SELinux.Selinuxfs, "status")
	page, err := os.ReadFile(path)
	if err != nil {
		page = make([]byte, 20)
	}
	binary.NativeEndian.PutUint32(page[12:], binary.NativeEndian.Uint32(page[12:])+1)
	write(k.t, path, string(page))
}

func (k *kernelOf) load(content []byte) error {
	if k.before != nil {
		k.before()
	}
	policy, err := policydb.Decode(content)
	if err != nil {
		return unix.EINVAL
	}
	values := map[string]bool{}
	for _, boolean := range k.policy().Booleans.Entries {
		values[boolean.Name] = boolean.State != 0
	}
	for i := range policy.Booleans.Entries {
		if value, had := values[policy.Booleans.Entries[i].Name]; had {
			policy.Booleans.Entries[i].State = map[bool]uint32{true: 1}[value]
		}
	}
	if k.mangle != nil {
		k.mangle(policy)
	}
	k.install(policy)
	if k.after != nil {
		k.after()
	}
	return nil
}

func (k *kernelOf) bytes() []byte {
	content, err := os.ReadFile(filepath.Join(k.host.SELinux.Selinuxfs, "policy"))
	if err != nil {
		k.t.Fatal(err)
	}
	return content
}

func (k *kernelOf) policy() *policydb.Policy {
	policy, err := policydb.Decode(k.bytes())
	if err != nil {
		k.t.Fatal(err)
	}
	return policy
}

// has reports which of the types the kernel's policy has.
func (k *kernelOf) has(types ...string) string {
	symbols := symbolsOf(k.policy())
	var found []string
	for _, name := range types {
		if hasAll(symbols, []string{"type " + name}) {
			found = append(found, name)
		}
	}
	return strings.Join(found, " ")
}

func copied(t testing.TB, policy *policydb.Policy) *policydb.Policy {
	t.Helper()
	content, err := policy.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := policydb.Decode(content)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

// compileLines is a compiler of a language of three statements: type NAME, use NAME (which has to be there) and forbid CLASS PERMISSION TYPE.
func compileLines(base *policydb.Policy, sources []Source) (*policydb.Policy, source.Diagnostics, error) {
	content, err := base.Encode()
	if err != nil {
		return nil, nil, err
	}
	var wrong source.Diagnostics
	for pass := range 2 {
		for _, from := range sources {
			for number, line := range strings.Split(string(from.Text), "\n") {
				place := source.Position{File: from.Name, Line: number + 1}
				if content, err = statement(content, pass, strings.Fields(line)); err != nil {
					wrong.Add(place, "%s", err)
				}
			}
		}
		if len(wrong) > 0 {
			return nil, nil, wrong
		}
	}
	policy, err := policydb.Decode(content)
	return policy, nil, err
}

func statement(content []byte, pass int, words []string) ([]byte, error) {
	policy, err := policydb.Decode(content)
	if err != nil || len(words) == 0 {
		return content, err
	}
	has := hasAll(symbolsOf(policy), []string{"type " + words[len(words)-1]})
	switch {
	case words[0] == "type" && pass == 0 && has:
		return content, fmt.Errorf("type %s is declared already", words[1])
	case words[0] == "type" && pass == 0:
		policy.Types.Primary++
		number := policy.Types.Primary
		policy.Types.Entries = append(policy.Types.Entries, policydb.Type{Name: words[1], Value: number, Properties: policydb.TypePrimary})
		own := make(policydb.Bitmap, (number-1)/64+1)
		own[(number-1)/64] = 1 << ((number - 1) % 64)
		policy.Attributes = append(policy.Attributes, own)
	case (words[0] == "use" || words[0] == "forbid") && pass == 1 && !has:
		return content, fmt.Errorf("type %s is not there", words[len(words)-1])
	case words[0] == "forbid" && pass == 1:
		forbid(&testing.T{}, policy, words[1], words[2], words[3])
	case !slices.Contains([]string{"type", "use", "forbid"}, words[0]):
		return content, fmt.Errorf("%q is no statement", words[0])
	}
	return policy.Encode()
}

func text(name, content string) Source { return Source{Name: name, Text: []byte(content)} }

var one, two, three = text("one", "type one_t"), text("two", "type two_t\nuse one_t"), text("three", "type three_t")

func (k *kernelOf) apply(options Options, sources ...Source) *Result {
	k.t.Helper()
	result, err := k.host.Apply(sources, options)
	if err != nil {
		k.t.Fatal(err)
	}
	return result
}

func (k *kernelOf) unapply(names ...string) *Result {
	k.t.Helper()
	result, err := k.host.Unapply(names, Options{})
	if err != nil {
		k.t.Fatal(err)
	}
	return result
}

// listed is the list in short.
func (k *kernelOf) listed() string {
	k.t.Helper()
	list, err := k.host.List()
	if err != nil {
		k.t.Fatal(err)
	}
	var words []string
	for _, module := range list {
		words = append(words, module.Name+" "+module.State)
	}
	return strings.Join(words, ", ")
}

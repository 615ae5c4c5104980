// SPDX-License-Identifier: Apache-2.0

package modules

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
	"github.com/bulkhead-project/bulkhead/source"
)

func TestModulesGoOnAndOffInAnyOrder(t *testing.T) {
	k := newKernel(t)
	before := k.bytes()
	k.apply(Options{}, one)
	k.apply(Options{}, three)
	if result := k.apply(Options{}, two, one); result.Modules[0].What != Kept || result.Modules[2].What != Applied || !result.Loaded {
		t.Errorf("%+v", result)
	}
	if got := k.listed(); got != "one loaded, three loaded, two loaded" || k.has("one_t", "two_t", "three_t") != "one_t two_t three_t" {
		t.Errorf("%s with %s", got, k.has("one_t", "two_t", "three_t"))
	}
	if _, err := k.host.Unapply([]string{"one"}, Options{}); err == nil || !strings.Contains(err.Error(), "two:2: type one_t is not there") {
		t.Errorf("module two needs one: %v", err)
	}
	k.unapply("three")
	if got := k.has("one_t", "two_t", "three_t"); got != "one_t two_t" {
		t.Errorf("without three: %s", got)
	}
	k.unapply("one", "two")
	if !bytes.Equal(k.bytes(), before) || k.listed() != "" {
		t.Errorf("the policy is not what it was; %s", k.listed())
	}
	if _, err := k.host.Unapply([]string{"one"}, Options{}); !errors.As(err, new(*NotAppliedError)) {
		t.Errorf("once more: %v", err)
	}
	if entries, err := os.ReadDir(filepath.Join(k.host.Run, filesName)); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestAModuleIsReplacedByItsName(t *testing.T) {
	k := newKernel(t)
	k.apply(Options{}, one, three)
	if result := k.apply(Options{}, text("one", "type other_t")); result.Modules[0].What != Applied || result.Modules[1].What != Kept {
		t.Errorf("%+v", result)
	}
	if got := k.has("one_t", "other_t", "three_t"); got != "other_t three_t" {
		t.Error(got)
	}
}

func TestABrokenModuleChangesNothing(t *testing.T) {
	k := newKernel(t)
	k.apply(Options{}, one)
	loads, before := k.loads, k.bytes()
	for name, broken := range map[string]Source{"of no language": text("bad", "type x_t\nnonsense"), "in need of another": text("bad", "use x_t"), "a type that is there": text("bad", "type one_t")} {
		_, err := k.host.Apply([]Source{three, broken}, Options{})
		var findings source.Diagnostics
		if !errors.As(err, &findings) || findings[0].Position.File != "bad" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, sources := range [][]Source{{text("../x", "type x_t")}, {three, text("three", "type x_t")}} {
		if result, err := k.host.Apply(sources, Options{}); err == nil || result != nil {
			t.Errorf("names %s, %s: %+v, %v", sources[0].Name, sources[len(sources)-1].Name, result, err)
		}
	}
	if k.loads != loads || !bytes.Equal(k.bytes(), before) || k.listed() != "one loaded" {
		t.Errorf("%d loads more; %s", k.loads-loads, k.listed())
	}
}

func TestALockOutIsRefusedAndCanBeForced(t *testing.T) {
	k := newKernel(t)
	loads := k.loads
	worse := text("worse", "forbid security load_policy spc_t")
	var refused *LockOutError
	if _, err := k.host.Apply([]Source{worse}, Options{}); !errors.As(err, &refused) || k.loads != loads || k.listed() != "" {
		t.Fatalf("%v, %d loads, %s", err, k.loads-loads, k.listed())
	}
	if result := k.apply(Options{Force: true}, worse); len(result.Forced) != len(refused.Violations) || k.loads != loads+1 {
		t.Errorf("%+v", result)
	}
	if k.unapply("worse"); k.loads != loads+2 {
		t.Errorf("%d loads", k.loads-loads)
	}
}

func TestAModuleThatAProcessUsesIsNotTakenOff(t *testing.T) {
	k := newKernel(t)
	k.apply(Options{}, one)
	write(t, filepath.Join(k.host.SELinux.Proc, "50/attr/current"), "system_u:object_r:one_t:s0\x00")
	write(t, filepath.Join(k.host.SELinux.Proc, "50/stat"), "50 (a) b)) S 1 1 1")
	if _, err := k.host.Unapply([]string{"one"}, Options{}); err == nil || !strings.Contains(err.Error(), "process 50 (a) b)) would be left without a valid context") {
		t.Error(err)
	}
}

// newerPolicy is what the distribution loads next.
func newerPolicy(t *testing.T) *policydb.Policy {
	t.Helper()
	newer, _, err := compileLines(guestPolicy(t), []Source{text("distribution", "type newer_t")})
	if err != nil {
		t.Fatal(err)
	}
	return newer
}

func TestAReloadByTheDistributionIsTheNewBase(t *testing.T) {
	k := newKernel(t)
	k.apply(Options{}, one)
	k.apply(Options{}, two)
	newer := newerPolicy(t)
	k.install(newer)
	installed := k.bytes()
	if got := k.listed(); got != "one lost, two lost" {
		t.Error(got)
	}
	result, err := k.host.Ensure(one)
	if err != nil || result == nil || !result.Reloaded || k.has("one_t", "two_t", "newer_t") != "one_t two_t newer_t" || k.listed() != "one loaded, two loaded" {
		t.Errorf("%+v, %v: %s with %s", result, err, k.listed(), k.has("one_t", "two_t", "newer_t"))
	}
	k.unapply("two")
	if k.unapply("one"); !bytes.Equal(k.bytes(), installed) {
		t.Error("without modules the policy is not what the distribution loaded")
	}
	k.apply(Options{}, one)
	k.install(newer)
	loads := k.loads
	if k.unapply("one"); k.loads != loads || k.listed() != "" {
		t.Errorf("a module that the reload has dropped takes %d loads to remove", k.loads-loads)
	}
}

func TestAPackageThatBringsTheSameTypesTakesThePlaceOfAModule(t *testing.T) {
	k := newKernel(t)
	k.apply(Options{}, one, three)
	theirs, _, err := compileLines(guestPolicy(t), []Source{text("package", "type one_t")})
	if err != nil {
		t.Fatal(err)
	}
	k.install(theirs)
	if got := k.listed(); got != "one contained, three lost" {
		t.Error(got)
	}
	k.apply(Options{}, two)
	if got := k.listed(); got != "one contained, three loaded, two loaded" || k.has("one_t", "two_t", "three_t") != "one_t two_t three_t" {
		t.Error(got)
	}
	if result := k.unapply("one", "two", "three"); result.Modules[0].What != Contained || k.has("one_t", "two_t") != "one_t" {
		t.Errorf("%+v", result)
	}
}

func TestEnsureReadsAndLoadsNothingWhereNothingChanged(t *testing.T) {
	k := newKernel(t)
	if result, err := k.host.Ensure(); err != nil || result != nil {
		t.Errorf("of no modules: %+v, %v", result, err)
	}
	if result, err := k.host.Ensure(one); err != nil || !result.Loaded {
		t.Fatalf("%+v, %v", result, err)
	}
	k.install(newerPolicy(t))
	if result, err := k.host.Ensure(); err != nil || !result.Reloaded || k.has("one_t", "newer_t") != "one_t newer_t" {
		t.Errorf("of all modules: %+v, %v", result, err)
	}
	if result, err := k.host.Ensure(); err != nil || result != nil {
		t.Errorf("once more: %+v, %v", result, err)
	}
	k.host.compile = func(*policydb.Policy, []Source) (*policydb.Policy, source.Diagnostics, error) {
		return nil, nil, errors.New("compiled")
	}
	loads := k.loads
	if result, err := k.host.Ensure(one); err != nil || result != nil || k.loads != loads {
		t.Errorf("%+v, %v, %d loads", result, err, k.loads-loads)
	}
	k.count() // a boolean was set
	if result, err := k.host.Ensure(one); err != nil || result == nil || result.Loaded || k.loads != loads {
		t.Errorf("after a boolean: %+v, %v, %d loads", result, err, k.loads-loads)
	}
	if result, err := k.host.Ensure(one); err != nil || result != nil {
		t.Errorf("after that: %+v, %v", result, err)
	}
	if _, err := k.host.Ensure(text("one", "type changed_t")); err == nil || err.Error() != "compiled" {
		t.Errorf("another text: %v", err)
	}
}

func TestAModuleIsMadeForTheBaseThatItIsPutOnto(t *testing.T) {
	k := newKernel(t)
	k.apply(Options{}, three)
	made := 0
	ensure := func() {
		t.Helper()
		if _, err := k.host.EnsureMade("made", func(base *policydb.Policy) (Source, error) {
			made++
			if hasAll(symbolsOf(base), []string{"type three_t"}) {
				t.Error("the base has modules")
			}
			if hasAll(symbolsOf(base), []string{"type newer_t"}) {
				return text("made", "type made_t\nuse newer_t"), nil
			}
			return text("made", "type made_t"), nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if ensure(); made != 1 || k.listed() != "three loaded, made loaded" {
			t.Errorf("made %d times: %s", made, k.listed())
		}
	}
	k.install(newerPolicy(t))
	for range 2 {
		if ensure(); made != 2 || k.has("three_t", "made_t", "newer_t") != "three_t made_t newer_t" {
			t.Errorf("made %d times: %s", made, k.listed())
		}
	}
	if _, err := k.host.EnsureMade("other", func(*policydb.Policy) (Source, error) { return Source{}, errors.New("no") }); err == nil || err.Error() != "no" {
		t.Error(err)
	}
}

// What a process that is killed leaves is what was or what it wanted, and either can be undone.
func TestAKilledProcessLeavesWhatCanBeUndone(t *testing.T) {
	for name, test := range map[string]struct {
		killed func(*kernelOf)
		after  bool
		listed string
	}{
		"before a module is loaded":  {func(k *kernelOf) { k.apply(Options{}, two) }, false, "one loaded"},
		"after a module is loaded":   {func(k *kernelOf) { k.apply(Options{}, two) }, true, "one loaded, two loaded"},
		"before a module is removed": {func(k *kernelOf) { k.unapply("one") }, false, "one loaded"},
		"after a module is removed":  {func(k *kernelOf) { k.unapply("one") }, true, ""},
	} {
		for _, reload := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, reload %t", name, reload), func(t *testing.T) {
				k := newKernel(t)
				before := k.bytes()
				k.apply(Options{}, one)
				die := func() { panic("killed") }
				if k.before = die; test.after {
					k.before, k.after = nil, die
				}
				func() {
					defer func() {
						if recover() == nil {
							t.Error("nobody was killed")
						}
					}()
					test.killed(k)
				}()
				k.before, k.after = nil, nil
				if reload {
					k.install(guestPolicy(t))
				}
				if got := k.listed(); !reload && got != test.listed {
					t.Errorf("after the kill: %q, want %q", got, test.listed)
				}
				list, err := k.host.List()
				if err != nil {
					t.Fatal(err)
				}
				for _, module := range slices.Backward(list) {
					k.unapply(module.Name)
				}
				if !bytes.Equal(k.bytes(), before) || k.listed() != "" {
					t.Errorf("not undone: %s", k.listed())
				}
			})
		}
	}
}

// Somebody else loads a policy right after ours.
func TestAPolicyThatIsOverwrittenAtOnceIsLoadedAgain(t *testing.T) {
	k := newKernel(t)
	times := 0
	k.after = func() {
		if times++; times == 1 {
			k.install(guestPolicy(t))
		}
	}
	if result := k.apply(Options{}, one); !result.Loaded || k.listed() != "one loaded" {
		t.Errorf("%+v, %s", result, k.listed())
	}
	times = 0
	k.after = func() {
		if times++; times == 1 {
			k.install(newerPolicy(t))
		}
	}
	if k.unapply("one"); k.listed() != "" || k.has("one_t", "newer_t") != "newer_t" {
		t.Errorf("%s with %s", k.listed(), k.has("one_t", "newer_t"))
	}
	k.after = func() { k.install(guestPolicy(t)) }
	if _, err := k.host.Apply([]Source{one}, Options{}); !errors.Is(err, errOverwritten) {
		t.Errorf("each time: %v", err)
	}
}

// Nothing is kept that the kernel shows otherwise, nor what it refuses.
func TestAPolicyThatTheKernelDoesNotTakeAsItIsIsTakenBack(t *testing.T) {
	k := newKernel(t)
	k.apply(Options{}, one)
	before := k.bytes()
	k.mangle = func(p *policydb.Policy) {
		k.mangle = nil
		p.Rules = p.Rules[1:]
	}
	if _, err := k.host.Apply([]Source{three}, Options{}); !errors.Is(err, errDiffers) || !bytes.Equal(k.bytes(), before) || k.listed() != "one loaded" {
		t.Errorf("%v: %s", err, k.listed())
	}
	load := k.host.Load
	k.host.Load = func([]byte) error { return unix.EINVAL }
	if result, err := k.host.Apply([]Source{three}, Options{}); !errors.Is(err, unix.EINVAL) || k.listed() != "one loaded" || result != nil {
		t.Errorf("%+v, %v: %s", result, err, k.listed())
	}
	k.host.Load = func(content []byte) error { return errors.Join(load(content), unix.EIO) }
	if _, err := k.host.Apply([]Source{three}, Options{}); !errors.Is(err, unix.EIO) || k.listed() != "one loaded, three loaded" {
		t.Errorf("an error after the kernel has taken the policy: %v: %s", err, k.listed())
	}
	k.host.Load = load
	k.unapply("three", "one")
}

func TestBooleansStayAsTheyAre(t *testing.T) {
	k := newKernel(t)
	with := guestPolicy(t)
	with.Booleans = policydb.Symbols[policydb.Boolean]{Primary: 1, Entries: []policydb.Boolean{{Name: "switch", Value: 1}}}
	k.install(with)
	k.apply(Options{}, one)
	set := k.policy()
	set.Booleans.Entries[0].State = 1
	k.install(set)
	if got := k.listed(); got != "one loaded" {
		t.Errorf("with a boolean set: %s", got)
	}
	if k.unapply("one"); k.policy().Booleans.Entries[0].State != 1 {
		t.Error("the boolean is as it was before the module")
	}
}

func TestTheJournalOfAnotherBootSaysNothing(t *testing.T) {
	k := newKernel(t)
	k.apply(Options{}, one)
	k.install(guestPolicy(t))
	write(t, filepath.Join(k.host.SELinux.Proc, "sys/kernel/random/boot_id"), "the next\n")
	if got := k.listed(); got != "" {
		t.Error(got)
	}
	if k.apply(Options{}, one); k.listed() != "one loaded" {
		t.Error(k.listed())
	}
}

func TestAJournalThatIsBrokenOrOpenToOthersIsAnError(t *testing.T) {
	k := newKernel(t)
	k.apply(Options{}, one)
	if err := os.Chmod(k.host.Run, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := k.host.Apply([]Source{three}, Options{}); err == nil || !strings.Contains(err.Error(), "others can write it") {
		t.Errorf("open to others: %v", err)
	}
	if err := os.Chmod(k.host.Run, 0o700); err != nil {
		t.Fatal(err)
	}
	files := filepath.Join(k.host.Run, filesName)
	entries, err := os.ReadDir(files)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		write(t, filepath.Join(files, entry.Name()), "something else")
	}
	if _, err := k.host.Unapply([]string{"one"}, Options{}); err == nil || !strings.Contains(err.Error(), "the content is not that of its name") {
		t.Errorf("files that were changed: %v", err)
	}
	write(t, filepath.Join(k.host.Run, journalName), "{")
	if _, err := k.host.Apply([]Source{three}, Options{}); err == nil {
		t.Error("a broken journal is taken for none")
	}
}

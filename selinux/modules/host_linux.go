// SPDX-License-Identifier: Apache-2.0

package modules

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/kernel"
	"github.com/bulkhead-project/bulkhead/selinux"
	"github.com/bulkhead-project/bulkhead/selinux/policydb"
	"github.com/bulkhead-project/bulkhead/source"
)

// Host is the running kernel's policy with modules on it.
type Host struct {
	SELinux selinux.Host
	Run     string // directory of the journal, for one boot
	State   string // directory for what outlives a boot
	Root    string // of the distribution's files: "/"
	// Load hands a policy to the kernel. Another one is for a kernel that is not there: for measurements and tests.
	Load func(policy []byte) error

	compile compiler
}

// Open finds the kernel's SELinux. run and state are directories of Bulkhead's own, made where they are missing. Its error is a kernel.NotSupportedError where no policy
// is loaded.
func Open(run, state string) (*Host, error) {
	host, err := selinux.FindHost("/proc")
	if err != nil && !errors.Is(err, selinux.ErrNotMounted) {
		return nil, err
	}
	status, err := host.Status()
	if err != nil {
		return nil, err
	}
	if !status.Loaded {
		return nil, &kernel.NotSupportedError{Layer: "selinux", Missing: "boot with security=selinux (and a policy: apt-get install selinux-basics selinux-policy-default)"}
	}
	return New(host, run, state), nil
}

// New is Open for a kernel that is known to have SELinux.
func New(host selinux.Host, run, state string) *Host {
	return &Host{SELinux: host, Run: filepath.Join(run, "selinux"), State: filepath.Join(state, "selinux"), Root: "/", compile: compileCIL,
		Load: func(policy []byte) error { return loadPolicy(host.Selinuxfs, policy) }}
}

// Options of a change.
type Options struct {
	Force bool // even if the policy locks somebody out
	Store bool // in the distribution's module store, too
}

// What became of a module.
const (
	Applied   = "applied"
	Kept      = "kept"      // it was applied already
	Contained = "contained" // the policy that the distribution loaded has it, and will until its tools build another
	Removed   = "removed"
)

// Result is what a change came to, as the kernel's policy shows it.
type Result struct {
	Modules  []Outcome          `json:"modules"`
	Loaded   bool               `json:"loaded"`           // another policy was loaded
	Reloaded bool               `json:"reloaded"`         // somebody else had loaded one before, and the modules were put onto it
	Policy   string             `json:"policy"`           // its fingerprint
	Forced   []Violation        `json:"forced,omitempty"` // what was violated, with Options.Force
	Warnings source.Diagnostics `json:"warnings,omitempty"`
}

// Outcome is what became of one module.
type Outcome struct {
	Name string `json:"name"`
	What string `json:"what"` // Applied, Kept, Contained or Removed
	// Stored says that the module is in the distribution's module store.
	Stored bool `json:"stored,omitempty"`

	declares []string
}

// NotAppliedError is the name of a module that is not applied.
type NotAppliedError struct{ Name string }

func (e *NotAppliedError) Error() string { return fmt.Sprintf("module %s is not applied", e.Name) }

// Apply puts modules onto the policy that the kernel runs, in the place of those of the same names. Errors of the compiler have a source.Diagnostic in them, a policy that is not
// loaded since it locks somebody out is a *LockOutError; after either nothing has changed.
func (h *Host) Apply(sources []Source, options Options) (*Result, error) {
	for i, source := range sources {
		if err := checkName(source.Name); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(sources[:i], func(other Source) bool { return other.Name == source.Name }) {
			return nil, fmt.Errorf("two modules have the name %s", source.Name)
		}
	}
	if !options.Store {
		return h.apply(sources, options)
	}
	store, err := h.openStoreFor(sources, options.Force)
	if err != nil {
		return nil, err
	}
	defer store.close()
	result, err := h.apply(sources, options)
	if err != nil {
		return nil, err
	}
	return result, h.store(store, sources, result)
}

func (h *Host) apply(sources []Source, options Options) (*Result, error) {
	return h.change(options, func(s *session) ([]candidate, error) {
		wanted, err := s.candidates()
		for _, source := range sources {
			wanted = s.with(wanted, source)
		}
		return wanted, err
	})
}

// Unapply takes modules off again. What is left is compiled onto the base again; where nothing is left, the base itself is loaded.
func (h *Host) Unapply(names []string, options Options) (*Result, error) {
	found := map[string]string{} // at any try, with what becomes of those that are in the store alone
	result, err := h.change(options, func(s *session) ([]candidate, error) {
		wanted, err := s.candidates()
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			i := slices.IndexFunc(wanted, func(c candidate) bool { return c.Name == name })
			stored, isStored := s.store.find(name)
			if i < 0 && !isStored && found[name] == "" {
				return nil, &NotAppliedError{name}
			}
			if i >= 0 {
				wanted = slices.Delete(wanted, i, i+1)
			}
			if found[name] = Removed; i < 0 && hasAll(symbolsOf(s.running), stored.Declares) {
				found[name] = Contained
			}
		}
		return wanted, nil
	})
	if err != nil {
		return nil, err
	}
	return result, h.unstore(names, found, result)
}

// Ensure has the modules be in the policy that the kernel runs: applies those that are not, and puts them back, with all others that were applied, where somebody else
// has loaded a policy meanwhile. Without sources it does the latter alone. Where nothing is to be done it reads three small files, in about 0.1 ms, and its result is nil.
func (h *Host) Ensure(sources ...Source) (*Result, error) {
	if h.ensured(sources) {
		return nil, nil
	}
	return h.Apply(sources, Options{})
}

// EnsureMade is Ensure for a module whose text depends on the policy that it is put onto: make is called with that policy, without modules, where the module is not applied
// or not any more, under the lock. A module of that name that is there is left as it is.
func (h *Host) EnsureMade(name string, make func(base *policydb.Policy) (Source, error)) (*Result, error) {
	return h.change(Options{}, func(s *session) ([]candidate, error) {
		wanted, err := s.candidates()
		if err != nil || s.journal.find(name) >= 0 && !s.journal.lost() {
			return wanted, err
		}
		base, _, err := s.base()
		if err != nil {
			return nil, err
		}
		source, err := make(base)
		if err == nil {
			err = checkName(source.Name)
		}
		if err != nil {
			return nil, err
		}
		return s.with(wanted, source), nil
	})
}

// ensured looks without the lock: the journal is replaced as a whole, and the kernel counts what is loaded.
func (h *Host) ensured(sources []Source) bool {
	boot, err := bootID(h.SELinux.Proc)
	if err != nil {
		return false
	}
	j, err := directory(h.Run).readJournal(boot)
	if err != nil || j.Pending != nil || j.lost() {
		return false
	}
	for _, source := range sources {
		i := j.find(source.Name)
		if i < 0 || j.Modules[i].Digest != digestOf(source.Text) {
			return false
		}
	}
	if len(j.Modules) == 0 {
		return true
	}
	sequence, err := readSequence(h.SELinux.Selinuxfs)
	return err == nil && sequence == j.Sequence
}

// maximumTries bounds how often a change begins anew since somebody else loaded a policy in between.
const maximumTries = 3

// errOverwritten: the policy that the kernel has is not the one that was loaded.
var errOverwritten = errors.New("the kernel does not have the policy that was loaded: something else loads policies at the same time")

// change makes the modules be those that decide returns.
func (h *Host) change(options Options, decide func(*session) ([]candidate, error)) (*Result, error) {
	if err := directory(h.Run).open(); err != nil {
		return nil, err
	}
	release, err := directory(h.Run).lock()
	if err != nil {
		return nil, err
	}
	defer release()
	for try := 1; ; try++ {
		s, err := h.session()
		if err != nil {
			return nil, err
		}
		wanted, err := decide(s)
		if err != nil {
			return nil, err
		}
		result, err := s.make(wanted, options)
		if !errors.Is(err, errOverwritten) || try == maximumTries {
			return result, err
		}
	}
}

// session is one look at the kernel's policy, under the lock.
type session struct {
	host     *Host
	journal  *journal
	store    *storeRecord
	running  *policydb.Policy
	bytes    []byte // of running
	sequence uint32
}

func (h *Host) session() (*session, error) {
	boot, err := bootID(h.SELinux.Proc)
	if err != nil {
		return nil, err
	}
	s := &session{host: h}
	if s.journal, err = directory(h.Run).readJournal(boot); err != nil {
		return nil, err
	}
	if s.store, err = directory(h.State).readStore(); err != nil {
		return nil, err
	}
	if s.running, s.bytes, s.sequence, err = h.read(); err != nil {
		return nil, err
	}
	fingerprint := s.journal.Loaded
	if s.journal.Pending != nil || s.sequence != s.journal.Sequence || fingerprint == "" {
		if fingerprint, err = Fingerprint(s.running); err != nil {
			return nil, err
		}
	}
	s.journal.reconcile(s.sequence, fingerprint)
	return s, nil
}

// read reads the kernel's policy between two looks at its sequence that are the same.
func (h *Host) read() (policy *policydb.Policy, content []byte, sequence uint32, err error) {
	for range 100 {
		if sequence, err = readSequence(h.SELinux.Selinuxfs); err != nil {
			return nil, nil, 0, err
		}
		if content, err = readPolicy(h.SELinux.Selinuxfs); err != nil {
			return nil, nil, 0, err
		}
		after, err := readSequence(h.SELinux.Selinuxfs)
		if err != nil {
			return nil, nil, 0, err
		}
		if after == sequence {
			policy, err := policydb.Decode(content)
			return policy, content, sequence, err
		}
	}
	return nil, nil, 0, errors.New("the kernel's policy changes all the time")
}

// candidates are the modules that are applied.
func (s *session) candidates() ([]candidate, error) {
	var list []candidate
	for _, module := range s.journal.Modules {
		text, err := directory(s.host.Run).get(module.Digest)
		if err != nil {
			return nil, err
		}
		list = append(list, candidate{Module: module, text: text})
	}
	return list, nil
}

// with adds a module to the candidates, or puts it in the place of the one of its name.
func (s *session) with(wanted []candidate, source Source) []candidate {
	module := Module{Name: source.Name, File: source.File, Digest: digestOf(source.Text), Applied: time.Now().UTC().Truncate(time.Second)}
	added := candidate{Module: module, text: source.Text, fresh: true}
	if stored, ok := s.store.find(source.Name); ok && stored.Digest == module.Digest { // before this boot, perhaps
		added.fresh, added.Declares = false, stored.Declares
	}
	i := slices.IndexFunc(wanted, func(c candidate) bool { return c.Name == source.Name })
	switch {
	case i < 0:
		return append(wanted, added)
	case wanted[i].Digest == module.Digest:
		return wanted
	}
	wanted = slices.Clone(wanted)
	wanted[i] = added
	return wanted
}

// base is the policy without modules.
func (s *session) base() (*policydb.Policy, []byte, error) {
	if s.journal.Base == "" {
		return s.running, s.bytes, nil
	}
	content, err := directory(s.host.Run).get(s.journal.Base)
	if err != nil {
		return nil, nil, err
	}
	policy, err := policydb.Decode(content)
	return policy, content, err
}

// make brings the kernel's policy to the base with the wanted modules.
func (s *session) make(wanted []candidate, options Options) (*Result, error) {
	if !s.journal.lost() && slices.EqualFunc(wanted, s.journal.Modules, func(c candidate, m Module) bool { return c.Name == m.Name && c.Digest == m.Digest }) {
		result := &Result{Policy: s.journal.Loaded}
		result.outcomes(s.journal.Modules, s.journal.Modules)
		return result, directory(s.host.Run).writeJournal(s.journal) // with the sequence
	}
	base, content, err := s.base()
	if err != nil {
		return nil, err
	}
	made, err := assemble(base, wanted, s.host.compile)
	if err != nil {
		return nil, err
	}
	encoded := content
	if made.policy != base {
		if encoded, err = made.policy.Encode(); err != nil {
			return nil, err
		}
	}
	next := state{Modules: made.modules}
	if next.Loaded, err = Fingerprint(made.policy); err != nil {
		return nil, err
	}
	if len(wanted) > 0 {
		next.Base = digestOf(content)
	}
	result := &Result{Policy: next.Loaded, Reloaded: s.journal.lost(), Warnings: made.warnings}
	if next.Loaded != s.journal.Loaded {
		if result.Forced, err = s.check(made.policy, options.Force); err != nil {
			return nil, err
		}
		result.Loaded = true
	}
	before := s.journal.Modules
	if err := s.commit(next, encoded, content, wanted, result.Loaded); err != nil {
		return nil, err
	}
	result.outcomes(before, next.Modules)
	return result, nil
}

// check looks for lock-outs.
func (s *session) check(policy *policydb.Policy, force bool) ([]Violation, error) {
	machine, err := survey(s.host.SELinux, os.Getpid())
	if err != nil {
		return nil, err
	}
	violations := LockOut(s.running, policy, machine)
	if len(violations) > 0 && !force {
		return nil, &LockOutError{violations}
	}
	return violations, nil
}

// commit writes the journal, loads the policy, reads it back and writes the journal again. Before the load everything that undoing takes is on the disk.
func (s *session) commit(next state, encoded, base []byte, wanted []candidate, load bool) error {
	run := directory(s.host.Run)
	for _, c := range wanted {
		if err := run.keep(c.text); err != nil {
			return err
		}
	}
	if next.Base != "" {
		if err := run.keep(base); err != nil {
			return err
		}
	}
	if load {
		s.journal.Pending = &next
		if err := run.writeJournal(s.journal); err != nil {
			return err
		}
		if err := s.host.Load(encoded); err != nil {
			return errors.Join(explainLoad(err), s.settle())
		}
		if err := s.readBack(next); err != nil {
			return err
		}
	}
	s.journal.state, s.journal.Pending = next, nil
	return run.writeJournal(s.journal)
}

// readBack holds the kernel's policy to what was loaded. Where it differs though nobody else loaded one, the one before is loaded again: what cannot be told from others
// could not be taken off either.
func (s *session) readBack(next state) error {
	fingerprint, sequence, err := s.fingerprint()
	switch {
	case err != nil:
		return err
	case fingerprint == next.Loaded:
		s.journal.Sequence = sequence
		return nil
	case s.sequence == 0 || sequence != s.sequence+1: // 0: the kernel did not count before
		return errOverwritten
	}
	return errors.Join(errDiffers, s.host.Load(s.bytes), s.settle())
}

// errDiffers is for a policy of which the kernel shows something else.
var errDiffers = errors.New("the kernel shows another policy than was loaded; the one before was loaded again")

// settle writes into the journal what became of a change that failed.
func (s *session) settle() error {
	fingerprint, sequence, err := s.fingerprint()
	if err != nil {
		return err
	}
	s.journal.reconcile(sequence, fingerprint)
	return directory(s.host.Run).writeJournal(s.journal)
}

func (s *session) fingerprint() (fingerprint string, sequence uint32, err error) {
	policy, _, sequence, err := s.host.read()
	if err != nil {
		return "", 0, err
	}
	fingerprint, err = Fingerprint(policy)
	return fingerprint, sequence, err
}

// explainLoad says what the kernel means.
func explainLoad(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w (it takes root, in a domain with security { load_policy })", err)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("%w (the kernel does not take this policy; its log says why)", err)
	}
	return err
}

func (r *Result) outcomes(before, after []Module) {
	for _, module := range after {
		outcome := Outcome{Name: module.Name, What: Applied, declares: module.Declares}
		i := slices.IndexFunc(before, func(m Module) bool { return m.Name == module.Name && m.Digest == module.Digest })
		switch {
		case module.Contained:
			outcome.What = Contained
		case i >= 0 && !r.Reloaded:
			outcome.What = Kept
		}
		r.Modules = append(r.Modules, outcome)
	}
	for _, module := range before {
		if slices.ContainsFunc(after, func(m Module) bool { return m.Name == module.Name }) {
			continue
		}
		outcome := Outcome{Name: module.Name, What: Removed}
		if module.Contained {
			outcome.What = Contained
		}
		r.Modules = append(r.Modules, outcome)
	}
}

// SPDX-License-Identifier: Apache-2.0

package modules

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/selinux"
)

// The module store of libsemanage: TYPE/active/modules/PRIORITY/NAME has the files cil, bzip2 or plain, and lang_ext, the language that the module was written in, which
// for CIL is all. A transaction of its own works on a copy of active, under the lock TYPE/semanage.trans.LOCK.
const (
	defaultStoreRoot = "/var/lib/selinux"
	storePriority    = "400" // that of `semodule -i`
	storeLock        = "semanage.trans.LOCK"
	storeDraft       = ".bulkhead-" // a module that is not in the store yet, or no more
	storeName        = "store.json"
)

// storeWait is how long a semodule that is running is waited for: one takes about ten seconds.
const storeWait = time.Minute

// StoreError says why the distribution's module store was not changed.
type StoreError struct {
	Reason string
	Hint   string
}

func (e *StoreError) Error() string { return e.Reason }

func (d directory) readStore() (*storeRecord, error) {
	text, err := os.ReadFile(d.path(storeName))
	if errors.Is(err, fs.ErrNotExist) {
		return &storeRecord{Format: storeFormat}, nil
	}
	if err != nil {
		return nil, err
	}
	record, err := decodeStore(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.path(storeName), err)
	}
	return record, nil
}

func (d directory) writeStore(record *storeRecord) error {
	text, err := json.MarshalIndent(record, "", "\t")
	if err != nil {
		return err
	}
	return replaceFile(d.path(storeName), append(text, '\n'), 0o600)
}

// store is the distribution's module store of one type of policy, open for a change.
type store struct {
	path   string // of the type's directory
	policy string
	lock   *os.File
}

// openStore finds the store of the type of policy that /etc/selinux/config names, and takes its lock.
func (h *Host) openStore() (*store, error) {
	config, err := os.ReadFile(filepath.Join(h.Root, "etc/selinux/config"))
	if err != nil {
		return nil, err
	}
	semanage, err := os.ReadFile(filepath.Join(h.Root, "etc/selinux/semanage.conf"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	root := setting(semanage, "store-root")
	if root == "" {
		root = defaultStoreRoot
	}
	s := &store{policy: selinux.ParseConfig(config).Type}
	if !isPolicyType(s.policy) {
		return nil, fmt.Errorf("/etc/selinux/config: SELINUXTYPE=%.80q", s.policy)
	}
	s.path = filepath.Join(h.Root, root, s.policy)
	if _, err := os.Stat(filepath.Join(s.path, "active/modules")); err != nil {
		return nil, &StoreError{Reason: fmt.Sprintf("there is no module store in %s", s.path), Hint: "without --store the module is there until the next boot"}
	}
	if s.lock, err = os.OpenFile(filepath.Join(s.path, storeLock), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, err
	}
	for start := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		err := unix.Flock(int(s.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return s, s.sweep()
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) || time.Since(start) > storeWait {
			s.close()
			return nil, fmt.Errorf("%s: another change of the module store is under way: %w", s.lock.Name(), err)
		}
	}
}

func (s *store) close() { s.lock.Close() }

// sweep removes drafts that a process that was killed left.
func (s *store) sweep() error {
	drafts, err := filepath.Glob(filepath.Join(s.path, storeDraft+"*"))
	for _, draft := range drafts {
		err = errors.Join(err, os.RemoveAll(draft))
	}
	return err
}

func (s *store) place(name string) string {
	return filepath.Join(s.path, "active/modules", storePriority, name)
}

func (s *store) has(name string) bool {
	_, err := os.Lstat(s.place(name))
	return err == nil
}

// put puts a module into the store as a whole.
func (s *store) put(name string, text []byte) error {
	draft, err := os.MkdirTemp(s.path, storeDraft)
	if err != nil {
		return err
	}
	defer os.RemoveAll(draft)
	for file, content := range map[string][]byte{"cil": text, "lang_ext": []byte("cil")} {
		if err := replaceFile(filepath.Join(draft, file), content, 0o600); err != nil {
			return err
		}
	}
	place := s.place(name)
	if err := os.MkdirAll(filepath.Dir(place), 0o700); err != nil {
		return err
	}
	err = unix.Renameat2(unix.AT_FDCWD, draft, unix.AT_FDCWD, place, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EEXIST) {
		err = unix.Renameat2(unix.AT_FDCWD, draft, unix.AT_FDCWD, place, unix.RENAME_EXCHANGE)
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: draft, New: place, Err: err}
	}
	return syncDirectory(filepath.Dir(place))
}

// drop takes a module out, as a whole.
func (s *store) drop(name string) error {
	draft, err := os.MkdirTemp(s.path, storeDraft)
	if err != nil {
		return err
	}
	defer os.RemoveAll(draft)
	err = os.Rename(s.place(name), filepath.Join(draft, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errors.Join(err, syncDirectory(filepath.Dir(s.place(name))))
}

// openStoreFor opens the store for modules that are to go into it, if they can: what Bulkhead has not put there it replaces only by force.
func (h *Host) openStoreFor(sources []Source, force bool) (*store, error) {
	if err := directory(h.State).open(); err != nil {
		return nil, err
	}
	s, err := h.openStore()
	if err != nil {
		return nil, err
	}
	record, err := directory(h.State).readStore()
	for _, source := range sources {
		if err == nil && !record.owns(s.policy, source.Name) && s.has(source.Name) && !force {
			err = &StoreError{Reason: fmt.Sprintf("the module store has a module %s that is not Bulkhead's, %s", source.Name, s.place(source.Name)),
				Hint: "give the file another name, or replace that module with --force"}
		}
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// store puts modules that are applied into the store.
func (h *Host) store(s *store, sources []Source, result *Result) error {
	record, err := directory(h.State).readStore()
	if err != nil {
		return err
	}
	for _, source := range sources {
		module := storedModule{Policy: s.policy, Name: source.Name, Digest: digestOf(source.Text)}
		i := slices.IndexFunc(result.Modules, func(o Outcome) bool { return o.Name == source.Name })
		module.Declares = result.Modules[i].declares
		record.remove(s.policy, source.Name)
		record.Modules = append(record.Modules, module)
		if err := directory(h.State).writeStore(record); err != nil {
			return err
		}
		if err := s.put(source.Name, source.Text); err != nil {
			return err
		}
		result.Modules[i].Stored = true
	}
	return nil
}

// unstore takes modules out of the store, those of them that are Bulkhead's.
func (h *Host) unstore(names []string, became map[string]string, result *Result) error {
	record, err := directory(h.State).readStore()
	if err != nil {
		return err
	}
	var stored []storedModule
	for _, name := range names {
		if module, ok := record.find(name); ok {
			stored = append(stored, module)
		}
	}
	if len(stored) == 0 {
		return nil
	}
	s, err := h.openStore()
	if err != nil {
		return err
	}
	defer s.close()
	for _, module := range stored {
		if module.Policy != s.policy {
			return &StoreError{Reason: fmt.Sprintf("module %s is in the module store of the policy %s, and SELINUXTYPE is %s", module.Name, module.Policy, s.policy)}
		}
		if err := s.drop(module.Name); err != nil {
			return err
		}
		record.remove(module.Policy, module.Name)
		if err := directory(h.State).writeStore(record); err != nil {
			return err
		}
		if !slices.ContainsFunc(result.Modules, func(o Outcome) bool { return o.Name == module.Name }) {
			result.Modules = append(result.Modules, Outcome{Name: module.Name, What: became[module.Name]})
		}
	}
	return nil
}

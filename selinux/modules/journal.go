// SPDX-License-Identifier: Apache-2.0

package modules

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// journal is what is known of the kernel's policy and the modules on it. The texts and the policies that it names by their digests are files beside it.
type journal struct {
	Format int    `json:"format"`
	Boot   string `json:"boot"` // the kernel's boot_id: the journal of another boot says nothing
	state
	// Sequence is the policyload of the kernel's status page when Loaded was last seen: while it is the same, nothing was loaded and no boolean was changed.
	Sequence uint32 `json:"sequence"`
	// Pending is the change that is being made. Whether the kernel has taken it shows its policy.
	Pending *state `json:"pending,omitempty"`
}

// state is one policy with modules on it.
type state struct {
	Base    string   `json:"base,omitempty"`   // sha256 of the policy without modules; "" where the kernel has none of ours: then the modules are lost
	Loaded  string   `json:"loaded,omitempty"` // fingerprint of the policy with them
	Modules []Module `json:"modules,omitempty"`
}

const journalFormat = 1

// maximumJournal is the length of a journal in bytes, maximumModules that of its lists.
const (
	maximumJournal = 4 << 20
	maximumModules = 4096
)

func (j *journal) encode() ([]byte, error) {
	if err := j.check(); err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(j, "", "\t")
	return append(text, '\n'), err
}

// decodeJournal reads what encode wrote. Anything else is an error: a journal that cannot be read is never taken for an empty one.
func decodeJournal(text []byte) (*journal, error) {
	if len(text) > maximumJournal {
		return nil, fmt.Errorf("%d bytes, more than %d", len(text), maximumJournal)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	j := &journal{}
	if err := decoder.Decode(j); err != nil {
		return nil, err
	}
	if decoder.More() {
		return nil, errors.New("something follows the journal")
	}
	return j, j.check()
}

func (j *journal) check() error {
	if j.Format != journalFormat {
		return fmt.Errorf("format %d, expected %d", j.Format, journalFormat)
	}
	if err := j.state.check(); err != nil {
		return err
	}
	if j.Pending != nil {
		if err := j.Pending.check(); err != nil {
			return fmt.Errorf("pending: %w", err)
		}
	}
	return nil
}

// check holds every name of a file to its form: none leads out of the directory.
func (s *state) check() error {
	if len(s.Modules) > maximumModules {
		return fmt.Errorf("%d modules", len(s.Modules))
	}
	for what, digest := range map[string]string{"base": s.Base, "loaded": s.Loaded} {
		if digest != "" && !isDigest(digest) {
			return fmt.Errorf("%s: %.80q is not a digest", what, digest)
		}
	}
	seen := map[string]bool{}
	for _, module := range s.Modules {
		if err := checkName(module.Name); err != nil {
			return err
		}
		if !isDigest(module.Digest) {
			return fmt.Errorf("module %s: %.80q is not a digest", module.Name, module.Digest)
		}
		if seen[module.Name] {
			return fmt.Errorf("module %s is there twice", module.Name)
		}
		seen[module.Name] = true
	}
	return nil
}

// isDigest: sha256 in lower case hexadecimal.
func isDigest(text string) bool {
	sum, err := hex.DecodeString(text)
	return err == nil && len(sum) == 32 && hex.EncodeToString(sum) == text
}

func (s *state) find(name string) int {
	return slices.IndexFunc(s.Modules, func(m Module) bool { return m.Name == name })
}

// lost says that somebody else has loaded a policy, which has not got the modules.
func (s *state) lost() bool { return s.Base == "" && len(s.Modules) > 0 }

// files are the digests of what the journal needs beside it.
func (j *journal) files() map[string]bool {
	needed := map[string]bool{}
	for _, s := range []*state{&j.state, j.Pending} {
		if s == nil {
			continue
		}
		needed[s.Base] = true
		for _, module := range s.Modules {
			needed[module.Digest] = true
		}
	}
	delete(needed, "")
	return needed
}

// reconcile brings the journal up to what the kernel has: the fingerprint of its policy, with the sequence of its status page. A change that was begun has either
// happened, where a process was killed after its load, or not. Any other policy is somebody else's, and the new base.
//
// After a reload it keeps the modules that were there both before and after a change that was not finished: a module whose application was killed does not come back
// by itself, nor does one that was being taken off.
func (j *journal) reconcile(sequence uint32, fingerprint string) {
	pending := j.Pending
	j.Pending, j.Sequence = nil, sequence
	switch {
	case pending != nil && fingerprint == pending.Loaded:
		j.state = *pending
		return
	case fingerprint == j.Loaded:
		return
	}
	if pending != nil {
		j.Modules = slices.DeleteFunc(slices.Clone(j.Modules), func(m Module) bool {
			i := pending.find(m.Name)
			return i < 0 || pending.Modules[i].Digest != m.Digest
		})
	}
	j.Modules = slices.Clone(j.Modules)
	for i := range j.Modules {
		j.Modules[i].Contained = false
	}
	j.Base, j.Loaded = "", fingerprint
}

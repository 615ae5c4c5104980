// SPDX-License-Identifier: Apache-2.0

package modules

import "slices"

// How a module stands.
const (
	StateLoaded    = "loaded"    // it is in the kernel's policy
	StateContained = "contained" // the same, or what has all of its names, since the distribution brings it
	StateLost      = "lost"      // somebody else loaded a policy, and Ensure or the next change puts it back
	StateStored    = "stored"    // it is in the module store, and not in the kernel's policy
)

// Listed is a module that is applied or stored.
type Listed struct {
	Module
	State  string `json:"state"`
	Stored bool   `json:"stored,omitempty"`
}

// List returns the modules in the order in which they were applied, then those that are in the store alone. It changes nothing.
func (h *Host) List() ([]Listed, error) {
	s, err := h.session()
	if err != nil {
		return nil, err
	}
	symbols := symbolsOf(s.running)
	var list []Listed
	for _, module := range s.journal.Modules {
		listed := Listed{Module: module, State: StateLoaded, Stored: s.store.has(module.Name, module.Digest)}
		switch {
		case module.Contained || s.journal.lost() && hasAll(symbols, module.Declares):
			listed.State = StateContained
		case s.journal.lost():
			listed.State = StateLost
		}
		list = append(list, listed)
	}
	for _, stored := range s.store.Modules {
		if slices.ContainsFunc(list, func(l Listed) bool { return l.Name == stored.Name }) {
			continue
		}
		listed := Listed{Module: Module{Name: stored.Name, Digest: stored.Digest, Declares: stored.Declares}, State: StateStored, Stored: true}
		if hasAll(symbols, stored.Declares) {
			listed.State = StateContained
		}
		list = append(list, listed)
	}
	return list, nil
}

// SPDX-License-Identifier: Apache-2.0

package modules

import (
	"slices"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
	"github.com/bulkhead-project/bulkhead/source"
)

// compiler compiles sources onto a policy, which stays as it is.
type compiler func(base *policydb.Policy, sources []Source) (*policydb.Policy, source.Diagnostics, error)

// candidate is a module with its text.
type candidate struct {
	Module
	text  []byte
	fresh bool // what it declares is to be found out
}

func (c *candidate) source() Source { return Source{Name: c.Name, File: c.File, Text: c.text} }

// assembly is a base with modules on it.
type assembly struct {
	policy   *policydb.Policy
	modules  []Module // in the order of the candidates
	warnings source.Diagnostics
}

// assemble compiles all candidates together onto the base, except those of which the base has all that they declare: the distribution built them in from its module
// store, or a package of its own brings the same.
func assemble(base *policydb.Policy, candidates []candidate, compile compiler) (*assembly, error) {
	symbols := symbolsOf(base)
	candidates = slices.Clone(candidates)
	var known, fresh []*candidate
	for i := range candidates {
		c := &candidates[i]
		c.Contained = hasAll(symbols, c.Declares)
		switch {
		case c.Contained:
		case c.fresh:
			fresh = append(fresh, c)
		default:
			known = append(known, c)
			symbols = append(symbols, c.Declares...)
		}
	}
	slices.Sort(symbols)
	made := &assembly{policy: base}
	if len(known)+len(fresh) > 0 {
		if err := made.compile(base, slices.Compact(symbols), known, fresh, compile); err != nil {
			return nil, err
		}
	}
	for i := range candidates {
		made.modules = append(made.modules, candidates[i].Module)
	}
	return made, nil
}

// compile finds out besides what each fresh module declares: what the policy has with it and not without. Where one needs another that comes later, none can be
// compiled by itself, and those that are left count as declaring the same.
func (a *assembly) compile(base *policydb.Policy, symbols []string, done, fresh []*candidate, compile compiler) error {
	left := fresh
	if len(fresh) > 1 {
		left = nil
		for _, c := range fresh {
			policy, _, err := compile(base, sourcesOf(append(slices.Clone(done), c)))
			if err != nil {
				left = append(left, c)
				continue
			}
			after := symbolsOf(policy)
			c.Declares, symbols = added(symbols, after), after
			done = append(done, c)
		}
	}
	var err error
	a.policy, a.warnings, err = compile(base, sourcesOf(append(slices.Clone(done), left...)))
	if err != nil {
		return err
	}
	for _, c := range left {
		c.Declares = added(symbols, symbolsOf(a.policy))
	}
	return nil
}

func sourcesOf(candidates []*candidate) []Source {
	sources := make([]Source, len(candidates))
	for i, c := range candidates {
		sources[i] = c.source()
	}
	return sources
}

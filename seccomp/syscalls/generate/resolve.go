// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// override is a line of data/overrides.txt.
type override struct {
	where     string // an ABI, an architecture, or * for all
	entry     string
	prototype prototype
	used      bool
}

// resolver finds the prototype of an entry in an ABI's table.
type resolver struct {
	found     prototypes
	overrides []override
	newer     map[string]prototype // by call
}

func newResolver(tree string, abis []*abi) (*resolver, error) {
	found, err := readPrototypes(tree, abis)
	if err != nil {
		return nil, err
	}
	r := &resolver{found: found, newer: map[string]prototype{}}
	lines, err := dataRecords("overrides.txt", 3)
	if err != nil {
		return nil, err
	}
	for _, line := range lines {
		p, _, err := functionPrototype(line[2] + ")")
		if err != nil {
			return nil, fmt.Errorf("overrides.txt: %s: %w", line[1], err)
		}
		r.overrides = append(r.overrides, override{where: line[0], entry: line[1], prototype: p})
	}
	if lines, err = dataRecords("newer.txt", 4); err != nil {
		return nil, err
	}
	for _, line := range lines {
		p, _, err := functionPrototype(line[3] + ")")
		if err != nil {
			return nil, fmt.Errorf("newer.txt: %s: %w", line[2], err)
		}
		r.newer[line[2]] = p
	}
	return r, nil
}

// resolveAll gives every entry of every ABI its prototype by registers.
func (r *resolver) resolveAll(abis []*abi) error {
	var faults []error
	for _, a := range abis {
		for i := range a.entries {
			e := &a.entries[i]
			p, err := r.resolve(a, *e)
			switch {
			case err == nil && p != nil && a.entersCompat(*e):
				p = p.ordered(a)
			case err == nil && p != nil:
				p, err = p.registers(a)
			}
			if err == nil && p != nil {
				e.code, err = p.code(a)
			}
			if err != nil {
				faults = append(faults, fmt.Errorf("%s: %s: %w", a.name, e.name, err))
			}
			e.prototype = p
		}
	}
	for _, o := range r.overrides {
		if !o.used {
			faults = append(faults, fmt.Errorf("overrides.txt: %s %s is not used", o.where, o.entry))
		}
	}
	return errors.Join(faults...)
}

// entersCompat reports whether a 64-bit kernel has a function of its own for the ABI's entry.
func (a *abi) entersCompat(e entry) bool { return a.compat && e.compat != "" }

// resolve returns nil for a call that the kernel does not implement and nothing declares.
func (r *resolver) resolve(a *abi, e entry) (prototype, error) {
	if p, ok := r.newer[e.name]; ok {
		return p, nil
	}
	function := e.native
	if a.entersCompat(e) {
		function = e.compat
	}
	implemented := function != ""
	if !implemented {
		function = "sys_" + e.name
	}
	for i := range r.overrides {
		if o := &r.overrides[i]; o.entry == function && (o.where == "*" || o.where == a.name || o.where == a.arch) {
			o.used = true
			return o.prototype, nil
		}
	}
	definitions := nearest(r.found[function], a.arch)
	if len(definitions) == 0 {
		if implemented {
			return nil, fmt.Errorf("%s is defined nowhere", function)
		}
		return nil, nil
	}
	return same(definitions, a)
}

// nearest leaves the definitions that an architecture uses: its own before others', with a body before without.
func nearest(all []definition, arch string) []definition {
	own := "arch/" + arch + "/"
	for _, is := range []func(definition) bool{
		func(d definition) bool { return !d.declared && strings.HasPrefix(d.file, own) },
		func(d definition) bool { return !d.declared && !strings.HasPrefix(d.file, "arch/") },
		func(d definition) bool { return d.declared && strings.HasPrefix(d.file, own) },
		func(d definition) bool { return d.declared && strings.HasPrefix(d.file, "include/") },
	} {
		if left := slices.DeleteFunc(slices.Clone(all), func(d definition) bool { return !is(d) }); len(left) > 0 {
			return left
		}
	}
	return nil
}

// same returns the one prototype of several definitions, of which the preprocessor would choose one: they have to read the same.
func same(definitions []definition, a *abi) (prototype, error) {
	var first string
	for i, d := range definitions {
		code, err := d.prototype.code(a)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.file, err)
		}
		reads := fmt.Sprintf("%d parameters, %06x", len(d.prototype), code)
		if i == 0 {
			first = reads
		} else if reads != first {
			return nil, fmt.Errorf("%s: (%s) differs from %s: (%s)", d.file, d.prototype, definitions[0].file, definitions[0].prototype)
		}
	}
	return definitions[0].prototype, nil
}

// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"slices"

	"github.com/bulkhead-project/bulkhead/selinux/cil/syntax"
	"github.com/bulkhead-project/bulkhead/source"
)

// Bounds on inheritance that copies itself over and over, libsepol's CIL_DEGENERATE_INHERITANCE_*.
const (
	inheritanceGrowth  = 10
	inheritanceMinimum = 1 << 10
)

// maximumCalls of macros in each other, and of in statements that wait for each other.
const maximumCalls = 1 << 8

// copy puts the children of a scope at the end of another, as they are by now, and declares their names there.
func (d *declarer) copy(from, to *scope) error {
	for i, count := 0, len(from.children); i < count; i++ {
		c := from.children[i]
		s := statement{c.node, to}
		if d.copied++; d.copied > maximumStatements {
			return d.fail(s, c.node, "calls and inheritance bring more than %d statements", maximumStatements)
		}
		switch c.keyword.structure {
		case scopeIn:
			return d.fail(s, c.node, "a block with an in statement in it cannot be copied")
		case scopeAbstract:
			if d.inheriting {
				continue
			}
		case scopeMacro:
			if _, ok := to.home.names[keyOf(kindBlock, c.node.Child(1).ID())].(*macro); ok && d.inheriting {
				continue // the block's own macro is the one
			}
		}
		if err := d.mayStand(s, c.keyword); err != nil {
			return err
		}
		to.children = append(to.children, child{node: c.node, keyword: c.keyword})
		if err := d.place(s, c.keyword, &c); err != nil {
			return err
		}
	}
	return nil
}

// copyInto is copy from outside of it.
func (d *declarer) copyInto(from, to *scope) error {
	d.copying, d.inheriting = true, to.kind == scopeInherit
	err := d.copy(from, to)
	d.copying, d.inheriting = false, false
	clear(d.remembered)
	return err
}

// early is a pass before macros are called. Optionals fall away without what was done being done again.
func (d *declarer) early(visit func(*scope, *child) error) error {
	if err := d.pass(true, 1, visit); err != errAgain {
		return err
	}
	return nil
}

// chooseTunables puts the branch of each tunableif that counts at the end of the scope around.
func (d *declarer) chooseTunables() error {
	return d.early(func(s *scope, c *child) error {
		inner := c.inner
		if inner == nil || inner.kind != scopeTunableIf {
			return nil
		}
		state, err := d.evaluate(statement{c.node, s}, c.node.Child(1))
		if err != nil {
			return err
		}
		branches := inner.children
		inner.children = nil
		for _, branch := range branches {
			if (branch.node.Keyword() == "true") == state {
				return d.copyInto(branch.inner, s)
			}
		}
		return nil
	})
}

func (d *declarer) insertBefore() error { return d.insert(false) }
func (d *declarer) insertAfter() error  { return d.insert(true) }

// insert puts what in statements hold at the end of the blocks they name. The last statement comes first, and one whose block another brings waits for it.
func (d *declarer) insert(after bool) error {
	var waiting []*scope
	if err := d.early(func(s *scope, c *child) error {
		if c.keyword.structure == scopeIn && (c.inner.within&notInAfter != 0) == after {
			waiting = append(waiting, c.inner)
		}
		return nil
	}); err != nil {
		return err
	}
	slices.Reverse(waiting)
	for round := 0; len(waiting) > 0; round++ {
		var still []*scope
		var missing error
		for _, in := range waiting {
			target, err := d.target(in)
			if unresolved, ok := err.(*unresolvedError); ok {
				still, missing = append(still, in), unresolved.diagnostic()
				continue
			}
			if err == nil {
				err = d.copyInto(in, target)
			}
			if err != nil {
				return err
			}
			in.children, in.declared = nil, nil
		}
		if len(still) == len(waiting) || round == maximumCalls {
			return missing
		}
		waiting = still
	}
	return nil
}

// target is the scope that an in statement adds to: a block's, macro's or optional's.
func (d *declarer) target(in *scope) (*scope, error) {
	name := inTarget(in)
	d.inserting = true
	found, err := d.lookup(in.parent, kindBlock, name)
	d.inserting = false
	if err != nil {
		return nil, err
	}
	switch found := found.(type) {
	case *block:
		return found.scope, nil
	case *macro:
		return found.scope, nil
	case *optional:
		if found.again {
			return nil, diagnosticAt(place{name, in.parent}, "there are several optionals of the name %s", name.Word())
		}
		return found.scope, nil
	}
	return nil, diagnosticAt(place{name, in.parent}, "%s is no block", name.Word())
}

// linkInherits finds the blocks that are inherited.
func (d *declarer) linkInherits() error {
	if err := d.pass(true, 1, func(s *scope, c *child) error {
		if c.keyword.structure != scopeInherit {
			return nil
		}
		found, err := d.lookup(s, kindBlock, c.node.Child(1))
		if err != nil {
			return err
		}
		block, ok := found.(*block)
		if !ok {
			return d.fail(statement{c.node, s}, c.node.Child(1), "%s is not a block", c.node.Child(1).Word())
		}
		c.inner.block = block
		block.inherits = append(block.inherits, c.inner)
		return nil
	}); err != nil && err != errAgain {
		return err
	}
	return d.checkInherits()
}

// checkInherits refuses blocks that inherit themselves, and inheritance that doubles again and again.
func (d *declarer) checkInherits() error {
	limit := max(inheritanceMinimum, inheritanceGrowth*countInherits(d.root))
	seen := 0
	var around []*block
	var visit func(s *scope) error
	visit = func(s *scope) error {
		if s.kind == scopeInherit {
			if seen++; seen > limit {
				return diagnosticAt(place{s.at, s.parent}, "inheritance grows without end: more than %d blocks would be inherited", limit)
			}
			if s.block != nil {
				if slices.Contains(around, s.block) {
					return diagnosticAt(place{s.at, s.parent}, "block %s inherits itself", s.block.name)
				}
				around = append(around, s.block)
				if err := visit(s.block.scope); err != nil {
					return err
				}
				around = around[:len(around)-1]
			}
		}
		for _, c := range s.children {
			if c.inner != nil {
				if err := visit(c.inner); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return visit(d.root)
}

func countInherits(s *scope) int {
	count := 0
	if s.kind == scopeInherit {
		count++
	}
	for _, c := range s.children {
		if c.inner != nil {
			count += countInherits(c.inner)
		}
	}
	return count
}

// copyInherits puts the contents of blocks where they are inherited.
func (d *declarer) copyInherits() error {
	return d.early(func(s *scope, c *child) error {
		if c.keyword.structure != scopeBlock || c.inner.block.scope != c.inner {
			return nil
		}
		from := c.inner
		for i := 0; i < len(from.block.inherits); i++ {
			if inherit := from.block.inherits[i]; !inherit.gone {
				if err := d.copyInto(from, inherit); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// markAbstract marks blocks that are only there to be inherited, and those in them.
func (d *declarer) markAbstract() error {
	var abstract []*scope
	err := d.early(func(s *scope, c *child) error {
		if c.keyword.structure != scopeAbstract {
			return nil
		}
		found, err := d.lookup(s, kindBlock, c.node.Child(1))
		if err != nil {
			return err
		}
		block, ok := found.(*block)
		if !ok {
			return d.fail(statement{c.node, s}, c.node.Child(1), "%s is not a block", c.node.Child(1).Word())
		}
		abstract = append(abstract, block.scope)
		return nil
	})
	for i := 0; i < len(abstract); i++ {
		abstract[i].block.abstract = true
		for _, c := range abstract[i].children {
			if c.keyword.structure == scopeBlock {
				abstract = append(abstract, c.inner)
			}
		}
	}
	return err
}

// expandCalls puts the bodies of macros where they are called.
func (d *declarer) expandCalls() error {
	if err := d.pass(false, 1, func(s *scope, c *child) error {
		if c.keyword.structure == scopeCall {
			return d.expandCall(c.inner)
		}
		return nil
	}); err != errAgain {
		return err
	}
	return nil
}

func (d *declarer) expandCall(call *scope) error {
	name := call.at.Child(1)
	found, err := d.lookup(call.parent, kindBlock, name)
	if err != nil {
		return err
	}
	macro, ok := found.(*macro)
	if !ok {
		return diagnosticAt(place{name, call.parent}, "%s is not a macro", name.Word())
	}
	depth := 0
	for s := call.parent.call; s != nil; s = s.parent.call {
		if depth++; s.macro == macro {
			return diagnosticAt(place{name, call.parent}, "macro %s calls itself", name.Word())
		}
	}
	if depth >= maximumCalls {
		return diagnosticAt(place{name, call.parent}, "more than %d calls of macros in each other", maximumCalls)
	}
	if call.passed, err = passedTo(macro, call, name.Next()); err != nil {
		return err
	}
	call.macro = macro
	return d.copyInto(macro.scope, call)
}

// passedTo checks the arguments of a call.
func passedTo(macro *macro, call *scope, arguments syntax.Node) ([]argument, error) {
	fail := func(at syntax.Node, format string, words ...any) error {
		return diagnosticAt(place{at, call.parent}, format, words...)
	}
	if arguments.Valid() && len(macro.parameters) == 0 {
		return nil, fail(arguments, "macro %s takes no arguments, not even an empty list of them", macro.name)
	}
	if have := arguments.Len(); have != len(macro.parameters) {
		return nil, fail(call.at, "macro %s takes %d arguments, not %d", macro.name, len(macro.parameters), have)
	}
	passed := make([]argument, 0, len(macro.parameters))
	node := arguments.First()
	for _, parameter := range macro.parameters {
		if node.IsList() && (!parameter.takesList() || !node.First().Valid()) {
			return nil, fail(node, "expected a %s", parameter.what)
		}
		passed = append(passed, argument{node: node})
		node = node.Next()
	}
	return passed, nil
}

// takesList tells whether a parameter may be passed without a name, by what it consists of.
func (p parameter) takesList() bool {
	switch p.what {
	case "categoryset", "level", "levelrange", "classpermission", "ipaddr":
		return true
	}
	return false
}

// resolveArguments finds the symbols that were passed.
func (r *resolver) resolveArguments(call *scope) error {
	for i, parameter := range call.macro.parameters {
		passed := &call.passed[i]
		node := passed.node
		switch {
		case parameter.kind == kindName:
			continue // a name is its own meaning, or the parameter of the macro around: see argument
		case node.IsList(), parameter.kind == kindAddress && isAddress(node.Word()):
			if passed.symbol == nil {
				passed.symbol = &definition{named: named{declared: place{node, call.parent}}, contents: node}
			}
			continue
		}
		found, err := r.lookup(call.parent, parameter.kind, node)
		if err != nil {
			return err
		}
		if found == typeSelf || found == typeNotSelf || found == typeOther {
			return &unresolvedError{kind: parameter.kind, at: place{node, call.parent}} // words of rules, not names
		}
		if outside, err := r.lookupOutside(call, found, parameter.kind, node); err != nil {
			return err
		} else if outside != nil {
			found = outside
		}
		passed.symbol = found
	}
	return nil
}

// lookupOutside looks an argument up again where it was found in what the macro itself declares, which it cannot mean.
func (r *resolver) lookupOutside(call *scope, found symbol, kind symbolKind, node syntax.Node) (symbol, error) {
	at := found.symbol().declared.scope
	for at != nil && at != call {
		at = at.parent
	}
	if at == nil {
		return nil, nil
	}
	names, key := call.home.names, keyOf(kind, found.symbol().declared.node.ID())
	delete(names, key)
	clear(r.remembered)
	defer func() {
		names[key] = found
		clear(r.remembered)
	}()
	return r.lookup(call.parent, kind, node)
}

func isAddress(word string) bool {
	for i := 0; i < len(word); i++ {
		if word[i] == '.' || word[i] == ':' {
			return true
		}
	}
	return false
}

// Disabled is an optional that was left out, since something it needs is not there.
type Disabled struct {
	Name     string // with the blocks around
	Position source.Position
	Because  source.Diagnostic
}

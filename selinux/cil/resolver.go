// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"errors"

	"github.com/bulkhead-project/bulkhead/selinux/cil/syntax"
	"github.com/bulkhead-project/bulkhead/source"
)

// resolver makes the tree of the sources and resolves what stands in it.
type resolver struct {
	settled
	options    Options
	words      *syntax.Words
	statements map[string]*keyword
	keywords   []*keyword // by the number of the word
	root       *scope
	remembered map[remembered]symbol
	repeated   map[symbol]int // how often a symbol is declared beyond the first time
	aliases    []*alias       // all that are declared
	copied     int            // statements beyond those that are written
	copying    bool           // what is declared now is part of a copy
	inheriting bool           // and that is of a block
	inserting  bool           // names are those of in statements
	visited    int            // statements by all passes
	disabled   []Disabled
}

// maximumVisits bounds how often optionals fall away one for the sake of the other: libsepol looks at all statements again for each.
const maximumVisits = 1 << 27

// maximumFaults is how many statements that are wrong are told of at a time.
const maximumFaults = 20

// errAgain tells that optionals fell away: names are to be resolved again.
var errAgain = errors.New("names are to be resolved again")

// resolve makes the model of sources, in libsepol's passes (cil_resolve_ast.c).
func resolve(trees []*syntax.Tree, words *syntax.Words, options Options) (*model, []Disabled, error) {
	r := newResolver(words, options)
	if err := r.expand(trees); err != nil {
		return nil, nil, err
	}
	if err := r.resolveAll(); err != nil {
		return nil, nil, err
	}
	m := &model{sids: r.sids, classes: r.classes, categories: r.categories, sensitivities: r.sensitivities}
	r.reserve(m)
	if err := r.collect(r.root, m); err != nil {
		return nil, nil, err
	}
	if err := m.finish(r); err != nil {
		return nil, nil, err
	}
	return m, r.disabled, nil
}

func newResolver(words *syntax.Words, options Options) *resolver {
	r := &resolver{options: options, words: words, statements: keywords, root: &scope{}, repeated: map[symbol]int{}, remembered: map[remembered]symbol{}}
	r.root.open("")
	r.predeclare()
	return r
}

// predeclare puts the names in that the language itself has.
func (r *resolver) predeclare() {
	for _, t := range []*typ{typeSelf, typeNotSelf, typeOther} {
		r.root.names[keyOf(kindType, r.words.ID(t.name))] = t
	}
	if r.options.Onto != nil {
		declareBase(r.options.Onto, func(kind symbolKind, name string, s symbol) { r.root.names[keyOf(kind, r.words.ID(name))] = s })
	}
}

// expand makes the tree: what is written, then tunables chosen, blocks inherited and macros called.
func (r *resolver) expand(trees []*syntax.Tree) error {
	d := &declarer{r}
	statements := 0
	for _, tree := range trees {
		statements += tree.Root().Len()
	}
	r.root.children = make([]child, 0, statements)
	for _, tree := range trees {
		if err := d.read(tree.Root().First(), r.root); err != nil {
			return err
		}
	}
	for _, pass := range []func() error{d.chooseTunables, d.insertBefore, d.linkInherits, d.copyInherits, d.markAbstract, d.insertAfter, d.expandCalls} {
		if err := pass(); err != nil {
			return err
		}
	}
	return nil
}

// resolveAll resolves names until no optional falls away any longer.
func (r *resolver) resolveAll() error {
	for {
		if err := r.resolveNames(); err != errAgain {
			return err
		}
	}
}

// resolveNames runs the passes that follow the calls of macros; errAgain tells to do so again.
func (r *resolver) resolveNames() error {
	r.settled = newSettled(r.settled)
	for _, alias := range r.aliases {
		alias.of = nil
	}
	for _, visit := range []func(*scope, *child) error{r.visitCall, r.linkAlias, r.followAlias} {
		if err := r.pass(false, maximumFaults, visit); err != nil {
			return err
		}
	}
	for _, stage := range stages {
		var items []item // of the stages that settle something for those behind
		if err := r.pass(false, maximumFaults, func(s *scope, c *child) (err error) {
			if c.keyword.resolve == nil || c.keyword.stage != stage {
				return nil
			}
			if c.item, err = c.keyword.resolve(r, statement{c.node, s}); err == nil && stage != stageRules {
				items = append(items, c.item)
			}
			return err
		}); err != nil {
			return err
		}
		if err := r.settle(stage, items); err != nil {
			return err
		}
	}
	return nil
}

func (r *resolver) visitCall(_ *scope, c *child) error {
	if c.keyword.structure == scopeCall {
		return r.resolveArguments(c.inner)
	}
	return nil
}

// pass visits all statements that count, those of macros' definitions if macros. The optionals of those that name what is not declared are left out after it;
// errAgain tells that others may have relied on what was in them. It ends with the error of the last statement of so many that have one.
func (r *resolver) pass(macros bool, most int, visit func(*scope, *child) error) error {
	clear(r.remembered)
	var lost []*scope
	var faults source.Diagnostics
	fault := func(wrong source.Diagnostic) error {
		if faults = append(faults, wrong); len(faults) == most {
			return faults.Sorted()
		}
		return nil
	}
	err := r.walk(r.root, macros, func(s *scope, c *child) error {
		err := visit(s, c)
		if err == nil {
			return nil
		}
		if wrong, ok := err.(source.Diagnostic); ok {
			return fault(wrong)
		}
		unresolved, ok := err.(*unresolvedError)
		if !ok {
			return err
		}
		optional := s
		for optional != nil && optional.kind != scopeOptional {
			optional = optional.parent
		}
		if optional == nil {
			wrong := unresolved.diagnostic()
			wrong.Message += r.hint(unresolved)
			return fault(wrong)
		}
		if !optional.lost {
			optional.lost = true
			lost = append(lost, optional)
			r.disabled = append(r.disabled, Disabled{optional.home.path + optional.at.Child(1).Word(), optional.at.Position(), unresolved.diagnostic()})
		}
		return nil
	})
	if err == nil {
		err = faults.Sorted()
	}
	if err != nil {
		return err
	}
	again := false
	for _, optional := range lost {
		again = r.disable(optional) || again
	}
	if again {
		return errAgain
	}
	return nil
}

// walk visits the statements of a scope and of those in it, but of abstract blocks, and of macros unless macros.
func (r *resolver) walk(s *scope, macros bool, visit func(*scope, *child) error) error {
	for i := 0; i < len(s.children); i++ {
		if r.visited++; r.visited > maximumVisits {
			return r.fail(statement{s.children[i].node, s}, s.children[i].node, "too many optionals fall away one after the other, each because of the one before")
		}
		if err := visit(s, &s.children[i]); err != nil {
			return err
		}
		inner := s.children[i].inner
		if inner == nil || inner.kind == scopeMacro && !macros || inner.kind == scopeBlock && inner.block.abstract {
			continue
		}
		if err := r.walk(inner, macros, visit); err != nil {
			return err
		}
	}
	return nil
}

// disable empties an optional: what it declares is not declared any longer. It tells whether that matters to others: libsepol resolves names again in any case,
// but without declarations, orders and aliases nothing changes by it.
func (r *resolver) disable(s *scope) (matters bool) {
	s.lost = false
	for _, declaration := range s.declared {
		if _, ok := declaration.symbol.(*optional); !ok {
			matters = true
		}
		if r.repeated[declaration.symbol] > 0 {
			r.repeated[declaration.symbol]--
			continue
		}
		if names := s.home.names; names[declaration.at] == declaration.symbol {
			delete(names, declaration.at)
		}
	}
	for i := range s.children {
		c := &s.children[i]
		if c.inner != nil {
			matters = r.disable(c.inner) || matters
			c.inner.gone = true
		} else if _, actual, _ := aliasKind(c.node.Keyword()); actual || c.keyword.stage != stageRules {
			matters = true
		}
	}
	s.children, s.declared = nil, nil
	return matters
}

// collect puts what is declared and resolved into the model, in the order of the tree.
func (r *resolver) collect(s *scope, m *model) error {
	declared := s.declared
	for i := range s.children {
		c := &s.children[i]
		for len(declared) > 0 && declared[0].child == i {
			r.collectSymbol(declared[0].symbol, m)
			declared = declared[1:]
		}
		if condition, ok := c.item.(*condition); ok {
			if err := r.collectBranches(condition, c.inner); err != nil {
				return err
			}
		}
		if c.item != nil {
			c.item.addTo(m)
		}
		if inner := c.inner; inner != nil && inner.kind != scopeCondition && inner.kind != scopeMacro && (inner.kind != scopeBlock || !inner.block.abstract) {
			if err := r.collect(inner, m); err != nil {
				return err
			}
		}
	}
	s.children, s.declared = nil, nil // the model has it all; only who stands in whom is still of interest
	return nil
}

// collectSymbol puts a symbol into the model where it is first declared.
func (r *resolver) collectSymbol(symbol symbol, m *model) {
	item, ok := symbol.(item)
	if !ok || r.repeated[symbol] < 0 {
		return
	}
	if r.repeated[symbol] > 0 {
		r.repeated[symbol] = -1
	}
	item.addTo(m)
}

// collectBranches puts the rules of a booleanif into its branches.
func (r *resolver) collectBranches(condition *condition, inner *scope) error {
	condition.True, condition.False = branch{}, branch{}
	for _, c := range inner.children {
		var rules model
		if err := r.collect(c.inner, &rules); err != nil {
			return err
		}
		into := &condition.False
		if c.node.Keyword() == "true" {
			into = &condition.True
		}
		*into = branch{rules.rules, rules.typeRules}
	}
	return nil
}

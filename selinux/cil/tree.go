// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"maps"

	"github.com/bulkhead-project/bulkhead/selinux/cil/syntax"
)

// maximumStatements that inheritance, calls and tunables may bring beyond those that are written, so that a small text cannot become a policy of any size.
const maximumStatements = 1 << 20

// maximumDepth of blocks, macros, optionals, calls and the like in each other; libsepol's of parentheses.
const maximumDepth = 1 << 12

// count counts a node and those that follow it.
func count(node syntax.Node) int {
	nodes := 0
	for ; node.Valid(); node = node.Next() {
		nodes++
	}
	return nodes
}

// read puts the statements of a list into a scope.
func (d *declarer) read(first syntax.Node, to *scope) error {
	for node := first; node.Valid(); node = node.Next() {
		if err := d.add(node, to); err != nil {
			return err
		}
	}
	return nil
}

// add puts a statement as it is written at the end of a scope, and what it holds into a scope of its own.
func (d *declarer) add(node syntax.Node, to *scope) error {
	s := statement{node, to}
	if !node.IsList() || !node.First().IsWord() {
		return d.fail(s, node, "expected a statement: a list that begins with its keyword")
	}
	keyword := d.keyword(node.First())
	if keyword == nil {
		return d.fail(s, node, "unknown statement %s%s", node.Keyword(), nearest(node.Keyword(), maps.Keys(d.statements)))
	}
	if err := d.mayStand(s, keyword); err != nil {
		return err
	}
	to.children = append(to.children, child{node: node, keyword: keyword})
	if keyword.check != nil {
		if err := keyword.check(d, s); err != nil {
			return err
		}
	}
	return d.place(s, keyword, nil)
}

// keyword finds the kind of a statement.
func (d *declarer) keyword(word syntax.Node) *keyword {
	id := int(word.ID())
	for id >= len(d.keywords) {
		d.keywords = append(d.keywords, d.statements[d.words.Word(uint32(len(d.keywords)))])
	}
	return d.keywords[id]
}

// mayStand checks that a statement may stand in its scope.
func (d *declarer) mayStand(s statement, keyword *keyword) error {
	within := s.scope.within
	for _, rule := range placements {
		if keyword.where&within&rule.not != 0 {
			return d.fail(s, s.node, "%s is not allowed in %s", s.node.Keyword(), rule.in)
		}
	}
	if within&inCondition != 0 && (keyword.where&inCondition == 0 || keyword.where&notBefore34 != 0 && d.options.Version < 34) {
		return d.fail(s, s.node, "%s is not allowed in booleanif", s.node.Keyword())
	}
	if keyword.where&onlyInBranch != 0 && s.scope.kind != scopeCondition && s.scope.kind != scopeTunableIf {
		return d.fail(s, s.node, "%s is only allowed directly in a booleanif or tunableif", s.node.Keyword())
	}
	return nil
}

// place makes what a statement just put at the end of its scope is: it declares its names, and opens and fills its scope. A copy of a child is filled from that.
func (d *declarer) place(s statement, keyword *keyword, from *child) error {
	switch keyword.structure {
	case scopeRoot:
		if keyword.declare != nil {
			return keyword.declare(d, s)
		}
		return nil
	case scopeTunable:
		return d.tunable(s)
	case scopeAbstract:
		return d.wordsOnly(s, 2)
	}
	if s.scope.depth >= maximumDepth {
		return d.fail(s, s.node, "more than %d statements in each other", maximumDepth)
	}
	inner := s.scope.inner(keyword.structure, s.node)
	s.scope.children[len(s.scope.children)-1].inner = inner
	first, err := d.open(s, inner)
	if err != nil {
		return err
	}
	if from == nil {
		inner.children = make([]child, 0, count(first))
		return d.read(first, inner)
	}
	inner.children = make([]child, 0, len(from.inner.children))
	if inner.kind == scopeInherit && from.inner.block != nil {
		inner.block = from.inner.block
		inner.block.inherits = append(inner.block.inherits, inner)
	}
	return d.copy(from.inner, inner)
}

// open declares the name of a statement that holds others, and gives the first of those.
func (d *declarer) open(s statement, inner *scope) (syntax.Node, error) {
	switch inner.kind {
	case scopeBlock:
		return d.openBlock(s, inner)
	case scopeMacro:
		return d.openMacro(s, inner)
	case scopeIn:
		return d.openIn(s, inner)
	case scopeOptional:
		return d.openOptional(s, inner)
	case scopeTunableIf, scopeCondition:
		return d.openCondition(s, inner)
	case scopeBranch:
		if s.scope.kind == scopeTunableIf {
			inner.open("") // until its contents are known to count
		}
		return s.node.First().Next(), d.lists(s, s.node.First().Next(), 1)
	case scopeInherit:
		if d.options.QualifiedNames {
			return syntax.Node{}, d.fail(s, s.node, "blockinherit is not allowed where names are qualified ones")
		}
		return syntax.Node{}, d.wordsOnly(s, 2)
	}
	return syntax.Node{}, d.openCall(s)
}

func (d *declarer) openBlock(s statement, inner *scope) (syntax.Node, error) {
	name := s.node.Child(1)
	inner.within |= notInBlock
	inner.open(s.scope.home.path + name.Word() + ".")
	inner.block = &block{scope: inner}
	if d.options.QualifiedNames {
		return syntax.Node{}, d.fail(s, s.node, "blocks are not allowed where names are qualified ones")
	}
	if !name.IsWord() {
		return syntax.Node{}, d.fail(s, s.node, "expected the name of the block")
	}
	if err := d.lists(s, name.Next(), 0); err != nil {
		return syntax.Node{}, err
	}
	if before, ok := s.scope.home.names[keyOf(kindBlock, name.ID())].(*block); ok && d.inheriting {
		inner.block, inner.names = before, before.scope.names // what is inherited becomes part of the block that is there
		return name.Next(), nil
	}
	return name.Next(), d.declare(s, kindBlock, name, inner.block)
}

func (d *declarer) openOptional(s statement, inner *scope) (syntax.Node, error) {
	name := s.node.Child(1)
	inner.within |= notInOptional
	if !name.IsWord() {
		return syntax.Node{}, d.fail(s, s.node, "expected the name of the optional")
	}
	if err := d.lists(s, name.Next(), 0); err != nil {
		return syntax.Node{}, err
	}
	if before, ok := s.scope.home.names[keyOf(kindBlock, name.ID())].(*optional); ok {
		before.again = true
	}
	return name.Next(), d.declare(s, kindBlock, name, &optional{scope: inner})
}

// parameterKinds are the keywords of a macro's parameters.
var parameterKinds = map[string]symbolKind{
	"type": kindType, "role": kindRole, "user": kindUser, "sensitivity": kindSensitivity, "category": kindCategory, "categoryset": kindCategory,
	"level": kindLevel, "levelrange": kindLevelRange, "class": kindClass, "classmap": kindClass, "classpermission": kindClassPermission,
	"ipaddr": kindAddress, "boolean": kindBoolean, "string": kindName, "name": kindName,
}

func (d *declarer) openMacro(s statement, inner *scope) (syntax.Node, error) {
	name := s.node.Child(1)
	parameters := name.Next()
	inner.within |= notInMacro
	inner.open("")
	inner.macro = &macro{scope: inner}
	if !name.IsWord() || !parameters.IsList() {
		return syntax.Node{}, d.fail(s, s.node, "expected the name and the list of the parameters of the macro")
	}
	if err := d.lists(s, parameters.Next(), 0); err != nil {
		return syntax.Node{}, err
	}
	for node := parameters.First(); node.Valid(); node = node.Next() {
		if node.Len() != 2 || !node.First().IsWord() || !node.Child(1).IsWord() {
			return syntax.Node{}, d.fail(s, node, "expected the kind and the name of a parameter")
		}
		what, word := node.Keyword(), node.Child(1)
		kind, ok := parameterKinds[what]
		if !ok {
			return syntax.Node{}, d.fail(s, node, "a parameter cannot be of the kind %s", what)
		}
		if err := d.checkName(s, kind, word); err != nil {
			return syntax.Node{}, err
		}
		for _, other := range inner.macro.parameters {
			if other.word == word.ID() {
				return syntax.Node{}, d.fail(s, word, "the macro has two parameters of the name %s", word.Word())
			}
		}
		inner.macro.parameters = append(inner.macro.parameters, parameter{kind, word.ID(), what})
	}
	return parameters.Next(), d.declare(s, kindBlock, name, inner.macro)
}

func (d *declarer) openIn(s statement, inner *scope) (syntax.Node, error) {
	inner.within |= notInIn
	inner.open("")
	if d.options.QualifiedNames {
		return syntax.Node{}, d.fail(s, s.node, "in is not allowed where names are qualified ones")
	}
	name := s.node.Child(1)
	if name.Next().IsWord() {
		switch name.Word() {
		case "after":
			inner.within |= notInAfter
		case "before":
		default:
			return syntax.Node{}, d.fail(s, name, "expected before or after")
		}
		name = name.Next()
	}
	if !name.IsWord() {
		return syntax.Node{}, d.fail(s, s.node, "expected the name of a block")
	}
	return name.Next(), d.lists(s, name.Next(), 1)
}

// inTarget is the name of the block that an in statement adds to.
func inTarget(s *scope) syntax.Node {
	name := s.at.Child(1)
	if name.Next().IsWord() {
		name = name.Next()
	}
	return name
}

func (d *declarer) openCondition(s statement, inner *scope) (syntax.Node, error) {
	test := s.node.Child(1)
	branches := test.Next()
	if inner.kind == scopeTunableIf && d.options.PreserveTunables {
		inner.kind = scopeCondition
	}
	if inner.kind == scopeTunableIf {
		inner.within |= notInTunable
	} else {
		inner.within |= inCondition
	}
	if !test.Valid() || !branches.Valid() || branches.Next().Next().Valid() {
		return syntax.Node{}, d.fail(s, s.node, "expected a condition and one or two branches")
	}
	seen := ""
	for branch := branches; branch.Valid(); branch = branch.Next() {
		word := branch.Keyword()
		if word != "true" && word != "false" || word == seen {
			return syntax.Node{}, d.fail(s, branch, "expected one list (true ...) and one list (false ...)")
		}
		seen = word
	}
	return branches, d.checkCondition(s, test)
}

func (d *declarer) openCall(s statement) error {
	name := s.node.Child(1)
	arguments := name.Next()
	if !name.IsWord() || arguments.IsWord() || arguments.Next().Valid() {
		return d.fail(s, s.node, "expected the name of a macro and a list of arguments")
	}
	return nil
}

// tunable declares a tunable: a boolean where tunables are to be preserved.
func (d *declarer) tunable(s statement) error {
	if err := d.wordsOnly(s, 3); err != nil {
		return err
	}
	name := s.node.Child(1)
	state := name.Next().Word()
	if state != "true" && state != "false" {
		return d.fail(s, name.Next(), "expected true or false")
	}
	if d.options.PreserveTunables {
		return d.declare(s, kindBoolean, name, &boolean{state: state == "true"})
	}
	return d.declare(s, kindTunable, name, &tunable{state: state == "true"})
}

// wordsOnly checks that a statement is of so many words.
func (d *declarer) wordsOnly(s statement, count int) error {
	seen := 0
	for node := s.node.First(); node.Valid(); node = node.Next() {
		if seen++; !node.IsWord() {
			return d.fail(s, node, "expected a word")
		}
	}
	if seen != count {
		return d.fail(s, s.node, "%s has %d words after it, expected %d", s.node.Keyword(), seen-1, count-1)
	}
	return nil
}

// lists checks that all nodes from first on are lists that are not empty, and so many at least.
func (d *declarer) lists(s statement, first syntax.Node, least int) error {
	for node := first; node.Valid(); node = node.Next() {
		if least--; !node.First().Valid() {
			return d.fail(s, node, "expected a statement")
		}
	}
	if least > 0 {
		return d.fail(s, s.node, "%s holds no statement", s.node.Keyword())
	}
	return nil
}

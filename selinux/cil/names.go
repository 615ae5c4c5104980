// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bulkhead-project/bulkhead/selinux/cil/syntax"
	"github.com/bulkhead-project/bulkhead/source"
)

// maximumName is the length of a name with its blocks, libsepol's CIL_MAX_NAME_LENGTH.
const maximumName = 2048

// unresolvedError is a name that is not declared. It disables the optional around the statement, and is an error where there is none.
type unresolvedError struct {
	kind symbolKind
	at   place
	of   *class // of a permission
}

func (e *unresolvedError) Error() string { return e.diagnostic().Error() }

func (e *unresolvedError) diagnostic() source.Diagnostic {
	if e.of != nil {
		return diagnosticAt(e.at, "%s %s has no permission %s", e.of.kind, e.of.name, e.at.node.Word())
	}
	return diagnosticAt(e.at, "%s %s is not declared", e.kind, e.at.node.Word())
}

// fail is an error at a node of a statement.
func (r *resolver) fail(s statement, at syntax.Node, format string, arguments ...any) error {
	return diagnosticAt(place{at, s.scope}, format, arguments...)
}

// diagnosticAt is an error at a place, with the calls and inheritances that brought the statement there.
func diagnosticAt(at place, format string, arguments ...any) source.Diagnostic {
	message := fmt.Sprintf(format, arguments...)
	if origin, ok := at.node.Origin(); ok {
		message += ", from " + origin.String()
	}
	return source.Diagnostic{Position: at.node.Position(), Message: message + at.scope.trail()}
}

// String is the place, as messages name it.
func (p place) String() string {
	if !p.node.Valid() {
		return "in the policy that the sources are compiled onto"
	}
	return "at " + p.node.Position().String() + p.scope.trail()
}

// trail tells how statements came into a scope.
func (s *scope) trail() string {
	var text strings.Builder
	optional := false
	for ; s != nil; s = s.parent {
		switch s.kind {
		case scopeCall:
			fmt.Fprintf(&text, ", in macro %s called at %s", s.macro.name, s.at.Position())
		case scopeInherit:
			fmt.Fprintf(&text, ", in block %s inherited at %s", s.block.declared.node.Word(), s.at.Position())
		case scopeOptional:
			if optional {
				continue // the innermost says where it is
			}
			optional = true
			fmt.Fprintf(&text, ", in optional %s", s.at.Child(1).Word())
		}
	}
	return text.String()
}

// reserved are the words that expressions over a kind of name give a meaning of their own.
func reserved(kind symbolKind) []string {
	switch kind {
	case kindBoolean, kindTunable:
		return []string{"and", "or", "not", "xor", "eq", "neq"}
	case kindPermission, kindUser, kindRole:
		return []string{"and", "or", "not", "xor", "all"}
	case kindType:
		return []string{"and", "or", "not", "xor", "all", "self", "notself", "other"}
	case kindCategory, kindExtended:
		return []string{"and", "or", "not", "xor", "all", "range"}
	}
	return nil
}

// checkName finds what is wrong with a name that a statement declares: names are of letters, digits, _ and -, and begin with a letter.
func (r *resolver) checkName(s statement, kind symbolKind, name syntax.Node) error {
	word := name.Word()
	if len(word) >= maximumName {
		return r.fail(s, name, "the name is longer than %d bytes", maximumName-1)
	}
	for i := 0; i < len(word); i++ {
		c := word[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		case i == 0:
			return r.fail(s, name, "the name %q does not begin with a letter", word)
		case c >= '0' && c <= '9', c == '_', c == '-', c == '.' && r.options.QualifiedNames:
		default:
			return r.fail(s, name, "the name %q has %q in it", word, c)
		}
	}
	if word == "" {
		return r.fail(s, name, "a name is missing")
	}
	if slices.Contains(reserved(kind), word) {
		return r.fail(s, name, "%s is a reserved word and cannot be the name of a %s", word, kind)
	}
	return nil
}

// declarer is the resolver while it makes the tree and declares what stands in it.
type declarer struct{ *resolver }

// declare gives a symbol its name in the scope of the statement.
func (d *declarer) declare(s statement, kind symbolKind, name syntax.Node, symbol symbol) error {
	if err := d.checkName(s, kind, name); err != nil {
		return err
	}
	in := s.scope.home
	if in.kind == scopeMacro && (in == s.scope || d.copying) {
		if err := d.checkParameters(s, in.macro, kind, name); err != nil {
			return err
		}
	}
	at := keyOf(kind, name.ID())
	if before, ok := in.names[at]; ok {
		if !d.mayRepeat(symbol, before) {
			return d.fail(s, name, "%s %s is declared already, %s", kind, name.Word(), before.symbol().declared)
		}
		symbol = before
		d.repeated[symbol]++
	} else {
		base := symbol.symbol()
		if base.name = name.Word(); in.path != "" {
			base.name = in.path + base.name
		}
		if len(base.name) >= maximumName {
			return d.fail(s, name, "the name with its blocks is longer than %d bytes", maximumName-1)
		}
		base.declared = place{name, s.scope}
		in.names[at] = symbol
	}
	s.scope.declared = append(s.scope.declared, declaration{len(s.scope.children) - 1, at, symbol})
	return nil
}

// checkParameters keeps declarations in a macro from hiding its parameters.
func (d *declarer) checkParameters(s statement, in *macro, kind symbolKind, name syntax.Node) error {
	for _, parameter := range in.parameters {
		if parameter.word == name.ID() && parameter.what == s.node.Keyword() {
			return d.fail(s, name, "%s %s hides the macro's parameter of that name", kind, name.Word())
		}
	}
	return nil
}

// mayRepeat tells whether a name may be declared again: optionals, and with MultipleDeclarations types, type attributes and roles.
func (d *declarer) mayRepeat(again, before symbol) bool {
	switch again := again.(type) {
	case *optional:
		_, ok := before.(*optional)
		return ok
	case *typ:
		before, ok := before.(*typ)
		return ok && before.attribute == again.attribute && d.options.MultipleDeclarations
	case *role:
		before, ok := before.(*role)
		return ok && !before.attribute && !again.attribute && d.options.MultipleDeclarations
	}
	return false
}

// lookup finds what a name stands for at a place, behind aliases. A name that is not declared is an *unresolvedError. Parameters of a macro stand for what its
// caller passed; what was passed without a name is a *definition.
func (r *resolver) lookup(from *scope, kind symbolKind, name syntax.Node) (symbol, error) {
	found, err := r.lookupAlias(from, kind, name)
	if alias, ok := found.(*alias); ok && alias.of != nil {
		return alias.of, nil
	}
	return found, err
}

// lookupAlias is lookup that stops at an alias.
func (r *resolver) lookupAlias(from *scope, kind symbolKind, name syntax.Node) (symbol, error) {
	word := name.Word()
	if name.IsList() || !name.Valid() {
		return nil, diagnosticAt(place{name, from}, "expected the name of a %s", kind)
	}
	var found symbol
	if r.options.QualifiedNames || strings.IndexByte(word, '.') < 0 {
		found = r.find(from, keyOf(kind, name.ID()))
	} else {
		var err error
		if found, err = r.findPath(from, kind, name); err != nil {
			return nil, err
		}
		if found == nil {
			found = r.root.names[keyOf(kind, name.ID())] // a policy compiled onto has names with dots, but no blocks
		}
	}
	if found == nil {
		return nil, &unresolvedError{kind: kind, at: place{name, from}}
	}
	return found, nil
}

// find looks a name without dots up: in the scopes around, then at the root.
func (r *resolver) find(from *scope, name key) symbol {
	if found := r.findAround(from, name); found != nil {
		return found
	}
	return r.root.names[name]
}

// remembered are names that were looked up from scopes deep in others.
type remembered struct {
	from *scope
	name key
}

// deep is how many scopes are around one before it pays to remember what was looked up from it: heirs and macros look in two places, and those in two again.
const deep = 1 << 5

// findAround looks a name up in the scopes around but the root.
func (r *resolver) findAround(s *scope, name key) symbol {
	for ; s != nil && s.kind != scopeRoot; s = s.parent {
		if s.depth >= deep && s.kind <= scopeCall {
			at := remembered{s, name}
			found, known := r.remembered[at]
			if !known {
				if found = r.findIn(s, name); found == nil && s.kind != scopeInherit {
					found = r.findAround(s.parent, name)
				}
				r.remembered[at] = found
			}
			return found
		}
		if found := r.findIn(s, name); found != nil || s.kind == scopeInherit {
			return found
		}
	}
	return nil
}

// findIn looks a name up in one scope: what is declared there, what was passed to a macro, and what the macro or the block sees where it stands. For what is
// inherited that is all: what is around it comes first.
func (r *resolver) findIn(s *scope, name key) symbol {
	switch s.kind {
	case scopeBlock:
		if !s.block.abstract {
			return s.names[name]
		}
	case scopeMacro:
		return s.names[name]
	case scopeInherit:
		if found := r.findAround(s.parent, name); found != nil || s.block == nil {
			return found
		}
		return r.findAround(s.block.scope.parent, name)
	case scopeCall:
		if s.macro == nil || s.macro.scope.names[name] != nil {
			return nil // a name of the macro's own was declared again on the side of the call
		}
		if found := s.parameter(name); found != nil {
			return found
		}
		return r.findAround(s.macro.scope.parent, name)
	}
	return nil
}

// parameter is what was passed for a parameter of the macro.
func (s *scope) parameter(name key) symbol {
	for i, parameter := range s.macro.parameters {
		if keyOf(parameter.kind, parameter.word) == name && i < len(s.passed) {
			return s.passed[i].symbol
		}
	}
	return nil
}

// argument is what the caller passed where node is a parameter of the call around, with the scope it is to be looked up in; else the node and the scope
// themselves. It is for names of objects and paths, which need no declaration.
func (r *resolver) argument(from *scope, kind symbolKind, node syntax.Node) (syntax.Node, *scope) {
	if node.IsList() {
		return node, from
	}
	if s := from.call; s != nil {
		for i, parameter := range s.macro.parameters {
			if parameter.kind == kind && parameter.word == node.ID() && i < len(s.passed) {
				return r.argument(s.parent, kind, s.passed[i].node)
			}
		}
	}
	return node, from
}

// findPath looks a name with dots up: the blocks of all but its last word from the root where it begins with a dot, else from where the first block is found;
// and the last word in the last block.
func (r *resolver) findPath(from *scope, kind symbolKind, name syntax.Node) (symbol, error) {
	path := strings.FieldsFunc(name.Word(), func(c rune) bool { return c == '.' })
	if len(path) == 0 {
		return nil, diagnosticAt(place{name, from}, "the name %s is of dots alone", name.Word())
	}
	in := r.root
	if name.Word()[0] != '.' {
		first, ok := r.words.Find(path[0])
		if !ok {
			return nil, nil
		}
		found := r.find(from, keyOf(kindBlock, first))
		if found == nil {
			return nil, nil
		}
		in = found.symbol().declared.scope.home
	}
	for ; len(path) > 1; path = path[1:] {
		word, ok := r.words.Find(path[0])
		if !ok {
			return nil, nil
		}
		switch found := in.names[keyOf(kindBlock, word)].(type) {
		case nil:
			return nil, nil
		case *block:
			in = found.scope
		case *macro:
			if !r.inserting {
				return nil, diagnosticAt(place{name, from}, "%s in %s is a macro, whose names cannot be used from outside", path[0], name.Word())
			}
			in = found.scope
		case *optional:
			if !r.inserting {
				return nil, diagnosticAt(place{name, from}, "%s in %s is an optional, whose names are those of the block around", path[0], name.Word())
			}
		default:
			return nil, diagnosticAt(place{name, from}, "%s in %s is not a block", path[0], name.Word())
		}
	}
	word, ok := r.words.Find(path[0])
	if !ok {
		return nil, nil
	}
	found := in.names[keyOf(kind, word)]
	if found != nil && in.kind == scopeBlock && in.block.abstract && kind != kindBlock && kind != kindAddress {
		return nil, diagnosticAt(place{name, from}, "%s %s is in an abstract block, and is only there where that is inherited", kind, name.Word())
	}
	return found, nil
}

// SPDX-License-Identifier: Apache-2.0

package cil

import "github.com/bulkhead-project/bulkhead/selinux/cil/syntax"

// scope is a part of the tree that holds statements: the root, a block, a macro, an optional, the contents of a block where it is inherited, the body of a macro
// where it is called, a branch of a condition.
type scope struct {
	kind   scopeKind
	within placement // what does not allow some statements here
	lost   bool      // an optional that is to be left out after the pass
	gone   bool      // was in an optional that is left out

	parent   *scope
	home     *scope      // where its statements declare names: itself, or the next around that has names
	call     *scope      // the call that it is or is in; nil: none
	depth    int         // scopes around
	at       syntax.Node // the statement that makes it
	children []child
	declared []declaration
	names    map[key]symbol // what is declared here; nil for scopes that declare in the next one around
	path     string         // before the names that are declared here: "outer.inner."
	block    *block         // of a block, and of an inheritance that has found its block
	macro    *macro         // of a macro, and of a call that has found its macro
	passed   []argument     // of a call: in the order of the macro's parameters
}

type scopeKind uint8

const (
	scopeRoot scopeKind = iota
	scopeBlock
	scopeMacro
	scopeIn
	scopeInherit
	scopeCall
	scopeOptional
	scopeTunableIf
	scopeCondition // booleanif
	scopeBranch    // true or false of one of the two
	scopeTunable   // tunable and blockabstract hold nothing
	scopeAbstract
)

// inner makes a scope in a scope.
func (s *scope) inner(kind scopeKind, at syntax.Node) *scope {
	inner := &scope{kind: kind, parent: s, at: at, within: s.within, home: s.home, call: s.call, depth: s.depth + 1}
	if kind == scopeCall {
		inner.call = inner
	}
	return inner
}

// open lets names be declared in the scope itself.
func (s *scope) open(path string) { s.names, s.path, s.home = map[key]symbol{}, path, s }

// child is one statement of a scope.
type child struct {
	node    syntax.Node
	keyword *keyword
	inner   *scope // of a statement that holds others
	item    item   // what it was resolved to
}

// declaration is a symbol that a child declares.
type declaration struct {
	child  int
	at     key
	symbol symbol
}

// statement is one statement where it stands in the tree, after blocks are inherited and macros called.
type statement struct {
	node  syntax.Node
	scope *scope
}

// key is a name among those of its kind: the kind, and the number of the word.
type key uint64

func keyOf(kind symbolKind, word uint32) key { return key(kind)<<32 | key(word) }

// symbolKind is what a name is looked up as. Names of different kinds are apart from each other.
type symbolKind uint8

const (
	kindBlock symbolKind = iota // also macros and optionals
	kindUser                    // also user attributes
	kindRole                    // also role attributes
	kindType                    // also attributes and aliases
	kindCommon
	kindClass // also class maps
	kindClassPermission
	kindBoolean
	kindTunable
	kindSensitivity // also aliases
	kindCategory    // also aliases and category sets
	kindSID
	kindContext
	kindLevel
	kindLevelRange
	kindPolicyCap
	kindAddress
	kindName       // strings: objects of type transitions and paths of file contexts
	kindExtended   // permissionx
	kindPermission // of one class; only for names to be checked, since they are not looked up in scopes
)

var kindNames = [...]string{"block or macro", "user", "role", "type", "common", "class", "classpermission", "boolean", "tunable", "sensitivity", "category", "sid", "context",
	"level", "levelrange", "policycap", "ipaddr", "name", "permissionx", "permission"}

func (k symbolKind) String() string { return kindNames[k] }

// definition is a named level, levelrange, context, category set, classpermission, ipaddr or permissionx, or one that was passed to a macro without a name.
// Its contents are resolved where it is used, in the scope it was declared in: declared.scope.
type definition struct {
	named
	contents syntax.Node
}

// block is the name of a block.
type block struct {
	named
	scope    *scope
	abstract bool     // only there to be inherited
	inherits []*scope // where it is
}

// optional is the name of optionals: there may be several of one name.
type optional struct {
	named
	scope *scope
	again bool // there is another
}

// macro is the name of a macro.
type macro struct {
	named
	scope      *scope
	parameters []parameter
}

type parameter struct {
	kind symbolKind
	word uint32
	what string // the keyword of its kind, which for classes and category sets is narrower than the kind
}

// tunable is a boolean of the sources alone.
type tunable struct {
	named
	state bool
}

// argument is what was passed to a macro: a node in the caller's scope, and the symbol that it is or names.
type argument struct {
	node   syntax.Node
	symbol symbol
}

// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/bulkhead-project/bulkhead/selinux/cil/syntax"
	"github.com/bulkhead-project/bulkhead/source"
)

// operand is one part of a statement behind its keyword: what it is called in messages, and what it must look like.
type operand struct {
	name     string
	shape    shape
	optional bool
}

// shape tells whether a node looks as it must, whatever the names in it mean. Statements are held against it once, where they are written: also those of macros
// that are never called and of blocks that are never inherited.
type shape func(syntax.Node) error

// fault is an error at a node.
func fault(node syntax.Node, format string, arguments ...any) error {
	return source.Diagnostic{Position: node.Position(), Message: fmt.Sprintf(format, arguments...)}
}

// expected is the error that a node is something else than what is expected.
func expected(node syntax.Node, what string) error {
	return source.Diagnostic{Position: node.Position(), Message: describe(node), Expected: what}
}

func describe(node syntax.Node) string {
	switch {
	case !node.IsList():
		return strconv.Quote(node.Word())
	case node.Len() == 0:
		return "an empty list"
	case node.Keyword() != "":
		return "the list (" + node.Keyword() + " ...)"
	}
	return "a list"
}

// usage is how a statement is written.
func usage(keyword string, operands []operand) string {
	text := "(" + keyword
	for _, operand := range operands {
		if operand.optional {
			text += " [" + operand.name + "]"
		} else {
			text += " " + operand.name
		}
	}
	return text + ")"
}

// takes is the check of a statement that has these operands.
func takes(operands ...operand) func(*declarer, statement) error {
	required := 0
	for _, operand := range operands {
		if !operand.optional {
			required++
		}
	}
	return func(d *declarer, s statement) error {
		keyword, given := s.node.Keyword(), s.node.Len()-1
		if given < required || given > len(operands) {
			return d.fail(s, s.node, "%s with %d operands, expected %s", keyword, given, usage(keyword, operands))
		}
		spare, rest := given-required, s.node.First().Next()
		for _, operand := range operands {
			if operand.optional {
				if spare == 0 {
					continue
				}
				spare--
			}
			if err := operand.shape(rest); err != nil {
				return shapeError(s.scope, operand.name+" of "+keyword+": ", err)
			}
			rest = rest.Next()
		}
		return nil
	}
}

// shapeError is the error of a shape, with what it is about and how the statement came to its scope.
func shapeError(scope *scope, about string, err error) error {
	wrong, ok := err.(source.Diagnostic)
	if !ok {
		return err
	}
	if wrong.Expected != "" {
		wrong.Message, wrong.Expected = wrong.Message+", expected "+wrong.Expected, ""
	}
	wrong.Message = about + wrong.Message + scope.trail()
	return wrong
}

func word(node syntax.Node) error {
	if node.IsList() {
		return expected(node, "a word")
	}
	return nil
}

// words is a list of words, of one at least.
func words(node syntax.Node) error {
	if !node.IsList() || node.Len() == 0 {
		return expected(node, "a list of words")
	}
	for child := node.First(); child.Valid(); child = child.Next() {
		if err := word(child); err != nil {
			return err
		}
	}
	return nil
}

func wordOrWords(node syntax.Node) error {
	if node.IsList() {
		return words(node)
	}
	return nil
}

// wordsOrNone may be empty.
func wordsOrNone(node syntax.Node) error {
	if node.IsList() && node.Len() == 0 {
		return nil
	}
	return words(node)
}

// oneOf is one of a few words.
func oneOf(choices ...string) shape {
	return func(node syntax.Node) error {
		if node.IsList() || !slices.Contains(choices, node.Word()) {
			return expected(node, strings.Join(choices, ", "))
		}
		return nil
	}
}

var truth = oneOf("true", "false")

// listOf is a list of exactly these; the last may be missing if optional is set.
func listOf(what string, optional bool, parts ...shape) shape {
	return func(node syntax.Node) error {
		if length := node.Len(); !node.IsList() || length > len(parts) || length < len(parts) && !(optional && length == len(parts)-1) {
			return expected(node, what)
		}
		child := node.First()
		for _, part := range parts {
			if !child.Valid() {
				break
			}
			if err := part(child); err != nil {
				return err
			}
			child = child.Next()
		}
		return nil
	}
}

// orWord is a name, or what stands for itself.
func orWord(list shape) shape {
	return func(node syntax.Node) error {
		if node.IsList() {
			return list(node)
		}
		return nil
	}
}

// The parts of statements that may also have a name.
var (
	levelList       = listOf("(sensitivity [categories])", true, word, setOf(setOfCategories))
	levelRangeList  = listOf("(low high)", false, orWord(levelList), orWord(levelList))
	contextList     = listOf("(user role type levelrange)", false, word, word, word, orWord(levelRangeList))
	permissionsList = listOf("(class (permission ...))", false, word, list(setOf(setOfPermissions)))
	extendedList    = listOf("(ioctl|nlmsg class (number ...))", false, oneOf("ioctl", "nlmsg"), word, list(setOf(setOfNumbers)))
)

// list is a shape that may not be a word.
func list(of shape) shape {
	return func(node syntax.Node) error {
		if !node.IsList() {
			return expected(node, "a list")
		}
		return of(node)
	}
}

// name is an operand that is a word.
func name(name string) operand { return operand{name: name, shape: word} }

// The operands that may be a name, or what it would be a name of.
var (
	levelOperand       = operand{name: "level", shape: orWord(levelList)}
	levelRangeOperand  = operand{name: "levelrange", shape: orWord(levelRangeList)}
	contextOperand     = operand{name: "context", shape: orWord(contextList)}
	permissionsOperand = operand{name: "permissions", shape: orWord(permissionsList)}
	extendedOperand    = operand{name: "permissionx", shape: orWord(extendedList)}
	typesOperand       = operand{name: "types", shape: setOf(setOfTypes)}
	categoriesOperand  = operand{name: "categories", shape: setOf(setOfCategories)}
)

// setKind is what an expression is over, which decides which operators may stand in it.
type setKind uint8

const (
	setOfTypes setKind = iota // also roles and users
	setOfPermissions
	setOfCategories
	setOfNumbers
	setOfBooleans
)

// operators of expressions, by their words; the number of operands, -1 for any.
var operators = map[string]struct {
	set      setOperator
	boolean  booleanOperator
	operands int
}{
	"and": {setAnd, booleanAnd, 2}, "or": {setOr, booleanOr, 2}, "xor": {setXor, booleanXor, 2}, "not": {setNot, booleanNot, 1},
	"all": {set: setAll, operands: 0}, "range": {set: setRange, operands: 2}, "eq": {boolean: booleanEqual, operands: 2}, "neq": {boolean: booleanNotEqual, operands: 2},
}

// allows tells whether an operator may stand in an expression.
func (k setKind) allows(operator string) bool {
	switch operator {
	case "eq", "neq":
		return k == setOfBooleans
	case "all":
		return k != setOfBooleans
	case "range":
		return k == setOfCategories || k == setOfNumbers
	}
	return true
}

// setOf is an expression: a word, a list of expressions, or an operator with its operands.
func setOf(kind setKind) shape {
	return func(node syntax.Node) error { return kind.expression(node) }
}

func (k setKind) expression(node syntax.Node) error {
	if !node.IsList() {
		if _, ok := operators[node.Word()]; ok {
			return expected(node, "a name: operators stand first in a list")
		}
		if k == setOfNumbers {
			return numberOf(0, 16)(node)
		}
		return nil
	}
	first := node.First()
	if !first.Valid() {
		return expected(node, "an expression")
	}
	operator, ok := operators[first.Word()]
	if !ok || first.IsList() {
		return k.operands(first)
	}
	if !k.allows(first.Word()) {
		return fault(first, "the operator %s is not one of this expression", first.Word())
	}
	if given := node.Len() - 1; given != operator.operands {
		return fault(node, "%s with %d operands, of %d", first.Word(), given, operator.operands)
	}
	if first.Word() == "range" && (first.Next().IsList() || first.Next().Next().IsList()) {
		return fault(node, "a range is between two words")
	}
	return k.operands(first.Next())
}

func (k setKind) operands(rest syntax.Node) error {
	for ; rest.Valid(); rest = rest.Next() {
		if err := k.expression(rest); err != nil {
			return err
		}
	}
	return nil
}

// number is a number of up to bits bits: decimal where base is 10, also hexadecimal (0x) and octal (0) where it is 0.
func number(node syntax.Node, base, bits int) (uint64, error) {
	digits := node.Word()
	if base == 0 {
		base = 10
		if hex := strings.TrimPrefix(strings.TrimPrefix(digits, "0x"), "0X"); hex != digits {
			base, digits = 16, hex
		} else if len(digits) > 1 && digits[0] == '0' {
			base = 8
		}
	}
	value, err := strconv.ParseUint(digits, base, 64)
	if node.IsList() || err != nil || value>>bits != 0 {
		return 0, expected(node, fmt.Sprintf("a number of at most %d bits", bits))
	}
	return value, nil
}

// numberOf is a number of up to bits bits.
func numberOf(base, bits int) shape {
	return func(node syntax.Node) error {
		_, err := number(node, base, bits)
		return err
	}
}

// numbers is a number or a range of two.
func numbers(base, bits int) shape {
	one := numberOf(base, bits)
	two := listOf("(low high)", false, one, one)
	return func(node syntax.Node) error {
		if node.IsList() {
			return two(node)
		}
		return one(node)
	}
}

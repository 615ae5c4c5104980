// SPDX-License-Identifier: Apache-2.0

package syntax

import (
	"errors"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/source"
)

func parse(t *testing.T, text string) *Tree {
	t.Helper()
	tree, err := Parse("a.cil", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// layout is what Format writes.
func layout(t *testing.T, tree *Tree) string {
	t.Helper()
	var text strings.Builder
	if err := Format(&text, tree.Root()); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func TestParse(t *testing.T) {
	for _, test := range []struct{ finding, text, want string }{
		{"NothingIsATree", "", ""},
		{"StatementsStandOnTheirOwnLines", "(a b)(c)", "(a b)\n(c)\n"},
		{"ListsNest", "(a (b (c)()) d)", "(a (b (c) ()) d)\n"},
		{"CommentsReachToTheEndOfTheLine", "; (x\n(a ;b)\n c);;*x\n", "(a c)\n"},
		{"ACommentMayEndTheText", "(a);x", "(a)\n"},
		{"ACarriageReturnEndsAComment", ";x\r(a)", "(a)\n"},
		{"QuotesKeepBlanksAndParentheses", `(a "b (c;" "")`, "(a \"b (c;\" \"\")\n"},
		{"QuotesNeedNoBlankAround", `(a"b"c)`, "(a \"b\" c)\n"},
		{"WordsAreOfLettersDigitsAndMarks", "(a.b[c]@=/*-_$%+!|&^:~`#{}'<>?,9)", "(a.b[c]@=/*-_$%+!|&^:~`#{}'<>?,9)\n"},
		{"WhatHoldsStatementsIsIndented", "(block b (optional o (allow a b (c (d)))))",
			"(block b\n    (optional o\n        (allow a b (c (d)))\n    )\n)\n"},
		{"AMacrosParametersStayOnItsLine", "(macro m ((type t)) (type u))", "(macro m ((type t))\n    (type u)\n)\n"},
		{"BranchesAreIndented", "(booleanif (or a b) (true (x)))", "(booleanif (or a b)\n    (true\n        (x)\n    )\n)\n"},
		{"WhatHoldsNothingStaysOnItsLine", "(block b)(macro m ())(in after b)", "(block b)\n(macro m ())\n(in after b)\n"},
	} {
		t.Run(test.finding, func(t *testing.T) {
			got := layout(t, parse(t, test.text))
			if got != test.want {
				t.Errorf("%q is\n%swant\n%s", test.text, got, test.want)
			}
			if again := layout(t, parse(t, got)); again != got {
				t.Errorf("formatted again:\n%swas\n%s", again, got)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	deep := strings.Repeat("(", maximumDepth+1)
	for _, test := range []struct{ finding, text, want string }{
		{"WordsStandInLists", "(a)\n b", `a.cil:2:2: "b" stands outside of parentheses`},
		{"QuotedWordsToo", `"b"`, `a.cil:1:1: "b" stands outside of parentheses`},
		{"ListsEnd", "(a\n (b)", "a.cil:1:1: opening parenthesis without its closing one"},
		{"ListsBegin", "(a))", "a.cil:1:4: closing parenthesis without its opening one"},
		{"QuotesEnd", "(a\n\"b", "a.cil:2:1: quote without its end on the line"},
		{"QuotesEndOnTheirLine", "(a \"b\n\")", "a.cil:1:4: quote without its end on the line"},
		{"NoNULInQuotes", "(a \"b\x00\")", "a.cil:1:4: quote without its end on the line"},
		{"NoBackslash", `(a b\c)`, `a.cil:1:5: unexpected character '\\'`},
		{"NoNUL", "(a \x00)", `a.cil:1:4: unexpected character '\x00'`},
		{"NoLetterBeyondASCII", "(a é)", `a.cil:1:4: unexpected character 'Ã'`},
		{"DepthIsBounded", deep, "a.cil:1:4097: more than 4096 lists in each other"},
		{"MarksEnd", "(a)\n;;* lms 1 x.te\n(b)", "a.cil:2:1: line mark without its end (;;* lme)"},
		{"MarksBegin", ";;* lme", "a.cil:1:1: end of a line mark without its beginning in the list"},
		{"MarksEndInTheirList", "(block b\n;;* lms 1 x.te\n)", "a.cil:3:1: line mark without its end (;;* lme) in the list"},
		{"MarksBeginInTheirList", ";;* lms 1 x.te\n(block b\n;;* lme\n)", "a.cil:3:1: end of a line mark without its beginning in the list"},
		{"MarksAreOfThreeKinds", ";;* lmq 1 x.te", "a.cil:1:1: bad line mark, expected ;;* lms LINE FILE, ;;* lmx LINE FILE or ;;* lme"},
		{"MarksHaveALineNumber", ";;* lms x x.te", "a.cil:1:1: bad line mark, expected ;;* lms LINE FILE, ;;* lmx LINE FILE or ;;* lme"},
		{"MarksHaveAFile", ";;* lms 1", "a.cil:1:1: bad line mark, expected ;;* lms LINE FILE, ;;* lmx LINE FILE or ;;* lme"},
		{"MarksHaveOneFile", ";;* lms 1 x y", "a.cil:1:1: bad line mark, expected ;;* lms LINE FILE, ;;* lmx LINE FILE or ;;* lme"},
	} {
		t.Run(test.finding, func(t *testing.T) {
			_, err := Parse("a.cil", []byte(test.text))
			var found source.Diagnostics
			if !errors.As(err, &found) || err.Error() != test.want {
				t.Errorf("%.40q: %v, want %s", test.text, err, test.want)
			}
		})
	}
}

func TestNodes(t *testing.T) {
	tree := parse(t, "(allow a \"b c\" (file (read)))\n (x)")
	allow := tree.Root().First()
	switch {
	case allow.Keyword() != "allow" || allow.Len() != 4 || !allow.IsList() || allow.IsWord() || allow.Word() != "" || allow.ID() != 0:
		t.Errorf("the list %s is not as it should be", allow)
	case allow.Child(1).Word() != "a" || allow.Child(1).IsList() || allow.Child(1).Quoted() || allow.Child(1).First().Valid():
		t.Error("the word a is not as it should be")
	case allow.Child(2).Word() != "b c" || !allow.Child(2).Quoted():
		t.Error("the quoted word is not as it should be")
	case allow.Child(4).Valid() || allow.Child(3).Next().Valid() || allow.Next().Next().Valid():
		t.Error("there is something behind the last")
	case allow.Size() != 8 || allow.Child(1).Size() != 1:
		t.Errorf("sizes %d, %d", allow.Size(), allow.Child(1).Size())
	case allow.Next().Position() != source.Position{File: "a.cil", Line: 2, Column: 2}:
		t.Errorf("the second statement is at %s", allow.Next().Position())
	}
	var none Node
	if none.Valid() || none.First().Valid() || none.Next().Valid() || none.Child(1).Valid() || none.Len() != 0 || none.Keyword() != "" || none.Position() != (source.Position{}) {
		t.Error("no node is something")
	}
}

func TestWordsAreNumberedAcrossTrees(t *testing.T) {
	words := new(Words)
	first, err := words.Parse("a", []byte("(type a)"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := words.Parse("b", []byte(`("a" type b)`))
	if err != nil {
		t.Fatal(err)
	}
	a, again := first.Root().First().Child(1), second.Root().First().First()
	if a.ID() != again.ID() || a.ID() == 0 || words.Word(a.ID()) != "a" || words.Len() != 4 {
		t.Errorf("a is %d and %d of %d", a.ID(), again.ID(), words.Len())
	}
	if number, ok := words.Find("b"); !ok || number != second.Root().First().Child(2).ID() || words.ID("b") != number {
		t.Error("b is not found")
	}
	if _, ok := words.Find("c"); ok {
		t.Error("c is found")
	}
}

// Lines of the high level source follow each other behind lms, and are one behind lmx.
func TestOrigin(t *testing.T) {
	tree := parse(t, `(a)
;;* lms 10 x.te
(b)
(c)
;;* lmx 20 "y z.te"
(d)
(e)
;;* lme

(f)
;;* lme
(g)
`)
	want := []string{"", "x.te:10", "x.te:11", "y z.te:20", "y z.te:20", "x.te:15", ""}
	for i, node := 0, tree.Root().First(); node.Valid(); i, node = i+1, node.Next() {
		place, ok := node.Origin()
		if ok != (want[i] != "") || place.String() != want[i] {
			t.Errorf("%s is from %q, want %q", node, place, want[i])
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "(a (b) \"c\")", "(block b (optional o (allow a b (c (d)))))", ";;* lms 1 x\n(a)\n;;* lme\n", "; x\r(a)", "(((", "(in after b (x))"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		tree, err := Parse("a.cil", text)
		if err != nil {
			var found source.Diagnostics
			if !errors.As(err, &found) || len(found) != 1 || found[0].Position.Line == 0 {
				t.Fatalf("error without a place: %v", err)
			}
			return
		}
		check(t, tree.Root())
		once := layout(t, tree)
		again, err := Parse("b.cil", []byte(once))
		if err != nil {
			t.Fatalf("what was formatted is no text: %v\n%s", err, once)
		}
		if twice := layout(t, again); twice != once {
			t.Fatalf("formatted\n%sand again\n%s", once, twice)
		}
	})
}

// check holds a list's children against its size.
func check(t *testing.T, n Node) {
	size := 1
	for child := n.First(); child.Valid(); child = child.Next() {
		if child.Position().Line == 0 {
			t.Fatal("a node without a place")
		}
		child.Origin()
		check(t, child)
		size += child.Size()
	}
	if size != n.Size() {
		t.Fatalf("%s has %d nodes, it says %d", n, size, n.Size())
	}
}

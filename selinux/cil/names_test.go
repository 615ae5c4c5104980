// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/selinux/cil/syntax"
	"github.com/bulkhead-project/bulkhead/source"
)

// front runs the first half on a text, without the checks on the policy as a whole. The model is nil after an error.
func front(text string, options Options) (*model, []Disabled, error) {
	words := &syntax.Words{}
	tree, err := words.Parse("a.cil", []byte(text))
	if err != nil {
		return nil, nil, err
	}
	r := newResolver(words, options)
	if err := r.expand([]*syntax.Tree{tree}); err != nil {
		return nil, nil, err
	}
	m := &model{}
	if err := r.resolveAll(); err != nil {
		return nil, nil, err
	}
	return m, r.disabled, r.collect(r.root, m)
}

// symbols tells the types and attributes of a model and its access rules, as they are in the order of the tree.
func symbols(m *model) string {
	var text strings.Builder
	for _, t := range m.types {
		fmt.Fprintf(&text, "%s ", t.name)
	}
	for _, rule := range m.rules {
		fmt.Fprintf(&text, "| %s %s ", rule.source.name, rule.target.name)
	}
	for _, condition := range m.conditions {
		text.WriteString("| if ")
		for _, rule := range condition.True.rules {
			fmt.Fprintf(&text, "%s %s ", rule.source.name, rule.target.name)
		}
		text.WriteString("else ")
		for _, rule := range condition.False.rules {
			fmt.Fprintf(&text, "%s %s ", rule.source.name, rule.target.name)
		}
	}
	return strings.TrimSpace(text.String())
}

// minimal declares a class; the rules of the tests have the permission p of it.
const minimal = "(class c (p)) (classorder (c))\n"

// names are texts, with X for the permission, and what symbols tells of them.
var names = []struct{ finding, text, want string }{
	{"OfTheRoot", "(type t) (type u) (allow t u X) (allow .t self X)", "t u | t u | t self"},
	{"OfBlocks", "(block a (type t) (block b (type u) (allow t u X) (allow .a.t .a.b.u X)) (allow b.u t X)) (allow a.t a.b.u X)",
		"a.t a.b.u | a.t a.b.u | a.t a.b.u | a.b.u a.t | a.t a.b.u"},
	{"TheInnermostHidesThoseAround", "(type t) (block a (type t) (block b (type t) (allow t .t X)) (allow t .t X)) (allow t t X)",
		"t a.t a.b.t | a.b.t t | a.t t | t t"},
	{"ABlockHidesABlock", "(block a (type t)) (block b (block a (type u)) (allow a.u .a.t X))", "a.t b.a.u | b.a.u a.t"},
	{"DotsThatRepeatCountOnce", "(block a (block b (type t))) (allow a..b.t ..a.b.t. X)", "a.b.t | a.b.t a.b.t"},
	{"MayBeUsedBeforeTheyAreDeclared", "(allow a.t u X) (type u) (block a (type t))", "u a.t | a.t u"},
	{"OfDifferentKindsAreApart", "(type x) (block x (type x) (allow x .x X)) (role x) (macro y () (type y)) (call y)", "x x.x y | x.x x"},

	{"AMacroTakesWhatItIsCalledWith", "(type t) (macro m ((type x)) (allow x x X)) (call m (t))", "t | t t"},
	{"AParameterHidesWhatIsAround", "(block a (type t) (macro m ((type t)) (allow t .a.t X)) (block b (type t) (call m (t))))", "a.t a.b.t | a.b.t a.t"},
	{"AMacroDeclaresWhereItIsCalled", "(macro m () (type t) (allow t t X)) (block a (call m)) (block b (call m)) (call m)",
		"a.t b.t t | a.t a.t | b.t b.t | t t"},
	{"AMacroSeesWhereItStands", "(block a (type t) (macro m () (allow t t X))) (block b (type t) (call a.m))", "a.t b.t | a.t a.t"},
	{"AMacroSeesThenWhereItIsCalled", "(block a (macro m () (allow t t X))) (block b (type t) (call a.m))", "b.t | b.t b.t"},
	{"AMacroSeesTheRootLast", "(type t) (block a (macro m () (allow t t X))) (block b (type t) (call a.m))", "t b.t | b.t b.t"},
	{"MacrosCallMacros", "(type t) (macro n ((type y)) (allow y t X)) (macro m ((type x)) (call n (x)) (type u)) (block a (type v) (call m (v)))",
		"t a.v a.u | a.v t"},
	{"AnArgumentIsNotWhatTheMacroDeclares", "(type t) (macro m ((type x)) (type t) (allow x t X)) (block a (call m (t)))", "t a.t | t a.t"},
	{"ArgumentsAreTheCallers", "(type t) (block a (macro m ((type x)) (type t) (allow t x X))) (block b (type u) (call a.m (u)) (allow t u X))",
		"t b.u b.t | b.t b.u | b.t b.u"},

	{"InheritedTypesAreTheHeirs", "(block a (type t) (allow t t X)) (block b (blockinherit a) (allow t .a.t X))", "a.t b.t | a.t a.t | b.t b.t | b.t a.t"},
	{"AnAbstractBlockIsNotThere", "(block a (blockabstract a) (type t) (block n (type u)) (allow t n.u X)) (block b (blockinherit a))", "b.t b.n.u | b.t b.n.u"},
	{"AnHeirsNamesComeFirst", "(block o (type t) (block a (allow t t X))) (block h (type t) (blockinherit o.a))", "o.t h.t | o.t o.t | h.t h.t"},
	{"AnHeirSeesWhatIsAroundTheBlock", "(block o (type t) (block a (allow t t X))) (block h (blockinherit o.a))", "o.t | o.t o.t | o.t o.t"},
	{"HeirsHaveHeirs", "(block a (type t)) (block b (blockinherit a) (type u)) (block c (blockinherit b) (allow t u X))", "a.t b.t b.u c.t c.u | c.t c.u"},
	{"HeirsBeforeTheirBlock", "(block c (blockinherit b) (allow t u X)) (block b (blockinherit a) (type u)) (block a (type t))", "c.t c.u b.t b.u a.t | c.t c.u"},
	{"InheritedBlocksBecomeOne", "(block a (block n (type t))) (block b (block n (type u)) (blockinherit a) (allow n.t n.u X))", "a.n.t b.n.u b.n.t | b.n.t b.n.u"},
	{"TheHeirsMacroIsTheOne", "(block a (macro m () (type t)) (call m)) (block b (macro m () (type u)) (blockinherit a))", "a.t b.u"},
	{"InheritedInAMacroOfTheBlock", "(block a (type t) (macro m ((type x)) (allow x t X))) (block b (blockinherit a)) (type u) (call b.m (u))", "a.t b.t u | u b.t"},

	{"InAddsAtTheEnd", "(in a (type u)) (block a (type t))", "a.t a.u"},
	{"TheLastInComesFirst", "(block a (type t)) (in a (type u)) (in a (type v))", "a.t a.v a.u"},
	{"InBeforeInheritance", "(block a (type t)) (block b (blockinherit a)) (in a (type u))", "a.t a.u b.t b.u"},
	{"InAfterInheritance", "(block a (type t)) (block b (blockinherit a)) (in after a (type u))", "a.t a.u b.t"},
	{"InWhatInBrings", "(in a.b (type t)) (in a (block b (type u))) (block a (type v))", "a.v a.b.u a.b.t"},
	{"InAMacro", "(type t) (macro m ((type x)) (type u)) (in m (allow x u X)) (block a (call m (t)))", "t a.u | t a.u"},
	{"InAnOptional", "(optional o (type t)) (in o (allow t t X))", "t | t t"},
	{"InAnOptionalThatFallsAway", "(type u) (optional o (type t)) (in o (allow t t X) (allow missing t X)) (optional p (allow u t X))", "u"},
	{"InAnOptionalThatFellAway", "(optional o (type t) (blockinherit missing)) (in after o (type u) (call missing)) (type v)", "v"},
	{"InAnOptionalThatFellAwayStays", "(optional o (type t) (blockinherit missing)) (in after o (type u)) (type v)", "u v"},
	{"TheHeirsMacroStaysWhereItStands", "(macro m () (type t)) (block a (macro m () (type u))) (optional o (blockinherit a) (call m))", "t"},
	{"InAnOptionalOfAMacro", "(macro m () (optional o (type t))) (in m.o (type u)) (block a (call m))", "a.t a.u"},
	{"InBringsInheritance", "(block a (type t)) (block b (type u)) (in b (blockinherit a))", "a.t b.u b.t"},

	{"AnOptionalStaysAsAWhole", "(type t) (optional o (type u) (allow t u X))", "t u | t u"},
	{"AnOptionalGoesAsAWhole", "(type t) (optional o (type u) (allow t u X) (allow t missing X) (allow u u X))", "t"},
	{"WithTheOnesInIt", "(type t) (optional o (optional p (type u) (allow t u X)) (allow t missing X))", "t"},
	{"ButNotWithTheOnesAroundIt", "(type t) (optional o (type u) (optional p (allow t missing X)) (allow t u X))", "t u | t u"},
	{"WhatUsesItGoesToo", "(type t) (optional a (allow t x X)) (optional b (allow t v X) (type x)) (optional c (type v) (allow t missing X))", "t"},
	{"WhatItHidIsFoundAgain", "(type t) (block a (optional o (type t) (allow t missing X)) (allow t t X))", "t | t t"},
	{"OptionalsMayHaveTheSameName", "(optional o (type t)) (optional o (type u)) (optional o (allow t missing X))", "t u"},
	{"OptionalsHaveNoNamesOfTheirOwn", "(block a (optional o (type t)) (allow t t X)) (allow a.t a.t X)", "a.t | a.t a.t | a.t a.t"},
	{"WithCallsOfMissingMacros", "(optional o (type t) (call missing))", ""},
	{"WithCallsWithMissingArguments", "(macro m ((type x)) (type u)) (optional o (type t) (call m (missing)))", ""},
	{"WithMissingBlocks", "(optional o (type t) (blockinherit missing))", ""},
	{"InMacros", "(type t) (macro m ((type x)) (optional o (type y) (allow x u X))) (block a (type u) (call m (t))) (block b (call m (t)))", "t a.u a.y | t a.u"},
	{"SelfIsNoArgument", "(type t) (macro m ((type x)) (allow x x X)) (optional o (call m (self)))", "t"},

	{"TheBranchOfATunable", "(tunable n true) (type t) (tunableif n (true (type u)) (false (type v))) (type w)", "t w u"},
	{"TheOtherBranch", "(tunable n false) (tunableif n (true (type u)) (false (type v)))", "v"},
	{"TunablesHaveNoBranchForAll", "(tunable n false) (type t) (tunableif n (true (type u)))", "t"},
	{"TunablesInTunables", "(tunable n true) (tunableif n (true (tunableif (not n) (false (type u))) (type t)))", "t u"},
	{"TunablesAreTested", "(tunable y true) (tunable n false) (tunableif (and (or n y) (eq (not n) (xor y n))) (true (type a))) (tunableif (neq y y) (false (type b))) (tunableif (n y) (true (type c)))",
		"a b c"},
	{"TunablesOfBlocks", "(block b (tunable n true)) (tunableif b.n (true (block a (type t))))", "a.t"},
	{"TunablesThatAreMissing", "(type t) (optional o (type u) (tunableif missing (true (type v))))", "t"},

	{"BranchesOfABoolean", "(type t) (type u) (boolean b true) (booleanif b (true (allow t u X)) (false (allow u t X)))", "t u | if t u else u t"},
	{"MacrosInBranches", "(type t) (boolean b true) (macro m ((type x)) (allow x t X)) (booleanif b (false (call m (t))))", "t | if else t t"},
	{"AMissingBoolean", "(type t) (optional o (type u) (booleanif missing (true (allow t u X))))", "t"},

	{"Aliases", "(type t) (typealias a) (typealiasactual a t) (typealias b) (typealiasactual b a) (allow a b X)", "t | t t"},
	{"AliasesOfOthersBlocks", "(block n (type t)) (typealias a) (typealiasactual a n.t) (block m (typealias t) (typealiasactual t a) (allow t t X))", "n.t | n.t n.t"},
	{"AnAliasAsArgument", "(type t) (typealias a) (typealiasactual a t) (macro m ((type x)) (allow x x X)) (call m (a))", "t | t t"},
}

func TestNames(t *testing.T) {
	for _, test := range names {
		t.Run(test.finding, func(t *testing.T) {
			m, _, err := front(minimal+strings.ReplaceAll(test.text, "X)", "(c (p)))"), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got := symbols(m); got != test.want {
				t.Errorf("%s\nhas %s\nnot %s", test.text, got, test.want)
			}
		})
	}
}

// mistakes are texts and the errors they end in.
var mistakes = []struct{ finding, text, want string }{
	{"StatementsAreKnown", "(typo t)", "2:1: unknown statement typo; there is type"},
	{"StatementsBeginWithTheirKeyword", "((type t))", "2:1: expected a statement: a list that begins with its keyword"},
	{"EmptyLists", "()", "2:1: expected a statement: a list that begins with its keyword"},
	{"NamesAreDeclared", "(type t) (allow t u X)", "2:19: type u is not declared"},
	{"NamesInBlocksToo", "(type t) (block a) (allow t a.u X)", "2:29: type a.u is not declared"},
	{"NamesBeginWithALetter", "(type 1t)", `2:7: the name "1t" does not begin with a letter`},
	{"NamesHaveNoDots", "(type a.t)", `2:7: the name "a.t" has '.' in it`},
	{"NamesAreShort", "(type " + strings.Repeat("t", 2048) + ")", "2:7: the name is longer than 2047 bytes"},
	{"NamesWithBlocksAreShort", "(block " + strings.Repeat("b", 2000) + " (type " + strings.Repeat("t", 47) + "))", "2:2015: the name with its blocks is longer than 2047 bytes"},
	{"NamesAreNotReserved", "(type self)", "2:7: self is a reserved word and cannot be the name of a type"},
	{"NamesAreDeclaredOnce", "(type t) (type t)", "2:16: type t is declared already, at a.cil:2:7"},
	{"AlsoOfAttributes", "(type t) (typeattribute t)", "2:25: type t is declared already, at a.cil:2:7"},
	{"AlsoInMacros", "(macro m () (type t)) (type t) (call m)", "2:19: type t is declared already, at a.cil:2:29, in macro m called at a.cil:2:32"},
	{"AlsoWhatIsInherited", "(block a (type t)) (block b (type t) (blockinherit a))", "2:16: type t is declared already, at a.cil:2:35, in block a inherited at a.cil:2:38"},
	{"AlsoWithinABranch", "(tunable n true) (tunableif n (true (type t) (type t)))", "2:52: type t is declared already, at a.cil:2:43"},
	{"OptionalsAreNoBlocks", "(block o) (optional o)", "2:21: block or macro o is declared already, at a.cil:2:8"},
	{"MacrosHideNoParameters", "(macro m ((type x)) (type x))", "2:27: type x hides the macro's parameter of that name"},
	{"NamesInMacrosAreTheirs", "(macro m () (type t)) (type u) (allow u m.t X)", "2:41: m in m.t is a macro, whose names cannot be used from outside"},
	{"NamesInOptionalsAreTheBlocks", "(optional o (type t)) (type u) (allow u o.t X)", "2:41: o in o.t is an optional, whose names are those of the block around"},
	{"NamesAreNotOfDotsAlone", "(type t) (allow t .. X)", "2:19: the name .. is of dots alone"},

	{"BlocksHaveAName", "(block)", "2:1: expected the name of the block"},
	{"BlocksHoldStatements", "(block b t)", "2:10: expected a statement"},
	{"BlocksHoldNoEmptyLists", "(block b ())", "2:10: expected a statement"},
	{"MacrosHaveParameters", "(macro m)", "2:1: expected the name and the list of the parameters of the macro"},
	{"ParametersHaveAKind", "(macro m (x))", "2:11: expected the kind and the name of a parameter"},
	{"ParametersHaveAKnownKind", "(macro m ((common x)))", "2:11: a parameter cannot be of the kind common"},
	{"ParametersHaveDifferentNames", "(macro m ((type x) (role x)))", "2:26: the macro has two parameters of the name x"},
	{"CallsHaveAName", "(call (t))", "2:1: expected the name of a macro and a list of arguments"},
	{"CallsFindTheirMacro", "(call m)", "2:7: block or macro m is not declared"},
	{"CallsAreOfMacros", "(block m) (call m)", "2:17: m is not a macro"},
	{"CallsHaveTheArguments", "(macro m ((type x))) (call m)", "2:22: macro m takes 1 arguments, not 0"},
	{"CallsHaveNoMoreArguments", "(type t) (macro m ((type x))) (call m (t t))", "2:31: macro m takes 1 arguments, not 2"},
	{"CallsHaveNoListForNoArguments", "(macro m ()) (call m ())", "2:22: macro m takes no arguments, not even an empty list of them"},
	{"ArgumentsAreNames", "(macro m ((type x))) (call m ((t)))", "2:31: expected a type"},
	{"ArgumentsAreDeclared", "(macro m ((type x))) (call m (t))", "2:31: type t is not declared"},
	{"MacrosDoNotCallThemselves", "(macro m () (call n)) (macro n () (call m)) (call m)",
		"2:41: macro m calls itself, in macro n called at a.cil:2:13, in macro m called at a.cil:2:45"},
	{"ErrorsTellTheCalls", "(macro m ((type x)) (allow x missing X)) (macro n () (type t) (call m (t))) (block a (call n))",
		"2:30: type missing is not declared, in macro m called at a.cil:2:69, in macro n called at a.cil:2:92"},
	{"InheritsFindTheirBlock", "(blockinherit b)", "2:15: block or macro b is not declared"},
	{"InheritsAreOfBlocks", "(macro m ()) (blockinherit m)", "2:28: m is not a block"},
	{"BlocksDoNotInheritThemselves", "(block a (blockinherit b)) (block b (blockinherit a))", "2:10: block b inherits itself"},
	{"AbstractIsOfBlocks", "(macro m ()) (block a (blockabstract m))", "2:38: m is not a block"},
	{"AbstractBlocksAreNotThere", "(block a (blockabstract a) (type t)) (allow a.missing self X)", "2:45: type a.missing is not declared"},
	{"AbstractBlocksHaveNoNamesForOthers", "(block a (blockabstract a) (block b (type t))) (type u) (allow u a.b.t X)", "2:66: type a.b.t is in an abstract block, and is only there where that is inherited"},
	{"InFindsItsBlock", "(in a (type t))", "2:5: block or macro a is not declared"},
	{"InHoldsStatements", "(block a) (in a)", "2:11: in holds no statement"},
	{"InIsBeforeOrAfter", "(block a) (in later a (type t))", "2:15: expected before or after"},
	{"InIsOfOneOptional", "(optional o (type t)) (optional o (type u)) (in o (type v))", "2:49: there are several optionals of the name o"},
	{"AfterIsTooLateToInherit", "(block a) (in after a (blockinherit a))", "2:23: blockinherit is not allowed in in after"},
	{"InDeclaresOnce", "(block a (type t)) (in a (type t))", "2:32: type t is declared already, at a.cil:2:16"},
	{"WithInThereIsNoInheriting", "(block a (block b (type t)) (in b (type u))) (block c (blockinherit a))", "2:29: a block with an in statement in it cannot be copied, in block a inherited at a.cil:2:55"},
	{"NoBlockInMacros", "(macro m () (block b))", "2:13: block is not allowed in macro"},
	{"NoBlockInOptionals", "(optional o (block b))", "2:13: block is not allowed in optional, in optional o"},
	{"NotEvenInherited", "(block a (block b)) (optional o (blockinherit a))", "2:10: block is not allowed in optional, in block a inherited at a.cil:2:33, in optional o"},
	{"NoTunableInTunables", "(tunable n true) (tunableif n (true (tunable o true)))", "2:37: tunable is not allowed in tunableif"},
	{"NoInInIn", "(block a) (in a (in a (type t)))", "2:17: in is not allowed in in"},
	{"NoCategoryInBlocks", "(block b (category c0))", "2:10: category is not allowed in block"},
	{"NoTypeInConditions", "(boolean b true) (booleanif b (true (type t)))", "2:37: type is not allowed in booleanif"},
	{"NotEvenByAMacro", "(boolean b true) (macro m () (type t)) (booleanif b (true (call m)))", "2:30: type is not allowed in booleanif, in macro m called at a.cil:2:59"},
	{"TrueIsABranch", "(true (type t))", "2:1: true is only allowed directly in a booleanif or tunableif"},
	{"ConditionsHaveBranches", "(boolean b true) (booleanif b)", "2:18: expected a condition and one or two branches"},
	{"OneBranchEach", "(boolean b true) (booleanif b (true (x)) (true (x)))", "2:42: expected one list (true ...) and one list (false ...)"},
	{"BranchesHoldStatements", "(boolean b true) (booleanif b (true))", "2:31: true holds no statement"},
	{"ConditionsAreOfNamesAndOperators", "(boolean b true) (booleanif (or b) (true (x)))", "2:29: or takes 2 operands, not 1"},
	{"TunablesAreTrueOrFalse", "(tunable n yes)", "2:12: expected true or false"},
	{"TunablesAreDeclared", "(tunableif n (true (type t)))", "2:12: tunable n is not declared"},
	{"AliasesStandForSomething", "(typealias a)", "2:12: alias a stands for nothing: there is no typealiasactual for it"},
	{"AliasesDoNotStandForThemselves", "(typealias a) (typealias b) (typealiasactual a b) (typealiasactual b a)", "2:12: alias a stands for itself\na.cil:2:26: alias b stands for itself"},
	{"AliasesStandForOneThing", "(type t) (typealias a) (typealiasactual a t) (typealiasactual a t)", "2:63: a is an alias of t already"},
	{"AliasesAreDeclared", "(type t) (typealiasactual t t)", "2:27: t is not an alias"},
	{"AliasesAreOfTypes", "(typeattribute t) (typealias a) (typealiasactual a t)", "2:52: t is an attribute and cannot have an alias"},
	{"AliasesCountInOptionalsToo", "(optional o (typealias a))", "2:24: alias a stands for nothing: there is no typealiasactual for it, in optional o"},
}

func TestFrontErrors(t *testing.T) {
	for _, test := range mistakes {
		t.Run(test.finding, func(t *testing.T) {
			m, _, err := front(minimal+strings.ReplaceAll(test.text, "X)", "(c (p)))"), Options{})
			if err == nil {
				t.Fatalf("%s\nis accepted: %s", test.text, symbols(m))
			}
			if want := "a.cil:" + test.want; err.Error() != want {
				t.Errorf("%.200s\n%s\nwant\n%s", test.text, err, want)
			}
			var one source.Diagnostic
			if !errors.As(err, &one) {
				t.Errorf("%T has no place", err)
			}
		})
	}
}

func TestFrontOptions(t *testing.T) {
	for _, test := range []struct {
		finding, text string
		options       Options
		want          string
	}{
		{"TypesMayBeDeclaredAgain", "(type t) (type u) (type t) (optional o (type t) (allow t t X)) (allow t u X)", Options{MultipleDeclarations: true}, "t u | t t | t u"},
		{"OnlyAsWhatTheyAre", "(type t) (typeattribute t)", Options{MultipleDeclarations: true}, "a.cil:2:25: type t is declared already, at a.cil:2:7"},
		{"OnceMoreWithoutTheOptional", "(optional o (type t) (allow t missing X)) (type u) (type t)", Options{MultipleDeclarations: true}, "u t"},
		{"TunablesAsBooleans", "(tunable n true) (type t) (tunableif n (true (allow t t X)))", Options{PreserveTunables: true}, "t | if t t else"},
		{"TunablesAsBooleansHoldRulesOnly", "(tunable n true) (tunableif n (true (type t)))", Options{PreserveTunables: true}, "a.cil:2:37: type is not allowed in booleanif"},
		{"QualifiedNames", "(type a.t) (allow a.t a.t X)", Options{QualifiedNames: true}, "a.t | a.t a.t"},
		{"NoBlocksWithQualifiedNames", "(block a)", Options{QualifiedNames: true}, "a.cil:2:1: blocks are not allowed where names are qualified ones"},
		{"NoInheritanceWithQualifiedNames", "(blockinherit a)", Options{QualifiedNames: true}, "a.cil:2:1: blockinherit is not allowed where names are qualified ones"},
		{"NoExtendedRuleInConditionsBefore34", "(boolean b true) (type t) (booleanif b (true (allowx t t (ioctl c (1)))))", Options{Version: 33}, "a.cil:2:46: allowx is not allowed in booleanif"},
	} {
		t.Run(test.finding, func(t *testing.T) {
			m, _, err := front(minimal+strings.ReplaceAll(test.text, "X)", "(c (p)))"), test.options)
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				got = symbols(m)
			}
			if got != test.want {
				t.Errorf("%s\n%s\nwant\n%s", test.text, got, test.want)
			}
		})
	}
}

func TestDisabledOptionalsSayWhy(t *testing.T) {
	_, disabled, err := front("(block a (optional o (type t)\n(roletype r t)))", Options{})
	if err != nil || len(disabled) != 1 || disabled[0].Name != "a.o" || disabled[0].Position.String() != "a.cil:1:10" ||
		disabled[0].Because.Error() != "a.cil:2:11: role r is not declared, in optional o" {
		t.Errorf("%v %v", disabled, err)
	}
}

// Small texts that would become large policies, or take forever, are refused.
func TestGrowthIsBounded(t *testing.T) {
	var calls, inherits, chain, waiting strings.Builder
	for i := range 30 {
		fmt.Fprintf(&calls, "(macro m%d () (call m%d) (call m%d))\n", i, i+1, i+1)
		fmt.Fprintf(&inherits, "(block b%d (block i (blockinherit .b%d)) (block j (blockinherit .b%d)))\n", i, i+1, i+1)
	}
	for i := range maximumCalls + 1 {
		fmt.Fprintf(&chain, "(macro m%d () (call m%d))\n", i, i+1)
	}
	for i := range maximumCalls + 2 {
		fmt.Fprintf(&waiting, "(in .b%s (block b))\n", strings.Repeat(".b", i))
	}
	for _, test := range []struct{ finding, text, want string }{
		{"Calls", calls.String() + "(macro m30 () (roleallow r r))\n(call m0)", "calls and inheritance bring more than 1048576 statements"},
		{"CallsInEachOther", chain.String() + "(macro m257 ())\n(call m0)", "more than 256 calls of macros in each other"},
		{"Inheritance", inherits.String() + "(block b30)", "inheritance grows without end"},
		{"InsThatWait", waiting.String() + "(block b)", "is not declared"},
		{"Depth", strings.Repeat("(block b ", 1100) + strings.Repeat(")", 1100), "the name with its blocks is longer than 2047 bytes"},
	} {
		t.Run(test.finding, func(t *testing.T) {
			if _, _, err := front(test.text, Options{}); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%.300v, want %s", err, test.want)
			}
		})
	}
}

// A thousand optionals that fall away one because of the other are one pass over all for each.
func TestOptionalsThatFallAwayOneByOne(t *testing.T) {
	var text strings.Builder
	for i := range 100 {
		fmt.Fprintf(&text, "(optional o%d (type t%d) (allow t%d t%d (c (p))))\n", i, i, i, i+1)
	}
	if m, disabled, err := front(minimal+text.String(), Options{}); err != nil || len(m.types) != 0 || len(disabled) != 100 {
		t.Errorf("%d are left out: %v", len(disabled), err)
	}
	words := &syntax.Words{}
	tree, err := words.Parse("a.cil", []byte(minimal+text.String()))
	if err != nil {
		t.Fatal(err)
	}
	r := newResolver(words, Options{})
	r.visited = maximumVisits - 10_000
	if err = r.expand([]*syntax.Tree{tree}); err == nil {
		err = r.resolveAll()
	}
	if err == nil || !strings.Contains(err.Error(), "too many optionals fall away") {
		t.Errorf("%v, and it should be too much", err)
	}
}

// What is looked up from deep within is remembered, and still what it would be.
func TestNamesFromDeepWithin(t *testing.T) {
	depth := deep + 8
	inside := strings.Repeat("(block b ", depth) + "X" + strings.Repeat(")", depth)
	for _, test := range []struct{ finding, text, want string }{
		{"Found", "(type t)" + strings.ReplaceAll(inside, "X", "(allow t t Y (allow t t Y"), "t | t t | t t"},
		{"FoundOnceWhatHidItFellAway", "(type t)" + strings.ReplaceAll(inside, "X", "(optional o (type t) (allow t missing Y) (allow t t Y"), "t | t t"},
		{"AnArgumentIsNotWhatTheMacroDeclares", "(type t) (macro m ((type x)) (type t) (allow x .t Y)" + strings.ReplaceAll(inside, "X", "(call m (t))"),
			"t " + strings.Repeat("b.", depth) + "t | t t"},
	} {
		t.Run(test.finding, func(t *testing.T) {
			m, _, err := front(minimal+strings.ReplaceAll(test.text, " Y", " (c (p)))"), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got := symbols(m); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

func FuzzResolve(f *testing.F) {
	for _, seed := range []string{
		"(type t) (allow t self (c (p)))",
		"(block a (blockabstract a) (type t) (macro m ((type x)) (allow x t (c (p))))) (block b (blockinherit a) (type u) (call m (u)))",
		"(in a (optional o (type t) (allow t missing (c (p))))) (block a (typealias b) (typealiasactual b t))",
		"(tunable n true) (tunableif (and n (not n)) (true (type t)) (false (boolean b true) (booleanif b (true (allow t t (c (p)))))))",
		"(sensitivity s) (category c) (macro m ((level l) (categoryset cs)) (levelrange r (l l)) (level k (s cs))) (call m ((s (c)) (c)))",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, _, err := front(minimal+text, Options{})
		if err != nil {
			return
		}
		again, _, err := front(minimal+text, Options{})
		if err != nil || symbols(again) != symbols(m) {
			t.Fatalf("the second time: %v", err)
		}
	})
}

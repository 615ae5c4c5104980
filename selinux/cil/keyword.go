// SPDX-License-Identifier: Apache-2.0

package cil

import "maps"

// keyword is a kind of statement.
type keyword struct {
	// declare adds what the statement declares to the names of its scope. It is called wherever the statement comes to stand: in a macro's definition, and again
	// where that is called.
	declare func(d *declarer, s statement) error
	// check finds what is wrong with the form of a statement, wherever it stands; nil where declare does.
	check func(d *declarer, s statement) error
	// resolve looks up what the statement names and makes the typed item of the model, nil for none. It changes nothing: a statement may be resolved again.
	resolve   func(r *resolver, s statement) (item, error)
	stage     stage
	structure scopeKind // of the statements that make the tree, which the first half handles itself; scopeRoot: none
	where     placement
}

// stage is the pass in which a statement is resolved, in libsepol's order: an optional that cannot be resolved in one is no longer there in the next.
type stage uint8

const (
	stageRules  stage = iota // most: all but those of the stages below
	stageOrder               // the order statements, and what booleanif tests
	stageSets                // categoryset
	stageCommon              // sensitivitycategory, classcommon
)

// stages in their order.
var stages = []stage{stageOrder, stageSets, stageCommon, stageRules}

// placement says where a statement may stand, and of a scope what it is within.
type placement uint16

const (
	notInTunable placement = 1 << iota
	notInIn
	notInAfter // (in after ...)
	notInMacro
	notInOptional
	notInBlock
	onlyInBranch // true and false: directly in a condition
	inCondition  // may stand in a booleanif, as most may not
	notBefore34  // but there only from version 34 of the binary policy on
)

// placements are the rules on where statements may not stand, with the words that say so.
var placements = []struct {
	not placement
	in  string
}{
	{notInTunable, "tunableif"}, {notInIn, "in"}, {notInAfter, "in after"}, {notInMacro, "macro"}, {notInOptional, "optional"}, {notInBlock, "block"},
}

// keywords are all the statements.
var keywords = func() map[string]*keyword {
	all := map[string]*keyword{}
	maps.Copy(all, structureKeywords)
	maps.Copy(all, aliasKeywords)
	for _, family := range statementFamilies {
		maps.Copy(all, family)
	}
	return all
}()

// structureKeywords are those of the first half: they make the tree.
var structureKeywords = map[string]*keyword{
	"block":         {structure: scopeBlock, where: notInMacro | notInOptional},
	"blockabstract": {structure: scopeAbstract, where: notInMacro | notInOptional | notInAfter},
	"blockinherit":  {structure: scopeInherit, where: notInMacro | notInAfter},
	"in":            {structure: scopeIn, where: notInIn | notInMacro | notInOptional},
	"macro":         {structure: scopeMacro, where: notInMacro | notInOptional},
	"call":          {structure: scopeCall, where: inCondition},
	"optional":      {structure: scopeOptional},
	"tunable":       {structure: scopeTunable, where: notInTunable | notInIn | notInMacro | notInOptional},
	"tunableif":     {structure: scopeTunableIf, where: inCondition, resolve: resolveCondition, stage: stageOrder},
	"booleanif":     {structure: scopeCondition, resolve: resolveCondition, stage: stageOrder},
	"true":          {structure: scopeBranch, where: inCondition | onlyInBranch},
	"false":         {structure: scopeBranch, where: inCondition | onlyInBranch},
}

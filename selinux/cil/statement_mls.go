// SPDX-License-Identifier: Apache-2.0

package cil

import "github.com/bulkhead-project/bulkhead/selinux/cil/syntax"

// levelStatements declare sensitivities and categories, and names for sets, levels and ranges of them.
var levelStatements = map[string]*keyword{
	"sensitivity":         {check: takes(name("sensitivity")), declare: declareSensitivity, where: notInBlock},
	"sensitivityorder":    {check: takes(operand{name: "(sensitivity ...)", shape: words}), resolve: resolveOrder(kindSensitivity), stage: stageOrder},
	"sensitivitycategory": {check: takes(name("sensitivity"), categoriesOperand), resolve: resolveSensitivityCategory, stage: stageCommon},
	"category":            {check: takes(name("category")), declare: declareCategory, where: notInBlock},
	"categoryorder":       {check: takes(operand{name: "(category ...)", shape: words}), resolve: resolveOrder(kindCategory), stage: stageOrder},
	"categoryset": {check: takes(name("categoryset"), operand{name: "(category ...)", shape: list(setOf(setOfCategories))}),
		declare: declareDefinition(kindCategory), resolve: resolveCategorySet, stage: stageSets},
	"level": {check: takes(name("level"), operand{name: "(sensitivity [categories])", shape: list(levelList)}),
		declare: declareDefinition(kindLevel), resolve: resolveLevel},
	"levelrange": {check: takes(name("levelrange"), operand{name: "(low high)", shape: list(levelRangeList)}),
		declare: declareDefinition(kindLevelRange), resolve: resolveLevelRange},
	"rangetransition": {check: takes(name("source"), name("target"), name("class"), levelRangeOperand),
		resolve: resolveRangeTransition},
}

func declareSensitivity(d *declarer, s statement) error {
	return d.declare(s, kindSensitivity, s.operand(1), &sensitivity{})
}

func declareCategory(d *declarer, s statement) error {
	return d.declare(s, kindCategory, s.operand(1), &category{})
}

// declareDefinition declares a name for what the statement writes out.
func declareDefinition(kind symbolKind) func(*declarer, statement) error {
	return func(d *declarer, s statement) error {
		return d.declare(s, kind, s.operand(1), &definition{contents: s.operand(2)})
	}
}

// defined resolves what a definition stands for, once. A definition without a name was passed to a macro, and its shape was not looked at yet.
func defined[T any](r *resolver, at place, of *definition, shape shape, known map[*definition]T, resolve func(*scope, syntax.Node) (T, error)) (T, error) {
	var none T
	if value, ok := known[of]; ok {
		return value, nil
	}
	if of.name == "" {
		if err := shape(of.contents); err != nil {
			return none, shapeError(of.declared.scope, "argument: ", err)
		}
	}
	if r.open[of] {
		return none, diagnosticAt(at, "%s is a part of itself", at.node.Word())
	}
	r.open[of] = true
	value, err := resolve(of.declared.scope, of.contents)
	delete(r.open, of)
	if err != nil {
		return none, err
	}
	known[of] = value
	return value, nil
}

// categorySet is an expression, and how large it is with the named sets in it written out.
type categorySet struct {
	set  *expression[*category]
	size int
}

// maximumSet is how large a category set may be written out, in operands: sets of sets of sets grow fast.
const maximumSet = 1 << 16

// categoryExpression resolves categories: a name of a category or of a set, or an expression.
func (r *resolver) categoryExpression(scope *scope, node syntax.Node) (categorySet, error) {
	size := 0
	set, err := resolveSet(node, func(name syntax.Node) (expression[*category], error) {
		one, err := r.categoriesOf(scope, name)
		if size += one.size; err == nil && size > maximumSet {
			err = diagnosticAt(place{name, scope}, "category set of more than %d categories written out", maximumSet)
		}
		if err != nil {
			return expression[*category]{}, err
		}
		return *one.set, nil
	})
	if err != nil {
		return categorySet{}, err
	}
	if err := r.noSetInRange(scope, node); err != nil {
		return categorySet{}, err
	}
	return categorySet{&set, size}, nil
}

// noSetInRange makes sure that ranges are between categories.
func (r *resolver) noSetInRange(scope *scope, node syntax.Node) error {
	inRange := node.Keyword() == "range"
	for child := node.First(); child.Valid(); child = child.Next() {
		switch {
		case child.IsList():
			if err := r.noSetInRange(scope, child); err != nil {
				return err
			}
		case inRange && child != node.First():
			if _, err := find[*category](r, scope, kindCategory, child); err != nil {
				return err
			}
		}
	}
	return nil
}

// categoriesOf is what a single name stands for.
func (r *resolver) categoriesOf(scope *scope, name syntax.Node) (categorySet, error) {
	symbol, err := r.lookup(scope, kindCategory, name)
	if err != nil {
		return categorySet{}, err
	}
	switch found := symbol.(type) {
	case *category:
		one := member(found)
		return categorySet{&one, 1}, nil
	case *definition:
		return defined(r, place{name, scope}, found, setOfCategories.expression, r.categorySets, r.categoryExpression)
	}
	return categorySet{}, diagnosticAt(place{name, scope}, "%s is %s, expected a category or a category set", name.Word(), symbolName(symbol))
}

func resolveCategorySet(r *resolver, s statement) (item, error) {
	_, err := r.categoriesOf(s.scope, s.operand(1))
	return nil, err
}

// level resolves a name of a level, or (sensitivity [categories]).
func (r *resolver) level(scope *scope, node syntax.Node) (level, error) {
	if !node.IsList() {
		found, err := find[*definition](r, scope, kindLevel, node)
		if err != nil {
			return level{}, err
		}
		return defined(r, place{node, scope}, found, levelList, r.levels, r.level)
	}
	of, err := find[*sensitivity](r, scope, kindSensitivity, node.First())
	if err != nil {
		return level{}, err
	}
	resolved := level{at: place{node, scope}, sensitivity: of}
	if categories := node.Child(1); categories.Valid() {
		set, err := r.categoryExpression(scope, categories)
		if err != nil {
			return level{}, err
		}
		resolved.categories = set.set
	}
	return resolved, nil
}

// levelRange resolves a name of a range, or (low high).
func (r *resolver) levelRange(scope *scope, node syntax.Node) (levelRange, error) {
	if !node.IsList() {
		found, err := find[*definition](r, scope, kindLevelRange, node)
		if err != nil {
			return levelRange{}, err
		}
		return defined(r, place{node, scope}, found, levelRangeList, r.ranges, r.levelRange)
	}
	low, err := r.level(scope, node.First())
	if err != nil {
		return levelRange{}, err
	}
	high, err := r.level(scope, node.Child(1))
	return levelRange{low, high}, err
}

func resolveLevel(r *resolver, s statement) (item, error) {
	_, err := r.level(s.scope, s.operand(1))
	return nil, err
}

func resolveLevelRange(r *resolver, s statement) (item, error) {
	levels, err := r.levelRange(s.scope, s.operand(1))
	return &namedRange{s.place(), levels}, err
}

// namedRange is a range that has a name, which is checked whether it is used or not.
type namedRange struct {
	at     place
	levels levelRange
}

func (n *namedRange) addTo(m *model) { m.namedRanges = append(m.namedRanges, *n) }

func resolveSensitivityCategory(r *resolver, s statement) (item, error) {
	of, err := find[*sensitivity](r, s.scope, kindSensitivity, s.operand(1))
	if err != nil {
		return nil, err
	}
	set, err := r.categoryExpression(s.scope, s.operand(2))
	if err != nil {
		return nil, err
	}
	return &sensitivityCategory{s.place(), of, *set.set}, nil
}

func (s *sensitivityCategory) addTo(m *model) { m.sensCategories = append(m.sensCategories, *s) }

func resolveRangeTransition(r *resolver, s statement) (item, error) {
	transition := &rangeTransition{at: s.place()}
	var err error
	if transition.source, err = r.types(s.scope, s.operand(1)); err != nil {
		return nil, err
	}
	if transition.target, err = r.types(s.scope, s.operand(2)); err != nil {
		return nil, err
	}
	if transition.class, err = find[*class](r, s.scope, kindClass, s.operand(3)); err != nil {
		return nil, err
	}
	transition.levels, err = r.levelRange(s.scope, s.operand(4))
	return transition, err
}

func (t *rangeTransition) addTo(m *model) { m.rangeTransitions = append(m.rangeTransitions, *t) }

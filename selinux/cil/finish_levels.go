// SPDX-License-Identifier: Apache-2.0

package cil

import "fmt"

// levelCheck holds ranges against the order of sensitivities and the categories that may go with them.
type levelCheck struct {
	every         categoryBits         // all categories
	sensitivities map[*sensitivity]int // places in the order
	categories    map[*category]int
	associated    map[*sensitivity]categoryBits
	sets          map[*expression[*category]]categoryBits
	ranges        map[[2]levelKey]error
}

type levelKey struct {
	sensitivity *sensitivity
	categories  *expression[*category]
}

// categoryBits is a set of categories by their places in the order.
type categoryBits []uint64

func (b categoryBits) set(i int) { b[i/64] |= 1 << (i % 64) }

// checkLevels checks the ranges of users, contexts and transitions, and those that have a name.
func (m *model) checkLevels(r *resolver) {
	c := &levelCheck{nil, map[*sensitivity]int{}, map[*category]int{}, map[*sensitivity]categoryBits{}, map[*expression[*category]]categoryBits{}, map[[2]levelKey]error{}}
	c.rank(m, r)
	for i := range m.sensCategories {
		said := &m.sensCategories[i]
		categories, err := c.evaluate(&said.categories)
		if err != nil {
			m.fault(said.at, "%v", err)
			continue
		}
		allowed := c.allowed(r, said.sensitivity)
		for j := range allowed {
			allowed[j] |= categories[j]
		}
	}
	check := func(at place, levels levelRange) {
		if err := c.check(r, levels); err != nil {
			m.fault(at, "%v", err)
		}
	}
	for _, said := range m.userLevels {
		if _, err := c.evaluate(said.level.categories); err != nil {
			m.fault(said.at, "%v", err)
		}
	}
	for _, said := range m.userRanges {
		check(said.at, said.levels)
	}
	for _, named := range m.namedRanges {
		check(named.at, named.levels)
	}
	for _, transition := range m.rangeTransitions {
		check(transition.at, transition.levels)
	}
	for _, one := range m.namedContexts {
		check(one.at, one.levels)
	}
	m.eachContext(func(at place, one *context) { check(at, one.levels) })
}

// eachContext goes through the contexts of all objects.
func (m *model) eachContext(visit func(place, *context)) {
	for i := range m.sidContexts {
		visit(m.sidContexts[i].at, &m.sidContexts[i].context)
	}
	for i := range m.files {
		if m.files[i].context != nil {
			visit(m.files[i].at, m.files[i].context)
		}
	}
	for i := range m.ports {
		visit(m.ports[i].at, &m.ports[i].context)
	}
	for i := range m.nodes {
		visit(m.nodes[i].at, &m.nodes[i].context)
	}
	for i := range m.interfaces {
		visit(m.interfaces[i].at, &m.interfaces[i].interfaces)
		visit(m.interfaces[i].at, &m.interfaces[i].packet)
	}
	for i := range m.filesystems {
		visit(m.filesystems[i].at, &m.filesystems[i].context)
	}
	for i := range m.uses {
		visit(m.uses[i].at, &m.uses[i].context)
	}
	for i := range m.infinibandKeys {
		visit(m.infinibandKeys[i].at, &m.infinibandKeys[i].context)
	}
	for i := range m.infinibandPorts {
		visit(m.infinibandPorts[i].at, &m.infinibandPorts[i].context)
	}
}

// rank gives sensitivities and categories their places: those of the policy compiled onto first.
func (c *levelCheck) rank(m *model, r *resolver) {
	sensitivities, categories := 0, 0
	if onto := r.options.Onto; onto != nil {
		sensitivities, categories = int(onto.Levels.Primary), int(onto.Categories.Primary)
	}
	for i, one := range m.sensitivities {
		c.sensitivities[one] = sensitivities + i
	}
	for i, one := range m.categories {
		c.categories[one] = categories + i
	}
	count := categories + len(m.categories)
	c.sets[nil], c.every = make(categoryBits, (count+63)/64), make(categoryBits, (count+63)/64)
	for i := range count {
		c.every.set(i)
	}
}

func (c *levelCheck) sensitivity(s *sensitivity) int {
	if s.value != 0 {
		return int(s.value) - 1
	}
	return c.sensitivities[s]
}

func (c *levelCheck) category(one *category) int {
	if one.value != 0 {
		return int(one.value) - 1
	}
	return c.categories[one]
}

// allowed are the categories that may go with a sensitivity.
func (c *levelCheck) allowed(r *resolver, s *sensitivity) categoryBits {
	if known, ok := c.associated[s]; ok {
		return known
	}
	known := make(categoryBits, len(c.sets[nil]))
	if onto := r.options.Onto; onto != nil && s.value != 0 {
		for _, level := range onto.Levels.Entries {
			if level.Level.Sensitivity == s.value {
				for value := range level.Level.Categories.All() {
					known.set(int(value))
				}
			}
		}
	}
	c.associated[s] = known
	return known
}

// maximumKnown is how many sets are kept to be used again.
const maximumKnown = 1 << 12

// evaluate is the set that an expression stands for; nil is the empty one.
func (c *levelCheck) evaluate(e *expression[*category]) (categoryBits, error) {
	if known, ok := c.sets[e]; ok {
		return known, nil
	}
	out := make(categoryBits, len(c.sets[nil]))
	if err := c.add(out, e); err != nil {
		return nil, err
	}
	if len(c.sets) > maximumKnown {
		c.sets = map[*expression[*category]]categoryBits{nil: c.sets[nil]}
	}
	c.sets[e] = out
	return out, nil
}

// add adds what an expression stands for to a set.
func (c *levelCheck) add(out categoryBits, e *expression[*category]) error {
	switch e.operator {
	case setSymbol:
		out.set(c.category(e.symbol))
		return nil
	case setRange:
		low, high := c.category(e.operands[0].symbol), c.category(e.operands[1].symbol)
		if low > high {
			return fmt.Errorf("category %s comes before %s: the range is empty", e.operands[1].symbol.name, e.operands[0].symbol.name)
		}
		for i := low; i <= high; i++ {
			out.set(i)
		}
		return nil
	case setOr:
		for i := range e.operands {
			if err := c.add(out, &e.operands[i]); err != nil {
				return err
			}
		}
		return nil
	}
	first, second := make(categoryBits, len(out)), make(categoryBits, len(out))
	for i, into := range []categoryBits{first, second} {
		if i < len(e.operands) {
			if err := c.add(into, &e.operands[i]); err != nil {
				return err
			}
		}
	}
	for i := range out {
		switch e.operator {
		case setAnd:
			out[i] |= first[i] & second[i]
		case setXor:
			out[i] |= first[i] ^ second[i]
		default: // setNot, and setAll: not of nothing
			out[i] |= ^first[i] & c.every[i]
		}
	}
	return nil
}

// check finds what is wrong with a range.
func (c *levelCheck) check(r *resolver, levels levelRange) error {
	key := [2]levelKey{{levels.low.sensitivity, levels.low.categories}, {levels.high.sensitivity, levels.high.categories}}
	if err, ok := c.ranges[key]; ok {
		return err
	}
	err := c.checkRange(r, levels.low, levels.high)
	c.ranges[key] = err
	return err
}

func (c *levelCheck) checkRange(r *resolver, low, high level) error {
	lower, err := c.evaluate(low.categories)
	if err != nil {
		return err
	}
	higher, err := c.evaluate(high.categories)
	if err != nil {
		return err
	}
	if c.sensitivity(low.sensitivity) > c.sensitivity(high.sensitivity) {
		return fmt.Errorf("the range's high sensitivity %s is below its low one, %s", high.sensitivity.name, low.sensitivity.name)
	}
	for i := range lower {
		if lower[i]&^higher[i] != 0 {
			return fmt.Errorf("the range's low level has categories that its high level has not")
		}
	}
	if err := c.mayGo(r, low.sensitivity, lower); err != nil {
		return err
	}
	return c.mayGo(r, high.sensitivity, higher)
}

// mayGo makes sure that the categories may go with the sensitivity.
func (c *levelCheck) mayGo(r *resolver, s *sensitivity, categories categoryBits) error {
	allowed := c.allowed(r, s)
	for i := range categories {
		if categories[i]&^allowed[i] != 0 {
			return fmt.Errorf("sensitivity %s does not go with all of these categories: no sensitivitycategory says so", s.name)
		}
	}
	return nil
}

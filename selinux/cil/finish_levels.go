// SPDX-License-Identifier: Apache-2.0

package cil

import "fmt"

// levelCheck holds ranges against the order of sensitivities and the categories that may go with them.
type levelCheck struct {
	count         int                  // of categories
	sensitivities map[*sensitivity]int // places in the order
	categories    map[*category]int
	associated    map[*sensitivity]bits
	sets          map[*expression[*category]]bits
	ranges        map[[2]levelKey]error
}

type levelKey struct {
	sensitivity *sensitivity
	categories  *expression[*category]
}

// bits is a set of categories by their places in the order.
type bits []uint64

func (b bits) has(i int) bool { return b[i/64]>>(i%64)&1 != 0 }
func (b bits) set(i int)      { b[i/64] |= 1 << (i % 64) }

// checkLevels checks the ranges of users, contexts and transitions, and those that have a name.
func (m *model) checkLevels(r *resolver) {
	c := &levelCheck{0, map[*sensitivity]int{}, map[*category]int{}, map[*sensitivity]bits{}, map[*expression[*category]]bits{}, map[[2]levelKey]error{}}
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
	c.count = categories + len(m.categories)
	c.sets[nil] = make(bits, (c.count+63)/64)
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
func (c *levelCheck) allowed(r *resolver, s *sensitivity) bits {
	if known, ok := c.associated[s]; ok {
		return known
	}
	known := make(bits, len(c.sets[nil]))
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

// evaluate is the set that an expression stands for; nil is the empty one.
func (c *levelCheck) evaluate(e *expression[*category]) (bits, error) {
	if known, ok := c.sets[e]; ok {
		return known, nil
	}
	out := make(bits, len(c.sets[nil]))
	switch e.operator {
	case setSymbol:
		out.set(c.category(e.symbol))
	case setRange:
		low, high := c.category(e.operands[0].symbol), c.category(e.operands[1].symbol)
		if low > high {
			return nil, fmt.Errorf("category %s comes before %s: the range is empty", e.operands[1].symbol.name, e.operands[0].symbol.name)
		}
		for i := low; i <= high; i++ {
			out.set(i)
		}
	case setAll:
		c.complement(out)
	default:
		for i := range e.operands {
			operand, err := c.evaluate(&e.operands[i])
			if err != nil {
				return nil, err
			}
			if i == 0 {
				copy(out, operand)
				continue
			}
			for j := range out {
				switch e.operator {
				case setAnd:
					out[j] &= operand[j]
				case setXor:
					out[j] ^= operand[j]
				default:
					out[j] |= operand[j]
				}
			}
		}
		if e.operator == setNot {
			c.complement(out)
		}
	}
	c.sets[e] = out
	return out, nil
}

// complement turns a set into all other categories.
func (c *levelCheck) complement(b bits) {
	for i := range b {
		b[i] = ^b[i]
	}
	if rest := c.count % 64; rest != 0 {
		b[len(b)-1] &= 1<<rest - 1
	}
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
func (c *levelCheck) mayGo(r *resolver, s *sensitivity, categories bits) error {
	allowed := c.allowed(r, s)
	for i := range categories {
		if categories[i]&^allowed[i] != 0 {
			return fmt.Errorf("sensitivity %s does not go with all of these categories: no sensitivitycategory says so", s.name)
		}
	}
	return nil
}

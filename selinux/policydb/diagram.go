// SPDX-License-Identifier: Apache-2.0

package policydb

// function is a Boolean function over named variables in a diagram; functions are equal where their numbers are.
type function int32

const (
	never  function = 0
	always function = 1
)

// diagramLimit is how many nodes one expression may add. One that asks for more is a variable of its own, named by its text.
const diagramLimit = 1 << 16

// diagram is a reduced ordered binary decision diagram (R. Bryant, Graph-Based Algorithms for Boolean Function Manipulation, 1986): one node for each function, so that
// conditions and constraints are compared by what they say, however they are written.
type diagram struct {
	nodes     []decision // the first two stand for never and always
	unique    map[decision]function
	results   map[[3]function]function
	variables map[string]int32
	budget    int // nodes that the expression at hand may still add; below 0: it has failed
}

// decision is the value of the low or of the high function, by a variable.
type decision struct {
	variable  int32
	low, high function
}

func newDiagram() *diagram {
	const last = 1<<31 - 1
	return &diagram{nodes: []decision{{variable: last}, {variable: last}}, unique: map[decision]function{}, results: map[[3]function]function{}, variables: map[string]int32{}}
}

// within makes a function by operations; text names it where that takes too many.
func (d *diagram) within(text func() string, make func() function) function {
	d.budget = diagramLimit
	if made := make(); d.budget >= 0 {
		return made
	}
	d.budget = diagramLimit
	return d.variable("expression " + text())
}

func (d *diagram) variable(name string) function {
	number, known := d.variables[name]
	if !known {
		number = int32(len(d.variables))
		d.variables[name] = number
	}
	return d.node(decision{number, never, always})
}

func (d *diagram) node(n decision) function {
	if n.low == n.high {
		return n.low
	}
	if known, ok := d.unique[n]; ok {
		return known
	}
	if d.budget--; d.budget < 0 {
		return never
	}
	d.nodes = append(d.nodes, n)
	d.unique[n] = function(len(d.nodes) - 1)
	return function(len(d.nodes) - 1)
}

func (d *diagram) not(f function) function        { return d.choose(f, never, always) }
func (d *diagram) and(f, g function) function     { return d.choose(f, g, never) }
func (d *diagram) or(f, g function) function      { return d.choose(f, always, g) }
func (d *diagram) unequal(f, g function) function { return d.choose(f, d.not(g), g) }
func (d *diagram) restrict(f function, variable int32) (low, high function) {
	if n := d.nodes[f]; n.variable == variable {
		return n.low, n.high
	}
	return f, f
}

// choose is yes where the condition holds, else no.
func (d *diagram) choose(condition, yes, no function) function {
	switch {
	case d.budget < 0:
		return never
	case condition == always:
		return yes
	case condition == never:
		return no
	case yes == always && no == never:
		return condition
	}
	key := [3]function{condition, yes, no}
	if known, ok := d.results[key]; ok {
		return known
	}
	variable := min(d.nodes[condition].variable, d.nodes[yes].variable, d.nodes[no].variable)
	conditionLow, conditionHigh := d.restrict(condition, variable)
	yesLow, yesHigh := d.restrict(yes, variable)
	noLow, noHigh := d.restrict(no, variable)
	made := d.node(decision{variable, d.choose(conditionLow, yesLow, noLow), d.choose(conditionHigh, yesHigh, noHigh)})
	if d.budget >= 0 {
		d.results[key] = made
	}
	return made
}

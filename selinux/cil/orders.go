// SPDX-License-Identifier: Apache-2.0

package cil

import (
	"slices"

	"github.com/bulkhead-project/bulkhead/selinux/cil/syntax"
)

// unordered is the word by which a classorder says that its classes may come anywhere.
const unordered = "unordered"

// orders are the merged order statements: what is declared, in the order of its values. What the policy that is compiled onto has already is not among them.
type orders struct {
	sids          []*sid
	classes       []*class
	categories    []*category
	sensitivities []*sensitivity
	inOrder       map[symbol]bool
}

// orderList is one order statement.
type orderList struct {
	at        place
	kind      symbolKind
	unordered bool
	symbols   []symbol
}

// addTo adds nothing: orders are merged before the statements behind them are resolved.
func (o *orderList) addTo(*model) {}

func resolveOrder(kind symbolKind) func(*resolver, statement) (item, error) {
	return func(r *resolver, s statement) (item, error) {
		list := &orderList{at: s.place(), kind: kind}
		name := s.operand(1).First()
		if kind == kindClass && name.Word() == unordered {
			list.unordered, name = true, name.Next()
		}
		for ; name.Valid(); name = name.Next() {
			found, err := r.ranked(s, kind, name)
			if err != nil {
				return nil, err
			}
			list.symbols = append(list.symbols, found)
		}
		return list, nil
	}
}

// ranked finds a symbol that can stand in an order statement.
func (r *resolver) ranked(s statement, kind symbolKind, name syntax.Node) (symbol, error) {
	found, err := r.lookup(s.scope, kind, name)
	if unresolved, ok := err.(*unresolvedError); ok && kind == kindClass {
		return nil, unresolved.diagnostic() // in optionals too, as the reference has it
	}
	if err != nil {
		return nil, err
	}
	switch found := found.(type) {
	case *sid, *category, *sensitivity:
		return found, nil
	case *class:
		if found.kind == classPlain {
			return found, nil
		}
	}
	return nil, r.fail(s, name, "%s is %s: only what has a value of its own is ordered", name.Word(), symbolName(found))
}

// mergeOrders merges the order statements of each kind.
func (r *resolver) mergeOrders(items []item) error {
	r.orders = orders{inOrder: map[symbol]bool{}}
	for _, kind := range []symbolKind{kindSID, kindClass, kindCategory, kindSensitivity} {
		var lists, free []*orderList
		for _, item := range items {
			if list, ok := item.(*orderList); ok && list.kind == kind {
				if list.unordered {
					free = append(free, list)
				} else {
					lists = append(lists, list)
				}
			}
		}
		if err := limitOrders(lists); err != nil {
			return err
		}
		merged, err := mergeAll(lists)
		if err != nil {
			return err
		}
		if err := r.putInOrder(merged); err != nil {
			return err
		}
		for _, list := range free {
			for _, symbol := range list.symbols {
				if !r.inOrder[symbol] {
					r.putLast(symbol)
				}
			}
		}
	}
	return nil
}

// Bounds on orders, far above those of any policy: merging takes the square of both.
const (
	maximumOrderLists = 1 << 12
	maximumOrdered    = 1 << 14
)

func limitOrders(lists []*orderList) error {
	total := 0
	for i, list := range lists {
		if total += len(list.symbols); i >= maximumOrderLists || total > maximumOrdered {
			return diagnosticAt(list.at, "%s are more than %d statements or %d names", list.at.node.Keyword(), maximumOrderLists, maximumOrdered)
		}
	}
	return nil
}

// mergeAll merges lists until all of them fit; a list whose end has nothing in common with the others yet waits for those that have.
func mergeAll(lists []*orderList) ([]symbol, error) {
	all := merging{within: map[symbol]bool{}}
	if known := known(lists); len(known) > 0 {
		lists = slices.Insert(slices.Clone(lists), 0, &orderList{symbols: known})
	}
	for waiting := lists; len(waiting) > 0; {
		var left []*orderList
		for _, list := range waiting {
			if !all.merge(list.symbols) {
				left = append(left, list)
			}
		}
		if len(left) == len(waiting) {
			return nil, diagnosticAt(left[0].at, "%s does not fit the others: it contradicts them, repeats a name, or has no name in common with them behind which the rest could come",
				left[0].at.node.Keyword())
		}
		waiting = left
	}
	return all.merged, verifyOrder(all.merged, lists)
}

// merging is an order as far as it is merged.
type merging struct {
	merged []symbol
	within map[symbol]bool
}

// merge puts what is new in a list before the next symbol of it that is there already. It returns false for a list whose last symbols have none behind them.
func (m *merging) merge(list []symbol) bool {
	if len(m.merged) == 0 {
		return m.insert(0, list)
	}
	begin, from := 0, 0 // what is left of the list, and where in the merged order it may come
	for begin < len(list) && from < len(m.merged) {
		next, at := m.nextMatch(list, begin, from)
		if next < 0 {
			return false
		}
		if !m.insert(at, list[begin:next]) {
			return false
		}
		from = at + next - begin + 1
		begin = next + 1
	}
	return m.insert(len(m.merged), list[begin:])
}

// nextMatch is the next symbol of the list that comes at from or behind it.
func (m *merging) nextMatch(list []symbol, begin, from int) (next, at int) {
	for next := begin; next < len(list); next++ {
		if !m.within[list[next]] {
			continue
		}
		if at := slices.Index(m.merged[from:], list[next]); at >= 0 {
			return next, from + at
		}
	}
	return -1, 0
}

func (m *merging) insert(at int, symbols []symbol) bool {
	for _, symbol := range symbols {
		if m.within[symbol] {
			return false
		}
		m.within[symbol] = true
		m.merged = slices.Insert(m.merged, at, symbol)
		at++
	}
	return true
}

// verifyOrder makes sure that the order is said and not guessed: whatever follows each other in it does so in one of the lists, whose beginning and end are the
// beginning and end of some list.
func verifyOrder(merged []symbol, lists []*orderList) error {
	type pair struct{ before, behind symbol }
	said, at := map[pair]bool{}, map[symbol]place{}
	for _, list := range lists {
		var before symbol
		for _, symbol := range list.symbols {
			said[pair{before, symbol}] = true
			at[symbol] = list.at
			before = symbol
		}
		said[pair{before, nil}] = true
	}
	var before symbol
	for _, symbol := range merged {
		if !said[pair{before, symbol}] {
			return orderGuessed(symbol, before, at[symbol])
		}
		before = symbol
	}
	if before != nil && !said[pair{before, nil}] {
		return diagnosticAt(at[before], "whether %s is the last is not said: no list ends with it", before.symbol().name)
	}
	return nil
}

func orderGuessed(symbol, before symbol, at place) error {
	if before == nil {
		return diagnosticAt(at, "whether %s is the first is not said: no list begins with it", symbol.symbol().name)
	}
	return diagnosticAt(at, "whether %s follows %s is not said: no list has one behind the other", symbol.symbol().name, before.symbol().name)
}

// known are the symbols of the lists that the policy compiled onto has, in its order.
func known(lists []*orderList) []symbol {
	var symbols []symbol
	for _, list := range lists {
		for _, symbol := range list.symbols {
			if symbol.symbol().value != 0 && !slices.Contains(symbols, symbol) {
				symbols = append(symbols, symbol)
			}
		}
	}
	slices.SortFunc(symbols, func(a, b symbol) int { return int(a.symbol().value) - int(b.symbol().value) })
	return symbols
}

// putInOrder keeps what is new of a merged order. New symbols get values behind those of the policy compiled onto, and so cannot come before them.
func (r *resolver) putInOrder(merged []symbol) error {
	var first symbol
	for _, symbol := range merged {
		if symbol.symbol().value == 0 {
			first = symbol
		} else if first != nil {
			return diagnosticAt(first.symbol().declared, "%s cannot come before %s, which the policy compiled onto has", first.symbol().name, symbol.symbol().name)
		}
		r.putLast(symbol)
	}
	return nil
}

func (r *resolver) putLast(s symbol) {
	r.inOrder[s] = true
	if s.symbol().value != 0 {
		return
	}
	switch s := s.(type) {
	case *sid:
		r.sids = append(r.sids, s)
	case *class:
		r.classes = append(r.classes, s)
	case *category:
		r.categories = append(r.categories, s)
	case *sensitivity:
		r.sensitivities = append(r.sensitivities, s)
	}
}

// allOrdered makes sure that what is declared in a scope, and those in it, stands in an order statement: also in optionals that fall away later.
func (r *resolver) allOrdered(s *scope) error {
	for _, declaration := range s.declared {
		if err := r.ordered(declaration.symbol); err != nil {
			return err
		}
	}
	for i := range s.children {
		inner := s.children[i].inner
		if inner == nil || inner.kind == scopeMacro || inner.kind == scopeBlock && inner.block.abstract {
			continue
		}
		if err := r.allOrdered(inner); err != nil {
			return err
		}
	}
	return nil
}

// ordered makes sure that a symbol that is declared stands in an order statement, if its kind has one.
func (r *resolver) ordered(s symbol) error {
	keyword := ""
	switch s := s.(type) {
	case *sid:
		keyword = "sidorder"
	case *category:
		keyword = "categoryorder"
	case *sensitivity:
		keyword = "sensitivityorder"
	case *class:
		if s.kind == classPlain {
			keyword = "classorder"
		}
	}
	if keyword == "" || r.inOrder[s] {
		return nil
	}
	return diagnosticAt(s.symbol().declared, "%s is in no %s", s.symbol().name, keyword)
}

// SPDX-License-Identifier: Apache-2.0

package dfa

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
)

// Rule is a pattern and what it is to mean: the tags of all rules that match are what a state's Accept is made from.
type Rule struct {
	Pattern Pattern
	Tag     int // 0, 1, 2 ...; several rules may share one
}

// Limits bound what Compile may use. The zero value stands for DefaultLimits.
type Limits struct {
	States int // of the automaton before it is minimised
	Memory int // bytes, an estimate
}

// DefaultLimits are far above what real profiles need, and below what harms.
func DefaultLimits() Limits { return Limits{States: 1 << 18, Memory: 256 << 20} }

// LimitError says which limit was reached.
type LimitError struct {
	What  string // "states", "memory"
	Limit int
}

func (e *LimitError) Error() string {
	if e.What == "memory" {
		return fmt.Sprintf("the patterns need an automaton of more than %d MiB of memory", e.Limit>>20)
	}
	return fmt.Sprintf("the patterns need an automaton of more than %d %s", e.Limit, e.What)
}

// Compile makes the minimal automaton of the rules. accept is asked once for each set of tags (sorted, without repetitions) that occurs, and its error
// ends the compilation. The same rules give the same automaton, whatever their order. Compile ends with the context.
func Compile(ctx context.Context, rules []Rule, accept func(tags []int) (Accept, error), limits Limits) (*Automaton, error) {
	standard := DefaultLimits()
	if limits.States == 0 {
		limits.States = standard.States
	}
	if limits.Memory == 0 {
		limits.Memory = standard.Memory
	}
	p := newPositions()
	var root trie
	for _, rule := range rules {
		if rule.Pattern.node != nil {
			p.insert(&root, rule.Pattern.node, p.end(rule.Tag))
		}
	}
	start := p.place(&root)
	b := builder{positions: p, limits: limits, accept: accept, known: map[string]uint32{}, accepts: map[string]Accept{}}
	b.classes()
	if err := b.run(ctx, start); err != nil {
		return nil, err
	}
	return b.minimize(), nil
}

// builder makes a deterministic automaton of positions.
type builder struct {
	*positions
	limits  Limits
	accept  func(tags []int) (Accept, error)
	accepts map[string]Accept

	class   [256]uint8
	width   int       // classes, and one for the symbol that is no byte
	members [][]uint8 // by number of set: the classes in it

	known  map[string]uint32
	states [][]int32 // by state, its places
	next   []uint32  // state*width + class
	says   []Accept
	key    []byte
}

// classes parts the bytes into those that no set of the patterns tells apart.
func (b *builder) classes() {
	var all set
	blocks := []set{all.not()}
	for i := range b.sets {
		for j := range len(blocks) {
			in, out := blocks[j].and(&b.sets[i]), blocks[j].minus(&b.sets[i])
			if in.len() > 0 && out.len() > 0 {
				blocks[j] = in
				blocks = append(blocks, out)
			}
		}
	}
	slices.SortFunc(blocks, func(x, y set) int { return int(x.first()) - int(y.first()) })
	for number := range blocks {
		for one := range blocks[number].bytes {
			b.class[one] = uint8(number)
		}
	}
	b.width = len(blocks) + 1
	b.members = make([][]uint8, len(b.sets))
	for i := range b.sets {
		for number := range blocks {
			if b.sets[i].has(blocks[number].first()) {
				b.members[i] = append(b.members[i], uint8(number))
			}
		}
	}
}

// run makes all states that can be reached.
func (b *builder) run(ctx context.Context, start int32) error {
	if _, err := b.state(nil); err != nil {
		return err
	}
	// The start is a state of its own even where it is as dead as the trap: the kernel has it in state 1.
	b.states = append(b.states, b.closureOf(start))
	says, err := b.meaning(b.states[1])
	if err != nil {
		return err
	}
	b.says = append(b.says, says)
	b.known[string(b.keyOf(b.states[1]))] = 1
	targets := make([][]int32, b.width)
	for i := 0; i < len(b.states); i++ {
		if i&0xff == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		for class := range targets {
			targets[class] = targets[class][:0]
		}
		for _, number := range b.states[i] {
			here := &b.places[number]
			if here.kind != match {
				continue
			}
			closure := b.closureOf(here.next)
			if here.set == outOfBandSet {
				targets[b.width-1] = append(targets[b.width-1], closure...)
				continue
			}
			for _, class := range b.members[here.set] {
				targets[class] = append(targets[class], closure...)
			}
		}
		for _, target := range targets {
			slices.Sort(target)
			to, err := b.state(slices.Compact(target))
			if err != nil {
				return err
			}
			b.next = append(b.next, to)
		}
	}
	return nil
}

func (b *builder) keyOf(places []int32) []byte {
	b.key = b.key[:0]
	for _, number := range places {
		b.key = binary.LittleEndian.AppendUint32(b.key, uint32(number))
	}
	return b.key
}

// state is the number of the state of the places.
func (b *builder) state(places []int32) (uint32, error) {
	if number, known := b.known[string(b.keyOf(places))]; known {
		return number, nil
	}
	if len(b.states) >= b.limits.States {
		return 0, &LimitError{"states", b.limits.States}
	}
	says, err := b.meaning(places)
	if err != nil {
		return 0, err
	}
	number := uint32(len(b.states))
	b.known[string(b.key)] = number
	b.states = append(b.states, slices.Clone(places))
	b.says = append(b.says, says)
	return number, nil
}

// meaning is what the ends among the places come to.
func (b *builder) meaning(places []int32) (Accept, error) {
	var tags []int
	var key []byte
	for _, number := range places {
		if b.places[number].kind == end {
			tags = append(tags, int(b.places[number].tag))
		}
	}
	if len(tags) == 0 {
		return Accept{}, nil
	}
	slices.Sort(tags)
	for _, tag := range tags {
		key = binary.LittleEndian.AppendUint32(key, uint32(tag))
	}
	if says, known := b.accepts[string(key)]; known {
		return says, nil
	}
	says, err := b.accept(tags)
	if err != nil {
		return Accept{}, err
	}
	b.accepts[string(key)] = says
	return says, nil
}

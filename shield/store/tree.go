// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"slices"
)

// change is a tree being changed: the pages that it makes are its own until the root is published.
type change struct {
	store   *Store
	batch   uint64
	root    *page
	freed   []uint64 // addresses of stored pages that were replaced
	pages   int      // fresh pages more than before
	freezes bool     // the checkpoint's own: a page that it gave an address keeps it in a copy
}

// pieces is what became of a page: nothing, itself or itself and new right neighbours, with the keys between them.
type pieces struct {
	pages []*page
	keys  [][]byte
}

// own returns a page, and its content, that this change may alter.
func (t *change) own(p *page) (*page, *content, error) {
	c, err := t.store.load(p)
	if err != nil || p.batch == t.batch {
		return p, c, err
	}
	copied := &content{keys: append(make([][]byte, 0, len(c.keys)+2), c.keys...)}
	if c.isLeaf() {
		copied.values = append(make([][]byte, 0, len(c.values)+2), c.values...)
	} else {
		copied.children = append(make([]*page, 0, len(c.children)+2), c.children...)
	}
	q := t.fresh(p.level, copied)
	switch {
	case p.state.Load() == fresh && t.freezes:
		q.pointer, t.pages = p.pointer, t.pages-1
	case p.state.Load() == fresh:
		t.pages--
	default:
		t.freed = append(t.freed, p.pointer.address())
	}
	return q, copied, nil
}

func (t *change) fresh(level uint8, c *content) *page {
	p := &page{level: level, batch: t.batch}
	p.content.Store(c)
	t.pages++
	return p
}

// drop forgets a page that this change owns.
func (t *change) drop(p *page) {
	t.pages--
	if p.pointer.address() != 0 {
		t.freed = append(t.freed, p.pointer.address())
	}
}

// put sets a key. Both slices are kept.
func (t *change) put(key, value []byte) error {
	return t.alter(key, func(c *content, i int, found bool) {
		if found {
			c.values[i] = value
			return
		}
		c.keys = slices.Insert(c.keys, i, key)
		c.values = slices.Insert(c.values, i, value)
	})
}

// remove deletes a key, if it is there.
func (t *change) remove(key []byte) error {
	value, err := t.store.find(t.root, key)
	if err != nil || value == nil {
		return err
	}
	return t.alter(key, func(c *content, i int, found bool) {
		if found {
			c.keys = slices.Delete(c.keys, i, i+1)
			c.values = slices.Delete(c.values, i, i+1)
		}
	})
}

// patch overwrites a part of a value, which grows with zeros as far as needed.
func (t *change) patch(key []byte, offset int, with []byte) error {
	old, err := t.store.find(t.root, key)
	if err != nil {
		return err
	}
	value := make([]byte, max(len(old), offset+len(with)))
	copy(value, old)
	copy(value[offset:], with)
	return t.put(key, value)
}

// alter applies edit to the leaf where key is or belongs, and keeps the tree in shape.
func (t *change) alter(key []byte, edit func(c *content, i int, found bool)) error {
	if t.root == nil {
		t.root = t.fresh(0, &content{keys: [][]byte{}, values: [][]byte{}})
	}
	result, err := t.descend(t.root, key, edit)
	if err != nil {
		return err
	}
	for len(result.pages) > 1 {
		top := t.fresh(result.pages[0].level+1, &content{keys: result.keys, children: result.pages})
		result = t.split(top, top.content.Load(), len(result.keys))
	}
	t.root = nil
	if len(result.pages) == 1 {
		t.root = result.pages[0]
	}
	return t.lower()
}

// lower takes away roots with one child.
func (t *change) lower() error {
	for t.root != nil && t.root.level > 0 {
		c, err := t.store.load(t.root)
		if err != nil {
			return err
		}
		if len(c.children) > 1 {
			return nil
		}
		top, c, err := t.own(t.root)
		if err != nil {
			return err
		}
		t.drop(top)
		t.root = c.children[0]
	}
	return nil
}

func (t *change) descend(p *page, key []byte, edit func(c *content, i int, found bool)) (pieces, error) {
	p, c, err := t.own(p)
	if err != nil {
		return pieces{}, err
	}
	if p.level == 0 {
		i, found := c.find(key)
		edit(c, i, found)
		if len(c.keys) == 0 {
			t.drop(p)
			return pieces{}, nil
		}
		return t.split(p, c, i), nil
	}
	i := c.child(key)
	below, err := t.descend(c.children[i], key, edit)
	if err != nil {
		return pieces{}, err
	}
	switch len(below.pages) {
	case 0:
		c.children = slices.Delete(c.children, i, i+1)
		if len(c.children) == 0 {
			t.drop(p)
			return pieces{}, nil
		}
		at := max(i-1, 0)
		c.keys = slices.Delete(c.keys, at, at+1)
	default:
		c.children[i] = below.pages[0]
		c.children = slices.Insert(c.children, i+1, below.pages[1:]...)
		c.keys = slices.Insert(c.keys, i, below.keys...)
		if len(below.pages) == 1 {
			if err := t.merge(c, i); err != nil {
				return pieces{}, err
			}
		}
	}
	return t.split(p, c, i), nil
}

// merge joins the child i with a neighbour where it has become small and both fit into one page with room to spare.
func (t *change) merge(c *content, i int) error {
	const small, roomy = BlockSize / 4, BlockSize * 3 / 4
	if len(c.children) < 2 || c.children[i].content.Load().size() >= small {
		return nil
	}
	left := max(i-1, 0)
	other := left
	if i == left {
		other = i + 1
	}
	neighbour, err := t.store.load(c.children[other])
	if err != nil {
		return err
	}
	mine := c.children[i].content.Load()
	if mine.size()+neighbour.size()+innerEntry+len(c.keys[left]) > roomy {
		return nil
	}
	into, joined, err := t.own(c.children[left])
	if err != nil {
		return err
	}
	from, taken, err := t.own(c.children[left+1])
	if err != nil {
		return err
	}
	if joined.isLeaf() {
		joined.values = append(joined.values, taken.values...)
	} else {
		joined.keys = append(joined.keys, c.keys[left])
		joined.children = append(joined.children, taken.children...)
	}
	joined.keys = append(joined.keys, taken.keys...)
	t.drop(from)
	c.children[left] = into
	c.children = slices.Delete(c.children, left+1, left+2)
	c.keys = slices.Delete(c.keys, left, left+1)
	return nil
}

// split divides a page that has grown too large, at most into three: in the middle, or behind the last key if that is where the change was at
// i, so that keys that come in ascending order leave full pages.
func (t *change) split(p *page, c *content, i int) pieces {
	result := pieces{pages: []*page{p}}
	for c.size() > BlockSize {
		cut := c.middle()
		if last := len(c.keys) - 1; i >= last && last > 0 && c.span(0, last) <= BlockSize-pageHeader-len(Pointer{}) {
			cut = last
		}
		right := &content{}
		var between []byte
		if c.isLeaf() {
			right.keys, right.values = slices.Clone(c.keys[cut:]), slices.Clone(c.values[cut:])
			between = separator(c.keys[cut-1], c.keys[cut])
			c.values = slices.Delete(c.values, cut, len(c.values))
		} else {
			between = c.keys[cut]
			right.keys, right.children = slices.Clone(c.keys[cut+1:]), slices.Clone(c.children[cut+1:])
			c.children = slices.Delete(c.children, cut+1, len(c.children))
		}
		c.keys = slices.Delete(c.keys, cut, len(c.keys))
		result.pages = slices.Insert(result.pages, 1, t.fresh(p.level, right))
		result.keys = slices.Insert(result.keys, 0, between)
	}
	return result
}

// middle is the entry before which the page is divided so that the larger half is as small as possible.
func (c *content) middle() int {
	total, best, at := c.span(0, len(c.keys)), 1<<30, 1
	left := 0
	for i := range c.keys {
		if larger := max(left, total-left); i > 0 && larger < best {
			best, at = larger, i
		}
		left += c.span(i, i+1)
	}
	return at
}

// separator is the shortest key that is greater than left and not greater than right.
func separator(left, right []byte) []byte {
	n := 0
	for n < len(left) && left[n] == right[n] {
		n++
	}
	return bytes.Clone(right[:n+1])
}

// find is the value of a key below a page, or nil.
func (s *Store) find(p *page, key []byte) ([]byte, error) {
	for p != nil {
		c, err := s.load(p)
		if err != nil {
			return nil, err
		}
		if p.level == 0 {
			if i, found := c.find(key); found {
				return c.values[i], nil
			}
			return nil, nil
		}
		p = c.children[c.child(key)]
	}
	return nil, nil
}

// walk visits the keys from <= key < to in order (an empty to: all) until visit returns false.
func (s *Store) walk(p *page, from, to []byte, visit func(key, value []byte) bool) (bool, error) {
	c, err := s.load(p)
	if err != nil {
		return false, err
	}
	if p.level == 0 {
		i, _ := c.find(from)
		for ; i < len(c.keys); i++ {
			if len(to) > 0 && bytes.Compare(c.keys[i], to) >= 0 || !visit(c.keys[i], c.values[i]) {
				return false, nil
			}
		}
		return true, nil
	}
	for i := c.child(from); i < len(c.children); i++ {
		if i > 0 && len(to) > 0 && bytes.Compare(c.keys[i-1], to) >= 0 {
			return false, nil
		}
		if more, err := s.walk(c.children[i], from, to, visit); err != nil || !more {
			return false, err
		}
	}
	return true, nil
}

// last is the greatest key in from <= key < to below a page.
func (s *Store) last(p *page, from, to []byte) (key, value []byte, err error) {
	c, err := s.load(p)
	if err != nil {
		return nil, nil, err
	}
	if p.level == 0 {
		i := len(c.keys)
		if len(to) > 0 {
			i, _ = c.find(to)
		}
		if i == 0 || bytes.Compare(c.keys[i-1], from) < 0 {
			return nil, nil, nil
		}
		return c.keys[i-1], c.values[i-1], nil
	}
	i := len(c.keys)
	if len(to) > 0 {
		i = c.child(to)
	}
	for ; i >= 0; i-- {
		if key, value, err = s.last(c.children[i], from, to); err != nil || key != nil {
			return key, value, err
		}
		if i > 0 && bytes.Compare(c.keys[i-1], from) <= 0 {
			break
		}
	}
	return nil, nil, nil
}

// SPDX-License-Identifier: Apache-2.0

package reach

import (
	"cmp"
	"slices"
)

// placed is an instruction at its address.
type placed struct {
	pc uint64
	instruction
}

func (p *placed) next() uint64 { return p.pc + uint64(p.size) }

// sweep decodes every instruction of a range, one after the other.
func (o *object) sweep(s span, each func(placed) bool) {
	code := o.codeFrom(s.start)
	code = code[:min(uint64(len(code)), s.end-s.start)]
	c := cursor{o: o}
	for pc := s.start; len(code) > 0; {
		in := o.machine.decode(&c, pc, code)
		in.size = min(in.size, len(code))
		if !each(placed{pc, in}) {
			return
		}
		pc += uint64(in.size)
		code = code[in.size:]
	}
}

// descend decodes what can be reached from an address by direct jumps, up to bounds.
func (o *object) descend(start uint64, bounds span, each func(placed) bool) []placed {
	seen := map[uint64]bool{}
	var found []placed
	for queue := []uint64{start}; len(queue) > 0; {
		pc := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		if !bounds.holds(pc) || seen[pc] {
			continue
		}
		o.sweep(span{pc, bounds.end}, func(p placed) bool {
			if seen[p.pc] || !each(p) {
				return false
			}
			seen[p.pc] = true
			found = append(found, p)
			if (p.flow == flowJump || p.flow == flowBranch) && p.direct {
				queue = append(queue, p.target)
			}
			return p.flow != flowJump && p.flow != flowStop
		})
	}
	slices.SortFunc(found, func(a, b placed) int { return cmp.Compare(a.pc, b.pc) })
	return found
}

// formedIn returns the addresses of data that code forms anywhere in an object, ascending: where one table ends, another starts.
func (o *object) formedIn(each func(placed) bool) []uint64 {
	var formed []uint64
	for _, f := range o.functions {
		o.sweep(f.span, func(p placed) bool {
			for _, m := range p.mentioned[:p.mentions] {
				if m.formed {
					formed = append(formed, m.addr)
				}
			}
			return each(p)
		})
	}
	slices.Sort(formed)
	return slices.Compact(formed)
}

// maximumTable bounds the entries of a jump table.
const maximumTable = 4096

// tableTargets reads what may be a jump table of a routine and returns the places in code that it names.
func (e *exploration) tableTargets(r *routine, table, end uint64, bases []uint64) []uint64 {
	var targets []uint64
	for _, form := range r.o.machine.tables() {
		from := bases
		if form.absolute || form.scale == 1 {
			from = []uint64{table, r.o.got} // i386: from the global offset table
		}
		for _, base := range from {
			for i := range uint64(maximumTable) {
				place := table + i*uint64(form.bytes)
				target, ok := r.o.tableEntry(place, base, form)
				if place >= end || !ok || !inside(r.o.code, target) || !e.spend() {
					break
				}
				if form.bytes >= 4 || r.span.holds(target) { // narrow entries do not lead far
					targets = append(targets, target)
				}
			}
		}
	}
	return targets
}

func (o *object) tableEntry(place, base uint64, form tableForm) (uint64, bool) {
	if form.absolute {
		if s, ok := o.slots[place]; ok {
			return s.addend, s.symbol == ""
		}
		word, ok := o.wordAt(place)
		return word, ok && !o.relocated
	}
	data := o.at(place, uint64(form.bytes))
	if len(data) < form.bytes {
		return 0, false
	}
	var entry int64
	switch form.bytes {
	case 1:
		entry = int64(int8(data[0]))
	case 2:
		entry = int64(int16(o.order.Uint16(data)))
	case 4:
		entry = int64(int32(o.order.Uint32(data)))
	}
	target := base + uint64(entry*form.scale)
	if o.word == 4 {
		target &= 0xffffffff
	}
	return target, true
}

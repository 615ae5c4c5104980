// SPDX-License-Identifier: Apache-2.0

package reach

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// routine is a function that is reached: a known one with all of its code, or what follows an address in the middle of one.
type routine struct {
	o       *object
	span    span
	whole   bool // all of span; otherwise what direct jumps reach from its start within it
	callers []callSite
	taken   string // where its address is held, so that not all callers are known; "" = nowhere
	traps   []placed
	targets []uint64 // where its computed jumps may lead, within span
	flow    *flowResult
	exits   []*routine // where it may go without coming back
	returns bool       // it has a return instruction, or a jump to who knows where
}

// callSite is a call, or a jump out of a routine.
type callSite struct {
	from *routine
	pc   uint64
	jump bool // the stack is the caller's own
	past bool // control leaves behind the instruction, which does not name where to
}

type place struct {
	o    *object
	addr uint64
}

// exploration is what is known of a program while it is followed.
type exploration struct {
	objects  []*object // the program, its libraries in the order of symbol lookup, the dynamic linker
	limits   Limits
	left     int // instructions that may still be decoded
	routines map[place]*routine
	order    []*routine // as found
	queue    []*routine
	symbols  map[string][]place
	missing  map[string]*object // symbols that nobody defines, and who asked first
	formed   map[*object][]uint64
	doubted  map[place]bool    // targets of jump tables that were looked at
	reached  map[string]string // exported functions that another object asked for: the first place
}

var errTooMuch = errors.New("more code than the limit allows")

// spend takes one decoded instruction from the limit.
func (e *exploration) spend() bool {
	e.left--
	return e.left >= 0
}

// explore follows a program from where it starts.
func (e *exploration) explore() error {
	for i, o := range e.objects {
		if i == 0 || o == e.objects[len(e.objects)-1] && e.objects[0].interp != "" {
			e.take(o, o.file.Entry, "the program's start")
		}
		for _, addr := range o.initial {
			e.take(o, addr, "a function that the dynamic linker calls")
		}
		e.takePointers(o)
		if o.goProgram || e.limits.Whole || len(o.functions) == 0 {
			e.takeAll(o)
		}
	}
	for len(e.queue) > 0 {
		r := e.queue[0]
		e.queue = e.queue[1:]
		e.follow(r)
		if e.left < 0 {
			return errTooMuch
		}
	}
	return nil
}

// takeAll reaches every function of an object: Go's linker has already removed what nobody can reach, and where no table says what a function
// is, all code may be one.
func (e *exploration) takeAll(o *object) {
	for _, f := range o.functions {
		e.reach(o, f.start)
	}
	if len(o.functions) > 0 {
		return
	}
	for _, s := range o.code {
		e.add(&routine{o: o, span: s, whole: true, taken: "code without function boundaries"})
	}
}

// takePointers reaches the functions whose addresses lie in data.
func (e *exploration) takePointers(o *object) {
	places := make([]uint64, 0, len(o.slots))
	for addr := range o.slots {
		places = append(places, addr)
	}
	slices.Sort(places)
	for _, addr := range places {
		switch s := o.slots[addr]; {
		case s.named:
		case s.symbol != "":
			for _, definition := range e.lookup(o, s) {
				e.take(definition.o, definition.addr, fmt.Sprintf("data at %#x of %s", addr, o.path))
			}
		case inside(o.code, s.addend):
			e.take(o, s.addend, fmt.Sprintf("data at %#x", addr))
		}
	}
	if o.relocated {
		return
	}
	for _, s := range o.segments {
		e.scanWords(o, s)
	}
}

// scanWords takes every word of a segment that is a function's address, outside code: a program for a fixed address has no relocations that
// would tell words which are addresses from others.
func (e *exploration) scanWords(o *object, s segment) {
	start := (s.start + o.word - 1) / o.word * o.word
	for addr := start; addr+o.word <= s.start+uint64(len(s.data)); addr += o.word {
		if s.executable && inside(o.code, addr) || inside(o.tables, addr) {
			continue
		}
		if value, ok := o.wordAt(addr); ok && o.plausible(value) {
			e.take(o, value, fmt.Sprintf("data at %#x", addr))
		}
	}
}

// plausible reports whether a number may be a function's address: the start of one, a stub, or a place in code that no table describes.
func (o *object) plausible(addr uint64) bool {
	if _, ok := o.starts[addr]; ok {
		return true
	}
	if !inside(o.code, addr) {
		return false
	}
	_, known := o.functionAt(addr)
	return !known || inside(o.plt, addr)
}

// take reaches a function whose address is held somewhere, so that anybody may call it.
func (e *exploration) take(o *object, addr uint64, where string) {
	if r := e.reach(o, addr); r != nil && r.taken == "" {
		r.taken = where
	}
}

// reach returns the routine that starts at an address, nil if there is no code.
func (e *exploration) reach(o *object, addr uint64) *routine {
	if r, ok := e.routines[place{o, addr}]; ok {
		return r
	}
	if !inside(o.code, addr) {
		return nil
	}
	r := &routine{o: o, span: span{addr, o.boundAfter(addr)}}
	known, ok := o.functionAt(addr)
	switch {
	case ok && known.start == addr:
		r.span, r.whole = known.span, true
	case ok && !inside(o.plt, addr):
		r.span = span{addr, known.end}
	}
	if !ok && inside(o.plt, addr) {
		r.span.end = max(r.span.end, addr+1)
	}
	e.add(r)
	return r
}

func (e *exploration) add(r *routine) {
	e.routines[place{r.o, r.span.start}] = r
	e.order = append(e.order, r)
	e.queue = append(e.queue, r)
}

// call notes a call or jump from a routine to an address.
func (e *exploration) call(from *routine, pc uint64, o *object, addr uint64, jump bool) {
	if r := e.reach(o, addr); r != nil {
		r.callers = append(r.callers, callSite{from: from, pc: pc, jump: jump})
		if jump {
			from.exits = append(from.exits, r)
		}
	}
}

// body returns a routine's instructions, ascending, calling each for every one as it is decoded.
func (e *exploration) body(r *routine, each func(placed)) []placed {
	var all []placed
	keep := func(p placed) bool {
		if !e.spend() {
			return false
		}
		each(p)
		if r.whole {
			all = append(all, p)
		}
		return true
	}
	if r.whole {
		r.o.sweep(r.span, keep)
		return all
	}
	return r.o.descend(r.span.start, r.span, keep)
}

// follow reads a routine and reaches what it names.
func (e *exploration) follow(r *routine) {
	computed, known := false, true
	body := e.body(r, func(p placed) {
		computed = computed || p.indirect()
		known = known && !p.bad
		e.visit(r, p)
	})
	if len(body) == 0 {
		return
	}
	last := body[len(body)-1]
	fits := last.next() == r.span.end
	for i := len(body) - 1; i > 0 && last.idle; i-- {
		last = body[i-1]
	}
	if fits && (last.flow == flowNext || last.flow == flowBranch) {
		if next := e.reach(r.o, r.span.end); next != nil {
			next.callers = append(next.callers, callSite{from: r, pc: last.pc, jump: true, past: true})
			r.exits = append(r.exits, next)
		}
	}
	if computed && !r.whole {
		if f, ok := r.o.functionAt(r.span.start); ok && !inside(r.o.plt, r.span.start) {
			e.take(r.o, f.start, fmt.Sprintf("a computed jump at %#x", r.span.start))
		}
	}
	if computed {
		e.followTables(r, body)
	}
	if !known && (r.whole || len(r.callers) > 0) { // an address that is only formed may be that of data among the code
		r.traps = append(r.traps, e.hiddenTraps(r, body)...)
	}
}

func (e *exploration) visit(r *routine, p placed) {
	if p.trap != trapNone {
		r.traps = append(r.traps, p)
	}
	if p.pops > 0 {
		r.o.pops[r.span.start] = int64(p.pops)
	}
	r.returns = r.returns || p.returns || p.indirect() || p.bad
	away := p.direct && !(r.span.holds(p.target) && (p.flow == flowJump || p.flow == flowBranch))
	if away {
		e.call(r, p.pc, r.o, p.target, p.flow != flowCall)
	}
	if p.bySlot {
		e.callSlot(r, p)
	}
	for _, m := range p.mentioned[:p.mentions] {
		e.mention(r, p.pc, m)
	}
}

// callSlot follows a call through a word that the dynamic linker fills.
func (e *exploration) callSlot(r *routine, p placed) {
	s, ok := r.o.slots[p.slot]
	switch {
	case !ok:
		r.returns = true
		if value, ok := r.o.wordAt(p.slot); ok && !r.o.relocated && inside(r.o.code, value) {
			e.call(r, p.pc, r.o, value, p.flow != flowCall)
		}
	case s.symbol == "":
		e.call(r, p.pc, r.o, s.addend, p.flow != flowCall)
	default:
		for _, definition := range e.lookup(r.o, s) {
			e.call(r, p.pc, definition.o, definition.addr, p.flow != flowCall)
		}
	}
}

// mention follows an address that code names without going there.
func (e *exploration) mention(r *routine, pc uint64, m mention) {
	if s, ok := r.o.slots[m.addr]; ok {
		where := fmt.Sprintf("code at %#x of %s", pc, r.o.path)
		if s.symbol == "" {
			e.take(r.o, s.addend, where)
			return
		}
		for _, definition := range e.lookup(r.o, s) {
			e.take(definition.o, definition.addr, where)
		}
		return
	}
	if !m.formed || !inside(r.o.code, m.addr) || r.whole && m.addr != r.span.start && r.span.holds(m.addr) {
		return
	}
	if r.o.relocated && r.o.word == 8 || r.o.plausible(m.addr) {
		e.take(r.o, m.addr, fmt.Sprintf("code at %#x", pc))
	}
}

// lookup returns where a symbol is defined: in the first object in order that has it, whatever its version.
func (e *exploration) lookup(by *object, s slot) []place {
	if found, ok := e.symbols[s.symbol]; ok {
		return found
	}
	var found []place
	for _, o := range e.objects {
		for _, addr := range o.exports[s.symbol] {
			found = append(found, place{o, addr})
		}
		if len(found) > 0 {
			break
		}
	}
	e.symbols[s.symbol] = found
	if len(found) > 0 && found[0].o != by {
		e.reached[s.symbol] = by.path
	}
	if len(found) == 0 && !s.weak && s.symbol != "" {
		e.missing[s.symbol] = by
	}
	return found
}

// followTables reads the jump tables that a routine with a computed jump may use, and reaches what they name outside of it.
func (e *exploration) followTables(r *routine, body []placed) {
	formed, ok := e.formed[r.o]
	if !ok {
		formed = r.o.formedIn(func(placed) bool { return e.spend() })
		e.formed[r.o] = formed
	}
	var tables, bases []uint64
	for i := range body {
		for _, m := range body[i].mentioned[:body[i].mentions] {
			if m.formed && r.span.holds(m.addr) {
				bases = append(bases, m.addr)
			}
			if m.formed {
				tables = append(tables, m.addr)
			}
		}
	}
	slices.Sort(tables)
	var targets []uint64
	for _, table := range slices.Compact(tables) {
		end := table + maximumTable*8
		if i, _ := slices.BinarySearch(formed, table+1); i < len(formed) {
			end = min(end, formed[i])
		}
		targets = append(targets, e.tableTargets(r, table, end, bases)...)
	}
	slices.Sort(targets)
	targets = slices.Compact(targets)
	var outside []uint64
	for _, target := range targets {
		if r.span.holds(target) {
			r.targets = append(r.targets, target)
		} else if key := (place{r.o, target}); !e.doubted[key] && e.routines[key] == nil {
			e.doubted[key] = true
			outside = append(outside, target)
		}
	}
	for _, target := range e.atInstructions(r.o, outside) {
		e.take(r.o, target, fmt.Sprintf("a computed jump of %s", r.o.nameOf(r.span.start)))
	}
}

// atInstructions returns those of some ascending addresses where an instruction starts, as the function there is read from its start. What was
// read of a table beyond its end is not likely to be one.
func (e *exploration) atInstructions(o *object, addrs []uint64) []uint64 {
	var kept []uint64
	for len(addrs) > 0 {
		f, ok := o.functionAt(addrs[0])
		if !ok {
			kept, addrs = append(kept, addrs[0]), addrs[1:]
			continue
		}
		o.sweep(f.span, func(p placed) bool {
			for len(addrs) > 0 && addrs[0] < p.pc {
				addrs = addrs[1:]
			}
			if len(addrs) > 0 && addrs[0] == p.pc {
				kept, addrs = append(kept, p.pc), addrs[1:]
			}
			return len(addrs) > 0 && f.holds(addrs[0]) && e.spend()
		})
		for len(addrs) > 0 && f.holds(addrs[0]) {
			addrs = addrs[1:]
		}
	}
	return kept
}

// endless reports whether a call never comes back: it is to a function that neither returns nor leaves for one that does. Compilers put no code
// of the caller's behind such a call. In Go, whose scheduler resumes functions that never return by themselves, names tell.
func (e *exploration) endless(o *object, target uint64) bool {
	if o.goProgram {
		return goEndless(o.nameOf(target))
	}
	seen := map[*routine]bool{}
	queue := []*routine{e.routines[place{o, target}]}
	for len(queue) > 0 {
		r := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		if r == nil || r.returns || len(seen) > 16 {
			return false
		}
		if !seen[r] {
			seen[r] = true
			queue = append(queue, r.exits...)
		}
	}
	return true
}

// goEndless reports whether a function of Go's runtime, or a name of one in another package of Go's own, ends the program or unwinds it.
func goEndless(name string) bool {
	name, ofRuntime := strings.CutPrefix(name, "runtime.")
	if !ofRuntime {
		at := strings.LastIndexByte(name, '.')
		return (strings.HasPrefix(name, "internal/") || strings.HasPrefix(name, "sync.")) && at >= 0 && (name[at:] == ".throw" || name[at:] == ".fatal")
	}
	return name == "throw" || name == "fatal" || name == "gopanic" || strings.HasPrefix(name, "panic") || strings.HasPrefix(name, "goPanic")
}

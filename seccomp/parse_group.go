// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"slices"
	"strconv"
	"strings"

	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

// group reads one element of syscalls.
func (p *parser) group() {
	g := group{offset: p.start()}
	if p.entries++; p.entries > maximumRules {
		if p.entries == maximumRules+1 {
			p.errors.add(g.offset, "syscalls: an entry more than %d", maximumRules)
		}
		p.skip()
		return
	}
	first := len(p.names)
	var action Action
	var errno errnoFields
	var seen callSet
	var named, single, found bool
	argsAt := g.offset
	if !p.required("syscalls", '{') {
		return
	}
	p.object("syscalls", groupFields, func(field int) {
		switch field {
		case 0:
			named = p.callNames(&seen) || named
		case 1:
			action, _, found = p.actionOf("action")
		case 2:
			argsAt = p.start()
			p.array("args", func() { p.argument(&g) })
		case 3:
			p.errnoRet("errnoRet", &errno)
		case 4:
			p.errnoName("errno", &errno)
		case 5:
			p.filter("includes", &g.includes)
		case 6:
			p.filter("excludes", &g.excludes)
		case 7:
			p.skip()
		case 8:
			if name, at, ok := p.string("name"); ok {
				single = true
				p.call(&seen, name, at)
			}
		}
	})
	switch {
	case p.broken:
		return
	case named && single:
		p.errors.add(g.offset, "syscalls: both name and names, expected one of them")
	case !named && !single:
		p.errors.add(g.offset, "syscalls: no names, expected those of the calls that are meant")
	}
	if found {
		g.action = p.answer("action", action, errno)
	} else {
		p.errors.add(g.offset, "syscalls: no action, expected one, such as SCMP_ACT_ALLOW")
	}
	p.conditions(&g, argsAt)
	g.names, g.calls = slices.Clip(p.names[first:]), slices.Clip(p.calls[first:])
	p.profile.groups = append(p.profile.groups, g)
}

// callSet has two bits for each call: one for its name, one for what else it is called (arm_sync_file_range is sync_file_range2).
type callSet [2][syscalls.Count/64 + 1]uint64

// add reports whether the call was not there by that name.
func (s *callSet) add(call syscalls.Call, name string) bool {
	set := &s[0]
	if name != call.String() {
		set = &s[1]
	}
	word, bit := &set[call/64], uint64(1)<<(call%64)
	fresh := *word&bit == 0
	*word |= bit
	return fresh
}

// callNames reads the names of calls. It reports whether they are there.
func (p *parser) callNames(seen *callSet) (present bool) {
	start, empty := p.start(), true
	present = p.strings("names", func(name string, at int) {
		empty = false
		p.call(seen, name, at)
	})
	if present && empty {
		p.warnings.add(start, "names: empty, so that the entry means nothing")
	}
	return present
}

// call takes the name of a call. Names that are no call of any kernel are passed over: they are newer than this program, or the kernel has
// dropped them.
func (p *parser) call(seen *callSet, name string, at int) {
	call, known := syscalls.Lookup(name)
	switch {
	case name == "":
		p.errors.add(at, "name: empty, expected the name of a call")
	case !known:
		p.warnings.add(at, "name: no kernel has a call %q, ignored", shortened(name))
	case seen.add(call, name):
		p.names, p.calls = append(p.names, name), append(p.calls, call)
		if since := call.Since(); p.profile.newest.Before(since) {
			p.profile.newest = since
		}
	}
}

// argument reads one element of args.
func (p *parser) argument(g *group) {
	a := argument{offset: p.start()}
	var index, value, second uint64
	var secondAt int
	if !p.required("args", '{') {
		return
	}
	missing := []string{"index", "value", "op"}
	p.object("args", argsFields, func(field int) {
		if p.peek() != 'n' {
			missing = slices.DeleteFunc(missing, func(name string) bool { return name == argsFields[field] })
		}
		switch field {
		case 0:
			index, _, _ = p.integer("index", 5)
		case 1:
			value, _, _ = p.integer("value", maximumValue)
		case 2:
			second, secondAt, _ = p.integer("valueTwo", maximumValue)
		case 3:
			a.Op = p.operator()
		case 4:
			a.Width = p.width()
		}
	})
	a.Index = int(index)
	switch {
	case p.broken:
		return
	case len(missing) > 0:
		p.errors.add(a.offset, "args: no %s, expected index, value and op", missing[0])
	case a.Op == MaskedEqual:
		a.Mask, a.Value = value, second
		p.masked(a)
	default:
		a.Value = value
		if second != 0 {
			p.warnings.add(secondAt, "valueTwo: %d is ignored, expected it with SCMP_CMP_MASKED_EQ only", second)
		}
	}
	g.arguments = append(g.arguments, a)
}

// masked reports masks that hide what is compared.
func (p *parser) masked(a argument) {
	switch {
	case a.Mask == 0:
		p.warnings.add(a.offset, "args: a mask (value) of 0 hides all of the argument, so that the condition always holds")
	case a.Value&^a.Mask != 0:
		p.warnings.add(a.offset, "args: valueTwo %#x has bits that the mask (value) %#x hides, ignored", a.Value, a.Mask)
	}
}

// operator reads an operator.
func (p *parser) operator() Operator {
	name, at, ok := p.string("op")
	if !ok {
		return Equal
	}
	op, known := valueOf(operatorNames, name)
	if known {
		return op
	}
	p.errors.add(at, "op: unknown operator %q, expected %s", shortened(name), namesOf(operatorNames))
	return Equal
}

// width reads how many bits are compared.
func (p *parser) width() int {
	value, at, ok := p.integer("width", maximumValue)
	if ok && value != 32 && value != 64 {
		p.errors.add(at, "width: got %d, expected 32 or 64", value)
	}
	return int(value)
}

// conditions takes the arguments of a group apart.
func (p *parser) conditions(g *group, at int) {
	if len(g.arguments) > maximumArguments {
		p.errors.add(at, "args: %d conditions, expected at most %d", len(g.arguments), maximumArguments)
		return
	}
	lists, apart := alternates(g.arguments)
	switch {
	case lists == nil:
		p.errors.add(apart.offset, "args: conditions on argument %d that contradict each other, in more than %d combinations", apart.Index, maximumAlternate)
	case apart != nil:
		p.warnings.add(apart.offset, "args: conditions on argument %d contradict each other, taken as alternatives", apart.Index)
	}
	g.alternates = lists
	if p.rules += len(lists); p.rules > maximumRules && p.rules-len(lists) <= maximumRules {
		p.errors.add(g.offset, "syscalls: more than %d rules, where contradicting conditions make several of one entry", maximumRules)
	}
}

// filter reads includes or excludes.
func (p *parser) filter(what string, f *filter) {
	p.object(what, filterFields, func(field int) {
		switch field {
		case 0:
			p.strings("caps", func(name string, at int) { p.capability(f, name, at) })
		case 1:
			p.strings("arches", func(name string, at int) { p.architecture(f, name, at) })
		case 2:
			f.kernel = p.kernel()
		}
	})
}

// capability takes the name of a capability.
func (p *parser) capability(f *filter, name string, at int) {
	switch prefixed, known := capability(name); {
	case !prefixed:
		p.errors.add(at, "caps: got %q, expected a name such as CAP_SYS_ADMIN", shortened(name))
	case !known:
		p.warnings.add(at, "caps: no kernel has a capability %s", shortened(name))
		fallthrough
	default:
		f.capabilities = append(f.capabilities, name)
	}
}

// architecture takes a name of a machine.
func (p *parser) architecture(f *filter, name string, at int) {
	if abi := architecture(name); abi != nil {
		f.machines = append(f.machines, abi)
		return
	}
	p.errors.add(at, "arches: unknown architecture %q, expected a name such as amd64", shortened(name))
}

// kernel reads a kernel's version.
func (p *parser) kernel() Version {
	text, at, ok := p.string("minKernel")
	if !ok || text == "" {
		return Version{}
	}
	major, minor, found := strings.Cut(text, ".")
	a, errMajor := strconv.ParseUint(major, 10, 8)
	b, errMinor := strconv.ParseUint(minor, 10, 8)
	if !found || errMajor != nil || errMinor != nil || a == 0 && b == 0 {
		p.errors.add(at, "minKernel: got %q, expected MAJOR.MINOR, such as 4.8", shortened(text))
	}
	return Version{Major: uint8(a), Minor: uint8(b)}
}

// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"cmp"
	"strings"

	"github.com/bulkhead-project/bulkhead/apparmor/binary"
)

// lastClass is the highest that kernels know.
const lastClass = 32

// mediation compares policydb class by class.
func (d *differ) mediation() error {
	for class := byte(1); class <= lastClass; class++ {
		a, b := classStart(d.a, class), classStart(d.b, class)
		if class == classLabel || a == 0 && b == 0 {
			continue // no kernel asks for labels of several profiles by a class of their own
		}
		if a == 0 || b == 0 {
			mediated := func(state uint32) string {
				if state == 0 {
					return "not mediated: everything is allowed"
				}
				return "mediated"
			}
			d.add(className(class), "", mediated(a), mediated(b))
			continue
		}
		if class == classFile {
			continue // its strings are file rules, and files compares them
		}
		if err := d.class(class, a, b); err != nil {
			return err
		}
	}
	return nil
}

func (d *differ) class(class byte, startA, startB uint32) error {
	parts := partsOf(class)
	a, b := d.a.PolicyDB, d.b.PolicyDB
	look := func(p *binary.Profile, state uint32) permissions {
		return policyPermissions(p.PolicyDB, p.Version.Kernel, state)
	}
	walk := comparison{a: a.Automaton, b: b.Automaton, start: place{startA, startB, 0}, alone: parts.alone, numbers: socketClass(class)}
	walk.part = func(at place, b byte) (uint16, bool) {
		return parts.next(at.part, b, func() (x, y permissions) { return look(d.a, at.a), look(d.b, at.b) })
	}
	words := func(perms uint32) string {
		if perms == asked(class) && class != classNamespace {
			return "everything"
		}
		return strings.Join(accessWords(class, perms), " ")
	}
	view := func(p *binary.Profile, state uint32, part uint16, second bool) permissions {
		perms := d.effective(look(p, state), parts.asked(part))
		if class == classMount {
			switch unpackMount(part).decided(second) {
			case dataGrants:
				perms = permissions{allow: mountMount}
			case dataRefuses:
				perms = permissions{}
			}
		}
		perms.xindex = 0
		return perms
	}
	walk.differ = func(at place) (string, string, bool) {
		x, y := view(d.a, at.a, at.part, false), view(d.b, at.b, at.part, true)
		return x.describe(words(x.allow), words), y.describe(words(y.allow), words), x != y
	}
	found, err := walk.run(d.options.Witnesses)
	for _, w := range found {
		x, y := view(d.a, w.at.a, w.at.part, false), view(d.b, w.at.b, w.at.part, true)
		// The witness is for what only one side has, if there is such an access; else for what is logged differently.
		differing := cmp.Or(x.allow^y.allow, x.audit^y.audit, x.quiet^y.quiet, x.kill^y.kill, x.complain^y.complain, x.prompt^y.prompt, x.hide^y.hide)
		d.add(className(class), operation(class, w.text, differing), w.a, w.b)
	}
	d.more(found)
	return err
}

// parts are how strings of a class go on, and which permissions are asked for where they may end.
type parts struct {
	next  func(part uint16, b byte, look func() (a, b permissions)) (next uint16, ever bool)
	asked func(part uint16) uint32
	alone func(b byte) uint8
}

func partsOf(class byte) parts {
	all := asked(class)
	always := func(uint16) uint32 { return all }
	switch class {
	case classMount:
		return parts{
			next: func(part uint16, b byte, look func() (a, b permissions)) (uint16, bool) {
				next, ever := unpackMount(part).next(b, look)
				return next.pack(), ever
			},
			asked: func(part uint16) uint32 { return unpackMount(part).asked() },
			alone: func(b byte) uint8 { return min(b, 33) },
		}
	case classSignal: // a signal, then a label, which is not empty
		return parts{
			next: func(part uint16, b byte, _ func() (a, b permissions)) (uint16, bool) {
				return min(part+1, 2), part == 0 || b != 0
			},
			asked: func(part uint16) uint32 { return all * uint32(part/2) },
			alone: nulAndSlash,
		}
	case classPtrace: // a label
		return parts{
			next:  func(_ uint16, b byte, _ func() (a, b permissions)) (uint16, bool) { return 1, b != 0 },
			asked: func(part uint16) uint32 { return all * uint32(part) },
			alone: nulAndSlash,
		}
	case classIOUring: // nothing, or a label
		return parts{next: func(_ uint16, b byte, _ func() (a, b permissions)) (uint16, bool) { return 0, b != 0 }, asked: always, alone: nulAndSlash}
	case classNamespace: // nothing
		return parts{next: func(uint16, byte, func() (a, b permissions)) (uint16, bool) { return 0, false }, asked: always}
	case classNetworkV8, classNetworkV9:
		return parts{next: socketPart, alone: socketByte, asked: func(part uint16) uint32 {
			if part < socketPartMore {
				return 0
			}
			return all
		}}
	}
	if all == 0 {
		always = func(uint16) uint32 { return ^uint32(canLock) }
	}
	return parts{next: func(uint16, byte, func() (a, b permissions)) (uint16, bool) { return 0, true }, asked: always}
}

func socketClass(class byte) bool {
	return class == classNetwork || class == classNetworkV8 || class == classNetworkV9
}

// socketPartMore is behind the two bytes of a family and the two of a type.
const socketPartMore = 4

// socketTypesEnd is SOCK_MAX.
const socketTypesEnd = 11

// socketPart follows what sockets there are: no kernel asks for others.
func socketPart(part uint16, b byte, _ func() (a, b permissions)) (uint16, bool) {
	switch part {
	case 0, 2:
		return part + 1, b == 0
	case 1:
		return part + 1, int(b) < len(families)
	case 3:
		return part + 1, b < socketTypesEnd
	}
	return socketPartMore, true
}

func socketByte(b byte) uint8 {
	switch {
	case b == 0:
		return 0
	case b < socketTypesEnd:
		return 1
	case int(b) < len(families):
		return 2
	}
	return 3
}

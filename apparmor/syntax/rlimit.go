// SPDX-License-Identifier: Apache-2.0

package syntax

import (
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// rlimitUnit says what the value of a limit is counted in.
type rlimitUnit int

const (
	countUnit rlimitUnit = iota
	sizeUnit
	secondUnit
	microsecondUnit
	niceUnit
)

// niceZero is what the nice value 0 is stored as. setrlimit(2) counts the other way, from 20 down; but this is what apparmor_parser makes of the
// number, and policies are written for it.
const niceZero = 20

var rlimitUnits = map[string]rlimitUnit{
	"cpu": secondUnit, "fsize": sizeUnit, "data": sizeUnit, "stack": sizeUnit, "core": sizeUnit, "rss": sizeUnit, "nofile": countUnit, "ofile": countUnit,
	"as": sizeUnit, "nproc": countUnit, "memlock": sizeUnit, "locks": countUnit, "sigpending": countUnit, "msgqueue": sizeUnit, "nice": niceUnit,
	"rtprio": countUnit, "rttime": microsecondUnit,
}

// microseconds of the units of time; "" is the limit's own.
var microseconds = map[string]uint64{
	"us": 1, "microsecond": 1, "microseconds": 1, "ms": 1e3, "millisecond": 1e3, "milliseconds": 1e3, "s": 1e6, "sec": 1e6, "second": 1e6, "seconds": 1e6,
	"min": 60e6, "minute": 60e6, "minutes": 60e6, "h": 3600e6, "hour": 3600e6, "hours": 3600e6, "d": 86400e6, "day": 86400e6, "days": 86400e6,
	"week": 604800e6, "weeks": 604800e6,
}

// rlimit reads the rest of set rlimit NAME <= VALUE.
func (p *parser) rlimit(qualifiers Qualifiers) bool {
	p.skip()
	if p.peekName() != "rlimit" {
		return p.unexpected("rlimit")
	}
	p.name()
	p.skip()
	place := p.position()
	resource := p.name()
	unit, known := rlimitUnits[resource]
	if !known {
		return p.failAt(place, "a limit: cpu, fsize, data, stack, core, rss, nofile, as, nproc, memlock, locks, sigpending, msgqueue, nice, rtprio or rttime", "unknown limit %q", resource)
	}
	p.skip()
	if !p.accept("<=") {
		return p.unexpected(`"<="`)
	}
	p.skip()
	place = p.position()
	rule := &RlimitRule{Qualifiers: qualifiers, Resource: resource}
	if p.peekName() == "infinity" {
		p.name()
		rule.Value, rule.Infinite = math.MaxUint64, true
		return p.add(rule)
	}
	start := p.at
	if c := p.peek(); c == '-' || c == '+' {
		p.at++
	}
	for isDigit(p.peek()) {
		p.at++
	}
	number := p.text[start:p.at]
	p.skipBlanks()
	value, fault := rlimitValue(unit, number, p.name())
	if fault != "" {
		return p.failAt(place, "", "%s of the limit %s", fault, resource)
	}
	rule.Value = value
	return p.add(rule)
}

// rlimitValue computes what setrlimit(2) gets, or says what is wrong.
func rlimitValue(unit rlimitUnit, number, suffix string) (value uint64, fault string) {
	if unit == niceUnit {
		nice, err := strconv.Atoi(number)
		if err != nil || nice < -20 || nice > 19 || suffix != "" {
			return 0, "bad value, expected a number from -20 to 19,"
		}
		return uint64(niceZero + nice), ""
	}
	value, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return 0, "bad value, expected a number or infinity,"
	}
	factor, divisor := uint64(1), uint64(1)
	switch {
	case suffix == "" || unit == countUnit:
		if suffix != "" {
			return 0, "unexpected unit " + suffix
		}
	case unit == sizeUnit:
		switch strings.TrimSuffix(suffix, "B") {
		case "K":
			factor = 1 << 10
		case "M":
			factor = 1 << 20
		case "G":
			factor = 1 << 30
		default:
			return 0, "bad unit " + suffix + ", expected K, M or G,"
		}
	default:
		factor = microseconds[suffix]
		if unit == secondUnit {
			divisor = 1e6
		}
		if factor < divisor || factor == 0 {
			return 0, "bad unit " + suffix
		}
	}
	high, low := bits.Mul64(value, factor)
	if high != 0 {
		return 0, "too large a value"
	}
	return low / divisor, ""
}

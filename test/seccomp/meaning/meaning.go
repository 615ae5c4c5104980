// SPDX-License-Identifier: Apache-2.0

// Package meaning says what a profile means, as directly as it can be said: it walks the rules for one call, by numbers with a sign, and shares nothing with the compiler but the tables of calls. Tests hold compiled filters against it.
package meaning

import (
	"cmp"
	"slices"
	"strings"

	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

// Profile is the seccomp object of an OCI config.json, as far as it concerns the answers.
type Profile struct {
	Native          string   `json:"-"` // the machine's own ABI, which is always listed
	DefaultAction   string   `json:"defaultAction"`
	DefaultErrnoRet *uint16  `json:"defaultErrnoRet,omitempty"`
	Architectures   []string `json:"architectures,omitempty"`
	Syscalls        []Entry  `json:"syscalls,omitempty"`
}

// Entry is one of its syscalls.
type Entry struct {
	Names    []string `json:"names"`
	Action   string   `json:"action"`
	ErrnoRet *uint16  `json:"errnoRet,omitempty"`
	Args     []Arg    `json:"args,omitempty"`
}

// Arg is one of its args: a condition.
type Arg struct {
	Index    uint   `json:"index"`
	Value    uint64 `json:"value"`
	ValueTwo uint64 `json:"valueTwo,omitempty"`
	Op       string `json:"op"`
	Width    int    `json:"width,omitempty"`
}

// Values of seccomp_data's answer, linux/seccomp.h, from the strictest.
var order = []string{"SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP", "SCMP_ACT_ERRNO", "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE", "SCMP_ACT_LOG", "SCMP_ACT_ALLOW"}
var values = []uint32{0x80000000, 0, 0x00030000, 0x00050000, 0x7fc00000, 0x7ff00000, 0x7ffc0000, 0x7fff0000}

const killThread = 0

// noSystemCall is ERRNO(ENOSYS).
func noSystemCall(abi *syscalls.ABI) uint32 {
	if strings.HasPrefix(abi.Name, "mips") {
		return 0x00050000 | 89
	}
	return 0x00050000 | 38
}

// strictness is the place of an action in order.
func strictness(action string) int {
	if action == "SCMP_ACT_KILL" {
		action = "SCMP_ACT_KILL_THREAD"
	}
	return slices.Index(order, action)
}

// Value is what a filter returns for an action with its errnoRet.
func Value(action string, number *uint16) uint32 {
	v := values[strictness(action)]
	if action == "SCMP_ACT_ERRNO" || action == "SCMP_ACT_TRACE" {
		if number == nil {
			return v | 1 // EPERM
		}
		return v | uint32(*number)
	}
	return v
}

// Action returns what a filter has to return for a call.
func (p *Profile) Action(d bpf.Data) uint32 {
	abi := p.ABI(d)
	if abi == nil {
		return killThread
	}
	call, ok := abi.Call(d.Number)
	if !p.passes() && (!ok || p.newest().Before(call.Since())) {
		return noSystemCall(abi)
	}
	if !ok {
		return Value(p.DefaultAction, p.DefaultErrnoRet)
	}
	own := p.answer(call, func(a Arg) bool { return holds(abi, call, a, d.Args[a.Index]) })
	if sub, ok := multiplexed(call, d); ok && !p.names(call) {
		return p.multiplexer(abi, own, sub)
	}
	return own.value
}

// passes reports whether the default action lets calls pass that the profile does not know, or asks somebody.
func (p *Profile) passes() bool {
	return strictness(p.DefaultAction) >= strictness("SCMP_ACT_NOTIFY")
}

// verdict is an answer with its place in order.
type verdict struct {
	strictness int
	value      uint32
	named      bool // by a rule
}

// answer is the strictest of the rules that hold, the first of those that are equally strict, else the default. Of rules without conditions the first counts.
func (p *Profile) answer(call syscalls.Call, holds func(Arg) bool) verdict {
	best, found, settled := verdict{}, false, false
	for _, e := range p.Syscalls {
		if !slices.Contains(e.Names, call.String()) || !all(e.Args, holds) || len(e.Args) == 0 && settled {
			continue
		}
		settled = settled || len(e.Args) == 0
		if s := strictness(e.Action); !found || s < best.strictness {
			best, found = verdict{s, Value(e.Action, e.ErrnoRet), true}, true
		}
	}
	if !found {
		return verdict{strictness(p.DefaultAction), Value(p.DefaultAction, p.DefaultErrnoRet), false}
	}
	return best
}

// Holds reports whether the conditions of an entry hold for a call, whether the entry names it or not.
func (p *Profile) Holds(e *Entry, d bpf.Data) bool {
	abi := p.ABI(d)
	if abi == nil {
		return false
	}
	call, _ := abi.Call(d.Number)
	return all(e.Args, func(a Arg) bool { return holds(abi, call, a, d.Args[a.Index]) })
}

// all reports whether the conditions hold: together, but those on one argument that no value meets together hold where any of them does.
func all(args []Arg, holds func(Arg) bool) bool {
	for index := range uint(6) {
		var same []Arg
		for _, a := range args {
			if a.Index == index {
				same = append(same, a)
			}
		}
		if len(same) == 0 {
			continue
		}
		each, any := true, false
		for _, a := range same {
			each, any = each && holds(a), any || holds(a)
		}
		if !each && (!any || possible(same)) {
			return false
		}
	}
	return true
}

func (p *Profile) newest() syscalls.Version {
	var newest syscalls.Version
	for _, e := range p.Syscalls {
		for _, name := range e.Names {
			if call, ok := syscalls.Lookup(name); ok && newest.Before(call.Since()) {
				newest = call.Since()
			}
		}
	}
	return newest
}

// ABI is the way by which a call enters, if the profile lists it. Number -1, which is none, is not x32's.
func (p *Profile) ABI(d bpf.Data) *syscalls.ABI {
	for _, name := range append([]string{p.Native}, p.Architectures...) {
		abi := syscalls.ByOCI(name)
		isX32 := d.Arch == 0xc000003e && d.Number >= 0x40000000
		if abi != nil && abi.Audit == d.Arch && ((abi.Name == "x32") == isX32 || d.Number == 0xffffffff) {
			return abi
		}
	}
	return nil
}

// holds decides one condition, by numbers with a sign.
func holds(abi *syscalls.ABI, call syscalls.Call, a Arg, argument uint64) bool {
	bits, signed := 64, false
	if t := abi.Argument(call, int(a.Index)); a.Width != 0 {
		bits = a.Width
	} else if t.Bits != 0 {
		bits, signed = int(t.Bits), t.Signed
	}
	bits = min(bits, abi.Word)
	low := ^uint64(0) >> (64 - bits)
	if a.Op == "SCMP_CMP_MASKED_EQ" {
		return argument&a.Value&low == a.ValueTwo&a.Value&low
	}
	c := register(argument&low, bits, signed).compare(constant(a.Value, bits, signed))
	switch a.Op {
	case "SCMP_CMP_NE":
		return c != 0
	case "SCMP_CMP_LT":
		return c < 0
	case "SCMP_CMP_LE":
		return c <= 0
	case "SCMP_CMP_EQ":
		return c == 0
	case "SCMP_CMP_GE":
		return c >= 0
	case "SCMP_CMP_GT":
		return c > 0
	}
	panic("no operator " + a.Op)
}

// number is a sign and a magnitude: all that 64 bits may mean.
type number struct {
	negative  bool
	magnitude uint64
}

func (n number) compare(m number) int {
	switch {
	case n.negative && m.negative:
		return cmp.Compare(m.magnitude, n.magnitude)
	case n.negative:
		return -1
	case m.negative:
		return 1
	}
	return cmp.Compare(n.magnitude, m.magnitude)
}

// register is the number that the low bits of a register are.
func register(value uint64, bits int, signed bool) number {
	if signed && value>>(bits-1) == 1 {
		return number{true, -value & (^uint64(0) >> (64 - bits))}
	}
	return number{false, value}
}

// constant is the number that a profile means. One that is negative as 64 bits, or as the argument's own, is so for a signed argument; for an
// unsigned one -1 to -2^(bits-1) in 64 bits are what C makes of them.
func constant(value uint64, bits int, signed bool) number {
	switch {
	case bits == 64 || value>>bits == 0:
		return register(value, bits, signed)
	case !signed && -value <= 1<<(bits-1):
		return number{false, value & (1<<bits - 1)}
	case signed && value>>63 == 1:
		return number{true, -value}
	}
	return number{false, value}
}

// possible reports whether some 64 bits meet all conditions on them, compared raw: it goes up from the lowest that may, one step for each
// number that NE excludes.
func possible(same []Arg) bool {
	low, high, mask, want := uint64(0), ^uint64(0), uint64(0), uint64(0)
	var not []uint64
	for _, a := range same {
		v := a.Value
		switch a.Op {
		case "SCMP_CMP_NE":
			not = append(not, v)
		case "SCMP_CMP_LT", "SCMP_CMP_GT":
			if a.Op == "SCMP_CMP_LT" && v == 0 || a.Op == "SCMP_CMP_GT" && v == ^uint64(0) {
				return false
			}
			if a.Op == "SCMP_CMP_LT" {
				high = min(high, v-1)
			} else {
				low = max(low, v+1)
			}
		case "SCMP_CMP_LE":
			high = min(high, v)
		case "SCMP_CMP_EQ":
			low, high = max(low, v), min(high, v)
		case "SCMP_CMP_GE":
			low = max(low, v)
		case "SCMP_CMP_MASKED_EQ":
			if (want^a.ValueTwo)&mask&v != 0 {
				return false
			}
			mask, want = mask|v, want|a.ValueTwo&v
		}
	}
	for x, ok := next(low, mask, want); ok && x <= high; x, ok = next(x+1, mask, want) {
		if !slices.Contains(not, x) {
			return true
		}
		if x == ^uint64(0) {
			break
		}
	}
	return false
}

// next returns the lowest x >= low with x&mask == want: it shares the bits above some place with low, is greater at it, and the least below.
func next(low, mask, want uint64) (uint64, bool) {
	if low&mask == want {
		return low, true
	}
	for place := range 64 {
		bit := uint64(1) << place
		x := low&^(bit|bit-1) | bit | want&(bit-1)
		if low&bit == 0 && x&mask == want {
			return x, true
		}
	}
	return 0, false
}

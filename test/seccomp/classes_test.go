// SPDX-License-Identifier: Apache-2.0

package seccomp_test

import (
	"slices"
	"strings"

	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
	"github.com/bulkhead-project/bulkhead/test/seccomp/meaning"
)

const hangs = "does not end"

// class is a way in which libseccomp's answers (with what runc tells it) differ from a profile's meaning as we have it.
type class struct {
	name string
	// explains reports whether a disagreement is of this class, if it is of none before it. nil: there is no program to disagree.
	explains func(d *disagreement) bool
}

// classes are all that are known; the first that explains a disagreement names it. TestEachClassHasACase has a case of each.
var classes = []class{
	{"number -1, by which a tracer skips a call, is answered otherwise", func(d *disagreement) bool { return d.data.Number == 0xffffffff }},
	{"default action for calls that the profile does not know, where we answer ENOSYS", func(d *disagreement) bool {
		_, known := lookupNumber(d)
		return !known && d.got == d.defaultValue() || known && len(d.named()) == 0 && d.got == d.defaultValue()
	}},
	{"the library's table is older or has another number", func(d *disagreement) bool {
		_, refused := d.ofCall()
		return slices.ContainsFunc(refused, func(g given) bool {
			code := d.code(g)
			return code == 1 || code == -22
		})
	}},
	{"multiplexers are opened or closed by other rules", func(d *disagreement) bool {
		return slices.Contains([]string{"socketcall", "ipc"}, d.call.String())
	}},
	{"conditions on one argument are alternatives, whatever else they demand", func(d *disagreement) bool {
		return slices.ContainsFunc(d.named(), func(e *meaning.Entry) bool { return repeats(e) })
	}},
	{"bits that the kernel does not read are compared", func(d *disagreement) bool {
		return slices.ContainsFunc(d.named(), func(e *meaning.Entry) bool {
			return slices.ContainsFunc(e.Args, func(a meaning.Arg) bool {
				return a.Width == 0 && int(d.abi.Argument(d.call, int(a.Index)).Bits)%d.abi.Word != 0
			})
		})
	}},
	{"values are cut to 32 bits on ABIs of 32 bits, and on x32 and n32, whose registers have 64, arguments too", func(d *disagreement) bool {
		return (d.abi.Word == 32 || d.abi.Name == "x32" || strings.HasSuffix(d.abi.Name, "n32")) && slices.ContainsFunc(d.named(), func(e *meaning.Entry) bool {
			return slices.ContainsFunc(e.Args, func(a meaning.Arg) bool { return max(a.Value, a.ValueTwo, d.data.Args[a.Index])>>32 != 0 })
		})
	}},
	{"a rule with the default action is dropped", func(d *disagreement) bool {
		return d.want == d.defaultValue() && slices.ContainsFunc(d.named(), func(e *meaning.Entry) bool {
			return meaning.Value(e.Action, e.ErrnoRet) == d.defaultValue()
		})
	}},
	{"a rule is refused, because the call has another with these conditions", func(d *disagreement) bool {
		_, refused := d.ofCall()
		return slices.ContainsFunc(refused, func(g given) bool { return d.code(g) == -17 })
	}},
	{"an unconditional rule drops those with conditions", func(d *disagreement) bool {
		taken, _ := d.ofCall()
		return slices.ContainsFunc(taken, func(g given) bool { return len(g.Args) == 0 && g.Action == d.got })
	}},
	{"of two rules that hold not the strictest counts", func(d *disagreement) bool {
		return slices.ContainsFunc(d.named(), func(e *meaning.Entry) bool {
			return d.profile.Holds(e, d.data) && meaning.Value(e.Action, e.ErrnoRet) == d.got
		})
	}},
	{"several rules of one call are merged wrongly", func(d *disagreement) bool {
		taken, _ := d.ofCall()
		return len(taken) > 1
	}},
	{hangs, nil},
}

func lookupNumber(d *disagreement) (syscalls.Call, bool) {
	if d.abi == nil {
		return 0, false
	}
	return d.abi.Call(d.data.Number)
}

func (d *disagreement) defaultValue() uint32 {
	return meaning.Value(d.profile.DefaultAction, d.profile.DefaultErrnoRet)
}

// named are the entries that name the call.
func (d *disagreement) named() []*meaning.Entry {
	var entries []*meaning.Entry
	for i := range d.profile.Syscalls {
		if e := &d.profile.Syscalls[i]; d.call != 0 && slices.Contains(e.Names, d.call.String()) {
			entries = append(entries, e)
		}
	}
	return entries
}

// code is what libseccomp said of a rule.
func (d *disagreement) code(g given) int {
	for i := range d.rules {
		if d.rules[i].entry == g.entry && d.rules[i].Name == g.Name && slices.Equal(d.rules[i].Args, g.Args) {
			return d.result.Refused[i]
		}
	}
	return 0
}

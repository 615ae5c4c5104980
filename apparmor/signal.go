// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"slices"
	"strconv"
	"strings"

	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
	"github.com/bulkhead-project/bulkhead/apparmor/syntax"
)

const (
	signalSend    = 0x2
	signalReceive = 0x4
	signalAll     = signalSend | signalReceive

	signalExists   = 35  // signal 0: whether the process exists
	signalRealtime = 128 // rtmin+0
	mostRealtime   = 32
)

// signalNames are AppArmor's numbers of the signals, which are those of no architecture in particular (the kernel's sig_names.h maps its own to them).
var signalNames = [...]string{
	1: "hup", 2: "int", 3: "quit", 4: "ill", 5: "trap", 6: "abrt", 7: "bus", 8: "fpe", 9: "kill", 10: "usr1", 11: "segv", 12: "usr2", 13: "pipe",
	14: "alrm", 15: "term", 16: "stkflt", 17: "chld", 18: "cont", 19: "stop", 20: "stp", 21: "ttin", 22: "ttou", 23: "urg", 24: "xcpu", 25: "xfsz",
	26: "vtalrm", 27: "prof", 28: "winch", 29: "io", 30: "pwr", 31: "sys", 32: "emt", signalExists: "exists",
}

func signalAccess() map[string]uint32 {
	return map[string]uint32{
		"send": signalSend, "write": signalSend, "w": signalSend, "receive": signalReceive, "read": signalReceive, "r": signalReceive,
		"rw": signalAll, "wr": signalAll,
	}
}

// signalEntries encodes a rule as
//
//	10 signal peer
//
// and, where it is about every signal, also as 16 10 peer.
func (u *unit) signalEntries(rule *syntax.SignalRule) []entry {
	perms := u.accessBits(rule, "signal", rule.Access, signalAccess(), signalAll)
	numbers := u.signalNumbers(rule)
	if !u.classes.signal {
		u.lost(rule, "signals", perms == signalAll && len(rule.Signals) == 0 && rule.Peer == nil)
		return nil
	}
	class := dfa.Literal(string(rune(classSignal)))
	which := dfa.Alternate(dfa.Concat(dfa.Literal(string(rune(classLabel))), class), dfa.Concat(class, anyByte))
	if len(rule.Signals) > 0 {
		which = dfa.Concat(class, oneOf(numbers))
	}
	return []entry{u.entry(rule, perms, which, u.patternOr(rule, rule.Peer, dfa.PlainGlob, anyLabel))}
}

// signalNumbers are those of the rule's set.
func (u *unit) signalNumbers(rule *syntax.SignalRule) []byte {
	var numbers []byte
	for _, word := range rule.Signals {
		number, ok := signalNumber(word.Text)
		if !ok {
			u.report(rule, "unknown signal %q", word.Text)
			continue
		}
		if number < signalExists && u.features.Has("signal/mask") && !u.features.Lists("signal/mask", word.Text) {
			u.lack(rule, "the target does not know the signal %q", word.Text)
		}
		numbers = append(numbers, number)
	}
	return numbers
}

func signalNumber(name string) (byte, bool) {
	if number := slices.Index(signalNames[:], name); number > 0 && name != "" {
		return byte(number), true
	}
	digits, ok := strings.CutPrefix(name, "rtmin+")
	if !ok {
		return 0, false
	}
	number, err := strconv.ParseUint(digits, 10, 8)
	if err != nil || number > mostRealtime {
		return 0, false
	}
	return signalRealtime + byte(number), true
}

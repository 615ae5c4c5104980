// SPDX-License-Identifier: Apache-2.0

package syntax

import (
	"slices"
	"strconv"
	"strings"
)

// signalNames are those of signal(7) as rules write them; exists stands for the signal 0.
var signalNames = strings.Fields(`hup int quit ill trap abrt bus fpe kill usr1 segv usr2 pipe alrm term stkflt chld cont stop stp ttin ttou urg xcpu xfsz
	vtalrm prof winch io pwr sys emt exists`)

const realTimeSignals = 32 // rtmin+0 to rtmin+32

// isSignal says whether the word names a signal.
func isSignal(word string) bool {
	if number, ok := strings.CutPrefix(word, "rtmin+"); ok {
		value, err := strconv.ParseUint(number, 10, 8)
		return err == nil && value <= realTimeSignals
	}
	return slices.Contains(signalNames, word)
}

// signal reads the rest of signal [ACCESS] [set=SIGNALS] [peer=LABEL].
func (p *parser) signal(qualifiers Qualifiers) bool {
	rule := &SignalRule{Qualifiers: qualifiers}
	var ok bool
	if rule.Access, ok = p.access([]string{"r", "w", "rw", "wr", "read", "write", "send", "receive"}); !ok {
		return false
	}
	for {
		p.skip()
		place := p.position()
		key, ok := p.key()
		if !ok {
			return p.add(rule)
		}
		switch key {
		case "set":
			signals, ok := p.values("a signal")
			if !ok {
				return false
			}
			for _, name := range signals {
				if !isSignal(name.Text) {
					return p.failAt(name.Position, "a signal: "+strings.Join(signalNames, ", ")+", rtmin+0 to rtmin+32", "unknown signal %q", name.Text)
				}
			}
			rule.Signals = append(rule.Signals, signals...)
		case "peer":
			if rule.Peer != nil {
				return p.failAt(place, "", "the condition %q stands twice", key)
			}
			if rule.Peer, ok = p.label(); !ok {
				return false
			}
		default:
			return p.failAt(place, "set= or peer=", "unknown condition %q", key)
		}
	}
}

// label reads the value of peer=, one word.
func (p *parser) label() (*Word, bool) {
	p.skip()
	if p.peek() == '(' {
		return nil, p.unexpected("a label")
	}
	word, ok := p.anyWord("a label")
	return &word, ok
}

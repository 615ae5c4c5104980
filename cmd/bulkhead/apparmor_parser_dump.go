// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"bytes"
	"fmt"

	"github.com/bulkhead-project/bulkhead/apparmor/binary"
	"github.com/bulkhead-project/bulkhead/apparmor/dfa"
)

// dumpStates prints the automata for -D dfa-states, and says of other dumps that they are not made.
func (r *parserRun) dumpStates(p *parsedFile, policy *binary.Policy) {
	for name, on := range r.options.dump {
		if on && name != "show" && name != "dfa-states" {
			fmt.Fprintf(&p.errors, "apparmor_parser: there is no dump of %s here\n", name)
		}
	}
	if !r.options.dump["dfa-states"] {
		return
	}
	for _, profile := range policy.Profiles {
		for _, rules := range []*binary.Rules{profile.File, profile.PolicyDB} {
			if rules != nil {
				dumpAutomaton(&p.errors, rules.Automaton)
			}
		}
	}
}

// dumpAutomaton prints the accepting states, and then the transitions, in the form of apparmor_parser 4.1.
func dumpAutomaton(out *bytes.Buffer, automaton *dfa.Automaton) {
	perms := func(accept dfa.Accept) string {
		// The second word has seven bits of what is logged and of what is not, for the owner and for others.
		spread := func(word uint32) uint32 { return word&0x7f | word&0x1fc000 }
		return fmt.Sprintf("(0x %x/0//0/%x/%x)", accept.One, spread(accept.Two), spread(accept.Two>>7))
	}
	fmt.Fprintln(out, "{1} <== (allow/deny/prompt/audit/quiet)")
	for state, accept := range automaton.Accept {
		if accept.One|accept.Two != 0 {
			fmt.Fprintf(out, "{%x}%s\n", state, perms(accept))
		}
	}
	fmt.Fprintln(out)
	for state := 1; state < len(automaton.Accept); state++ {
		fmt.Fprintf(out, "{%x} perms: ", state)
		if accept := automaton.Accept[state]; accept.One|accept.Two != 0 {
			fmt.Fprintln(out, perms(accept))
		} else {
			fmt.Fprintln(out, "none")
		}
		for first := 0; first < 256; {
			next, last := automaton.Step(uint32(state), byte(first)), first
			for last < 255 && automaton.Step(uint32(state), byte(last+1)) == next {
				last++
			}
			switch {
			case next != 0 && first == last:
				fmt.Fprintf(out, "    %#x -> {%x}\n", first, next)
			case next != 0:
				fmt.Fprintf(out, "    [%#x-%#x] -> {%x}\n", first, last, next)
			}
			first = last + 1
		}
	}
	fmt.Fprintln(out)
}

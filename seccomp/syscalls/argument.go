// SPDX-License-Identifier: Apache-2.0

package syscalls

// Type is what the kernel reads of an argument: how many bits, and whether they are signed.
type Type struct {
	Bits   uint8 // 8, 16, 32, 64; 0 = the call has no such argument or its prototype is not known
	Signed bool
}

// Argument returns what the kernel reads of a call's argument, numbered from 0: the C type of the function that the ABI enters. A pointer has the
// bits of a register, and is unsigned. Where an ABI hands on a 64-bit value in two registers, these are two arguments. The one exception from
// the C type is clone's flags, an unsigned long of which every kernel reads the lower 32 bits.
func (a *ABI) Argument(c Call, index int) Type {
	if int(c) >= len(a.parameters) || index < 0 || index > 5 {
		return Type{}
	}
	code := parameterCodes[a.parameters[c]] >> (4 * index) & 0xf
	if code == 0 {
		return Type{}
	}
	return Type{Bits: 4 << (code & 7), Signed: code&8 != 0}
}

// Prototype returns the call as the kernel declares it for this ABI, by registers: "socket(int family, int type, int protocol)". It is "name(...)" if the
// kernel has no function for it, or the ABI no number.
func (a *ABI) Prototype(c Call) string {
	if c == 0 || int(c) >= len(a.parameters) {
		return ""
	}
	i := a.parameters[c]
	return c.String() + "(" + parameters[parameterStarts[i]:parameterEnds[i]] + ")"
}

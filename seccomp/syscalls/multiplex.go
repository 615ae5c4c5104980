// SPDX-License-Identifier: Apache-2.0

package syscalls

// Subcall is one of the calls that socketcall(2) or ipc(2) serve.
type Subcall struct {
	Number uint32 // in the first argument
	Mask   uint32 // bits of the first argument that the kernel reads Number from
	Call   Call   // the same call under its own name, whether the ABI has a number for that or not
}

// Multiplexed returns the calls that a call serves on this ABI, by ascending number; nil for a call that is just itself, or not there.
func (a *ABI) Multiplexed(c Call) []Subcall {
	if c != socketcall && c != ipc || a.numbers[c] == noNumber {
		return nil
	}
	if c == socketcall {
		return socketcallCalls[:]
	}
	return ipcCalls[:]
}

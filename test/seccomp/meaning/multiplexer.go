// SPDX-License-Identifier: Apache-2.0

package meaning

import (
	"slices"

	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

// socketCalls are the sub-calls of socketcall(2) from 1, linux/net.h.
var socketCalls = []string{"", "socket", "bind", "connect", "listen", "accept", "getsockname", "getpeername", "socketpair", "send", "recv", "sendto",
	"recvfrom", "shutdown", "setsockopt", "getsockopt", "sendmsg", "recvmsg", "accept4", "recvmmsg", "sendmmsg"}

// ipcCalls are the sub-calls of ipc(2), linux/ipc.h; its upper 16 bits are a version.
var ipcCalls = map[uint64]string{1: "semop", 2: "semget", 3: "semctl", 4: "semtimedop", 11: "msgsnd", 12: "msgrcv", 13: "msgget", 14: "msgctl",
	21: "shmat", 22: "shmdt", 23: "shmget", 24: "shmctl"}

// multiplexed returns the name of the call that a multiplexer is asked for, "" for none.
func multiplexed(call syscalls.Call, d bpf.Data) (sub string, isOne bool) {
	switch call.String() {
	case "socketcall":
		if number := d.Args[0] & 0xffffffff; number < uint64(len(socketCalls)) {
			sub = socketCalls[number]
		}
		return sub, true
	case "ipc":
		return ipcCalls[d.Args[0]&0xffff], true
	}
	return "", false
}

// multiplexer is the answer to a sub-call of a multiplexer that no rule names: the worst that the direct call may get whatever its arguments,
// which are out of a filter's reach.
func (p *Profile) multiplexer(abi *syscalls.ABI, own verdict, sub string) uint32 {
	if call, ok := syscalls.Lookup(sub); ok {
		return p.worst(abi, call).value
	}
	return own.value
}

// worst is the strictest answer that a call may get.
func (p *Profile) worst(abi *syscalls.ABI, call syscalls.Call) verdict {
	if !p.passes() && p.newest().Before(call.Since()) {
		return verdict{strictness("SCMP_ACT_ERRNO"), noSystemCall(abi), false}
	}
	worst := p.answer(call, func(Arg) bool { return true })
	if always := p.answer(call, func(Arg) bool { return false }); always.strictness < worst.strictness {
		return always
	}
	return worst
}

func (p *Profile) names(call syscalls.Call) bool {
	return slices.ContainsFunc(p.Syscalls, func(e Entry) bool { return slices.Contains(e.Names, call.String()) })
}

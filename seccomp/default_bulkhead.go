// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"slices"

	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

// Bulkhead returns bulkhead-default: Docker's default profile, and stricter where that costs nobody, or hardly anybody:
//
//   - Calls by the x32 ABI end the thread. Distributions build kernels without it or switch it off, and no images are made for it.
//
//   - remap_file_pages has the default action. The kernel only emulates it (since 4.0), and until 6.12 without asking the security modules whether
//     the memory may be executable.
//
//   - vmsplice has the default action, as in Podman's profile: pages given to a pipe stay shared with processes that the giver does not know.
//
//   - socket answers EAFNOSUPPORT to AF_ALG and AF_VSOCK, which Docker's profile denies with EPERM: programs that can do without the kernel's
//     cryptography or the hypervisor's channel try them first, and look for this answer. It answers so to AF_NFC, too, which stands between them.
//
//   - It answers so to the families in rareFamilies, too, unless the container has CAP_NET_ADMIN.
//
//   - It answers EPROTONOSUPPORT, as a kernel without auditing does, to NETLINK_AUDIT, unless the container has CAP_AUDIT_CONTROL or
//     CAP_AUDIT_READ: by it a container writes into the host's audit log. PAM, sudo and sshd take the answer for what it says.
//
//   - socketcall is not named, so that each call that it serves gets what the call itself gets, and socket, whose family no filter can see there,
//     the default action. That does cost somebody: 32-bit x86 programs that know no other way to a socket than socketcall, which are those of Go and of the
//     GNU C library, get none.
func Bulkhead() *Profile {
	p := Docker()
	x32 := syscalls.ByOCI("SCMP_ARCH_X32")
	for i := range p.machines {
		p.machines[i].others = slices.DeleteFunc(p.machines[i].others, func(abi *syscalls.ABI) bool { return abi == x32 })
	}
	p.deny("remap_file_pages", "socketcall", "vmsplice")
	p.groups = slices.DeleteFunc(p.groups, func(g group) bool {
		return slices.Equal(g.names, []string{"socket"}) && len(g.arguments) == 1 && g.arguments[0] == equal(0, familyNFC)
	})
	for _, family := range []uint64{familyALG, familyNFC, familyVSOCK} {
		p.denySocket("EAFNOSUPPORT", nil, equal(0, family))
	}
	for _, rare := range rareFamilies {
		p.denySocket("EAFNOSUPPORT", []string{"CAP_NET_ADMIN"}, equal(0, rare.number))
	}
	p.denySocket("EPROTONOSUPPORT", []string{"CAP_AUDIT_CONTROL", "CAP_AUDIT_READ"}, equal(0, familyNetlink), equal(2, protocolAudit))
	return p
}

// Address families of socket(2) and a protocol of AF_NETLINK: include/linux/socket.h, include/uapi/linux/netlink.h.
const (
	familyNetlink = 16
	familyALG     = 38
	familyNFC     = 39
	familyVSOCK   = 40
	protocolAudit = 9
)

// rareFamilies are address families that a container without a say in its network has no use for: their hardware belongs to the host, their
// interfaces take CAP_NET_ADMIN to set up, or the kernel has dropped them. Any process can have the kernel load their modules by asking for a
// socket. Left open beside the Internet's, AF_UNIX, AF_NETLINK and AF_PACKET are those that containers are known to use without that
// capability: AF_KEY, AF_PPPOX, AF_IB, AF_CAN, AF_BLUETOOTH, AF_IUCV and AF_SMC.
var rareFamilies = [...]struct {
	number uint64
	name   string
}{
	{3, "AX25"}, {4, "IPX"}, {5, "APPLETALK"}, {6, "NETROM"}, {7, "BRIDGE"}, {8, "ATMPVC"}, {9, "X25"}, {11, "ROSE"}, {12, "DECnet"}, {13, "NETBEUI"},
	{14, "SECURITY"}, {18, "ASH"}, {19, "ECONET"}, {20, "ATMSVC"}, {21, "RDS"}, {22, "SNA"}, {23, "IRDA"}, {25, "WANPIPE"}, {26, "LLC"}, {28, "MPLS"},
	{30, "TIPC"}, {33, "RXRPC"}, {34, "ISDN"}, {35, "PHONET"}, {36, "IEEE802154"}, {37, "CAIF"}, {41, "KCM"}, {42, "QIPCRTR"},
	{44, "XDP"}, {45, "MCTP"},
}

func equal(index int, value uint64) argument {
	return argument{Condition: Condition{Index: index, Op: Equal, Value: value}}
}

// denySocket adds a group that answers an error to socket(2) where all the conditions hold, unless the container has one of the capabilities.
func (p *Profile) denySocket(errno string, unless []string, conditions ...argument) {
	call, _ := syscalls.Lookup("socket")
	lists, _ := alternates(conditions)
	p.groups = append(p.groups, group{
		names: []string{"socket"}, calls: []syscalls.Call{call}, action: answer{kind: Errno, errno: errno},
		arguments: conditions, alternates: lists, excludes: filter{capabilities: unless},
	})
}

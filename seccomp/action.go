// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

// Errno and the message to a tracer have limits of their own: the kernel cuts an errno off at MAX_ERRNO, and has 16 bits of data.
const (
	maximumErrno = 4095
	maximumData  = 0xffff
)

// actionNames are those of the OCI runtime specification. KILL_THREAD comes before KILL, its older name.
var actionNames = [...]struct {
	name   specs.LinuxSeccompAction
	action Action
}{
	{specs.ActAllow, Allow}, {specs.ActErrno, Errno}, {specs.ActKillProcess, KillProcess}, {specs.ActKillThread, KillThread}, {specs.ActKill, KillThread},
	{specs.ActTrap, Trap}, {specs.ActTrace, Trace}, {specs.ActLog, Log}, {specs.ActNotify, Notify},
}

// operatorNames are those of the OCI runtime specification.
var operatorNames = [...]struct {
	name specs.LinuxSeccompOperator
	op   Operator
}{
	{specs.OpNotEqual, NotEqual}, {specs.OpLessThan, Less}, {specs.OpLessEqual, LessEqual}, {specs.OpEqualTo, Equal},
	{specs.OpGreaterEqual, GreaterEqual}, {specs.OpGreaterThan, Greater}, {specs.OpMaskedEqual, MaskedEqual},
}

// flagNames are those of the OCI runtime specification, and TSYNC, which runc takes too.
var flagNames = [...]struct {
	name specs.LinuxSeccompFlag
	flag Flags
}{
	{"SECCOMP_FILTER_FLAG_TSYNC", FlagSync}, {specs.LinuxSeccompFlagLog, FlagLog}, {specs.LinuxSeccompFlagSpecAllow, FlagSpecAllow},
	{specs.LinuxSeccompFlagWaitKillableRecv, FlagWaitKillableRecv},
}

// OCI returns the action's name in the OCI runtime specification, SCMP_ACT_*, without its data; "" if it is none.
func (a Action) OCI() specs.LinuxSeccompAction {
	for _, known := range actionNames {
		if known.action == a.Kind() {
			return known.name
		}
	}
	return ""
}

// String returns the action's OCI name, with its data if it has any: SCMP_ACT_ERRNO(1).
func (a Action) String() string {
	switch name := string(a.OCI()); {
	case name == "":
		return "0x" + strconv.FormatUint(uint64(a), 16)
	case a.takesData() || a.Data() != 0:
		return name + "(" + strconv.Itoa(int(a.Data())) + ")"
	default:
		return name
	}
}

// OCI returns the operator's name in the OCI runtime specification, SCMP_CMP_*; "" if it is none.
func (o Operator) OCI() specs.LinuxSeccompOperator {
	for _, known := range operatorNames {
		if known.op == o {
			return known.name
		}
	}
	return ""
}

// takesData reports whether a profile may give the action an errno.
func (a Action) takesData() bool { return a.Kind() == Errno || a.Kind() == Trace }

// answer is an action as a profile writes it: an errno that it gives by name is another number on other architectures.
type answer struct {
	kind  Action
	data  uint16
	errno string // instead of data
}

// on returns the action on a machine.
func (a answer) on(native *syscalls.ABI) Action {
	if a.errno != "" {
		return a.kind | Action(errnoNumber(a.errno, native))
	}
	return a.kind | Action(a.data)
}

// family returns what the ABIs of one machine have in common: a process under one kernel can enter it by ABIs of one family only.
func family(abi *syscalls.ABI) string {
	name := strings.TrimSuffix(strings.TrimSuffix(abi.Name, "n32"), "64")
	switch abi.Name {
	case "x86_64", "x86", "x32":
		return "x86"
	case "aarch64", "arm":
		return "arm"
	case "s390x", "s390":
		return "s390"
	}
	return name
}

// architectureNames are the names by which includes and excludes call an ABI, beside libseccomp's: Docker's and Podman's own, and Go's. Docker
// compares with its own names only, so that "loong64" and "386" never apply there.
var architectureNames = [...]struct{ name, abi string }{
	{"amd64", "x86_64"}, {"386", "x86"}, {"arm64", "aarch64"}, {"loong64", "loongarch64"}, {"mipsle", "mipsel"}, {"mips64le", "mipsel64"},
	{"mips64p32", "mips64n32"}, {"mips64p32le", "mipsel64n32"}, {"mips3l64n32", "mipsel64n32"},
}

// architecture returns the ABI by any of the names that Docker, Go or libseccomp have for it, or nil.
func architecture(name string) *syscalls.ABI {
	for _, known := range architectureNames {
		if known.name == name {
			name = known.abi
		}
	}
	return syscalls.ByName(name)
}

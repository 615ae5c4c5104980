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

// named is a value and what profiles call it.
type named[T comparable] struct {
	name  string
	value T
}

// actionNames are those of the OCI runtime specification. KILL_THREAD comes before KILL, its older name.
var actionNames = []named[Action]{
	{"SCMP_ACT_ALLOW", Allow}, {"SCMP_ACT_ERRNO", Errno}, {"SCMP_ACT_KILL_PROCESS", KillProcess}, {"SCMP_ACT_KILL_THREAD", KillThread},
	{"SCMP_ACT_KILL", KillThread}, {"SCMP_ACT_TRAP", Trap}, {"SCMP_ACT_TRACE", Trace}, {"SCMP_ACT_LOG", Log}, {"SCMP_ACT_NOTIFY", Notify},
}

// operatorNames are those of the OCI runtime specification.
var operatorNames = []named[Operator]{
	{"SCMP_CMP_NE", NotEqual}, {"SCMP_CMP_LT", Less}, {"SCMP_CMP_LE", LessEqual}, {"SCMP_CMP_EQ", Equal}, {"SCMP_CMP_GE", GreaterEqual},
	{"SCMP_CMP_GT", Greater}, {"SCMP_CMP_MASKED_EQ", MaskedEqual},
}

// flagNames are those of the OCI runtime specification, and TSYNC, which runc takes too.
var flagNames = []named[Flags]{
	{"SECCOMP_FILTER_FLAG_TSYNC", FlagSync}, {"SECCOMP_FILTER_FLAG_LOG", FlagLog}, {"SECCOMP_FILTER_FLAG_SPEC_ALLOW", FlagSpecAllow},
	{"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", FlagWaitKillableRecv},
}

// valueOf returns the value of a name.
func valueOf[T comparable](table []named[T], name string) (value T, ok bool) {
	for _, known := range table {
		if known.name == name {
			return known.value, true
		}
	}
	return value, false
}

// nameOf returns the first name of a value, or "".
func nameOf[T comparable](table []named[T], value T) string {
	for _, known := range table {
		if known.value == value {
			return known.name
		}
	}
	return ""
}

// namesOf lists the names of a table.
func namesOf[T comparable](table []named[T]) string {
	var names []string
	for _, known := range table {
		names = append(names, known.name)
	}
	return strings.Join(names, ", ")
}

// OCI returns the action's name in the OCI runtime specification, SCMP_ACT_*, without its data; "" if it is none.
func (a Action) OCI() specs.LinuxSeccompAction {
	return specs.LinuxSeccompAction(nameOf(actionNames, a.Kind()))
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
	return specs.LinuxSeccompOperator(nameOf(operatorNames, o))
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

// architectureNames are the names by which includes and excludes call an ABI, with libseccomp's, which they may use as well: Docker's and Podman's own, and Go's. Docker
// compares with its own names only, so that "loong64" and "386" never apply there.
var architectureNames = []named[string]{
	{"amd64", "x86_64"}, {"386", "x86"}, {"arm64", "aarch64"}, {"loong64", "loongarch64"}, {"mipsle", "mipsel"}, {"mips64le", "mipsel64"},
	{"mips64p32", "mips64n32"}, {"mips64p32le", "mipsel64n32"}, {"mips3l64n32", "mipsel64n32"},
}

// architecture returns the ABI by any of the names that Docker, Go or libseccomp have for it, or nil.
func architecture(name string) *syscalls.ABI {
	if abi, ok := valueOf(architectureNames, name); ok {
		name = abi
	}
	return syscalls.ByName(name)
}

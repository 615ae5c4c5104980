// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Mount points where the kernel puts its security file systems (Documentation/ABI).
const (
	selinuxfs  = "/sys/fs/selinux"
	securityfs = "/sys/kernel/security"
)

// Probe asks the running kernel. It never fails: what cannot be seen is absent, with the reason.
func Probe() Facts {
	modules := activeModules()
	return Facts{
		Release:  release(),
		LSMs:     modules,
		SELinux:  probeSELinux(selinuxfs, "/proc/self/attr/current"),
		AppArmor: probeAppArmor(securityfs, "/sys/module/apparmor/parameters/enabled"),
		BPF:      probeBPF(modules),
		Landlock: probeLandlock(),
		Seccomp:  probeSeccomp("/proc/sys/kernel/seccomp/actions_avail"),
		UserNS:   probeUserNS("/proc/sys/user/max_user_namespaces", "/proc/self/ns/user"),
		FUSE:     probeFUSE("/dev/fuse"),
	}
}

func release() string {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Release[:])
}

// moduleNames maps the LSM_ID_* numbers of include/uapi/linux/lsm.h to the names that lsm= takes.
var moduleNames = map[uint64]string{
	100: "capability", 101: "selinux", 102: "smack", 103: "tomoyo", 104: "apparmor", 105: "yama", 106: "loadpin",
	107: "safesetid", 108: "lockdown", 109: "bpf", 110: "landlock", 111: "ima", 112: "evm", 113: "ipe",
}

// activeModules asks lsm_list_modules(2) (Linux 6.8), which needs no mount, and reads securityfs on older kernels.
func activeModules() []string {
	var ids [64]uint64
	size := uint32(unsafe.Sizeof(ids))
	count, _, errno := unix.Syscall(unix.SYS_LSM_LIST_MODULES, uintptr(unsafe.Pointer(&ids)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		data, _ := os.ReadFile(filepath.Join(securityfs, "lsm"))
		return strings.FieldsFunc(strings.TrimSpace(string(data)), func(r rune) bool { return r == ',' })
	}
	names := make([]string, 0, count)
	for _, id := range ids[:count] {
		name := moduleNames[id]
		if name == "" {
			name = "lsm" + strconv.FormatUint(id, 10)
		}
		names = append(names, name)
	}
	return names
}

// probeSELinux reads selinuxfs under root, and the label of this process in current. Contexts are checked by the loaded policy itself, through the file `context`.
func probeSELinux(root, current string) SELinux {
	enforce, err := os.ReadFile(filepath.Join(root, "enforce"))
	if err != nil {
		return SELinux{}
	}
	version, _ := strconv.Atoi(readTrimmed(filepath.Join(root, "policyvers")))
	facts := SELinux{
		Enforcing:     strings.TrimSpace(string(enforce)) == "1",
		PolicyVersion: version,
		MLS:           readTrimmed(filepath.Join(root, "mls")) == "1",
	}
	// Before the first policy load every process is "kernel" and nothing is enforced.
	label := readTrimmed(current)
	facts.Active = strings.Contains(label, ":")
	level := ""
	if facts.MLS {
		level = ":s0:c1,c2"
	}
	facts.ContainerTypes = facts.Active && contextValid(root, "system_u:system_r:container_t"+level) &&
		contextValid(root, "system_u:object_r:container_file_t"+level)
	return facts
}

func contextValid(root, context string) bool {
	file, err := os.OpenFile(filepath.Join(root, "context"), os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer file.Close()
	_, err = file.Write(append([]byte(context), 0))
	return err == nil
}

func probeAppArmor(root, enabled string) AppArmor {
	// The parameter is Y only while the module runs; securityfs holds what is loaded.
	if readTrimmed(enabled) != "Y" {
		return AppArmor{}
	}
	file, err := os.Open(filepath.Join(root, "apparmor", "profiles"))
	if err != nil {
		return AppArmor{}
	}
	defer file.Close()
	facts := AppArmor{Active: true}
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		if profile, ok := parseProfileLine(scanner.Text()); ok {
			facts.Profiles = append(facts.Profiles, profile)
		}
	}
	return facts
}

// probeBPF offers the kernel a program of type LSM that names no function to attach to. EINVAL is the verifier's complaint about that;
// anything else means that the type itself is refused.
func probeBPF(modules []string) BPF {
	if !slices.Contains(modules, "bpf") {
		return BPF{Reason: "boot with lsm=...,bpf on a kernel built with CONFIG_BPF_LSM"}
	}
	switch err := loadBareLSMProgram(); {
	case errors.Is(err, unix.EINVAL):
		return BPF{Active: true}
	case errors.Is(err, unix.EPERM):
		return BPF{Reason: "loading a program of type LSM is refused: it takes CAP_BPF and CAP_PERFMON, and no lockdown or supervisor against it"}
	default:
		return BPF{Reason: "loading a program of type LSM: " + err.Error()}
	}
}

func loadBareLSMProgram() error {
	const (
		progLoad    = 5  // BPF_PROG_LOAD
		progTypeLSM = 29 // BPF_PROG_TYPE_LSM
		attachMAC   = 27 // BPF_LSM_MAC
	)
	instructions := [2]uint64{0xb7, 0x95} // r0 = 0; exit
	license := [4]byte{'G', 'P', 'L'}
	// The first 72 bytes of union bpf_attr, up to expected_attach_type (include/uapi/linux/bpf.h).
	attr := struct {
		progType, count        uint32
		instructions, license  uint64
		logLevel, logSize      uint32
		logBuffer              uint64
		kernelVersion, flags   uint32
		name                   [16]byte
		ifindex, expectedEvent uint32
	}{progType: progTypeLSM, count: 2, expectedEvent: attachMAC,
		instructions: uint64(uintptr(unsafe.Pointer(&instructions))), license: uint64(uintptr(unsafe.Pointer(&license)))}
	descriptor, _, errno := unix.Syscall(unix.SYS_BPF, progLoad, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	if errno != 0 {
		return errno
	}
	unix.Close(int(descriptor))
	return errors.New("a program without a function to attach to was accepted")
}

func probeLandlock() Landlock {
	const versionFlag, errataFlag = 1, 2 // LANDLOCK_CREATE_RULESET_VERSION, _ERRATA
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, versionFlag)
	switch errno {
	case 0:
	case unix.EOPNOTSUPP:
		return Landlock{Reason: "boot with lsm=landlock,..."}
	case unix.ENOSYS:
		return Landlock{Reason: "Linux 5.13 or later built with CONFIG_SECURITY_LANDLOCK"}
	default:
		return Landlock{Reason: "landlock_create_ruleset: " + errno.Error()}
	}
	errata, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, errataFlag)
	if errno != 0 {
		errata = 0 // before Linux 6.15 the kernel does not say
	}
	return Landlock{ABI: int(abi), Errata: int(errata)}
}

func probeSeccomp(path string) Seccomp {
	facts := Seccomp{Actions: strings.Fields(readTrimmed(path))}
	if len(facts.Actions) == 0 {
		return facts
	}
	for _, flag := range []struct {
		name   string
		number uintptr
	}{{"TSYNC", unix.SECCOMP_FILTER_FLAG_TSYNC}, {"LOG", unix.SECCOMP_FILTER_FLAG_LOG}, {"SPEC_ALLOW", unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW},
		{"NEW_LISTENER", unix.SECCOMP_FILTER_FLAG_NEW_LISTENER}, {"WAIT_KILLABLE_RECV", unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV | unix.SECCOMP_FILTER_FLAG_NEW_LISTENER}} {
		// A flag that the kernel knows gets as far as the filter, of which there is none: nothing is ever installed.
		if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flag.number, 0); errno == unix.EFAULT {
			facts.Flags = append(facts.Flags, flag.name)
		}
	}
	return facts
}

func probeUserNS(limit, self string) UserNS {
	if _, err := os.Stat(self); err != nil {
		return UserNS{Reason: "a kernel built with CONFIG_USER_NS"}
	}
	maximum, err := strconv.Atoi(readTrimmed(limit))
	if err != nil || maximum == 0 {
		return UserNS{Reason: "sysctl user.max_user_namespaces is 0"}
	}
	return UserNS{Maximum: maximum}
}

func probeFUSE(device string) FUSE {
	file, err := os.OpenFile(device, os.O_RDWR, 0)
	switch {
	case err == nil:
		file.Close()
		return FUSE{Active: true}
	case errors.Is(err, os.ErrNotExist):
		return FUSE{Reason: "no " + device + ": modprobe fuse"}
	default:
		return FUSE{Reason: err.Error()}
	}
}

func readTrimmed(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimRight(string(data), "\x00\n ")
}

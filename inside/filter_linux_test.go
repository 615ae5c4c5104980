// SPDX-License-Identifier: Apache-2.0

package inside

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// answers is a filter that gives each call, by number, the SECCOMP_RET_* value of its own, and others the last.
func answers(calls map[int]uint32, others uint32) *Filter {
	program := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}}
	for number, answer := range calls {
		program = append(program,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: uint32(number)},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: answer})
	}
	program = append(program, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: others})
	encoded, err := binary.Append(nil, binary.NativeEndian, program)
	if err != nil {
		panic(err)
	}
	return &Filter{Program: encoded}
}

func allowAll() *Filter { return answers(nil, unix.SECCOMP_RET_ALLOW) }

// fileLimit is the code of a program whose exit status is the low byte of its soft limit of open files: getrlimit(2), exit_group(2).
var fileLimit = map[string]struct {
	machine              uint16 // EM_*
	code                 []byte
	getrlimit, exitGroup int
}{
	"amd64": {62, []byte{
		0x48, 0x83, 0xec, 0x10, // sub rsp, 16
		0xb8, 97, 0, 0, 0, 0xbf, 7, 0, 0, 0, 0x48, 0x89, 0xe6, 0x0f, 0x05, // getrlimit(RLIMIT_NOFILE, rsp)
		0x8b, 0x3c, 0x24, 0xb8, 231, 0, 0, 0, 0x0f, 0x05, // exit_group([rsp])
	}, 97, 231},
	"arm64": {183, words(
		0xd10043ff,                                     // sub sp, sp, 16
		0xd28000e0, 0x910003e1, 0xd2801468, 0xd4000001, // getrlimit(RLIMIT_NOFILE, sp)
		0xf94003e0, 0xd2800bc8, 0xd4000001, // exit_group([sp])
	), 163, 94},
}

func words(instructions ...uint32) []byte {
	code, _ := binary.Append(nil, binary.LittleEndian, instructions)
	return code
}

// addFileLimit puts the program that fileLimit describes into the root and returns the calls that it makes.
func addFileLimit(t *testing.T, root string) []int {
	t.Helper()
	program, ok := fileLimit[runtime.GOARCH]
	if !ok {
		t.Skipf("no machine code for %s", runtime.GOARCH)
	}
	const base, headers = 0x400000, 64 + 56
	var file bytes.Buffer
	file.WriteString("\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 9))
	size := uint64(headers + len(program.code))
	for _, field := range []any{
		uint16(2), program.machine, uint32(1), uint64(base + headers), uint64(64), uint64(0), uint32(0), uint16(64), uint16(56), uint16(1), uint16(0), uint16(0), uint16(0),
		uint32(1), uint32(5), uint64(0), uint64(base), uint64(base), size, size, uint64(4096),
	} {
		binary.Write(&file, binary.LittleEndian, field)
	}
	file.Write(program.code)
	if err := os.WriteFile(filepath.Join(root, "limit"), file.Bytes(), 0o755); err != nil {
		t.Fatal(err)
	}
	return []int{program.getrlimit, program.exitGroup}
}

// softLimit is a limit of open files that nobody else sets.
const softLimit = 123

// startLimited starts this process again as one whose soft limit was softLimit before Go raised it.
func startLimited() {
	limit := unix.Rlimit{Cur: softLimit, Max: 1000}
	os.Setenv(childVariable, "again")
	err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	if err == nil {
		err = unix.Exec("/proc/self/exe", os.Args, os.Environ())
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func only(calls []int, answer, others uint32) *Filter {
	table := map[int]uint32{}
	for _, number := range calls {
		table[number] = answer
	}
	return answers(table, others)
}

// A filter under which any call but execve and the program's own kills shows that there is none between the filter and execve.
func TestFilterIsTheLastCallBeforeExecve(t *testing.T) {
	root := newRoot(t)
	calls := append(addFileLimit(t, root), unix.SYS_EXECVE)
	filter := only(calls, unix.SECCOMP_RET_ALLOW, unix.SECCOMP_RET_KILL_PROCESS)
	lent := func(command *exec.Cmd) {
		command.SysProcAttr.Credential = &syscall.Credential{Uid: 1000, Gid: 1000}
		command.SysProcAttr.AmbientCaps = []uintptr{21, 8}
	}
	for name, test := range map[string]struct {
		mode   string
		spec   Spec
		change func(*exec.Cmd)
	}{
		"Root":            {"limited", Spec{Seccomp: filter, Capabilities: &Capabilities{Bounding: kill}}, nil},
		"User":            {"limited", Spec{Seccomp: filter, Capabilities: &Capabilities{}}, lent},
		"NoNewPrivileges": {"limited, privilegeless", Spec{Seccomp: filter}, nil},
		"WithADomain":     {"limited", Spec{Seccomp: filter, Landlock: hostRuleset(t), Capabilities: &Capabilities{}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			for range 20 {
				if status, text := start(t, root, test.mode, test.spec, []string{"/limit"}, test.change); status != softLimit {
					t.Fatalf("exit status %d, want the limit %d: %s", status, softLimit, text)
				}
			}
		})
	}
	for _, missing := range calls {
		filter := only(without(calls, missing), unix.SECCOMP_RET_ALLOW, unix.SECCOMP_RET_KILL_PROCESS)
		if status, text := start(t, root, "limited", Spec{Seccomp: filter}, []string{"/limit"}, nil); status != -1 {
			t.Errorf("without call %d the exit status is %d: %s", missing, status, text)
		}
	}
}

func without(calls []int, missing int) []int {
	var rest []int
	for _, call := range calls {
		if call != missing {
			rest = append(rest, call)
		}
	}
	return rest
}

func TestProgramHasOneFilterMore(t *testing.T) {
	root := newRoot(t)
	bare := startObserver(t, root, Spec{}, nil, nil)
	for name, test := range map[string]struct {
		mode string
		spec Spec
	}{
		"Root":            {"plain", Spec{Seccomp: allowAll(), Capabilities: &Capabilities{}}},
		"NoNewPrivileges": {"privilegeless", Spec{Seccomp: allowAll()}},
		"Flags":           {"plain", Spec{Seccomp: &Filter{allowAll().Program, unix.SECCOMP_FILTER_FLAG_LOG | unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW}}},
	} {
		seen := startObserverIn(t, test.mode, root, test.spec, nil, nil)
		if seen.Sets["Seccomp"] != unix.SECCOMP_MODE_FILTER || seen.Sets["Seccomp_filters"] != bare.Sets["Seccomp_filters"]+1 {
			t.Errorf("%s: mode %d, %d filters; %d without", name, seen.Sets["Seccomp"], seen.Sets["Seccomp_filters"], bare.Sets["Seccomp_filters"])
		}
	}
}

func TestNoNewPrivilegesLeavesTheCapabilitiesAlone(t *testing.T) {
	root := newRoot(t)
	change := func(command *exec.Cmd) {
		command.SysProcAttr.Credential = &syscall.Credential{Uid: 1000, Gid: 1000}
		command.SysProcAttr.AmbientCaps = []uintptr{5, 21} // the second to mount /proc with
	}
	want := startObserverIn(t, "privilegeless", root, Spec{}, nil, change).capabilities()
	if got := startObserverIn(t, "privilegeless", root, Spec{Seccomp: allowAll()}, nil, change).capabilities(); got != want || got.Ambient != kill|sysAdmin {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestFilterThatCannotBeInstalledStartsNothing(t *testing.T) {
	root := newRoot(t)
	powerless := func(command *exec.Cmd) {
		command.SysProcAttr.Credential = &syscall.Credential{Uid: 1000, Gid: 1000}
		command.SysProcAttr.AmbientCaps = []uintptr{8}
	}
	for name, test := range map[string]struct {
		mode string
		spec Spec
		want string
	}{
		"NoProgramOfTheKernels": {"plain", Spec{Seccomp: &Filter{Program: make([]byte, 8)}}, "invalid argument"},
		"FlagsThatExclude":      {"plain", Spec{Seccomp: &Filter{allowAll().Program, unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV}}, "invalid argument"},
		"TooLong":               {"plain", Spec{Seccomp: &Filter{Program: make([]byte, 4097*8)}}, "a program of 32776 bytes"},
		"Sync":                  {"plain", Spec{Seccomp: &Filter{allowAll().Program, unix.SECCOMP_FILTER_FLAG_TSYNC}}, "flags 0x1"},
		"ListenerNobodyTakes":   {"plain", Spec{Seccomp: &Filter{allowAll().Program, FilterListener}}, "the listener cannot be told of"},
		"NoPower":               {"plain", Spec{Seccomp: allowAll(), Capabilities: &Capabilities{}}, "no_new_privs or CAP_SYS_ADMIN"},
	} {
		change := func(command *exec.Cmd) {}
		if name == "NoPower" {
			test.mode, change = "fakeproc", powerless
		}
		if status, text := start(t, root, test.mode, test.spec, []string{"/test"}, change); status != ExitUnheld || !strings.Contains(text, test.want) {
			t.Errorf("%s: status %d: %s", name, status, text)
		}
	}
}

func TestProgramThatDoesNotStartUnderTheFilter(t *testing.T) {
	root := newRoot(t)
	silent := answers(map[int]uint32{unix.SYS_WRITE: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)}, unix.SECCOMP_RET_ALLOW)
	barred := answers(map[int]uint32{unix.SYS_EXECVE: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)}, unix.SECCOMP_RET_ALLOW)
	for name, test := range map[string]struct {
		filter  *Filter
		program string
		status  int
		want    string
	}{
		"NotFound":          {allowAll(), "/nothing", ExitNotFound, "no such file"},
		"NotFoundInPath":    {allowAll(), "nothing", ExitNotFound, "not found in PATH"},
		"NotExecutable":     {allowAll(), "/etc/plain", ExitRefused, "permission denied"},
		"ExecveDenied":      {barred, "/test", ExitRefused, "exec /test: operation not permitted"},
		"NothingCanBeSaid":  {silent, "/nothing", ExitNotFound, ""},
		"NoInterpreter":     {allowAll(), "/etc/script", ExitNotFound, "no such file"},
		"DeniedInPath":      {barred, "script", ExitRefused, "operation not permitted"},
		"DirectoryIsDenied": {allowAll(), "/dir", ExitRefused, "permission denied"},
	} {
		status, text := start(t, root, "plain", Spec{Seccomp: test.filter}, []string{test.program}, nil)
		if status != test.status || !strings.Contains(text, test.want) || test.want == "" && text != "" {
			t.Errorf("%s: status %d: %q", name, status, text)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

//go:build linux && amd64

// Filters that we compile do on this kernel what their profiles say: real threads make calls by every way that a process has.
package kernel

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
	"github.com/bulkhead-project/bulkhead/test/seccomp/meaning"
	"github.com/bulkhead-project/bulkhead/test/seccomp/subject"
)

// missing is a process group that does not exist, so that getpgid(missing) ends in ESRCH if the kernel executes it.
const missing = 7777777

// ways are those by which a process of x86_64 calls the kernel. No kernel of Debian has x32: what its filter lets pass is ENOSYS.
var ways = map[string]struct {
	oci      string
	executed int64 // result of getpgid(missing)
}{"native": {"SCMP_ARCH_X86_64", -3}, "compat": {"SCMP_ARCH_X86", -3}, "x32": {"SCMP_ARCH_X32", -38}}

// number returns what entry's functions take.
func number(t *testing.T, way, name string) (raw uint64, inFilter uint32) {
	t.Helper()
	call, ok := syscalls.Lookup(name)
	nr, here := syscalls.ByOCI(ways[way].oci).Number(call)
	if !ok || !here {
		t.Fatalf("no number of %s by %s", name, way)
	}
	return uint64(nr &^ syscalls.ByOCI(ways[way].oci).Base), nr
}

// profile lets every call pass, but getpgid of one argument.
func profile(action string, data *uint16, op string) *meaning.Profile {
	return &meaning.Profile{Native: "SCMP_ARCH_X86_64", DefaultAction: "SCMP_ACT_ALLOW", Architectures: []string{"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"}, Syscalls: []meaning.Entry{
		{Names: []string{"getpgid"}, Action: action, ErrnoRet: data, Args: []meaning.Arg{{Index: 0, Value: missing, Op: op}}}}}
}

// ask runs the test binary again and returns what it prints, and how it ended.
func ask(t *testing.T, q question, attached func(in io.Writer, out *bufio.Reader)) (string, syscall.WaitStatus) {
	t.Helper()
	text, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command("/proc/self/exe")
	command.Env = append(os.Environ(), childVariable+"="+string(text), "GODEBUG=asyncpreemptoff=1")
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	pipe, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread() // Pdeathsig is about the thread
	defer runtime.UnlockOSThread()
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	out := bufio.NewReader(pipe)
	if attached != nil {
		attached(in, out)
	}
	printed, _ := io.ReadAll(out)
	command.Wait()
	return strings.TrimSpace(string(printed)), command.ProcessState.Sys().(syscall.WaitStatus)
}

func newQuestion(t *testing.T, way string, p *meaning.Profile, argument uint64) question {
	t.Helper()
	nr, _ := number(t, way, "getpgid")
	return question{Program: subject.Compile(t, p), Way: way, Number: nr, Args: [6]uint64{argument}}
}

func value(n uint16) *uint16 { return &n }

// The kernel's log is shared and has a limit of 10 lines in 5 seconds, which other tests use up, so this one comes first and tries again.
func TestLogExecutesAndIsLogged(t *testing.T) {
	for way, is := range ways {
		_, nr := number(t, way, "getpgid")
		record := []string{"type=1326", fmt.Sprintf("syscall=%d ", nr), "code=0x7ffc0000", fmt.Sprintf("arch=%x ", syscalls.ByOCI(is.oci).Audit)}
		log := openKernelLog(t)
		logged := false
		for start := time.Now(); !logged && time.Since(start) < 12*time.Second; {
			if got, _ := ask(t, newQuestion(t, way, profile("SCMP_ACT_LOG", nil, "SCMP_CMP_EQ"), missing), nil); got != fmt.Sprint("result ", is.executed) {
				t.Fatalf("%s: %q, want result %d", way, got, is.executed)
			}
			time.Sleep(100 * time.Millisecond)
			logged = slices.ContainsFunc(log.lines(t), func(line string) bool {
				return !slices.ContainsFunc(record, func(part string) bool { return !strings.Contains(line+" ", part) })
			})
		}
		if !logged {
			t.Errorf("%s: no record with %q in the kernel's log", way, record)
		}
	}
}

func TestActionsAnswerByEveryWay(t *testing.T) {
	for way, is := range ways {
		executed := fmt.Sprint("result ", is.executed)
		for name, c := range map[string]struct {
			action  string
			data    *uint16
			op      string
			matched string // for the argument that the condition is about; any other ends as executed
		}{
			"ErrnoIsReturned":               {"SCMP_ACT_ERRNO", value(5), "SCMP_CMP_EQ", "result -5"},
			"ErrnoWithoutValueIsEPERM":      {"SCMP_ACT_ERRNO", nil, "SCMP_CMP_EQ", "result -1"},
			"ErrnoZeroIsSuccess":            {"SCMP_ACT_ERRNO", value(0), "SCMP_CMP_EQ", "result 0"},
			"ErrnoLargest":                  {"SCMP_ACT_ERRNO", value(4095), "SCMP_CMP_EQ", "result -4095"},
			"TraceWithoutTracerIsENOSYS":    {"SCMP_ACT_TRACE", value(9), "SCMP_CMP_EQ", "result -38"},
			"NotifyWithoutListenerIsENOSYS": {"SCMP_ACT_NOTIFY", nil, "SCMP_CMP_EQ", "result -38"},
			"AllowExecutes":                 {"SCMP_ACT_ALLOW", nil, "SCMP_CMP_EQ", executed},
			"KillThreadEndsTheThreadAlone":  {"SCMP_ACT_KILL_THREAD", nil, "SCMP_CMP_EQ", "thread gone"},
			"KillIsKillThread":              {"SCMP_ACT_KILL", nil, "SCMP_CMP_EQ", "thread gone"},
		} {
			t.Run(way+"/"+name, func(t *testing.T) {
				p := profile(c.action, c.data, c.op)
				q := newQuestion(t, way, p, missing)
				if strings.HasPrefix(name, "Notify") {
					q.Notify = "nothing"
				}
				if got, _ := ask(t, q, nil); got != c.matched {
					t.Errorf("a call that matches: %q, want %q", got, c.matched)
				}
				q.Args[0]++
				if got, _ := ask(t, q, nil); got != executed {
					t.Errorf("a call that does not: %q, want %q", got, executed)
				}
			})
		}
	}
}

// Of two filters the stricter action counts, in either order: what a profile's rules of one call are taken for, too.
func TestStricterActionWinsAmongFilters(t *testing.T) {
	strictest := []string{"SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP", "SCMP_ACT_ERRNO", "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE", "SCMP_ACT_LOG", "SCMP_ACT_ALLOW"}
	questions, outcomes := make([]question, len(strictest)), make([]string, len(strictest))
	outcome := func(q question) string {
		out, status := ask(t, q, nil)
		return fmt.Sprintf("%s, status %#x", out, status)
	}
	for i, action := range strictest {
		questions[i] = newQuestion(t, "native", profile(action, nil, "SCMP_CMP_EQ"), missing)
		outcomes[i] = outcome(questions[i])
	}
	for i := range strictest {
		for j := range i {
			for _, order := range [][2]int{{i, j}, {j, i}} {
				q := questions[order[0]]
				q.Later = questions[order[1]].Program
				if got := outcome(q); got != outcomes[j] {
					t.Errorf("%s, then %s: %s, want %s as of %s", strictest[order[0]], strictest[order[1]], got, outcomes[j], strictest[j])
				}
			}
		}
	}
}

// By int 0x80 a process of 64 bits shows the filter whole registers, of which the kernel then executes the lower halves.
func TestHighBitsOfAnIntDoNotMatter(t *testing.T) {
	for way := range ways {
		for name, op := range map[string]string{"Equal": "SCMP_CMP_EQ", "GreaterEqual": "SCMP_CMP_GE"} {
			t.Run(way+"/"+name, func(t *testing.T) {
				if got, _ := ask(t, newQuestion(t, way, profile("SCMP_ACT_ERRNO", value(5), op), missing|1<<32), nil); got != "result -5" {
					t.Errorf("got %q, want result -5", got)
				}
			})
		}
	}
}

func TestKernelClampsTheErrno(t *testing.T) {
	q := newQuestion(t, "native", profile("SCMP_ACT_ALLOW", nil, "SCMP_CMP_EQ"), missing)
	_, nr := number(t, "native", "getpgid")
	q.Program = []bpf.Instruction{{Code: bpf.LD | bpf.W | bpf.ABS, K: bpf.OffsetNumber}, {Code: bpf.JMP | bpf.JEQ | bpf.K, True: 0, False: 1, K: nr},
		{Code: bpf.RET | bpf.K, K: 0x0005ffff}, {Code: bpf.RET | bpf.K, K: 0x7fff0000}}
	if got, _ := ask(t, q, nil); got != "result -4095" {
		t.Errorf("got %q, want result -4095", got)
	}
}

func TestKillProcessEndsAll(t *testing.T) {
	for way := range ways {
		out, status := ask(t, newQuestion(t, way, profile("SCMP_ACT_KILL_PROCESS", nil, "SCMP_CMP_EQ"), missing), nil)
		if !status.Signaled() || status.Signal() != syscall.SIGSYS {
			t.Errorf("%s: %q, status %#x, want ended by SIGSYS", way, out, status)
		}
	}
}

// traced asks with a tracer on the calling thread.
func traced(t *testing.T, q question, change func(*unix.PtraceRegs)) (string, *tracer) {
	t.Helper()
	q.Traced = true
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var tr *tracer
	printed, _ := ask(t, q, func(in io.Writer, out *bufio.Reader) {
		line, err := out.ReadString('\n')
		var thread int
		if _, scanned := fmt.Sscanf(line, "thread %d", &thread); err != nil || scanned != nil {
			t.Fatalf("child printed %q", line)
		}
		tr = attach(t, thread)
		io.WriteString(in, "\n")
		if err := tr.follow(change); err != nil {
			t.Fatal(err)
		}
	})
	return printed, tr
}

func TestTrapTellsTheCall(t *testing.T) {
	for way, is := range ways {
		_, nr := number(t, way, "getpgid")
		_, tr := traced(t, newQuestion(t, way, profile("SCMP_ACT_TRAP", nil, "SCMP_CMP_EQ"), missing), nil)
		if tr.trap == nil {
			t.Errorf("%s: no SIGSYS", way)
			continue
		}
		got, want := *tr.trap, trap{Signal: int32(unix.SIGSYS), Code: 1 /* SYS_SECCOMP */, Address: tr.trap.Address, Call: nr, Arch: syscalls.ByOCI(is.oci).Audit}
		if got != want || got.Address == 0 {
			t.Errorf("%s: %+v, want %+v", way, got, want)
		}
	}
}

func TestTracerDecides(t *testing.T) {
	for way, is := range ways {
		parent, _ := number(t, way, "getppid")
		parentResult := fmt.Sprint("result ", os.Getpid())
		if way == "x32" {
			parent, parentResult = parent|0x40000000, "result -38"
		}
		for name, c := range map[string]struct {
			change func(*unix.PtraceRegs)
			want   string
		}{
			"Continues":  {func(*unix.PtraceRegs) {}, fmt.Sprint("result ", is.executed)},
			"Skips":      {func(r *unix.PtraceRegs) { r.Orig_rax, r.Rax = ^uint64(0), 1234 }, "result 1234"},
			"Changes":    {func(r *unix.PtraceRegs) { r.Orig_rax = parent }, parentResult},
			"RunsIntoIt": {func(r *unix.PtraceRegs) { r.Rdi, r.Rbx = missing+1, missing+1 }, fmt.Sprint("result ", is.executed)},
		} {
			t.Run(way+"/"+name, func(t *testing.T) {
				got, tr := traced(t, newQuestion(t, way, profile("SCMP_ACT_TRACE", value(321), "SCMP_CMP_EQ"), missing), c.change)
				if got != c.want || tr.data != 321 || tr.calls != 1 {
					t.Errorf("%q, %d events with data %d; want %q, one with 321", got, tr.calls, tr.data, c.want)
				}
			})
		}
	}
}

func TestSupervisorDecides(t *testing.T) {
	for way, is := range ways {
		_, nr := number(t, way, "getpgid")
		told := fmt.Sprintf("notified %d %#x [%d 0 0 0 0 0]\nresult ", nr, syscalls.ByOCI(is.oci).Audit, missing)
		for name, want := range map[string]int64{"errno": -7, "value": 1234, "continue": is.executed} {
			t.Run(way+"/"+name, func(t *testing.T) {
				q := newQuestion(t, way, profile("SCMP_ACT_NOTIFY", nil, "SCMP_CMP_EQ"), missing)
				q.Notify = name
				if got, _ := ask(t, q, nil); got != told+fmt.Sprint(want) {
					t.Errorf("got %q, want %q", got, told+fmt.Sprint(want))
				}
			})
		}
	}
}

// kernelLog reads /dev/kmsg from where it was opened.
type kernelLog int

func openKernelLog(t *testing.T) kernelLog {
	t.Helper()
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if _, err := unix.Seek(fd, 0, io.SeekEnd); err != nil {
		t.Fatal(err)
	}
	return kernelLog(fd)
}

func (l kernelLog) lines(t *testing.T) []string {
	t.Helper()
	var lines []string
	for buffer := make([]byte, 8192); ; {
		n, err := unix.Read(int(l), buffer)
		if err == unix.EAGAIN {
			return lines
		}
		if err != nil && err != unix.EPIPE { // EPIPE: lines were overwritten before they were read
			t.Fatal(err)
		}
		lines = append(lines, string(buffer[:max(n, 0)]))
	}
}

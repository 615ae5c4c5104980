// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/selinux"
)

// errand is what a test sends a process into an enforcing domain for.
type errand struct {
	Commands []uint16 // to try on each of the files that it inherits
	Files    []string // to open for reading and for appending
}

const errandVariable = "BULKHEAD_ERRAND"

func TestMain(m *testing.M) {
	text := os.Getenv(errandVariable)
	if text == "" {
		os.Exit(m.Run())
	}
	var e errand
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		panic(err)
	}
	refused := tryFiles(e.Files)
	if e.Commands != nil {
		refused = tryCommands(e.Commands)
	}
	if err := json.NewEncoder(os.Stdout).Encode(refused); err != nil {
		panic(err)
	}
}

// tryFiles says of each file whether opening it for reading and for appending was refused.
func tryFiles(paths []string) [][]bool {
	refused := make([][]bool, len(paths))
	for i, path := range paths {
		for _, flags := range []int{unix.O_RDONLY, unix.O_WRONLY | unix.O_APPEND} {
			fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
			switch {
			case err == nil:
				unix.Close(fd)
			case !errors.Is(err, unix.EACCES):
				panic(path + ": " + err.Error())
			}
			refused[i] = append(refused[i], err != nil)
		}
	}
	return refused
}

// labelled makes a file with a label.
func labelled(t *testing.T, path, label string) *os.File {
	t.Helper()
	file, err := os.Create(path)
	if err == nil {
		t.Cleanup(func() { file.Close() })
		err = errors.Join(file.Chmod(0o666), selinux.SetFileLabel(int(file.Fd()), label))
	}
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// inDomain runs this program in a domain, with files open. It returns what was refused.
func inDomain(t *testing.T, process string, e errand, files ...*os.File) [][]bool {
	t.Helper()
	return runErrand(t, process, e, func(command *exec.Cmd) { command.ExtraFiles = files })
}

func runErrand(t *testing.T, process string, e errand, prepare func(*exec.Cmd)) [][]bool {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(program)
	command.Env, command.Stderr = append(os.Environ(), errandVariable+"="+string(text)), os.Stderr
	prepare(command)
	var answers [][]bool
	output, err := outputIn(command, process)
	if err = errors.Join(err, json.Unmarshal(output, &answers)); err != nil {
		t.Fatalf("%s: %v", process, err)
	}
	return answers
}

// outputIn runs a command in a domain: the attribute that says so belongs to the thread that forks.
func outputIn(command *exec.Cmd, process string) ([]byte, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const attribute = "/proc/thread-self/attr/exec"
	if err := os.WriteFile(attribute, []byte(process), 0); err != nil {
		return nil, err
	}
	output, err := command.Output()
	return output, errors.Join(err, os.WriteFile(attribute, nil, 0))
}

// messages is what the kernel has logged so far.
func messages(t *testing.T) string {
	t.Helper()
	buffer := make([]byte, 1<<20)
	n, err := unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, buffer)
	if err != nil {
		t.Fatal(err)
	}
	return string(buffer[:n])
}

// explained is what `bulkhead selinux why --json` prints of a denial.
type explained struct {
	Count                 int
	Source, Target, Class string
	Permissions           []struct {
		Permission, Cause, Constraint string
		Allowed                       bool
		Values                        []string
	}
	Missing []string
}

// why has bulkhead explain what the kernel has logged since, of a process.
func why(t *testing.T, since, process string) []explained {
	t.Helper()
	var lines []string
	for line := range strings.Lines(strings.TrimPrefix(messages(t), since)) {
		if strings.Contains(line, "scontext="+process+" ") {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return nil
	}
	command := exec.Command("/usr/bin/bulkhead", "selinux", "why", "--json")
	command.Stdin, command.Stderr = strings.NewReader(strings.Join(lines, "")), os.Stderr
	output, err := command.Output()
	if err != nil {
		t.Fatalf("bulkhead selinux why: %v", err)
	}
	var list []explained
	if err := json.Unmarshal(output, &list); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	return list
}

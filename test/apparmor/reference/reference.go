// SPDX-License-Identifier: Apache-2.0

// Package reference has what our AppArmor compiler is judged by: the reference parser's own test suite and the parser itself in two versions,
// this machine's (Debian 12: 3.0.8) and Debian 13's (4.1.0), which is fetched once, with the suite, into the user's cache.
package reference

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/test/trixie"
)

// mirror is where fetch.sh gets the packages.
const mirror = "deb.debian.org:80"

//go:embed testdata/fetch.sh
var fetchScript string

// fetch returns the cache's directory with what fetch.sh leaves.
var fetch = sync.OnceValues(func() (string, error) { return trixie.Fetch("apparmor-trixie", fetchScript) })

// fetched returns that directory. Where it is missing and there is no network, the test is skipped; with a network, a failure to fetch is one.
func fetched(t testing.TB) string {
	t.Helper()
	directory, err := fetch()
	if err == nil {
		return directory
	}
	if offline() {
		t.Skipf("AppArmor's suite is not in the cache, and there is no network: %v", err)
	}
	t.Fatal(err)
	return ""
}

// offline reports whether neither Debian's mirror nor the proxy that apt would ask can be reached.
func offline() bool {
	if out, err := exec.Command("apt-config", "shell", "proxy", "Acquire::http::Proxy").Output(); err == nil && len(out) > 0 {
		return false // a proxy is configured, so there is a network, and apt's failure is one
	}
	for _, name := range []string{"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"} {
		if os.Getenv(name) != "" {
			return false
		}
	}
	connection, err := net.DialTimeout("tcp", mirror, 10*time.Second)
	if err != nil {
		return true
	}
	connection.Close()
	return false
}

// Suite returns the folder of the parser's own tests. It is named tst, as some of them expect.
func Suite(t testing.TB) string {
	t.Helper()
	return filepath.Join(fetched(t), "tst")
}

// Generated returns the tar archive of the cases that the suite's generators write.
func Generated(t testing.TB) string {
	t.Helper()
	return filepath.Join(fetched(t), "generated.tar")
}

// Parser is one version of apparmor_parser.
type Parser struct {
	Version string // such as 3.0.8
	command []string
}

// Host is this machine's apparmor_parser.
func Host(t testing.TB) Parser {
	t.Helper()
	return versioned(t, Parser{command: []string{"/usr/sbin/apparmor_parser"}})
}

// Newer is Debian 13's, started with its own C library.
func Newer(t testing.TB) Parser {
	t.Helper()
	root := filepath.Join(fetched(t), "root")
	command, err := trixie.Loader(root, "usr/sbin/apparmor_parser")
	if err != nil {
		t.Fatal(err)
	}
	return versioned(t, Parser{command: command})
}

func versioned(t testing.TB, p Parser) Parser {
	t.Helper()
	out, err := exec.Command(p.command[0], append(p.command[1:], "-V")...).Output()
	if err != nil {
		t.Fatalf("%s -V: %v (apt-get install apparmor)", p.command, err)
	}
	first, _, _ := strings.Cut(string(out), "\n") // "AppArmor parser version 3.0.8"
	p.Version = first[strings.LastIndexByte(first, ' ')+1:]
	return p
}

// Sources say what a policy text is compiled with.
type Sources struct {
	Features  string   // path of the features file
	Base      string   // directory of includes
	Include   []string // further ones
	Directory string   // the working directory
}

// RefusedError is the parser's exit status other than 0, with what it wrote.
type RefusedError struct {
	Status int
	Text   string
}

func (e *RefusedError) Error() string { return fmt.Sprintf("exit %d: %s", e.Status, e.Text) }

// Compile compiles a policy text, on the standard input, or, where text is nil, the file at path.
func (p Parser) Compile(ctx context.Context, from Sources, path string, text []byte) ([]byte, error) {
	arguments := append(p.command[1:len(p.command):len(p.command)], "--config-file=/dev/null", "-K", "-Q", "-S", "-M", from.Features)
	if from.Base != "" {
		arguments = append(arguments, "-b", from.Base)
	}
	for _, directory := range from.Include {
		arguments = append(arguments, "-I", directory)
	}
	if text == nil {
		arguments = append(arguments, path)
	}
	command := exec.CommandContext(ctx, p.command[0], arguments...)
	command.Dir = from.Directory
	// The parser forks; what hangs is its child.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return unix.Kill(-command.Process.Pid, unix.SIGKILL) }
	var stdout, stderr bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = bytes.NewReader(text), &stdout, &stderr
	err := command.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return nil, &RefusedError{exit.ExitCode(), stderr.String()}
	}
	return stdout.Bytes(), err
}

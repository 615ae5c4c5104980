// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// privatePlaces are what Bulkhead and runc keep on a host. Each is an empty tmpfs in a private host.
var privatePlaces = []string{"/etc/bulkhead", "/var/lib/bulkhead", "/run/bulkhead", "/run/runc"}

const privateVariable = "BULKHEAD_TEST_PRIVATE"

// Private runs the tests of a package in a mount namespace of their own, with nothing of Bulkhead's on the host yet: they may configure it,
// count what it leaves, and disturb no other test. Call it from TestMain and exit with what it returns.
func Private(m *testing.M) int {
	if os.Getenv(privateVariable) != "" {
		if err := makePrivate(); err != nil {
			fmt.Fprintln(os.Stderr, "private host:", err)
			return 1
		}
		return m.Run()
	}
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "these tests make containers: run them as root (make test)")
		return 1
	}
	again := exec.Command("/proc/self/exe", os.Args[1:]...)
	again.Args[0] = os.Args[0]
	again.Env = append(os.Environ(), privateVariable+"=1")
	again.Stdin, again.Stdout, again.Stderr = os.Stdin, os.Stdout, os.Stderr
	again.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	err := again.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		fmt.Fprintln(os.Stderr, "private host:", err)
		return 1
	}
	return again.ProcessState.ExitCode()
}

func makePrivate() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	for _, place := range privatePlaces {
		if err := os.MkdirAll(place, 0o755); err != nil {
			return err
		}
		if err := unix.Mount("tmpfs", place, "tmpfs", unix.MS_NOSUID, "mode=0755"); err != nil {
			return fmt.Errorf("%s: %w", place, err)
		}
	}
	return nil
}

// SPDX-License-Identifier: Apache-2.0

//go:build runtimeonly

package main

import (
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/container"
	"github.com/bulkhead-project/bulkhead/plan"
)

// main of the binary that is the OCI runtime and nothing else. Engines start it several times for each container, and it need
// not load what only pulls images and parses command lines.
func main() { os.Exit(runtimeMain(os.Args[1:])) }

// classifyEngine knows nothing: the errors of `bulkhead run` do not occur.
func classifyEngine(error, int) (status int, hint string, known bool) { return 0, "", false }

func openHost() (*container.Host, error) { return container.OpenHost() }

// serveCluster goes on as bulkhead, which has a client of etcd, where category pairs are taken or released and hosts have to agree on them.
func serveCluster(host *container.Host, verb string) error {
	if host.Config.Etcd == nil || verb != "create" && verb != "run" && verb != "delete" {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	if host.TimerSlack != 0 { // what slowMonitor changed is to be found by the other program as it was
		unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(host.TimerSlack), 0, 0, 0)
	}
	other := filepath.Join(filepath.Dir(self), "bulkhead")
	err = unix.Exec(other, append([]string{"bulkhead-runtime"}, os.Args[1:]...), os.Environ())
	return &plan.UnavailableError{Layer: "selinux", Reason: other + ", which asks etcd for category pairs: " + err.Error(), Hint: "install bulkhead beside bulkhead-runtime"}
}

// SPDX-License-Identifier: Apache-2.0

package container

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/selinux/mcs"
	"github.com/bulkhead-project/bulkhead/test/harness"
)

// TestWhatNobodyWillStartIsEnded has runc create containers that wait for their start, as they do where `run` is killed before it has started one.
func TestWhatNobodyWillStartIsEnded(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("containers need root")
	}
	runc, err := exec.LookPath("runc")
	if err != nil {
		t.Fatal(err)
	}
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	dead, err := mcs.Self("x")
	if err != nil {
		t.Fatal(err)
	}
	alive := dead
	dead.PID, dead.StartTime = gone.Process.Pid, 1
	host := newHost(t)
	for name, test := range map[string]struct {
		creator mcs.Holder
		starts  bool
		ended   bool
	}{
		"abandoned": {dead, true, true},
		"beingmade": {alive, true, false},
		"created":   {dead, false, false}, // the engine may start it yet
	} {
		t.Run(name, func(t *testing.T) {
			id := "bulkhead-abandoned-" + name
			record := newTestRecord(t, host, id, test.creator)
			record.Starts, record.Inner = test.starts, runc
			bundle := harness.Bundle(t, harness.RootFS(t), "sleep 60", nil)
			null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer null.Close()
			create := exec.Command(runc, "--root", filepath.Join(host.Run, "runc"), "create", "--bundle", bundle, "--pid-file", record.PIDFile(), id)
			create.Stdin, create.Stdout, create.Stderr = null, null, null
			if err := create.Run(); err != nil {
				t.Fatal(err)
			}
			defer exec.Command(runc, "--root", filepath.Join(host.Run, "runc"), "delete", "--force", id).Run()
			if got := record.EndAbandoned(); got != test.ended {
				t.Errorf("got %v", got)
			}
			state, err := exec.Command(runc, "--root", filepath.Join(host.Run, "runc"), "state", id).Output()
			if err != nil {
				t.Fatal(err)
			}
			if stopped := strings.Contains(string(state), `"stopped"`); stopped != test.ended {
				t.Errorf("state: %s", state)
			}
		})
	}
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// monitorSlack is the timer slack of this process's threads, in nanoseconds.
const monitorSlack = 1_000_000

// slowMonitor makes the thread by which Go's runtime watches the others look less often: it sleeps 20 µs at a time while anything runs, which in a process of a few
// milliseconds is much of what it costs. The kernel lengthens a sleep by up to the thread's timer slack (prctl(2)), 50 µs unless it is set. Processes
// inherit it: it returns what those that are started are to have instead, 0 where nothing was changed.
func slowMonitor() (inherited int) {
	inherited, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil {
		return 0
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return 0
	}
	for _, thread := range threads {
		// Without CAP_SYS_NICE nothing is lost but time.
		os.WriteFile(filepath.Join("/proc", thread.Name(), "timerslack_ns"), strconv.AppendInt(nil, monitorSlack, 10), 0)
	}
	return inherited
}

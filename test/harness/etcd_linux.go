// SPDX-License-Identifier: Apache-2.0

package harness

import "syscall"

// endsWithTest has a process killed when the thread that started it ends, at the latest with the test.
func endsWithTest() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
	"github.com/bulkhead-project/bulkhead/test/seccomp/entry"
)

// installAll installs every filter as often as asked, each time in a fresh process, one peer after the other.
func installAll(results []map[string]*outcome, installs int) error {
	for range installs {
		for _, contest := range results {
			for name, o := range contest {
				command := exec.Command("/proc/self/exe", "-install")
				command.Stdin = bytes.NewReader(bpf.Encode(bpf.LittleEndian, o.Program))
				out, err := command.Output()
				if err != nil {
					return fmt.Errorf("install the filter of %s: %w", name, err)
				}
				var spent time.Duration
				if _, err := fmt.Sscan(string(out), (*int64)(&spent)); err != nil {
					return fmt.Errorf("install the filter of %s: %q", name, out)
				}
				o.Install = append(o.Install, spent)
			}
		}
	}
	return nil
}

// installOnce installs the filter on standard input and prints how long it took, in nanoseconds.
func installOnce() error {
	raw, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	program, err := bpf.Decode(bpf.LittleEndian, raw)
	if err != nil {
		return err
	}
	instructions, err := entry.Raw(program)
	if err != nil {
		return err
	}
	var spent time.Duration
	onFreshThread(func() {
		start := time.Now()
		_, err = entry.Install(instructions, unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW)
		spent = time.Since(start)
	})
	if err != nil {
		return err
	}
	_, err = fmt.Println(spent.Nanoseconds())
	return err
}

// SPDX-License-Identifier: Apache-2.0

// Package shield starts shield processes, and puts the file systems that they serve where they belong: onto a directory of this mount namespace, or into a
// container that was created and does not run yet, where nobody outside sees it. The program of the process is embedded, and executed from memory.
package shield

import (
	_ "embed"
	"fmt"
	"runtime"

	"github.com/bulkhead-project/bulkhead/kernel"
	"github.com/bulkhead-project/bulkhead/seccomp"
)

//go:embed filter.json
var filterText []byte

// filter compiles the seccomp filter of shield processes for this machine, as the kernel takes it.
func filter(facts kernel.Facts) ([]byte, error) {
	version, err := seccomp.KernelVersion(facts.Release)
	if err != nil {
		return nil, err
	}
	profile, err := seccomp.Parse(filterText)
	if err != nil {
		return nil, fmt.Errorf("the shield's own filter: %w", err)
	}
	policy, _, err := profile.Resolve(seccomp.Target{Architecture: runtime.GOARCH, Kernel: version})
	if err != nil {
		return nil, fmt.Errorf("the shield's own filter: %w", err)
	}
	compiled, err := seccomp.Compile(policy)
	if err != nil {
		return nil, fmt.Errorf("the shield's own filter: %w", err)
	}
	return compiled.Bytes(), nil
}

// SPDX-License-Identifier: Apache-2.0

// Command bulkhead confines containers with every layer that the kernel offers. Started under the name bulkhead-runtime, or as `bulkhead
// runtime`, it is an OCI runtime.
package main

import (
	"os"
	"path/filepath"
	"runtime/debug"
)

// version is set by the linker.
var version = "0.1.0-dev"

func main() {
	// A runtime lives for milliseconds: collecting garbage costs it more CPU than the memory is worth.
	debug.SetGCPercent(800)
	if filepath.Base(os.Args[0]) == "bulkhead-runtime" {
		os.Exit(runtimeMain(os.Args[1:]))
	}
	if len(os.Args) > 1 && os.Args[1] == "runtime" {
		os.Exit(runtimeMain(os.Args[2:]))
	}
	os.Exit(cliMain(os.Args[1:]))
}

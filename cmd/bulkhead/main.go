// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

// Command bulkhead confines containers with every layer that the kernel offers. Started under the name bulkhead-runtime, or as `bulkhead
// runtime`, it is an OCI runtime.
package main

import (
	"os"
	"path/filepath"
)

func main() {
	if filepath.Base(os.Args[0]) == "bulkhead-runtime" {
		os.Exit(runtimeMain(os.Args[1:]))
	}
	if len(os.Args) > 1 && os.Args[1] == "runtime" {
		os.Exit(runtimeMain(os.Args[2:]))
	}
	os.Exit(cliMain(os.Args[1:]))
}

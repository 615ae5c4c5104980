// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

// Command bulkhead confines containers with every layer that the kernel offers. Started under the name bulkhead-runtime, or as `bulkhead
// runtime`, it is an OCI runtime; under the name apparmor_parser it takes the options of that program.
package main

import (
	"os"
	"path/filepath"
)

func main() {
	switch filepath.Base(os.Args[0]) {
	case "bulkhead-runtime":
		os.Exit(runtimeMain(os.Args[1:]))
	case "apparmor_parser":
		os.Exit(parserMain(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	if len(os.Args) > 1 && os.Args[1] == "runtime" {
		os.Exit(runtimeMain(os.Args[2:]))
	}
	os.Exit(cliMain(os.Args[1:]))
}

// SPDX-License-Identifier: Apache-2.0

//go:build runtimeonly

package main

import "os"

// main of the binary that is the OCI runtime and nothing else. Engines start it several times for each container, and it need
// not load what only pulls images and parses command lines.
func main() { os.Exit(runtimeMain(os.Args[1:])) }

// classifyEngine knows nothing: the errors of `bulkhead run` do not occur.
func classifyEngine(error, int) (status int, hint string, known bool) { return 0, "", false }

// SPDX-License-Identifier: Apache-2.0

// Command bulkhead-init is /.bulkhead/init in every container: it applies what only the process itself can apply, and becomes the program.
package main

import (
	"fmt"
	"os"

	"github.com/bulkhead-project/bulkhead/inside"
)

func main() {
	spec, args, err := inside.Parse(os.Args)
	status := inside.ExitUnheld
	if err == nil {
		status, err = inside.Run(spec, args, os.Environ())
	}
	fmt.Fprintln(os.Stderr, "bulkhead: error:", err)
	os.Exit(status)
}

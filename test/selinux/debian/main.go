// SPDX-License-Identifier: Apache-2.0

// Command debian prints the directory with Debian's policy (selinux.Debian), for scripts.
package main

import (
	"fmt"
	"os"

	"github.com/bulkhead-project/bulkhead/test/selinux"
)

func main() {
	directory, err := selinux.Debian()
	if err != nil {
		fmt.Fprintln(os.Stderr, "debian: error:", err)
		os.Exit(1)
	}
	fmt.Println(directory)
}

// SPDX-License-Identifier: Apache-2.0

// Command generate writes the tables of package syscalls from a kernel's source tree and from the files in data, which say what that tree does
// not: calls of newer kernels, the kernel in which each call appeared, and what a few entries written in assembly read.
//
// The tree is that of Debian's package linux-source-6.12 (6.12.117-1~deb12u1), whose /usr/src/linux-source-6.12.tar.xz has been unpacked:
//
//	KERNEL=/path/to/linux-source-6.12 go generate ./seccomp/syscalls
//
// Two runs give the same bytes. A call that no file of data knows the first kernel of, or an entry point whose prototype is found nowhere or
// differs between definitions, is an error: a newer tree needs newer data.
package main

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"
)

//go:embed data
var data embed.FS

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: generate KERNEL-TREE OUTPUT-DIRECTORY")
		os.Exit(2)
	}
	if err := generate(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

// generate reads the kernel's tree and writes the tables into a directory.
func generate(tree, output string) error {
	abis, err := readABIs(tree)
	if err != nil {
		return err
	}
	if err := addNewer(abis); err != nil {
		return err
	}
	resolver, err := newResolver(tree, abis)
	if err != nil {
		return err
	}
	if err := resolver.resolveAll(abis); err != nil {
		return err
	}
	tables, err := newTables(abis)
	if err != nil {
		return err
	}
	text, err := tables.source()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(output, "tables.go"), text, 0o644)
}

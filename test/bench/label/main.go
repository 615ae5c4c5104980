// SPDX-License-Identifier: Apache-2.0

// Command label measures relabelling beside chcon and go-selinux, and the registry of category pairs beside go-selinux, in one run. It prints tables in Markdown. Root is needed.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	duration := flag.Duration("duration", 10*time.Second, "how long pairs are taken and freed")
	directory := flag.String("directory", "/var/tmp", "`DIRECTORY` on the disk that the registry is on")
	worker := flag.String("worker", "", "take and free pairs in this registry (for the program itself)")
	marks := flag.String("marks", "", "table of who uses which pair (for the program itself)")
	peer := flag.Bool("peer", false, "take and free go-selinux's (for the program itself)")
	files := flag.Int("files", 200_000, "how many files are relabelled")
	relabels := flag.String("relabel", "", "label a tree as this program does (for the program itself)")
	context := flag.String("context", "", "and give it this label")
	flag.Parse()
	var err error
	switch {
	case *worker != "":
		err = work(*worker, *marks, *duration)
	case *peer:
		err = workPeer(*duration)
	case *relabels != "":
		err = workRelabel(*relabels, *context, flag.Arg(0))
	default:
		err = measure(*directory, *duration, *files)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-label:", err)
		os.Exit(1)
	}
}

func measure(directory string, duration time.Duration, files int) error {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return err
	}
	info, _ := debug.ReadBuildInfo()
	version := ""
	for _, module := range info.Deps {
		if module.Path == "github.com/opencontainers/selinux" {
			version = module.Version
		}
	}
	fmt.Printf("# What labels cost\n\n`make bench-label`: %s, Linux %s, go-selinux %s.\n\n", info.GoVersion, unix.ByteSliceToString(name.Release[:]), version)
	if err := relabelling(directory, files); err != nil {
		return err
	}
	return allocation(directory, duration)
}

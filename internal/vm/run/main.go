// SPDX-License-Identifier: Apache-2.0

// Command run runs a program in a test guest, see package vm:
//
//	run --lsm selinux --kernel 6.12 [OPTIONS] -- COMMAND [ARGUMENT...]
//
// It is made for go test -exec. Its exit code is the command's, 128 plus the
// signal that killed the command, 124 after a timeout, 1 after --fail-on-skip
// found a skip, 2 for a usage error and 125 when the guest failed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/bulkhead-project/bulkhead/internal/vm"
)

const (
	exitSkipped = 1
	exitUsage   = 2
	exitTimeout = 124
	exitGuest   = 125
)

// list is a flag that may be given several times.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(value string) error {
	*l = append(*l, value)
	return nil
}

type settings struct {
	vm.Options
	stats, failOnSkip bool
}

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(arguments []string) int {
	s, err := parse(arguments)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		complain(err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer stop()
	watch := vm.NewSkipWatch(os.Stdout)
	s.Stdout, s.Stderr = watch, os.Stderr
	result, err := vm.Run(ctx, s.Options)
	if err != nil {
		complain(err)
		return exitGuest
	}
	if s.stats {
		t := result.Times
		fmt.Fprintf(os.Stderr, "vm: prepare %.2fs restore %.2fs run %.2fs exit %d\n", t.Prepare.Seconds(), t.Restore.Seconds(), t.Run.Seconds(), result.Code)
	}
	if result.Message != "" {
		complain(errors.New(result.Message))
	}
	switch skipped := watch.Skipped(); {
	case result.TimedOut:
		return exitTimeout
	case result.Code == 0 && s.failOnSkip && len(skipped) > 0:
		complain(fmt.Errorf("skipped in the %s guest: %s", s.LSM, strings.Join(skipped, " ")))
		return exitSkipped
	}
	return result.Code
}

func complain(err error) { fmt.Fprintln(os.Stderr, "vm: error:", err) }

func parse(arguments []string) (settings, error) {
	var s settings
	directory, err := os.Getwd()
	if err != nil {
		return s, err
	}
	s.Dir = directory
	if s.Cache, err = vm.DefaultCache(); err != nil {
		return s, err
	}
	console := false
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	flags.StringVar((*string)(&s.LSM), "lsm", string(vm.SELinux), "selinux, apparmor or none")
	flags.StringVar(&s.Kernel, "kernel", "6.12", "version of Debian's kernel")
	flags.Var((*list)(&s.Modules), "module", "load this kernel module too")
	flags.Var((*list)(&s.Add), "add", "carry HOST[:GUEST] into the guest, programs with their libraries")
	flags.Var((*list)(&s.Profiles), "profile", "compile this AppArmor profile to /profiles/NAME.bin")
	flags.Var((*list)(&s.Env), "env", "set NAME=VALUE")
	flags.StringVar(&s.Label, "label", "", "SELinux context of the command")
	flags.StringVar(&s.Policy, "policy", "", "SELinux policy, a binary file, in place of the guest's own")
	flags.DurationVar(&s.Timeout, "timeout", 10*time.Minute, "of the command")
	flags.IntVar(&s.Memory, "memory", 512, "MiB")
	flags.IntVar(&s.CPUs, "cpus", 1, "virtual processors")
	flags.StringVar(&s.QEMU, "qemu", "qemu-system-x86_64", "program")
	flags.BoolVar(&console, "console", false, "show what the kernel says, at the end")
	flags.BoolVar(&s.stats, "stats", false, "show the times of the run")
	flags.BoolVar(&s.failOnSkip, "fail-on-skip", false, "fail when a test is skipped that does not belong to another guest")
	if err := flags.Parse(arguments); err != nil {
		return s, err
	}
	s.Command = flags.Args()
	if console {
		s.Console = os.Stderr
	}
	if s.failOnSkip {
		s.Command, err = vm.Verbose(s.Command)
	}
	return s, err
}

// SPDX-License-Identifier: Apache-2.0

// Package vm runs a program inside a QEMU guest whose kernel has the wanted
// security modules, under plain emulation: no KVM, no network, no root needed.
//
// Kernels are Debian's packages, downloaded and extracted into a cache. A guest
// is booted once per kind (kernel, security modules, QEMU ...) and its state saved in the
// cache; every run restores that state, which takes about a second, hands in the
// program with its files on a disk and gets back its output, exit code and
// coverage over a virtio-serial port. See README.md for the traps.
//
// Limits: amd64 only; a run gets no stdin and no network but loopback; the saved
// states are those of one QEMU version and are made anew when anything changes.
package vm

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// LSM is the major security module of a guest. Landlock, Yama, lockdown and BPF are always on.
type LSM string

const (
	SELinux  LSM = "selinux"  // enforcing GuestPolicy
	AppArmor LSM = "apparmor" // enabled, no profile loaded
	None     LSM = "none"
)

// Options say what to run and where.
type Options struct {
	LSM      LSM
	Kernel   string        // version, e.g. "6.12"
	Modules  []string      // kernel modules besides those every guest has (overlay, fuse)
	Memory   int           // MiB
	CPUs     int           // virtual processors
	QEMU     string        // program
	Cache    string        // directory; see DefaultCache
	Console  io.Writer     // what the kernel says; nil drops it
	Stdout   io.Writer     // of the command
	Stderr   io.Writer     // of the command
	Command  []string      // a path of a host's file is carried in, a bare name is looked up in the guest
	Dir      string        // absolute; the guest's working directory has the same path, and its testdata
	Add      []string      // HOST[:GUEST] files, directories and programs with their libraries
	Profiles []string      // AppArmor profiles, compiled to /profiles/NAME.bin
	Env      []string      // NAME=VALUE
	Label    string        // SELinux context of the command
	Policy   string        // SELinux policy that the guest loads when it starts; "": GuestPolicy
	Timeout  time.Duration // of the command
}

// Result is how a command ended.
type Result struct {
	Code     int    // the command's, or 128 plus the signal that killed it
	TimedOut bool   // killed after Options.Timeout
	Message  string // why it was killed, if it was
	Times    Times
}

// Times are the parts of a run.
type Times struct {
	Prepare time.Duration // looking up, and if need be making, the saved state; packing the files
	Restore time.Duration // until the guest runs
	Run     time.Duration // until the command has ended
}

// Environment is the variable that tells a program which guest it is in.
const Environment = "BULKHEAD_VM"

// Run runs a command in a guest. An error means that there is no result: the
// guest could not be made, or died.
func Run(ctx context.Context, options Options) (Result, error) {
	if err := options.check(); err != nil {
		return Result{}, err
	}
	start := time.Now()
	store := cache{options.Cache}
	machine, err := store.machine(ctx, options)
	if err != nil {
		return Result{}, err
	}
	state, err := store.state(ctx, machine)
	if err != nil {
		return Result{}, fmt.Errorf("guest %s on %s: %w", options.LSM, machine.kernel.name, err)
	}
	load, err := store.payload(ctx, options)
	if err != nil {
		return Result{}, err
	}
	result, err := machine.run(ctx, state, load, options)
	result.Times.Prepare = time.Since(start) - result.Times.Restore - result.Times.Run
	return result, err
}

func (o Options) check() error {
	switch {
	case o.LSM != SELinux && o.LSM != AppArmor && o.LSM != None:
		return fmt.Errorf("security module %q is none of selinux, apparmor, none", o.LSM)
	case o.Label != "" && o.LSM != SELinux:
		return errors.New("a label needs a guest with selinux")
	case len(o.Command) == 0:
		return errors.New("no command")
	case !filepath.IsAbs(o.Dir) || !filepath.IsAbs(o.Cache):
		return fmt.Errorf("working directory %q and cache %q have to be absolute", o.Dir, o.Cache)
	case o.Timeout <= 0 || o.Memory <= 0 || o.CPUs <= 0:
		return errors.New("timeout, memory and processors have to be positive")
	}
	for _, variable := range o.Env {
		if name, _, ok := strings.Cut(variable, "="); !ok || name == "" {
			return fmt.Errorf("environment %q is not NAME=VALUE", variable)
		}
	}
	return nil
}

// modulePath is the project's; the guest's own program is built from its sources.
const modulePath = "github.com/bulkhead-project/bulkhead"

// guestProgram returns the path of PID 1, built when its sources are new.
func (c cache) guestProgram(ctx context.Context, from string) (string, error) {
	root, err := moduleRoot(from)
	if err != nil {
		return "", err
	}
	digest := sha256.New()
	for _, pattern := range []string{"go.mod", "internal/vm/guest/*.go", "internal/vm/cpio/*.go", "internal/vm/wire/*.go"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return "", err
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				return "", err
			}
			fmt.Fprintf(digest, "%s %d\n%s", filepath.Base(path), len(text), text)
		}
	}
	directory, err := c.once(ctx, fmt.Sprintf("guest/%x", digest.Sum(nil)), func(directory string) error {
		return buildGuest(ctx, root, filepath.Join(directory, "init"))
	})
	return filepath.Join(directory, "init"), err
}

// moduleRoot finds the project's go.mod above a directory.
func moduleRoot(from string) (string, error) {
	for directory := from; ; directory = filepath.Dir(directory) {
		text, err := os.ReadFile(filepath.Join(directory, "go.mod"))
		if err == nil && strings.HasPrefix(string(text), "module "+modulePath+"\n") {
			return directory, nil
		}
		if directory == filepath.Dir(directory) {
			return "", fmt.Errorf("%s is not inside the sources of %s, from which the guest's first process is built", from, modulePath)
		}
	}
}

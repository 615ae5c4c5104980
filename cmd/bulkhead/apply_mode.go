// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/selinux"
	"github.com/bulkhead-project/bulkhead/selinux/modules"
)

func openMode() (*modules.ModeHost, error) {
	if err := requireRoot(); err != nil {
		return nil, err
	}
	host, err := openHost()
	if err != nil {
		return nil, err
	}
	return modules.OpenMode(host.State)
}

func setMode(command *cobra.Command, text string, flags applyFlags) error {
	mode, err := selinux.ParseMode(text)
	if err != nil {
		return usageError{err}
	}
	host, err := openMode()
	if err != nil {
		return err
	}
	now, err := host.Set(mode, flags.force)
	if err != nil {
		return applyRefusal(err)
	}
	stderr := command.ErrOrStderr()
	switch {
	case mode == selinux.Permissive && now.Running == selinux.Permissive:
		fmt.Fprintln(stderr, "bulkhead: notice: what the policy does not allow happens from now on, and is only logged: SELinux confines nothing")
	case mode == selinux.Disabled:
		fmt.Fprintln(stderr, "bulkhead: notice: from the next boot on; then files get no labels, and enforcing again takes a relabelling of all files (touch /.autorelabel)")
	case now.Running == selinux.Disabled:
		fmt.Fprintln(stderr, "bulkhead: notice: from the next boot on, if the kernel is booted with SELinux (security=selinux)")
	}
	if now.Override != "" {
		fmt.Fprintf(stderr, "bulkhead: notice: the kernel's command line has %s, which counts for more at the next boot\n", now.Override)
	}
	return printModes(command, now, flags.asJSON)
}

func restoreMode(command *cobra.Command, flags applyFlags) error {
	host, err := openMode()
	if err != nil {
		return err
	}
	now, err := host.Restore(flags.force)
	if errors.Is(err, modules.ErrModeNotChanged) {
		return hinted{err, "`bulkhead apply --selinux-mode` changes it"}
	}
	if err != nil {
		return applyRefusal(err)
	}
	return printModes(command, now, flags.asJSON)
}

func printModes(command *cobra.Command, now modules.Modes, asJSON bool) error {
	if asJSON {
		return printJSON(command.OutOrStdout(), now)
	}
	_, err := fmt.Fprintf(command.OutOrStdout(), "running: %s\nat boot: %s\n", now.Running, orDash(string(now.Config)))
	return err
}

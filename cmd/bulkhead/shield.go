// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/shield/key"
	"github.com/bulkhead-project/bulkhead/shield/process"
	"github.com/bulkhead-project/bulkhead/shield/store"
)

func shieldCommand() *cobra.Command {
	command := &cobra.Command{Use: "shield", Short: "volumes whose content is ciphertext to everybody else",
		Long: "Volumes of the shield: directories of the host that hold files as ciphertext, contents, names and attributes, and in which every change that the owner\n" +
			"did not make is found out. Keys come from files, the terminal or a TPM, never from arguments or the environment."}
	command.PersistentPreRunE = func(*cobra.Command, []string) error { return hideMemory() }
	command.AddCommand(shieldInit(), shieldMount(), shieldInfo(), shieldVerify(), shieldRotate(), shieldAttest(), shieldAppraise(), shieldAttach())
	return command
}

// hideMemory keeps the memory of this process from core dumps and from other processes of the same user: Go's library leaves copies of keys in it, and mount stays as
// long as its volume is mounted.
func hideMemory() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("PR_SET_DUMPABLE: %w", err)
	}
	return nil
}

// classifyShield is classify for the errors of volumes.
func classifyShield(err error, failed int) (status int, hint string, known bool) {
	var fault *key.Error
	var served *process.Error
	var stored *store.Error
	switch {
	case errors.As(err, &stored):
		return failed, stored.Hint, true
	case errors.As(err, &served):
		return failed, served.Hint, true
	case !errors.As(err, &fault):
		return 0, "", false
	case fault.Fault == key.Unavailable:
		return exitUnavailable, fault.Hint, true
	case fault.Fault == key.Refused:
		return exitRefused, fault.Hint, true
	case fault.Hint == "" && errors.Is(err, fs.ErrPermission):
		return failed, "the volume and its keys belong to another user", true
	}
	return failed, fault.Hint, true
}

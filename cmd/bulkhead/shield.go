// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"errors"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/shield/key"
)

func shieldCommand() *cobra.Command {
	command := &cobra.Command{Use: "shield", Short: "volumes whose content is ciphertext to everybody else",
		Long: "Volumes of the shield: directories of the host that hold files as ciphertext, contents, names and attributes, and in which every change that the owner\n" +
			"did not make is found out. Keys come from files, the terminal or a TPM, never from arguments or the environment."}
	command.AddCommand(shieldInit(), shieldInfo(), shieldRotate())
	return command
}

// classifyShield is classify for the errors of volumes.
func classifyShield(err error, failed int) (status int, hint string, known bool) {
	var fault *key.Error
	switch {
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

// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import "github.com/spf13/cobra"

// verbs lists the commands in the order of the documentation.
func verbs() []*cobra.Command {
	return []*cobra.Command{checkCommand(), runCommand(), planCommand(), psCommand(), execCommand(), logsCommand(), stopCommand(), rmCommand(),
		applyCommand(), unapplyCommand(), seccompCommand(), apparmorCommand(), selinuxCommand(), labelCommand(), shieldCommand(), keepCommand(), sealCommand()}
}

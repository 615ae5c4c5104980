// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/selinux/container"
)

func selinuxContainerPolicy() *cobra.Command {
	var from policyFlag
	var callers []string
	command := &cobra.Command{Use: "container-policy [OPTIONS]", Short: "print the container policy in CIL, as it would be put onto a policy", Args: arguments(cobra.NoArgs),
		Long: "Print the container policy in CIL: what `run` puts onto a policy that has no container types, without what that has of it already. To read it, to\n" +
			"compile it (`bulkhead selinux compile --onto POLICY`), or to load it for good (`bulkhead apply --store`)."}
	from.add(command)
	command.Flags().StringArrayVar(&callers, "caller", nil, "`TYPE` of processes that start containers, beside those that distributions have")
	command.RunE = func(command *cobra.Command, _ []string) error {
		policy, err := from.read()
		if err != nil {
			return err
		}
		if container.Has(policy) {
			return hinted{fmt.Errorf("%s has %s and %s already", from.path, container.ProcessType, container.FileType),
				"`bulkhead selinux isolation` says what they leave between containers; name another policy with --policy"}
		}
		sources, err := container.Sources(policy, callers...)
		if err != nil {
			return err
		}
		_, err = command.OutOrStdout().Write(container.Join(sources))
		return err
	}
	return command
}

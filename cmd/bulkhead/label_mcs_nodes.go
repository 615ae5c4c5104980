// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/container"
	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/selinux/mcs"
)

// openCluster opens the host's registry where hosts agree on pairs in an etcd.
func openCluster() (*container.Host, error) {
	host, err := openRegistry()
	if err == nil && host.Registry.Cluster == nil {
		return nil, hinted{errors.New("this host agrees with no others on category pairs"), `name an etcd in ` + container.ConfigFile + `: {"etcd": {"endpoints": ["https://10.0.0.1:2379"]}}`}
	}
	return host, err
}

func mcsNodes() *cobra.Command {
	var asJSON bool
	command := &cobra.Command{Use: "nodes [OPTIONS]", Short: "list the hosts that agree on pairs in etcd", Args: arguments(cobra.NoArgs),
		Long: "List the hosts that agree on category pairs in the etcd of " + container.ConfigFile + ". STATE is lives, or silent: nothing was heard of it for the time of\n" +
			"its lease. A silent host may be off, cut off, or just not have started a container for that long; its pairs stay held."}
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	command.RunE = func(command *cobra.Command, _ []string) error {
		host, err := openCluster()
		if err != nil {
			return err
		}
		nodes, err := host.Registry.Cluster.Nodes()
		if err != nil {
			return err
		}
		if asJSON {
			return printJSON(command.OutOrStdout(), append([]mcs.Node{}, nodes...))
		}
		var rows [][]string
		for _, node := range nodes {
			state := "silent"
			if node.Lives {
				state = "lives"
			}
			rows = append(rows, []string{node.Name, state, strconv.Itoa(node.Pairs), node.ID})
		}
		return printTable(command.OutOrStdout(), []string{"NODE", "STATE", "PAIRS", "REGISTRY"}, rows)
	}
	return command
}

func mcsSync() *cobra.Command {
	return &cobra.Command{Use: "sync", Short: "sweep, and hold the pairs of this host against etcd", Args: arguments(cobra.NoArgs),
		Long: "Free what containers held that are gone, tell etcd of it, and have etcd know every pair that is held here. Nothing else is needed in daily life; a timer\n" +
			"may call it, so that a host where nothing starts is not silent, and an operator does on each host after etcd was restored from a backup.",
		RunE: func(command *cobra.Command, _ []string) error {
			host, err := openCluster()
			if err != nil {
				return err
			}
			freed, err := host.Registry.Sync()
			if err != nil {
				return err
			}
			return printFreed(command.OutOrStdout(), host.Registry.Cluster.Node, freed)
		}}
}

func printFreed(out io.Writer, node string, freed []mcs.Pair) error {
	noun := "pairs"
	if len(freed) == 1 {
		noun = "pair"
	}
	_, err := fmt.Fprintf(out, "%d %s of %s freed\n", len(freed), noun, node)
	return err
}

// releaseNode frees the pairs of a host that is dead.
func releaseNode(out io.Writer, name string) error {
	if err := mcs.CheckNode(name); err != nil {
		return usageError{err}
	}
	host, err := openCluster()
	if err != nil {
		return err
	}
	freed, err := host.Registry.Cluster.ReleaseNode(name)
	if errors.Is(err, mcs.ErrNodeLives) {
		return &plan.RefusedError{Subject: "node " + name, Reason: "its lease has not ended: it was heard of just now", Hint: "release its pairs on that host; or switch it off and try again when the lease has ended"}
	}
	if err == nil && len(freed) == 0 {
		return hinted{fmt.Errorf("node %q has no pairs", name), "`bulkhead label mcs nodes` lists those that have"}
	}
	if err != nil {
		return err
	}
	return printFreed(out, name, freed)
}

// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/container"
	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/selinux"
	"github.com/bulkhead-project/bulkhead/selinux/mcs"
	"github.com/bulkhead-project/bulkhead/standalone"
)

func labelMCS() *cobra.Command {
	command := &cobra.Command{Use: "mcs", Short: "the registry of category pairs: which are held, by whom; reserve and release",
		Long: "The registry of category pairs. A pair is two categories, c12,c907 in either order, and no two containers have the same unless they share it on\n" +
			"request. PAIR may also be a level or a context that has one."}
	command.AddCommand(mcsList(), mcsReserve(), mcsRelease(), mcsWho(), mcsNodes(), mcsSync())
	return command
}

// takenPair is one pair as ls and who show it.
type takenPair struct {
	Pair      string        `json:"pair"`
	Holders   []shownHolder `json:"holders,omitempty"`
	Nodes     []mcs.Owner   `json:"nodes,omitempty"`     // other hosts that hold it
	Elsewhere []shownUse    `json:"elsewhere,omitempty"` // what has it without holding it here
	Error     string        `json:"error,omitempty"`     // its file cannot be read or understood
}

func (p takenPair) nobodys() bool {
	return len(p.Holders)+len(p.Nodes)+len(p.Elsewhere) == 0 && p.Error == ""
}

type shownHolder struct {
	mcs.Holder
	State string `json:"state"`
}

type shownUse struct {
	By   string `json:"by"`
	Path string `json:"path"`
}

// takenPairs lists what the registry, other nodes and others here have, in rising order.
func takenPairs(registry mcs.Registry, nodes []mcs.Owned) ([]takenPair, error) {
	entries, err := registry.List()
	if err != nil {
		return nil, err
	}
	found := map[mcs.Pair]*takenPair{}
	at := func(pair mcs.Pair) *takenPair {
		if found[pair] == nil {
			found[pair] = &takenPair{Pair: pair.String()}
		}
		return found[pair]
	}
	for _, entry := range entries {
		taken := at(entry.Pair)
		for _, holder := range entry.Holders {
			taken.Holders = append(taken.Holders, shownHolder{holder, holder.State(entry.Pair, registry.Proc)})
		}
		if entry.Err != nil {
			taken.Error = entry.Err.Error()
		}
	}
	for _, owned := range nodes {
		at(owned.Pair).Nodes = owned.Owners
	}
	uses, err := registry.Elsewhere.Uses()
	if err != nil {
		return nil, err
	}
	for _, use := range uses {
		if taken, shown := at(use.Pair), (shownUse{use.By, use.Path}); !slices.Contains(taken.Elsewhere, shown) {
			taken.Elsewhere = append(taken.Elsewhere, shown)
		}
	}
	list := make([]takenPair, 0, len(found))
	for _, pair := range sortedPairs(found) {
		list = append(list, *found[pair])
	}
	return list, nil
}

func sortedPairs(found map[mcs.Pair]*takenPair) []mcs.Pair {
	var pairs []mcs.Pair
	for pair := range found {
		pairs = append(pairs, pair)
	}
	slices.SortFunc(pairs, func(a, b mcs.Pair) int { return cmp.Or(cmp.Compare(a.Low, b.Low), cmp.Compare(a.High, b.High)) })
	return pairs
}

// openRegistry opens the host's registry for root.
func openRegistry() (*container.Host, error) {
	host, err := openHost()
	if err != nil {
		return nil, err
	}
	return host, requireRoot()
}

func mcsList() *cobra.Command {
	var asJSON bool
	command := &cobra.Command{Use: "ls [OPTIONS]", Short: "list the pairs that are taken", Args: arguments(cobra.NoArgs),
		Long: "List the pairs that are held in the registry, and those that live processes, other engines' containers and libvirt's domains have. STATE is running;\n" +
			"stopped; reserved, until it is released; labelled: the container is gone and its volumes have the label still; gone: freed by the next sweep;\n" +
			"elsewhere: not held here, and not given out; leaving: nobody holds it, and etcd is still to be told; node: another host has it."}
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	command.RunE = func(command *cobra.Command, _ []string) error {
		host, err := openRegistry()
		if err != nil {
			return err
		}
		nodes, lost := host.Registry.AllOthers()
		list, err := takenPairs(host.Registry, nodes)
		if err != nil {
			return err
		}
		return errors.Join(printPairs(command.OutOrStdout(), list, asJSON), lost)
	}
	return command
}

func printPairs(out io.Writer, list []takenPair, asJSON bool) error {
	if asJSON {
		return printJSON(out, list)
	}
	var rows [][]string
	for _, taken := range list {
		for _, holder := range taken.Holders {
			pid := ""
			if holder.State == "running" {
				pid = strconv.Itoa(holder.PID)
			}
			rows = append(rows, []string{taken.Pair, holder.State, holder.ID, holder.Runtime, pid, strings.Join(slices.Concat(holder.Volumes, holder.Labelled), " ")})
		}
		for _, owner := range taken.Nodes {
			rows = append(rows, []string{taken.Pair, "node", owner.Holder, "node " + owner.Node})
		}
		for _, use := range taken.Elsewhere {
			rows = append(rows, []string{taken.Pair, "elsewhere", use.By, "", "", use.Path})
		}
		if taken.Error != "" {
			rows = append(rows, []string{taken.Pair, "unreadable", oneLine(taken.Error)})
		}
	}
	return printTable(out, []string{"PAIR", "STATE", "HOLDER", "RUNTIME", "PID", "VOLUMES"}, rows)
}

func mcsWho() *cobra.Command {
	var asJSON bool
	command := &cobra.Command{Use: "who [OPTIONS] PAIR", Short: "say who has a pair", Args: arguments(cobra.ExactArgs(1)),
		Long: "Say who holds a pair, and what else has it. Exit with 1 if nobody does."}
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	command.RunE = func(command *cobra.Command, args []string) error {
		pair, err := pairArgument(args[0])
		if err != nil {
			return err
		}
		host, err := openRegistry()
		if err != nil {
			return err
		}
		owners, lost := host.Registry.Others(pair)
		list, err := takenPairs(host.Registry, []mcs.Owned{{Pair: pair, Owners: owners}})
		if err != nil {
			return err
		}
		list = slices.DeleteFunc(list, func(taken takenPair) bool { return taken.Pair != pair.String() || taken.nobodys() })
		if len(list) > 0 {
			return errors.Join(printPairs(command.OutOrStdout(), list, asJSON), lost)
		}
		if lost != nil {
			return lost
		}
		if asJSON {
			err = printPairs(command.OutOrStdout(), list, asJSON)
		} else {
			_, err = fmt.Fprintf(command.OutOrStdout(), "%s is free\n", pair)
		}
		return cmp.Or(err, error(exitCode(exitFailed)))
	}
	return command
}

// pairArgument reads a pair, or the pair of a level, range or context. A set that dominates pairs is refused as what it is.
func pairArgument(text string) (mcs.Pair, error) {
	set, err := selinux.ParseCategories(text)
	if parsed, bad := selinux.ParseRange(text); bad == nil {
		set, err = parsed.High.Categories, nil
	} else if context, bad := selinux.ParseContext(text); bad == nil {
		set, err = context.Range.High.Categories, nil
	}
	if err != nil {
		return mcs.Pair{}, err
	}
	if pair, ok := mcs.PairOf(set); ok {
		return pair, nil
	}
	if set.Len() < 2 {
		return mcs.Pair{}, &standalone.UsageError{Option: text, Reason: fmt.Sprintf("no pair: %d of the two categories", set.Len()), Hint: "name two, such as c12,c907"}
	}
	return mcs.Pair{}, &plan.RefusedError{Subject: text, Reason: fmt.Sprintf("its %d categories dominate pairs of other containers", set.Len()),
		Hint: "name two categories; `bulkhead run --security-opt label-force` starts one container that dominates others"}
}

func mcsReserve() *cobra.Command {
	var name, categories string
	var share bool
	command := &cobra.Command{Use: "reserve [OPTIONS] [PAIR]", Short: "hold a pair until it is released, also across a restart", Args: arguments(cobra.MaximumNArgs(1)),
		Long: "Hold a pair until it is released, also across a restart, and print its level. Without PAIR a free one is drawn at random. A pair that is taken is\n" +
			"refused (exit status 4) unless --share."}
	flags := command.Flags()
	flags.StringVar(&name, "name", "reservation", "the `NAME` that holds it, such as a virtual machine's")
	flags.StringVar(&categories, "range", "", "draw from `RANGE`: c512.c1023, or one of the configuration's by its purpose")
	flags.BoolVar(&share, "share", false, "hold it beside those who have it")
	command.RunE = func(command *cobra.Command, args []string) error {
		if len(args) == 1 && categories != "" {
			return usageError{errors.New("--range is for a pair that is drawn, and PAIR names one")}
		}
		var pair mcs.Pair
		var err error
		if len(args) == 1 {
			if pair, err = pairArgument(args[0]); err != nil {
				return err
			}
		}
		host, err := openRegistry()
		if err == nil {
			err = drawFrom(host, categories)
		}
		if err != nil {
			return err
		}
		holder := mcs.Holder{ID: name, Runtime: "bulkhead label mcs", Reserved: true}
		if len(args) == 0 {
			pair, err = host.TakePair(holder)
		} else {
			err = reserveNamed(host.Registry, pair, holder, share)
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(command.OutOrStdout(), pair.Level())
		return err
	}
	return command
}

func reserveNamed(registry mcs.Registry, pair mcs.Pair, holder mcs.Holder, share bool) error {
	refused := func(by string) error {
		return &plan.RefusedError{Subject: "category pair " + pair.String(), Reason: by + " has it", Hint: "leave out PAIR to draw a free one, or share it with --share"}
	}
	if !share {
		uses, err := registry.Elsewhere.Uses()
		if err != nil {
			return err
		}
		if i := slices.IndexFunc(uses, func(use mcs.Use) bool { return use.Pair == pair }); i >= 0 {
			return refused(uses[i].By)
		}
	}
	entry, _, err := registry.Who(pair)
	if err != nil {
		return err
	}
	// A container's own hold, of the same name, is not to become a reservation.
	if i := slices.IndexFunc(entry.Holders, func(h mcs.Holder) bool { return h.ID == holder.ID && !h.Reserved }); i >= 0 {
		return refused("a container named " + holder.ID)
	}
	err = registry.Reserve(pair, holder, share)
	var held *mcs.HeldError
	if errors.As(err, &held) && held.Owner.Node != "" {
		return refused(fmt.Sprintf("node %q", held.Owner.Node))
	}
	if errors.As(err, &held) {
		return refused(strconv.Quote(held.Holder.ID))
	}
	return err
}

func mcsRelease() *cobra.Command {
	var name, node string
	var force bool
	command := &cobra.Command{Use: "release [OPTIONS] PAIR\n  bulkhead label mcs release --node NODE", Short: "release a reserved pair, or those of a host that is dead", Args: arguments(cobra.MaximumNArgs(1)),
		Long: "Release a reserved pair. Those who share it keep it. What a container or its labelled volumes hold is refused (exit status 4) unless --force names it.\n\n" +
			"With --node, release in etcd what a host has that does not return. Nothing of it may run any more: switch it off first. One whose lease has not ended is\n" +
			"refused (exit status 4); that it has ended does not say that the host is off."}
	command.Flags().StringVar(&name, "name", "", "the `NAME` that holds it; none: the one reservation there is")
	command.Flags().BoolVar(&force, "force", false, "release also what is no reservation; the pair can then be another container's")
	command.Flags().StringVar(&node, "node", "", "release what this `NODE` has, which is dead")
	command.RunE = func(command *cobra.Command, args []string) error {
		if node != "" && (len(args) > 0 || name != "" || force) {
			return usageError{errors.New("--node releases every pair of a host: it goes with nothing else")}
		}
		if node != "" {
			return releaseNode(command.OutOrStdout(), node)
		}
		if len(args) == 0 {
			return usageError{errors.New("PAIR or --node is missing")}
		}
		if force && name == "" {
			return usageError{errors.New("--force needs --name")}
		}
		pair, err := pairArgument(args[0])
		if err != nil {
			return err
		}
		host, err := openRegistry()
		if err != nil {
			return err
		}
		entry, held, err := host.Registry.Who(pair)
		if err != nil {
			return err
		}
		if !held {
			return hinted{fmt.Errorf("pair %s is not held here", pair), "`bulkhead label mcs ls` lists the pairs that are"}
		}
		holder, err := chooseHolder(pair, entry.Holders, name, force)
		if err != nil {
			return err
		}
		return host.Registry.Release(pair, holder.ID)
	}
	return command
}

// chooseHolder returns the one that is to release the pair.
func chooseHolder(pair mcs.Pair, holders []mcs.Holder, name string, force bool) (mcs.Holder, error) {
	var names []string
	var chosen []mcs.Holder
	for _, holder := range holders {
		names = append(names, strconv.Quote(holder.ID))
		if holder.ID == name || name == "" && holder.Reserved {
			chosen = append(chosen, holder)
		}
	}
	switch {
	case len(chosen) > 1:
		return mcs.Holder{}, hinted{usageError{fmt.Errorf("pair %s has several reservations: %s", pair, strings.Join(names, ", "))}, "say which with --name"}
	case len(chosen) == 1 && (chosen[0].Reserved || force):
		return chosen[0], nil
	case len(chosen) == 0 && name != "":
		return mcs.Holder{}, fmt.Errorf("pair %s is not held by %q but by %s", pair, name, strings.Join(names, ", "))
	}
	return mcs.Holder{}, &plan.RefusedError{Subject: "category pair " + pair.String(), Reason: "no reservation holds it but " + strings.Join(names, ", "),
		Hint: "remove the container, or relabel its volumes; or insist with --name NAME --force"}
}

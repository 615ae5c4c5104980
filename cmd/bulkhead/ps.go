// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/container"
	"github.com/bulkhead-project/bulkhead/evidence"
	"github.com/bulkhead-project/bulkhead/oci"
	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/standalone"
)

// posture is one container as ps shows it.
type posture struct {
	ID      string                  `json:"id"`
	Name    string                  `json:"name"`
	Engine  string                  `json:"engine"`
	Status  string                  `json:"status"`
	PID     int                     `json:"pid,omitempty"`
	Level   string                  `json:"level,omitempty"`
	Image   string                  `json:"image,omitempty"`
	Command []string                `json:"command,omitempty"`
	Layers  []container.LayerReport `json:"layers,omitempty"`
	// What Layers sums up, whole.
	Asked    *plan.Plan         `json:"asked,omitempty"`
	Observed *evidence.Observed `json:"observed,omitempty"`
}

func psCommand() *cobra.Command {
	var asJSON, labels, all bool
	command := &cobra.Command{Use: "ps [OPTIONS]", Short: "list containers: what was asked and what the kernel reports, per layer", Args: arguments(cobra.NoArgs),
		Long: "List the containers of `bulkhead run` and of every engine that uses bulkhead-runtime. Each layer is shown as ASKED:OBSERVED; what is observed\n" +
			"was read from the kernel just now. An observation of - is a process that has ended, or a layer that was not asked for."}
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	command.Flags().BoolVarP(&labels, "label", "Z", false, "show the level and the SELinux label")
	command.Flags().BoolVarP(&all, "all", "a", false, "show containers that have ended, too")
	command.RunE = func(command *cobra.Command, _ []string) error {
		engine, err := engine(command, false)
		if err != nil {
			return err
		}
		if err := requireRoot(); err != nil {
			return err
		}
		// What was swept is of interest to nobody here; what could not be is.
		if engine.Inner, err = oci.FindInner(engine.Host.Config.Runtime); err == nil {
			err = engine.Sweep()
		}
		if err != nil {
			fmt.Fprintln(command.ErrOrStderr(), "bulkhead: warning: sweep:", oneLine(err.Error()))
		}
		list, err := postures(engine, all)
		if err != nil {
			return err
		}
		if asJSON {
			return printJSON(command.OutOrStdout(), list)
		}
		return printTable(command.OutOrStdout(), psHeading(labels), psRows(list, labels))
	}
	return command
}

func postures(engine *standalone.Engine, all bool) ([]posture, error) {
	own := map[string]*standalone.Container{}
	list, err := engine.List()
	if err != nil {
		return nil, err
	}
	records, err := engine.Host.List()
	if err != nil {
		return nil, err
	}
	for _, c := range list {
		own[c.ID] = c
	}
	found := []posture{}
	for _, record := range records {
		item := fromRecord(record)
		if c := own[record.ID]; c != nil && record.Engine == filepath.Join(engine.Host.Run, "runc") {
			delete(own, record.ID)
			item.Engine, item.Name, item.Image, item.Command, item.Status = "bulkhead", c.Name, imageOf(c), c.Args, engine.Status(c)
		}
		found = append(found, item)
	}
	for _, c := range list {
		if own[c.ID] != nil && (all || c.Exit == nil) {
			found = append(found, posture{ID: c.ID, Name: c.Name, Engine: "bulkhead", Status: engine.Status(c), Level: c.Level, Image: imageOf(c), Command: c.Args})
		}
	}
	return found, nil
}

func imageOf(c *standalone.Container) string {
	if c.Options.RootFS != "" {
		return c.Options.RootFS
	}
	return c.Options.Image
}

// fromRecord reads the kernel's word on a container that runs.
func fromRecord(record *container.Record) posture {
	item := posture{ID: record.ID, Name: record.ID, Engine: record.Engine, Status: "stopped", Level: record.Level, Asked: record.Plan}
	if record.Alive() {
		item.Status, item.PID = "created", record.PID()
		if observed, err := record.Observe(); err == nil {
			item.Status, item.Observed = "running", &observed
		}
	}
	item.Layers = record.Report(item.Observed)
	return item
}

func psHeading(labels bool) []string {
	heading := []string{"CONTAINER", "NAME", "ENGINE", "STATUS", "PID"}
	if labels {
		heading = append(heading, "LEVEL", "LABEL")
	}
	for _, layer := range (&container.Record{Plan: &plan.Plan{}}).Report(nil) {
		heading = append(heading, layer.Heading())
	}
	return heading
}

func psRows(list []posture, labels bool) [][]string {
	var rows [][]string
	for _, item := range list {
		pid := "-"
		if item.PID != 0 {
			pid = strconv.Itoa(item.PID)
		}
		row := []string{short(item.ID), short(item.Name), item.Engine, item.Status, pid}
		if labels {
			label := "-"
			if item.Observed != nil && item.Observed.ProcessLabel != "" {
				label = item.Observed.ProcessLabel
			}
			row = append(row, item.Level, label)
		}
		for _, layer := range item.Layers {
			row = append(row, string(layer.Asked)+":"+layer.Observed)
		}
		rows = append(rows, row)
	}
	return rows
}

// short cuts IDs to docker's twelve digits.
func short(id string) string {
	if len(id) == 64 {
		return id[:12]
	}
	return id
}

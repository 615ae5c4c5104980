// SPDX-License-Identifier: Apache-2.0

// Package container is the life of one confined container, from a config.json to its removal: it plans, takes the category pair, compiles,
// has the OCI runtime create and start the container, reads back what the kernel enforces and kills the container where that is less than
// was planned, and takes everything down again. Both `bulkhead run` and bulkhead-runtime are thin layers over it.
//
// Each container has a record, a directory under the run directory:
//
//	NAME/record.json         what was planned, compiled and observed
//	NAME/asked.json          config.json as the engine wrote it
//	NAME/bundle/config.json  as the OCI runtime got it
//	NAME/probe/              a file that the program inside must be refused
//	NAME/pid                 the first process, written by the OCI runtime
//
// Beside the records, filters/ holds filters that were compiled, see enforce.Filters, and apparmor/ compiled profiles and the journal of loads, see
// enforce.Profiles.
//
// The record is made complete before anything else, and removed last: what a killed runtime leaves can be found and swept.
package container

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/bulkhead-project/bulkhead/kernel"
	"github.com/bulkhead-project/bulkhead/selinux"
	"github.com/bulkhead-project/bulkhead/selinux/mcs"
)

// Places on the host. They are fixed, because engines start a runtime with an environment of their own.
const (
	ConfigFile     = "/etc/bulkhead/bulkhead.json"
	stateDirectory = "/var/lib/bulkhead"
	runDirectory   = "/run/bulkhead"
)

// Configuration is what the operator sets for this host.
type Configuration struct {
	// Runtime is the OCI runtime, a name or a path; empty: runc, else crun.
	Runtime string `json:"runtime,omitempty"`
	// Annotations names the layers that a container may switch off by annotation (org.bulkhead.LAYER=unconfined). Images can carry
	// annotations too, and some engines pass them on, so that by default none may.
	Annotations []string `json:"annotations,omitempty"`
	// Categories are the lowest and the highest category that pairs are drawn from; none: all 1024. What else on the host draws pairs by chance
	// (libvirt, podman under its own runtime) can be left a range of its own.
	Categories []uint16 `json:"categories,omitempty"`
	// Ranges split the categories by purpose, each as "c512.c1023": containers, which replaces Categories, and names of the operator's own, such as vms or
	// a namespace. They do not overlap. Pairs for a purpose other than containers are drawn by `bulkhead label mcs reserve --range PURPOSE`.
	Ranges map[string]string `json:"ranges,omitempty"`
	// State and Run move what Bulkhead keeps on disk and what it keeps until the next boot.
	State string `json:"state,omitempty"`
	Run   string `json:"run,omitempty"`
	// Etcd has hosts agree on pairs; nil: this one is alone.
	Etcd *Etcd `json:"etcd,omitempty"`
}

// Host is this machine: its kernel, its registry and where things are kept.
type Host struct {
	State    string // survives a reboot
	Run      string // does not
	Config   Configuration
	Registry mcs.Registry

	// Signals are passed on to the OCI runtime while it runs, for a process that is there for nothing else; nil: this process's are caught then.
	Signals <-chan os.Signal
	// TimerSlack is what containers' programs are to have (prctl(2)), in nanoseconds, where this process has given its own threads another; 0: theirs. The OCI
	// runtime is lent this process's, and the program inside gives it back.
	TimerSlack int
}

// OpenHost reads the configuration, if there is one. Where that has an etcd, Registry.Cluster.Call is the caller's to set.
func OpenHost() (*Host, error) {
	config, err := readConfiguration(ConfigFile)
	if err != nil {
		return nil, err
	}
	host := &Host{State: config.State, Run: config.Run, Config: config}
	if host.State == "" {
		host.State = stateDirectory
	}
	if host.Run == "" {
		host.Run = runDirectory
	}
	registry := filepath.Join(host.State, "mcs")
	host.Registry = mcs.Registry{Dir: registry, Proc: "/proc", Elsewhere: &mcs.Elsewhere{Cache: registry}}
	if host.Registry.Low, host.Registry.High, err = config.rangeOf(forContainers); err != nil {
		return nil, err
	}
	if config.Etcd != nil {
		host.Registry.Cluster, err = config.Etcd.cluster()
	}
	return host, err
}

// forContainers is the purpose of the range that containers' pairs are drawn from.
const forContainers = "containers"

// DrawFrom has pairs drawn from another range: one of the configuration's by its purpose, or "c512.c1023".
func (h *Host) DrawFrom(name string) (err error) {
	low, high, err := h.Config.rangeOf(name)
	if err == nil {
		h.Registry.Low, h.Registry.High = low, high
	}
	return err
}

// rangeOf returns the bounds of a range by its purpose or as it is written; 0, 0 are all categories.
func (c Configuration) rangeOf(name string) (low, high uint16, err error) {
	if text, ok := c.Ranges[name]; ok {
		return mcs.ParseRange(text)
	}
	if name != forContainers {
		return mcs.ParseRange(name)
	}
	if len(c.Categories) == 2 {
		return c.Categories[0], c.Categories[1], nil
	}
	return 0, 0, nil
}

// checkRanges refuses ranges that overlap: a pair could be drawn for two purposes.
func (c Configuration) checkRanges() error {
	if c.Categories != nil && c.Ranges[forContainers] != "" {
		return fmt.Errorf("categories and ranges.%s are the same setting", forContainers)
	}
	names := slices.Sorted(maps.Keys(c.Ranges))
	for i, name := range names {
		low, high, err := mcs.ParseRange(c.Ranges[name])
		if err != nil {
			return fmt.Errorf("ranges.%s: %w", name, err)
		}
		for _, other := range names[:i] {
			if from, to, err := mcs.ParseRange(c.Ranges[other]); err == nil && low <= to && from <= high {
				return fmt.Errorf("ranges.%s: %s overlaps ranges.%s, %s", name, c.Ranges[name], other, c.Ranges[other])
			}
		}
	}
	return nil
}

func readConfiguration(path string) (Configuration, error) {
	var config Configuration
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return config, nil
	}
	if err != nil {
		return config, err
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&config); err != nil {
		return config, fmt.Errorf("%s: %w", path, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return config, fmt.Errorf("%s: byte %d: something follows the value", path, decoder.InputOffset())
	}
	for _, layer := range config.Annotations {
		if layer != "landlock" && layer != "shield" {
			return config, fmt.Errorf("%s: annotations: %q cannot be switched off by annotation; only landlock can, and shield be asked for", path, layer)
		}
	}
	if c := config.Categories; c != nil && (len(c) != 2 || c[0] >= c[1] || c[1] >= selinux.MaxCategories) {
		return config, fmt.Errorf("%s: categories: %v is not [LOWEST, HIGHEST] below %d", path, c, selinux.MaxCategories)
	}
	if err := config.checkRanges(); err != nil {
		return config, fmt.Errorf("%s: %w", path, err)
	}
	if config.Etcd != nil {
		if err := config.Etcd.check(); err != nil {
			return config, fmt.Errorf("%s: %w", path, err)
		}
	}
	for _, directory := range []string{config.State, config.Run} {
		if directory != "" && !filepath.IsAbs(directory) {
			return config, fmt.Errorf("%s: %q is not an absolute path", path, directory)
		}
	}
	return config, nil
}

// MaySwitchOff reports whether an annotation may switch the layer off.
func (h *Host) MaySwitchOff(layer string) bool { return slices.Contains(h.Config.Annotations, layer) }

// Make makes the directories.
func (h *Host) Make() error {
	for _, directory := range []string{h.State, h.Run, filepath.Join(h.Run, "containers"), filepath.Join(h.State, "journal")} {
		if err := os.MkdirAll(directory, 0o700); err != nil {
			return err
		}
	}
	return nil
}

// Facts probes the kernel.
func (h *Host) Facts() kernel.Facts { return kernel.Probe() }

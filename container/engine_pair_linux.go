// SPDX-License-Identifier: Apache-2.0

package container

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/selinux/mcs"
)

// engineBundle is the bundle of an engine that names labels itself; "" where the caller does for the user.
func (j Job) engineBundle() string {
	if j.Request != nil {
		return ""
	}
	return j.Bundle
}

// asker is the container for which an engine names a pair.
type asker struct {
	bundle string
	id     string
}

// checkElsewhere refuses a pair that something has which does not hold it in the registry. The rule is that of reserve: an engine's own containers may
// share a pair, whichever runtime they have, and what others gave a pair to, libvirt's domains and processes that no container of the engine accounts for
// stand in the way.
func (h *Host) checkElsewhere(pair mcs.Pair, holder mcs.Holder, asker asker) error {
	if h.Registry.Elsewhere == nil {
		return nil
	}
	uses, err := h.Registry.Elsewhere.UsesOf(pair)
	if err != nil || len(uses) == 0 {
		return err
	}
	entry, _, err := h.Registry.Who(pair)
	if err != nil {
		return err
	}
	shared := slices.ContainsFunc(entry.Holders, func(other mcs.Holder) bool { return other.Runtime == holder.Runtime && other.Alive(h.Registry.Proc) })
	use, foreign := asker.foreign(uses, shared)
	if !foreign {
		return nil
	}
	return &plan.RefusedError{Subject: "category pair " + pair.String(), Reason: fmt.Sprintf("%s has it (%s)", use.By, use.Path),
		Hint: "create the container again: the engine draws another pair; where the pair was named, name one that `bulkhead label mcs ls` does not list"}
}

// foreign returns the first use that neither the container itself nor another one of its engine accounts for. shared says that the registry has one of those.
func (a asker) foreign(uses []mcs.Use, shared bool) (mcs.Use, bool) {
	engine := a.engine(uses)
	for _, use := range uses {
		shared = shared || engine != "" && use.Engine == engine && use.ID != "" && use.ID != a.id
	}
	for _, use := range uses {
		switch {
		case use.Engine != "" && use.Engine == engine:
		case use.PID != 0 && (shared || a.contains(use)):
		default:
			return use, true
		}
	}
	return mcs.Use{}, false
}

// engine is whose the container is: who keeps its bundle, or knows its ID.
func (a asker) engine(uses []mcs.Use) string {
	for _, same := range []func(mcs.Use) bool{
		func(use mcs.Use) bool { return use.Path == filepath.Join(a.bundle, "config.json") },
		func(use mcs.Use) bool { return use.Engine != "" && use.ID == a.id },
	} {
		if i := slices.IndexFunc(uses, same); i >= 0 {
			return uses[i].Engine
		}
	}
	return ""
}

// contains reports whether a process is one of an earlier life of the container: engines name control groups by it.
func (a asker) contains(use mcs.Use) bool {
	groups, err := os.ReadFile(filepath.Join(filepath.Dir(use.Path), "../cgroup"))
	return err == nil && len(a.id) >= 12 && strings.Contains(string(groups), a.id)
}

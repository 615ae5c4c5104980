// SPDX-License-Identifier: Apache-2.0

package modules

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/bulkhead-project/bulkhead/selinux"
	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// modeRecord says what the mode was before the first change that was not undone. It outlives boots, as the configuration does.
type modeRecord struct {
	Format  int          `json:"format"`
	Boot    string       `json:"boot"`             // of Running
	Config  selinux.Mode `json:"config,omitempty"` // "": the configuration said nothing
	Running selinux.Mode `json:"running,omitempty"`
}

const modeFormat = 1

func decodeMode(text []byte) (*modeRecord, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	record := &modeRecord{}
	if err := decoder.Decode(record); err != nil {
		return nil, err
	}
	if record.Format != modeFormat {
		return nil, fmt.Errorf("format %d, expected %d", record.Format, modeFormat)
	}
	for _, mode := range []selinux.Mode{record.Config, record.Running} {
		if _, err := selinux.ParseMode(string(mode)); err != nil && mode != "" {
			return nil, err
		}
	}
	return record, nil
}

// Readiness is what is known of a machine that is to enforce.
type Readiness struct {
	Policy     *policydb.Policy // that the kernel runs; nil where it runs none
	Machine    Machine
	PolicyFile string            // that the next boot would load; "" where there is none
	Labels     map[string]string // contexts of the files without which nobody gets in, "" where a file has none
}

// The invariants of a machine that is to enforce.
const (
	NeedsPolicy  = "policy"  // there is one
	NeedsLabels  = "labels"  // the files without which nobody gets in have labels that the policy knows
	NeedsControl = "control" // the caller could make it permissive again, and load another policy
	NeedsShell   = "shell"   // the caller and those that it descends from could start a shell
	NeedsInit    = "init"    // the first process is what the policy makes of it
)

// Unready finds what would lock out those who administrate the machine, were the policy enforced.
func Unready(r Readiness) []Violation {
	l := &lockOut{before: r.Policy, after: r.Policy, machine: r.Machine}
	if r.Policy == nil && r.PolicyFile == "" {
		l.add(NeedsPolicy, "", "no policy is loaded, and there is none to load at boot")
	}
	l.labels(r.Labels)
	if r.Policy != nil {
		l.readyToEnforce()
	}
	return l.found
}

// labels looks at files. Without a policy any label will do. That /.autorelabel is there is no excuse: what relabels has to get that far.
func (l *lockOut) labels(labels map[string]string) {
	var without, strange []string
	for _, path := range slices.Sorted(maps.Keys(labels)) {
		if labels[path] == "" {
			without = append(without, path)
		} else if l.after != nil {
			if _, err := l.after.ParseContext(labels[path]); err != nil {
				strange = append(strange, path+" ("+labels[path]+")")
			}
		}
	}
	if len(without) > 0 {
		l.add(NeedsLabels, "", "no label on %s", shortened(without))
	}
	if len(strange) > 0 {
		l.add(NeedsLabels, "", "a label that the policy does not know on %s", shortened(strange))
	}
}

func (l *lockOut) readyToEnforce() {
	server, hasServer := security(l.after)
	line := l.line()
	for i, process := range line {
		if _, err := l.after.ParseContext(process.Context); err != nil {
			l.add(KeepsContexts, err.Error(), "process %d (%s) has no valid context", process.PID, process.Command)
			continue
		}
		if i == 0 && (!loads(l.after, process.Context) || !hasServer || !allowed(l.after, question{process.Context, server, "security"})["setenforce"]) {
			l.add(NeedsControl, "", "%s could neither make SELinux permissive again nor load another policy", process.Context)
		}
		if shell := allowed(l.after, question{process.Context, l.machine.Shell, "file"}); l.machine.Shell != "" && !(shell["execute"] && shell["read"] && shell["open"]) {
			l.add(NeedsShell, "", "%s, which is process %d (%s), could not start a shell: %s", process.Context, process.PID, process.Command, l.machine.Shell)
		}
	}
	if len(line) == 0 {
		l.add(NeedsControl, "", "nothing is known of this process")
	}
	l.readyInit(line)
}

// readyInit: an init that kept the kernel's context was not labelled when the policy was loaded, and all that it starts is in the wrong domain.
func (l *lockOut) readyInit(line []Process) {
	for _, process := range line {
		if process.PID != 1 || process.Executable == "" {
			continue
		}
		for i := range l.after.Objects.Initial {
			initial := &l.after.Objects.Initial[i]
			if initial.SID != kernelSID {
				continue
			}
			if made, ok := transition(l.after, l.after.FormatContext(&initial.Context), process.Executable); ok && made != process.Context {
				l.add(NeedsInit, "", "the first process is %s, and the policy makes %s of it: boot once more", process.Context, made)
			}
		}
	}
}

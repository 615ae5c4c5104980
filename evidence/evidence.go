// SPDX-License-Identifier: Apache-2.0

// Package evidence sets what was asked of the kernel beside what the kernel reports back of a running process. Nothing is called enforced
// that did not come from here.
//
// Limits: /proc does not show Landlock domains (Linux 6.18). That one holds is known from the program inside, which asks the kernel
// to open a file outside the domain, ends where that succeeds, and leaves a proof on the host where it is refused.
//
// Source: proc(5), Documentation/filesystems/proc.rst.
package evidence

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Expected is what the plan has the kernel enforce on one process. Empty fields expect nothing.
type Expected struct {
	ProcessLabel    string `json:"process_label,omitempty"`
	AppArmorProfile string `json:"apparmor_profile,omitempty"`
	// AppArmorEnforced: the profile was not known to be in complain mode when it was planned.
	AppArmorEnforced bool `json:"apparmor_enforced,omitempty"`
	Seccomp          bool `json:"seccomp"`
	// Filters is how many filters there are at least: those of whoever starts the process, and ours. 0: this kernel does not say (before Linux 5.9).
	Filters         int    `json:"filters,omitempty"`
	NoNewPrivileges bool   `json:"no_new_privileges"`
	Bounding        uint64 `json:"bounding"` // no capability but these
	Landlock        bool   `json:"landlock"`
}

// Observed is what /proc says of it.
type Observed struct {
	PID             int    `json:"pid"`
	ProcessLabel    string `json:"process_label,omitempty"`
	AppArmorProfile string `json:"apparmor_profile,omitempty"` // with its mode, as the kernel writes it: NAME (enforce)
	SeccompMode     int    `json:"seccomp_mode"`               // 2: filters; 3: filters, of which one is ending the process
	SeccompFilters  int    `json:"seccomp_filters"`
	NoNewPrivileges bool   `json:"no_new_privileges"`
	Bounding        uint64 `json:"bounding"`
	Permitted       uint64 `json:"permitted"`
	Landlock        string `json:"landlock,omitempty"` // proven by the program inside, or empty
}

// Proven is what Observed.Landlock holds when the program inside has passed.
const Proven = "refuses a file outside, asked by the program inside"

// Mismatch is one layer where the kernel does not do what was asked.
type Mismatch struct {
	Layer    string `json:"layer"`
	Asked    string `json:"asked"`
	Observed string `json:"observed"`
}

func (m Mismatch) String() string {
	return fmt.Sprintf("%s: asked for %s, the kernel reports %s", m.Layer, m.Asked, m.Observed)
}

// Compare lists every layer that holds less than was asked. A process may have taken more from itself.
func Compare(expected Expected, observed Observed) []Mismatch {
	var found []Mismatch
	differ := func(layer, asked, seen string) { found = append(found, Mismatch{layer, asked, seen}) }
	if e, o := expected.ProcessLabel, observed.ProcessLabel; e != "" && e != o {
		differ("selinux", e, strconv.Quote(o))
	}
	if e, o := expected.AppArmorProfile, observed.AppArmorProfile; e != "" && (!underProfile(o, e) || expected.AppArmorEnforced && strings.HasSuffix(o, "(complain)")) {
		differ("apparmor", e, strconv.Quote(o))
	}
	if expected.Seccomp && (!observed.Filtered() || observed.SeccompFilters < expected.Filters) {
		differ("seccomp", fmt.Sprintf("a filter, %d in all", expected.Filters), fmt.Sprintf("mode %d with %d filters", observed.SeccompMode, observed.SeccompFilters))
	}
	if expected.NoNewPrivileges && !observed.NoNewPrivileges {
		differ("no-new-privileges", "1", "0")
	}
	if extra := (observed.Bounding | observed.Permitted) &^ expected.Bounding; extra != 0 {
		differ("capabilities", fmt.Sprintf("none but %#x", expected.Bounding), fmt.Sprintf("%#x besides", extra))
	}
	if expected.Landlock && observed.Landlock != Proven {
		differ("landlock", "a domain", "nothing that proves one")
	}
	return found
}

// underProfile reports whether the kernel's words name the profile, a hat or child of it, or a stack that holds it.
func underProfile(current, profile string) bool {
	if open := strings.LastIndex(current, " ("); open >= 0 {
		current = current[:open]
	}
	for _, part := range strings.Split(current, "//&") {
		if part == profile || strings.HasPrefix(part, profile+"//") {
			return true
		}
	}
	return false
}

// Values of Seccomp in /proc/PID/status, linux/seccomp.h and include/linux/seccomp.h.
const (
	modeFilter = 2
	modeDead   = 3 // since Linux 5.17: a filter is killing the process
)

// Filtered reports whether the process is under filters.
func (o Observed) Filtered() bool { return o.SeccompMode == modeFilter || o.SeccompMode == modeDead }

// parseStatus reads the fields of /proc/PID/status that matter. Every one has to be there, but for the number of filters (Linux 5.9).
func parseStatus(data []byte, into *Observed) error {
	hexadecimal := map[string]*uint64{"CapBnd": &into.Bounding, "CapPrm": &into.Permitted}
	numbers := map[string]*int{"Seccomp": &into.SeccompMode, "Seccomp_filters": &into.SeccompFilters}
	missing := []string{"CapPrm", "CapBnd", "NoNewPrivs", "Seccomp"}
	for line := range bytes.Lines(data) { // of any length: a process may have 65536 groups
		name, value, _ := strings.Cut(string(line), ":")
		value = strings.TrimSpace(value)
		var err error
		switch {
		case hexadecimal[name] != nil:
			*hexadecimal[name], err = strconv.ParseUint(value, 16, 64)
		case numbers[name] != nil:
			*numbers[name], err = strconv.Atoi(value)
		case name == "NoNewPrivs":
			into.NoNewPrivileges, err = strconv.ParseBool(value)
		default:
			continue
		}
		if err != nil {
			return fmt.Errorf("status: %s: %w", name, err)
		}
		missing = slices.DeleteFunc(missing, func(wanted string) bool { return wanted == name })
	}
	if len(missing) > 0 {
		return fmt.Errorf("status: no %s", strings.Join(missing, ", "))
	}
	return nil
}

// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Row is one layer in the report of `check`.
type Row struct {
	Layer   string `json:"layer"`
	State   string `json:"state"`             // enforcing, permissive, available, absent
	Version string `json:"version,omitempty"` // in the layer's own terms
	Missing string `json:"missing,omitempty"` // what it takes to have it; empty where it is there
	Remains string `json:"remains,omitempty"` // what is to be known of a layer that is there: what it does not stop
}

// Present reports whether the layer can confine a container now. Permissive SELinux cannot.
func (r Row) Present() bool { return r.State == "enforcing" || r.State == "available" }

// Report lists every layer, in the order of LayerNames.
func (f Facts) Report() []Row {
	return []Row{f.selinuxRow(), f.apparmorRow(), f.bpfRow(), f.landlockRow(), f.seccompRow(), f.usernsRow(), f.fuseRow()}
}

// Require returns a NotSupportedError for the first of the named layers that is not there, and an ordinary error for a name that is no layer.
func (f Facts) Require(names ...string) error {
	for _, name := range names {
		if !slices.Contains(layers, name) {
			return fmt.Errorf("unknown layer %q", name)
		}
	}
	for _, row := range f.Report() {
		if slices.Contains(names, row.Layer) && !row.Present() {
			return &NotSupportedError{Layer: row.Layer, Missing: row.Missing}
		}
	}
	return nil
}

func (f Facts) selinuxRow() Row {
	row := Row{Layer: "selinux", State: "absent"}
	switch s := f.SELinux; {
	case !s.Active:
		row.Missing = f.bootHint("selinux", "a loaded policy")
	default:
		row.Version = "policy " + strconv.Itoa(s.PolicyVersion)
		row.State = "enforcing"
		if !s.Enforcing {
			row.State, row.Missing = "permissive", "setenforce 1: a permissive kernel only logs"
		}
		switch {
		case !s.MLS:
			row.Missing = strings.Trim(row.Missing+"; a policy with levels: the loaded one can give a container no category pair", "; ")
		case !s.ContainerTypes:
			row.Remains = "the loaded policy has no container types: Bulkhead's own are put onto it when a container starts"
		}
	}
	return row
}

func (f Facts) apparmorRow() Row {
	if !f.AppArmor.Active {
		return Row{Layer: "apparmor", State: "absent", Missing: f.bootHint("apparmor", "securityfs on /sys/kernel/security")}
	}
	return Row{Layer: "apparmor", State: "enforcing", Version: fmt.Sprintf("%d profiles loaded", len(f.AppArmor.Profiles))}
}

func (f Facts) bpfRow() Row {
	if f.BPF.Active {
		return Row{Layer: "bpf", State: "available"}
	}
	return Row{Layer: "bpf", State: "absent", Missing: f.BPF.Reason}
}

func (f Facts) landlockRow() Row {
	if f.Landlock.ABI == 0 {
		return Row{Layer: "landlock", State: "absent", Missing: f.Landlock.Reason}
	}
	return Row{Layer: "landlock", State: "available", Version: "ABI " + strconv.Itoa(f.Landlock.ABI)}
}

func (f Facts) seccompRow() Row {
	if len(f.Seccomp.Actions) == 0 {
		return Row{Layer: "seccomp", State: "absent", Missing: "a kernel built with CONFIG_SECCOMP_FILTER"}
	}
	return Row{Layer: "seccomp", State: "available", Version: strings.Join(f.Seccomp.Actions, " ")}
}

func (f Facts) usernsRow() Row {
	if f.UserNS.Maximum == 0 {
		return Row{Layer: "userns", State: "absent", Missing: f.UserNS.Reason}
	}
	return Row{Layer: "userns", State: "available", Version: "at most " + strconv.Itoa(f.UserNS.Maximum)}
}

func (f Facts) fuseRow() Row {
	if !f.FUSE.Active {
		return Row{Layer: "fuse", State: "absent", Missing: f.FUSE.Reason}
	}
	return Row{Layer: "fuse", State: "available"}
}

// bootHint says what brings a security module: the boot parameter where the module is not active, else what is missing beside it.
func (f Facts) bootHint(module, otherwise string) string {
	if slices.Contains(f.LSMs, module) {
		return otherwise
	}
	return fmt.Sprintf("boot with lsm=...,%s on a kernel built with it (active: %s)", module, strings.Join(f.LSMs, ","))
}

// SPDX-License-Identifier: Apache-2.0

package container

import (
	"fmt"
	"strings"

	"github.com/bulkhead-project/bulkhead/evidence"
	"github.com/bulkhead-project/bulkhead/plan"
)

// LayerReport is one layer of one container: what was planned, and what the kernel reports.
type LayerReport struct {
	Layer    string     `json:"layer"`
	Asked    plan.State `json:"asked"`
	Observed string     `json:"observed"` // "-": there is nothing to observe
}

// Heading is the layer's name over a column.
func (l LayerReport) Heading() string { return strings.ToUpper(l.Layer) }

// Report sets the plan beside an observation, nil where the process has ended.
func (r *Record) Report(observed *evidence.Observed) []LayerReport {
	nnp := plan.Off
	if r.Plan.NoNewPrivileges {
		nnp = plan.On
	}
	rows := []LayerReport{
		{"selinux", r.Plan.SELinux.State, "-"},
		{"apparmor", r.Plan.AppArmor.State, "-"},
		{"seccomp", r.Plan.Seccomp.State, "-"},
		{"landlock", r.Plan.Landlock.State, "-"},
		{"nnp", nnp, "-"},
		{"caps", plan.On, "-"},
	}
	if observed == nil {
		return rows
	}
	for i, seen := range []string{observed.ProcessLabel, observed.AppArmorProfile, filters(observed), observed.Landlock, bit(observed.NoNewPrivileges), fmt.Sprintf("%#x", observed.Bounding)} {
		if seen != "" {
			rows[i].Observed = seen
		}
	}
	if observed.Landlock != "" {
		rows[3].Observed = "proven"
	}
	return rows
}

func filters(observed *evidence.Observed) string {
	if !observed.Filtered() {
		return "none"
	}
	return fmt.Sprintf("%d filter", observed.SeccompFilters)
}

func bit(set bool) string {
	if set {
		return "1"
	}
	return "0"
}

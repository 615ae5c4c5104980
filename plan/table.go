// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"slices"
	"strings"
)

// Row is one line of the plan as a table: a layer, its State, and what it does or why it does nothing.
type Row struct {
	Layer, State, Detail string
}

// Rows lists the plan for people, in a fixed order.
func (p *Plan) Rows() []Row {
	rows := []Row{
		{"mcs", string(On), p.mcsDetail()},
		layerRow("selinux", p.SELinux.Layer, p.selinuxDetail()),
		layerRow("apparmor", p.AppArmor.Layer, p.appArmorDetail()),
		layerRow("seccomp", p.Seccomp.Layer, p.seccompDetail()),
		layerRow("landlock", p.Landlock.Layer, p.landlockDetail()),
		{"capabilities", string(On), listOr(p.Capabilities.Bounding, "none")},
		{"no-new-privileges", onOff(p.NoNewPrivileges), ""},
		{"masked paths", onOff(len(p.Masked) > 0), strings.Join(p.Masked, " ")},
		{"read-only paths", onOff(len(p.ReadOnlyPaths) > 0), strings.Join(p.ReadOnlyPaths, " ")},
	}
	for _, volume := range p.Volumes {
		rows = append(rows, Row{"volume", string(On), volume.describe()})
	}
	for _, shield := range p.Shields {
		rows = append(rows, Row{"shield", string(On), shield.describe()})
	}
	return rows
}

func layerRow(name string, layer Layer, detail string) Row {
	if layer.Reason != "" {
		if layer.Active() {
			detail += "; " + layer.Reason
		} else {
			detail = layer.Reason
		}
	}
	return Row{name, string(layer.State), detail}
}

func (p *Plan) selinuxDetail() string {
	detail := strings.TrimSpace(fmt.Sprintf("process %s, files %s", p.SELinux.Process, p.SELinux.Files))
	if p.SELinux.Generated {
		detail += ", types that are built in: put onto the kernel's policy, which has none"
	}
	return detail
}

func (p *Plan) appArmorDetail() string {
	if p.AppArmor.Generated {
		return "profile " + p.AppArmor.Profile + ", built in: compiled and loaded where it is not"
	}
	return "profile " + p.AppArmor.Profile
}

func (p *Plan) mcsDetail() string {
	switch {
	case p.MCS.Level == "":
		return "a unique category pair, taken at the start"
	case p.MCS.Shared:
		return p.MCS.Level + ", asked for by name: others may have it"
	default:
		return p.MCS.Level
	}
}

func (p *Plan) seccompDetail() string {
	s := &p.Seccomp
	detail := fmt.Sprintf("%s: default %s, %d rules in %d instructions, for %s", s.Source, s.Default, s.Rules, s.Instructions, strings.Join(s.ABIs, " "))
	if s.Listener != nil {
		detail += ", asks " + s.Listener.Path
	}
	return detail
}

func (p *Plan) landlockDetail() string {
	detail := fmt.Sprintf("ABI %d: opens only what lies beneath the container's root", p.Landlock.Ruleset.ABI)
	if p.Landlock.Ruleset.Scoped != 0 {
		detail += "; signals or abstract sockets to the host are scoped"
	}
	return detail
}

func (v Volume) describe() string {
	mode := "rw"
	if v.ReadOnly {
		mode = "ro"
	}
	text := fmt.Sprintf("%s on %s (%s", v.Source, v.Destination, mode)
	if v.Relabel != "" {
		text += ", label " + string(v.Relabel)
	}
	if v.Chown {
		text += ", chown"
	}
	return text + ")"
}

func onOff(on bool) string {
	if on {
		return string(On)
	}
	return string(Off)
}

func listOr(names []string, otherwise string) string {
	if len(names) == 0 {
		return otherwise
	}
	names = slices.Sorted(slices.Values(names))
	return strings.ToLower(strings.ReplaceAll(strings.Join(names, " "), "CAP_", ""))
}

// LeftOut says, a line each, which default layers this kernel lacks. Whoever starts a container prints them.
func (p *Plan) LeftOut() []string {
	var lines []string
	for _, layer := range []struct {
		name string
		Layer
	}{{"selinux", p.SELinux.Layer}, {"apparmor", p.AppArmor.Layer}, {"seccomp", p.Seccomp.Layer}, {"landlock", p.Landlock.Layer}} {
		if layer.State == Absent || layer.State == Permissive {
			lines = append(lines, fmt.Sprintf("%s %s: %s", layer.name, verb(layer.State), layer.Reason))
		}
	}
	return lines
}

func verb(state State) string {
	if state == Permissive {
		return "does not enforce"
	}
	return "is left out"
}

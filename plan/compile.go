// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/bulkhead-project/bulkhead/inside"
	"github.com/bulkhead-project/bulkhead/selinux"
)

// Compiled is a Plan as it is applied: what goes into config.json, and what the program inside does.
type Compiled struct {
	ProcessLabel    string         `json:"process_label,omitempty"`
	MountLabel      string         `json:"mount_label,omitempty"`
	AppArmorProfile string         `json:"apparmor_profile,omitempty"`
	Seccomp         *inside.Filter `json:"seccomp,omitempty"`
	Listener        *Listener      `json:"listener,omitempty"` // who answers the calls that the filter hands to user space
	NoNewPrivileges bool           `json:"no_new_privileges"`
	NestedLabels    bool           `json:"nested_labels,omitempty"`
	Landlock        bool           `json:"landlock"`
	Inside          inside.Spec    `json:"inside"`
	// Lent holds the sets that the OCI runtime is to give the program inside, which takes them down to Inside.Capabilities; nil where it
	// needs nothing.
	Lent *Capabilities `json:"lent,omitempty"`
	// Capabilities are the sets of the container's own program.
	Capabilities Capabilities `json:"capabilities"`
}

// Compile fills in the level and makes the artifacts. level is the container's, taken from the registry or Plan.MCS; it is not looked at
// where SELinux is not applied or an engine has given whole labels.
func (p *Plan) Compile(level string) (Compiled, error) {
	out := Compiled{NestedLabels: p.SELinux.Nested, Landlock: p.Landlock.Active()}
	if p.SELinux.Active() {
		var err error
		if out.ProcessLabel, err = withLevel(p.SELinux.Process, level); err != nil {
			return Compiled{}, err
		}
		if out.MountLabel, err = withLevel(p.SELinux.Files, level); err != nil {
			return Compiled{}, err
		}
	}
	if p.AppArmor.Active() {
		out.AppArmorProfile = p.AppArmor.Profile
	}
	if p.Seccomp.Active() {
		out.Seccomp, out.Listener = p.Seccomp.Filter, p.Seccomp.Listener
	}
	return out.ForProcess(p, p.Capabilities, p.NoNewPrivileges)
}

// ForProcess returns the same for a process with capabilities and no_new_privs of its own, as exec starts them.
//
// Where there is a Landlock domain or a filter the program inside applies label and profile too, for it needs the runtime's own until then; else
// the OCI runtime does.
func (c Compiled) ForProcess(p *Plan, capabilities Capabilities, noNewPrivileges bool) (Compiled, error) {
	c.Capabilities, c.NoNewPrivileges, c.Lent, c.Inside = capabilities, noNewPrivileges, nil, inside.Spec{}
	if !c.NeedsInside() {
		return c, nil
	}
	c.Inside = inside.Spec{SELinuxLabel: c.ProcessLabel, AppArmorProfile: c.AppArmorProfile, Seccomp: c.Seccomp}
	if c.Landlock {
		c.Inside.Landlock = &p.Landlock.Ruleset
	}
	if noNewPrivileges {
		return c, nil // neither landlock_restrict_self nor seccomp asks for more
	}
	bits, err := capabilities.bits()
	if err != nil {
		return Compiled{}, err
	}
	lent := capabilities.lend("CAP_SYS_ADMIN", "CAP_SETPCAP")
	c.Inside.Capabilities, c.Lent = &bits, &lent
	return c, nil
}

// NeedsInside reports whether the program inside starts the container's program.
func (c Compiled) NeedsInside() bool { return c.Landlock || c.Seccomp != nil }

// NeedsProbe reports whether the program inside has something to tell the host.
func (c Compiled) NeedsProbe() bool { return c.Landlock || c.Listener != nil }

// withLevel adds a level to a context that has none yet.
func withLevel(context, level string) (string, error) {
	if context == "" {
		return "", nil
	}
	parsed, err := selinux.ParseContext(context)
	if err != nil {
		return "", err
	}
	if !parsed.NoRange {
		return context, nil
	}
	whole := context + ":" + level
	if _, err := selinux.ParseContext(whole); err != nil {
		return "", fmt.Errorf("level %q: %w", level, err)
	}
	return whole, nil
}

// Digests names each artifact's SHA-256, for the evidence.
func (c Compiled) Digests() map[string]string {
	out := map[string]string{}
	if c.Seccomp != nil {
		out["seccomp"] = filterDigest(c.Seccomp)
	}
	for name, artifact := range map[string]any{"inside": c.Inside, "capabilities": c.Capabilities} {
		text, err := json.Marshal(artifact)
		if err != nil {
			continue
		}
		sum := sha256.Sum256(text)
		out[name] = "sha256:" + hex.EncodeToString(sum[:])
	}
	return out
}

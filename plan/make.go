// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bulkhead-project/bulkhead/apparmor"
	"github.com/bulkhead-project/bulkhead/kernel"
	"github.com/bulkhead-project/bulkhead/landlock"
	"github.com/bulkhead-project/bulkhead/selinux"
)

// Make decides. Errors: *UnavailableError for a layer that was asked for by name and cannot hold, *RefusedError for a request that would
// harm, others for what cannot be read (a seccomp profile, a label).
func Make(request Request, facts kernel.Facts) (*Plan, error) {
	p := &Plan{
		Container:       request.ID,
		Kernel:          facts.Release,
		Capabilities:    request.Process.Capabilities,
		NoNewPrivileges: request.Process.NoNewPrivileges || request.Security.NoNewPrivileges,
		Masked:          request.Masked,
		ReadOnlyPaths:   request.ReadOnlyPaths,
		Volumes:         request.Volumes,
		Shields:         request.Shields,
	}
	for _, step := range []func(*Plan, Request, kernel.Facts) error{planVolumes, planShields, planMCS, planSELinux, planAppArmor, planLandlock, planSeccomp} {
		if err := step(p, request, facts); err != nil {
			return nil, err
		}
	}
	p.Remains = remains(p, request)
	return p, nil
}

func planShields(_ *Plan, request Request, _ kernel.Facts) error {
	return checkShields(request.Shields)
}

// planMCS settles the level that was asked for; without one the unique pair is taken at the start.
func planMCS(p *Plan, request Request, _ kernel.Facts) error {
	text := request.Security.Label.Level
	if engine := request.Engine; engine != nil && engine.ProcessLabel != "" {
		context, err := selinux.ParseContext(engine.ProcessLabel)
		if err != nil {
			return fmt.Errorf("process.selinuxLabel: %w", err)
		}
		text = context.Range.String()
	}
	if text == "" {
		return nil
	}
	level, err := selinux.ParseRange(text)
	if err != nil {
		return err
	}
	if count := level.High.Categories.Len(); count > 2 && !request.Security.LabelForce && typeAsked(request) != superType {
		return &RefusedError{Subject: "level " + level.String(), Reason: fmt.Sprintf("its %d categories dominate the pairs of other containers, whose files it could read and write", count),
			Hint: "name two categories, or none for a unique pair; or insist with --security-opt label-force, or with the annotation org.bulkhead.label-force=true in a config.json"}
	}
	p.MCS = MCS{Level: level.String(), Shared: true}
	return nil
}

// superType is of containers that SELinux does not separate, whatever their level; it has to be asked for by name.
const superType = "spc_t"

func typeAsked(request Request) string {
	if engine := request.Engine; engine != nil && engine.ProcessLabel != "" {
		context, err := selinux.ParseContext(engine.ProcessLabel)
		if err != nil {
			return ""
		}
		return context.Type
	}
	return request.Security.Label.Type
}

func planSELinux(p *Plan, request Request, facts kernel.Facts) error {
	label, engine := request.Security.Label, request.Engine
	byName := label != LabelOptions{} && !label.Disable || engine != nil && engine.ProcessLabel != ""
	switch {
	case label.Disable:
		p.SELinux.Layer = Layer{Off, "label=disable"}
	case !byName && engine != nil:
		p.SELinux.Layer = Layer{Off, "config.json has no process.selinuxLabel: the engine asked for none"}
	case !byName && request.Privileged:
		p.SELinux.Layer = Layer{Off, "the container is privileged"}
	case !byName && (request.Namespaces.HostPID || request.Namespaces.HostIPC):
		p.SELinux.Layer = Layer{Off, "the container shares the host's process or IPC namespace"}
	default:
		return p.labelSELinux(request, facts.SELinux, byName)
	}
	return nil
}

func (p *Plan) labelSELinux(request Request, facts kernel.SELinux, byName bool) error {
	label := request.Security.Label
	reason, hint := "", "use --security-opt label=disable, or a kernel with SELinux"
	switch {
	case !facts.Active:
		reason = "a label was asked for, and SELinux is not active on this kernel"
	case !facts.MLS:
		reason = "the loaded policy has no levels, so that no category pair can be given"
	case !facts.Enforcing && byName && request.Engine == nil:
		reason, hint = "a label was asked for, and SELinux is permissive: it would only log", "setenforce 1"
	}
	if reason != "" && byName {
		return &UnavailableError{Layer: "selinux", Reason: reason, Hint: hint}
	}
	if reason != "" {
		p.SELinux.Layer = Layer{Absent, reason}
		if !facts.Active {
			p.SELinux.Reason = "not active on this kernel"
		}
		return nil
	}
	p.SELinux.Layer = Layer{State: On}
	if !facts.Enforcing {
		p.SELinux.Layer = Layer{Permissive, "SELinux is permissive: it only logs"}
	}
	p.SELinux.Nested = label.Nested
	if engine := request.Engine; engine != nil {
		p.SELinux.Process, p.SELinux.Files = engine.ProcessLabel, engine.MountLabel
	} else {
		user := or(label.User, "system_u")
		p.SELinux.Process = fmt.Sprintf("%s:%s:%s", user, or(label.Role, "system_r"), or(label.Type, "container_t"))
		p.SELinux.Files = fmt.Sprintf("%s:object_r:%s", user, or(label.FileType, "container_file_t"))
	}
	p.SELinux.Generated = !facts.ContainerTypes && (containerType(p.SELinux.Process) || containerType(p.SELinux.Files))
	return nil
}

// containerType reports whether the context's type is one of those that are built in, by the names that they have in container-selinux.
func containerType(context string) bool {
	parsed, err := selinux.ParseContext(context)
	return err == nil && (strings.HasPrefix(parsed.Type, "container_") || parsed.Type == "spc_t")
}

func or(value, otherwise string) string {
	if value != "" {
		return value
	}
	return otherwise
}

// generatedProfiles are those whose text is built in: where they are not loaded, whoever enforces the plan compiles and loads them.
var generatedProfiles = []string{apparmor.DefaultName, apparmor.DockerDefaultName}

func planAppArmor(p *Plan, request Request, facts kernel.Facts) error {
	name, byName := request.Security.AppArmor, request.Security.AppArmor != ""
	if engine := request.Engine; engine != nil && !byName {
		name, byName = engine.AppArmorProfile, engine.AppArmorProfile != ""
	}
	switch {
	case name == Unconfined:
		p.AppArmor.Layer = Layer{Off, "apparmor=unconfined"}
	case !byName && request.Engine != nil:
		p.AppArmor.Layer = Layer{Off, "config.json has no process.apparmorProfile: the engine asked for none"}
	case !byName && request.Privileged:
		p.AppArmor.Layer = Layer{Off, "the container is privileged"}
	case !facts.AppArmor.Active && byName:
		return &UnavailableError{"apparmor", fmt.Sprintf("profile %q was asked for, and AppArmor is not active on this kernel", name),
			"use --security-opt apparmor=unconfined, or a kernel with AppArmor"}
	case !facts.AppArmor.Active:
		p.AppArmor.Layer = Layer{Absent, "not active on this kernel"}
	default:
		return p.useProfile(or(name, apparmor.DefaultName), facts.AppArmor)
	}
	return nil
}

// useProfile takes a profile that is loaded, or one that can be generated.
func (p *Plan) useProfile(name string, facts kernel.AppArmor) error {
	profile, loaded := facts.Find(name)
	generated := slices.Contains(generatedProfiles, name)
	if !loaded && !generated {
		return &UnavailableError{"apparmor", fmt.Sprintf("profile %q is not loaded; loaded: %s", name, loadedNames(facts.Profiles)),
			"load it first, as with `bulkhead apparmor load FILE`; `bulkhead apparmor ls` lists what is loaded"}
	}
	// Another's profile of that name is taken as it is, but one of ours may be of an older version: whoever enforces tells them apart.
	p.AppArmor = AppArmor{Layer: Layer{State: On}, Profile: name, Generated: generated && (!loaded || name == apparmor.DefaultName)}
	if profile.Mode == "complain" || profile.Mode == Unconfined {
		p.AppArmor.Layer = Layer{Permissive, "the profile is loaded in mode " + profile.Mode}
	}
	return nil
}

// loadedNames lists profiles, the first eight of them, without hats and children.
func loadedNames(profiles []kernel.Profile) string {
	const most = 8
	var names []string
	for _, profile := range profiles {
		if !strings.Contains(profile.Name, "//") {
			names = append(names, profile.Name)
		}
	}
	slices.Sort(names)
	switch {
	case len(names) == 0:
		return "none"
	case len(names) > most:
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

func planLandlock(p *Plan, request Request, facts kernel.Facts) error {
	switch {
	case request.Security.Landlock == Unconfined:
		p.Landlock.Layer = Layer{Off, "landlock=unconfined"}
	case request.Privileged:
		p.Landlock.Layer = Layer{Off, "the container is privileged"}
	case facts.Landlock.ABI < landlock.MinimumABI:
		p.Landlock.Layer = Layer{Absent, or(facts.Landlock.Reason, fmt.Sprintf("ABI %d; a container needs ABI %d (Linux 5.19)", facts.Landlock.ABI, landlock.MinimumABI))}
	default:
		rules, missing := landlock.Container(facts.Landlock.ABI, request.Namespaces.HostPID, request.Namespaces.HostNetwork)
		p.Landlock = Landlock{Layer{State: On}, rules}
		p.Remains = append(p.Remains, missing...)
	}
	return nil
}

// remains lists what no layer of the plan stops.
func remains(p *Plan, request Request) []string {
	open := p.Remains
	if p.Landlock.Active() {
		signals := "may signal each other"
		if p.Landlock.Ruleset.Scoped&landlock.ScopeSignal != 0 {
			signals = "cannot signal each other"
		}
		open = append(open, "a process added by exec is in a sibling Landlock domain: it and the first process "+signals+", and cannot ptrace each other, follow each other's /proc/PID/fd or, without CAP_SYS_ADMIN and CAP_PERFMON, read each other's /proc/PID/environ")
	} else {
		open = append(open, "without Landlock a host descriptor that leaks into the container opens what lies beneath it")
	}
	if slices.Contains(request.Process.Capabilities.Bounding, "CAP_DAC_READ_SEARCH") && !request.Namespaces.User {
		open = append(open, "CAP_DAC_READ_SEARCH opens every file of a file system that the container sees a part of, by its handle (open_by_handle_at), and Landlock does not stop it")
	}
	if request.Namespaces.HostNetwork {
		open = append(open, "with the host's network the container reaches every TCP and UDP port that the host listens on")
	}
	if request.Namespaces.HostPID {
		open = append(open, "with the host's process namespace the container sees the names and arguments of every process")
		if bounding := request.Process.Capabilities.Bounding; slices.Contains(bounding, "CAP_SYS_ADMIN") || slices.Contains(bounding, "CAP_PERFMON") {
			open = append(open, "CAP_SYS_ADMIN and CAP_PERFMON read /proc/PID/environ and maps of every process, and Landlock does not stop it")
		}
	}
	if !p.SELinux.Active() && !p.AppArmor.Active() {
		open = append(open, "no mandatory access control by label or profile: what Landlock does not mediate is left to capabilities, seccomp and file modes")
	}
	return open
}

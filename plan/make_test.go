// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/kernel"
	"github.com/bulkhead-project/bulkhead/landlock"
)

// Kernels that the tests plan for.
var (
	bareKernel    = kernel.Facts{Release: "6.1.0"}
	plainKernel   = kernel.Facts{Release: "6.18.0", Landlock: kernel.Landlock{ABI: 7}, Seccomp: kernel.Seccomp{Actions: []string{"kill_process", "errno", "allow"}, Flags: []string{"SPEC_ALLOW"}}}
	selinuxKernel = with(plainKernel, func(f *kernel.Facts) {
		f.SELinux = kernel.SELinux{Active: true, Enforcing: true, PolicyVersion: 33, MLS: true, ContainerTypes: true}
	})
	permissiveKernel = with(selinuxKernel, func(f *kernel.Facts) { f.SELinux.Enforcing = false })
	noLevelsKernel   = with(selinuxKernel, func(f *kernel.Facts) { f.SELinux.MLS = false })
	noTypesKernel    = with(selinuxKernel, func(f *kernel.Facts) { f.SELinux.ContainerTypes = false })
	apparmorKernel   = with(plainKernel, func(f *kernel.Facts) {
		f.AppArmor = kernel.AppArmor{Active: true, Profiles: []kernel.Profile{{Name: "crio-default", Mode: "enforce"}, {Name: "docker-default", Mode: "enforce"},
			{Name: "talkative", Mode: "complain"}, {Name: "flagged", Mode: "unconfined"}}}
	})
	emptyAppArmorKernel = with(plainKernel, func(f *kernel.Facts) { f.AppArmor.Active = true })
)

func with(facts kernel.Facts, change func(*kernel.Facts)) kernel.Facts {
	change(&facts)
	return facts
}

func dockerCapabilities() Capabilities {
	names := []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP",
		"CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE"}
	return Capabilities{Bounding: names, Permitted: names, Effective: names}
}

func standaloneRequest() Request {
	return Request{ID: "web", Process: Process{Capabilities: dockerCapabilities()}, Masked: []string{"/proc/kcore"}, ReadOnlyPaths: []string{"/proc/sys"}}
}

func engineRequest() Request {
	request := standaloneRequest()
	request.Engine = &EngineChoices{Seccomp: []byte(smallProfile)}
	return request
}

// smallProfile is the least under which a program starts and ends.
const smallProfile = `{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read","write","execve","exit_group"],"action":"SCMP_ACT_ALLOW"}]}`

const processLabel = "system_u:system_r:container_t:s0:c5,c9"

// layerOf picks one layer of a plan by name.
func layerOf(p *Plan, name string) Layer {
	return map[string]Layer{"selinux": p.SELinux.Layer, "apparmor": p.AppArmor.Layer, "seccomp": p.Seccomp.Layer, "landlock": p.Landlock.Layer}[name]
}

func TestLayerStates(t *testing.T) {
	for name, test := range map[string]struct {
		layer  string
		facts  kernel.Facts
		change func(*Request)
		engine bool
		state  State
		reason string // a part of it
	}{
		"SELinuxIsOnByDefault":                       {layer: "selinux", facts: selinuxKernel, state: On},
		"SELinuxByNameIsOn":                          {layer: "selinux", facts: selinuxKernel, change: func(r *Request) { r.Security.Label.Type = "web_t" }, state: On},
		"SELinuxAbsentByDefaultIsLeftOut":            {layer: "selinux", facts: plainKernel, state: Absent, reason: "not active"},
		"SELinuxWithoutLevelsIsLeftOut":              {layer: "selinux", facts: noLevelsKernel, state: Absent, reason: "no levels"},
		"SELinuxWithoutContainerTypesBringsItsOwn":   {layer: "selinux", facts: noTypesKernel, state: On},
		"SELinuxPermissiveByDefaultIsApplied":        {layer: "selinux", facts: permissiveKernel, state: Permissive, reason: "only logs"},
		"SELinuxDisabledByOption":                    {layer: "selinux", facts: selinuxKernel, change: func(r *Request) { r.Security.Label.Disable = true }, state: Off, reason: "label=disable"},
		"SELinuxOffWhenPrivileged":                   {layer: "selinux", facts: selinuxKernel, change: func(r *Request) { r.Privileged = true }, state: Off, reason: "privileged"},
		"SELinuxByNameStaysWhenPrivileged":           {layer: "selinux", facts: selinuxKernel, change: func(r *Request) { r.Privileged, r.Security.Label.Type = true, "x_t" }, state: On},
		"SELinuxOffWithHostPID":                      {layer: "selinux", facts: selinuxKernel, change: func(r *Request) { r.Namespaces.HostPID = true }, state: Off, reason: "process or IPC"},
		"SELinuxOffWithHostIPC":                      {layer: "selinux", facts: selinuxKernel, change: func(r *Request) { r.Namespaces.HostIPC = true }, state: Off, reason: "process or IPC"},
		"SELinuxStaysWithHostNetwork":                {layer: "selinux", facts: selinuxKernel, change: func(r *Request) { r.Namespaces.HostNetwork = true }, state: On},
		"SELinuxOwnTypesNeedNoContainerTypes":        {layer: "selinux", facts: noTypesKernel, change: func(r *Request) { r.Security.Label.Type, r.Security.Label.FileType = "a_t", "b_t" }, state: On},
		"SELinuxEngineAskedForNone":                  {layer: "selinux", facts: selinuxKernel, engine: true, state: Off, reason: "the engine asked for none"},
		"SELinuxEngineLabelIsOn":                     {layer: "selinux", facts: selinuxKernel, engine: true, change: func(r *Request) { r.Engine.ProcessLabel = processLabel }, state: On},
		"SELinuxEngineLabelOnPermissiveIsApplied":    {layer: "selinux", facts: permissiveKernel, engine: true, change: func(r *Request) { r.Engine.ProcessLabel = processLabel }, state: Permissive},
		"SELinuxEngineLabelNeedsNoContainerTypes":    {layer: "selinux", facts: noTypesKernel, engine: true, change: func(r *Request) { r.Engine.ProcessLabel = processLabel }, state: On},
		"AppArmorAbsentByDefaultIsLeftOut":           {layer: "apparmor", facts: plainKernel, state: Absent, reason: "not active"},
		"AppArmorWithoutProfilesGeneratesItsOwn":     {layer: "apparmor", facts: emptyAppArmorKernel, state: On},
		"AppArmorDefaultIsOn":                        {layer: "apparmor", facts: apparmorKernel, state: On},
		"AppArmorByNameIsOn":                         {layer: "apparmor", facts: apparmorKernel, change: func(r *Request) { r.Security.AppArmor = "crio-default" }, state: On},
		"AppArmorComplainIsPermissive":               {layer: "apparmor", facts: apparmorKernel, change: func(r *Request) { r.Security.AppArmor = "talkative" }, state: Permissive, reason: "complain"},
		"AppArmorUnconfinedFlagIsPermissive":         {layer: "apparmor", facts: apparmorKernel, change: func(r *Request) { r.Security.AppArmor = "flagged" }, state: Permissive, reason: "unconfined"},
		"AppArmorUnconfinedByOption":                 {layer: "apparmor", facts: apparmorKernel, change: func(r *Request) { r.Security.AppArmor = Unconfined }, state: Off, reason: "apparmor=unconfined"},
		"AppArmorOffWhenPrivileged":                  {layer: "apparmor", facts: apparmorKernel, change: func(r *Request) { r.Privileged = true }, state: Off, reason: "privileged"},
		"AppArmorByNameStaysWhenPrivileged":          {layer: "apparmor", facts: apparmorKernel, change: func(r *Request) { r.Privileged, r.Security.AppArmor = true, "docker-default" }, state: On},
		"AppArmorEngineAskedForNone":                 {layer: "apparmor", facts: apparmorKernel, engine: true, state: Off, reason: "the engine asked for none"},
		"AppArmorEngineUnconfined":                   {layer: "apparmor", facts: plainKernel, engine: true, change: func(r *Request) { r.Engine.AppArmorProfile = Unconfined }, state: Off},
		"AppArmorEngineProfileIsOn":                  {layer: "apparmor", facts: apparmorKernel, engine: true, change: func(r *Request) { r.Engine.AppArmorProfile = "docker-default" }, state: On},
		"SeccompIsOnByDefault":                       {layer: "seccomp", facts: plainKernel, state: On},
		"SeccompAbsentByDefaultIsLeftOut":            {layer: "seccomp", facts: bareKernel, state: Absent, reason: "no filters"},
		"SeccompUnconfinedByOption":                  {layer: "seccomp", facts: plainKernel, change: func(r *Request) { r.Security.Seccomp = Unconfined }, state: Off, reason: "seccomp=unconfined"},
		"SeccompOffWhenPrivileged":                   {layer: "seccomp", facts: plainKernel, change: func(r *Request) { r.Privileged = true }, state: Off, reason: "privileged"},
		"SeccompBuiltinStaysWhenPrivileged":          {layer: "seccomp", facts: plainKernel, change: func(r *Request) { r.Privileged, r.Security.Seccomp = true, "builtin" }, state: On},
		"SeccompFileIsOn":                            {layer: "seccomp", facts: plainKernel, change: useProfile(smallProfile), state: On},
		"SeccompEngineAskedForNone":                  {layer: "seccomp", facts: plainKernel, engine: true, change: func(r *Request) { r.Engine.Seccomp = nil }, state: Off, reason: "the engine asked for none"},
		"SeccompEngineFilterIsOn":                    {layer: "seccomp", facts: plainKernel, engine: true, state: On},
		"LandlockIsOnByDefault":                      {layer: "landlock", facts: plainKernel, state: On},
		"LandlockIsOnUnderEngines":                   {layer: "landlock", facts: plainKernel, engine: true, state: On},
		"LandlockAbsentIsLeftOut":                    {layer: "landlock", facts: bareKernel, state: Absent, reason: "ABI 0"},
		"LandlockAbsentSaysTheKernelsReason":         {layer: "landlock", facts: kernel.Facts{Landlock: kernel.Landlock{Reason: "boot with lsm=landlock"}}, state: Absent, reason: "boot with"},
		"LandlockABI1CannotHoldAContainer":           {layer: "landlock", facts: kernel.Facts{Landlock: kernel.Landlock{ABI: 1}}, state: Absent, reason: "ABI 1"},
		"LandlockUnconfinedByOption":                 {layer: "landlock", facts: plainKernel, change: func(r *Request) { r.Security.Landlock = Unconfined }, state: Off, reason: "landlock=unconfined"},
		"LandlockOffWhenPrivileged":                  {layer: "landlock", facts: plainKernel, change: func(r *Request) { r.Privileged = true }, state: Off, reason: "privileged"},
		"LandlockIsNotSwitchedOffByOtherNamespaces":  {layer: "landlock", facts: plainKernel, change: func(r *Request) { r.Namespaces = Namespaces{HostPID: true, HostNetwork: true, HostIPC: true} }, state: On},
		"LandlockAndSELinuxAreOnTogetherUnderEngine": {layer: "landlock", facts: selinuxKernel, engine: true, change: func(r *Request) { r.Engine.ProcessLabel = processLabel }, state: On},
	} {
		t.Run(name, func(t *testing.T) {
			request := standaloneRequest()
			if test.engine {
				request = engineRequest()
			}
			if test.change != nil {
				test.change(&request)
			}
			p, err := Make(request, test.facts)
			if err != nil {
				t.Fatal(err)
			}
			layer := layerOf(p, test.layer)
			if layer.State != test.state || !strings.Contains(layer.Reason, test.reason) {
				t.Errorf("%s is %q (%s), want %q (%s)", test.layer, layer.State, layer.Reason, test.state, test.reason)
			}
			if (layer.State == On) != (layer.Reason == "") {
				t.Errorf("%s is %q with reason %q: every layer but one that is on says why", test.layer, layer.State, layer.Reason)
			}
		})
	}
}

func useProfile(text string) func(*Request) {
	return func(r *Request) { r.Security.Seccomp, r.SeccompProfile = "/etc/filter.json", []byte(text) }
}

func TestWhatWasAskedForByNameAndCannotHoldIsAnError(t *testing.T) {
	for name, test := range map[string]struct {
		layer  string
		facts  kernel.Facts
		engine bool
		change func(*Request)
	}{
		"LabelTypeWithoutSELinux":       {"selinux", plainKernel, false, func(r *Request) { r.Security.Label.Type = "web_t" }},
		"LabelLevelWithoutSELinux":      {"selinux", plainKernel, false, func(r *Request) { r.Security.Label.Level = "s0:c1,c2" }},
		"LabelNestedWithoutSELinux":     {"selinux", plainKernel, false, func(r *Request) { r.Security.Label.Nested = true }},
		"LabelOnPermissiveKernel":       {"selinux", permissiveKernel, false, func(r *Request) { r.Security.Label.Type = "web_t" }},
		"LabelWithoutLevelsInThePolicy": {"selinux", noLevelsKernel, false, func(r *Request) { r.Security.Label.Type = "web_t" }},
		"EngineLabelWithoutSELinux":     {"selinux", plainKernel, true, func(r *Request) { r.Engine.ProcessLabel = processLabel }},
		"ProfileWithoutAppArmor":        {"apparmor", plainKernel, false, func(r *Request) { r.Security.AppArmor = "docker-default" }},
		"ProfileThatIsNotLoaded":        {"apparmor", apparmorKernel, false, func(r *Request) { r.Security.AppArmor = "nginx" }},
		"EngineProfileWithoutAppArmor":  {"apparmor", plainKernel, true, func(r *Request) { r.Engine.AppArmorProfile = "docker-default" }},
		"EngineProfileThatIsNotLoaded":  {"apparmor", apparmorKernel, true, func(r *Request) { r.Engine.AppArmorProfile = "docker-default2" }},
		"FilterFileWithoutFilters":      {"seccomp", bareKernel, false, useProfile(`{"defaultAction":"SCMP_ACT_ERRNO"}`)},
		"BuiltinFilterWithoutFilters":   {"seccomp", bareKernel, false, func(r *Request) { r.Security.Seccomp = "builtin" }},
		"EngineFilterWithoutFilters":    {"seccomp", bareKernel, true, func(*Request) {}},
	} {
		t.Run(name, func(t *testing.T) {
			request := standaloneRequest()
			if test.engine {
				request = engineRequest()
			}
			test.change(&request)
			p, err := Make(request, test.facts)
			var unavailable *UnavailableError
			if !errors.As(err, &unavailable) || p != nil {
				t.Fatalf("got %v, %v; want an UnavailableError", p, err)
			}
			if unavailable.Layer != test.layer || unavailable.Hint == "" || !strings.HasPrefix(err.Error(), test.layer+": ") {
				t.Errorf("got %#v", unavailable)
			}
		})
	}
}

func TestUnreadableChoicesAreErrors(t *testing.T) {
	for name, test := range map[string]struct {
		engine bool
		change func(*Request)
		want   string
	}{
		"EngineLabelIsNoContext":  {true, func(r *Request) { r.Engine.ProcessLabel = "container_t" }, "process.selinuxLabel"},
		"LevelIsNoRange":          {false, func(r *Request) { r.Security.Label.Level = "s0:110" }, "110"},
		"FilterIsTruncated":       {false, useProfile("{\n\"defaultAction\":"), "seccomp profile /etc/filter.json: 2:"},
		"FilterIsEmpty":           {false, useProfile(""), "/etc/filter.json"},
		"FilterHasNoAction":       {false, useProfile("{}"), "defaultAction"},
		"FilterIsNull":            {false, useProfile("null"), "got null"},
		"FilterOfAnEngine":        {true, func(r *Request) { r.Engine.Seccomp = []byte("\n\n  {}") }, "config.json: linux.seccomp: 3:"},
		"FilterIsTooLarge":        {false, useProfile(strings.Repeat(" ", 5<<20)), "at most"},
		"FilterFollowedByGarbage": {false, useProfile(`{"defaultAction":"SCMP_ACT_ERRNO"} x`), "seccomp profile"},
	} {
		t.Run(name, func(t *testing.T) {
			request := standaloneRequest()
			if test.engine {
				request = engineRequest()
			}
			test.change(&request)
			if _, err := Make(request, selinuxKernel); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}

func TestSystemTrees(t *testing.T) {
	for source, system := range map[string]bool{
		"/": true, "/home": true, "/home/alice": true, "/home/alice/.ssh": true, "/home/alice/.ssh/keys": true, "/home/alice/data": false, "/home/alice/data/.git": false,
		"/root": true, "/root/.ssh": true, "/root/data": false, "/rooted": false, "/var/home/alice": true, "/var/home/alice/data": false,
		"/etc": true, "/etc/ssh": true, "/etcetera": false, "/usr": true, "/usr/local/share/web": true, "/proc/1": true, "/sys": true, "/dev/shm": true, "/boot/grub": true,
		"/var": true, "/var/lib": true, "/var/lib/docker": true, "/var/lib/docker/x": true, "/var/lib/bulkhead/mcs": true, "/var/lib/app": false, "/var/log/app": true,
		"/tmp": true, "/tmp/x": false, "/var/tmp": true, "/var/tmp/x": false, "/srv": true, "/srv/data": false, "/mnt": true, "/mnt/disk": false, "/opt": true, "/opt/app": false,
		"/run": true, "/run/app": false, "/run/bulkhead": true, "/run/systemd/system": true, "/data": false,
	} {
		if got := SystemTree(source); got != system {
			t.Errorf("SystemTree(%q) = %v", source, got)
		}
	}
}

func TestVolumes(t *testing.T) {
	for name, test := range map[string]struct {
		volume  Volume
		refused string
	}{
		"PlainMountOfASystemTreeIsAllowed":     {Volume{Source: "/etc", Destination: "/host"}, ""},
		"PrivateLabelOnDataIsAllowed":          {Volume{Source: "/srv/data", Relabel: RelabelPrivate}, ""},
		"OwnPrivateLabelIsAllowed":             {Volume{Source: "/srv/data", Relabel: RelabelPrivate, Own: true}, ""},
		"PrivateLabelOfAnotherIsRefused":       {Volume{Source: "/srv/data", Relabel: RelabelPrivate, Holder: "container db"}, "db"},
		"PlainMountOfAnothersPrivateIsRefused": {Volume{Source: "/srv/data", Holder: "container db"}, "db"},
		"ReadOnlyMountOfAnothersIsRefused":     {Volume{Source: "/srv/data", ReadOnly: true, Holder: "container db"}, "db"},
		"SharedLabelOnEtcIsRefused":            {Volume{Source: "/etc", Relabel: RelabelShared}, "host's own files"},
		"PrivateLabelOnHomeIsRefused":          {Volume{Source: "/home/alice", Relabel: RelabelPrivate}, "host's own files"},
		"ChownOfTheRootIsRefused":              {Volume{Source: "/", Chown: true}, "host's own files"},
	} {
		t.Run(name, func(t *testing.T) {
			request := standaloneRequest()
			request.Volumes = []Volume{test.volume}
			_, err := Make(request, selinuxKernel)
			if test.refused == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var refused *RefusedError
			if !errors.As(err, &refused) || !strings.Contains(refused.Reason, test.refused) || refused.Hint == "" || !strings.Contains(err.Error(), test.volume.Source) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestVolumesOfOneContainer(t *testing.T) {
	private, shared := func(source string) Volume { return Volume{Source: source, Relabel: RelabelPrivate} }, func(source string) Volume { return Volume{Source: source, Relabel: RelabelShared} }
	held := Volume{Source: "/srv/a", Holder: "container db", HolderLevel: "s0:c3,c4"}
	heldPrivate, heldOwn := held, held
	heldPrivate.Relabel, heldOwn.Own = RelabelPrivate, true
	for name, test := range map[string]struct {
		request Request
		refused string // part of error or hint
	}{
		"SameLabelTwice":           {Request{Volumes: []Volume{private("/srv/a"), private("/srv/a/b")}}, ""},
		"BesideEachOther":          {Request{Volumes: []Volume{private("/srv/a"), shared("/srv/ab")}}, ""},
		"TwoLabels":                {Request{Volumes: []Volume{private("/srv/a"), shared("/srv/a")}}, "each file has one label"},
		"TwoLabelsInside":          {Request{Volumes: []Volume{shared("/srv/a/b"), private("/srv/a")}}, "each file has one label"},
		"LabelAndPlain":            {Request{Volumes: []Volume{private("/srv/a"), {Source: "/srv/a/b"}}}, ""},
		"RootFileSystem":           {Request{Root: "/srv/root", Volumes: []Volume{private("/srv/root")}}, "own root file system, /srv/root"},
		"WhatHoldsTheRoot":         {Request{Root: "/srv/x/root", Volumes: []Volume{{Source: "/srv/x", Chown: true}}}, "own root file system"},
		"PlainVolumeWithTheRoot":   {Request{Root: "/srv/x/root", Volumes: []Volume{{Source: "/srv/x"}}}, ""},
		"WithinTheRoot":            {Request{Root: "/srv/root", Volumes: []Volume{private("/srv/root/data")}}, ""},
		"AnothersIsHinted":         {Request{Volumes: []Volume{held}}, "remove that container, or share the volume with :z in both"},
		"AnothersCanBeTaken":       {Request{Volumes: []Volume{heldPrivate}}, "take it from it with --take"},
		"NotByAnEngine":            {Request{Engine: &EngineChoices{}, Volumes: []Volume{heldPrivate}}, "remove that container, or share"},
		"EngineHasLabelledAlready": {Request{Engine: &EngineChoices{}, Volumes: []Volume{heldOwn}}, "`bulkhead label set --level s0:c3,c4 /srv/a` gives it back"},
		"Taken":                    {Request{Take: true, Volumes: []Volume{heldPrivate}}, ""},
		"ToTakeIsToLabel":          {Request{Take: true, Volumes: []Volume{held}}, "container db"},
	} {
		err := CheckVolumes(test.request)
		var refused *RefusedError
		if err == nil && test.refused == "" {
			continue
		}
		if !errors.As(err, &refused) || test.refused == "" || !strings.Contains(err.Error()+refused.Hint, test.refused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLabelsOfOptions(t *testing.T) {
	for name, test := range map[string]struct {
		label                 LabelOptions
		process, files, level string
	}{
		"Defaults":     {LabelOptions{}, "system_u:system_r:container_t", "system_u:object_r:container_file_t", ""},
		"TypeOnly":     {LabelOptions{Type: "web_t"}, "system_u:system_r:web_t", "system_u:object_r:container_file_t", ""},
		"UserInBoth":   {LabelOptions{User: "user_u", Role: "user_r"}, "user_u:user_r:container_t", "user_u:object_r:container_file_t", ""},
		"FileType":     {LabelOptions{FileType: "web_file_t"}, "system_u:system_r:container_t", "system_u:object_r:web_file_t", ""},
		"LevelByName":  {LabelOptions{Level: "s0:c2,c1"}, "system_u:system_r:container_t", "system_u:object_r:container_file_t", "s0:c1,c2"},
		"RangeByName":  {LabelOptions{Level: "s0-s0:c2.c3"}, "system_u:system_r:container_t", "system_u:object_r:container_file_t", "s0-s0:c2,c3"},
		"OneCategory":  {LabelOptions{Level: "s0:c5"}, "system_u:system_r:container_t", "system_u:object_r:container_file_t", "s0:c5"},
		"Unseparated":  {LabelOptions{Type: "spc_t", Level: "s0-s0:c0.c1023"}, "system_u:system_r:spc_t", "system_u:object_r:container_file_t", "s0-s0:c0.c1023"},
		"NestedLabels": {LabelOptions{Nested: true}, "system_u:system_r:container_t", "system_u:object_r:container_file_t", ""},
	} {
		t.Run(name, func(t *testing.T) {
			request := standaloneRequest()
			request.Security.Label = test.label
			p, err := Make(request, selinuxKernel)
			if err != nil {
				t.Fatal(err)
			}
			if p.SELinux.Process != test.process || p.SELinux.Files != test.files || p.MCS.Level != test.level || p.MCS.Shared != (test.level != "") || p.SELinux.Nested != test.label.Nested {
				t.Errorf("got %+v, %+v", p.SELinux, p.MCS)
			}
		})
	}
}

func TestALevelThatDominatesOthersIsRefusedUnlessForced(t *testing.T) {
	named, engine := standaloneRequest(), engineRequest()
	for level, canonical := range map[string]string{"s0:c0.c1023": "s0:c0.c1023", "s0-s0:c0.c1023": "s0-s0:c0.c1023", "s0:c1,c3,c2": "s0:c1.c3", "s0:c7,c9,c12": "s0:c7,c9,c12"} {
		named.Security.Label.Level = level
		engine.Engine.ProcessLabel = "system_u:system_r:container_t:" + level
		for _, request := range []Request{named, engine} {
			var refused *RefusedError
			if _, err := Make(request, selinuxKernel); !errors.As(err, &refused) || !strings.Contains(refused.Hint, "label-force") || !strings.Contains(err.Error(), "dominate") {
				t.Errorf("%s: %v", level, err)
			}
			request.Security.LabelForce = true
			if p, err := Make(request, selinuxKernel); err != nil || p.MCS.Level != canonical {
				t.Errorf("%s by force: %v", level, err)
			}
		}
	}
}

func TestEngineChoicesAreKept(t *testing.T) {
	request := engineRequest()
	request.Engine.ProcessLabel, request.Engine.MountLabel = processLabel, "system_u:object_r:container_file_t:s0:c5,c9"
	p, err := Make(request, selinuxKernel)
	if err != nil {
		t.Fatal(err)
	}
	if p.SELinux.Process != processLabel || p.SELinux.Files != request.Engine.MountLabel || p.MCS != (MCS{"s0:c5,c9", true}) {
		t.Errorf("got %+v, %+v", p.SELinux, p.MCS)
	}
	if p.Seccomp.Source != "config.json" {
		t.Errorf("seccomp comes from %q", p.Seccomp.Source)
	}
}

func TestBuiltInProfilesAreGeneratedWhereTheyAreNotLoaded(t *testing.T) {
	loaded := with(apparmorKernel, func(f *kernel.Facts) {
		f.AppArmor.Profiles = []kernel.Profile{{Name: "bulkhead-default", Mode: "complain"}}
	})
	for name, test := range map[string]struct {
		facts kernel.Facts
		asked string
		want  AppArmor
	}{
		"DefaultIsBulkheads":      {apparmorKernel, "", AppArmor{Layer{State: On}, "bulkhead-default", true}},
		"DefaultThatComplains":    {loaded, "", AppArmor{Layer{Permissive, "the profile is loaded in mode complain"}, "bulkhead-default", true}},
		"DockersThatDockerLoaded": {apparmorKernel, "docker-default", AppArmor{Layer{State: On}, "docker-default", false}},
		"DockersWithoutDocker":    {emptyAppArmorKernel, "docker-default", AppArmor{Layer{State: On}, "docker-default", true}},
	} {
		request := standaloneRequest()
		request.Security.AppArmor = test.asked
		p, err := Make(request, test.facts)
		if err != nil || p.AppArmor != test.want {
			t.Errorf("%s: %+v %v, want %+v", name, p.AppArmor, err, test.want)
		}
	}
	request := engineRequest()
	request.Engine.AppArmorProfile = "bulkhead-default"
	if p, err := Make(request, emptyAppArmorKernel); err != nil || !p.AppArmor.Generated {
		t.Errorf("an engine's container: %v %v", p, err)
	}
}

func TestUnknownProfileIsAnErrorThatSaysWhatIsLoaded(t *testing.T) {
	facts := with(plainKernel, func(f *kernel.Facts) {
		f.AppArmor.Active = true
		for i := range 10 {
			f.AppArmor.Profiles = append(f.AppArmor.Profiles, kernel.Profile{Name: fmt.Sprintf("p%d", i)}, kernel.Profile{Name: fmt.Sprintf("p%d//hat", i)})
		}
	})
	for _, test := range []struct {
		facts kernel.Facts
		want  string
	}{
		{facts, `profile "nginx" is not loaded; loaded: p0, p1, p2, p3, p4, p5, p6, p7 and 2 more`},
		{apparmorKernel, `profile "nginx" is not loaded; loaded: crio-default, docker-default, flagged, talkative`},
		{emptyAppArmorKernel, `profile "nginx" is not loaded; loaded: none`},
	} {
		request := standaloneRequest()
		request.Security.AppArmor = "nginx"
		if _, err := Make(request, test.facts); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v, want %s", err, test.want)
		}
	}
}

func TestScopesFollowSharedNamespaces(t *testing.T) {
	for name, test := range map[string]struct {
		namespaces Namespaces
		scoped     landlock.Scope
	}{
		"OwnNamespaces": {Namespaces{}, 0},
		"HostPID":       {Namespaces{HostPID: true}, landlock.ScopeSignal},
		"HostNetwork":   {Namespaces{HostNetwork: true}, landlock.ScopeAbstractSocket},
	} {
		request := standaloneRequest()
		request.Namespaces = test.namespaces
		p, err := Make(request, plainKernel)
		if err != nil || p.Landlock.Ruleset.Scoped != test.scoped {
			t.Errorf("%s: scoped %v, %v", name, p.Landlock.Ruleset.Scoped, err)
		}
	}
}

func TestRemains(t *testing.T) {
	for name, test := range map[string]struct {
		facts  kernel.Facts
		change func(*Request)
		want   string
		not    string
	}{
		"SiblingDomains":   {selinuxKernel, func(*Request) {}, "sibling Landlock domain", "no mandatory access control"},
		"NoLandlock":       {bareKernel, func(*Request) {}, "without Landlock", "sibling"},
		"HostNetworkPorts": {plainKernel, func(r *Request) { r.Namespaces.HostNetwork = true }, "every TCP and UDP port", "every process"},
		"HostPIDNames":     {plainKernel, func(r *Request) { r.Namespaces.HostPID = true }, "names and arguments of every process", "TCP"},
		"FileHandles": {plainKernel, func(r *Request) {
			r.Process.Capabilities.Bounding = append(r.Process.Capabilities.Bounding, "CAP_DAC_READ_SEARCH")
		},
			"open_by_handle_at", "TCP"},
		"NoLabels": {plainKernel, func(*Request) {}, "no mandatory access control", "TCP"},
		"HostPIDEnvironments": {plainKernel, func(r *Request) {
			r.Namespaces.HostPID = true
			r.Process.Capabilities.Bounding = append(r.Process.Capabilities.Bounding, "CAP_PERFMON")
		}, "/proc/PID/environ and maps of every process", "TCP"},
		"OldLandlockLacksTruncate":  {kernel.Facts{Landlock: kernel.Landlock{ABI: 2}}, func(*Request) {}, "truncate", "TCP"},
		"OldLandlockCannotScopePID": {kernel.Facts{Landlock: kernel.Landlock{ABI: 5}}, func(r *Request) { r.Namespaces.HostPID = true }, "signals to host processes", "abstract sockets"},
	} {
		t.Run(name, func(t *testing.T) {
			request := standaloneRequest()
			test.change(&request)
			p, err := Make(request, test.facts)
			if err != nil {
				t.Fatal(err)
			}
			text := strings.Join(p.Remains, "\n")
			if !strings.Contains(text, test.want) || strings.Contains(text, test.not) {
				t.Errorf("remains:\n%s", text)
			}
		})
	}
}

// Types that are built in are put onto a policy that has none; what others call theirs is theirs to bring.
func TestContainerTypesAreGeneratedWhereTheyAreMissed(t *testing.T) {
	for name, test := range map[string]struct {
		facts  kernel.Facts
		engine string
		change func(*Request)
		want   bool
	}{
		"Missing":          {facts: noTypesKernel, want: true},
		"There":            {facts: selinuxKernel},
		"AnotherDomain":    {facts: noTypesKernel, change: func(r *Request) { r.Security.Label.Type = "web.process" }, want: true}, // its files are container_file_t
		"AnotherEntirely":  {facts: noTypesKernel, change: func(r *Request) { r.Security.Label.Type, r.Security.Label.FileType = "a_t", "b_t" }},
		"Super":            {facts: noTypesKernel, change: func(r *Request) { r.Security.Label.Type, r.Security.Label.FileType = "spc_t", "b_t" }, want: true},
		"Disabled":         {facts: noTypesKernel, change: func(r *Request) { r.Security.Label.Disable = true }},
		"Engine":           {facts: noTypesKernel, engine: "system_u:system_r:container_t:s0:c1,c2", want: true},
		"EngineOtherTypes": {facts: noTypesKernel, engine: "system_u:system_r:pod_t:s0:c1,c2"},
	} {
		request := standaloneRequest()
		if test.engine != "" {
			request = engineRequest()
			request.Engine.ProcessLabel = test.engine
		}
		if test.change != nil {
			test.change(&request)
		}
		p := mustMake(t, request, test.facts)
		if p.SELinux.Generated != test.want {
			t.Errorf("%s: %+v", name, p.SELinux)
		}
		if detail := p.Rows()[1].Detail; strings.Contains(detail, "built in") != test.want {
			t.Errorf("%s: the table says %q", name, detail)
		}
	}
}

func TestNoNewPrivilegesComesFromEitherSide(t *testing.T) {
	for _, test := range [][3]bool{{false, false, false}, {true, false, true}, {false, true, true}, {true, true, true}} {
		request := standaloneRequest()
		request.Process.NoNewPrivileges, request.Security.NoNewPrivileges = test[0], test[1]
		p, err := Make(request, plainKernel)
		if err != nil || p.NoNewPrivileges != test[2] {
			t.Errorf("process %v, option %v: got %v, %v", test[0], test[1], p.NoNewPrivileges, err)
		}
	}
}

func TestLeftOutNamesWhatIsMissing(t *testing.T) {
	p, err := Make(standaloneRequest(), bareKernel)
	if err != nil {
		t.Fatal(err)
	}
	if lines := p.LeftOut(); len(lines) != 4 || !strings.HasPrefix(lines[0], "selinux is left out: ") || !strings.HasPrefix(lines[3], "landlock is left out: ") {
		t.Errorf("got %q", lines)
	}
	p, err = Make(standaloneRequest(), permissiveKernel)
	if err != nil {
		t.Fatal(err)
	}
	if lines := p.LeftOut(); len(lines) != 2 || lines[0] != "selinux does not enforce: SELinux is permissive: it only logs" {
		t.Errorf("got %q", lines)
	}
	request := standaloneRequest()
	request.Privileged = true
	if p, err = Make(request, selinuxKernel); err != nil || len(p.LeftOut()) != 0 {
		t.Errorf("what was switched off by request is reported as left out: %q, %v", p.LeftOut(), err)
	}
}

func TestMakeAndCompileAreDeterministic(t *testing.T) {
	var first string
	for i := range 100 {
		request := standaloneRequest()
		request.Volumes = []Volume{{Source: "/srv/data", Destination: "/data", Relabel: RelabelPrivate}}
		p, err := Make(request, selinuxKernel)
		if err != nil {
			t.Fatal(err)
		}
		compiled, err := p.Compile("s0:c1,c2")
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal([]any{p, compiled, p.Rows(), compiled.Digests()})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = string(text)
		} else if string(text) != first {
			t.Fatalf("run %d differs", i)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

var update = flag.Bool("update", false, "write the golden files anew")

// domainPolicy is what generating asks a policy for: types, two classes of capabilities and those of files, and ports.
func domainPolicy() *policydb.Policy {
	policy := &policydb.Policy{}
	for i, name := range []string{"container_domain", "container_file_t", "var_lib_t", "shadow_t", "etc_t", "http_port_t", "port_t", "dri_device_t", "user_home_t", "var_run_t", "fixed_disk_device_t"} {
		policy.Types.Entries = append(policy.Types.Entries, policydb.Type{Name: name, Value: uint32(i + 1), Properties: policydb.TypePrimary})
	}
	policy.Types.Primary = uint32(len(policy.Types.Entries))
	policy.Attributes = make([]policydb.Bitmap, policy.Types.Primary)
	for i, class := range []struct{ name, permissions string }{
		{"file", "ioctl read write create getattr setattr lock append map unlink link rename execute execute_no_trans open entrypoint"},
		{"dir", "ioctl read write create getattr setattr lock unlink link rename open add_name remove_name reparent search rmdir"},
		{"lnk_file", "read create getattr setattr unlink rename"}, {"sock_file", "read write create getattr setattr append unlink rename open"},
		{"chr_file", "ioctl read write getattr lock append open"}, {"blk_file", "ioctl read write getattr lock append open"},
		{"capability", "chown net_raw net_admin net_bind_service sys_module"}, {"capability2", "bpf mac_admin"}, {"cap_userns", "chown net_raw sys_module"},
	} {
		entry := policydb.Class{Name: class.name, Value: uint32(i + 1)}
		for j, permission := range strings.Fields(class.permissions) {
			entry.Permissions.Entries = append(entry.Permissions.Entries, policydb.Permission{Name: permission, Value: uint32(j + 1)})
		}
		entry.Permissions.Primary = uint32(len(entry.Permissions.Entries))
		policy.Classes.Entries = append(policy.Classes.Entries, entry)
	}
	policy.Classes.Primary = uint32(len(policy.Classes.Entries))
	policy.Objects.Ports = []policydb.Port{{Protocol: 6, Low: 80, High: 80, Context: policydb.Context{Type: 6}}}
	policy.Objects.Initial = []policydb.InitialSID{{SID: 9, Context: policydb.Context{Type: 7}}}
	return policy
}

func labelOf(typ string) string { return "system_u:object_r:" + typ + ":s0" }

func TestGeneratedDomains(t *testing.T) {
	for name, needs := range map[string]Needs{
		"nothing": {Name: "nothing", Origin: "a test"},
		"web": {Name: "web", Origin: "/bundles/web/config.json", Ports: []Port{{80, "tcp"}, {8443, "tcp"}, {53, "udp"}}, Capabilities: []string{"net_raw", "chown", "net_admin"},
			Mounts: []Mount{
				{Source: "/srv/data", Destination: "/data", Class: "dir", Label: labelOf("var_lib_t")},
				{Source: "/srv/programs", Destination: "/opt", Class: "dir", Label: labelOf("var_lib_t"), ReadOnly: true, Executable: true},
				{Source: "/etc/hosts", Destination: "/etc/hosts", Class: "file", Label: labelOf("etc_t"), ReadOnly: true},
				{Source: "/volumes/own", Destination: "/own", Class: "dir", Label: labelOf("container_file_t")},
				{Source: "/run/app.sock", Destination: "/app.sock", Class: "sock_file", Label: labelOf("var_run_t")},
				{Source: "/dev/dri/card0", Destination: "/dev/dri/card0", Class: "chr_file", Label: labelOf("dri_device_t")},
			},
			Devices: []Device{{Path: "/dev/fuse"}, {Path: "/dev/loop9", Block: true, Label: labelOf("container_file_t")}}, WritableCgroup: true},
		"userns": {Name: "userns", Origin: "two\nlines", Capabilities: []string{"sys_module", "chown"}, UserNamespace: true},
	} {
		t.Run(name, func(t *testing.T) {
			domain, err := Generate(domainPolicy(), needs, false)
			if err != nil {
				t.Fatal(err)
			}
			if domain.Type != name+".process" {
				t.Errorf("type %s", domain.Type)
			}
			golden := filepath.Join("testdata", name+".cil")
			if *update {
				if err := os.WriteFile(golden, domain.Text, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want, err := os.ReadFile(golden); err != nil || string(want) != string(domain.Text) {
				t.Errorf("%v: not as %s; go test -update writes it anew\n%s", err, golden, domain.Text)
			}
		})
	}
}

func TestNeedsThatHandTheHostOverAreRefused(t *testing.T) {
	mount := func(source, class, typ string, readOnly bool) Needs {
		return Needs{Name: "x", Mounts: []Mount{{Source: source, Destination: "/x", Class: class, Label: labelOf(typ), ReadOnly: readOnly}}}
	}
	for name, test := range map[string]struct {
		needs  Needs
		always bool
		words  string
	}{
		"Shadow":         {mount("/etc/shadow", "file", "shadow_t", false), true, "mount /etc/shadow on /x: it is shadow_t"},
		"ShadowToRead":   {mount("/etc/shadow", "file", "shadow_t", true), true, "shadow_t"},
		"DirOfShadow":    {mount("/backup", "dir", "shadow_t", true), true, "shadow_t"},
		"MountedDisk":    {mount("/dev/sda", "blk_file", "fixed_disk_device_t", false), true, "fixed_disk_device_t"},
		"Disk":           {Needs{Name: "x", Devices: []Device{{Path: "/dev/sda", Block: true, Label: labelOf("fixed_disk_device_t")}}}, true, "device /dev/sda"},
		"Configuration":  {mount("/etc", "dir", "etc_t", false), false, "the host's configuration"},
		"RuntimeSocket":  {mount("/run/docker.sock", "sock_file", "var_run_t", false), false, "starts containers"},
		"LoadingModules": {Needs{Name: "x", Capabilities: []string{"sys_module"}}, true, "capability sys_module"},
		"MAC":            {Needs{Name: "x", Capabilities: []string{"mac_admin"}}, true, "capability mac_admin"},
	} {
		for _, force := range []bool{false, true} {
			domain, err := Generate(domainPolicy(), test.needs, force)
			var refused *RefusedError
			if force && !test.always {
				if err != nil || len(domain.Text) == 0 {
					t.Errorf("%s, forced: %v", name, err)
				}
				continue
			}
			if !errors.As(err, &refused) || refused.Always != test.always || !strings.Contains(err.Error(), test.words) {
				t.Errorf("%s: got %v", name, err)
			}
		}
	}
	if _, err := Generate(domainPolicy(), mount("/etc", "dir", "etc_t", true), false); err != nil {
		t.Errorf("to read is not to write: %v", err)
	}
}

func TestNeedsThatThePolicyDoesNotKnow(t *testing.T) {
	for name, test := range map[string]struct {
		needs Needs
		words string
	}{
		"Name":       {Needs{Name: "a-b"}, `"a-b" has '-' at byte 1`},
		"NoName":     {Needs{}, "no name"},
		"FirstDigit": {Needs{Name: "1x"}, "at byte 0"},
		"NoLabel":    {Needs{Name: "x", Mounts: []Mount{{Source: "/s", Destination: "/d", Class: "dir"}}}, "mount /s on /d: the file has no label"},
		"Type":       {Needs{Name: "x", Mounts: []Mount{{Source: "/s", Destination: "/d", Class: "dir", Label: labelOf("other_t")}}}, "no type other_t"},
		"Label":      {Needs{Name: "x", Mounts: []Mount{{Source: "/s", Destination: "/d", Class: "dir", Label: "other_t"}}}, "mount /s on /d: "},
		"Capability": {Needs{Name: "x", Capabilities: []string{"sys_magic"}}, `"sys_magic"`},
		"Protocol":   {Needs{Name: "x", Ports: []Port{{80, "icmp"}}}, `"icmp"`},
	} {
		if _, err := Generate(domainPolicy(), test.needs, true); err == nil || !strings.Contains(err.Error(), test.words) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := Generate(policyWith("kernel_t"), Needs{Name: "x"}, true); err == nil || !strings.Contains(err.Error(), "container_domain") {
		t.Errorf("a policy without containers: %v", err)
	}
}

func TestSecretsAreReadFromTheRules(t *testing.T) {
	secrets, err := readSecrets()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		typ, class, permission string
		secret                 bool
	}{
		{"shadow_t", "file", "getattr", true}, {"memory_device_t", "chr_file", "read", true}, {"policy_config_t", "file", "write", true}, {"policy_config_t", "file", "read", false},
		{"security_t", "security", "load_policy", true}, {"etc_t", "file", "read", false}, {"self", "capability", "sys_module", false},
	} {
		if got := givesAway(secrets, test.typ, test.class, []string{test.permission}) != nil; got != test.secret {
			t.Errorf("%v: %v", test, got)
		}
	}
	if len(secrets) < 30 {
		t.Errorf("only %d", len(secrets))
	}
}

// Optionals of two templates that are pasted into one block must not have one name.
func TestTemplatesDoNotClash(t *testing.T) {
	var names []string
	for _, name := range []string{"container", "restricted_net_container", "net_container", "raw_container", "net_admin_container", "cgroup_container", "disk_container"} {
		for line := range strings.Lines(template(name)) {
			if optional, ok := strings.CutPrefix(strings.TrimSpace(line), "(optional "); ok {
				names = append(names, optional)
			}
		}
	}
	slices.Sort(names)
	if len(names) < 15 || len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("got %v", names)
	}
}

// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/selinux/mcs"
)

const (
	webID = "aaaaaaaaaaaaaaaa"
	dbID  = "bbbbbbbbbbbbbbbb"

	dockersWeb = "/var/lib/docker/containers/" + webID + "/config.v2.json"
	dockersDB  = "/var/lib/docker/containers/" + dbID + "/config.v2.json"
	mobysWeb   = "/run/containerd/io.containerd.runtime.v2.task/moby/" + webID
	kubesWeb   = "/run/containerd/io.containerd.runtime.v2.task/k8s.io/" + webID
	kubesDB    = "/run/containerd/io.containerd.runtime.v2.task/k8s.io/" + dbID
	podmansWeb = "/var/lib/containers/storage/overlay-containers/" + webID + "/userdata"
	podmans    = "/var/lib/containers/storage/overlay-containers/containers.json"

	dockerWeb = `{"ID":"` + webID + `","Name":"/web","ProcessLabel":"u:r:container_t:s0:c1,c2"}`
	dockerDB  = `{"ID":"` + dbID + `","Name":"/db","ProcessLabel":"u:r:container_t:s0:c2,c1"}`
	labelled  = `{"process":{"selinuxLabel":"u:r:container_t:s0:c1,c2"},"linux":{"mountLabel":"u:object_r:container_file_t:s0:c1,c2"}}`
	podmanAll = `[{"id":"` + webID + `","names":["web"],"flags":{"ProcessLabel":"u:r:container_t:s0:c1,c2"}},{"id":"` + dbID + `","names":["db"],"flags":{"ProcessLabel":"u:r:container_t:s0:c1,c2"}}]`
	podmanDB  = `[{"id":"` + dbID + `","names":["db"],"flags":{"ProcessLabel":"u:r:container_t:s0:c1,c2"}}]`
	domain    = `<domain><name>vm</name><seclabel type='static' model='selinux'><label>system_u:system_r:svirt_t:s0:c1,c2</label></seclabel></domain>`
	process   = "u:r:container_t:s0:c1,c2\x00"
)

// An engine names the pair c1,c2 for the container web.
func TestAPairThatAnEngineNamesIsHeldAgainstWhatOthersHave(t *testing.T) {
	for name, test := range map[string]struct {
		bundle  string // of web
		files   map[string]string
		refused string // who has the pair; "" where it is given
	}{
		"nobody else":                     {mobysWeb, nil, ""},
		"docker knows its own":            {mobysWeb, map[string]string{dockersWeb: dockerWeb, mobysWeb + "/config.json": labelled}, ""},
		"docker shares with its own":      {mobysWeb, map[string]string{dockersWeb: dockerWeb, dockersDB: dockerDB, mobysWeb + "/config.json": labelled}, ""},
		"docker, its state elsewhere":     {"/srv/exec/" + webID, map[string]string{dockersWeb: dockerWeb, dockersDB: dockerDB}, ""},
		"podman's pod":                    {podmansWeb, map[string]string{podmans: podmanAll, podmansWeb + "/config.json": labelled}, ""},
		"kubernetes' pod":                 {kubesWeb, map[string]string{kubesWeb + "/config.json": labelled, kubesDB + "/config.json": labelled}, ""},
		"docker drew podman's":            {mobysWeb, map[string]string{dockersWeb: dockerWeb, podmans: podmanDB}, `container "db" in storage`},
		"podman drew docker's":            {podmansWeb, map[string]string{podmans: podmanAll, dockersDB: dockerDB, podmansWeb + "/config.json": labelled}, `docker container "db"`},
		"kubernetes drew docker's":        {kubesWeb, map[string]string{kubesWeb + "/config.json": labelled, dockersDB: dockerDB}, `docker container "db"`},
		"docker drew libvirt's":           {mobysWeb, map[string]string{dockersWeb: dockerWeb, "/etc/libvirt/qemu/vm.xml": domain}, `libvirt domain "vm"`},
		"nobody knows the container":      {"/srv/bundle", map[string]string{dockersDB: dockerDB}, `docker container "db"`},
		"a process of nobody's":           {mobysWeb, map[string]string{dockersWeb: dockerWeb, "/proc/7/attr/current": process}, "process 7"},
		"a process of a shared one's":     {mobysWeb, map[string]string{dockersWeb: dockerWeb, dockersDB: dockerDB, "/proc/7/attr/current": process}, ""},
		"a process of an earlier life":    {mobysWeb, map[string]string{dockersWeb: dockerWeb, "/proc/7/attr/current": process, "/proc/7/cgroup": "0::/system.slice/docker-" + webID + ".scope\n"}, ""},
		"a process of another's":          {mobysWeb, map[string]string{dockersWeb: dockerWeb, "/proc/7/attr/current": process, "/proc/7/cgroup": "0::/system.slice/docker-" + dbID + ".scope\n"}, "process 7"},
		"what cannot be read":             {mobysWeb, map[string]string{dockersWeb: dockerWeb, "/etc/docker/daemon.json": "{"}, "daemon.json"},
		"another pair is in nobody's way": {mobysWeb, map[string]string{dockersWeb: dockerWeb, podmans: strings.ReplaceAll(podmanDB, "c1,c2", "c1,c3")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			host := newHost(t)
			root := t.TempDir()
			host.Registry.Elsewhere = &mcs.Elsewhere{Root: root}
			putFile(t, root, "/sys/fs/selinux/enforce", "1")
			if err := os.MkdirAll(filepath.Join(root, "proc"), 0o755); err != nil {
				t.Fatal(err)
			}
			for path, text := range test.files {
				putFile(t, root, path, text)
			}
			holder := alive(t)
			holder.ID, holder.Runtime = webID+".1", "/run/engine"
			bundle := test.bundle
			if strings.HasPrefix(bundle, "/run/") || strings.HasPrefix(bundle, "/var/") {
				bundle = filepath.Join(root, bundle)
			}
			named := &plan.Plan{Container: webID, MCS: plan.MCS{Level: "s0:c1,c2", Shared: true}}
			_, held, err := host.HoldPair(named, holder, bundle)
			if (err != nil) != (test.refused != "") || held != (err == nil) || err != nil && !strings.Contains(err.Error(), test.refused) {
				t.Fatalf("held %v, %v", held, err)
			}
			var refused *plan.RefusedError
			if err != nil && test.refused != "daemon.json" && !errors.As(err, &refused) {
				t.Errorf("%v is no refusal", err)
			}
			if entries, err := host.Registry.List(); err != nil || (len(entries) == 1) != held {
				t.Errorf("the registry has %+v, %v", entries, err)
			}
			// On the command line it is named on purpose.
			if _, held, err := host.HoldPair(named, holder, ""); err != nil || !held {
				t.Errorf("named by the user: %v, %v", held, err)
			}
		})
	}
}

// A process that has the pair is taken for one of a container that the same engine has in the registry.
func TestTheRegistryAccountsForProcessesOfAnEnginesPair(t *testing.T) {
	host := newHost(t)
	root := t.TempDir()
	host.Registry.Elsewhere = &mcs.Elsewhere{Root: root}
	putFile(t, root, "/sys/fs/selinux/enforce", "1")
	putFile(t, root, "/proc/7/attr/current", process)
	named := &plan.Plan{Container: webID, MCS: plan.MCS{Level: "s0:c1,c2", Shared: true}}
	other, holder := alive(t), alive(t)
	other.ID, other.Runtime, holder.ID, holder.Runtime = "other", "/run/engine", "web", "/run/engine"
	if _, _, err := host.HoldPair(named, holder, "/srv/bundle"); err == nil || !strings.Contains(err.Error(), "process 7") {
		t.Errorf("nobody accounts for it: %v", err)
	}
	if err := host.Registry.Reserve(mcs.Pair{Low: 1, High: 2}, other, false); err != nil {
		t.Fatal(err)
	}
	if _, held, err := host.HoldPair(named, holder, "/srv/bundle"); err != nil || !held {
		t.Errorf("its own engine does: %v, %v", held, err)
	}
}

func putFile(t *testing.T, root, path, text string) {
	t.Helper()
	path = filepath.Join(root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

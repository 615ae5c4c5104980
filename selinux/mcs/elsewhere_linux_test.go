// SPDX-License-Identifier: Apache-2.0

package mcs

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func writeFile(t *testing.T, root, path, text string) {
	t.Helper()
	path = filepath.Join(root, path)
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(text), 0o644))
}

const runningDomain = `<domstatus state='running' reason='booted' pid='812'>
  <domain type='kvm' id='1'>
    <name>db</name>
    <devices><disk><source file='/srv/a'><seclabel model='selinux' relabel='yes'><label>system_u:object_r:svirt_image_t:s0:c31,c32</label></seclabel></source></disk></devices>
    <seclabel type='dynamic' model='dac' relabel='yes'><label>+64055:+64055</label><imagelabel>+64055:+64055</imagelabel></seclabel>
    <seclabel type='dynamic' model='selinux' relabel='yes'>
      <label>system_u:system_r:svirt_t:s0:c33,c34</label><imagelabel>system_u:object_r:svirt_image_t:s0:c33,c34</imagelabel>
    </seclabel>
  </domain>
</domstatus>`

func TestPairsThatOthersHaveAreFound(t *testing.T) {
	for name, test := range map[string]struct {
		path, text string
		want       string // each pair and what has it
	}{
		"docker": {"var/lib/docker/containers/4f/config.v2.json",
			`{"ID":"4f","Name":"/web","State":{"Running":false},"MountLabel":"system_u:object_r:container_file_t:s0:c1,c2","ProcessLabel":"system_u:system_r:container_t:s0:c2,c1"}`,
			`c1,c2 docker container "web"; c1,c2 docker container "web"`},
		"docker without labels": {"var/lib/docker/containers/4f/config.v2.json", `{"ID":"4f","MountLabel":"","ProcessLabel":""}`, ""},
		"podman": {"var/lib/containers/storage/overlay-containers/containers.json",
			`[{"id":"aa","names":["db"],"flags":{"MountLabel":"system_u:object_r:container_file_t:s0:c5,c9","ProcessLabel":"system_u:system_r:container_t:s0:c5,c9","Volatile":true}},{"id":"bb"}]`,
			`c5,c9 container "db" in storage; c5,c9 container "db" in storage`},
		"podman's volatile":     {"run/containers/storage/vfs-containers/volatile-containers.json", `[{"id":"aa","flags":{"ProcessLabel":"u:r:t:s0:c5.c6"}}]`, `c5,c6 container "aa" in storage`},
		"bundle of CRI-O":       {"var/lib/containers/storage/overlay-containers/aa/userdata/config.json", `{"process":{"selinuxLabel":"u:r:t:s0:c7,c8"},"linux":{"mountLabel":"u:object_r:t:s0:c7,c8"}}`, "c7,c8 container of bundle ROOT/var/lib/containers/storage/overlay-containers/aa/userdata/config.json; c7,c8 container of bundle ROOT/var/lib/containers/storage/overlay-containers/aa/userdata/config.json"},
		"bundle of containerd":  {"run/containerd/io.containerd.runtime.v2.task/k8s.io/aa/config.json", `{"process":{"selinuxLabel":"u:r:t:s0:c7,c8"}}`, "c7,c8 container of bundle ROOT/run/containerd/io.containerd.runtime.v2.task/k8s.io/aa/config.json"},
		"libvirt's running":     {"run/libvirt/qemu/db.xml", runningDomain, `c31,c32 libvirt domain "db"; c33,c34 libvirt domain "db"; c33,c34 libvirt domain "db"`},
		"libvirt's static":      {"etc/libvirt/qemu/vm.xml", "<domain><name>vm</name><seclabel type='static' model='selinux'><label>system_u:system_r:svirt_t:s0:c3,c4</label></seclabel></domain>", `c3,c4 libvirt domain "vm"`},
		"a process":             {"proc/77/attr/current", "system_u:system_r:container_t:s0:c100,c200\x00", "c100,c200 process 77"},
		"a process of all":      {"proc/1/attr/current", "system_u:system_r:init_t:s0-s0:c0.c1023\x00", ""},
		"a process without":     {"proc/1/attr/current", "system_u:system_r:init_t:s0\x00", ""},
		"a process of three":    {"proc/9/attr/current", "u:r:t:s0-s0:c1,c5,c9", "c1,c5 process 9; c1,c9 process 9; c5,c9 process 9"},
		"no process":            {"proc/self/attr/current", "u:r:t:s0:c1,c5", ""},
		"another module's word": {"proc/9/attr/current", "docker-default (enforce)\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			must(t, os.Mkdir(filepath.Join(root, "proc"), 0o755))
			writeFile(t, root, "sys/fs/selinux/enforce", "1")
			writeFile(t, root, test.path, test.text)
			found, err := Elsewhere{Root: root}.Uses()
			must(t, err)
			var lines []string
			for _, use := range found {
				lines = append(lines, use.Pair.String()+" "+strings.ReplaceAll(use.By, root, "ROOT"))
				if use.Path != filepath.Join(root, test.path) {
					t.Errorf("said by %s", use.Path)
				}
			}
			if got := strings.Join(lines, "; "); got != test.want {
				t.Errorf("got %q", got)
			}
		})
	}
}

// A volume has the pair of a container that may be gone: who got the pair could read it.
func TestLabelsOfEnginesVolumesAreFound(t *testing.T) {
	root := t.TempDir()
	for path, level := range map[string]string{"var/lib/docker/volumes/db/_data": "s0:c1,c2", "var/lib/containers/storage/volumes/web/_data": "s0:c3,c4",
		"var/lib/docker/volumes/shared/_data": "s0", "var/lib/docker/volumes/none/_data": ""} {
		path = filepath.Join(root, path)
		must(t, os.MkdirAll(path, 0o755))
		if level != "" {
			setLevel(t, path, level)
		}
	}
	writeFile(t, root, "var/lib/docker/volumes/metadata.db", "")
	found, err := Elsewhere{Root: root}.Uses()
	must(t, err)
	var lines []string
	for _, use := range found {
		lines = append(lines, use.Pair.String()+" "+use.By+" of "+use.Engine)
	}
	slices.Sort(lines)
	if got := strings.Join(lines, "; "); got != `c1,c2 docker volume "db" of docker; c3,c4 containers/storage volume "web" of containers/storage` {
		t.Errorf("got %s", got)
	}
	registry := newRegistry(t)
	registry.Low, registry.High, registry.Elsewhere = 1, 2, &Elsewhere{Root: root}
	if pair, err := registry.Take(self(t, "a")); !errors.Is(err, ErrFull) {
		t.Errorf("took %v, %v", pair, err)
	}
	setLevel(t, filepath.Join(root, "var/lib/docker/volumes/db/_data"), "s0")
	if pair, err := registry.Take(self(t, "a")); err != nil || pair != (Pair{1, 2}) {
		t.Errorf("relabelled: took %v, %v", pair, err)
	}
}

func TestConfiguredPlacesOfEnginesAreRead(t *testing.T) {
	root := t.TempDir()
	writeFile(t, root, "etc/docker/daemon.json", `{"data-root": "/srv/[d]*"}`)
	writeFile(t, root, "srv/[d]*/containers/4f/config.v2.json", `{"ProcessLabel":"u:r:t:s0:c1,c2"}`)
	writeFile(t, root, "etc/containers/storage.conf", "[storage]\n# graphroot = \"/no\"\ngraphroot = \"/srv/pods\"\n")
	writeFile(t, root, "srv/pods/overlay-containers/containers.json", `[{"id":"a","flags":{"ProcessLabel":"u:r:t:s0:c3,c4"}}]`)
	found, err := Elsewhere{Root: root}.Uses()
	if err != nil || len(found) != 2 || found[0].Pair != (Pair{1, 2}) || found[1].Pair != (Pair{3, 4}) {
		t.Errorf("got %+v, %v", found, err)
	}
}

func TestLinesOfStorageConfThatNameADirectory(t *testing.T) {
	for line, want := range map[string]string{
		`graphroot = "/srv/pods"`: "/srv/pods", ` runroot='/run/pods/' # here`: "/run/pods", `graphroot="/a b"`: "/a b",
		`# graphroot = "/no"`: "", `rootless_storage_path = "/no"`: "", `graphroot = "rel"`: "", `graphroot = "/open`: "", `graphroot =`: "", `graphroot`: "", "": "", `graphroot = "/a\tb"`: "",
	} {
		if got, ok := storageRoot(line); ok != (want != "") || ok && got != want {
			t.Errorf("%s: %q, %v", line, got, ok)
		}
	}
}

func TestNoPairIsGivenWhileARecordCannotBeRead(t *testing.T) {
	for path, text := range map[string]string{
		"var/lib/docker/containers/4f/config.v2.json":                   `{"ID":`,
		"var/lib/containers/storage/overlay-containers/containers.json": `{}`,
		"run/containerd/io.containerd.runtime.v2.task/a/b/config.json":  `[]`,
		"run/libvirt/qemu/vm.xml":                                       "<domain><name>vm",
		"etc/docker/daemon.json":                                        "data-root=/x",
	} {
		root := t.TempDir()
		writeFile(t, root, path, text)
		registry := newRegistry(t)
		registry.Elsewhere = &Elsewhere{Root: root}
		if pair, err := registry.Take(self(t, "a")); err == nil || !strings.Contains(err.Error(), filepath.Join(root, path)) {
			t.Errorf("%s: took %v, %v", path, pair, err)
		}
		checkEmpty(t, registry)
	}
}

func TestAPairThatOthersHaveIsNeverGiven(t *testing.T) {
	root, registry := t.TempDir(), newRegistry(t)
	registry.Low, registry.High, registry.Elsewhere = 0, 3, &Elsewhere{Root: root}
	writeFile(t, root, "var/lib/docker/containers/4f/config.v2.json", `{"ProcessLabel":"u:r:t:s0:c1,c2"}`)
	var got []Pair
	for range 5 {
		pair, err := registry.Take(self(t, "a"))
		must(t, err)
		got = append(got, pair)
	}
	if slices.Contains(got, Pair{1, 2}) {
		t.Error("docker's pair was given")
	}
	if pair, err := registry.Take(self(t, "a")); !errors.Is(err, ErrFull) {
		t.Errorf("took %v, %v", pair, err)
	}
	must(t, os.RemoveAll(filepath.Join(root, "var")))
	if pair, err := registry.Take(self(t, "a")); err != nil || pair != (Pair{1, 2}) {
		t.Errorf("took %v, %v", pair, err)
	}
	must(t, unix.Mkfifo(filepath.Join(root, "storage"), 0o600))
	must(t, os.MkdirAll(filepath.Join(root, "etc/docker"), 0o755))
	must(t, os.Rename(filepath.Join(root, "storage"), filepath.Join(root, "etc/docker/daemon.json")))
	if _, err := (Elsewhere{Root: root}).Uses(); err != nil {
		t.Errorf("a FIFO: %v", err)
	}
}

func FuzzStates(f *testing.F) {
	f.Add([]byte(runningDomain))
	f.Add([]byte(`{"ID":"4f","Name":"/web","ProcessLabel":"u:r:t:s0:c1.c9"}`))
	f.Add([]byte(`[{"id":"aa","names":["db"],"flags":{"ProcessLabel":"u:r:t:s0:c5,c9"}}]`))
	f.Add([]byte(`{"process":{"selinuxLabel":"u:r:t:s0:c7,c8"}}`))
	f.Add([]byte("</a><domain/>"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for format := range libvirtDomain + 1 {
			found, _ := format.uses("state", data)
			for _, use := range found {
				if err := use.Pair.check(); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

func TestAZombieHasNoPair(t *testing.T) {
	for state, want := range map[string]int{"Z": 0, "S": 1} {
		root := t.TempDir()
		writeFile(t, root, "sys/fs/selinux/enforce", "1")
		writeFile(t, root, "proc/77/attr/current", "system_u:system_r:container_t:s0:c100,c200\x00")
		writeFile(t, root, "proc/77/stat", "77 (sh) "+state+strings.Repeat(" 1", 25)+"\n")
		found, err := Elsewhere{Root: root}.Uses()
		must(t, err)
		if len(found) != want {
			t.Errorf("state %s: %v", state, found)
		}
	}
}

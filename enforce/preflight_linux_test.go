// SPDX-License-Identifier: Apache-2.0

package enforce

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/enforce/label"
	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/selinux/mcs"
)

func itoa(number int) string { return strconv.Itoa(number) }

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// newRegistry makes a registry in which the container "db" holds c3,c4.
func newRegistry(t *testing.T, volumes ...string) mcs.Registry {
	t.Helper()
	registry := mcs.Registry{Dir: filepath.Join(t.TempDir(), "mcs"), Proc: "/proc"}
	holder, err := mcs.Self("db")
	must(t, err)
	holder.Volumes = volumes
	must(t, registry.Reserve(mcs.Pair{Low: 3, High: 4}, holder, false))
	return registry
}

func TestLabelHolder(t *testing.T) {
	registry := newRegistry(t)
	dead := mcs.Holder{ID: "dead", PID: 1 << 22, StartTime: 1, BootID: "x"}
	must(t, registry.Reserve(mcs.Pair{Low: 7, High: 8}, dead, false))
	web, own := plan.Request{ID: "web"}, plan.Request{ID: "db"}
	named, engine, unlabelled := web, web, web
	named.Security.Label.Level = "s0:c4,c3"
	engine.Engine = &plan.EngineChoices{ProcessLabel: "system_u:system_r:container_t:s0:c3,c4"}
	unlabelled.Engine = &plan.EngineChoices{}
	for name, test := range map[string]struct {
		label  string
		asking plan.Request
		want   string
	}{
		"NamedByLevel":       {"system_u:object_r:container_file_t:s0:c3,c4\x00", named, ""},
		"NamedByTheEngine":   {"system_u:object_r:container_file_t:s0:c3,c4\x00", engine, ""},
		"EngineWithout":      {"system_u:object_r:container_file_t:s0:c3,c4\x00", unlabelled, "container db"},
		"AnothersPair":       {"system_u:object_r:container_file_t:s0:c3,c4\x00", web, "container db"},
		"AnothersWithoutNUL": {"system_u:object_r:container_file_t:s0:c3,c4", web, "container db"},
		"OwnPair":            {"system_u:object_r:container_file_t:s0:c3,c4\x00", own, ""},
		"HighLevelCounts":    {"system_u:object_r:container_file_t:s0-s0:c3,c4\x00", web, "container db"},
		"FreePair":           {"system_u:object_r:container_file_t:s0:c5,c6\x00", web, ""},
		"PairOfTheDead":      {"system_u:object_r:container_file_t:s0:c7,c8\x00", web, ""},
		"SharedLabel":        {"system_u:object_r:container_file_t:s0\x00", web, ""},
		"NoLevel":            {"system_u:object_r:container_file_t\x00", web, ""},
		"NoContext":          {"nonsense\x00", web, ""},
		"NoLabel":            {"", web, ""},
	} {
		path := filepath.Join(t.TempDir(), "volume")
		must(t, os.Mkdir(path, 0o755))
		if test.label != "" {
			must(t, unix.Setxattr(path, label.Attribute, []byte(test.label), 0))
		}
		volume := plan.Volume{Source: path}
		if err := surveyLabel(&volume, &test.asking, registry, test.asking.ID); err != nil || volume.Holder != test.want || volume.Own != strings.HasPrefix(name, "Named") {
			t.Errorf("%s: got %+v, %v", name, volume, err)
		}
	}
}

func TestUnreadablePairIsAnError(t *testing.T) {
	registry := newRegistry(t)
	entries, err := filepath.Glob(filepath.Join(registry.Dir, "*c3*"))
	if err != nil || len(entries) != 1 {
		t.Fatalf("%v, %v", entries, err)
	}
	must(t, os.WriteFile(entries[0], []byte("{"), 0o600))
	volume := t.TempDir()
	must(t, unix.Setxattr(volume, label.Attribute, []byte("system_u:object_r:container_file_t:s0:c3,c4\x00"), 0))
	if err := surveyLabel(&plan.Volume{Source: volume}, &plan.Request{ID: "web"}, registry, ""); err == nil {
		t.Error("no error")
	}
}

func TestSurveyFollowsVolumes(t *testing.T) {
	base := t.TempDir()
	claimed, free := filepath.Join(base, "claimed"), filepath.Join(base, "free")
	must(t, os.MkdirAll(filepath.Join(claimed, "deep"), 0o755), os.Mkdir(free, 0o755), os.Symlink(claimed, filepath.Join(base, "link")))
	registry := newRegistry(t, claimed)
	request := plan.Request{ID: "web", Volumes: []plan.Volume{{Source: filepath.Join(base, "link")}, {Source: filepath.Join(claimed, "deep")}, {Source: base}, {Source: free}, {Source: filepath.Join(base, "gone")}}}
	must(t, Survey(&request, registry, request.ID))
	want := []plan.Volume{{Source: claimed, Holder: "container db", HolderLevel: "s0:c3,c4"}, {Source: filepath.Join(claimed, "deep"), Holder: "container db", HolderLevel: "s0:c3,c4"}, {Source: base, Holder: "container db", HolderLevel: "s0:c3,c4"}, {Source: free}, {Source: filepath.Join(base, "gone")}}
	if !reflect.DeepEqual(request.Volumes, want) {
		t.Errorf("got %+v", request.Volumes)
	}
	loop := filepath.Join(base, "loop")
	must(t, os.Symlink(loop, loop))
	if err := Survey(&plan.Request{Volumes: []plan.Volume{{Source: loop}}}, registry, ""); err == nil || !strings.Contains(err.Error(), loop) {
		t.Errorf("a loop of links: %v", err)
	}
}

// A bind mount is another path to the same volume, and those who share the pair share the volume.
func TestSurveySeesThroughMountsAndPods(t *testing.T) {
	volume, bind := t.TempDir(), t.TempDir()
	must(t, unix.Mount(volume, bind, "", unix.MS_BIND, ""))
	t.Cleanup(func() { unix.Unmount(bind, unix.MNT_DETACH) })
	registry := newRegistry(t, volume)
	surveyed := func(request plan.Request) plan.Volume {
		t.Helper()
		request.Volumes = []plan.Volume{{Source: bind, Relabel: plan.RelabelPrivate}}
		must(t, Survey(&request, registry, "web"))
		return request.Volumes[0]
	}
	if got := surveyed(plan.Request{}); got.Holder != "container db" || got.HolderLevel != "s0:c3,c4" || got.Own {
		t.Errorf("got %+v", got)
	}
	pod, other := plan.Request{}, plan.Request{Engine: &plan.EngineChoices{ProcessLabel: "system_u:system_r:container_t:s0:c5,c6"}}
	pod.Security.Label.Level = "s0:c3,c4"
	if got := surveyed(pod); got.Holder != "" {
		t.Errorf("a container of the pod: %+v", got)
	}
	must(t, unix.Setxattr(volume, label.Attribute, []byte("system_u:object_r:container_file_t:s0:c5,c6\x00"), 0)) // by the engine, just now
	if got := surveyed(other); got.Holder != "container db" || !got.Own {
		t.Errorf("labelled by an engine: %+v", got)
	}
}

// A container of another engine has its volumes also when it does not run.
func TestSurveyNamesContainersOfOtherEngines(t *testing.T) {
	root, volume := t.TempDir(), t.TempDir()
	docker := filepath.Join(root, "var/lib/docker/containers/4f")
	must(t, os.MkdirAll(docker, 0o700), os.WriteFile(filepath.Join(docker, "config.v2.json"), []byte(`{"ID":"4f","Name":"/db","ProcessLabel":"u:r:t:s0:c5,c6","MountLabel":"u:r:t:s0:c5,c6"}`), 0o600),
		unix.Setxattr(volume, label.Attribute, []byte("system_u:object_r:container_file_t:s0:c5,c6\x00"), 0))
	registry := mcs.Registry{Dir: filepath.Join(t.TempDir(), "mcs"), Elsewhere: &mcs.Elsewhere{Root: root}}
	request := plan.Request{Volumes: []plan.Volume{{Source: volume}}}
	must(t, Survey(&request, registry, "web"))
	if got := request.Volumes[0]; got.Holder != `docker container "db"` || got.HolderLevel != "s0:c5,c6" {
		t.Errorf("got %+v", got)
	}
	// One that is gone has left the label, on this very volume.
	data := filepath.Join(root, "var/lib/docker/volumes/data/_data")
	must(t, os.RemoveAll(docker), os.MkdirAll(data, 0o700), unix.Setxattr(data, label.Attribute, []byte("system_u:object_r:container_file_t:s0:c5,c6\x00"), 0))
	request = plan.Request{Volumes: []plan.Volume{{Source: data}}}
	must(t, Survey(&request, registry, "web"))
	if got := request.Volumes[0]; got.Holder != "" {
		t.Errorf("a volume of an engine is in its own way: %+v", got)
	}
}

func TestSurveyRecognisesTheHostsNamespaces(t *testing.T) {
	registry := mcs.Registry{Dir: filepath.Join(t.TempDir(), "mcs")}
	for name, test := range map[string]struct {
		joined []string
		want   plan.Namespaces
	}{
		"Nothing":     {nil, plan.Namespaces{}},
		"HostPID":     {[]string{"/proc/self/ns/pid"}, plan.Namespaces{HostPID: true}},
		"HostNetwork": {[]string{"/proc/self/ns/net"}, plan.Namespaces{HostNetwork: true}},
		"HostIPC":     {[]string{"/proc/self/ns/ipc", "/proc/self/ns/uts"}, plan.Namespaces{HostIPC: true}},
		"Another":     {[]string{networkNamespace(t)}, plan.Namespaces{}},
	} {
		request := plan.Request{Namespaces: plan.Namespaces{Joined: test.joined}}
		must(t, Survey(&request, registry, request.ID))
		test.want.Joined = test.joined
		if !reflect.DeepEqual(request.Namespaces, test.want) {
			t.Errorf("%s: got %+v", name, request.Namespaces)
		}
	}
	if err := Survey(&plan.Request{Namespaces: plan.Namespaces{Joined: []string{"/proc/self/ns/gone"}}}, registry, ""); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "/proc/self/ns/gone") {
		t.Errorf("got %v", err)
	}
}

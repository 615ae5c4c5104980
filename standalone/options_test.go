// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/plan"
)

// wantUsage fails unless err is a *UsageError of that option whose hint holds the text.
func wantUsage(t *testing.T, err error, option, hint string) {
	t.Helper()
	var wrong *UsageError
	if !errors.As(err, &wrong) {
		t.Fatalf("error %v, want a *UsageError", err)
	}
	if wrong.Option != option || !strings.Contains(wrong.Hint, hint) || wrong.Reason == "" {
		t.Fatalf("got %+v, want option %s and a hint with %q", *wrong, option, hint)
	}
}

func TestMemorySizes(t *testing.T) {
	for text, want := range map[string]int64{
		"512m": 512 << 20, "512M": 512 << 20, "512mb": 512 << 20, "512MiB": 512 << 20, "1.5g": 3 << 29, "6291456": 6 << 20, "6291456b": 6 << 20,
		"65536k": 64 << 20, "1t": 1 << 40,
	} {
		if got, err := ParseMemory(text); err != nil || got != want {
			t.Errorf("%s: got %d, %v; want %d", text, got, err, want)
		}
	}
	for text, hint := range map[string]string{
		"": "512m", "m": "512m", "512x": "512m", "-1g": "512m", "1.2.3g": "512m", "512i": "512m", "512 m": "512m", "1e9": "512m", "nan": "512m",
		"0x10m": "512m", "5m": "6m", "0": "6m", "9999999999t": "512m", strings.Repeat("9", 400) + "m": "512m",
	} {
		t.Run("refuses "+text[:min(len(text), 20)], func(t *testing.T) {
			_, err := ParseMemory(text)
			wantUsage(t, err, "--memory", hint)
		})
	}
}

func TestPidsLimits(t *testing.T) {
	for text, want := range map[string]int64{"100": 100, "0": 0, "-1": 0} {
		if got, err := ParsePidsLimit(text); err != nil || got != want {
			t.Errorf("%s: got %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "many", "-2", "1k"} {
		_, err := ParsePidsLimit(text)
		wantUsage(t, err, "--pids-limit", "")
	}
}

func TestVolumes(t *testing.T) {
	for text, want := range map[string]plan.Volume{
		"/a:/b":          {Source: "/a", Destination: "/b"},
		"/a/:/b//c/":     {Source: "/a", Destination: "/b/c"},
		"/a:/b:ro":       {Source: "/a", Destination: "/b", ReadOnly: true},
		"/a:/b:rw,z":     {Source: "/a", Destination: "/b", Relabel: plan.RelabelShared},
		"/a:/b:Z,ro,U":   {Source: "/a", Destination: "/b", ReadOnly: true, Relabel: plan.RelabelPrivate, Chown: true},
		"/a b:/ü,c:ro":   {Source: "/a b", Destination: "/ü,c", ReadOnly: true},
		"/a/../etc:/etc": {Source: "/etc", Destination: "/etc"},
	} {
		if got, err := ParseVolume(text); err != nil || got != want {
			t.Errorf("%s: got %+v, %v; want %+v", text, got, err, want)
		}
	}
	for text, hint := range map[string]string{
		"": "SOURCE:DESTINATION", "/a": "SOURCE:DESTINATION", "/a:/b:ro:x": "SOURCE:DESTINATION", "data:/b": "named volumes", "./a:/b": "absolute",
		"/a:b": "below", "/a:/": "below", "/a:/b/..": "below", "/a:/x/../b": "below", "/a:/b:": "options are", "/a:/b:RO": "options are",
		"/a:/b:ro,rw": "one of the two", "/a:/b:z,Z": "one of the two",
	} {
		t.Run("refuses "+text, func(t *testing.T) {
			_, err := ParseVolume(text)
			wantUsage(t, err, "--volume", hint)
		})
	}
}

func TestTmpfs(t *testing.T) {
	for text, want := range map[string]Tmpfs{
		"/run":                                 {"/run", []string{"noexec", "nosuid", "nodev"}},
		"/run/:size=64m,mode=1777":             {"/run", []string{"size=64m", "mode=1777", "noexec", "nosuid", "nodev"}},
		"/x:exec,suid,dev,ro":                  {"/x", []string{"exec", "suid", "dev", "ro"}},
		"/x:size=50%,uid=1,gid=2,nr_inodes=4k": {"/x", []string{"size=50%", "uid=1", "gid=2", "nr_inodes=4k", "noexec", "nosuid", "nodev"}},
	} {
		if got, err := ParseTmpfs(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"run", "", "/", "/a:size=", "/a:nr_inodes=k", "/a:size=6mm", "/a:mode=9", "/a:mode=77777", "/a:bind", "/a:", "/a:context=x", "/a:uid=-1"} {
		t.Run("refuses "+text, func(t *testing.T) {
			_, err := ParseTmpfs(text)
			wantUsage(t, err, "--tmpfs", "")
		})
	}
}

func TestCapabilityNames(t *testing.T) {
	for text, want := range map[string]string{
		"NET_ADMIN": "CAP_NET_ADMIN", "net_admin": "CAP_NET_ADMIN", "CAP_NET_ADMIN": "CAP_NET_ADMIN", "cap_sys_time": "CAP_SYS_TIME", "all": "ALL",
	} {
		if got, err := ParseCapability("--cap-add", text); err != nil || got != want {
			t.Errorf("%s: got %s, %v; want %s", text, got, err, want)
		}
	}
	for text, hint := range map[string]string{"SYS_ADMN": "SYS_ADMIN", "NETADMIN": "NET_ADMIN", "": "", "xyzzyplugh": "capabilities(7)", "CAP_ALL": ""} {
		_, err := ParseCapability("--cap-drop", text)
		wantUsage(t, err, "--cap-drop", hint)
	}
}

func TestEnvironmentTakesBareNamesFromTheCaller(t *testing.T) {
	lookup := func(name string) (string, bool) { return "here=1", name == "SET" }
	got, err := ResolveEnvironment([]string{"A=b=c", "SET", "UNSET", "EMPTY="}, lookup)
	if want := []string{"A=b=c", "SET=here=1", "UNSET", "EMPTY="}; err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %q, %v; want %q", got, err, want)
	}
	for _, item := range []string{"", "=x", "A=\x00"} {
		_, err := ResolveEnvironment([]string{item}, lookup)
		wantUsage(t, err, "--env", "NAME=VALUE")
	}
}

func TestAnnotations(t *testing.T) {
	if key, value, err := ParseAnnotation("a.b/c=d=e"); key != "a.b/c" || value != "d=e" || err != nil {
		t.Fatalf("got %q, %q, %v", key, value, err)
	}
	for _, text := range []string{"", "a", "=b"} {
		_, _, err := ParseAnnotation(text)
		wantUsage(t, err, "--annotation", "KEY=VALUE")
	}
	_, _, err := ParseAnnotation("org.bulkhead.landlock=unconfined")
	wantUsage(t, err, "--annotation", "--security-opt landlock=unconfined")
}

func TestOptionsThatCannotBeHonoured(t *testing.T) {
	cases := map[string]struct {
		change       func(*Options)
		option, hint string
	}{
		"no image":                      {func(o *Options) { o.Image = "" }, "IMAGE", "bulkhead run"},
		"image and directory":           {func(o *Options) { o.RootFS = "/r" }, "--rootfs", "one of the two"},
		"relative directory":            {func(o *Options) { o.Image, o.RootFS = "", "r" }, "--rootfs", "absolute"},
		"bridge network":                {func(o *Options) { o.Network = "bridge" }, "--network", "--network none"},
		"another container's processes": {func(o *Options) { o.PID = "container:x" }, "--pid", "--pid host"},
		"shareable IPC":                 {func(o *Options) { o.IPC = "shareable" }, "--ipc", "--ipc host"},
		"host name with a blank":        {func(o *Options) { o.Hostname = "a b" }, "--hostname", "letters"},
		"host name of 65 bytes":         {func(o *Options) { o.Hostname = strings.Repeat("a", 65) }, "--hostname", "64"},
		"name that is a path":           {func(o *Options) { o.Name = "../x" }, "--name", "starting"},
		"relative working directory":    {func(o *Options) { o.WorkDir = "tmp" }, "--workdir", "root"},
		"capability added and dropped":  {func(o *Options) { o.CapAdd, o.CapDrop = []string{"CAP_KILL"}, []string{"CAP_KILL"} }, "--cap-add", "one"},
		"privileged without some":       {func(o *Options) { o.Privileged, o.CapDrop = true, []string{"CAP_KILL"} }, "--cap-drop", "--privileged"},
		"two mounts at one place": {func(o *Options) {
			o.Volumes, o.Tmpfs = []plan.Volume{{Source: "/a", Destination: "/b"}}, []Tmpfs{{Destination: "/b"}}
		}, "--tmpfs", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			options := Options{Image: "x"}
			if err := options.Check(); err != nil {
				t.Fatalf("before the change: %v", err)
			}
			c.change(&options)
			wantUsage(t, options.Check(), c.option, c.hint)
		})
	}
}

func FuzzOptionParsers(f *testing.F) {
	for _, seed := range []string{"512m", "/a:/b:ro,Z", "/run:size=64m", "NET_ADMIN", "2026-01-02", "alice:0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if bytes, err := ParseMemory(text); err == nil && bytes < minMemory {
			t.Errorf("memory %d", bytes)
		}
		if volume, err := ParseVolume(text); err == nil && (volume.Source[0] != '/' || volume.Destination[0] != '/' || volume.Destination == "/") {
			t.Errorf("volume %+v", volume)
		}
		if tmpfs, err := ParseTmpfs(text); err == nil && (tmpfs.Destination[0] != '/' || len(tmpfs.Options) == 0) {
			t.Errorf("tmpfs %+v", tmpfs)
		}
		if name, err := ParseCapability("--cap-add", text); err == nil && name != "ALL" && !strings.HasPrefix(name, "CAP_") {
			t.Errorf("capability %q", name)
		}
	})
}

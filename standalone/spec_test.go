// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bulkhead-project/bulkhead/kernel"
	"github.com/bulkhead-project/bulkhead/plan"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var (
	testImage = v1.Config{Entrypoint: []string{"/entry"}, Cmd: []string{"default"}, Env: []string{"PATH=/image", "LANG=C"}, WorkingDir: "/srv"}
	testHost  = HostFacts{Capabilities: plan.CapabilityNames(), CgroupNamespace: true, CgroupV2: true, SwapLimit: true, ThermalThrottle: []string{"/sys/devices/system/cpu/cpu0/thermal_throttle"}}
)

// specOf makes the config of an image with everything default but what change sets.
func specOf(t *testing.T, change func(*Options)) *specs.Spec {
	t.Helper()
	options := Options{Image: "x", Hostname: "c1"}
	change(&options)
	spec, err := Spec(options, testImage, "/state/merged", User{Home: "/root"}, testHost)
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

func unchanged(*Options) {}

func TestDefaultConfigIsTheGoldenOne(t *testing.T) {
	got, err := json.MarshalIndent(specOf(t, unchanged), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	const golden = "testdata/default.json"
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("the default config has changed; look at it and run go test -update\n%s", got)
	}
}

func TestArgumentsJoinAsInDocker(t *testing.T) {
	none, own := "", "/own"
	cases := map[string]struct {
		entrypoint *string
		command    []string
		want       []string
	}{
		"the image's own":                        {nil, nil, []string{"/entry", "default"}},
		"a command replaces the image's":         {nil, []string{"a", "b"}, []string{"/entry", "a", "b"}},
		"an entrypoint drops the command":        {&own, nil, []string{"/own"}},
		"an entrypoint and a command":            {&own, []string{"a"}, []string{"/own", "a"}},
		"no entrypoint, the command alone":       {&none, []string{"a"}, []string{"a"}},
		"an empty argument is still an argument": {nil, []string{"", "b"}, []string{"/entry", "", "b"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := specOf(t, func(o *Options) { o.Entrypoint, o.Command = c.entrypoint, c.command }).Process.Args
			if !reflect.DeepEqual(got, c.want) {
				t.Fatalf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestConfigsThatCannotBeMade(t *testing.T) {
	none := ""
	cases := map[string]struct {
		options Options
		image   v1.Config
		option  string
	}{
		"no program":                  {Options{RootFS: "/r"}, v1.Config{}, "COMMAND"},
		"entrypoint cleared, nothing": {Options{Image: "x", Entrypoint: &none}, testImage, "COMMAND"},
		"empty program":               {Options{RootFS: "/r", Command: []string{""}}, v1.Config{}, "COMMAND"},
		"zero byte in an argument":    {Options{RootFS: "/r", Command: []string{"a", "\x00"}}, v1.Config{}, "COMMAND"},
		"image's relative directory":  {Options{Image: "x", Command: []string{"a"}}, v1.Config{WorkingDir: "srv"}, "--workdir"},
		"options unchecked":           {Options{Image: "x", Network: "bridge"}, testImage, "--network"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := Spec(c.options, c.image, "/r", User{}, testHost)
			wantUsage(t, err, c.option, "")
		})
	}
}

func TestWritableCgroupsNeedCgroupV2(t *testing.T) {
	options := Options{Image: "x", Security: plan.SecurityOptions{WritableCgroups: true}}
	if _, err := Spec(options, testImage, "/r", User{}, HostFacts{CgroupNamespace: true}); !errors.Is(err, kernel.ErrNotSupported) {
		t.Fatalf("on cgroup v1: %v, want ErrNotSupported", err)
	}
	if got := mountAt(t, specOf(t, func(o *Options) { o.Security = options.Security }), "/sys/fs/cgroup").Options; !slices.Contains(got, "rw") {
		t.Fatalf("on cgroup v2: %q, want rw", got)
	}
}

func TestUserOverridesImageAndImageOverridesDefaults(t *testing.T) {
	got := specOf(t, func(o *Options) {
		o.TTY = true
		o.Environment = []string{"LANG=de", "NEW=1", "HOSTNAME", "ABSENT", "NEW=2"}
	}).Process.Env
	if want := []string{"PATH=/image", "TERM=xterm", "HOME=/root", "LANG=de", "NEW=2"}; !reflect.DeepEqual(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func TestCapabilities(t *testing.T) {
	cases := map[string]struct {
		change   func(*Options)
		has, not string
		count    int
	}{
		"default":              {unchanged, "CAP_CHOWN", "CAP_SYS_ADMIN", 14},
		"one more":             {func(o *Options) { o.CapAdd = []string{"CAP_NET_ADMIN"} }, "CAP_NET_ADMIN", "CAP_SYS_ADMIN", 15},
		"one less":             {func(o *Options) { o.CapDrop = []string{"CAP_MKNOD"} }, "CAP_CHOWN", "CAP_MKNOD", 13},
		"none":                 {func(o *Options) { o.CapDrop = []string{"ALL"} }, "", "CAP_CHOWN", 0},
		"only one":             {func(o *Options) { o.CapDrop, o.CapAdd = []string{"ALL"}, []string{"CAP_BPF"} }, "CAP_BPF", "CAP_CHOWN", 1},
		"all":                  {func(o *Options) { o.CapAdd = []string{"ALL"} }, "CAP_SYS_ADMIN", "", 41},
		"all but one":          {func(o *Options) { o.CapAdd, o.CapDrop = []string{"ALL"}, []string{"CAP_BPF"} }, "CAP_PERFMON", "CAP_BPF", 40},
		"privileged":           {func(o *Options) { o.Privileged = true }, "CAP_SYS_ADMIN", "", 41},
		"a default one, again": {func(o *Options) { o.CapAdd = []string{"CAP_CHOWN"} }, "CAP_CHOWN", "CAP_SYS_ADMIN", 14},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := specOf(t, c.change).Process.Capabilities
			if len(got.Bounding) != c.count || c.has != "" && !slices.Contains(got.Bounding, c.has) || slices.Contains(got.Bounding, c.not) {
				t.Fatalf("got %d: %q", len(got.Bounding), got.Bounding)
			}
			if !reflect.DeepEqual(got.Permitted, got.Bounding) || !reflect.DeepEqual(got.Effective, got.Bounding) || got.Inheritable != nil || got.Ambient != nil {
				t.Fatalf("the sets of root differ: %+v", got)
			}
		})
	}
}

func TestAllCapabilitiesAreThoseThatTheHostCanGive(t *testing.T) {
	host := HostFacts{Capabilities: []string{"CAP_CHOWN", "CAP_SYS_ADMIN"}}
	spec, err := Spec(Options{Image: "x", Privileged: true, CapAdd: []string{"CAP_BPF"}}, testImage, "/r", User{}, host)
	if err != nil {
		t.Fatal(err)
	}
	got := spec.Process.Capabilities.Bounding
	if len(got) != 16 || !slices.Contains(got, "CAP_SYS_ADMIN") || !slices.Contains(got, "CAP_BPF") || slices.Contains(got, "CAP_PERFMON") {
		t.Fatalf("got %q, want the default ones, CAP_SYS_ADMIN and, since it is named, CAP_BPF", got)
	}
}

func TestOrdinaryUserStartsWithoutCapabilities(t *testing.T) {
	user := User{UID: 1000, GID: 100, AdditionalGroups: []uint32{5, 6}, Home: "/home/a"}
	spec, err := Spec(Options{Image: "x"}, testImage, "/r", user, testHost)
	if err != nil {
		t.Fatal(err)
	}
	sets := spec.Process.Capabilities
	if len(sets.Bounding) != 14 || sets.Permitted != nil || sets.Effective != nil || sets.Inheritable != nil || sets.Ambient != nil {
		t.Fatalf("got %+v", sets)
	}
	if want := (specs.User{UID: 1000, GID: 100, AdditionalGids: []uint32{5, 6}}); !reflect.DeepEqual(spec.Process.User, want) {
		t.Fatalf("user %+v, want %+v", spec.Process.User, want)
	}
}

func TestNamespaces(t *testing.T) {
	kinds := func(change func(*Options)) string {
		var list []string
		for _, namespace := range specOf(t, change).Linux.Namespaces {
			list = append(list, string(namespace.Type))
		}
		return strings.Join(list, " ")
	}
	for want, change := range map[string]func(*Options){
		"mount uts network pid ipc cgroup": unchanged,
		"mount uts pid ipc cgroup":         func(o *Options) { o.Network = ShareHost },
		"mount uts network ipc cgroup":     func(o *Options) { o.PID = ShareHost },
		"mount uts network pid cgroup":     func(o *Options) { o.IPC = ShareHost },
	} {
		if got := kinds(change); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	old, err := Spec(Options{Image: "x"}, testImage, "/r", User{}, HostFacts{})
	if err != nil || len(old.Linux.Namespaces) != 5 {
		t.Errorf("without cgroup namespaces: %v, %v", old.Linux.Namespaces, err)
	}
}

// mountAt fails unless exactly one mount has that place.
func mountAt(t *testing.T, spec *specs.Spec, destination string) specs.Mount {
	t.Helper()
	var found []specs.Mount
	for _, mount := range spec.Mounts {
		if mount.Destination == destination {
			found = append(found, mount)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d mounts at %s: %v", len(found), destination, found)
	}
	return found[0]
}

func TestMountOptions(t *testing.T) {
	volume := func(volume plan.Volume) func(*Options) { return func(o *Options) { o.Volumes = []plan.Volume{volume} } }
	security := func(security plan.SecurityOptions) func(*Options) { return func(o *Options) { o.Security = security } }
	cases := map[string]struct {
		change    func(*Options)
		at, wants string // options, in order
	}{
		"proc by default":           {unchanged, "/proc", "nosuid noexec nodev"},
		"proc with more":            {security(plan.SecurityOptions{ProcOptions: []string{"hidepid=2", "nosuid"}}), "/proc", "noexec nodev hidepid=2 nosuid"},
		"proc executable":           {security(plan.SecurityOptions{ProcOptions: []string{"exec"}}), "/proc", "nosuid nodev exec"},
		"sysfs read-only":           {unchanged, "/sys", "nosuid noexec nodev ro"},
		"sysfs privileged":          {func(o *Options) { o.Privileged = true }, "/sys", "nosuid noexec nodev rw"},
		"cgroups read-only":         {unchanged, "/sys/fs/cgroup", "nosuid noexec nodev ro"},
		"cgroups unmasked":          {security(plan.SecurityOptions{Unmask: []string{"/sys/fs/*"}}), "/sys/fs/cgroup", "nosuid noexec nodev rw"},
		"cgroups privileged":        {func(o *Options) { o.Privileged = true }, "/sys/fs/cgroup", "nosuid noexec nodev rw"},
		"shared memory of 64 MiB":   {unchanged, "/dev/shm", "nosuid noexec nodev mode=1777 size=65536k"},
		"shared memory of the host": {func(o *Options) { o.IPC = ShareHost }, "/dev/shm", "rbind nosuid noexec nodev rw"},
		"volume":                    {volume(plan.Volume{Source: "/a", Destination: "/b"}), "/b", "rbind rprivate rw"},
		"read-only volume":          {volume(plan.Volume{Source: "/a", Destination: "/b", ReadOnly: true}), "/b", "rbind rprivate ro rro"},
		"volume instead of shm":     {volume(plan.Volume{Source: "/a", Destination: "/dev/shm"}), "/dev/shm", "rbind rprivate rw"},
		"file system in memory":     {func(o *Options) { o.Tmpfs = []Tmpfs{{"/run", []string{"size=1m"}}} }, "/run", "size=1m"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := strings.Join(mountAt(t, specOf(t, c.change), c.at).Options, " "); got != c.wants {
				t.Fatalf("got %q, want %q", got, c.wants)
			}
		})
	}
}

func TestOuterMountsComeBeforeInnerOnes(t *testing.T) {
	spec := specOf(t, func(o *Options) {
		o.Volumes = []plan.Volume{{Source: "/1", Destination: "/data/a/b"}, {Source: "/2", Destination: "/data"}}
		o.Tmpfs = []Tmpfs{{Destination: "/data/a"}}
	})
	var places []string
	for _, mount := range spec.Mounts[len(spec.Mounts)-3:] {
		places = append(places, mount.Destination)
	}
	if want := []string{"/data", "/data/a", "/data/a/b"}; !reflect.DeepEqual(places, want) {
		t.Fatalf("got %q, want %q", places, want)
	}
}

func TestSystemPaths(t *testing.T) {
	cases := map[string]struct {
		security             plan.SecurityOptions
		privileged           bool
		masked, readOnly     int
		maskedHas, maskedNot string
	}{
		"default":              {plan.SecurityOptions{}, false, 13, 5, "/sys/devices/system/cpu/cpu0/thermal_throttle", "/proc/sys"},
		"one more":             {plan.SecurityOptions{Mask: []string{"/x"}}, false, 14, 5, "/x", "/y"},
		"one again":            {plan.SecurityOptions{Mask: []string{"/proc/keys"}}, false, 13, 5, "/proc/keys", "/y"},
		"one less":             {plan.SecurityOptions{Unmask: []string{"/proc/keys"}}, false, 12, 5, "/proc/acpi", "/proc/keys"},
		"one writable":         {plan.SecurityOptions{Unmask: []string{"/proc/sys"}}, false, 13, 4, "/proc/keys", "/proc/sys"},
		"by pattern":           {plan.SecurityOptions{Unmask: []string{"/proc/*"}}, false, 3, 0, "/sys/firmware", "/proc/keys"},
		"all open":             {plan.SecurityOptions{Unmask: []string{"ALL"}}, false, 0, 0, "", "/proc/keys"},
		"all open but one":     {plan.SecurityOptions{Unmask: []string{"ALL"}, Mask: []string{"/x"}}, false, 1, 0, "/x", "/proc/keys"},
		"unconfined":           {plan.SecurityOptions{UnconfinedPaths: true}, false, 0, 0, "", "/proc/keys"},
		"privileged":           {plan.SecurityOptions{}, true, 0, 0, "", "/proc/keys"},
		"privileged but for x": {plan.SecurityOptions{Mask: []string{"/x"}}, true, 1, 0, "/x", "/proc/keys"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			linux := specOf(t, func(o *Options) { o.Security, o.Privileged = c.security, c.privileged }).Linux
			if len(linux.MaskedPaths) != c.masked || len(linux.ReadonlyPaths) != c.readOnly {
				t.Fatalf("%d masked, want %d: %q; %d read-only, want %d: %q",
					len(linux.MaskedPaths), c.masked, linux.MaskedPaths, len(linux.ReadonlyPaths), c.readOnly, linux.ReadonlyPaths)
			}
			if c.maskedHas != "" && !slices.Contains(linux.MaskedPaths, c.maskedHas) || slices.Contains(linux.MaskedPaths, c.maskedNot) {
				t.Fatalf("masked: %q", linux.MaskedPaths)
			}
		})
	}
}

func TestResources(t *testing.T) {
	limits := specOf(t, func(o *Options) { o.Memory, o.PidsLimit = 64<<20, 10 }).Linux.Resources
	if *limits.Memory.Limit != 64<<20 || *limits.Memory.Swap != 128<<20 || *limits.Pids.Limit != 10 {
		t.Fatalf("got %+v, %+v", limits.Memory, limits.Pids)
	}
	if first := limits.Devices[0]; first.Allow || first.Type != "" || first.Major != nil || first.Access != "rwm" {
		t.Fatalf("devices are not denied first: %+v", first)
	}
	free := specOf(t, func(o *Options) { o.Privileged = true }).Linux.Resources
	if free.Memory != nil || free.Pids != nil || len(free.Devices) != 1 || !free.Devices[0].Allow {
		t.Fatalf("privileged: %+v", free)
	}
}

func TestFlagsReachTheConfig(t *testing.T) {
	spec := specOf(t, func(o *Options) {
		o.ReadOnly, o.TTY, o.WorkDir, o.Annotations = true, true, "/w/", map[string]string{"k": "v"}
		o.Security.NoNewPrivileges = true
	})
	if !spec.Root.Readonly || !spec.Process.Terminal || spec.Process.Cwd != "/w" || spec.Annotations["k"] != "v" || !spec.Process.NoNewPrivileges {
		t.Fatalf("got %+v, %+v", spec, spec.Process)
	}
	if spec.Process.SelinuxLabel != "" || spec.Process.ApparmorProfile != "" || spec.Linux.Seccomp != nil || spec.Linux.MountLabel != "" {
		t.Fatal("a layer of confinement is set here")
	}
}

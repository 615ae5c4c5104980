// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/test/harness"
)

const sharedLabel = "system_u:object_r:container_file_t:s0"

var privateLabel = regexp.MustCompile(`^system_u:object_r:container_file_t:s0:c[0-9]+,c[0-9]+$`)

// labelOf is the label that a file has, "" for none.
func labelOf(t *testing.T, path string) string {
	t.Helper()
	text := make([]byte, 4096)
	size, err := unix.Lgetxattr(path, "security.selinux", text)
	if errors.Is(err, unix.ENODATA) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimRight(string(text[:size]), "\x00")
}

// newVolume makes a directory with files: a, inner and inner/b.
func newVolume(t *testing.T) string {
	t.Helper()
	volume := filepath.Join(t.TempDir(), "volume")
	for _, err := range []error{os.MkdirAll(filepath.Join(volume, "inner"), 0o755), os.WriteFile(filepath.Join(volume, "a"), []byte("a\n"), 0o644), os.WriteFile(filepath.Join(volume, "inner/b"), nil, 0o644)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return volume
}

// labelsIn lists the different labels of a tree.
func labelsIn(t *testing.T, volume string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(volume, func(path string, _ fs.DirEntry, err error) error {
		if label := labelOf(t, path); !slices.Contains(found, label) {
			found = append(found, label)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// background starts a container that stays until the end of the test, and returns its ID.
func background(t *testing.T, root string, options ...string) string {
	t.Helper()
	id := strings.TrimSpace(must(t, append(append([]string{"run", "-d", "--rootfs", root}, options...), "sleep", "600")...))
	t.Cleanup(func() { exec.Command(harness.Binary(t), "rm", "-f", id).Run() })
	return id
}

// refused wants exit status 4, those words, and a hint.
func refused(t *testing.T, got result, words ...string) {
	t.Helper()
	for _, word := range append(words, "bulkhead: hint: ") {
		if got.status != 4 || !strings.Contains(got.stderr, word) {
			t.Errorf("want status 4 and %q, got %+v", word, got)
		}
	}
}

func TestVolumesAreLabelledAsAsked(t *testing.T) {
	root := harness.RootFS(t)
	for name, test := range map[string]struct {
		option string
		script string
		want   string // stdout
		label  *regexp.Regexp
		owner  uint32
	}{
		"Nothing":          {"", "cat /v/a; echo new >/v/new && echo written", "a\nwritten\n", regexp.MustCompile("^$"), 0},
		"Shared":           {":z", "echo new >/v/new && echo written", "written\n", regexp.MustCompile("^" + sharedLabel + "$"), 0},
		"SharedReadOnly":   {":z,ro", "cat /v/a; echo new >/v/new || echo refused", "a\nrefused\n", regexp.MustCompile("^" + sharedLabel + "$"), 0},
		"PrivateReadOnly":  {":ro,Z", "cat /v/a; echo new >/v/new || echo refused", "a\nrefused\n", privateLabel, 0},
		"Owner":            {":U", "stat -c %u:%g /v/inner/b", "7:8\n", regexp.MustCompile("^$"), 7},
		"PrivateAndOwner":  {":Z,U", "stat -c %u:%g /v/a; echo x >/v/a && echo written", "7:8\nwritten\n", privateLabel, 7},
		"OwnerAndReadOnly": {":ro,U", "stat -c %u:%g /v/a", "7:8\n", regexp.MustCompile("^$"), 7},
	} {
		t.Run(name, func(t *testing.T) {
			volume := newVolume(t)
			options := []string{"run", "--rm", "--rootfs", root, "-v", volume + ":/v" + test.option}
			if test.owner != 0 {
				options = append(options, "-u", "7:8")
			}
			got := bulkhead(t, "", append(options, "sh", "-c", "("+test.script+") 2>/dev/null")...)
			if got.status != 0 || got.stdout != test.want {
				t.Errorf("got %+v", got)
			}
			for _, name := range []string{"", "a", "inner", "inner/b"} {
				path := filepath.Join(volume, name)
				var stat unix.Stat_t
				if err := unix.Lstat(path, &stat); err != nil || stat.Uid != test.owner || !test.label.MatchString(labelOf(t, path)) {
					t.Errorf("%s: owner %d, label %q, %v", path, stat.Uid, labelOf(t, path), err)
				}
			}
			if test.option == "" {
				return
			}
			must(t, "label", "undo", volume)
			var stat unix.Stat_t
			if err := unix.Stat(filepath.Join(volume, "a"), &stat); err != nil || stat.Uid != 0 || labelOf(t, filepath.Join(volume, "a")) != "" {
				t.Errorf("after undo: owner %d, label %q, %v", stat.Uid, labelOf(t, volume), err)
			}
		})
	}
}

// A private volume is its container's by every path that leads to it, and what is above and below it too.
func TestPrivateVolumeIsNotTakenByAnyPath(t *testing.T) {
	root, volume, other := harness.RootFS(t), newVolume(t), filepath.Join(t.TempDir(), "bind")
	if err := errors.Join(os.Mkdir(other, 0o755), unix.Mount(volume, other, "", unix.MS_BIND, "")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(other, unix.MNT_DETACH) })
	id := background(t, root, "-v", volume+":/v:Z")
	before := labelOf(t, volume)
	if !privateLabel.MatchString(before) {
		t.Fatalf("label %q", before)
	}
	for _, source := range []string{volume, volume + "/inner", filepath.Dir(volume), other, other + "/inner"} {
		for _, option := range []string{":Z", ":z", ":U", ":ro", ""} {
			got := bulkhead(t, "", "run", "--rm", "--rootfs", root, "-u", "7:8", "-v", source+":/v"+option, "true")
			refused(t, got, "volume "+source+": its private label belongs to container "+id)
		}
		refused(t, bulkhead(t, "", "label", "set", "--level", "s0:c1,c2", source), id)
		refused(t, bulkhead(t, "", "label", "plan", "--level", "s0", source), id)
	}
	if labels := labelsIn(t, volume); len(labels) != 1 || labels[0] != before {
		t.Errorf("labels %q", labels)
	}
	// Others by its level share it: a pod.
	level := strings.TrimPrefix(before, "system_u:object_r:container_file_t:")
	pod := bulkhead(t, "", "label", "plan", "--level", level, volume)
	if pod.status != 0 || !strings.Contains(pod.stdout, "0 of 4 files") {
		t.Errorf("got %+v", pod)
	}
	if got := bulkhead(t, "", "stop", "-t", "0", id); got.status != 0 {
		t.Fatal(got)
	}
	refused(t, bulkhead(t, "", "run", "--rm", "--rootfs", root, "-v", volume+":/v:Z", "true"), id, "--take") // stopped
	must(t, "rm", id)
	must(t, "run", "--rm", "--rootfs", root, "-v", volume+":/v:Z", "true")
}

func TestVolumeIsTakenWhereThatIsInsistedOn(t *testing.T) {
	root, volume := harness.RootFS(t), newVolume(t)
	first := background(t, root, "--name", "first", "-v", volume+":/v:Z")
	before := labelOf(t, volume)
	refused(t, bulkhead(t, "", "run", "--rm", "--take", "--rootfs", root, "-v", volume+":/v", "-v", newVolume(t)+":/w:Z", "true"), first) // to take is to label
	second := background(t, root, "--name", "second", "--take", "-v", volume+":/v:Z")
	if after := labelOf(t, volume); after == before || !privateLabel.MatchString(after) {
		t.Errorf("%q, and before %q", after, before)
	}
	refused(t, bulkhead(t, "", "run", "--rm", "--rootfs", root, "-v", volume+":/v:Z", "true"), second)
	must(t, "rm", "-f", "first")
	refused(t, bulkhead(t, "", "run", "--rm", "--rootfs", root, "-v", volume+":/v:Z", "true"), second)
	if got := bulkhead(t, "", "run", "--rm", "--take", "--rootfs", root, "true"); got.status != 2 {
		t.Errorf("--take of nothing: %+v", got)
	}
}

// Those who use a volume without having it for themselves would lose it just as well.
func TestVolumeThatIsUsedNowIsNotMadePrivate(t *testing.T) {
	root, volume := harness.RootFS(t), newVolume(t)
	user := background(t, root, "-v", volume+"/inner:/deep:z")
	refused(t, bulkhead(t, "", "run", "--rm", "--rootfs", root, "-v", volume+":/v:Z", "true"), "container "+user+" uses it now on /deep")
	refused(t, bulkhead(t, "", "run", "--rm", "--rootfs", root, "-u", "7:8", "-v", volume+":/v:U", "true"), user)
	refused(t, bulkhead(t, "", "label", "set", "--level", "s0:c1,c2", volume), user)
	if labels := labelsIn(t, volume+"/inner"); len(labels) != 1 || labels[0] != sharedLabel {
		t.Errorf("labels %q", labels)
	}
	if got := labelOf(t, volume); got != "" {
		t.Errorf("label %q", got)
	}
	must(t, "run", "--rm", "--rootfs", root, "-v", volume+":/v:z", "true") // which takes nothing from anybody
	must(t, "run", "--rm", "--take", "--rootfs", root, "-v", volume+":/v:Z", "true")
	if labels := labelsIn(t, volume); len(labels) != 1 || !privateLabel.MatchString(labels[0]) {
		t.Errorf("labels %q", labels)
	}
}

// A container that comes after another on the same private volume gets its pair, so that no file is labelled again.
func TestPairOfAFormerContainerIsUsedAgain(t *testing.T) {
	root, volume, second := harness.RootFS(t), newVolume(t), newVolume(t)
	must(t, "run", "--rm", "--rootfs", root, "-v", volume+":/v:Z", "true")
	before := labelOf(t, volume)
	for range 3 {
		must(t, "run", "--rm", "--rootfs", root, "-v", volume+":/v:Z", "-v", second+":/w:Z", "true")
		if after := labelOf(t, volume); after != before || labelOf(t, second) != before {
			t.Fatalf("%q, %q, and before %q", after, labelOf(t, second), before)
		}
	}
	pair := strings.TrimPrefix(before, sharedLabel+":")
	var taken []struct {
		Holders []struct{ Labelled []string }
	}
	if err := json.Unmarshal([]byte(must(t, "label", "mcs", "who", "--json", pair)), &taken); err != nil || len(taken) != 1 || len(taken[0].Holders) != 1 || len(taken[0].Holders[0].Labelled) != 2 {
		t.Errorf("what is left of the containers: %+v, %v", taken, err)
	}
	// The other volume would be open to one that has only the first.
	must(t, "run", "--rm", "--rootfs", root, "-v", volume+":/v:Z", "true")
	if after := labelOf(t, volume); after == before || labelOf(t, second) != before {
		t.Errorf("%q, %q, and before %q", after, labelOf(t, second), before)
	}
}

func TestVolumesOfOneContainerThatContradictAreRefused(t *testing.T) {
	root, volume := harness.RootFS(t), newVolume(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(volume, link); err != nil {
		t.Fatal(err)
	}
	for name, volumes := range map[string][]string{
		"SameDirectory":  {volume + ":/a:z", volume + ":/b:Z"},
		"BySymbolicLink": {volume + ":/a:Z", link + ":/b:z"},
		"Beneath":        {volume + ":/a:Z", volume + "/inner:/b:z"},
		"Above":          {volume + "/inner:/a:z", volume + ":/b:Z"},
	} {
		got := bulkhead(t, "", "run", "--rm", "--rootfs", root, "-v", volumes[0], "-v", volumes[1], "true")
		if refused(t, got, "private", "shared", "each file has one label"); labelOf(t, volume) != "" && got.status == 4 {
			t.Errorf("%s: label %q", name, labelOf(t, volume))
		}
	}
	must(t, "run", "--rm", "--rootfs", root, "-v", volume+":/a:Z", "-v", volume+"/inner:/b:Z", "true")
}

func TestRootFileSystemIsNoVolumeToBeLabelled(t *testing.T) {
	root := harness.RootFS(t)
	for _, source := range []string{root, filepath.Dir(root)} {
		for _, option := range []string{"z", "Z", "U"} {
			refused(t, bulkhead(t, "", "run", "--rm", "--rootfs", root, "-u", "7:8", "-v", source+":/v:"+option, "true"), "the container's own root file system, "+root)
		}
	}
	if labels := labelsIn(t, root); len(labels) != 1 || labels[0] != "" {
		t.Errorf("labels %q", labels)
	}
}

// noLabels mounts a file system that holds none.
func noLabels(t *testing.T) string {
	t.Helper()
	directory := filepath.Join(t.TempDir(), "ramfs")
	if err := errors.Join(os.Mkdir(directory, 0o755), unix.Mount("none", directory, "ramfs", 0, ""), os.WriteFile(filepath.Join(directory, "file"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(directory, unix.MNT_DETACH) })
	return directory
}

func TestFileSystemWithoutLabelsIsSaidBeforeAnythingIsWritten(t *testing.T) {
	root, volume, other := harness.RootFS(t), noLabels(t), newVolume(t)
	want := func(got result, context string) {
		t.Helper()
		for _, word := range []string{"bulkhead: error: label: " + volume + ": its file system (ramfs, mounted on " + volume + ") holds no labels", "bulkhead: hint: mount it with -o context=\"" + context} {
			if got.status != 3 || !strings.Contains(got.stderr, word) {
				t.Errorf("want status 3 and %q, got %+v", word, got)
			}
		}
	}
	want(bulkhead(t, "", "run", "--rm", "--rootfs", root, "-u", "7:8", "-v", volume+":/v:Z,U", "true"), sharedLabel+":c")
	want(bulkhead(t, "", "run", "--rm", "--rootfs", root, "-v", volume+":/v:z", "true"), sharedLabel+`"`)
	want(bulkhead(t, "", "run", "--rm", "--rootfs", root, "-v", other+":/w:z", "-v", volume+":/v:z", "true"), sharedLabel+`"`)
	want(bulkhead(t, "", "label", "set", "--level", "s0:c1,c2", volume), sharedLabel+`:c1,c2"`)
	want(bulkhead(t, "", "label", "plan", "--level", "s0:c1,c2", volume), sharedLabel+`:c1,c2"`)
	var stat unix.Stat_t
	if err := unix.Stat(filepath.Join(volume, "file"), &stat); err != nil || stat.Uid != 0 {
		t.Errorf("owner %d, %v", stat.Uid, err)
	}
	if label := labelOf(t, other); label != "" {
		t.Errorf("a volume before it was labelled %q", label)
	}
	must(t, "run", "--rm", "--rootfs", root, "-u", "7:8", "-v", volume+":/v:U", "sh", "-c", "echo x >/v/file")
}

// volumeBundle is a bundle with one bind mount.
func volumeBundle(t *testing.T, source, script string, edit func(*specs.Spec), options ...string) string {
	return harness.Bundle(t, "", script, func(spec *specs.Spec) {
		spec.Mounts = append(spec.Mounts, specs.Mount{Destination: "/v", Type: "bind", Source: source, Options: append([]string{"rbind", "rw"}, options...)})
		if edit != nil {
			edit(spec)
		}
	})
}

// runtimeResult runs bulkhead-runtime and says how it ended.
func runtimeResult(t *testing.T, args ...string) result {
	t.Helper()
	// Files and not pipes: a container that stays holds its ends of them.
	var outputs [2]*os.File
	for i := range outputs {
		file, err := os.Create(filepath.Join(t.TempDir(), "output"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		outputs[i] = file
	}
	command := exec.Command(harness.Runtime(t), args...)
	command.Stdout, command.Stderr = outputs[0], outputs[1]
	var exit *exec.ExitError
	if err := command.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	stdout, err := os.ReadFile(outputs[0].Name())
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := os.ReadFile(outputs[1].Name())
	if err != nil {
		t.Fatal(err)
	}
	return result{string(stdout), withoutNotices(string(stderr)), command.ProcessState.ExitCode()}
}

// z, Z and U among the options of a mount in config.json are carried out, and the OCI runtime does not see them.
func TestMountOptionsOfABundleAreCarriedOut(t *testing.T) {
	for name, test := range map[string]struct {
		options []string
		label   *regexp.Regexp
		owner   uint32
	}{
		"Shared": {[]string{"z"}, regexp.MustCompile("^" + sharedLabel + "$"), 0}, "Private": {[]string{"Z", "ro"}, privateLabel, 0},
		"Owner": {[]string{"U"}, regexp.MustCompile("^$"), 7}, "Both": {[]string{"Z", "U"}, privateLabel, 7},
	} {
		t.Run(name, func(t *testing.T) {
			volume := newVolume(t)
			bundle := volumeBundle(t, volume, "stat -c %u /v/a; sleep 600", func(spec *specs.Spec) { spec.Process.User = specs.User{UID: 7, GID: 8} }, test.options...)
			if got := runtimeResult(t, "run", "--detach", "--bundle", bundle, "options"); got.status != 0 {
				t.Fatalf("got %+v", got)
			}
			defer runtime(t, "delete", "--force", "options")
			var stat unix.Stat_t
			if err := unix.Stat(filepath.Join(volume, "a"), &stat); err != nil || stat.Uid != test.owner || !test.label.MatchString(labelOf(t, volume+"/inner/b")) {
				t.Errorf("owner %d, label %q, %v", stat.Uid, labelOf(t, volume+"/inner/b"), err)
			}
			configs, err := filepath.Glob("/run/bulkhead/containers/options.*/bundle/config.json")
			if err != nil || len(configs) != 1 {
				t.Fatal(configs, err)
			}
			var edited specs.Spec
			text, err := os.ReadFile(configs[0])
			if err == nil {
				err = json.Unmarshal(text, &edited)
			}
			for _, mount := range edited.Mounts {
				if mount.Destination == "/v" && (len(mount.Options) < 2 || regexp.MustCompile(`\b[zZU]\b`).MatchString(strings.Join(mount.Options, " "))) {
					t.Errorf("the OCI runtime got %q", mount.Options)
				}
			}
			if err != nil {
				t.Error(err)
			}
			if test.label != privateLabel {
				return
			}
			other := volumeBundle(t, volume, "true", nil, "Z")
			refused(t, runtimeResult(t, "run", "--bundle", other, "other"), "its private label belongs to container options.")
			refused(t, bulkhead(t, "", "run", "--rm", "--rootfs", harness.RootFS(t), "-v", volume+":/v", "true"), "container options.")
		})
	}
	nothingLeftButLabels(t)
}

// nothingLeftButLabels is nothingLeft with the pairs that volumes of containers have which are gone.
func nothingLeftButLabels(t *testing.T) {
	t.Helper()
	pairs, err := filepath.Glob("/var/lib/bulkhead/mcs/c*")
	if err != nil {
		t.Fatal(err)
	}
	for _, pair := range pairs {
		if text, err := os.ReadFile(pair); err == nil && !strings.Contains(string(text), `"record"`) {
			os.Remove(pair)
		}
	}
	nothingLeft(t)
}

func TestMountOptionsThatCannotBeCarriedOutAreErrors(t *testing.T) {
	volume := newVolume(t)
	for name, test := range map[string]struct {
		mount specs.Mount
		want  string
	}{
		"Contradiction": {specs.Mount{Destination: "/v", Type: "bind", Source: volume, Options: []string{"bind", "z", "Z"}}, `"z" contradicts "Z"`},
		"NoBindMount":   {specs.Mount{Destination: "/v", Type: "tmpfs", Source: "tmpfs", Options: []string{"U"}}, `"U" is for bind mounts, not for a tmpfs on "/v"`},
		"NoSource":      {specs.Mount{Destination: "/v", Type: "bind", Options: []string{"bind", "Z"}}, `"Z", and no source`},
	} {
		bundle := harness.Bundle(t, "", "true", func(spec *specs.Spec) { spec.Mounts = append(spec.Mounts, test.mount) })
		got := runtimeResult(t, "run", "--bundle", bundle, "wrong")
		if got.status != 1 || !strings.Contains(got.stderr, "config.json: mounts[") || !strings.Contains(got.stderr, test.want) {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	system := volumeBundle(t, "/etc", "true", nil, "Z")
	refused(t, runtimeResult(t, "run", "--bundle", system, "wrong"), "volume /etc: ")
	without := noLabels(t)
	if got := runtimeResult(t, "run", "--bundle", volumeBundle(t, without, "true", nil, "z"), "wrong"); got.status != 3 || !strings.Contains(got.stderr, "holds no labels") || !strings.Contains(got.stderr, "context=") {
		t.Errorf("got %+v", got)
	}
	nothingLeft(t)
}

// U gives a volume to the user as the host knows it.
func TestOwnerInAUserNamespace(t *testing.T) {
	volume, root := newVolume(t), harness.RootFS(t)
	for _, path := range []string{root, filepath.Dir(volume), filepath.Dir(filepath.Dir(volume))} {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("chown", "-hR", "100000:100000", root, filepath.Dir(root), filepath.Dir(filepath.Dir(root))).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	edit := func(id uint32) func(*specs.Spec) {
		return func(spec *specs.Spec) {
			mapping := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
			spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
			spec.Linux.UIDMappings, spec.Linux.GIDMappings = mapping, mapping
			spec.Process.User = specs.User{UID: id, GID: id}
		}
	}
	made := func(id uint32) string {
		return harness.Bundle(t, root, "stat -c %u:%g /v/a", func(spec *specs.Spec) {
			spec.Mounts = append(spec.Mounts, specs.Mount{Destination: "/v", Type: "bind", Source: volume, Options: []string{"rbind", "U"}})
			edit(id)(spec)
		})
	}
	if got := runtime(t, "run", "--bundle", made(7), "mapped"); got != "7:7\n" {
		t.Errorf("got %q", got)
	}
	var stat unix.Stat_t
	if err := unix.Stat(volume+"/a", &stat); err != nil || stat.Uid != 100007 || stat.Gid != 100007 {
		t.Errorf("owner %d:%d, %v", stat.Uid, stat.Gid, err)
	}
	if got := runtimeResult(t, "run", "--bundle", made(70000), "mapped"); got.status != 1 || !strings.Contains(got.stderr, "linux.uidMappings: user "+strconv.Itoa(70000)) {
		t.Errorf("got %+v", got)
	}
}

// An engine labels volumes itself, before the runtime is asked. What it has labelled for one container is that one's until it is deleted; another's label on it is refused,
// and how to put right what the engine did is said.
func TestVolumeThatAnEngineLabelledIsItsContainers(t *testing.T) {
	volume := newVolume(t)
	named := func(level string) func(*specs.Spec) {
		return func(spec *specs.Spec) {
			if err := unix.Setxattr(volume, "security.selinux", []byte(sharedLabel+level+"\x00"), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	id := background(t, harness.RootFS(t), "-v", volume+":/v:Z")
	level := strings.TrimPrefix(labelOf(t, volume), "system_u:object_r:container_file_t:")
	got := runtimeResult(t, "run", "--bundle", volumeBundle(t, volume, "true", named(":c1021,c1022")), "stealing")
	refused(t, got, "its private label belongs to container "+id)
	must(t, "label", "set", "--level", level, volume)
	if label := labelOf(t, volume); label != "system_u:object_r:container_file_t:"+level {
		t.Errorf("label %q", label)
	}
}

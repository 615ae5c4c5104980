// SPDX-License-Identifier: Apache-2.0

package labels

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/internal/vm/vmtest"
	"github.com/bulkhead-project/bulkhead/selinux/policydb"
	"github.com/bulkhead-project/bulkhead/test/selinux/enforcing"
)

// access is what somebody can do to something.
type access struct{ read, write bool }

func (a access) String() string { return fmt.Sprintf("read %v, write %v", a.read, a.write) }

// object is a file or directory as a container has it.
type object struct {
	host, inside string
	directory    bool
	readOnly     bool // it is mounted so
}

// tried is what a container can really do: files are opened, directories listed and written to.
func tried(t *testing.T, name string, objects []object) []access {
	t.Helper()
	var script strings.Builder
	for i, o := range objects {
		read, write := "cat "+o.inside, "/bin/busybox dd if=/dev/null conv=notrunc of="+o.inside
		if o.directory {
			// The shell reads the directory and no more; ls would look at every file in it.
			read, write = fmt.Sprintf(`set -- %s/*; [ "$1" != "%[1]s/*" ]`, o.inside), fmt.Sprintf("touch %s/of-%s-%d", o.inside, name, i)
		}
		fmt.Fprintf(&script, "(%s) >/dev/null 2>&1 && echo r%d; (%s) >/dev/null 2>&1 && echo w%d; ", read, i, write, i)
	}
	done := strings.Fields(enforcing.Succeeds(t, enforcing.Bulkhead, "exec", name, "/bin/sh", "-c", script.String()+"true"))
	found := make([]access, len(objects))
	for i := range objects {
		found[i] = access{slices.Contains(done, fmt.Sprint("r", i)), slices.Contains(done, fmt.Sprint("w", i))}
	}
	return found
}

// oracle answers from the policy that the kernel enforces.
type oracle struct {
	t *testing.T
	*policydb.Policy
}

func newOracle(t *testing.T) oracle {
	t.Helper()
	data, err := os.ReadFile(enforcing.SELinuxFS + "/policy")
	if err != nil {
		t.Fatal(err)
	}
	policy, err := policydb.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	return oracle{t, policy}
}

func (o oracle) allows(process, target, class string, permissions ...string) bool {
	o.t.Helper()
	from, err := o.ParseContext(process)
	if err != nil {
		o.t.Fatal(err)
	}
	to, err := o.ParseContext(target)
	if err != nil {
		o.t.Fatal(err)
	}
	of, err := o.Class(class)
	if err != nil {
		o.t.Fatal(err)
	}
	decision := o.Decide(from, to, of.Value)
	for _, name := range permissions {
		bit, err := o.Permission(of, name)
		if err != nil {
			o.t.Fatal(err)
		}
		if decision.Allowed&bit == 0 {
			return false
		}
	}
	return true
}

// decided is what the policy lets a process do to an object in a volume, by the labels on the disk.
func (o oracle) decided(process, volume string, object object) access {
	o.t.Helper()
	directory, target := labelOf(o.t, volume), labelOf(o.t, object.host)
	if object.directory {
		return access{o.allows(process, target, "dir", "open", "read", "search", "getattr"),
			o.allows(process, target, "dir", "search", "write", "add_name") && o.allows(process, target, "file", "create") && !object.readOnly}
	}
	reached := o.allows(process, directory, "dir", "search")
	return access{reached && o.allows(process, target, "file", "open", "read", "getattr"), reached && !object.readOnly && o.allows(process, target, "file", "open", "write")}
}

// volume makes a directory with a file that anyone may write by its mode.
func volume(t *testing.T) string {
	t.Helper()
	directory := t.TempDir()
	if err := os.Chmod(directory, 0o777); err != nil {
		t.Fatal(err)
	}
	enforcing.File(t, directory+"/file", "system_u:object_r:user_tmp_t:s0", "of the volume\n")
	if err := os.Chmod(directory+"/file", 0o666); err != nil {
		t.Fatal(err)
	}
	enforcing.Label(t, "system_u:object_r:user_tmp_t:s0", directory)
	return directory
}

// use is a volume in a container.
type use struct {
	container, process, inside string
	readOnly                   bool
}

// Two containers of which one has a volume for itself and both share another, two of a pod, a volume that is mounted read-only, and in the private volume a file that
// was moved into it and one that was linked.
func TestWhoCanReadAndWriteWhat(t *testing.T) {
	enforcing.Containers(t)
	private, shared, pod, fixed := volume(t), volume(t), volume(t), volume(t)
	// b has all of them before any is labelled, the pod's second container has its volume from the first.
	b := enforcing.Detach(t, "b", options(levelB, private+":/private", shared+":/shared:z", pod+":/pod", fixed+":/fixed:ro")...)
	plans := map[string]*prediction{}
	outside := filepath.Join(filepath.Dir(private), "outside")
	enforcing.File(t, outside+"/moved", enforcing.FileType+":"+levelB, "of b\n")
	enforcing.File(t, outside+"/linked", "system_u:object_r:user_home_t:s0", "of the host\n")
	for _, name := range []string{"moved", "linked"} {
		if err := os.Chmod(filepath.Join(outside, name), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	processA, processPod := enforcing.ProcessType+":"+levelA, enforcing.ProcessType+":"+levelPod
	plans[private] = predict(t, private, levelA, "--access", b, "--file", outside+"/moved", "--file", outside+"/linked", "--file", private+"/file")
	plans[shared] = predict(t, shared, "s0", "--access", processA)
	plans[pod] = predict(t, pod, levelPod)
	plans[fixed] = predict(t, fixed, levelA, "--read-only")
	a := enforcing.Detach(t, "a", append([]string{"--take"}, options(levelA, private+":/private:Z", shared+":/shared:z", fixed+":/fixed:Z,ro")...)...)
	first := enforcing.Detach(t, "first", append([]string{"--take"}, options(levelPod, pod+":/pod:Z")...)...)
	second := enforcing.Detach(t, "second", options(levelPod, pod+":/pod")...)
	if a != processA || first != processPod || second != processPod {
		t.Fatalf("processes %s, %s and %s", a, first, second)
	}
	for from, err := range map[string]error{"moved": os.Rename(outside+"/moved", private+"/moved"), "linked": os.Link(outside+"/linked", private+"/linked")} {
		if err != nil {
			t.Fatalf("%s: %v", from, err)
		}
	}
	oracle := newOracle(t)
	found := map[string]access{}
	watch := enforcing.WatchAVCs(t)
	for volume, uses := range map[string][]use{
		private: {{"a", a, "/private", false}, {"b", b, "/private", false}},
		shared:  {{"a", a, "/shared", false}, {"b", b, "/shared", false}},
		pod:     {{"first", first, "/pod", false}, {"second", second, "/pod", false}, {"b", b, "/pod", false}},
		fixed:   {{"a", a, "/fixed", true}, {"b", b, "/fixed", true}},
	} {
		for _, use := range uses {
			compare(t, oracle, watch, volume, use, plans[volume], found)
		}
	}
	// The matrix itself: what it must come to, whatever the policy and the plan say.
	for object, want := range map[string]access{
		"a /private": {true, true}, "a /private/file": {true, true}, "b /private": {}, "b /private/file": {},
		"a /shared/file": {true, true}, "b /shared/file": {true, true},
		"first /pod/file": {true, true}, "second /pod/file": {true, true}, "b /pod/file": {},
		"a /fixed": {true, false}, "a /fixed/file": {true, false}, "b /fixed/file": {},
		"a /private/moved": {}, "b /private/moved": {}, "a /private/linked": {}, "b /private/linked": {},
	} {
		if got, tried := found[object]; got != want || !tried {
			t.Errorf("%s: %s (tried %v), want %s", object, got, tried, want)
		}
	}
}

// compare holds what a container can do in a volume against the policy and the plan, and what was denied against what the kernel logged. What it can
// do is put into found, by container and path.
func compare(t *testing.T, oracle oracle, watch *vmtest.AVCWatch, volume string, use use, plan *prediction, found map[string]access) {
	t.Helper()
	objects := []object{{volume, use.inside, true, use.readOnly}}
	names, err := os.ReadDir(volume)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !strings.HasPrefix(name.Name(), "of-") {
			objects = append(objects, object{filepath.Join(volume, name.Name()), use.inside + "/" + name.Name(), false, use.readOnly})
		}
	}
	watch.Denials()
	got := tried(t, use.container, objects)
	denials := watch.Denials()
	for i, object := range objects {
		found[use.container+" "+object.inside] = got[i]
		want := oracle.decided(use.process, volume, object)
		if got[i] != want {
			t.Errorf("%s: %s: %s, where the policy says %s", use.container, object.inside, got[i], want)
		}
		planned := plan.of(t, use.process, object)
		if got[i] != planned {
			t.Errorf("%s: %s: %s, where the plan said %s", use.container, object.inside, got[i], planned)
		}
		if object.directory && got[i].write {
			made := filepath.Join(volume, fmt.Sprintf("of-%s-%d", use.container, i))
			if got, want := labelOf(t, made), plan.created(t, use.process); got != want {
				t.Errorf("%s: a new file has %s, where the plan said %s", use.container, got, want)
			}
		}
		// The kernel names what the plan did: the file's label afterwards, or the volume's where that stands in the way.
		if !got[i].read && !slices.ContainsFunc(denials, func(d vmtest.AVC) bool {
			return d.Source == use.process && (d.Target == plan.label(t, object) || d.Target == plan.Label)
		}) {
			t.Errorf("%s: %s: no denial of it in %v", use.container, object.inside, denials)
		}
	}
}

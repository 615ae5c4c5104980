// SPDX-License-Identifier: Apache-2.0

package selinux

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/internal/vm/vmtest"
)

// The tests in this file ask a real kernel that enforces a policy with container_t and container_file_t.

func kernelHost(t *testing.T) Host {
	t.Helper()
	vmtest.Require(t, vmtest.SELinux)
	host, err := FindHost("/proc")
	if err != nil {
		t.Fatal(err)
	}
	return host
}

func TestKernelStatus(t *testing.T) {
	host := kernelHost(t)
	status, err := host.Status()
	if err != nil || !host.Enabled() || !status.Enabled || !status.Loaded || !status.MLS || status.PolicyVersion < 33 {
		t.Errorf("%+v: %+v, %v", host, status, err)
	}
}

func TestKernelLabelsAreContextsInOurForm(t *testing.T) {
	host := kernelHost(t)
	for _, pid := range []int{0, 1, os.Getpid()} {
		label, err := host.ProcessLabel(pid)
		if err != nil {
			t.Fatal(err)
		}
		if context, err := ParseContext(label); err != nil || context.String() != label {
			t.Errorf("process %d: %q is read as %q (%v)", pid, label, context, err)
		}
	}
}

func TestKernelAndParserAgreeOnWhatIsALevel(t *testing.T) {
	host := kernelHost(t)
	for _, level := range []string{"s0", "s0:c1,c2", "s0:c2,c1", "s0:c0.c1", "s0:c0.c1023", "s0-s0:c0.c1023", "s0:c1-s0:c1,c2", "s0:c1,c1",
		"s0:110", "s0:c1;c2", "0:c1", "s0:c1024", "s0:c5.c3", "s0:c3.c3", "s0:", "s0:c1,", "s0:c01", "s0:c1-c5", "s0:c1-s0:c2", "S0"} {
		_, ours := ParseContext("system_u:object_r:container_file_t:" + level)
		kernels := host.CheckContext("system_u:object_r:container_file_t:" + level)
		var invalid *InvalidContextError
		if (ours == nil) != (kernels == nil) || kernels != nil && !errors.As(kernels, &invalid) {
			t.Errorf("%s: parser %v, kernel %v", level, ours, kernels)
		}
	}
	if err := host.CheckContext("system_u:object_r:no_such_type_t:s0"); err == nil || !strings.Contains(err.Error(), "not valid in the loaded policy") {
		t.Errorf("got %v", err)
	}
}

// A file's label comes back in the kernel's spelling: ours must be the same.
func TestKernelPrintsCategoriesAsWeDo(t *testing.T) {
	kernelHost(t)
	file, err := os.CreateTemp(t.TempDir(), "label")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, set := range []string{"c2,c1", "c0.c1", "c0,c1,c2", "c9,c1,c5,c6,c7,c63,c64,c65,c1022,c1023", "c0.c1023", "c3,c5,c4,c900"} {
		text := "system_u:object_r:container_file_t:s0:" + set
		context, err := ParseContext(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := SetFileLabel(int(file.Fd()), text); err != nil {
			t.Fatal(err)
		}
		if label, err := FileLabel(int(file.Fd())); err != nil || label != context.String() {
			t.Errorf("%s: kernel %q, ours %q (%v)", set, label, context, err)
		}
	}
}

func TestKernelDecidesAccessByCategories(t *testing.T) {
	host := kernelHost(t)
	const process, file = "system_u:system_r:container_t:s0:", "system_u:object_r:container_file_t:s0:"
	for target, want := range map[string]bool{"c1,c2": true, "c2,c1": true, "c3,c4": false, "c1,c3": false} {
		allowed, err := host.Access(process+"c1,c2", file+target, "file", "read", "write")
		if err != nil || len(allowed) != 2 || allowed["read"] != want || allowed["write"] != want {
			t.Errorf("%s: got %v, %v", target, allowed, err)
		}
	}
	if _, err := host.Access(process+"c1,c2", "u:r:none:s0", "file", "read"); !errors.Is(err, unix.EINVAL) {
		t.Errorf("a context that is not valid: %v", err)
	}
	if _, err := host.Access(process+"c1,c2", file+"c1", "no_such_class", "read"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a class that does not exist: %v", err)
	}
}

func TestKernelSaysHowNewObjectsAreLabelled(t *testing.T) {
	host := kernelHost(t)
	const container, tmpfs = "system_u:system_r:container_t:s0:c1,c2", "system_u:object_r:tmpfs_t:s0"
	for class, want := range map[string]string{"file": "system_u:object_r:container_file_t:s0:c1,c2", "process": container} {
		if got, err := host.NewLabel(container, tmpfs, class); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %s", class, got, err, want)
		}
	}
	for name, class := range map[string]string{"no such class": "no_such_class", "a way out": "../policy"} {
		if got, err := host.NewLabel(container, tmpfs, class); err == nil {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got, err := host.NewLabel(container+" x", tmpfs, "file"); err == nil {
		t.Errorf("two contexts in one: %q", got)
	}
}

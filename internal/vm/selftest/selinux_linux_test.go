// SPDX-License-Identifier: Apache-2.0

package selftest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/internal/vm/vmtest"
)

const (
	process   = "system_u:system_r:container_t:s0:"
	file      = "system_u:object_r:container_file_t:s0:"
	user      = "system_u:system_r:user_t:s0-s0:c0.c1023"
	inUser    = "BULKHEAD_SELFTEST_USER" // this process runs as user_t
	selinuxfs = "/sys/fs/selinux/"
)

func label(t *testing.T, path, context string) {
	t.Helper()
	if err := unix.Lsetxattr(path, "security.selinux", append([]byte(context), 0), 0); err != nil {
		t.Fatalf("label %s %s: %v", path, context, err)
	}
}

// allowed asks the kernel's policy for one permission.
func allowed(t *testing.T, source, target, class, permission string) bool {
	t.Helper()
	access, err := os.OpenFile(selinuxfs+"access", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer access.Close()
	if _, err := fmt.Fprintf(access, "%s %s %s", source, target, read(t, selinuxfs+"class/"+class+"/index")); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 256)
	n, err := access.Read(answer)
	if err != nil {
		t.Fatal(err)
	}
	vector, err := strconv.ParseUint(strings.Fields(string(answer[:n]))[0], 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	bit, err := strconv.Atoi(read(t, selinuxfs+"class/"+class+"/perms/"+permission))
	if err != nil {
		t.Fatal(err)
	}
	return vector&(1<<(bit-1)) != 0
}

func TestSELinuxPolicy(t *testing.T) {
	vmtest.Require(t, vmtest.SELinux)
	const ro, secret = "system_u:object_r:container_ro_file_t:s0", "system_u:object_r:secret_t:s0"
	for name, test := range map[string]struct {
		source, target, class, permission string
		want                              bool
	}{
		"own file is read":                {process + "c1,c2", file + "c1,c2", "file", "read", true},
		"own file is run":                 {process + "c1,c2", file + "c1,c2", "file", "entrypoint", true},
		"another's file is not read":      {process + "c1,c2", file + "c3,c4", "file", "read", false},
		"half of the pair is not enough":  {process + "c1", file + "c1,c2", "file", "read", false},
		"read-only file is run":           {process + "c1,c2", ro, "file", "entrypoint", true},
		"read-only file is not written":   {process + "c1,c2", ro, "file", "write", false},
		"other type is not read":          {process + "c1,c2", secret, "file", "read", false},
		"own pipe":                        {process + "c1,c2", process + "c1,c2", "fifo_file", "write", true},
		"another's pipe":                  {process + "c1,c2", process + "c3,c4", "fifo_file", "write", false},
		"own socket":                      {process + "c1,c2", process + "c1,c2", "unix_stream_socket", "write", true},
		"another's socket":                {process + "c1,c2", process + "c3,c4", "unix_stream_socket", "write", false},
		"pipe of the kernel's type":       {process + "c1,c2", "system_u:system_r:kernel_t:s0-s0:c0.c1023", "fifo_file", "write", true},
		"pipe of the runtime":             {process + "c1,c2", "system_u:system_r:container_runtime_t:s0-s0:c0.c1023", "fifo_file", "write", true},
		"pipe of a user":                  {process + "c1,c2", user, "fifo_file", "write", false},
		"user labels a pipe for it":       {user, process + "c1,c2", "fifo_file", "relabelto", true},
		"another container is not killed": {process + "c1,c2", process + "c3,c4", "process", "sigkill", false},
		"spc_t reads anything":            {"system_u:system_r:spc_t:s0", file + "c1,c2", "file", "read", true},
	} {
		if got := allowed(t, test.source, test.target, test.class, test.permission); got != test.want {
			t.Errorf("%s: allowed is %v", name, got)
		}
	}
}

// containerCat returns a busybox that a container with the categories may run.
func containerCat(t *testing.T, directory, categories string) string {
	t.Helper()
	program := filepath.Join(directory, "busybox")
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	write(t, program, string(busybox), 0o755)
	label(t, program, file+categories)
	label(t, directory, file+categories)
	return program
}

func TestSELinuxDeniesTheOtherContainersFile(t *testing.T) {
	vmtest.Require(t, vmtest.SELinux)
	directory := t.TempDir()
	cat := containerCat(t, directory, "c1,c2")
	paths := map[string]string{}
	for _, categories := range []string{"c1,c2", "c3,c4"} {
		paths[categories] = filepath.Join(directory, categories)
		write(t, paths[categories], "data", 0o644)
		label(t, paths[categories], file+categories)
	}
	watch := vmtest.WatchAVCs(t)
	if text, err := attribute(t, "exec", process+"c1,c2", cat, "cat", paths["c1,c2"]); err != nil || text != "data" {
		t.Errorf("own file: %q, %v; %v", text, err, watch.Records())
	}
	watch.Records()
	text, err := attribute(t, "exec", process+"c1,c2", cat, "cat", paths["c3,c4"])
	if err == nil || !strings.Contains(text, "Permission denied") {
		t.Errorf("the other's file: %q, %v", text, err)
	}
	denials := watch.Denials()
	if !slices.ContainsFunc(denials, func(a vmtest.AVC) bool {
		return a.Source == process+"c1,c2" && a.Target == file+"c3,c4" && a.Class == "file" && slices.Contains(a.Permissions, "read")
	}) {
		t.Errorf("no such denial in %v", denials)
	}
}

func TestSELinuxOverlayTakesAContext(t *testing.T) {
	vmtest.Require(t, vmtest.SELinux)
	const context = file + "c1,c2"
	root := t.TempDir()
	mountOverlay(t, root, `,context="`+context+`"`)
	value := make([]byte, 256)
	n, err := unix.Getxattr(root+"/merged/file", "security.selinux", value)
	if err != nil {
		t.Fatal(err)
	}
	if got := unix.ByteSliceToString(value[:n]); got != context {
		t.Errorf("label %s, want %s", got, context)
	}
}

// A container's inherited pipe of user_t is replaced by a null device, silently;
// with the container's own label it works.
func TestSELinuxTakesAUsersPipeFromTheContainer(t *testing.T) {
	vmtest.Require(t, vmtest.SELinux)
	if os.Getenv(inUser) == "" {
		again := []string{"/bin/busybox", "env", inUser + "=1", os.Args[0], "-test.v", "-test.run=^" + t.Name() + "$"}
		if text, err := attribute(t, "exec", user, again...); err != nil {
			t.Errorf("as user_t: %v\n%s", err, text)
		}
		return
	}
	if got := read(t, "/proc/self/attr/current"); got != user {
		t.Fatalf("context %s, want %s", got, user)
	}
	echo := containerCat(t, t.TempDir(), "c1,c2")
	watch := vmtest.WatchAVCs(t)
	if text := throughPipe(t, "", echo); text != "" {
		t.Errorf("a pipe of user_t passed %q", text)
	}
	denials := watch.Denials()
	if !slices.ContainsFunc(denials, func(a vmtest.AVC) bool { return a.Class == "fifo_file" && a.Target == user }) {
		t.Errorf("no denial for the pipe in %v", denials)
	}
	if text := throughPipe(t, process+"c1,c2", echo); text != "hello\n" {
		t.Errorf("a pipe with the container's label passed %q; %v", text, watch.Records())
	}
}

// throughPipe returns what a container with c1,c2 writes to a pipe with the label.
func throughPipe(t *testing.T, context, echo string) string {
	t.Helper()
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if context != "" {
		if err := unix.Fsetxattr(int(out.Fd()), "security.selinux", append([]byte(context), 0), 0); err != nil {
			t.Fatal("label the pipe: ", err)
		}
	}
	command := exec.Command(echo, "echo", "hello")
	command.Stdout = out
	startWith(t, command, "exec", process+"c1,c2")
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 64)
	n, _ := in.Read(text) // an end of file leaves n at 0
	if err := command.Wait(); err != nil {
		t.Error("echo: ", err)
	}
	return string(text[:n])
}

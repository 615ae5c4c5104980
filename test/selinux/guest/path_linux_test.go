// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/internal/vm/vmtest"
)

// Processes of several users and domains reach for files with random modes, lists and labels. What they meet is what `bulkhead selinux decide --path` says.
func TestPathsAreDecidedAsTheKernelDecidesThem(t *testing.T) {
	vmtest.Require(t, vmtest.SELinux)
	load(t, encode(t, compile(t, "base.cil", "path.cil")))
	random := rand.New(rand.NewPCG(*seed, 0))
	paths := randomPaths(t, random, max(8, *questions/1250)) // each is asked about in eight processes of bulkhead
	byLayer := map[string]int{}
	for _, who := range []struct {
		process string
		uid     uint32
	}{{"system_u:system_r:app_t:s0", 0}, {"system_u:system_r:service_t:s1", 0}, {"system_u:system_r:app_t:s1", 1000}, {"system_u:system_r:service_t:s0", 1001}} {
		refused := inDomainAs(t, who.process, who.uid, errand{Files: paths})
		for i, path := range paths {
			for j, permission := range []string{"read", "append"} {
				layer := decidePath(t, path, who.uid, who.process, permission)
				if (layer != "") != refused[i][j] {
					t.Errorf("%s %s %s as %d: refused %t, decided by %q", who.process, permission, path, who.uid, refused[i][j], layer)
				}
				byLayer[layer]++
			}
		}
	}
	t.Logf("seed %d: decided by %v", *seed, byLayer)
	for _, layer := range []string{"", "dac", "selinux"} {
		if byLayer[layer] < 4 {
			t.Errorf("only %d decided by %q: the files ask little", byLayer[layer], layer)
		}
	}
}

// randomPaths makes files in directories, some behind symbolic links.
func randomPaths(t *testing.T, random *rand.Rand, count int) []string {
	t.Helper()
	root := t.TempDir()
	if err := os.Chmod(filepath.Dir(root), 0o755); err != nil {
		t.Fatal(err)
	}
	label := func(types ...string) string {
		return "system_u:object_r:" + among(random, types) + ":" + among(random, []string{"s0", "s0", "s0", "s1"})
	}
	var paths []string
	for i := range count {
		directory := filepath.Join(root, fmt.Sprint(i))
		file := filepath.Join(directory, "file")
		if err := os.Mkdir(directory, 0o755); err != nil {
			t.Fatal(err)
		}
		labelled(t, file, label("data_t", "data_t", "tmp_t", "shared_t", "log_t", "secret_t")).Close()
		setAccess(t, random, file, []uint32{0o600, 0o640, 0o604, 0o666, 0o666, 0o666, 0})
		setAccess(t, random, directory, []uint32{0o755, 0o755, 0o711, 0o750, 0o700, 0o777, 0o1777})
		if err := unix.Setxattr(directory, "security.selinux", []byte(label("data_t", "data_t", "data_t", "tmp_t", "secret_t")+"\x00"), 0); err != nil {
			t.Fatal(err)
		}
		if random.IntN(3) == 0 {
			link := filepath.Join(root, fmt.Sprintf("link-%d", i))
			err := os.Symlink(fmt.Sprintf("%d/../%d/file", i, i), link)
			if err = errors.Join(err, unix.Lsetxattr(link, "security.selinux", []byte(label("data_t", "shared_t")+"\x00"), 0)); err != nil {
				t.Fatal(err)
			}
			file = link
		}
		paths = append(paths, file)
	}
	return paths
}

// setAccess gives an object an owner, a mode and half of the time a list, in which user 1000 is named.
func setAccess(t *testing.T, random *rand.Rand, path string, modes []uint32) {
	t.Helper()
	owner := int(among(random, []uint32{0, 1000, 1001}))
	if err := errors.Join(os.Chown(path, owner, owner), unix.Chmod(path, among(random, modes))); err != nil {
		t.Fatal(err)
	}
	if random.IntN(2) == 0 {
		return
	}
	list := []byte{2, 0, 0, 0}
	for _, entry := range []struct {
		tag uint16
		id  uint32
	}{{1, ^uint32(0)}, {2, 1000}, {4, ^uint32(0)}, {0x10, ^uint32(0)}, {0x20, ^uint32(0)}} {
		list = binary.LittleEndian.AppendUint16(list, entry.tag)
		list = binary.LittleEndian.AppendUint16(list, uint16(random.IntN(8)))
		list = binary.LittleEndian.AppendUint32(list, entry.id)
	}
	if err := unix.Setxattr(path, "system.posix_acl_access", list, 0); err != nil {
		t.Fatal(err)
	}
}

// inDomainAs is inDomain for a process of another user.
func inDomainAs(t *testing.T, process string, uid uint32, e errand) [][]bool {
	t.Helper()
	return runErrand(t, process, e, func(command *exec.Cmd) {
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	})
}

// decidePath is the layer that denies, "" where none does.
func decidePath(t *testing.T, path string, uid uint32, process, permission string) string {
	t.Helper()
	output, err := exec.Command("/usr/bin/bulkhead", "selinux", "decide", "--json", "--path", path, "--as", fmt.Sprintf("%d:%[1]d", uid), process, permission, "open").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	var answer struct {
		Allowed bool
		Steps   []struct{ Layer string }
	}
	if err := json.Unmarshal(output, &answer); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	if answer.Allowed {
		return ""
	}
	return answer.Steps[len(answer.Steps)-1].Layer
}

// SPDX-License-Identifier: Apache-2.0

package volume

import (
	"bytes"
	"compress/gzip"
	"flag"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/shield/store"
)

var update = flag.Bool("update", false, "write the image of the newest format version anew")

// TestVolumesOfEveryVersionOpen opens an image of each format version that was ever in use. It was left without being closed, with a file in use that has no name.
func TestVolumesOfEveryVersionOpen(t *testing.T) {
	const name = "testdata/version1"
	if *update {
		writeVersion(t, name)
	}
	want, err := os.ReadFile(name + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, readOnly := range []bool{true, false} {
		image := store.NewMemory(1 << 30)
		load(t, image, name+".image.gz")
		options := testOptions(t)
		options.ReadOnly = readOnly
		s, err := store.Open(image, options)
		if err != nil {
			t.Fatal(err)
		}
		f := &fixture{image: image}
		if f.Volume, err = Open(s, f.now); err != nil {
			t.Fatal(err)
		}
		if got := (&dumper{map[[2]Time]string{}}).dump(t, f.Volume); got != string(want) {
			t.Errorf("read-only %v: has\n%s\nshould have\n%s", readOnly, got, want)
		}
		if inodes := f.Statistics().Inodes; inodes != uint64(strings.Count(string(want), "\n")-1) != readOnly { // one file has two names; without a name is one more
			t.Errorf("read-only %v: %d inodes", readOnly, inodes)
		}
		f.check(t)
		if _, err := f.Make(RootInode, "new", ModeRegular, 0, Credentials{}); (store.KindOf(err) == store.ReadOnly) != readOnly {
			t.Errorf("read-only %v: %v", readOnly, err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func load(t *testing.T, image *store.Memory, name string) {
	t.Helper()
	packed, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	unpacked, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := io.ReadAll(unpacked)
	if err == nil {
		err = image.Resize(int64(len(whole)))
	}
	if err == nil {
		_, err = image.WriteAt(whole, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// writeVersion makes a volume with something of everything.
func writeVersion(t *testing.T, name string) {
	t.Helper()
	image := store.NewMemory(1 << 30)
	m := must{formatted(t, image, 0), t}
	folder := m.directory("folder")
	m.change(folder, Changes{Valid: ChangeMode | ChangeUID | ChangeGID, Mode: 0o2750, UID: 1, GID: 2})
	small := m.make(folder, "small", ModeRegular|0o4755)
	m.write(small, 0, []byte("kept in the inode"))
	_, err := m.Link(small, RootInode, strings.Repeat("n", MaximumName))
	m.ok(err)
	large := m.file("large")
	m.write(large, 10, pattern(50_000, 1))
	m.write(large, 1<<40, []byte("far away"))
	m.ok(m.SetXattr(large, "user.long", pattern(5000, 2), 0))
	m.ok(m.SetXattr(large, "security.capability", []byte("cap"), 0))
	for i, target := range []string{"folder/small", strings.Repeat("t", MaximumTarget)} {
		_, err := m.Symlink(RootInode, []string{"short", "long"}[i], target, Credentials{})
		m.ok(err)
	}
	for i, mode := range []uint32{ModePipe, ModeSocket, ModeCharacter, ModeBlock} {
		_, err := m.Make(folder, []string{"pipe", "socket", "character", "block"}[i], mode|0o600, 0x501, Credentials{})
		m.ok(err)
	}
	m.ok(m.store.Checkpoint())
	m.ok(m.Rename(folder, "pipe", RootInode, "pipe", 0))
	nameless := m.file("nameless")
	m.write(nameless, 0, pattern(5000, 3))
	m.ok(m.Opened(nameless))
	m.ok(m.Unlink(RootInode, "nameless"))
	m.ok(m.store.Sync())
	size, err := image.Size()
	m.ok(err)
	whole := make([]byte, size)
	if _, err := image.ReadAt(whole, 0); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	m.ok(err)
	_, err = w.Write(whole)
	m.ok(err)
	m.ok(w.Close())
	m.ok(os.MkdirAll("testdata", 0o755))
	m.ok(os.WriteFile(name+".image.gz", packed.Bytes(), 0o644))
	m.ok(os.WriteFile(name+".txt", []byte((&dumper{map[[2]Time]string{}}).dump(t, m.Volume)), 0o644))
	m.ok(m.Close())
}

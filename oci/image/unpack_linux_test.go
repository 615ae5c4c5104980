// SPDX-License-Identifier: Apache-2.0

package image

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestHostileLayers shows that each trick is refused with its place, and that nothing of the layer stays.
func TestHostileLayers(t *testing.T) {
	device := func(name string, major, minor int64) tar.Header {
		return tar.Header{Typeflag: tar.TypeChar, Name: name, Devmajor: major, Devminor: minor}
	}
	owned := file("f", "")
	owned.Uid = 1<<32 - 1
	for _, c := range []struct {
		finding string
		want    string
		entries []tar.Header
	}{
		{"name that climbs out", `entry "../etc/passwd": leads out of the root file system`, []tar.Header{file("../etc/passwd", "x")}},
		{"absolute name that climbs out", `entry "/../x": leads out of the root file system`, []tar.Header{file("/../x", "x")}},
		{"name that climbs and comes back", `entry "a/../b": name has a ".." component`, []tar.Header{file("a/../b", "x")}},
		{"file through absolute link", `entry "out/x": directory "out" leads out of the root file system`, []tar.Header{symlink("out", "/etc"), file("out/x", "x")}},
		{"file through relative link", `entry "a/out/x": directory "a/out" leads out of the root file system`, []tar.Header{symlink("a/out", "../../tmp"), file("a/out/x", "x")}},
		{"file through two links", `entry "b/x": directory "b" leads out of the root file system`, []tar.Header{symlink("a", ".."), symlink("b", "a"), file("b/x", "x")}},
		{"implied directory through link", `entry "out/d/x": directory "out/d" leads out of the root file system`, []tar.Header{symlink("out", "/"), file("out/d/x", "x")}},
		{"whiteout through link", `entry "out/.wh.x": directory "out" leads out of the root file system`, []tar.Header{symlink("out", "/etc"), file("out/.wh.x", "")}},
		{"opaque through link", `entry "out/.wh..wh..opq": directory "out" leads out of the root file system`, []tar.Header{symlink("out", "/etc"), file("out/.wh..wh..opq", "")}},
		{"endless links", `entry "a/x": `, []tar.Header{symlink("a", "b"), symlink("b", "a"), file("a/x", "x")}},
		{"dangling link as directory", `entry "a/x": "a" is not a directory in this layer`, []tar.Header{symlink("a", "none"), file("a/x", "x")}},
		{"file as directory", `entry "a/b/x": "a" is not a directory in this layer`, []tar.Header{file("a", "x"), file("a/b/x", "x")}},
		{"hard link that climbs out", `entry "l": hard link to "../../etc/shadow": leads out of the root file system`, []tar.Header{hardlink("l", "../../etc/shadow")}},
		{"absolute hard link", `entry "l": hard link to the absolute name "/etc/shadow"`, []tar.Header{hardlink("l", "/etc/shadow")}},
		{"hard link through link", `entry "l": hard link to "out/shadow": "out" is a symbolic link or not a directory`, []tar.Header{symlink("out", "/etc"), hardlink("l", "out/shadow")}},
		{"hard link to nothing", `entry "l": hard link to "none", which is not in this layer`, []tar.Header{hardlink("l", "none")}},
		{"hard link to a whiteout", `entry "l": hard link to "f", which is not in this layer`, []tar.Header{file(".wh.f", ""), hardlink("l", "f")}},
		{"hard link to a directory", `entry "l": hard link to "d", which is a directory`, []tar.Header{dir("d"), hardlink("l", "d")}},
		{"hard link to the root", `entry "l": hard link to ".", which is a directory`, []tar.Header{hardlink("l", "./")}},
		{"hard link in place of its target's directory", `entry "d": `, []tar.Header{file("d/f", "x"), hardlink("d", "d/f")}},
		{"device that is a whiteout", `entry "n": character device 0:0 would be taken for a whiteout`, []tar.Header{device("n", 0, 0)}},
		{"device out of range", `entry "n": device number 5000:1 is out of range`, []tar.Header{device("n", 5000, 1)}},
		{"whiteout of nothing", `entry "d/.wh.": whiteout of no file`, []tar.Header{file("d/.wh.", "")}},
		{"whiteout of dot", `entry ".wh..": whiteout of no file`, []tar.Header{file(".wh..", "")}},
		{"whiteout of dot dot", `entry "d/.wh...": whiteout of no file`, []tar.Header{file("d/.wh...", "")}},
		{"aufs metadata", `entry ".wh..wh.plnk": unknown kind of whiteout`, []tar.Header{file(".wh..wh.plnk", "")}},
		{"whiteout as a directory", `entry ".wh.d/": a whiteout must be an empty file`, []tar.Header{dir(".wh.d/")}},
		{"file below a whiteout", `entry ".wh.d/x": directory ".wh.d" has the name of a whiteout`, []tar.Header{file(".wh.d/x", "")}},
		{"root as a link", `entry "./": the root of the file system must be a directory`, []tar.Header{symlink("./", "/etc")}},
		{"root as a file", `entry ".": the root of the file system must be a directory`, []tar.Header{file(".", "")}},
		{"component too long", `a component is longer than 255 bytes`, []tar.Header{file(strings.Repeat("n", 256), "")}},
		{"name too long", `name is longer than 4095 bytes`, []tar.Header{dir(strings.Repeat("n/", 2050))}},
		{"name too deep", `more than 512 components`, []tar.Header{dir(strings.Repeat("n/", 600))}},
		{"no name", `entry "": empty name`, []tar.Header{file("", "")}},
		{"owner that chown takes for none", `entry "f": owner 4294967295 is out of range`, []tar.Header{owned}},
		{"unknown type", `entry "f": unknown type 'Q'`, []tar.Header{{Typeflag: 'Q', Name: "f"}}},
		{"link to nowhere", `entry "l": symbolic link to an empty name`, []tar.Header{symlink("l", "")}},
	} {
		t.Run(c.finding, func(t *testing.T) {
			store := newStore(t)
			canary := filepath.Join(filepath.Dir(store.Dir), "canary")
			if err := os.WriteFile(canary, []byte("alive"), 0o600); err != nil {
				t.Fatal(err)
			}
			content := pack(t, c.entries...)
			_, err := store.Layers(context.Background(), imageOf(content))
			contains(t, err, "layer "+digestOf(content).String()+": ")
			contains(t, err, c.want)
			checkClean(t, store)
			if exists(store.layer(digestOf(content).Hex)) {
				t.Error("the layer is in the store")
			}
			if readFile(t, canary) != "alive" {
				t.Error("the canary is dead")
			}
		})
	}
}

// TestLimits shows that a layer that would fill the disk is stopped.
func TestLimits(t *testing.T) {
	var many []tar.Header
	for i := range 20 {
		many = append(many, file(fmt.Sprint(i), ""))
	}
	bomb := compress(t, pack(t, file("zeros", strings.Repeat("\x00", 10<<20))))
	padded := append(pack(t, file("f", "x")), make([]byte, 3<<20)...)
	for _, c := range []struct {
		finding, want string
		layer         layer
		store         Store
	}{
		{"many entries", `entry "10": is past the limit of 10 entries`, memory(pack(t, many...), pack(t, many...)), Store{MaxEntries: 10}},
		{"implied directories count", `entry "a/b/c/d/e": is past the limit of 4 entries`, memory(nil, pack(t, file("a/b/c/d/e", ""))), Store{MaxEntries: 4}},
		{"compressed zeros", `entry "zeros": files of more than 1048576 bytes in all`, memory(nil, bomb), Store{MaxBytes: 1 << 20}},
		{"zeros after the end", `is larger than 1048576 bytes unpacked`, memory(nil, compress(t, padded)), Store{MaxBytes: 1 << 20}},
	} {
		t.Run(c.finding, func(t *testing.T) {
			store := newStore(t)
			store.MaxEntries, store.MaxBytes = c.store.MaxEntries, c.store.MaxBytes
			_, err := store.Layers(context.Background(), &Image{layers: []layer{c.layer}})
			contains(t, err, c.want)
			checkClean(t, store)
		})
	}
}

// TestSparse shows that holes stay holes and count with their full size.
func TestSparse(t *testing.T) {
	store := newStore(t)
	work := t.TempDir()
	name := filepath.Join(work, "sparse")
	if err := os.WriteFile(name, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, 64<<20); err != nil {
		t.Fatal(err)
	}
	end, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	end.WriteString("the end")
	end.Close()
	for _, format := range []string{"gnu", "posix"} {
		content, err := exec.Command("tar", "-C", work, "--format="+format, "-S", "-c", "sparse").Output()
		if err != nil {
			t.Fatal(err)
		}
		if len(content) > 1<<20 {
			t.Fatalf("%s: the tar has no holes", format)
		}
		unpacked := mustUnpack(t, store, imageOf(content))
		made := filepath.Join(unpacked.Layers[0], "sparse")
		var status unix.Stat_t
		if err := unix.Stat(made, &status); err != nil {
			t.Fatal(err)
		}
		if status.Size != 64<<20+7 || status.Blocks*512 > 2<<20 {
			t.Errorf("%s: size %d, %d bytes on disk", format, status.Size, status.Blocks*512)
		}
		if got := readFile(t, made); !strings.HasSuffix(got, "\x00the end") {
			t.Errorf("%s: wrong end", format)
		}
		limited := newStore(t)
		limited.MaxBytes = 32 << 20
		_, err = limited.Layers(context.Background(), imageOf(content))
		contains(t, err, `entry "sparse": files of more than 33554432 bytes in all`)
	}
}

// TestMetadata shows what is kept of an entry and what is not.
func TestMetadata(t *testing.T) {
	store := newStore(t)
	root, program, tmp := dir("./"), file("/usr/bin/su", "program"), dir("tmp/")
	root.Mode = 0o711
	program.Mode, program.Uid, program.Gid = 0o4755, 12, 100_000
	capability := "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	for name, value := range map[string]string{"user.note": "kept", "security.capability": capability, "trusted.overlay.redirect": "/etc",
		"user.overlay.metacopy": "", "security.selinux": "system_u:object_r:bin_t:s0", "system.posix_acl_access": "x"} {
		program.PAXRecords[attributeKey+name] = value
	}
	tmp.Mode = 0o1777
	link, sub := symlink("etc/mtab", "/proc/mounts"), dir("tmp/sub")
	sub.Mode = 0
	unpacked := mustUnpack(t, store, imageOf(pack(t, root, program, tmp, file("tmp/later", ""), sub, file("tmp/sub/f", "x"), link,
		hardlink("bin/sudo", "usr/bin/su"), tar.Header{Typeflag: tar.TypeFifo, Name: "pipe", Mode: 0o666, ModTime: moment},
		tar.Header{Typeflag: tar.TypeBlock, Name: "disk", Devmajor: 7, Devminor: 300, Mode: 0o660, ModTime: moment})))
	top := unpacked.Layers[0]
	for _, c := range []struct {
		name     string
		mode     uint32
		uid, gid uint32
		time     int64
	}{
		{".", unix.S_IFDIR | 0o711, 0, 0, moment.Unix()},
		{"usr", unix.S_IFDIR | 0o755, 0, 0, 0},
		{"usr/bin", unix.S_IFDIR | 0o755, 0, 0, 0},
		{"usr/bin/su", unix.S_IFREG | 0o4755, 12, 100_000, moment.Unix()},
		{"bin/sudo", unix.S_IFREG | 0o4755, 12, 100_000, moment.Unix()},
		{"tmp", unix.S_IFDIR | 0o1777, 0, 0, moment.Unix()},
		{"tmp/sub", unix.S_IFDIR, 0, 0, moment.Unix()},
		{"etc/mtab", unix.S_IFLNK | 0o777, 0, 0, moment.Unix()},
		{"pipe", unix.S_IFIFO | 0o666, 0, 0, moment.Unix()},
		{"disk", unix.S_IFBLK | 0o660, 0, 0, moment.Unix()},
	} {
		var status unix.Stat_t
		if err := unix.Lstat(filepath.Join(top, c.name), &status); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if status.Mode != c.mode || status.Uid != c.uid || status.Gid != c.gid || status.Mtim.Sec != c.time {
			t.Errorf("%s: mode %o owner %d:%d time %d", c.name, status.Mode, status.Uid, status.Gid, status.Mtim.Sec)
		}
		if c.name == "disk" && status.Rdev != unix.Mkdev(7, 300) {
			t.Errorf("disk: device %x", status.Rdev)
		}
	}
	names := make([]byte, 4096)
	n, err := unix.Llistxattr(filepath.Join(top, "usr/bin/su"), names)
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(names[:n]), "\x00"), "\x00") {
		if name != "user.note" && name != "security.capability" {
			t.Errorf("attribute %s was kept", name)
		}
	}
	value := make([]byte, 64)
	n, err = unix.Lgetxattr(filepath.Join(top, "usr/bin/su"), "security.capability", value)
	if err != nil || string(value[:n]) != capability {
		t.Errorf("security.capability is %x, %v", value[:n], err)
	}
	if target, _ := os.Readlink(filepath.Join(top, "etc/mtab")); target != "/proc/mounts" {
		t.Errorf("link to %s", target)
	}
}

// TestLaterEntryWins shows what becomes of a name that a layer lists twice.
func TestLaterEntryWins(t *testing.T) {
	for _, c := range []struct {
		finding, name, want string
		entries             []tar.Header
	}{
		{"file again", "f", "two", []tar.Header{file("f", "one, longer"), file("f", "two")}},
		{"file over directory", "d", "two", []tar.Header{file("d/x/y", "one"), file("d", "two")}},
		{"directory over file", "d/x", "two", []tar.Header{file("d", "one"), dir("d"), file("d/x", "two")}},
		{"file over outward link", "l", "two", []tar.Header{symlink("l", "/etc/passwd"), file("l", "two")}},
		{"directory over outward link", "l/passwd", "two", []tar.Header{symlink("l", "/etc"), dir("l"), file("l/passwd", "two")}},
		{"link over directory in use", "b/x", "two", []tar.Header{file("b/k", "1"), file("a/x", "one"), symlink("a", "b"), file("a/x", "two")}},
		{"file through inner link", "usr/lib/x", "two", []tar.Header{dir("usr/lib"), symlink("lib", "usr/lib"), file("lib/x", "two")}},
		{"hard link over file", "g", "one", []tar.Header{file("f", "one"), file("g", "two"), hardlink("g", "f")}},
		{"hard link to itself", "f", "one", []tar.Header{file("f", "one"), hardlink("./f", "f")}},
		{"hard link to itself by another way", "a/f", "one", []tar.Header{file("a/f", "one"), symlink("b", "a"), hardlink("b/f", "a/f")}},
		{"whiteout of what the layer has", "f", "one", []tar.Header{file("f", "one"), file(".wh.f", "")}},
		{"file over whiteout", "f", "one", []tar.Header{file(".wh.f", ""), file("f", "one")}},
		{"directory implied over whiteout", "d/e/f", "one", []tar.Header{file(".wh.d", ""), file("d/e/f", "one")}},
	} {
		t.Run(c.finding, func(t *testing.T) {
			unpacked := mustUnpack(t, newStore(t), imageOf(pack(t, c.entries...)))
			if got := readFile(t, filepath.Join(unpacked.Layers[0], c.name)); got != c.want {
				t.Errorf("%s holds %q", c.name, got)
			}
		})
	}
}

// FuzzUnpack feeds arbitrary bytes as a tar; whatever comes of it, nothing outside the layer may change.
func FuzzUnpack(f *testing.F) {
	f.Add(pack(f, dir("./"), file("a/b", "x"), symlink("l", "../../"), file("l/x", "x")))
	f.Add(pack(f, file("a/f", "x"), hardlink("b", "a/f"), file(".wh.c", ""), file("d/.wh..wh..opq", "")))
	f.Add(pack(f, symlink("a", "/"), hardlink("b", "a/canary"), file("../canary", "dead")))
	f.Add(pack(f, tar.Header{Typeflag: tar.TypeChar, Name: "n", Devmajor: 1, Devminor: 3}, dir("n"), file("n/x", "y")))
	if os.Geteuid() != 0 {
		f.Skip("unpacking needs root")
	}
	outside := f.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "canary"), []byte("alive"), 0o600); err != nil {
		f.Fatal(err)
	}
	var before unix.Stat_t
	if err := unix.Lstat(filepath.Join(outside, "canary"), &before); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		into := filepath.Join(outside, fmt.Sprintf("layer%d", os.Getpid()))
		if err := os.Mkdir(into, 0o755); err != nil {
			t.Fatal(err)
		}
		err := unpack(context.Background(), bytes.NewReader(content), into, nil, 1000, 1<<20)
		if err := os.RemoveAll(into); err != nil {
			t.Error(err)
		}
		if readFile(t, filepath.Join(outside, "canary")) != "alive" {
			t.Error("the canary is dead")
		}
		var after unix.Stat_t
		if err := unix.Lstat(filepath.Join(outside, "canary"), &after); err != nil || after.Mode != before.Mode || after.Uid != before.Uid ||
			after.Nlink != 1 || after.Mtim != before.Mtim || after.Ctim != before.Ctim {
			t.Errorf("the canary has changed: %+v, %v", after, err)
		}
		left, readErr := os.ReadDir(outside)
		if readErr != nil {
			t.Fatal(readErr)
		}
		for _, item := range left {
			if item.Name() != "canary" && !strings.HasPrefix(item.Name(), "layer") {
				t.Errorf("%s was made outside (%v)", item.Name(), err)
			}
		}
	})
}

// TestSameAsTar unpacks the host's /etc and compares every name, kind, mode, owner, size, time and link with GNU tar's.
func TestSameAsTar(t *testing.T) {
	store := newStore(t)
	content, err := exec.Command("tar", "--format=posix", "--ignore-failed-read", "-C", "/", "-c", "etc").Output()
	if err != nil && len(content) == 0 {
		t.Fatal(err)
	}
	reference := t.TempDir()
	extract := exec.Command("tar", "-C", reference, "--same-owner", "-p", "-x")
	extract.Stdin = bytes.NewReader(content)
	if output, err := extract.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	unpacked := mustUnpack(t, store, imageOf(content))
	listing := func(root string) string {
		output, err := exec.Command("sh", "-c", `cd "$0/etc" && find . -printf '%p %y %m %U %G %T@ %l %n\n' -type f -printf '%s\n' -exec cksum {} \; | sort`, root).Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(output)
	}
	got, want := listing(unpacked.Layers[0]), listing(reference)
	if got != want || strings.Count(got, "\n") < 50 {
		t.Errorf("differs from tar:\n%s", firstDifference(got, want))
	}
}

func firstDifference(got, want string) string {
	wanted := strings.Split(want, "\n")
	for i, text := range strings.Split(got, "\n") {
		if i >= len(wanted) || text != wanted[i] {
			return fmt.Sprintf("line %d: %s", i, text)
		}
	}
	return "it has more lines"
}

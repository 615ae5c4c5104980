// SPDX-License-Identifier: Apache-2.0

package image

import (
	"archive/tar"
	"path"
	"slices"
	"strings"
	"testing"
)

// TestCheckNames holds the names that a tar writer would not write, and those that are all right.
func TestCheckNames(t *testing.T) {
	for _, c := range []struct{ name, parent, base, err string }{
		{"/etc/x", "etc", "x", ""},
		{"//etc///x", "etc", "x", ""},
		{"./", ".", ".", ""},
		{"/", ".", ".", ""},
		{"..x/y..", "..x", "y..", ""},
		{"...", ".", "...", ""},
		{"\xff\xfe", ".", "\xff\xfe", ""},
		{"a\x00b", "", "", "name contains a NUL byte"},
		{"a/..", "", "", `name has a ".." component`},
		{"a/../../b", "", "", "leads out of the root file system"},
		{"/..", "", "", "leads out of the root file system"},
	} {
		e, err := check(&tar.Header{Typeflag: tar.TypeDir, Name: c.name})
		if c.err != "" {
			contains(t, err, c.err)
			continue
		}
		if err != nil || e.parent != c.parent || e.base != c.base {
			t.Errorf("%q: %q in %q, %v", c.name, e.base, e.parent, err)
		}
	}
	for want, header := range map[string]tar.Header{
		"symbolic link to a name that contains a NUL byte":     symlink("l", "a\x00b"),
		"hard link to \"a\\x00b\": name contains a NUL byte":   hardlink("l", "a\x00b"),
		"symbolic link to a name longer than 4095 bytes":       symlink("l", strings.Repeat("x", 5000)),
		"owner -1 is out of range":                             {Typeflag: tar.TypeDir, Name: "d", Gid: -1},
		"device number -1:0 is out of range":                   {Typeflag: tar.TypeBlock, Name: "d", Devmajor: -1},
		"hard link to \"a/../b\": name has a \"..\" component": hardlink("l", "a/../b"),
	} {
		_, err := check(&header)
		contains(t, err, want)
	}
}

func FuzzCheck(f *testing.F) {
	f.Add("usr/bin/x", "target", byte(tar.TypeReg), int64(0o755), int64(1), int64(3))
	f.Add("../.wh..wh..opq", "/", byte(tar.TypeLink), int64(-1), int64(-1), int64(0))
	f.Add("//", "..", byte(tar.TypeReg), int64(40), int64(-11), int64(-110))
	f.Add(".wh.x", "..", byte(tar.TypeChar), int64(0), int64(0), int64(0))
	f.Fuzz(func(t *testing.T, name, target string, kind byte, mode, major, minor int64) {
		e, err := check(&tar.Header{Typeflag: kind, Name: name, Linkname: target, Mode: mode, Devmajor: major, Devminor: minor})
		if err != nil {
			return
		}
		names := []string{path.Join(e.parent, e.base)}
		if e.kind == hardLink {
			names = append(names, e.target)
		}
		for _, made := range names {
			if path.IsAbs(made) || path.Clean(made) != made || slices.Contains(strings.Split(made, "/"), "..") || strings.ContainsRune(made, 0) {
				t.Errorf("name %q of %q, target %q", made, name, target)
			}
		}
		if strings.Contains(e.base, "/") || e.base == ".." || e.base == "" || e.base == "." && e.kind != directory {
			t.Errorf("%q is made as %q", name, e.base)
		}
		if e.kind == characterDevice && e.major == 0 && e.minor == 0 || e.mode > 0o7777 {
			t.Errorf("device %d:%d, mode %o", e.major, e.minor, e.mode)
		}
	})
}

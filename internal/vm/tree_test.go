// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/bulkhead-project/bulkhead/internal/vm/cpio"
)

func TestLddOutput(t *testing.T) {
	got, err := parseLdd("\tlinux-vdso.so.1 (0x7f00)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x7f01)\n\t/lib64/ld-linux-x86-64.so.2 (0x7f02)\n")
	want := []string{"/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	if paths, err := parseLdd("\tlibgone.so.1 => not found\n"); err == nil {
		t.Errorf("a missing library gave %q", paths)
	}
}

// listing returns "NAME MODE CONTENT" for each entry.
func listing(t *testing.T, files tree) []string {
	t.Helper()
	var image bytes.Buffer
	if err := files.archive(&image); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for reader := cpio.NewReader(&image); ; {
		header, err := reader.Next()
		if err == io.EOF {
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %o %s", header.Name, header.Mode, content)))
	}
}

func TestDirectoryIsAddedWithItsLinks(t *testing.T) {
	host := t.TempDir()
	for _, err := range []error{
		os.Mkdir(filepath.Join(host, "sub"), 0o700),
		os.WriteFile(filepath.Join(host, "sub/file"), []byte("text"), 0o640),
		os.Symlink("file", filepath.Join(host, "sub/link")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	files := tree{}
	if err := files.add(host, "/a/b"); err != nil {
		t.Fatal(err)
	}
	want := []string{"a 40755", "a/b 40755", "a/b/sub 40755", "a/b/sub/file 100640 text", "a/b/sub/link 120777 file"}
	if got := listing(t, files); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDynamicProgramBringsItsLibraries(t *testing.T) {
	program := "/bin/ls"
	if dynamic, err := isDynamic(program); err != nil || !dynamic {
		t.Skipf("%s is not dynamic here", program)
	}
	files := tree{}
	if err := files.add(program, program); err != nil {
		t.Fatal(err)
	}
	if n := files[program]; n.host == "" {
		t.Error("the program is not in the tree")
	}
	found := 0
	for path := range files {
		if strings.Contains(path, "/libc.so") || strings.Contains(path, "/ld-linux") {
			found++
		}
	}
	if found < 2 {
		t.Errorf("neither C library nor loader in %d files", len(files))
	}
}

func TestWhatTheGuestCannotHaveIsAnError(t *testing.T) {
	host := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(host, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (tree{}).add(host, "/x"); err == nil {
		t.Error("a pipe was added")
	}
	if err := (tree{}).add(filepath.Join(host, "gone"), "/x"); err == nil {
		t.Error("a missing file was added")
	}
}

// SPDX-License-Identifier: Apache-2.0

package reach

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
)

// describe returns everything that a result says.
func describe(r *Result) string {
	text := fmt.Sprintln(r.ABI.Name, r.Objects, r.Unresolved, r.Missing, r.Undefined, r.Loads)
	for _, c := range r.Calls {
		text += fmt.Sprintln(c.ABI.Name, c.Call, c.Number, c.Sites)
	}
	return text
}

const smallProgram = "start: bf27000000 call:wrapper c3\nwrapper: 89f8 0f05 c3"

func TestFilesThatAreNotUnderstoodAreErrors(t *testing.T) {
	good := listing{elf.EM_X86_64, smallProgram}.assemble(t)
	edited := func(at int, bytes ...byte) []byte {
		text := slices.Clone(good)
		copy(text[at:], bytes)
		return text
	}
	for _, test := range []struct {
		name string
		text []byte
		want string
	}{
		{"Empty", nil, "EOF"},
		{"Script", []byte("#!/bin/sh\necho a rather long text\n" + strings.Repeat("#", 64)), "a script"},
		{"Text", []byte(strings.Repeat("words ", 20)), "bad magic"},
		{"OtherArchitecture", edited(18, 243, 0), "EM_RISCV"},
		{"OtherByteOrder", listing{elf.EM_AARCH64, "start: =d65f03c0"}.assemble(t)[:20], "EOF"},
		{"ObjectFile", edited(16, 1, 0), "ET_REL"},
		{"SegmentBeyondTheFile", edited(64+32, 0, 0, 0, 0, 1), "not in the file"},
		{"SegmentBeyondTheAddressSpace", edited(64+16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), "beyond the address space"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Program(tree{"/p": test.text}.open, "/p", Options{})
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "/p: ") {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
	if _, err := Program(tree{}.open, "/p", Options{}); err == nil {
		t.Error("a program that is not there is no error")
	}
}

func TestLimitsAreErrors(t *testing.T) {
	files := tree{"/p": listing{elf.EM_X86_64, smallProgram}.assemble(t)}
	for _, limits := range []Limits{{Instructions: 3}, {Bytes: 100}} {
		if _, err := Program(files.open, "/p", Options{Limits: limits}); err == nil {
			t.Errorf("%+v: no error", limits)
		}
	}
	if _, err := Program(files.open, "/p", Options{Libraries: []string{"/p"}, Limits: Limits{Objects: 1}}); err == nil {
		t.Error("a second file is no error")
	}
}

func TestNamesHaveWhatTheKernelMakesByItself(t *testing.T) {
	text := "start: b80d000000 0f05 c3" // rt_sigaction
	result, err := Program(tree{"/p": listing{elf.EM_X86_64, text}.assemble(t)}.open, "/p", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if names := result.Names(); !slices.Equal(names, []string{"restart_syscall", "rt_sigaction", "rt_sigreturn"}) {
		t.Errorf("%v", names)
	}
}

func TestStrippedProgramIsTakenAsAWhole(t *testing.T) {
	text := listing{elf.EM_X86_64, "start: c3 909090\nother: b827000000 0f05 c3"}.assemble(t)
	binary.LittleEndian.PutUint16(text[60:], 0) // no sections
	binary.LittleEndian.PutUint16(text[62:], 0)
	binary.LittleEndian.PutUint64(text[40:], 0)
	result, err := Program(tree{"/p": text}.open, "/p", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(result.Names(), "getpid") {
		t.Errorf("%v", result.Names())
	}
}

func TestLibrariesAreLookedForWhereTheLinkerLooks(t *testing.T) {
	program := &object{path: "/opt/app/bin/app", origin: "/opt/app/bin", word: 8, rpath: []string{"$ORIGIN/../lib"}}
	plain := &object{path: "/opt/app/lib/one.so", origin: "/opt/app/lib", word: 8}
	modern := &object{path: "/opt/app/lib/two.so", origin: "/opt/app/lib", word: 8, runpath: []string{"${ORIGIN}/private", "relative"}}
	l := loader{objects: []*object{program}, cache: map[string][]string{"libx.so": {"/cached/libx.so"}}, paths: []string{"/lib"}}
	for _, test := range []struct {
		by   *object
		name string
		want []string
	}{
		{program, "libx.so", []string{"/opt/app/lib/libx.so", "/opt/app/lib/libx.so", "/cached/libx.so", "/lib/libx.so"}},
		{plain, "libx.so", []string{"/opt/app/lib/libx.so", "/cached/libx.so", "/lib/libx.so"}},
		{modern, "libx.so", []string{"/opt/app/lib/private/libx.so", "/cached/libx.so", "/lib/libx.so"}},
		{plain, "$ORIGIN/sub/liby.so", []string{"/opt/app/lib/sub/liby.so"}},
		{plain, "../../../etc/x", []string{"/etc/x"}},
	} {
		if got := l.candidates(test.name, test.by); !slices.Equal(got, test.want) {
			t.Errorf("%s of %s: %v, want %v", test.name, test.by.path, got, test.want)
		}
	}
}

// cacheOf makes a cache of one library.
func cacheOf(name, path string, hardware uint64) []byte {
	var w bytes.Buffer
	w.WriteString("ld.so-1.7.0 an older table\x00")
	start := w.Len()
	w.WriteString(cacheMagic)
	head := make([]byte, cacheHeader-len(cacheMagic))
	binary.LittleEndian.PutUint32(head, 1)
	w.Write(head)
	text := w.Len() - start + cacheEntry
	binary.Write(&w, binary.LittleEndian, []uint32{0x303, uint32(text), uint32(text + len(name) + 1), 0})
	binary.Write(&w, binary.LittleEndian, hardware)
	w.WriteString(name + "\x00" + path + "\x00")
	return w.Bytes()
}

func TestCacheIsRead(t *testing.T) {
	if got := readCache(cacheOf("libx.so.1", "/opt/libx.so.1", 0), binary.LittleEndian); !slices.Equal(got["libx.so.1"], []string{"/opt/libx.so.1"}) {
		t.Errorf("%v", got)
	}
	if got := readCache(cacheOf("libx.so.1", "/opt/libx.so.1", 1<<62), binary.LittleEndian); len(got) > 0 {
		t.Errorf("a variant for some processors: %v", got)
	}
}

func FuzzCache(f *testing.F) {
	f.Add(cacheOf("libx.so.1", "/opt/libx.so.1", 0))
	f.Fuzz(func(t *testing.T, data []byte) {
		for name, paths := range readCache(data, binary.LittleEndian) {
			if len(paths) == 0 || len(name) > len(data) {
				t.Errorf("%q: %v", name, paths)
			}
		}
	})
}

// FuzzProgram gives whatever it is for the program and for all of its libraries.
func FuzzProgram(f *testing.F) {
	for _, test := range resolutions {
		f.Add(listing{test.machine, test.text}.assemble(f))
	}
	if text, err := os.ReadFile("/bin/true"); err == nil { // one with a dynamic table, unwinding tables and a linker
		f.Add(text)
	}
	limits := Limits{Objects: 4, Bytes: 1 << 20, Instructions: 100_000}
	f.Fuzz(func(t *testing.T, text []byte) {
		result, err := Program(func(string) (io.ReaderAt, error) { return bytes.NewReader(text), nil }, "/p", Options{Limits: limits})
		if err != nil {
			return
		}
		for _, c := range result.Calls {
			if c.Call.String() == "" || len(c.Sites) == 0 {
				t.Errorf("call %+v", c)
			}
		}
	})
}

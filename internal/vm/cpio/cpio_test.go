// SPDX-License-Identifier: Apache-2.0

package cpio

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

type entry struct {
	Header
	content string
}

func archive(t testing.TB, entries []entry) []byte {
	t.Helper()
	var output bytes.Buffer
	w := NewWriter(&output)
	for _, e := range entries {
		e.Size = int64(len(e.content))
		if err := w.Add(e.Header, strings.NewReader(e.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return output.Bytes()
}

var sample = []entry{
	{Header: Header{Name: "a", Mode: Directory | 0o755}},
	{Header: Header{Name: "a/file", Mode: Regular | 0o4755}, content: "hello"},
	{Header: Header{Name: "a/link", Mode: Symlink | 0o777}, content: "file"},
	{Header: Header{Name: "console", Mode: CharDevice | 0o600, Major: 5, Minor: 1}},
}

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	r := NewReader(bytes.NewReader(archive(t, sample)))
	for _, want := range sample {
		got, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		want.Size = int64(len(want.content))
		if got != want.Header || string(content) != want.content {
			t.Errorf("got %+v %q, want %+v", got, content, want)
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("after the last entry: %v, want io.EOF", err)
	}
}

func TestContentsMayBeSkipped(t *testing.T) {
	r := NewReader(bytes.NewReader(archive(t, sample)))
	for range sample {
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCpioListsTheArchive(t *testing.T) {
	program, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal("no busybox: apt-get install busybox-static")
	}
	command := exec.Command(program, "cpio", "-t")
	command.Stdin = bytes.NewReader(archive(t, sample))
	output, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(output), "a\na/file\na/link\nconsole\n"; got != want {
		t.Errorf("busybox cpio lists %q, want %q", got, want)
	}
}

func TestWriterRefusesWhatTheFormatCannotHold(t *testing.T) {
	for name, header := range map[string]Header{
		"empty name":   {Mode: Regular},
		"NUL in name":  {Name: "a\x00b", Mode: Regular},
		"long name":    {Name: strings.Repeat("a", maxName), Mode: Regular},
		"large file":   {Name: "a", Size: maxSize + 1},
		"short source": {Name: "a", Size: 10},
	} {
		if err := NewWriter(io.Discard).Add(header, strings.NewReader("")); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestTruncatedArchiveIsAnError(t *testing.T) {
	whole := archive(t, sample)
	for cut := range len(whole) - headerSize {
		if err := drain(whole[:cut]); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
}

func drain(data []byte) error {
	r := NewReader(bytes.NewReader(data))
	for {
		if _, err := r.Next(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add(archive(f, sample))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := NewReader(bytes.NewReader(data))
		var again []entry
		for {
			header, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				return
			}
			content, err := io.ReadAll(r)
			if err != nil {
				return
			}
			again = append(again, entry{header, string(content)})
		}
		archive(t, again)
	})
}

// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSecondOpenerIsRefusedAndToldWho(t *testing.T) {
	path := filepath.Join(t.TempDir(), "blocks")
	first, err := CreateFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, readOnly := range []bool{false, true} {
		_, err = OpenFile(path, readOnly)
		if KindOf(err) != Busy || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
			t.Errorf("read-only %v: %v", readOnly, err)
		}
	}
	if _, err := CreateFile(path); KindOf(err) != Lost {
		t.Errorf("made twice: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := OpenFile(path, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestInheritedDescriptorHoldsTheLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "blocks")
	first, err := CreateFile(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := NewFile(first.file, false) // the same description, as a child has it
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestImageIsARegularFile(t *testing.T) {
	directory := t.TempDir()
	if err := os.Symlink("elsewhere", filepath.Join(directory, "link")); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFile(filepath.Join(directory, "link"), false); KindOf(err) != Lost {
		t.Error(err)
	}
	if _, err := OpenFile("/dev/null", false); KindOf(err) != Format {
		t.Error(err)
	}
}

func TestStoreInAFileEqualsTheModel(t *testing.T) {
	path := filepath.Join(t.TempDir(), "blocks")
	file, err := CreateFile(path)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Keys: testKeys(t, PolicyEncrypted), CachePages: 32}
	s, err := Create(file, o)
	if err != nil {
		t.Fatal(err)
	}
	var b Batch
	b.Put([]byte("a name that nobody may read"), []byte("a content that nobody may read"))
	if err := s.Apply(&b); err != nil {
		t.Fatal(err)
	}
	m, r := newModel(), rand.New(rand.NewPCG(4, 4))
	m.values["a name that nobody may read"] = []byte("a content that nobody may read")
	for range 3 {
		for range 60 {
			if err := m.step(t, s, r); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if file, err = OpenFile(path, false); err != nil {
			t.Fatal(err)
		}
		if s, err = Open(file, o); err != nil {
			t.Fatal(err)
		}
		if err := m.check(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"a name that nobody may read", "a content that nobody may read"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("%q is in the clear", secret)
		}
	}
}

func TestWritingBackBeginsEarlyOnlyForMuchData(t *testing.T) {
	type written struct{ offset, length, from, count int64 }
	const big = earlyMost / 4
	for _, test := range []struct {
		name   string
		writes []written
	}{
		{"SmallWritesAreLeftToTheSync", []written{{0, 4096, 0, 0}, {8 << 20, earlyLeast - 1, 0, 0}, {0, 0, 0, 0}}},
		{"AsMuchAsIsWorthIt", []written{{big, big, 0, 0}, {2 * big, big, 0, 0}, {3 * big, big, 0, 0}, {4 * big, big, big, 4 * big}}},
		{"OutOfOrder", []written{{3 * big, big, 0, 0}, {0, big, 0, 0}, {big, big, 0, 0}, {2 * big, big, 0, 4 * big}}},
		{"NothingTwice", []written{{0, earlyMost, 0, earlyMost}, {earlyMost, big, 0, 0}, {2 * earlyMost, earlyMost, earlyMost, 2 * earlyMost}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var e early
			for _, w := range test.writes {
				if from, count := e.wrote(w.offset, w.length); from != w.from || count != w.count {
					t.Errorf("%d bytes at %d: %d bytes from %d on, want %d from %d on", w.length, w.offset, count, from, w.count, w.from)
				}
			}
		})
	}
}

func TestWhatIsNoFileIsNoImage(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "blocks")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]Kind{fifo: Format, t.TempDir(): Format} {
		if _, err := OpenFile(path, true); KindOf(err) != want {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// SPDX-License-Identifier: Apache-2.0

package anchor

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/shield/store"
)

// disk is a Storage that keeps what a power cut would leave: durable is as of the last Sync.
type disk struct{ now, durable []byte }

func (d *disk) ReadAt(p []byte, offset int64) (int, error) {
	return bytes.NewReader(d.now).ReadAt(p, offset)
}

func (d *disk) WriteAt(p []byte, offset int64) (int, error) {
	if grow := int(offset) + len(p) - len(d.now); grow > 0 {
		d.now = append(d.now, make([]byte, grow)...)
	}
	return copy(d.now[offset:], p), nil
}

func (d *disk) Sync() error  { d.durable = bytes.Clone(d.now); return nil }
func (d *disk) Close() error { return nil }

var (
	master = bytes.Repeat([]byte{7}, 32)
	volume = [16]byte{1, 2, 3}
)

func on(t testing.TB, storage Storage) *File {
	t.Helper()
	f, err := NewFile(storage, master, volume)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func state(epoch, sequence uint64) store.State {
	return store.State{Epoch: epoch, Sequence: sequence, Root: [16]byte{byte(epoch), 9}, Clean: sequence == 0}
}

func do(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func load(t testing.TB, storage Storage) store.State {
	t.Helper()
	s, err := on(t, storage).Load(volume)
	do(t, err)
	return s
}

func TestVolumeThatWasNeverSeenHasTheZeroState(t *testing.T) {
	for _, content := range [][]byte{nil, make([]byte, 10), make([]byte, fileSize+100)} {
		if got := load(t, &disk{now: content}); got != (store.State{}) {
			t.Error(got)
		}
	}
}

func TestNotesSurviveTheProcessAndCommitsAPowerCut(t *testing.T) {
	d := &disk{}
	f := on(t, d)
	do(t, f.Commit(volume, state(1, 0)), f.Commit(volume, state(2, 0)), f.Note(volume, state(2, 1)), f.Note(volume, state(2, 2)))
	if got := load(t, d); got != state(2, 2) {
		t.Errorf("after a kill: %+v", got)
	}
	if got := load(t, &disk{now: d.durable}); got != state(2, 0) {
		t.Errorf("after a power cut: %+v", got)
	}
}

// Whatever a power cut leaves of the record that is being written, the last Commit is still there.
func TestTornRecordsLeaveTheLastCommit(t *testing.T) {
	d := &disk{}
	f := on(t, d)
	var last store.State
	for epoch := uint64(1); epoch < 6; epoch++ {
		before := bytes.Clone(d.durable)
		do(t, f.Commit(volume, state(epoch, 0)))
		for cut := 0; cut < len(d.durable) && last != (store.State{}); cut++ {
			torn := slices.Concat(d.durable[:cut], before[min(cut, len(before)):])
			if got := load(t, &disk{now: torn}); got != last && got != state(epoch, 0) {
				t.Fatalf("epoch %d, cut at %d: %+v", epoch, cut, got)
			}
		}
		last = state(epoch, 0)
		noted := bytes.Clone(d.now)
		do(t, f.Note(volume, state(epoch, 1)), f.Note(volume, state(epoch, 2)))
		for cut := range d.now {
			if got := load(t, &disk{now: slices.Concat(d.now[:cut], noted[min(cut, len(noted)):])}); got.Epoch != epoch {
				t.Fatalf("note of epoch %d, cut at %d: %+v", epoch, cut, got)
			}
		}
	}
}

func TestOpeningAgainKeepsTheCommitUntilTheNext(t *testing.T) {
	d := &disk{}
	f := on(t, d)
	do(t, f.Commit(volume, state(1, 0)), f.Commit(volume, state(2, 0)), f.Note(volume, state(2, 1)))
	for epoch := uint64(3); epoch < 8; epoch++ {
		f = on(t, d)
		if _, err := f.Load(volume); err != nil {
			t.Fatal(err)
		}
		do(t, f.Note(volume, state(epoch-1, 7))) // overwrites a note or an older commit, never the last one
		if got := load(t, &disk{now: d.durable}); got.Epoch != epoch-1 {
			t.Fatalf("before epoch %d: %+v", epoch, got)
		}
		d.durable = bytes.Clone(d.now) // the note reached the disk
		do(t, f.Commit(volume, state(epoch, 0)))
	}
}

func TestForgedAndForeignRecordsAreRefused(t *testing.T) {
	d := &disk{}
	f := on(t, d)
	do(t, f.Commit(volume, state(1, 0)), f.Commit(volume, state(2, 0)))
	for at := range recordSize {
		changed := bytes.Clone(d.now)
		changed[spacing*1+at] ^= 1
		if got, err := on(t, &disk{now: changed}).Load(volume); err != nil || got != state(1, 0) && got != state(2, 0) {
			t.Fatalf("one record changed at %d: %+v, %v", at, got, err)
		}
		changed[at] ^= 1
		if _, err := on(t, &disk{now: changed}).Load(volume); store.KindOf(err) != store.Tampered {
			t.Fatalf("both records changed at %d: %v", at, err)
		}
	}
	other, err := NewFile(d, bytes.Repeat([]byte{8}, 32), volume)
	do(t, err)
	if _, err := other.Load(volume); store.KindOf(err) != store.Tampered {
		t.Errorf("another key: %v", err)
	}
	if _, err := f.Load([16]byte{9}); err == nil {
		t.Error("another volume")
	}
	if f.Note([16]byte{9}, state(3, 0)) == nil || f.Commit([16]byte{9}, state(3, 0)) == nil {
		t.Error("another volume is noted")
	}
}

func TestPeekReadsWithoutTheKey(t *testing.T) {
	d := &disk{}
	f := on(t, d)
	do(t, f.Commit(volume, state(4, 0)), f.Note(volume, state(4, 3)))
	if got, err := Peek(d, volume); err != nil || got != state(4, 3) {
		t.Error(got, err)
	}
	if got, err := Peek(d, [16]byte{5}); err != nil || got != (store.State{}) {
		t.Error(got, err)
	}
}

func TestFileOfTheHostIsOnesOwn(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "made", "here")
	file, err := OpenFile(directory, volume)
	do(t, err)
	f := on(t, file)
	do(t, f.Commit(volume, state(1, 0)), f.Note(volume, state(1, 1)))
	if _, err := OpenFile(directory, volume); store.KindOf(err) != store.Busy {
		t.Errorf("a second opening: %v", err)
	}
	do(t, f.Close())
	file, err = OpenFile(directory, volume)
	do(t, err)
	if got := load(t, file); got != state(1, 1) {
		t.Error(got)
	}
	do(t, file.Close())
	status, err := os.Stat(file.Name())
	do(t, err)
	if status.Mode() != 0o600 || filepath.Base(file.Name()) != "01020300000000000000000000000000" {
		t.Error(status.Mode(), file.Name())
	}
	do(t, os.Remove(file.Name()), os.Symlink("/etc/passwd", file.Name()))
	if _, err := OpenFile(directory, volume); err == nil {
		t.Error("a symbolic link was followed")
	}
}

// An older copy of a volume is refused by the store that has the anchor, and taken without one: the control.
func TestStoreRefusesAnOlderCopyOfTheVolume(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "blocks")
	keys, err := store.NewKeys(master, volume, 1, store.PolicyEncrypted)
	do(t, err)
	anchored := func() *File {
		file, err := OpenFile(filepath.Join(root, "anchors"), volume)
		do(t, err)
		return on(t, file)
	}
	write := func(s *store.Store, value string) {
		var b store.Batch
		b.Put([]byte("K"), []byte(value))
		do(t, s.Apply(&b), s.Sync())
	}
	image, err := store.CreateFile(path)
	do(t, err)
	a := anchored()
	s, err := store.Create(image, store.Options{Keys: keys, Anchor: a})
	do(t, err)
	write(s, "old")
	do(t, s.Close(), a.Close())
	old, err := os.ReadFile(path)
	do(t, err)

	open := func(o store.Options) (*store.Store, error) {
		image, err := store.OpenFile(path, o.ReadOnly)
		do(t, err)
		o.Keys = keys
		s, err := store.Open(image, o)
		if err != nil {
			image.Close()
		}
		return s, err
	}
	a = anchored()
	s, err = open(store.Options{Anchor: a})
	do(t, err)
	write(s, "new")
	do(t, s.Close(), a.Close())

	do(t, os.WriteFile(path, old, 0o600))
	a = anchored()
	if _, err := open(store.Options{Anchor: a}); store.KindOf(err) != store.RolledBack {
		t.Errorf("the older copy: %v", err)
	}
	do(t, a.Close())
	s, err = open(store.Options{ReadOnly: true})
	do(t, err)
	do(t, s.Close())
	a = anchored()
	s, err = open(store.Options{Anchor: a, AcceptRollback: true})
	do(t, err)
	do(t, s.Close(), a.Close())
	a = anchored()
	s, err = open(store.Options{Anchor: a})
	do(t, err)
	do(t, s.Close(), a.Close())
}

func FuzzLoad(f *testing.F) {
	d := &disk{}
	a := on(f, d)
	do(f, a.Commit(volume, state(1, 0)), a.Note(volume, state(1, 1)))
	f.Add(d.now)
	f.Fuzz(func(t *testing.T, content []byte) {
		got, err := on(t, &disk{now: content}).Load(volume)
		if err == nil && got != (store.State{}) && got != state(1, 0) && got != state(1, 1) {
			t.Fatalf("%+v was made without the key", got)
		}
		if _, err := Peek(&disk{now: content}, volume); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzReply(f *testing.F) {
	f.Add([]byte("\x80\x02\x00\x00\x00\x1d\x00\x00\x00\x00\x00\x00\x00\x0a\x00\x08\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00"))
	f.Add([]byte("\x80\x01\x00\x00\x00\x0a\x00\x00\x01\x00"))
	f.Fuzz(func(t *testing.T, reply []byte) {
		c := &Counter{Device: struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(reply), io.Discard}, Index: 0x01800000}
		if _, err := c.Read(); err != nil && !strings.HasPrefix(err.Error(), "the TPM's counter 0x01800000: read: ") {
			t.Fatal(err)
		}
	})
}

func BenchmarkNote(b *testing.B) {
	file, err := OpenFile(b.TempDir(), volume)
	do(b, err)
	f := on(b, file)
	do(b, f.Commit(volume, state(1, 0)))
	for b.Loop() {
		if err := f.Note(volume, state(1, 1)); err != nil {
			b.Fatal(err)
		}
	}
}

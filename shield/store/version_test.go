// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write the image of the newest format version anew; those of older versions stay as they are")

// Images of each format version that was ever in use, killed with three groups in the log, and what is in them.
var versions = []struct{ file, digest string }{
	{"testdata/version1.gz", "144468d3949efe56"},
}

func TestImagesOfEveryVersionOpen(t *testing.T) {
	if *update {
		writeVersion(t, versions[len(versions)-1].file)
	}
	for _, version := range versions {
		image := readVersion(t, version.file)
		for _, readOnly := range []bool{true, false} {
			backing := NewMemory(1 << 30)
			backing.bytes = bytes.Clone(image)
			s, err := Open(backing, Options{Keys: testKeys(t, PolicyEncrypted), ReadOnly: readOnly, CheckpointAfter: -1})
			if err != nil {
				t.Fatal(err)
			}
			m, err := contents(s)
			if err != nil {
				t.Fatal(err)
			}
			digest := m.digest()
			if got := hex.EncodeToString(digest[:8]); got != version.digest {
				t.Errorf("%s: %s, want %s", version.file, got, version.digest)
			}
			if s.Recovery() != (Recovery{Groups: 3}) {
				t.Errorf("%s: %+v", version.file, s.Recovery())
			}
			report, err := s.Verify(nil, emitBlocks)
			if err != nil || report.Blocks != uint64(len(m.blocks)) || report.Leaked != 0 {
				t.Errorf("%s: %+v, %v", version.file, report, err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if readOnly != bytes.Equal(image, backing.bytes) {
				t.Errorf("%s: read-only is %v, the image is unchanged: %v", version.file, readOnly, !readOnly)
			}
		}
	}
}

func TestReadOnlyStoreRefusesChanges(t *testing.T) {
	backing := NewMemory(1 << 30)
	backing.bytes = readVersion(t, versions[0].file)
	s, err := Open(backing, Options{Keys: testKeys(t, PolicyEncrypted), ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var b Batch
	b.Put([]byte("k"), nil)
	for name, err := range map[string]error{
		"Apply": s.Apply(&b), "Checkpoint": s.Checkpoint(), "Write": s.WriteBlocks(Location{1, 1}, make([]byte, BlockSize), make([]Pointer, 1)),
	} {
		if KindOf(err) != ReadOnly {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func readVersion(t *testing.T, name string) []byte {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	image, err := io.ReadAll(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func writeVersion(t *testing.T, name string) {
	t.Helper()
	backing := NewMemory(1 << 30)
	s, err := Create(backing, Options{Keys: testKeys(t, PolicyEncrypted), CheckpointAfter: -1})
	if err != nil {
		t.Fatal(err)
	}
	stop(s)
	out := make([]Pointer, 6)
	plain := make([]byte, len(out)*BlockSize)
	for i := range plain {
		plain[i] = byte(i / BlockSize)
	}
	for round, end := range []func() error{s.Checkpoint, s.Sync, s.Sync, s.Sync} {
		var b Batch
		switch round {
		case 0:
			for i := range 12 {
				b.Put(fmt.Appendf(nil, "key %02d", i), bytes.Repeat([]byte{byte('a' + i)}, 900))
			}
			err = s.WriteBlocks(Location{7, 100}, plain, out)
			for i := range out {
				b.Put(blockKey(Location{7, 100 + uint64(i)}), out[i][:])
			}
		case 1:
			b.Delete([]byte("key 03"))
			b.Patch([]byte("key 04"), 100, []byte("patched"))
			b.Patch([]byte("new"), 3, []byte("grown"))
		case 2:
			old := out[2]
			err = s.WriteBlocks(Location{7, 102}, plain[:BlockSize], out[2:3])
			s.Free(&b, old)
			b.Put(blockKey(Location{7, 102}), out[2][:])
		case 3:
			b.Delete(blockKey(Location{7, 105}))
			s.Free(&b, out[5])
		}
		if err = errors.Join(err, s.Apply(&b), end()); err != nil {
			t.Fatal(err)
		}
	}
	m, err := contents(s)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	writer, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	_, err = writer.Write(backing.bytes)
	if err = errors.Join(err, writer.Close()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, packed.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	digest := m.digest()
	t.Logf("%s: %x", name, digest[:8])
}

func TestWorkedSizesOfTheFormatHold(t *testing.T) {
	s, err := Create(NewMemory(1<<30), Options{Keys: testKeys(t, PolicyEncrypted), CheckpointAfter: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if total, used, _ := s.space.count(); total != 1024 || used != 2+256+1 {
		t.Errorf("an empty image has %d blocks and uses %d", total, used)
	}
	for group := range uint64(8192) { // of a file of 1 GiB
		var b Batch
		b.Put(blockKey(Location{1, group}), make([]byte, groupPointers*len(Pointer{})))
		if err := s.Apply(&b); err != nil {
			t.Fatal(err)
		}
	}
	report, err := s.Verify(nil, nil)
	if err != nil || report.Pages != 2769 { // the free map is in the last leaf
		t.Errorf("%d pages, %v", report.Pages, err)
	}
	var b Batch
	b.Patch(blockKey(Location{1, 7}), 36, make([]byte, 36))
	s.Free(&b, makePointer(5000, 0))
	if n := len(encodeGroup([]run{{5001, 1}}, make([]placed, 1), [][]byte{b.encoded})); n != 152 {
		t.Errorf("a group of %d bytes", n)
	}
}

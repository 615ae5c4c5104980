// SPDX-License-Identifier: Apache-2.0

// Package anchor keeps the newest state of a volume outside of it, so that an older copy of the whole volume is not taken for the volume.
//
// File is a file of two records. It survives the end of the process at any instant, and a power cut back to the last checkpoint. It holds nothing secret, and nobody
// without the volume's key makes a record; who may write it can put back an older one, together with the volume of that time. TPM has a counter in a TPM 2.0 count along,
// and refuses records of before the last count.
//
// Neither is safe for concurrent use: package store calls its anchor from one goroutine at a time.
package anchor

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/bulkhead-project/bulkhead/shield/store"
)

// The file is two records, each at the start of a block of its own, so that a torn write of one leaves the other whole. A record is, integers little endian:
//
//	 0  8   magic
//	 8  16  volume ID
//	24  8   epoch
//	32  8   sequence
//	40  16  tag of the root block
//	56  1   1: the volume was closed
//	57  1   1: made by Commit, so that it was durable before anything went on
//	58  6   zero
//	64  8   the TPM's counter that it goes with; 0 without a TPM
//	72  32  HMAC-SHA256 of what is before, under a key of the master key
const (
	magic      = "bkanchr1"
	bodySize   = 72
	recordSize = bodySize + sha256.Size
	spacing    = 4096
	fileSize   = spacing + recordSize
)

// Storage is what a File writes to: an *os.File that was opened with OpenFile.
type Storage interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
	Close() error
}

// File is an anchor that is a file of the host.
type File struct {
	storage   Storage
	volume    [16]byte
	key       []byte
	counter   uint64 // that records go with
	committed int    // which of the records is not to be overwritten but by one that becomes durable
}

// NewFile returns the anchor of a volume. It closes the storage when it is closed.
func NewFile(storage Storage, master []byte, volume [16]byte) (*File, error) {
	key, err := hkdf.Key(sha256.New, master, volume[:], "bulkhead shield v1 anchor", sha256.Size)
	if err != nil {
		return nil, err
	}
	return &File{storage: storage, volume: volume, key: key}, nil
}

// record is one that was read.
type record struct {
	state     store.State
	counter   uint64
	committed bool
}

// Load returns the newest state that was noted or committed, and the zero State for a file that holds nothing.
func (f *File) Load(volume [16]byte) (store.State, error) {
	newest, err := f.load(volume)
	return newest.state, err
}

func (f *File) load(volume [16]byte) (newest record, err error) {
	if volume != f.volume {
		return record{}, fmt.Errorf("the anchor is that of volume %x, not of %x", f.volume, volume)
	}
	text := make([]byte, fileSize)
	n, err := f.storage.ReadAt(text, 0)
	if err != nil && err != io.EOF {
		return record{}, err
	}
	if clear(text[n:]); len(bytes.Trim(text, "\x00")) == 0 {
		return record{}, nil
	}
	known := false
	var last record // newest of the committed ones
	for i := range 2 {
		read, ok := f.parse(text[i*spacing:][:recordSize])
		if !ok {
			continue
		}
		if !known || newer(read, newest) {
			newest = read
		}
		known = true
		if read.committed && (last == (record{}) || newer(read, last)) {
			last, f.committed = read, i
		}
	}
	if !known {
		return record{}, &store.Error{Kind: store.Tampered, Place: "the anchor's file", What: "none of its records is of this volume",
			Hint: "restore the file from a backup; without it, remove it, and nothing tells the volume from an older copy at its next opening"}
	}
	f.counter = newest.counter
	return newest, nil
}

func newer(a, b record) bool {
	if a.state.Epoch != b.state.Epoch {
		return a.state.Epoch > b.state.Epoch
	}
	if a.state.Sequence != b.state.Sequence {
		return a.state.Sequence > b.state.Sequence
	}
	return a.counter > b.counter
}

// Note writes the state without waiting for the disk.
func (f *File) Note(volume [16]byte, s store.State) error {
	return f.put(volume, record{s, f.counter, false})
}

// Commit writes the state, and returns when it is durable.
func (f *File) Commit(volume [16]byte, s store.State) error {
	if err := f.put(volume, record{s, f.counter, true}); err != nil {
		return err
	}
	if err := f.storage.Sync(); err != nil {
		return err
	}
	f.committed = 1 - f.committed
	return nil
}

// put writes into the record that may be lost.
func (f *File) put(volume [16]byte, r record) error {
	if volume != f.volume {
		return fmt.Errorf("the anchor is that of volume %x, not of %x", f.volume, volume)
	}
	_, err := f.storage.WriteAt(f.format(r), int64(1-f.committed)*spacing)
	return err
}

// Close closes the storage and overwrites the key.
func (f *File) Close() error {
	clear(f.key)
	return f.storage.Close()
}

func (f *File) format(r record) []byte {
	text := make([]byte, 0, recordSize)
	text = append(append(text, magic...), f.volume[:]...)
	text = binary.LittleEndian.AppendUint64(text, r.state.Epoch)
	text = binary.LittleEndian.AppendUint64(text, r.state.Sequence)
	text = append(text, r.state.Root[:]...)
	text = append(text, bit(r.state.Clean), bit(r.committed), 0, 0, 0, 0, 0, 0)
	text = binary.LittleEndian.AppendUint64(text, r.counter)
	return f.authenticate(text)
}

// authenticate appends the code.
func (f *File) authenticate(body []byte) []byte {
	mac := hmac.New(sha256.New, f.key)
	mac.Write(body)
	return mac.Sum(body)
}

func (f *File) parse(text []byte) (record, bool) {
	body := bytes.Clone(text[:bodySize])
	if !hmac.Equal(f.authenticate(body), text) {
		return record{}, false
	}
	return peek(body), true
}

// peek reads the fields of a record.
func peek(body []byte) record {
	r := record{store.State{Epoch: binary.LittleEndian.Uint64(body[24:]), Sequence: binary.LittleEndian.Uint64(body[32:]), Clean: body[56] == 1}, binary.LittleEndian.Uint64(body[64:]), body[57] == 1}
	copy(r.state.Root[:], body[40:56])
	return r
}

// Peek reads a file without the key: what it says is not confirmed. The zero State is that of a file that says nothing of the volume.
func Peek(from io.ReaderAt, volume [16]byte) (store.State, error) {
	text := make([]byte, fileSize)
	n, err := from.ReadAt(text, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return store.State{}, err
	}
	clear(text[n:])
	var newest record
	for i := range 2 {
		part := text[i*spacing:][:recordSize]
		if read := peek(part); string(part[:8]) == magic && bytes.Equal(part[8:24], volume[:]) && newer(read, newest) {
			newest = read
		}
	}
	return newest.state, nil
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// SPDX-License-Identifier: Apache-2.0

package label

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
)

// The journal is a row of transactions, one for each call of Set that changed something. All integers are unsigned varints but the checksum:
//
//	magic
//	record: kind (1 byte), size of the body, body, CRC-32C of all of these (4 bytes, little endian)
//
//	begin      1 if owners change, 1 if mount points are crossed, new user, new group, then the new label
//	label      a label that files of this transaction had; they are numbered from 1, 0 stands for none
//	directory  path of the directory, relative to the tree, that the files which follow are in; empty for the tree itself
//	file       inode, number of the label, user, group, mode, 1 if it has several hard links, then the name; "." for the tree itself
//	commit     commitMark
//
// Nothing of a transaction is done before its commit is on the disk. So what follows the last commit can be cut off, and a record that is
// damaged in front of one is an error.
const (
	magic      = "bhlabel\x01"
	commitMark = "\xb1label-journal\xb1\n"
	maximum    = 1 << 16 // of a body in bytes: names and labels end far below

	kindBegin     = 'B'
	kindLabel     = 'L'
	kindDirectory = 'D'
	kindFile      = 'F'
	kindCommit    = 'C'
)

// begin is what a transaction does.
type begin struct {
	Change
	crossed bool // mount points too
}

// entry is what a file had.
type entry struct {
	name     string
	inode    uint64
	label    []byte // nil: none
	uid, gid uint32
	mode     uint32 // chown(2) takes the set-user-ID and set-group-ID bits away
	linked   bool
}

// recorder encodes one transaction.
type recorder struct {
	out    *bufio.Writer
	begun  bool
	begin  begin
	labels map[string]uint64
	body   []byte
	whole  []byte
}

func newRecorder(out io.Writer, begin begin) *recorder {
	return &recorder{out: bufio.NewWriterSize(out, maximum), begin: begin, labels: map[string]uint64{}}
}

// add appends files of one directory. The transaction begins with the first.
func (r *recorder) add(directory string, files []entry) error {
	if !r.begun {
		r.begun = true
		r.record(kindBegin, r.begin.encode(r.body[:0]))
	}
	for _, file := range files {
		if file.label != nil && r.labels[string(file.label)] == 0 {
			r.labels[string(file.label)] = uint64(len(r.labels) + 1)
			r.record(kindLabel, append(r.body[:0], file.label...))
		}
	}
	r.record(kindDirectory, append(r.body[:0], directory...))
	for _, file := range files {
		number := uint64(0)
		if file.label != nil {
			number = r.labels[string(file.label)]
		}
		body := r.body[:0]
		for _, value := range []uint64{file.inode, number, uint64(file.uid), uint64(file.gid), uint64(file.mode), one(file.linked)} {
			body = binary.AppendUvarint(body, value)
		}
		r.record(kindFile, append(body, file.name...))
	}
	_, err := r.out.Write(nil) // a write that failed keeps failing
	return err
}

func (r *recorder) commit() error {
	r.record(kindCommit, append(r.body[:0], commitMark...))
	return r.out.Flush()
}

func (r *recorder) record(kind byte, body []byte) {
	r.body = body // its room is used again
	r.whole = appendRecord(r.whole[:0], kind, body)
	r.out.Write(r.whole)
}

func appendRecord(to []byte, kind byte, body []byte) []byte {
	start := len(to)
	to = binary.AppendUvarint(append(to, kind), uint64(len(body)))
	to = append(to, body...)
	return binary.LittleEndian.AppendUint32(to, crc32.Checksum(to[start:], castagnoli()))
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func one(yes bool) uint64 {
	if yes {
		return 1
	}
	return 0
}

func (b begin) encode(body []byte) []byte {
	owner := Owner{}
	if b.Owner != nil {
		owner = *b.Owner
	}
	for _, value := range []uint64{one(b.Owner != nil), one(b.crossed), uint64(owner.UID), uint64(owner.GID)} {
		body = binary.AppendUvarint(body, value)
	}
	return append(body, b.Label...)
}

// span is a transaction in the journal, by the byte that it starts at.
type span struct {
	start int64
	files int // that it tells of
}

// errTorn says that a record does not end as it should.
var errTorn = errors.New("damaged record")

// reader decodes records.
type reader struct {
	in     *bufio.Reader
	offset int64
	body   []byte
}

func (r *reader) ReadByte() (byte, error) {
	b, err := r.in.ReadByte()
	if err == nil {
		r.offset++
	}
	return b, err
}

// next returns io.EOF at the end, and errTorn for a record that is not whole. The body is valid until the next call.
func (r *reader) next() (kind byte, body []byte, err error) {
	kind, err = r.ReadByte()
	if err != nil {
		return 0, nil, err
	}
	size, err := binary.ReadUvarint(r)
	if err != nil || size > maximum {
		return 0, nil, torn(err)
	}
	if uint64(cap(r.body)) < size+4 {
		r.body = make([]byte, size+4)
	}
	whole := r.body[:size+4]
	if n, err := io.ReadFull(r.in, whole); err != nil {
		r.offset += int64(n)
		return 0, nil, torn(err)
	}
	r.offset += int64(len(whole))
	head := binary.AppendUvarint([]byte{kind}, size)
	if crc32.Update(crc32.Checksum(head, castagnoli()), castagnoli(), whole[:size]) != binary.LittleEndian.Uint32(whole[size:]) {
		return 0, nil, errTorn
	}
	return kind, whole[:size], nil
}

// torn keeps an error of reading, where that is what went wrong.
func torn(err error) error {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || err.Error() == "binary: varint overflows a 64-bit integer" {
		return errTorn
	}
	return err
}

// transactions finds the committed ones. end is where the next one is to be written, 0 for a journal without a whole magic.
func transactions(in io.ReaderAt) (found []span, end int64, err error) {
	from := func(offset int64) io.Reader { return io.NewSectionReader(in, offset, math.MaxInt64-offset) }
	r := &reader{in: bufio.NewReaderSize(from(0), maximum)}
	start := make([]byte, len(magic))
	n, err := io.ReadFull(r.in, start)
	if string(start[:n]) != magic[:n] {
		return nil, 0, errors.New("not a journal of labels")
	}
	if err != nil {
		return nil, 0, ignoreEnd(err)
	}
	r.offset = int64(n)
	files := 0
	for end = r.offset; ; {
		at := r.offset
		kind, body, err := r.next()
		switch {
		case errors.Is(err, io.EOF):
			return found, end, nil
		case errors.Is(err, errTorn):
			if committed, err := contains(from(at), appendRecord(nil, kindCommit, []byte(commitMark))); committed || err != nil {
				return nil, 0, errors.Join(fmt.Errorf("%w at byte %d", errTorn, at), err)
			}
			return found, end, nil
		case err != nil:
			return nil, 0, err
		}
		if kind == kindFile {
			files++
		}
		if kind == kindCommit {
			if string(body) != commitMark {
				return nil, 0, fmt.Errorf("%w at byte %d", errTorn, at)
			}
			found = append(found, span{end, files})
			files = 0
			end = r.offset
		}
	}
}

func ignoreEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// contains looks for mark in what is left.
func contains(in io.Reader, mark []byte) (bool, error) {
	window := make([]byte, 0, 2*maximum)
	for {
		n, err := in.Read(window[len(window):cap(window)])
		window = window[:len(window)+n]
		if bytes.Contains(window, mark) {
			return true, nil
		}
		if err != nil {
			return false, ignoreEnd(err)
		}
		if keep := len(mark) - 1; len(window) > keep {
			window = window[:copy(window, window[len(window)-keep:])]
		}
	}
}

// replay calls visit with the files of one transaction, in batches of one directory each, none larger than batch.
func replay(in io.Reader, visit func(what begin, directory string, files []entry) error) error {
	r := &reader{in: bufio.NewReaderSize(in, maximum)}
	var (
		what      begin
		directory string
		labels    = [][]byte{nil}
		files     []entry
	)
	flush := func() error {
		if len(files) == 0 {
			return nil
		}
		full := files
		files = nil
		return visit(what, directory, full)
	}
	for {
		at := r.offset
		kind, body, err := r.next()
		if err != nil {
			return fmt.Errorf("%w in the transaction's byte %d", err, at)
		}
		switch kind {
		case kindBegin:
			what, err = decodeBegin(body)
		case kindLabel:
			labels = append(labels, bytes.Clone(body))
		case kindDirectory:
			err = flush()
			directory = string(body)
		case kindFile:
			var file entry
			if file, err = decodeFile(body, labels); err == nil {
				files = append(files, file)
			}
			if len(files) == batch {
				err = errors.Join(err, flush())
			}
		case kindCommit:
			return flush()
		default:
			err = fmt.Errorf("unknown record %q in the transaction's byte %d", kind, at)
		}
		if err != nil {
			return err
		}
	}
}

// integers takes unsigned varints off the front of a body.
func integers(body []byte, into ...*uint64) (rest []byte, err error) {
	for _, value := range into {
		number, n := binary.Uvarint(body)
		if n <= 0 {
			return nil, errTorn
		}
		*value, body = number, body[n:]
	}
	return body, nil
}

func decodeBegin(body []byte) (begin, error) {
	var owned, crossed, uid, gid uint64
	rest, err := integers(body, &owned, &crossed, &uid, &gid)
	what := begin{Change{Label: string(rest)}, crossed == 1}
	if owned == 1 {
		what.Owner = &Owner{int(uint32(uid)), int(uint32(gid))}
	}
	return what, err
}

func decodeFile(body []byte, labels [][]byte) (entry, error) {
	var inode, number, uid, gid, mode, linked uint64
	rest, err := integers(body, &inode, &number, &uid, &gid, &mode, &linked)
	if err != nil || number >= uint64(len(labels)) {
		return entry{}, errTorn
	}
	return entry{name: string(rest), inode: inode, label: labels[number], uid: uint32(uid), gid: uint32(gid), mode: uint32(mode), linked: linked == 1}, nil
}

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
	"strings"
)

// The journal is a header and a row of transactions, one for each call of Set that changed something. All integers are unsigned varints but
// those of the header and the checksums, which are little endian:
//
//	header: magic, and at slotPlaces two slots: number (4 bytes), end (8 bytes), CRC-32C of these (4 bytes); headerSize bytes in all
//	record: kind (1 byte), size of the body, body, CRC-32C of all of these (4 bytes)
//
//	begin   1 if owners change, 1 if mount points are crossed, new user, new group, then the new label
//	label   a label that files of this transaction had; they are numbered from 1, 0 stands for none
//	files   1 if these are all that the directory holds, how many of them change, path of the directory relative to the tree and a zero byte,
//	        then for each: inode, number of the label (where it is inlineLabel: size of the label and the label), user, group, mode with
//	        the type, what it is, the name and a zero byte; "." is the directory itself, which is not among its parent's
//	commit  commitMark
//
// Nothing of a transaction is done before its commit is on the disk. Then the slot with the lower number says where it ends, so that a journal
// is known that has lost its end. What follows the last commit is the rest of a writer that was killed, and is cut off, where no slot says that
// it was committed and no commit comes after it; else it is damage, which is an error.
const (
	magic      = "bhlabel\x02"
	commitMark = "\xb1label-journal\xb1\n"
	headerSize = 1024
	maximum    = 1 << 19 // of a body in bytes
	fullBody   = 1 << 18 // a record of files is ended beyond this. A label has up to 64 KiB, a path 4
	window     = 1 << 16 // that is read at a time

	kindBegin  = 'B'
	kindLabel  = 'L'
	kindFiles  = 'P'
	kindCommit = 'C'

	// labels with numbers, and the sum of their sizes; others are written with each file, so that memory is bounded
	numberedLabels     = 4096
	numberedLabelBytes = 1 << 20
	inlineLabel        = numberedLabels + 1
)

// What a file is to the journal.
const (
	linkedFile = 1 << iota // it has several hard links
	notedFile              // it is a directory that has a record of its own
)

// slotPlaces are in two sectors, so that no write can damage both.
func slotPlaces() [2]int64 { return [2]int64{int64(len(magic)), headerSize / 2} }

// slot says up to where a journal was committed.
type slot struct {
	number uint32
	end    int64
}

const slotSize = 16

func (s slot) encode() []byte {
	text := binary.LittleEndian.AppendUint32(nil, s.number)
	text = binary.LittleEndian.AppendUint64(text, uint64(s.end))
	return binary.LittleEndian.AppendUint32(text, crc32.Checksum(text, castagnoli()))
}

// decodeSlot returns the newest slot of a header, the zero one for none.
func decodeSlot(header []byte) slot {
	var newest slot
	for _, place := range slotPlaces() {
		text := header[place : place+slotSize]
		found := slot{binary.LittleEndian.Uint32(text), int64(binary.LittleEndian.Uint64(text[4:]))}
		if bytes.Equal(text, found.encode()) && found.number > newest.number && found.end >= headerSize {
			newest = found
		}
	}
	return newest
}

// begin is what a transaction does.
type begin struct {
	Change
	crossed bool   // mount points too
	value   []byte // the label as it is on the disk; decoded
}

func (b begin) encode(body []byte) []byte {
	owner := Owner{}
	if b.Owner != nil {
		owner = *b.Owner
	}
	body = appendIntegers(body, one(b.Owner != nil), one(b.crossed), uint64(owner.UID), uint64(owner.GID))
	return append(body, b.Label...)
}

func decodeBegin(body []byte) (begin, error) {
	var owned, crossed, uid, gid uint64
	rest, err := integers(body, &owned, &crossed, &uid, &gid)
	what := begin{Change{Label: string(rest)}, crossed == 1, append(bytes.Clone(rest), 0)}
	if owned == 1 {
		what.Owner = &Owner{int(uint32(uid)), int(uint32(gid))}
	}
	return what, err
}

// entry is what a file had.
type entry struct {
	name     []byte // with a zero byte at the end
	inode    uint64
	number   uint64 // of the label; where that is inlineLabel or none is set, label has it
	label    []byte // nil: none
	uid, gid uint32
	mode     uint32 // with the type. chown(2) takes the set-user-ID and set-group-ID bits away
	linked   bool
	noted    bool
}

func (e *entry) self() bool { return len(e.name) == 2 && e.name[0] == '.' }

func (e *entry) append(to []byte) []byte {
	to = appendIntegers(to, e.inode, e.number)
	if e.number == inlineLabel {
		to = append(binary.AppendUvarint(to, uint64(len(e.label))), e.label...)
	}
	to = appendIntegers(to, uint64(e.uid), uint64(e.gid), uint64(e.mode), one(e.linked)*linkedFile|one(e.noted)*notedFile)
	return append(to, e.name...)
}

// piece is the files of one record: some of one directory.
type piece struct {
	what      begin
	labels    [][]byte // by number
	directory string
	whole     bool // these are all that the directory holds
	changes   int
	rest      []byte // that is still to be decoded
}

// encode makes a whole record of a piece and its entries.
func (p *piece) encode(to, entries []byte) []byte {
	head := appendIntegers(make([]byte, 0, 32+len(p.directory)), one(p.whole), uint64(p.changes))
	head = append(append(head, p.directory...), 0)
	start := len(to)
	to = binary.AppendUvarint(append(to, kindFiles), uint64(len(head)+len(entries)))
	to = append(append(to, head...), entries...)
	return binary.LittleEndian.AppendUint32(to, crc32.Checksum(to[start:], castagnoli()))
}

func decodePiece(body []byte) (piece, error) {
	var whole, changes uint64
	rest, err := integers(body, &whole, &changes)
	if err != nil {
		return piece{}, err
	}
	directory, rest, ok := bytes.Cut(rest, []byte{0})
	if !ok || changes > uint64(len(body)) {
		return piece{}, errTorn
	}
	return piece{directory: string(directory), whole: whole == 1, changes: int(changes), rest: rest}, nil
}

// next decodes the next entry, and says whether there was one. What it points to is the piece's.
func (p *piece) next(into *entry) (bool, error) {
	if len(p.rest) == 0 {
		return false, nil
	}
	var uid, gid, mode, what uint64
	*into = entry{}
	rest, err := integers(p.rest, &into.inode, &into.number)
	if err == nil && into.number == inlineLabel {
		var size uint64
		if rest, err = integers(rest, &size); err == nil && size > uint64(len(rest)) {
			err = errTorn
		}
		if err == nil {
			into.label, rest = rest[:size:size], rest[size:]
		}
	}
	if err == nil {
		rest, err = integers(rest, &uid, &gid, &mode, &what)
	}
	end := bytes.IndexByte(rest, 0)
	if err != nil || end < 0 || into.number != inlineLabel && into.number >= uint64(len(p.labels)) {
		return false, errTorn
	}
	if into.number != inlineLabel {
		into.label = p.labels[into.number]
	}
	into.name, p.rest = rest[:end+1:end+1], rest[end+1:]
	into.uid, into.gid, into.mode, into.linked, into.noted = uint32(uid), uint32(gid), uint32(mode), what&linkedFile != 0, what&notedFile != 0
	if name := string(into.name[:end]); name == "" || name == ".." || strings.Contains(name, "/") {
		return false, errTorn
	}
	return true, nil
}

func appendRecord(to []byte, kind byte, body []byte) []byte {
	start := len(to)
	to = binary.AppendUvarint(append(to, kind), uint64(len(body)))
	to = append(to, body...)
	return binary.LittleEndian.AppendUint32(to, crc32.Checksum(to[start:], castagnoli()))
}

func commitRecord() []byte { return appendRecord(nil, kindCommit, []byte(commitMark)) }

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func one(yes bool) uint64 {
	if yes {
		return 1
	}
	return 0
}

func appendIntegers(to []byte, values ...uint64) []byte {
	for _, value := range values {
		to = binary.AppendUvarint(to, value)
	}
	return to
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

// span is a transaction in the journal, by the byte that it starts at.
type span struct {
	start int64
	files int // that it changes
}

// errTorn says that a record does not end as it should.
var errTorn = errors.New("damaged record")

// reader decodes records.
type reader struct {
	in     *bufio.Reader
	offset int64
	body   []byte
}

func newReader(in io.ReaderAt, offset int64) *reader {
	return &reader{in: bufio.NewReaderSize(io.NewSectionReader(in, offset, math.MaxInt64-offset), window), offset: offset}
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

// index is what a journal holds.
type index struct {
	found []span // committed transactions
	end   int64  // where the next one is to be written, 0 for a journal without a header
	slot  slot
}

// transactions finds the committed ones.
func transactions(in io.ReaderAt) (index, error) {
	header := make([]byte, headerSize)
	n, err := in.ReadAt(header, 0)
	if err = ignoreEnd(err); err != nil {
		return index{}, err
	}
	if start := header[:min(n, len(magic))]; string(start) != magic[:len(start)] || n < headerSize {
		return index{}, checkHeader(in, header[:n])
	}
	made := index{end: headerSize, slot: decodeSlot(header)}
	r := newReader(in, headerSize)
	for files := 0; ; {
		at := r.offset
		kind, body, err := r.next()
		switch {
		case errors.Is(err, io.EOF) && made.end < made.slot.end:
			return index{}, fmt.Errorf("its end is missing: it was committed up to byte %d, and is whole up to byte %d", made.slot.end, made.end)
		case errors.Is(err, io.EOF):
			return made, nil
		case errors.Is(err, errTorn):
			return made, checkTail(in, at, made.end < made.slot.end)
		case err != nil:
			return index{}, err
		}
		if kind == kindFiles {
			piece, err := decodePiece(body)
			if err != nil {
				return index{}, fmt.Errorf("%w at byte %d", err, at)
			}
			files += piece.changes
		}
		if kind == kindCommit {
			if string(body) != commitMark {
				return index{}, fmt.Errorf("%w at byte %d", errTorn, at)
			}
			made.found = append(made.found, span{made.end, files})
			files, made.end = 0, r.offset
		}
	}
}

// checkHeader is asked about what does not start as a journal does. A writer that was killed may have left a part of the header, or a hole.
func checkHeader(in io.ReaderAt, header []byte) error {
	switch {
	case bytes.HasPrefix(header, []byte("bhlabel\x01")) || bytes.HasPrefix(header, []byte("{")):
		return errors.New("a journal of labels by an older version: undo it with that, or remove it and lose what files had")
	case len(bytes.Trim(header, "\x00")) == 0 || len(header) < headerSize && bytes.HasPrefix(header, []byte(magic)[:min(len(magic), len(header))]):
		return checkTail(in, 0, false)
	}
	return errors.New("not a journal of labels")
}

// checkTail returns an error where what is torn at a byte had been committed, as a slot says or a commit after it.
func checkTail(in io.ReaderAt, at int64, slot bool) error {
	committed, err := contains(newReader(in, at).in, commitRecord())
	if committed || slot || err != nil {
		return errors.Join(fmt.Errorf("%w at byte %d", errTorn, at), err)
	}
	return nil
}

func ignoreEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// contains looks for mark in what is left.
func contains(in io.Reader, mark []byte) (bool, error) {
	seen := make([]byte, 0, 2*window)
	for {
		n, err := in.Read(seen[len(seen):cap(seen)])
		seen = seen[:len(seen)+n]
		if bytes.Contains(seen, mark) {
			return true, nil
		}
		if err != nil {
			return false, ignoreEnd(err)
		}
		if keep := len(mark) - 1; len(seen) > keep {
			seen = seen[:copy(seen, seen[len(seen)-keep:])]
		}
	}
}

// replay reads the pieces of one transaction.
type replay struct {
	reader     *reader
	what       begin
	labels     [][]byte
	labelBytes int
}

func newReplay(in io.ReaderAt, start int64) *replay {
	return &replay{reader: newReader(in, start), labels: [][]byte{nil}}
}

// next returns io.EOF behind the last piece. What a piece points to stays as it is.
func (r *replay) next() (piece, error) {
	for {
		at := r.reader.offset
		kind, body, err := r.reader.next()
		if errors.Is(err, io.EOF) {
			err = errTorn // without a commit
		}
		if err == nil && kind == kindCommit {
			return piece{}, io.EOF
		}
		var made piece
		if err == nil {
			made, err = r.record(kind, body)
		}
		if err != nil {
			return piece{}, fmt.Errorf("%w at byte %d", err, at)
		}
		if kind == kindFiles {
			return made, nil
		}
	}
}

func (r *replay) record(kind byte, body []byte) (made piece, err error) {
	switch kind {
	case kindBegin:
		r.what, err = decodeBegin(body)
	case kindLabel:
		r.labels, r.labelBytes = append(r.labels, bytes.Clone(body)), r.labelBytes+len(body)
		if len(r.labels) > inlineLabel || r.labelBytes > numberedLabelBytes {
			err = errors.New("too many labels")
		}
	case kindFiles:
		made, err = decodePiece(bytes.Clone(body))
		made.what, made.labels = r.what, r.labels
	default:
		err = fmt.Errorf("unknown record %q", kind)
	}
	return made, err
}

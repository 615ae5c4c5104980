// SPDX-License-Identifier: Apache-2.0

// Package cpio reads and writes the "newc" archive format, which Linux unpacks
// as an initramfs. It follows Documentation/driver-api/early-userspace/
// buffer-format.rst: magic 070701, thirteen fields of eight hex digits, names
// and contents padded to four bytes, and an entry TRAILER!!! at the end.
//
// Owners and times are always zero, so that equal trees give equal bytes. Hard
// links and the checksummed variant (070702) are not supported.
package cpio

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	magic      = "070701"
	trailer    = "TRAILER!!!"
	headerSize = 6 + 13*8
	maxName    = 4096      // bytes, with the final NUL (PATH_MAX)
	maxSize    = 1<<32 - 1 // bytes, what the field holds
	typeMask   = 0o170000  // S_IFMT
	Directory  = 0o040000  // S_IFDIR
	Regular    = 0o100000  // S_IFREG
	Symlink    = 0o120000  // S_IFLNK; the content is the target
	CharDevice = 0o020000  // S_IFCHR
)

// Header describes one entry. Name has no leading slash. Mode is st_mode, type
// and permissions. Size counts the bytes of content that follow.
type Header struct {
	Name         string
	Mode         uint32
	Size         int64
	Major, Minor uint32
}

// Type returns the file type bits of the mode.
func (h Header) Type() uint32 { return h.Mode & typeMask }

// Writer writes an archive; Close ends it.
type Writer struct {
	output io.Writer
	offset int64
	inode  uint32
}

// NewWriter returns a Writer to output.
func NewWriter(output io.Writer) *Writer { return &Writer{output: output} }

// Add writes one entry, taking exactly header.Size bytes of content.
func (w *Writer) Add(header Header, content io.Reader) error {
	switch {
	case header.Name == "" || len(header.Name) >= maxName || strings.ContainsRune(header.Name, 0):
		return fmt.Errorf("cpio: name %q is empty, too long or has a NUL", header.Name)
	case header.Size < 0 || header.Size > maxSize:
		return fmt.Errorf("cpio: %s: %d bytes do not fit the format", header.Name, header.Size)
	}
	w.inode++
	if err := w.header(header); err != nil {
		return err
	}
	written, err := io.CopyN(writerFunc(w.write), content, header.Size)
	if err != nil {
		return fmt.Errorf("cpio: %s: content ended after %d of %d bytes: %w", header.Name, written, header.Size, err)
	}
	return w.pad()
}

// Close writes the trailer; it does not close the output.
func (w *Writer) Close() error {
	w.inode = 0
	return w.header(Header{Name: trailer})
}

func (w *Writer) header(h Header) error {
	fields := []uint32{w.inode, h.Mode, 0, 0, 1, 0, uint32(h.Size), 0, 0, h.Major, h.Minor, uint32(len(h.Name) + 1), 0}
	var text strings.Builder
	text.WriteString(magic)
	for _, field := range fields {
		fmt.Fprintf(&text, "%08x", field)
	}
	text.WriteString(h.Name)
	text.WriteByte(0)
	if _, err := w.write([]byte(text.String())); err != nil {
		return err
	}
	return w.pad()
}

func (w *Writer) write(data []byte) (int, error) {
	n, err := w.output.Write(data)
	w.offset += int64(n)
	return n, err
}

func (w *Writer) pad() error {
	_, err := w.write(make([]byte, padding(w.offset)))
	return err
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(data []byte) (int, error) { return f(data) }

func padding(offset int64) int64 { return -offset & 3 }

// Reader reads an archive entry by entry. After Next, Read gives the content of
// the current entry and then io.EOF.
type Reader struct {
	input   io.Reader
	offset  int64
	content int64 // bytes of the current entry not read yet
}

// NewReader returns a Reader of input, which it does not buffer.
func NewReader(input io.Reader) *Reader { return &Reader{input: input} }

// Next skips what is left of the current entry and reads the next header. It
// returns io.EOF at the trailer.
func (r *Reader) Next() (Header, error) {
	if _, err := io.Copy(io.Discard, r); err != nil {
		return Header{}, err
	}
	if err := r.skipPadding(); err != nil {
		return Header{}, err
	}
	start := r.offset
	header, err := r.header()
	if err != nil {
		return Header{}, fmt.Errorf("cpio: entry at byte %d: %w", start, err)
	}
	if header.Name == trailer {
		return Header{}, io.EOF
	}
	r.content = header.Size
	return header, nil
}

// Read reads content of the current entry.
func (r *Reader) Read(data []byte) (int, error) {
	if r.content == 0 {
		return 0, io.EOF
	}
	if int64(len(data)) > r.content {
		data = data[:r.content]
	}
	n, err := r.input.Read(data)
	r.offset += int64(n)
	r.content -= int64(n)
	if err == io.EOF {
		err = nil
		if r.content > 0 {
			err = fmt.Errorf("cpio: archive ends %d bytes before its entry does: %w", r.content, io.ErrUnexpectedEOF)
		}
	}
	return n, err
}

func (r *Reader) header() (Header, error) {
	raw, err := r.take(headerSize)
	if err != nil {
		return Header{}, err
	}
	if string(raw[:6]) != magic {
		return Header{}, fmt.Errorf("magic %q instead of %q", raw[:6], magic)
	}
	var fields [13]uint32
	for i := range fields {
		value, err := strconv.ParseUint(string(raw[6+8*i:14+8*i]), 16, 32)
		if err != nil {
			return Header{}, fmt.Errorf("field %d: %w", i, err)
		}
		fields[i] = uint32(value)
	}
	name, err := r.name(fields[11])
	if err != nil {
		return Header{}, err
	}
	return Header{Name: name, Mode: fields[1], Size: int64(fields[6]), Major: fields[9], Minor: fields[10]}, nil
}

func (r *Reader) name(size uint32) (string, error) {
	if size < 2 || size > maxName {
		return "", fmt.Errorf("name of %d bytes", size)
	}
	raw, err := r.take(int(size))
	if err != nil {
		return "", err
	}
	name := string(raw[:size-1])
	if raw[size-1] != 0 || strings.ContainsRune(name, 0) {
		return "", errors.New("name is not ended by its only NUL")
	}
	return name, r.skipPadding()
}

func (r *Reader) skipPadding() error {
	_, err := r.take(int(padding(r.offset)))
	return err
}

func (r *Reader) take(size int) ([]byte, error) {
	data := make([]byte, size)
	n, err := io.ReadFull(r.input, data)
	r.offset += int64(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return data, err
}

// SPDX-License-Identifier: Apache-2.0

package binary

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// code is the byte that says what kind of item follows.
type code byte

const (
	codeU8 code = iota
	codeU16
	codeU32
	codeU64
	codeName // of the item that follows it
	codeString
	codeBlob
	codeStruct
	codeStructEnd
	codeList
	codeListEnd
	codeArray
	codeArrayEnd
)

var codeNames = [...]string{"u8", "u16", "u32", "u64", "name", "string", "blob", "struct", "end of struct", "list", "end of list", "array", "end of array"}

func (c code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return fmt.Sprintf("byte %#02x", byte(c))
}

// FormatError says where a stream is not what the kernel takes.
type FormatError struct {
	Offset  int    // of the item, in bytes from the start of the stream
	Profile string // the profile that the item is in, "" before its name
	Message string
}

func (e *FormatError) Error() string {
	if e.Profile != "" {
		return fmt.Sprintf("offset %d, profile %s: %s", e.Offset, e.Profile, e.Message)
	}
	return fmt.Sprintf("offset %d: %s", e.Offset, e.Message)
}

// reader takes items off a stream. The first fault stays: what is read after it is zero, and nothing more is consumed.
type reader struct {
	stream  []byte
	at      int
	profile string // for errors
	err     error
}

func (r *reader) fail(offset int, format string, arguments ...any) {
	if r.err == nil {
		r.err = &FormatError{Offset: offset, Profile: r.profile, Message: fmt.Sprintf(format, arguments...)}
	}
}

func (r *reader) left() int { return len(r.stream) - r.at }

// peek returns the name and the kind of the next item, and the offset after both. The name is "" where the item has none.
func (r *reader) peek() (name string, kind code, after int, ok bool) {
	at := r.at
	if at < len(r.stream) && code(r.stream[at]) == codeName {
		if len(r.stream)-at < 3 {
			return "", 0, 0, false
		}
		end := at + 3 + int(binary.LittleEndian.Uint16(r.stream[at+1:]))
		if end > len(r.stream) {
			return "", 0, 0, false
		}
		// The kernel compares with the NUL: a name without one is none that it knows.
		name, ok = strings.CutSuffix(string(r.stream[at+3:end]), "\x00")
		if !ok {
			name += "?"
		}
		at = end
	}
	if at >= len(r.stream) {
		return "", 0, 0, false
	}
	return name, code(r.stream[at]), at + 1, true
}

// has reports whether the next item bears the name.
func (r *reader) has(name string) bool {
	if r.err != nil {
		return false
	}
	found, _, _, ok := r.peek()
	return ok && found == name
}

// next consumes the head of an item: its name, where one is wanted (""  takes any), and its kind.
func (r *reader) next(kind code, name string) bool {
	if r.err != nil {
		return false
	}
	expected := kind.String()
	if name != "" {
		expected += fmt.Sprintf(" %q", name)
	}
	foundName, found, after, ok := r.peek()
	switch {
	case !ok:
		r.fail(r.at, "the stream ends, expected %s", expected)
		return false
	case found != kind || name != "" && foundName != name:
		text := found.String()
		if foundName != "" {
			text += fmt.Sprintf(" %q", foundName)
		}
		r.fail(r.at, "found %s, expected %s", text, expected)
		return false
	}
	r.at = after
	return true
}

// take consumes n bytes of an item's body.
func (r *reader) take(n int, of code) []byte {
	if r.err != nil {
		return nil
	}
	if n > r.left() {
		r.fail(r.at, "%d bytes are left, expected %d of a %s", r.left(), n, of)
		return nil
	}
	r.at += n
	return r.stream[r.at-n : r.at]
}

func (r *reader) u8() uint8 {
	if !r.next(codeU8, "") {
		return 0
	}
	if body := r.take(1, codeU8); body != nil {
		return body[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if !r.next(codeU16, "") {
		return 0
	}
	return r.length16(codeU16)
}

func (r *reader) u32(name string) uint32 {
	if !r.next(codeU32, name) {
		return 0
	}
	if body := r.take(4, codeU32); body != nil {
		return binary.LittleEndian.Uint32(body)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if !r.next(codeU64, "") {
		return 0
	}
	if body := r.take(8, codeU64); body != nil {
		return binary.LittleEndian.Uint64(body)
	}
	return 0
}

func (r *reader) length16(of code) uint16 {
	if body := r.take(2, of); body != nil {
		return binary.LittleEndian.Uint16(body)
	}
	return 0
}

// array consumes the head of an array whose items take at least minimum bytes each, and returns their number.
func (r *reader) array(name string, minimum int) int {
	at := r.at
	if !r.next(codeArray, name) {
		return 0
	}
	n := int(r.length16(codeArray))
	if n*minimum > r.left() {
		r.fail(at, "array of %d items, which %d bytes cannot hold", n, r.left())
		return 0
	}
	return n
}

// nulled is a string as the stream has it but for its last NUL: it may have NULs inside.
func (r *reader) nulled(name string) string {
	at := r.at
	if !r.next(codeString, name) {
		return ""
	}
	body := r.take(int(r.length16(codeString)), codeString)
	if r.err != nil {
		return ""
	}
	if len(body) == 0 || body[len(body)-1] != 0 {
		r.fail(at, "string without a NUL at its end")
		return ""
	}
	return string(body[:len(body)-1])
}

// text is a string as the kernel reads it, up to its only NUL.
func (r *reader) text(name string) string {
	at := r.at
	text := r.nulled(name)
	if strings.IndexByte(text, 0) >= 0 {
		r.fail(at, "NUL inside the string %q", text)
		return ""
	}
	return text
}

// blob returns the body of a blob and its offset.
func (r *reader) blob(name string) (body []byte, at int) {
	if !r.next(codeBlob, name) {
		return nil, 0
	}
	size := r.take(4, codeBlob)
	if size == nil {
		return nil, 0
	}
	at = r.at
	n := binary.LittleEndian.Uint32(size)
	if uint64(n) > uint64(r.left()) {
		r.fail(at, "%d bytes are left, expected %d of a blob", r.left(), n)
		return nil, 0
	}
	return r.take(int(n), codeBlob), at
}

// writer appends items to a stream. The first fault stays.
type writer struct {
	stream []byte
	start  int // of the profile being written
	err    error
}

func (w *writer) fail(format string, arguments ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, arguments...)
	}
}

func (w *writer) head(kind code, name string) {
	if name != "" {
		w.stream = append(w.stream, byte(codeName))
		w.stream = binary.LittleEndian.AppendUint16(w.stream, uint16(len(name)+1))
		w.stream = append(append(w.stream, name...), 0)
	}
	w.stream = append(w.stream, byte(kind))
}

func (w *writer) u8(value uint8) {
	w.head(codeU8, "")
	w.stream = append(w.stream, value)
}

func (w *writer) u16(value uint16) {
	w.head(codeU16, "")
	w.stream = binary.LittleEndian.AppendUint16(w.stream, value)
}

func (w *writer) u32(name string, value uint32) {
	w.head(codeU32, name)
	w.stream = binary.LittleEndian.AppendUint32(w.stream, value)
}

func (w *writer) u64(value uint64) {
	w.head(codeU64, "")
	w.stream = binary.LittleEndian.AppendUint64(w.stream, value)
}

func (w *writer) text(name, value string) {
	w.head(codeString, name)
	if len(value)+1 > 0xffff {
		w.fail("string of %d bytes, expected at most %d", len(value), 0xffff-1)
		return
	}
	w.stream = binary.LittleEndian.AppendUint16(w.stream, uint16(len(value)+1))
	w.stream = append(append(w.stream, value...), 0)
}

func (w *writer) array(name string, items int) {
	w.head(codeArray, name)
	if items > 0xffff {
		w.fail("array of %d items, expected at most %d", items, 0xffff)
		return
	}
	w.stream = binary.LittleEndian.AppendUint16(w.stream, uint16(items))
}

// blob writes bytes behind as many zeros as align them to 8 from the start of the profile.
func (w *writer) blob(name string, body []byte, align bool) {
	w.head(codeBlob, name)
	padding := 0
	if align {
		padding = -(len(w.stream) + 4 - w.start) & 7
	}
	if int64(len(body))+8 > 0xffffffff {
		w.fail("blob of %d bytes, expected less than 4 GiB", len(body))
		return
	}
	w.stream = binary.LittleEndian.AppendUint32(w.stream, uint32(len(body)+padding))
	w.stream = append(w.stream, make([]byte, padding)...)
	w.stream = append(w.stream, body...)
}

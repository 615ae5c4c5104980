// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"bytes"
	"errors"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// reader walks through a JSON text and collects what is wrong with it. A fault of the syntax ends the walk: from then on nothing is there any more.
type reader struct {
	text     string
	decoder  *jsontext.Decoder
	broken   bool
	errors   reports
	warnings reports
}

func newReader(content []byte) *reader {
	// Names that come twice are this reader's to report, with the place of the second.
	return &reader{text: string(content), decoder: jsontext.NewDecoder(bytes.NewBuffer(content), jsontext.AllowDuplicateNames(true))}
}

// start returns the offset of the token that comes next.
func (r *reader) start() int {
	offset := int(r.decoder.InputOffset())
	for ; offset < len(r.text); offset++ {
		switch r.text[offset] {
		case ' ', '\t', '\r', '\n', ',', ':':
		default:
			return offset
		}
	}
	return offset
}

// peek returns what comes next: one of { [ ] } " 0 t f n, or 0 where nothing does.
func (r *reader) peek() jsontext.Kind {
	if r.broken {
		return 0
	}
	kind := r.decoder.PeekKind()
	if kind == 0 || kind == jsontext.KindInvalid {
		_, err := r.decoder.ReadToken()
		r.fail(err)
		return 0
	}
	return kind
}

// token reads one token. Where it does not return true, nothing comes after.
func (r *reader) token() (token jsontext.Token, ok bool) {
	if r.broken {
		return token, false
	}
	token, err := r.decoder.ReadToken()
	r.fail(err)
	return token, err == nil
}

// skip passes over the value that comes next.
func (r *reader) skip() {
	if !r.broken {
		r.fail(r.decoder.SkipValue())
	}
}

// fail reports a fault of the syntax.
func (r *reader) fail(err error) {
	if err == nil || r.broken {
		return
	}
	r.broken = true
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		r.errors.add(len(r.text), "the text ends here, and the profile does not")
	case errors.As(err, &syntax):
		r.errors.add(int(syntax.ByteOffset), "not JSON: %v", syntax.Err)
	default:
		r.errors.add(int(r.decoder.InputOffset()), "not JSON: %v", err)
	}
}

// kindNames are what errors call the kinds of values.
func kindName(kind jsontext.Kind) string {
	switch kind {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case 't', 'f':
		return "a boolean"
	}
	return "null"
}

// expect reports whether a value of that kind comes next. Another one is passed over, and reported unless it is null, which is as good as nothing.
func (r *reader) expect(what string, want jsontext.Kind) bool {
	if r.peek() == 'n' {
		r.skip()
		return false
	}
	return r.required(what, want)
}

// required is expect for where null has no place.
func (r *reader) required(what string, want jsontext.Kind) bool {
	switch kind := r.peek(); kind {
	case want:
		return true
	case 0:
		return false
	case '}', ']': // no value, which is for skip to report
	default:
		r.errors.add(r.start(), "%s: got %s, expected %s", what, kindName(kind), kindName(want))
	}
	r.skip()
	return false
}

// object reads an object that may have the fields named, and calls member to read the value of each. It returns the fields that were there, by their bits.
func (r *reader) object(what string, fields []string, member func(field int)) (present uint) {
	if !r.expect(what, '{') {
		return 0
	}
	r.token()
	for r.peek() == '"' {
		at := r.start()
		name, _, ok := r.quoted()
		if !ok {
			return present
		}
		field := slices.Index(fields, name)
		switch {
		case field < 0:
			r.unknown(at, what, name, fields)
			r.skip()
			continue
		case present&(1<<field) != 0:
			r.errors.add(at, "%s: %q is there twice, expected once", what, name)
		}
		present |= 1 << field
		member(field)
	}
	r.token()
	return present
}

// unknown reports a field that means nothing here. Those of a newer specification have to be ignored (OCI runtime specification, Extensibility);
// what looks like a field that is known and is spelt otherwise would silently widen a profile.
func (r *reader) unknown(at int, what, name string, fields []string) {
	if meant := nearest(name, fields); meant != "" && strings.IndexByte("_$#/", name[0]) < 0 { // "_comment" and "$comment" are on purpose
		r.errors.add(at, "%s: unknown field %q, expected %q", what, name, meant)
		return
	}
	r.warnings.add(at, "%s: unknown field %q is ignored, expected one of %s", what, name, strings.Join(fields, ", "))
}

// array reads an array and calls element to read each of its values.
func (r *reader) array(what string, element func()) (present bool) {
	if !r.expect(what, '[') {
		return false
	}
	r.token()
	for kind := r.peek(); kind != ']' && kind != 0; kind = r.peek() {
		element()
	}
	r.token()
	return true
}

// strings reads an array of strings and calls element with each of them and where it starts. null has no place among them.
func (r *reader) strings(what string, element func(value string, at int)) (present bool) {
	if !r.expect(what, '[') {
		return false
	}
	r.token()
	for kind := r.peek(); kind != ']' && kind != 0; kind = r.peek() {
		if kind != '"' {
			r.required(what, '"')
		} else if value, at, ok := r.quoted(); ok {
			element(value, at)
		}
	}
	r.token()
	return true
}

// quoted reads a string that is known to come next, and where it starts. It shares the memory of the whole text if nothing in it is escaped.
func (r *reader) quoted() (value string, at int, ok bool) {
	at = r.start()
	token, ok := r.token()
	if !ok {
		return "", at, false
	}
	raw := r.text[at+1 : r.decoder.InputOffset()-1]
	if strings.IndexByte(raw, '\\') >= 0 {
		return token.String(), at, true
	}
	return raw, at, true
}

// string reads a string.
func (r *reader) string(what string) (value string, at int, ok bool) {
	if !r.expect(what, '"') {
		return "", 0, false
	}
	return r.quoted()
}

// maximumValue is the greatest number that an argument can be compared with.
const maximumValue = math.MaxUint64

// integer reads a number from 0 to maximum.
func (r *reader) integer(what string, maximum uint64) (value uint64, at int, ok bool) {
	if !r.expect(what, '0') {
		return 0, 0, false
	}
	at = r.start()
	if _, ok := r.token(); !ok {
		return 0, at, false
	}
	raw := r.text[at:r.decoder.InputOffset()]
	value, err := strconv.ParseUint(raw, 10, 64)
	if err != nil || value > maximum {
		r.errors.add(at, "%s: got %s, expected an integer from 0 to %d", what, shortened(raw), maximum)
		return 0, at, false
	}
	return value, at, true
}

// shortened cuts what is quoted from a profile.
func shortened(text string) string {
	const enough = 40
	if len(text) <= enough {
		return text
	}
	return strings.ToValidUTF8(text[:enough], "") + "..."
}

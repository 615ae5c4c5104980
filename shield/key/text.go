// SPDX-License-Identifier: Apache-2.0

package key

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// FileName is the header's name in the volume's directory.
const FileName = "bulkhead.shield"

// MaximumText bounds the header file, in bytes. 16 slots of the largest kind, hybrid age recipients, are 68 KiB.
const MaximumText = 128 << 10

// magic is the first line but for the version.
const magic = "bulkhead shield "

// Parse reads a header. Nothing but what Format writes is taken:
//
//	bulkhead shield 1                       the format's version
//	volume ID                               32 hexadecimal digits
//	policy encrypted                        encrypted, authenticated, ephemeral
//	anchor file                             none, file, or tpm followed by the NV index as 0x and 8 hexadecimal digits
//	slot N KIND NAME=VALUE... key=SEALED    for each slot, numbers rising from 1 to 16; what is bytes is base64 without padding
//	mac CODE                                HMAC-SHA256 of the lines before it, under a key of the master key
//	sum DIGEST                              SHA-256 of the lines before it: tells damage from a wrong key before there is a key
//
// Fields by kind: passphrase time=, memory= (KiB), threads=, salt=; file salt=; age recipient=, sealed=; tpm pcrs=7,11 level=tpm|none public= sealed=.
// The additional data of key= are the first three lines and the slot's own one up to key=.
func Parse(text []byte) (*Header, error) {
	if len(text) > MaximumText {
		return nil, damaged(fmt.Sprintf("%d bytes, more than %d", len(text), MaximumText))
	}
	first, _, _ := bytes.Cut(text, []byte("\n"))
	version, ours := strings.CutPrefix(string(first), magic)
	if number, err := strconv.ParseUint(version, 10, 8); !ours || err != nil {
		return nil, damaged("line 1: no header of a volume")
	} else if number != Version {
		return nil, &Error{Fault: Unsupported, Reason: fmt.Sprintf("the volume's format is version %d, this Bulkhead knows version %d", number, Version), Hint: "open it with the Bulkhead that made it, or a later one"}
	}
	before, sum, ok := cutLast(text, "sum ")
	if !ok {
		return nil, damaged("it does not end in a line sum")
	}
	if digest := sha256.Sum256(before); sum != hex.EncodeToString(digest[:]) {
		return nil, damaged("its bytes are not those that were written: the digest differs")
	}
	p := parser{lines: strings.Split(strings.TrimSuffix(string(before), "\n"), "\n")}
	h := p.header()
	switch {
	case p.err != nil:
		return nil, p.err
	case !bytes.Equal(h.Format(), text):
		return nil, damaged("not as Bulkhead writes it")
	}
	return h, nil
}

func damaged(what string) error {
	return &Error{Fault: Damaged, Reason: "the header is damaged: " + what, Hint: "restore " + FileName + " from a backup"}
}

// cutLast cuts the last line, which begins with a word.
func cutLast(text []byte, word string) (before []byte, rest string, ok bool) {
	whole, ended := bytes.CutSuffix(text, []byte("\n"))
	at := bytes.LastIndexByte(whole, '\n') + 1
	rest, ok = strings.CutPrefix(string(whole[at:]), word)
	return text[:at], rest, ok && ended
}

// Format writes the header as Parse reads it.
func (h *Header) Format() []byte {
	text := h.body()
	text = fmt.Appendf(text, "mac %x\n", h.code)
	return fmt.Appendf(text, "sum %x\n", sha256.Sum256(text))
}

// body is the text that the authentication code is of.
func (h *Header) body() []byte {
	text := h.preamble()
	text = fmt.Appendf(text, "anchor %s", h.Anchor)
	if h.Anchor == AnchorTPM {
		text = fmt.Appendf(text, " 0x%08x", h.Counter)
	}
	text = append(text, '\n')
	for i := range h.Slots {
		slot := &h.Slots[i]
		text = fmt.Appendf(text, "%s key=%s\n", slot.text(), encoding().EncodeToString(slot.Key))
	}
	return text
}

// preamble is what stays the same for the volume's life.
func (h *Header) preamble() []byte {
	return fmt.Appendf(nil, magic+"%d\nvolume %x\npolicy %s\n", h.Version, h.Volume, h.Policy)
}

// binding is the additional data of a slot's key.
func (h *Header) binding(slot *Slot) []byte { return append(h.preamble(), slot.text()...) }

// text is a slot's line up to its key.
func (s *Slot) text() string {
	var line strings.Builder
	fmt.Fprintf(&line, "slot %d %s", s.Number, s.Kind)
	for _, f := range fieldsOf(s.Kind) {
		fmt.Fprintf(&line, " %s=%s", f.name, f.format(s))
	}
	return line.String()
}

func encoding() *base64.Encoding { return base64.RawStdEncoding.Strict() }

// field is one NAME=VALUE of a slot.
type field struct {
	name   string
	format func(*Slot) string
	parse  func(*Slot, string) error
}

// fieldsOf lists the fields of a kind in their order, nil for one that is not known.
func fieldsOf(kind Kind) []field {
	salt := bytesField("salt", func(s *Slot) *[]byte { return &s.Salt }, saltSize, saltSize)
	switch kind {
	case KindPassphrase:
		return []field{
			numberField("time", func(s *Slot) *uint32 { return &s.Cost.Time }),
			numberField("memory", func(s *Slot) *uint32 { return &s.Cost.Memory }),
			{"threads", func(s *Slot) string { return fmt.Sprint(s.Cost.Threads) }, parseThreads},
			salt,
		}
	case KindFile:
		return []field{salt}
	case KindAge:
		return []field{
			{"recipient", func(s *Slot) string { return s.Recipient }, parseRecipientField},
			bytesField("sealed", func(s *Slot) *[]byte { return &s.Sealed }, 1, 8<<10),
		}
	case KindTPM:
		return []field{
			{"pcrs", func(s *Slot) string { return FormatPCRs(s.PCRs) }, func(s *Slot, text string) (err error) { s.PCRs, err = ParsePCRs(text); return err }},
			{"level", func(s *Slot) string { return s.Vouched.String() }, parseVouched},
			bytesField("public", func(s *Slot) *[]byte { return &s.Public }, 1, 1<<10),
			bytesField("sealed", func(s *Slot) *[]byte { return &s.Sealed }, 1, 1<<10),
		}
	}
	return nil
}

func bytesField(name string, of func(*Slot) *[]byte, least, most int) field {
	return field{name, func(s *Slot) string { return encoding().EncodeToString(*of(s)) }, func(s *Slot, text string) error {
		value, err := encoding().DecodeString(text)
		if err == nil && (len(value) < least || len(value) > most) {
			err = fmt.Errorf("%d bytes, where %d to %d are wanted", len(value), least, most)
		}
		*of(s) = value
		return err
	}}
}

func numberField(name string, of func(*Slot) *uint32) field {
	return field{name, func(s *Slot) string { return fmt.Sprint(*of(s)) }, func(s *Slot, text string) error {
		number, err := strconv.ParseUint(text, 10, 32)
		*of(s) = uint32(number)
		return err
	}}
}

// parseThreads reads the last of the cost's fields, and checks them together.
func parseThreads(s *Slot, text string) error {
	number, err := strconv.ParseUint(text, 10, 8)
	if err != nil {
		return err
	}
	s.Cost.Threads = uint8(number)
	return s.Cost.check()
}

func parseRecipientField(s *Slot, text string) error {
	_, err := ParseRecipient(text)
	s.Recipient = text
	return err
}

func parseVouched(s *Slot, text string) (err error) {
	if s.Vouched, err = ParseLevel(text); s.Vouched > LevelTPM {
		return fmt.Errorf("a TPM does not vouch for level %s", text)
	}
	return err
}

// FormatPCRs lists platform configuration registers: 7,11.
func FormatPCRs(registers []int) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(registers), " ", ","), "[]")
}

// ParsePCRs reads a rising list of platform configuration registers, 0 to 23.
func ParsePCRs(text string) ([]int, error) {
	var registers []int
	for word := range strings.SplitSeq(text, ",") {
		number, err := strconv.ParseUint(word, 10, 8)
		if err != nil || number > 23 || len(registers) > 0 && int(number) <= registers[len(registers)-1] {
			return nil, fmt.Errorf("%.40q is no rising list of registers 0 to 23, such as 7 or 7,11", text)
		}
		registers = append(registers, int(number))
	}
	return registers, nil
}

// parser goes through the lines and keeps the first error.
type parser struct {
	lines []string
	next  int
	err   error
}

func (p *parser) fail(what string) {
	if p.err == nil {
		p.err = damaged(fmt.Sprintf("line %d: %s", p.next, what))
	}
}

// line returns what follows the word that the next line begins with.
func (p *parser) line(word string) string {
	if p.next == len(p.lines) {
		p.fail("it ends where " + word + " is wanted")
		return ""
	}
	rest, ok := strings.CutPrefix(p.lines[p.next], word+" ")
	p.next++
	if !ok {
		p.fail("no " + word)
	}
	return rest
}

func (p *parser) hex(text string, into []byte) {
	if len(text) != 2*len(into) {
		p.fail(fmt.Sprintf("no %d hexadecimal digits", 2*len(into)))
	} else if _, err := hex.Decode(into, []byte(text)); err != nil {
		p.fail(err.Error())
	}
}

func (p *parser) header() *Header {
	h := &Header{Version: Version}
	p.next = 1 // after the magic
	p.hex(p.line("volume"), h.Volume[:])
	var err error
	if h.Policy, err = ParsePolicy(p.line("policy")); err != nil {
		p.fail(err.Error())
	}
	p.anchor(h)
	for p.err == nil && p.next < len(p.lines) && strings.HasPrefix(p.lines[p.next], "slot ") {
		h.Slots = append(h.Slots, p.slot(p.line("slot"), len(h.Slots), h.Slots))
	}
	p.hex(p.line("mac"), h.code[:])
	if p.err == nil && p.next != len(p.lines) {
		p.next++
		p.fail("nothing is wanted after mac but sum")
	}
	if (h.Policy == Ephemeral) != (len(h.Slots) == 0) {
		p.fail(fmt.Sprintf("policy %s with %d slots", h.Policy, len(h.Slots)))
	}
	return h
}

func (p *parser) anchor(h *Header) {
	name, index, _ := strings.Cut(p.line("anchor"), " ")
	var err error
	if h.Anchor, err = ParseAnchor(name); err != nil {
		p.fail(err.Error())
	}
	if h.Anchor != AnchorTPM {
		return
	}
	number, err := strconv.ParseUint(index, 0, 32)
	if err != nil {
		p.fail("no NV index")
	}
	h.Counter = uint32(number)
}

// slot reads what follows the word slot.
func (p *parser) slot(text string, at int, before []Slot) (s Slot) {
	words := strings.Split(text, " ")
	if len(words) < 2 {
		p.fail("a slot without a kind")
		return s
	}
	number, err := strconv.ParseUint(words[0], 10, 8)
	if err != nil || number < 1 || number > MaximumSlots || at > 0 && uint8(number) <= before[at-1].Number {
		p.fail(fmt.Sprintf("no slot number rising from 1 to %d", MaximumSlots))
	}
	s.Number, s.Kind = uint8(number), Kind(words[1])
	known := fieldsOf(s.Kind)
	if known == nil && p.err == nil {
		p.err = &Error{Fault: Unsupported, Reason: fmt.Sprintf("line %d: this Bulkhead knows no slots of kind %.20q", p.next, words[1]), Hint: "open the volume with the Bulkhead that made the slot"}
		return s
	}
	known = append(known, bytesField("key", func(s *Slot) *[]byte { return &s.Key }, sealedSize, sealedSize))
	if len(words) != 2+len(known) {
		p.fail(fmt.Sprintf("a slot of kind %s with %d fields, where %d are wanted", s.Kind, len(words)-2, len(known)))
		return s
	}
	for i, f := range known {
		value, ok := strings.CutPrefix(words[2+i], f.name+"=")
		if !ok {
			p.fail("no " + f.name)
			continue
		}
		if err := f.parse(&s, value); err != nil {
			p.fail(f.name + ": " + err.Error())
		}
	}
	return s
}

// SPDX-License-Identifier: Apache-2.0

package reach

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"testing"
)

// Where test programs are loaded, and where their code starts in the file.
const (
	testBase = 0x400000
	testText = 0x1000
)

// listing is a program in machine code: one function a line, NAME: then words. A word is hexadecimal bytes; =XXXXXXXX for an instruction of
// arm64; rel:NAME, the distance to a function or datum behind these four bytes; call:NAME and jmp:NAME for x86; bl:NAME for arm64;
// off:NAME+HEX-NAME, a distance between two places in four bytes; addr:NAME+HEX, an address in eight. A line with a name in capitals is data.
// Execution starts at the first line.
type listing struct {
	machine elf.Machine
	text    string
}

// assemble returns the ELF file.
func (l listing) assemble(t testing.TB) []byte {
	t.Helper()
	names := map[string]uint64{}
	var text []byte
	var order []string
	dataAt := 0
	for range 2 { // the first pass finds the addresses
		text, order = nil, nil
		for line := range strings.Lines(l.text) {
			name, words, found := strings.Cut(strings.TrimSpace(line), ":")
			if !found {
				continue
			}
			if name == strings.ToUpper(name) && dataAt == 0 {
				dataAt = len(text)
			}
			names[name] = testBase + testText + uint64(len(text))
			order = append(order, name)
			for word := range strings.FieldsSeq(words) {
				text = append(text, encode(t, word, testBase+testText+uint64(len(text)), names)...)
			}
		}
	}
	if dataAt == 0 {
		dataAt = len(text)
	}
	names["end"] = testBase + testText + uint64(len(text))
	return l.file(text, dataAt, order, names)
}

func encode(t testing.TB, word string, pc uint64, names map[string]uint64) []byte {
	t.Helper()
	place := func(text string) uint64 {
		name, plus, _ := strings.Cut(text, "+")
		n, err := strconv.ParseUint("0"+plus, 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		return names[name] + n
	}
	kind, operand, _ := strings.Cut(word, ":")
	switch {
	case strings.HasPrefix(word, "="):
		n, err := strconv.ParseUint(word[1:], 16, 32)
		if err != nil {
			t.Fatal(err)
		}
		return binary.LittleEndian.AppendUint32(nil, uint32(n))
	case kind == "rel":
		return binary.LittleEndian.AppendUint32(nil, uint32(place(operand)-pc-4))
	case kind == "call":
		return binary.LittleEndian.AppendUint32([]byte{0xe8}, uint32(place(operand)-pc-5))
	case kind == "jmp":
		return binary.LittleEndian.AppendUint32([]byte{0xe9}, uint32(place(operand)-pc-5))
	case kind == "bl":
		return binary.LittleEndian.AppendUint32(nil, 0x94000000|uint32(place(operand)-pc)>>2&0x3ffffff)
	case kind == "off":
		to, from, _ := strings.Cut(operand, "-")
		return binary.LittleEndian.AppendUint32(nil, uint32(place(to)-place(from)))
	case kind == "addr":
		return binary.LittleEndian.AppendUint64(nil, place(operand))
	}
	code, err := hex.DecodeString(word)
	if err != nil {
		t.Fatalf("%s: %v", word, err)
	}
	return code
}

// file wraps code in an ELF file: one segment, a section of code, a symbol for each function.
func (l listing) file(text []byte, dataAt int, order []string, names map[string]uint64) []byte {
	wide := l.machine != elf.EM_386
	var symbols, strs bytes.Buffer
	put := func(w *bytes.Buffer, v any) { binary.Write(w, binary.LittleEndian, v) }
	strs.WriteByte(0)
	symbolSize := uint64(16)
	if wide {
		symbolSize = 24
		put(&symbols, elf.Sym64{})
	} else {
		put(&symbols, elf.Sym32{})
	}
	ends := append(order[1:], "end")
	for i, name := range order {
		info := elf.ST_INFO(elf.STB_GLOBAL, elf.STT_FUNC)
		if name == strings.ToUpper(name) {
			info = elf.ST_INFO(elf.STB_GLOBAL, elf.STT_OBJECT)
		}
		if size := names[ends[i]] - names[name]; wide {
			put(&symbols, elf.Sym64{Name: uint32(strs.Len()), Info: info, Shndx: 1, Value: names[name], Size: size})
		} else {
			put(&symbols, elf.Sym32{Name: uint32(strs.Len()), Info: info, Shndx: 1, Value: uint32(names[name]), Size: uint32(size)})
		}
		strs.WriteString(name + "\x00")
	}
	sectionNames := "\x00.text\x00.symtab\x00.strtab\x00.shstrtab\x00"
	var body bytes.Buffer
	body.Write(text)
	symbolsAt := testText + uint64(body.Len())
	body.Write(symbols.Bytes())
	stringsAt := testText + uint64(body.Len())
	body.Write(strs.Bytes())
	namesAt := testText + uint64(body.Len())
	body.WriteString(sectionNames)
	sectionsAt := testText + uint64(body.Len())
	sections := []elf.Section64{{},
		{Name: 1, Type: uint32(elf.SHT_PROGBITS), Flags: uint64(elf.SHF_ALLOC | elf.SHF_EXECINSTR), Addr: testBase + testText, Off: testText, Size: uint64(dataAt)},
		{Name: 7, Type: uint32(elf.SHT_SYMTAB), Off: symbolsAt, Size: uint64(symbols.Len()), Link: 3, Entsize: symbolSize},
		{Name: 15, Type: uint32(elf.SHT_STRTAB), Off: stringsAt, Size: uint64(strs.Len())},
		{Name: 23, Type: uint32(elf.SHT_STRTAB), Off: namesAt, Size: uint64(len(sectionNames))}}
	for _, s := range sections {
		if wide {
			put(&body, s)
		} else {
			put(&body, elf.Section32{Name: s.Name, Type: s.Type, Flags: uint32(s.Flags), Addr: uint32(s.Addr), Off: uint32(s.Off), Size: uint32(s.Size), Link: s.Link, Entsize: uint32(s.Entsize)})
		}
	}
	return append(l.header(names[order[0]], sectionsAt, uint64(len(text))), body.Bytes()...)
}

// header returns what is before the code: the ELF header and one program header.
func (l listing) header(entry, sectionsAt, size uint64) []byte {
	var w bytes.Buffer
	ident := [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)}
	if l.machine == elf.EM_386 {
		ident[4] = byte(elf.ELFCLASS32)
		binary.Write(&w, binary.LittleEndian, elf.Header32{Ident: ident, Type: uint16(elf.ET_EXEC), Machine: uint16(l.machine), Version: 1, Entry: uint32(entry),
			Phoff: 52, Shoff: uint32(sectionsAt), Ehsize: 52, Phentsize: 32, Phnum: 1, Shentsize: 40, Shnum: 5, Shstrndx: 4})
		binary.Write(&w, binary.LittleEndian, elf.Prog32{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Off: testText, Vaddr: testBase + testText,
			Filesz: uint32(size), Memsz: uint32(size), Align: 4096})
	} else {
		binary.Write(&w, binary.LittleEndian, elf.Header64{Ident: ident, Type: uint16(elf.ET_EXEC), Machine: uint16(l.machine), Version: 1, Entry: entry,
			Phoff: 64, Shoff: sectionsAt, Ehsize: 64, Phentsize: 56, Phnum: 1, Shentsize: 64, Shnum: 5, Shstrndx: 4})
		binary.Write(&w, binary.LittleEndian, elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Off: testText, Vaddr: testBase + testText,
			Filesz: size, Memsz: size, Align: 4096})
	}
	return append(w.Bytes(), make([]byte, testText-w.Len())...)
}

// tree is a tree of files in memory.
type tree map[string][]byte

func (t tree) open(name string) (io.ReaderAt, error) {
	if data, ok := t[name]; ok {
		return bytes.NewReader(data), nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// SPDX-License-Identifier: Apache-2.0

package reach

import (
	"bytes"
	"cmp"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// span is a range of addresses of an object, before relocation: [start, end).
type span struct{ start, end uint64 }

func (s span) holds(addr uint64) bool { return s.start <= addr && addr < s.end }

// segment is a part of an object that is loaded.
type segment struct {
	span
	data       []byte // as many bytes as the file has of it; the rest is zeros
	executable bool
}

// symbol is one of the dynamic symbol table.
type symbol struct {
	name    string
	value   uint64
	size    uint64
	kind    elf.SymType
	defined bool
	weak    bool
	code    bool // a function, or without a type
}

// slot is a word that the dynamic linker fills: with the address of a symbol, or with one of this object.
type slot struct {
	symbol string // "" = none
	addend uint64 // the address, where there is no symbol
	named  bool   // only code that names its place uses it, as an entry of the global offset table
	weak   bool   // may be missing
}

// function is what lies between two addresses as symbols, unwinding tables or Go's own tables tell.
type function struct {
	span
	name string
}

// littleEndian is what encoding/binary calls binary.LittleEndian's type, which it does not name.
type littleEndian interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// object is one ELF file of a program: what is loaded of it, and what its tables say.
type object struct {
	path      string
	origin    string // its directory, $ORIGIN
	file      *elf.File
	text      []byte // the file
	machine   machine
	order     littleEndian // that of every machine here
	word      uint64       // bytes of an address
	relocated bool         // may be loaded anywhere: words that hold addresses have relocations
	goProgram bool

	segments  []segment
	code      []span // what may be executed
	plt       []span // stubs, each a function of its own
	soname    string
	interp    string
	needed    []string
	rpath     []string
	runpath   []string
	symbols   []symbol
	exports   map[string][]uint64 // functions by name; several where there are versions
	slots     map[uint64]slot
	functions []function     // ascending by start
	starts    map[uint64]int // index into functions by start
	// pops are the bytes that functions take off their caller's stack, by their starts: on i386 the pointer to a structure that is returned.
	pops map[uint64]int64
	// goArguments are the bytes of the caller's frame that a Go function uses, by its start.
	goArguments map[uint64]int64
	tables      []span   // the dynamic linker's own: symbols and relocations
	initial     []uint64 // what the dynamic linker calls: DT_INIT and the arrays
	got         uint64   // DT_PLTGOT
}

// newObject reads an ELF file. The text is kept, not copied.
func newObject(path string, text []byte) (*object, error) {
	file, err := elf.NewFile(bytes.NewReader(text))
	if err != nil {
		var format *elf.FormatError
		if errors.As(err, &format) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			if bytes.HasPrefix(text, []byte("#!")) {
				return nil, fmt.Errorf("%s: a script: name its interpreter instead", path)
			}
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	o := &object{
		path: path, origin: directory(path), file: file, text: text, order: binary.LittleEndian, word: 4,
		exports: map[string][]uint64{}, slots: map[uint64]slot{}, starts: map[uint64]int{}, pops: map[uint64]int64{},
	}
	if file.Class == elf.ELFCLASS64 {
		o.word = 8
	}
	if o.machine, err = machineOf(file); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if file.Type != elf.ET_EXEC && file.Type != elf.ET_DYN {
		return nil, fmt.Errorf("%s: %s is neither a program nor a shared library", path, file.Type)
	}
	o.relocated = file.Type == elf.ET_DYN
	if err := o.readSegments(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	o.findCode()
	if err := o.readDynamic(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	o.findFunctions()
	return o, nil
}

func (o *object) readSegments() error {
	text := o.text
	for i, header := range o.file.Progs {
		if header.Filesz > header.Memsz && header.Type == elf.PT_LOAD || header.Off > uint64(len(text)) || header.Filesz > uint64(len(text))-header.Off {
			return fmt.Errorf("program header %d: %d bytes at %#x are not in the file", i, header.Filesz, header.Off)
		}
		data := text[header.Off : header.Off+header.Filesz]
		switch header.Type {
		case elf.PT_LOAD:
			if header.Vaddr+header.Memsz < header.Vaddr {
				return fmt.Errorf("program header %d: %#x bytes at %#x are beyond the address space", i, header.Memsz, header.Vaddr)
			}
			o.segments = append(o.segments, segment{span{header.Vaddr, header.Vaddr + header.Memsz}, data, header.Flags&elf.PF_X != 0})
		case elf.PT_INTERP:
			o.interp = terminated(data)
		}
	}
	slices.SortStableFunc(o.segments, func(a, b segment) int { return cmp.Compare(a.start, b.start) })
	for i := 1; i < len(o.segments); i++ {
		if o.segments[i].start < o.segments[i-1].end {
			return fmt.Errorf("two segments share address %#x", o.segments[i].start)
		}
	}
	return nil
}

// findCode takes the sections that may be executed, or where there are none the segments.
func (o *object) findCode() {
	for _, section := range o.file.Sections {
		if section.Flags&elf.SHF_EXECINSTR == 0 || section.Type != elf.SHT_PROGBITS || section.Size == 0 || section.Addr+section.Size < section.Addr {
			continue
		}
		s := span{section.Addr, section.Addr + section.Size}
		if len(o.at(s.start, 1)) == 0 {
			continue
		}
		o.code = append(o.code, s)
		if name := section.Name; name == ".plt" || name == ".iplt" || len(name) > 5 && name[:5] == ".plt." {
			o.plt = append(o.plt, s)
		}
	}
	if len(o.code) == 0 || !o.sectionsHoldEntry() {
		o.code, o.plt = nil, nil
		for _, s := range o.segments {
			if s.executable && len(s.data) > 0 {
				o.code = append(o.code, span{s.start, s.start + uint64(len(s.data))})
			}
		}
	}
	slices.SortFunc(o.code, func(a, b span) int { return cmp.Compare(a.start, b.start) })
}

// sectionsHoldEntry tells a section table that describes the file from one that does not: the kernel never reads it.
func (o *object) sectionsHoldEntry() bool {
	return o.file.Entry == 0 || inside(o.code, o.file.Entry)
}

// inside tells whether one of the spans, which are few, holds an address.
func inside(spans []span, addr uint64) bool {
	for _, s := range spans {
		if s.holds(addr) {
			return true
		}
	}
	return false
}

// at returns up to size bytes at an address; fewer at the end of what the file has of a segment, none elsewhere.
func (o *object) at(addr, size uint64) []byte {
	for i := range o.segments {
		if s := &o.segments[i]; s.holds(addr) {
			from := addr - s.start
			if from >= uint64(len(s.data)) {
				return nil
			}
			return s.data[from:min(from+size, uint64(len(s.data)))]
		}
	}
	return nil
}

// wordAt reads a word of the object's size.
func (o *object) wordAt(addr uint64) (uint64, bool) {
	data := o.at(addr, o.word)
	if uint64(len(data)) < o.word {
		return 0, false
	}
	if o.word == 4 {
		return uint64(o.order.Uint32(data)), true
	}
	return o.order.Uint64(data), true
}

// codeFrom returns the bytes at an address up to the end of the executable range that holds it.
func (o *object) codeFrom(addr uint64) []byte {
	for _, s := range o.code {
		if s.holds(addr) {
			return o.at(addr, s.end-addr)
		}
	}
	return nil
}

// functionAt returns the known function that holds an address.
func (o *object) functionAt(addr uint64) (function, bool) {
	i, found := slices.BinarySearchFunc(o.functions, addr, func(f function, addr uint64) int { return cmp.Compare(f.start, addr) })
	if !found {
		i--
	}
	if i < 0 || !o.functions[i].holds(addr) {
		return function{}, false
	}
	return o.functions[i], true
}

// boundAfter returns where the next known function starts after an address, or its executable range ends.
func (o *object) boundAfter(addr uint64) uint64 {
	end := addr
	for _, s := range o.code {
		if s.holds(addr) {
			end = s.end
		}
	}
	i, _ := slices.BinarySearchFunc(o.functions, addr+1, func(f function, addr uint64) int { return cmp.Compare(f.start, addr) })
	if i < len(o.functions) && o.functions[i].start < end {
		end = o.functions[i].start
	}
	return end
}

// nameOf says where an address lies, for people.
func (o *object) nameOf(addr uint64) string {
	f, ok := o.functionAt(addr)
	switch {
	case !ok:
		return ""
	case f.name != "":
		return f.name
	}
	return fmt.Sprintf("function %#x", f.start)
}

// nameLimit bounds names in string tables, in bytes: a table may be one long string that every symbol starts inside.
const nameLimit = 1 << 14

// tableString returns the string at an offset of a string table, which it shares.
func tableString(table string, offset uint64) string {
	if offset >= uint64(len(table)) {
		return ""
	}
	name := table[offset:min(offset+nameLimit, uint64(len(table)))]
	if i := strings.IndexByte(name, 0); i >= 0 {
		name = name[:i]
	}
	return name
}

// terminated returns the text before the first zero byte.
func terminated(data []byte) string {
	if i := bytes.IndexByte(data, 0); i >= 0 {
		data = data[:i]
	}
	return string(data)
}

// directory returns what is before the last slash of a path.
func directory(path string) string {
	for i := len(path) - 1; i > 0; i-- {
		if path[i] == '/' {
			return path[:i]
		}
	}
	return "/"
}

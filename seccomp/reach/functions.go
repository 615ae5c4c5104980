// SPDX-License-Identifier: Apache-2.0

package reach

import (
	"bytes"
	"cmp"
	"debug/elf"
	"slices"
)

// findFunctions collects where functions start and end: from symbols, unwinding tables, and Go's own table.
func (o *object) findFunctions() {
	var all []function
	add := func(start, size uint64, name string) {
		if !inside(o.code, start) || inside(o.plt, start) && name == "" {
			return
		}
		end := start + size
		if end < start || len(o.at(start, size)) < int(min(size, 1<<40)) {
			end = start
		}
		all = append(all, function{span{start, end}, name})
	}
	for _, s := range o.symbols {
		if s.defined && s.code {
			add(s.value, s.size, s.name)
		}
	}
	o.staticSymbols(add)
	for _, s := range o.unwound() {
		add(s.start, s.end-s.start, "")
	}
	o.goFunctions(add)
	o.keepFunctions(all)
}

// keepFunctions sorts functions, makes one of those with the same start, and gives those of unknown size the room up to the next.
func (o *object) keepFunctions(all []function) {
	slices.SortFunc(all, func(a, b function) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(len(b.name), len(a.name)), cmp.Compare(a.name, b.name))
	})
	for _, f := range all {
		if last := len(o.functions) - 1; last >= 0 && o.functions[last].start == f.start {
			known := &o.functions[last]
			known.end = max(known.end, f.end)
			if f.name != "" { // the shortest name is the one without decoration
				known.name = f.name
			}
			continue
		}
		o.starts[f.start] = len(o.functions)
		o.functions = append(o.functions, f)
	}
	for i := range o.functions {
		if f := &o.functions[i]; f.end == f.start {
			f.end = o.boundAfter(f.start)
		}
	}
}

// staticSymbols adds the functions of .symtab, where the file was not stripped of it.
func (o *object) staticSymbols(add func(start, size uint64, name string)) {
	section := o.file.SectionByType(elf.SHT_SYMTAB)
	if section == nil || int(section.Link) >= len(o.file.Sections) {
		return
	}
	for _, s := range o.parseSymbols(o.bytesOf(section), string(o.bytesOf(o.file.Sections[section.Link]))) {
		if s.defined && (s.kind == elf.STT_FUNC || s.kind == elf.STT_GNU_IFUNC) {
			add(s.value, s.size, s.name)
		}
	}
}

// bytesOf returns a section as the file has it; nothing where it is compressed or not in the file.
func (o *object) bytesOf(s *elf.Section) []byte {
	if s.Flags&elf.SHF_COMPRESSED != 0 || s.Type == elf.SHT_NOBITS || s.Offset > uint64(len(o.text)) || s.FileSize > uint64(len(o.text))-s.Offset {
		return nil
	}
	return o.text[s.Offset : s.Offset+s.FileSize]
}

// The first words of Go's function table (cmd/link, pclntab): since Go 1.18, and since Go 1.20.
const (
	goTable118 = 0xfffffff0
	goTable120 = 0xfffffff1
)

// goFunctions adds the functions of Go's function table, which every Go program has, stripped or not. It is how a Go program is known as one.
// The table is read here and not by debug/gosym, which is for files that are trusted.
//
// Header: magic, two zeros, quantum, bytes of a word; then words: functions, files, text start, offsets of names, units, files, programs,
// functions. A function's entry is two 32-bit offsets: of its code from the text's start, and of its description, whose second field is the
// offset of its name and whose third is how many bytes of its caller's frame are for arguments and results, negative where that is not known.
// One more offset ends the last function.
func (o *object) goFunctions(add func(start, size uint64, name string)) {
	text, table := o.file.Section(".text"), o.goTable()
	if text == nil {
		return
	}
	words := 8 + 8*int(o.word)
	if len(table) < words || o.order.Uint32(table) != goTable118 && o.order.Uint32(table) != goTable120 {
		return
	}
	field := func(i int) uint64 {
		if o.word == 4 {
			return uint64(o.order.Uint32(table[8+4*i:]))
		}
		return o.order.Uint64(table[8+8*i:])
	}
	size := uint64(len(table))
	count, namesAt, functionsAt := field(0), field(3), field(7)
	if functionsAt > size || namesAt > size || count > (size-functionsAt)/8 || size-functionsAt < 8*count+4 {
		return
	}
	start := field(2)
	if !inside(o.code, start) {
		start = text.Addr // not written since Go 1.26, nor before relocation
	}
	o.goArguments = map[uint64]int64{}
	names, entries := string(table[namesAt:]), table[functionsAt:]
	for i := range count {
		entry := entries[8*i:]
		from, described, to := o.order.Uint32(entry), uint64(o.order.Uint32(entry[4:])), o.order.Uint32(entry[8:])
		if to <= from || described+12 > uint64(len(entries)) {
			continue
		}
		add(start+uint64(from), uint64(to-from), tableString(names, uint64(o.order.Uint32(entries[described+4:]))))
		if args := int32(o.order.Uint32(entries[described+8:])); args >= 0 {
			o.goArguments[start+uint64(from)] = int64(args)
		}
	}
	o.goProgram = count > 0
}

// goTable finds Go's function table: in a section of its own, or where another linker than Go's put all data, by its first bytes.
func (o *object) goTable() []byte {
	for _, name := range []string{".gopclntab", ".data.rel.ro.gopclntab"} {
		if section := o.file.Section(name); section != nil {
			return o.bytesOf(section)
		}
	}
	if o.file.Section(".go.buildinfo") == nil && o.file.Section(".note.go.buildid") == nil {
		return nil
	}
	for _, magic := range []uint32{goTable118, goTable120} {
		pattern := o.order.AppendUint32(nil, magic)
		pattern = append(pattern, 0, 0, byte(o.quantum()), byte(o.word))
		for _, s := range o.segments {
			for from := 0; !s.executable; {
				i := bytes.Index(s.data[from:], pattern)
				if i < 0 {
					break
				}
				if from += i; (s.start+uint64(from))%o.word == 0 {
					return s.data[from:]
				}
				from++
			}
		}
	}
	return nil
}

// quantum is the size of the smallest instruction, as Go's table has it.
func (o *object) quantum() int {
	if o.file.Machine == elf.EM_AARCH64 {
		return 4
	}
	return 1
}

// goWritten returns how many bytes of its caller's frame a Go function may write: those of its arguments, results, and of the registers that it
// is given. All of them where no table says.
func (o *object) goWritten(target uint64, direct bool) int64 {
	if bytes, ok := o.goArguments[target]; ok && direct {
		return bytes
	}
	return 1 << 62
}

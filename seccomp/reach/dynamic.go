// SPDX-License-Identifier: Apache-2.0

package reach

import (
	"debug/elf"
	"fmt"
	"strings"
)

// DT_RELR and its size are younger than debug/elf's list of tags (gABI, 2022 draft).
const (
	tagRELRSize elf.DynTag = 35
	tagRELR     elf.DynTag = 36
)

// relocations are the kinds of an architecture that matter here; any other that names a function holds its address.
type relocations struct {
	relative, indirect uint32 // the load address + addend; what the function at the load address + addend returns
	global, jump       uint32 // an entry of the global offset table, used by code that names its place
}

func relocationsOf(m elf.Machine) relocations {
	switch m {
	case elf.EM_X86_64:
		return relocations{uint32(elf.R_X86_64_RELATIVE), uint32(elf.R_X86_64_IRELATIVE), uint32(elf.R_X86_64_GLOB_DAT), uint32(elf.R_X86_64_JMP_SLOT)}
	case elf.EM_386:
		return relocations{uint32(elf.R_386_RELATIVE), uint32(elf.R_386_IRELATIVE), uint32(elf.R_386_GLOB_DAT), uint32(elf.R_386_JMP_SLOT)}
	}
	return relocations{uint32(elf.R_AARCH64_RELATIVE), uint32(elf.R_AARCH64_IRELATIVE), uint32(elf.R_AARCH64_GLOB_DAT), uint32(elf.R_AARCH64_JUMP_SLOT)}
}

// readDynamic reads what PT_DYNAMIC points to. Section headers are not needed for it, as the dynamic linker needs none.
func (o *object) readDynamic() error {
	tags := map[elf.DynTag]uint64{}
	var needed, rpath, runpath []uint64
	for _, header := range o.file.Progs {
		if header.Type != elf.PT_DYNAMIC {
			continue
		}
		for addr := header.Vaddr; addr+2*o.word <= header.Vaddr+header.Filesz; addr += 2 * o.word {
			tag, ok := o.wordAt(addr)
			value, ok2 := o.wordAt(addr + o.word)
			if !ok || !ok2 || elf.DynTag(tag) == elf.DT_NULL {
				break
			}
			switch elf.DynTag(tag) {
			case elf.DT_NEEDED:
				needed = append(needed, value)
			case elf.DT_RPATH:
				rpath = append(rpath, value)
			case elf.DT_RUNPATH:
				runpath = append(runpath, value)
			default:
				tags[elf.DynTag(tag)] = value
			}
		}
	}
	table := string(o.at(tags[elf.DT_STRTAB], tags[elf.DT_STRSZ]))
	text := func(offset uint64) string { return tableString(table, offset) }
	if _, ok := tags[elf.DT_SONAME]; ok {
		o.soname = text(tags[elf.DT_SONAME])
	}
	for _, offset := range needed {
		o.needed = append(o.needed, text(offset))
	}
	for _, offset := range rpath {
		o.rpath = append(o.rpath, strings.Split(text(offset), ":")...)
	}
	for _, offset := range runpath {
		o.runpath = append(o.runpath, strings.Split(text(offset), ":")...)
	}
	if len(o.runpath) > 0 {
		o.rpath = nil // ld.so(8): DT_RPATH counts only where there is no DT_RUNPATH
	}
	o.got = tags[elf.DT_PLTGOT]
	if err := o.readRelocations(tags, table); err != nil {
		return err
	}
	o.readInitial(tags)
	return nil
}

// readSymbols reads the dynamic symbols. No tag says how many there are: the hash table does, or else the highest that a relocation names.
func (o *object) readSymbols(tags map[elf.DynTag]uint64, named uint64, names string) {
	table, ok := tags[elf.DT_SYMTAB]
	if !ok {
		return
	}
	count := max(named, o.hashedSymbols(tags))
	o.tables = append(o.tables, span{table, table + count*o.symbolSize()})
	o.symbols = o.parseSymbols(o.at(table, count*o.symbolSize()), names)
	for _, s := range o.symbols {
		if s.defined && s.code && s.name != "" && inside(o.code, s.value) {
			o.exports[s.name] = append(o.exports[s.name], s.value)
		}
	}
}

// symbolSize is that of Elf64_Sym or Elf32_Sym.
func (o *object) symbolSize() uint64 { return 8 + 2*o.word }

func (o *object) parseSymbols(table []byte, names string) []symbol {
	size := int(o.symbolSize())
	symbols := make([]symbol, 0, len(table)/size)
	for ; len(table) >= size; table = table[size:] {
		s := symbol{name: tableString(names, uint64(o.order.Uint32(table)))}
		info, section := table[4], o.order.Uint16(table[6:])
		if o.word == 8 {
			s.value, s.size = o.order.Uint64(table[8:]), o.order.Uint64(table[16:])
		} else {
			s.value, s.size = uint64(o.order.Uint32(table[4:])), uint64(o.order.Uint32(table[8:]))
			info, section = table[12], o.order.Uint16(table[14:])
		}
		s.defined = section != uint16(elf.SHN_UNDEF) && section < uint16(elf.SHN_LORESERVE)
		s.kind, s.weak = elf.ST_TYPE(info), elf.ST_BIND(info) == elf.STB_WEAK
		s.code = s.kind == elf.STT_FUNC || s.kind == elf.STT_GNU_IFUNC || s.kind == elf.STT_NOTYPE
		symbols = append(symbols, s)
	}
	return symbols
}

// hashedSymbols returns the number of symbols that DT_HASH states or DT_GNU_HASH implies: its chains end with an odd word, and the last symbol
// is at the end of the last chain.
func (o *object) hashedSymbols(tags map[elf.DynTag]uint64) uint64 {
	if table, ok := tags[elf.DT_HASH]; ok {
		if data := o.at(table+4, 4); len(data) == 4 {
			return uint64(o.order.Uint32(data))
		}
	}
	table, ok := tags[elf.DT_GNU_HASH]
	header := o.at(table, 16)
	if !ok || len(header) < 16 {
		return 0
	}
	buckets, first, bloom := uint64(o.order.Uint32(header)), uint64(o.order.Uint32(header[4:])), uint64(o.order.Uint32(header[8:]))
	chains := table + 16 + bloom*o.word + 4*buckets
	last := uint64(0)
	bucketData := o.at(table+16+bloom*o.word, 4*buckets)
	for i := 0; i+4 <= len(bucketData); i += 4 {
		last = max(last, uint64(o.order.Uint32(bucketData[i:])))
	}
	if last < first {
		return first
	}
	for {
		data := o.at(chains+4*(last-first), 4)
		if len(data) < 4 || o.order.Uint32(data)&1 == 1 {
			return last + 1
		}
		last++
	}
}

// relocation is one entry of a table of relocations.
type relocation struct {
	place, addend uint64
	symbol        uint64
	kind          uint32
}

func (o *object) readRelocations(tags map[elf.DynTag]uint64, names string) error {
	var all []relocation
	for _, table := range []struct {
		start, size elf.DynTag
		addends     bool
	}{
		{elf.DT_RELA, elf.DT_RELASZ, true},
		{elf.DT_REL, elf.DT_RELSZ, false},
		{elf.DT_JMPREL, elf.DT_PLTRELSZ, tags[elf.DT_PLTREL] == uint64(elf.DT_RELA)},
	} {
		if tags[table.size] > 0 {
			o.tables = append(o.tables, span{tags[table.start], tags[table.start] + tags[table.size]})
			all = o.appendRelocations(all, tags[table.start], tags[table.size], table.addends)
		}
	}
	highest := uint64(0)
	for _, r := range all {
		highest = max(highest, r.symbol+1)
	}
	if highest > 1<<24 {
		return fmt.Errorf("a relocation names symbol %d", highest-1)
	}
	o.readSymbols(tags, highest, names)
	o.readRELR(tags)
	kinds := relocationsOf(o.file.Machine)
	for _, r := range all {
		switch {
		case r.kind == kinds.relative || r.kind == kinds.indirect:
			o.slots[r.place] = slot{addend: r.addend}
		case r.symbol != 0 && r.symbol < uint64(len(o.symbols)) && o.symbols[r.symbol].code:
			o.slots[r.place] = slot{symbol: o.symbols[r.symbol].name, named: r.kind == kinds.global || r.kind == kinds.jump, weak: o.symbols[r.symbol].weak}
		}
	}
	return nil
}

func (o *object) appendRelocations(all []relocation, table, size uint64, addends bool) []relocation {
	words := uint64(2)
	if addends {
		words = 3
	}
	for addr := table; addr < table+size; addr += words * o.word {
		place, ok := o.wordAt(addr)
		info, ok2 := o.wordAt(addr + o.word)
		if !ok || !ok2 {
			break
		}
		r := relocation{place: place, symbol: info >> 32, kind: uint32(info)}
		if o.word == 4 {
			r.symbol, r.kind = info>>8, uint32(info&0xff)
		}
		if addends {
			r.addend, _ = o.wordAt(addr + 2*o.word)
		} else {
			r.addend, _ = o.wordAt(place)
		}
		all = append(all, r)
	}
	return all
}

// readRELR reads relative relocations in their packed form: an even word is the place of one, an odd word a bitmap of the places that follow.
func (o *object) readRELR(tags map[elf.DynTag]uint64) {
	table, size := tags[tagRELR], tags[tagRELRSize]
	add := func(place uint64) bool {
		addend, ok := o.wordAt(place)
		if ok {
			o.slots[place] = slot{addend: addend}
		}
		return ok
	}
	place := uint64(0)
	for addr := table; addr < table+size; addr += o.word {
		entry, ok := o.wordAt(addr)
		if !ok {
			return
		}
		if entry&1 == 0 {
			add(entry)
			place = entry + o.word
			continue
		}
		for bit := uint64(1); bit < 8*o.word; bit++ {
			if entry>>bit&1 == 1 {
				add(place + (bit-1)*o.word)
			}
		}
		place += (8*o.word - 1) * o.word
	}
}

// readInitial collects what is called without anybody asking: before main, and at the end.
func (o *object) readInitial(tags map[elf.DynTag]uint64) {
	for _, tag := range []elf.DynTag{elf.DT_INIT, elf.DT_FINI} {
		if addr := tags[tag]; addr != 0 {
			o.initial = append(o.initial, addr)
		}
	}
	for _, array := range [][2]elf.DynTag{{elf.DT_PREINIT_ARRAY, elf.DT_PREINIT_ARRAYSZ}, {elf.DT_INIT_ARRAY, elf.DT_INIT_ARRAYSZ}, {elf.DT_FINI_ARRAY, elf.DT_FINI_ARRAYSZ}} {
		start, size := tags[array[0]], tags[array[1]]
		for addr := start; addr < start+size; addr += o.word {
			value, ok := o.wordAt(addr)
			if !ok {
				break
			}
			if s, relocated := o.slots[addr]; relocated && s.symbol == "" {
				value = s.addend
			}
			if inside(o.code, value) {
				o.initial = append(o.initial, value)
			}
		}
	}
}

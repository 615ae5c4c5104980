// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// entry is a row of a kernel's system call table as it applies to one ABI.
type entry struct {
	number uint32 // without the ABI's base
	name   string
	native string // the function that a kernel of the ABI's own width enters; "" = none
	compat string // the one that a kernel of twice the width enters; "" = the native one

	prototype prototype // by registers; nil = not known
	code      uint32    // of its widths
}

// abi is a line of data/abis.txt with the calls of its table.
type abi struct {
	name, oci, arch, table, goarch string
	rows                           []string
	audit, base                    uint32
	bigEndian, compat              bool
	word                           int
	entries                        []entry // by ascending number
}

// records yields the fields of the lines of a data file that are not comments; want is how many fields each has, the last taking the rest of
// its line.
func records(text string, want int) ([][]string, error) {
	var all [][]string
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		fields := strings.Fields(line)
		if len(fields) < want {
			return nil, fmt.Errorf("line %d: %d fields, want %d", number, len(fields), want)
		}
		rest := line
		for range want - 1 {
			rest = strings.TrimLeftFunc(rest[strings.IndexFunc(rest, unicode.IsSpace):], unicode.IsSpace)
		}
		all = append(all, append(fields[:want-1:want-1], rest))
	}
	return all, nil
}

// dataRecords are the records of an embedded data file.
func dataRecords(name string, want int) ([][]string, error) {
	text, err := data.ReadFile("data/" + name)
	if err != nil {
		return nil, err
	}
	all, err := records(string(text), want)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return all, nil
}

// readABIs reads data/abis.txt and the kernel tables that it names.
func readABIs(tree string) ([]*abi, error) {
	lines, err := dataRecords("abis.txt", 11)
	if err != nil {
		return nil, err
	}
	audit, err := auditConstants(tree)
	if err != nil {
		return nil, err
	}
	var abis []*abi
	for _, field := range lines {
		a := &abi{name: field[0], oci: field[1], bigEndian: field[4] == "big", arch: field[6], table: field[7],
			rows: strings.Split(field[8], ","), compat: field[9] == "yes", goarch: field[10]}
		if a.goarch == "-" {
			a.goarch = ""
		}
		known := false
		if a.audit, known = audit[field[2]]; !known {
			return nil, fmt.Errorf("abis.txt: %s: no %s in audit.h", a.name, field[2])
		}
		base, err := strconv.ParseUint(field[3], 0, 32)
		if err != nil {
			return nil, fmt.Errorf("abis.txt: %s: base: %w", a.name, err)
		}
		a.base = uint32(base)
		if a.word, err = strconv.Atoi(field[5]); err != nil {
			return nil, fmt.Errorf("abis.txt: %s: word: %w", a.name, err)
		}
		if err := a.readTable(tree); err != nil {
			return nil, err
		}
		abis = append(abis, a)
	}
	return abis, nil
}

// readTable reads the rows of the ABI's table: number, ABI, name, entry point, compat entry point. "-" is no entry point.
func (a *abi) readTable(tree string) error {
	text, err := os.ReadFile(filepath.Join(tree, a.table))
	if err != nil {
		return err
	}
	lines, err := records(string(text), 3)
	if err != nil {
		return fmt.Errorf("%s: %w", a.table, err)
	}
	for _, line := range lines {
		if !slices.Contains(a.rows, line[1]) {
			continue
		}
		number, err := strconv.ParseUint(line[0], 10, 15)
		if err != nil {
			return fmt.Errorf("%s: number: %w", a.table, err)
		}
		name := strings.Fields(line[2])
		for len(name) < 3 {
			name = append(name, "")
		}
		e := entry{number: uint32(number), name: name[0], native: implemented(name[1]), compat: implemented(name[2])}
		if strings.HasPrefix(e.name, "reserved") || strings.HasPrefix(e.name, "unused") || strings.HasPrefix(e.name, "available") {
			continue
		}
		if e.name == "arm_sync_file_range" { // package syscalls takes it for the same
			e.name = "sync_file_range2"
		}
		a.entries = append(a.entries, e)
	}
	if a.arch == "arm" {
		if err := a.readARMPrivate(tree); err != nil {
			return err
		}
	}
	if len(a.entries) < 200 {
		return fmt.Errorf("%s: only %d rows of %v", a.table, len(a.entries), a.rows)
	}
	return a.sort()
}

// sort puts the entries in the order of their numbers, of which none may stand twice.
func (a *abi) sort() error {
	slices.SortFunc(a.entries, func(e, f entry) int { return int(e.number) - int(f.number) })
	names := map[string]bool{}
	for i, e := range a.entries {
		if i > 0 && a.entries[i-1].number == e.number {
			return fmt.Errorf("%s: %s and %s are both %d", a.name, a.entries[i-1].name, e.name, e.number)
		}
		if names[e.name] {
			return fmt.Errorf("%s: %s stands twice", a.name, e.name)
		}
		names[e.name] = true
	}
	return nil
}

// implemented is the entry point, or "" where the table says that there is none.
func implemented(name string) string {
	if name == "-" || name == "sys_ni_syscall" || name == "sys32_unimplemented" {
		return ""
	}
	return name
}

var armPrivate = regexp.MustCompile(`(?m)^#define __ARM_NR_([a-z]\w*)\s+\(__ARM_NR_BASE\+(\d+)\)`)

// readARMPrivate adds the calls that arch/arm/kernel/traps.c serves beside its table, from 0x0f0000 on.
func (a *abi) readARMPrivate(tree string) error {
	const file = "arch/arm/include/uapi/asm/unistd.h"
	text, err := os.ReadFile(filepath.Join(tree, file))
	if err != nil {
		return err
	}
	found := armPrivate.FindAllSubmatch(text, -1)
	if len(found) < 6 {
		return fmt.Errorf("%s: %d private calls", file, len(found))
	}
	for _, match := range found {
		offset, _ := strconv.Atoi(string(match[2]))
		a.entries = append(a.entries, entry{number: 0x0f0000 + uint32(offset), name: string(match[1]), native: "arm_" + string(match[1])})
	}
	return nil
}

var (
	machineNumber = regexp.MustCompile(`(?m)^#define (EM_\w+)\s+(\d+)`)
	auditFlag     = regexp.MustCompile(`(?m)^#define (__AUDIT_ARCH_\w+)\s+(0x[0-9a-fA-F]+)`)
	auditArch     = regexp.MustCompile(`(?m)^#define (AUDIT_ARCH_\w+)\s+\(?([A-Z0-9_|\\\s]+?)\)?$`)
)

// auditConstants evaluates the AUDIT_ARCH_* macros.
func auditConstants(tree string) (map[string]uint32, error) {
	machines, err := os.ReadFile(filepath.Join(tree, "include/uapi/linux/elf-em.h"))
	if err != nil {
		return nil, err
	}
	audit, err := os.ReadFile(filepath.Join(tree, "include/uapi/linux/audit.h"))
	if err != nil {
		return nil, err
	}
	audit = bytes.ReplaceAll(audit, []byte("\\\n"), nil)
	values := map[string]uint32{}
	for _, match := range append(machineNumber.FindAllSubmatch(machines, -1), auditFlag.FindAllSubmatch(audit, -1)...) {
		value, err := strconv.ParseUint(string(match[2]), 0, 32)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", match[1], err)
		}
		values[string(match[1])] = uint32(value)
	}
	constants := map[string]uint32{}
	for _, match := range auditArch.FindAllSubmatch(audit, -1) {
		sum, known := uint32(0), true
		for part := range strings.SplitSeq(string(match[2]), "|") {
			value, ok := values[strings.TrimSpace(part)]
			sum, known = sum|value, known && ok
		}
		if known {
			constants[string(match[1])] = sum
		}
	}
	return constants, nil
}

// addNewer adds the calls of data/newer.txt, which are newer than the tree.
func addNewer(abis []*abi) error {
	lines, err := dataRecords("newer.txt", 4)
	if err != nil {
		return err
	}
	for _, line := range lines {
		number, err := strconv.ParseUint(line[0], 10, 15)
		if err != nil {
			return fmt.Errorf("newer.txt: number: %w", err)
		}
		on := strings.Split(line[1], ",")
		for _, a := range abis {
			if line[1] == "all" || slices.Contains(on, a.name) {
				a.entries = append(a.entries, entry{number: uint32(number), name: line[2], native: "sys_" + line[2]})
			}
		}
	}
	for _, a := range abis {
		if err := a.sort(); err != nil {
			return fmt.Errorf("newer.txt: %w", err)
		}
	}
	return nil
}

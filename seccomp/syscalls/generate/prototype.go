// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// parameter is one parameter of a C function.
type parameter struct {
	ctype string // without __user, with single spaces; "int:32" = the kernel reads only so many bits of it
	name  string
}

// prototype is what a system call's entry point is declared with.
type prototype []parameter

func (p prototype) String() string {
	parts := make([]string, len(p))
	for i, parameter := range p {
		ctype, _, _ := strings.Cut(parameter.ctype, ":")
		parts[i] = strings.TrimSpace(ctype + " " + parameter.name)
		parts[i] = strings.ReplaceAll(parts[i], "* ", "*")
	}
	return strings.Join(parts, ", ")
}

// definition is a prototype and where it was found.
type definition struct {
	prototype prototype
	file      string
	declared  bool // in a header only
}

// prototypes are the entry points of a kernel's tree.
type prototypes map[string][]definition

var (
	macro    = regexp.MustCompile(`\b((?:COMPAT_|PPC32_)?SYSCALL(?:32)?_DEFINE)([0-6])\(\s*(\w+)`)
	function = regexp.MustCompile(`\b(?:asmlinkage|extern|__visible|static)?[ \t]*(?:unsigned )?(?:long|int|ssize_t|void \*|void|u32|unsigned)\s+\*?(?:__weak )?((?:compat_)?(?:sys|parisc|arm|m68k|sh|old)\w*)\s*\(`)
	comment  = regexp.MustCompile(`(?s)/\*.*?\*/|//[^\n]*`)
	pair     = regexp.MustCompile(`\b(?:SC_ARG64|compat_arg_u64_dual|arg_u32p)\(\s*(\w+)\s*\)`)
)

// sources are the parts of the tree that hold entry points.
var sources = []string{"arch", "block", "drivers/char", "drivers/pci", "fs", "include/asm-generic", "include/linux", "init", "io_uring", "ipc", "kernel", "lib", "mm", "net", "security"}

// readPrototypes finds the definitions and declarations of entry points below a kernel's tree, of the architectures that are used.
func readPrototypes(tree string, abis []*abi) (prototypes, error) {
	found := prototypes{}
	for _, directory := range sources {
		err := filepath.WalkDir(filepath.Join(tree, directory), func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			relative, err := filepath.Rel(tree, path)
			if err != nil {
				return err
			}
			if entry.IsDir() && filepath.Dir(relative) == "arch" && !slices.ContainsFunc(abis, func(a *abi) bool { return a.arch == entry.Name() }) {
				return fs.SkipDir
			}
			if extension := filepath.Ext(path); entry.Type().IsRegular() && (extension == ".c" || extension == ".h" || extension == ".S") {
				text, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				return found.scan(relative, string(text))
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if len(found) < 500 {
		return nil, fmt.Errorf("only %d entry points found", len(found))
	}
	return found, nil
}

// scan finds the entry points of a file.
func (found prototypes) scan(file, text string) error {
	if !strings.Contains(text, "SYSCALL") && !strings.Contains(text, "asmlinkage") && !strings.Contains(text, "sys_") {
		return nil
	}
	text = comment.ReplaceAllString(text, " ")
	if strings.HasSuffix(file, ".c") {
		for _, match := range macro.FindAllStringSubmatchIndex(text, -1) {
			kind, name := text[match[2]:match[3]], text[match[6]:match[7]]
			p, err := macroPrototype(text[match[7]:])
			if err != nil {
				return fmt.Errorf("%s: %s: %w", file, name, err)
			}
			for _, prefix := range prefixes[kind] {
				found[prefix+name] = append(found[prefix+name], definition{p, file, false})
			}
		}
	}
	for _, match := range function.FindAllStringSubmatchIndex(text, -1) {
		name := text[match[2]:match[3]]
		if p, body, err := functionPrototype(text[match[1]:]); err == nil {
			found[name] = append(found[name], definition{p, file, !body})
		}
	}
	return nil
}

// prefixes are those of the functions that a macro defines.
var prefixes = map[string][]string{
	"SYSCALL_DEFINE": {"sys_"}, "COMPAT_SYSCALL_DEFINE": {"compat_sys_"}, "SYSCALL32_DEFINE": {"compat_sys_"}, "PPC32_SYSCALL_DEFINE": {"sys_", "compat_sys_"},
}

// parenthesized returns what stands before the parenthesis that closes the one that was opened before text, and what follows that.
func parenthesized(text string) (inner, rest string, ok bool) {
	depth := 1
	for i := range len(text) {
		switch text[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return text[:i], text[i+1:], true
			}
		case ';', '{':
			return "", "", false
		}
	}
	return "", "", false
}

// macroPrototype reads ", type, name, type, name)".
func macroPrototype(text string) (prototype, error) {
	inner, _, ok := parenthesized(text)
	if !ok {
		return nil, fmt.Errorf("no closing parenthesis")
	}
	inner = pair.ReplaceAllString(inner, "u32, ${1}_lo, u32, ${1}_hi")
	parts := strings.Split(inner, ",")[1:]
	if len(parts)%2 != 0 {
		return nil, fmt.Errorf("a type without a name in %q", inner)
	}
	p := prototype{}
	for i := 0; i < len(parts); i += 2 {
		p = append(p, parameter{plain(parts[i]), plain(parts[i+1])})
	}
	return p, nil
}

var declarator = regexp.MustCompile(`^(.*?[\s*])(\w+)((?:\[\w*\])?)$`)

// functionPrototype reads "type name, type name)" and says whether a body follows.
func functionPrototype(text string) (p prototype, body bool, err error) {
	inner, rest, ok := parenthesized(text)
	if !ok {
		return nil, false, fmt.Errorf("no closing parenthesis")
	}
	p = prototype{}
	for part := range strings.SplitSeq(inner, ",") {
		part = plain(part)
		if part == "void" || part == "" {
			continue
		}
		match := declarator.FindStringSubmatch(part)
		switch {
		case match == nil || typeWords[match[2]]:
			p = append(p, parameter{ctype: part})
		case match[3] != "":
			p = append(p, parameter{plain(match[1]) + " *", match[2]})
		default:
			p = append(p, parameter{plain(match[1]), match[2]})
		}
	}
	return p, strings.HasPrefix(strings.TrimSpace(rest), "{"), nil
}

// typeWords may end a parameter that has no name.
var typeWords = map[string]bool{"int": true, "long": true, "unsigned": true, "char": true, "short": true, "loff_t": true, "size_t": true, "uid_t": true, "gid_t": true, "pid_t": true}

// plain is a piece of C without annotations and with single spaces.
func plain(text string) string {
	words := strings.Fields(strings.ReplaceAll(text, "*", " * "))
	words = slices.DeleteFunc(words, func(word string) bool { return word == "__user" || word == "__unused" || word == "__maybe_unused" })
	text = strings.Join(words, " ")
	return strings.ReplaceAll(text, "* *", "**")
}

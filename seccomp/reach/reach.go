// SPDX-License-Identifier: Apache-2.0

// Package reach finds the system calls that a program can make, by reading its code and that of its libraries without running either.
//
// It follows the program as the kernel and the dynamic linker would start it: from the entry points and initialisers through calls, jumps,
// imported symbols and every address of a function that reachable code or data holds. Each system call instruction on the way is asked for
// the numbers it may pass; where the number is an argument, the callers are asked. The answer is meant to be complete, so that a filter made
// of it does not stop the program, and says where it may not be: a place whose number cannot be told is listed as unresolved, as is a library
// that is missing.
//
// What reading cannot see, and the caller has to add:
//   - libraries and plug-ins that are loaded at run time (dlopen; of glibc: name services, character sets), which Options.Libraries names, and
//     functions that are looked up by name (dlsym): Result.Loads says whether the program may;
//   - programs that the program executes, and what the kernel does itself before the first instruction;
//   - code that is made at run time (just-in-time compilers), and calls that the vDSO makes when it cannot answer by itself.
//
// It relies on compilers: functions do not forge addresses of others by arithmetic, a function keeps the registers that its convention says,
// and a jump table lies in data that its function names. Hand-written code that follows the conventions is understood as well.
package reach

import (
	"cmp"
	"io"
	"slices"

	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

// Opener opens a file by its absolute path in the tree that the program will run in, following symbolic links within that tree. A file that
// does not exist is fs.ErrNotExist. What it returns is closed if it is an io.Closer.
type Opener func(path string) (io.ReaderAt, error)

// Options say what else to read, and how.
type Options struct {
	Libraries []string // paths of what the program loads at run time; reached as if the program had been linked with it, all exported functions
	Limits    Limits   // zero fields have defaults
}

// Limits bound the work, and how much of the code counts.
type Limits struct {
	Objects      int   // files that are read; 512
	Bytes        int64 // of all files; 1 GiB
	Instructions int   // that are decoded; 200 million
	Whole        bool  // take every function for reachable: the upper bound, which a library's size decides
}

func (l Limits) orDefaults() Limits {
	l.Objects = cmp.Or(l.Objects, 512)
	l.Bytes = cmp.Or(l.Bytes, 1<<30)
	l.Instructions = cmp.Or(l.Instructions, 200_000_000)
	return l
}

// Site is a place in the code of an object.
type Site struct {
	Object   string // path
	Address  uint64 // as the object's own tables count
	Function string // "" = in no known function
	Why      string // what is the matter, of an unresolved site
}

// Call is a system call that the program can make.
type Call struct {
	ABI    *syscalls.ABI
	Call   syscalls.Call
	Number uint32 // as in seccomp_data.nr; that of socketcall or ipc, for a call that is made through it
	Sites  []Site // the instructions that make it, ascending
}

// Missing is a library that an object asks for and the tree does not have.
type Missing struct{ Name, By string }

// Result is what was found.
type Result struct {
	ABI        *syscalls.ABI // the program's own
	Objects    []string      // the program, then its libraries in the order of symbol lookup, then the dynamic linker
	Calls      []Call        // by ABI, then number
	Unresolved []Site        // instructions whose numbers are not all known, and calls that pass them
	Missing    []Missing
	Undefined  []Missing // symbols that no object defines
	// Loads are functions by which the program may reach more code, of those that it calls: dlopen, dlsym, and of glibc what asks name services or
	// converts character sets. By names the object that asks for it.
	Loads []Missing
}

// Program reads the program at a path of a tree. The path's own directory is what $ORIGIN stands for, so symbolic links to the program should
// be followed before. The error names the file that is not understood: not ELF, another architecture, malformed, or beyond a limit.
func Program(open Opener, path string, options Options) (*Result, error) {
	limits := options.Limits.orDefaults()
	l := loader{open: open, limits: limits, left: limits.Bytes, byName: map[string]*object{}}
	if err := l.load(path, options.Libraries); err != nil {
		return nil, err
	}
	e := &exploration{
		objects: l.objects, limits: limits, left: limits.Instructions, routines: map[place]*routine{},
		symbols: map[string][]place{}, missing: map[string]*object{}, formed: map[*object][]uint64{}, reached: map[string]string{}, doubted: map[place]bool{},
	}
	for _, o := range l.extra {
		e.takeExports(o)
	}
	if err := e.explore(); err != nil {
		return nil, err
	}
	result := &Result{Missing: l.missing}
	for _, o := range l.objects {
		result.Objects = append(result.Objects, o.path)
	}
	if err := e.collect(result); err != nil {
		return nil, err
	}
	return result, nil
}

// takeExports reaches every exported function of an object that is loaded at run time.
func (e *exploration) takeExports(o *object) {
	for _, s := range o.symbols {
		if s.defined && s.code {
			e.take(o, s.value, "a library that is loaded at run time")
		}
	}
}

// Names returns the calls by name, ascending: what a profile has to allow for the program, on every ABI that it uses. Two calls that no
// instruction makes are among them where they belong: the kernel has an interrupted process make restart_syscall, and returns from a signal
// handler by rt_sigreturn, which on some architectures only the vDSO does.
func (r *Result) Names() []string {
	names := []string{"restart_syscall"}
	for _, c := range r.Calls {
		names = append(names, c.Call.String())
		if c.Call.String() == "rt_sigaction" {
			names = append(names, "rt_sigreturn")
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

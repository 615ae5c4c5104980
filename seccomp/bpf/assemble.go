// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"
	"slices"
)

// Codes of the instructions that are assembled. seccomp_is_const_allow() of kernel/seccomp.c, which finds the calls that need
// not run the filter, understands each of them.
const (
	codeLoad    = LD | W | ABS
	codeAnd     = ALU | AND | K
	codeJump    = JMP | JA
	codeEqual   = JMP | JEQ | K
	codeAtLeast = JMP | JGE | K
	codeReturn  = RET | K
)

// reach is the farthest that a conditional jump goes, in instructions skipped: jt and jf are bytes.
const reach = 255

// LengthError is a program that is longer than the kernel takes.
type LengthError struct{ Instructions int }

func (e *LengthError) Error() string {
	return fmt.Sprintf("the filter needs %d instructions, %d more than the kernel's limit of %d", e.Instructions, e.Instructions-Length, Length)
}

// maximumAssembled ends the assembly of what is far too long to be counted exactly.
const maximumAssembled = 1 << 20

// unset is the place of a node that is not placed yet.
const unset = -1

// assembler writes a program from its end, so that the distance of every jump is known when it is written.
type assembler struct {
	graph   *Graph
	program []Instruction // the last one first
	// Where a node starts, counted from the end: with the load of its word, and after it, for those who come with the word loaded.
	entry, loaded []int32
	loads         []bool // whether some way into the node comes without its word
}

// Assemble returns the program that decides as the graph does from root. The error is a *LengthError.
func (g *Graph) Assemble(root Ref) ([]Instruction, error) {
	a := &assembler{graph: g, program: make([]Instruction, 0, 256), entry: make([]int32, len(g.nodes)), loaded: make([]int32, len(g.nodes)), loads: make([]bool, len(g.nodes))}
	for i := range a.entry {
		a.entry[i], a.loaded[i] = unset, unset
	}
	order := a.order(root)
	for _, ref := range order {
		a.place(ref)
		if len(a.program) > maximumAssembled {
			break
		}
	}
	if len(a.program) > Length {
		return nil, &LengthError{len(a.program)}
	}
	slices.Reverse(a.program)
	return a.program, nil
}

// order returns the tests that root reaches, each after those that it goes to, and finds which have to load their word. Of the two ways on, the one
// to what is shared is placed last.
func (a *assembler) order(root Ref) []Ref {
	order := make([]Ref, 0, len(a.graph.nodes))
	seen := make([]bool, len(a.graph.nodes))
	var walk func(Ref)
	walk = func(ref Ref) {
		seen[ref] = true
		n := &a.graph.nodes[ref]
		if n.test != codeReturn {
			for _, next := range [2]Ref{n.no, n.yes} {
				to := &a.graph.nodes[next]
				if to.test != codeReturn && to.word != n.word {
					a.loads[next] = true
				}
				if !seen[next] {
					walk(next)
				}
			}
		}
		order = append(order, ref)
	}
	a.loads[root] = a.graph.nodes[root].test != codeReturn
	walk(root)
	return slices.DeleteFunc(order, func(ref Ref) bool { return a.graph.nodes[ref].test == codeReturn && ref != root })
}

// place writes the instructions of one node.
func (a *assembler) place(ref Ref) {
	n := &a.graph.nodes[ref]
	if n.test == codeReturn {
		a.write(Instruction{Code: codeReturn, K: n.value})
		return
	}
	// A way on that is out of reach is brought near first. That may take the other one out of reach, so both are looked at until nothing is written.
	for before := -1; before != len(a.program); {
		before = len(a.program)
		a.bringNear(n.no, n.word)
		a.bringNear(n.yes, n.word)
	}
	here := int32(len(a.program))
	a.write(Instruction{Code: n.test, K: n.value, True: uint8(here - *a.label(n.yes, n.word) - 1), False: uint8(here - *a.label(n.no, n.word) - 1)})
	a.loaded[ref] = here
	if !a.loads[ref] {
		return
	}
	if n.word.Mask != ^uint32(0) {
		a.write(Instruction{Code: codeAnd, K: n.word.Mask})
	}
	a.write(Instruction{Code: codeLoad, K: n.word.Offset})
	a.entry[ref] = int32(len(a.program) - 1)
}

// label returns where those who come with the word loaded have to jump to.
func (a *assembler) label(ref Ref, word Word) *int32 {
	if n := &a.graph.nodes[ref]; n.test == codeReturn || n.word != word {
		return &a.entry[ref]
	}
	return &a.loaded[ref]
}

// bringNear makes sure that the next instruction written can jump to the node: by another return, or by a jump to it.
func (a *assembler) bringNear(ref Ref, word Word) {
	label := a.label(ref, word)
	here := int32(len(a.program))
	if *label != unset && here-*label-1 <= reach {
		return
	}
	if n := &a.graph.nodes[ref]; n.test == codeReturn {
		a.write(Instruction{Code: codeReturn, K: n.value})
	} else {
		a.write(Instruction{Code: codeJump, K: uint32(here - *label - 1)})
	}
	*label = here
}

func (a *assembler) write(instruction Instruction) { a.program = append(a.program, instruction) }

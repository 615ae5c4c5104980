// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

// auditX86 is AUDIT_ARCH_X86_64, which x86_64 and x32 share.
const auditX86 = 0xc000003e

// Filter is a compiled policy: what seccomp(2) takes.
type Filter struct {
	Program   []bpf.Instruction
	BigEndian bool // byte order of the machine that it is for
	Flags     Flags
}

// Bytes returns the program as an array of struct sock_filter of the machine that it is for.
func (f *Filter) Bytes() []byte { return bpf.Encode(f.Order(), f.Program) }

// Order returns the byte order of the machine that the filter is for.
func (f *Filter) Order() bpf.Order { return bpf.Order(f.BigEndian) }

// How often calls are expected, relative to each other. A call that is always allowed is answered from the kernel's bitmap without running the filter, but for
// kernels before 5.11 and for x32; so what counts are the others, of which none is known to be more frequent than another.
const (
	weightAsked   = 1.0
	weightCached  = 0.02
	weightUnknown = 0.1
	weightForeign = 0.1 // of calls by another than the native ABI
)

// x32Bit marks the calls of x32 among those of AUDIT_ARCH_X86_64.
const x32Bit = 0x40000000

// Compile turns a policy into the smallest and quickest filter that it finds, and proves that the two mean the same. The same policy gives the same bytes. Errors are
// a *bpf.LengthError for a filter that the kernel would not take, and faults of the policy that Resolve does not make.
func Compile(policy *Policy) (*Filter, error) {
	c, err := newCompiler(policy)
	if err != nil {
		return nil, err
	}
	decision := c.graph.Return(uint32(KillThread))
	for i := len(c.groups) - 1; i >= 0; i-- {
		group := c.groups[i]
		decision = c.graph.Equal(bpf.Whole(bpf.OffsetArch), group[0].Audit, c.numbers(group), decision)
	}
	if c.err != nil {
		return nil, c.err
	}
	program, err := c.graph.Assemble(decision)
	if err != nil {
		return nil, fmt.Errorf("seccomp: %w", err)
	}
	filter := &Filter{Program: program, BigEndian: policy.ABIs[0].BigEndian, Flags: policy.Flags}
	switch err := c.prove(filter); {
	case errors.Is(err, errTangled):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("bug: %w", err)
	}
	return filter, nil
}

// compiler is the state of one compilation.
type compiler struct {
	*index
	graph  *bpf.Graph
	groups [][]*syscalls.ABI // that share an AUDIT_ARCH
	table  table             // of the group that is looked at
	// decided are the nodes that decide a call by its arguments, by what they depend on.
	decided map[claim]bpf.Ref
	budget  int
	err     error // the first
}

func newCompiler(policy *Policy) (*compiler, error) {
	if len(policy.ABIs) == 0 {
		return nil, errors.New("seccomp: a policy for no architecture")
	}
	if len(policy.Rules) > math.MaxUint16 {
		return nil, fmt.Errorf("seccomp: %d rules, more than %d", len(policy.Rules), math.MaxUint16)
	}
	c := &compiler{graph: bpf.NewGraph(), budget: maximumSteps, table: table{runs: make([]bpf.Run, 0, 256)}, decided: map[claim]bpf.Ref{}}
	for _, abi := range policy.ABIs {
		if abi.BigEndian != policy.ABIs[0].BigEndian {
			return nil, fmt.Errorf("seccomp: %s and %s in one filter: no machine has both byte orders", policy.ABIs[0].Name, abi.Name)
		}
		c.enter(abi)
	}
	c.index = newIndex(policy)
	return c, nil
}

// enter puts an ABI into the group of its AUDIT_ARCH.
func (c *compiler) enter(abi *syscalls.ABI) {
	for i, group := range c.groups {
		if group[0].Audit == abi.Audit {
			if !slices.Contains(group, abi) {
				c.groups[i] = append(group, abi)
			}
			return
		}
	}
	c.groups = append(c.groups, []*syscalls.ABI{abi})
}

// numbers returns the node that decides the calls of one AUDIT_ARCH by their numbers.
func (c *compiler) numbers(group []*syscalls.ABI) bpf.Ref {
	foreign := c.graph.Return(uint32(KillThread))
	unknown := c.graph.Return(uint32(c.policy.unknown(group[0])))
	t := &c.table
	t.runs, t.next = t.runs[:0], 0
	if group[0].Audit != auditX86 {
		c.fill(t, group[0], unknown)
		t.fill(math.MaxUint32, unknown)
		t.one(math.MaxUint32, unknown, weightUnknown)
		return c.graph.Switch(bpf.Whole(bpf.OffsetNumber), t.runs)
	}
	for _, half := range []struct{ base, end uint32 }{{0, x32Bit}, {x32Bit, math.MaxUint32}} {
		rest := foreign
		for _, abi := range group {
			if abi.Base == half.base {
				c.fill(t, abi, unknown)
				rest = unknown
			}
		}
		t.fill(half.end, rest)
	}
	t.one(math.MaxUint32, unknown, weightUnknown) // -1: a tracer has skipped the call
	return c.graph.Switch(bpf.Whole(bpf.OffsetNumber), t.runs)
}

// fill enters the calls of one ABI, and unknown for the numbers between them.
func (c *compiler) fill(t *table, abi *syscalls.ABI, unknown bpf.Ref) {
	for number, call := range abi.Numbers() {
		t.fill(number, unknown)
		to, weight := c.call(abi, call)
		if abi != c.policy.ABIs[0] {
			weight *= weightForeign
		}
		t.one(number, to, weight)
	}
}

// call returns the node that decides one call, and how often it is expected to be asked.
func (c *compiler) call(abi *syscalls.ABI, call syscalls.Call) (bpf.Ref, float64) {
	action, ok := c.fixed(call)
	var o outcome
	if !ok {
		o = c.outcome(abi, call)
		action, ok = o.constant()
	}
	if ok {
		if action == Allow {
			return c.graph.Return(uint32(action)), weightCached
		}
		return c.graph.Return(uint32(action)), weightAsked
	}
	k := newClaim(0, abi, call, o)
	ref, ok := c.decided[k]
	if !ok {
		if ref, ok = argumentDecision(c.graph, abi, call, o, &c.budget); !ok && c.err == nil {
			c.err = fmt.Errorf("%w (%s)", errTangled, call)
		}
		c.decided[k] = ref
	}
	return ref, weightAsked
}

// table collects what is done with ascending numbers.
type table struct {
	runs []bpf.Run
	next uint64 // the first number that is not in yet
}

// fill enters all numbers up to end, which is not entered.
func (t *table) fill(end uint32, to bpf.Ref) {
	if t.next < uint64(end) {
		t.add(uint32(t.next), to, weightUnknown)
		t.next = uint64(end)
	}
}

// one enters one number.
func (t *table) one(number uint32, to bpf.Ref, weight float64) {
	t.add(number, to, weight)
	t.next = uint64(number) + 1
}

func (t *table) add(start uint32, to bpf.Ref, weight float64) {
	if last := len(t.runs) - 1; last >= 0 && t.runs[last].To == to {
		t.runs[last].Weight += weight
		return
	}
	t.runs = append(t.runs, bpf.Run{Start: start, To: to, Weight: weight})
}

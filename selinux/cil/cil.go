// SPDX-License-Identifier: Apache-2.0

// Package cil compiles SELinux's Common Intermediate Language to the binary policy that the kernel loads: to a policy of its own, as secilc does, or onto an
// existing one.
//
// Three steps follow each other. Sources become a tree of scopes, in which blocks are inherited, macros called and unresolvable optionals left out (scope.go,
// tree.go); each statement of it is resolved into the model (model.go, and a file for each family of statements); the model is put into a policydb.Policy
// (build.go and the files named build_).
package cil

import (
	"github.com/bulkhead-project/bulkhead/selinux/cil/syntax"
	"github.com/bulkhead-project/bulkhead/selinux/policydb"
	"github.com/bulkhead-project/bulkhead/source"
)

// Source is one file: its name in messages, and its text.
type Source struct {
	Name string
	Text []byte
}

// Options of Compile, which are secilc's. The zero value compiles a policy of its own of the highest version that all kernels of the last years read.
type Options struct {
	Onto    *policydb.Policy             // the sources add to this policy, which is not changed; nil: they are all there is
	Version uint32                       // of the binary policy; 0: 33, or Onto's
	Order   policydb.Order               // of the tables in the file; Onto's stay as they are, and what is new stands behind
	MLS     *bool                        // whatever the sources say (-M); nil: as they say, else false
	Unknown *policydb.UnknownPermissions // whatever the sources say (-U); nil: as they say, else deny

	PreserveTunables     bool // tunables become booleans, tunableif booleanif (-P)
	QualifiedNames       bool // names may have dots, and there are no blocks (-Q)
	MultipleDeclarations bool // types, type attributes and roles may be declared again (-m)
	DisableDontAudit     bool // dontaudit rules are left out (-D)
	DisableNeverAllow    bool // neverallow rules and bounds are not checked (-N)
	ExpandGenerated      bool // attributes that converters of policy modules made are expanded in rules and left out (-G)
	Optimize             bool // rules that others cover are left out (-O); of policies of their own
	ExpandSize           int  // attributes of fewer types, named in rules alone, are expanded and left out (-X); 0: 1, as secilc; negative: none
}

// defaultVersion is what kernels since 5.5 read.
const defaultVersion = 33

// expandSize is how many types an attribute needs to be kept for the sake of access rules.
func (o *Options) expandSize() int {
	switch {
	case o.ExpandSize == 0:
		return 1
	case o.ExpandSize < 0:
		return 0
	}
	return o.ExpandSize
}

// Result is what sources compile to.
type Result struct {
	Policy       *policydb.Policy
	FileContexts []byte // file_contexts(5), the most special last
	Seusers      []byte // seusers(5): which SELinux user each login is
	UserPrefixes []byte // user U prefix P; lines for genhomedircon(8)
	Warnings     source.Diagnostics
	Disabled     []Disabled // optionals that are left out
}

// Compile compiles sources to a policy, of their own or onto an existing one. Errors are source.Diagnostics, with the places and how they came about.
//
// Onto a policy, what is there keeps its values, its order and its meaning. Sources see its names and may add to what they stand for: types to attributes (which brings them under the
// constraints that name these), types to roles, roles to users, permissions to rules, categories to sensitivities. They may not declare a name again, add initial
// SIDs, or say something else where one thing can be said. A binary policy has forgotten some things, so that a type that joins one of its attributes does not get
// all that it would get if everything were compiled together: not the rules about self, the type, role and range transitions and the types of roles that were said
// of the attribute, as they stand there type by type; nor the attributes that were defined by others or by what they are not.
func Compile(sources []Source, options Options) (*Result, error) {
	if options.Version == 0 {
		if options.Version = defaultVersion; options.Onto != nil {
			options.Version = options.Onto.Version
		}
	}
	words := &syntax.Words{}
	trees := make([]*syntax.Tree, len(sources))
	for i, source := range sources {
		tree, err := words.Parse(source.Name, source.Text)
		if err != nil {
			return nil, err
		}
		trees[i] = tree
	}
	m, disabled, err := resolve(trees, words, options)
	if err != nil {
		return nil, err
	}
	result, err := m.build(&options)
	if err != nil {
		return nil, err
	}
	result.Disabled = disabled
	return result, nil
}

// SPDX-License-Identifier: Apache-2.0

// Package cil compiles SELinux's Common Intermediate Language to the binary policy that the kernel loads: to a policy of its own, as secilc does, or onto an
// existing one.
//
// Three steps follow each other. Sources become a tree of scopes, in which blocks are inherited, macros called and unresolvable optionals left out (scope.go,
// tree.go); each statement of it is resolved into the model (model.go, and a file for each family of statements); the model is put into a policydb.Policy
// (build.go and the files named build_).
package cil

import "github.com/bulkhead-project/bulkhead/selinux/policydb"

// Source is one file: its name in messages, and its text.
type Source struct {
	Name string
	Text []byte
}

// Options of Compile. The zero value compiles a policy of its own of the highest version that all kernels of the last years read.
type Options struct {
	Onto    *policydb.Policy // the sources add to this policy, which is not changed; nil: they are all there is
	Version uint32           // of the binary policy; 0: 33, or Onto's

	PreserveTunables     bool // tunables become booleans, tunableif booleanif
	QualifiedNames       bool // names may have dots, and there are no blocks
	MultipleDeclarations bool // types, type attributes and roles may be declared again
}

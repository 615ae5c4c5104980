// SPDX-License-Identifier: Apache-2.0

package cil

// scope is where names are declared and looked up: the root, a block, a macro's body where it is called, or the contents of a block where it is inherited.
type scope struct{ parent *scope }

// SPDX-License-Identifier: Apache-2.0

package syntax

import "io/fs"

// Options tell Parse where files come from.
type Options struct {
	// Files is where includes are read: their paths are looked up without the leading slash. Nil: includes are errors.
	Files fs.FS
	// Base is the directory that relative includes ("path" and <path>) are searched in before the others; "" for /etc/apparmor.d.
	Base string
	// Include are further directories for <path>, in their order.
	Include []string
	// WarnDeprecated and the like are decided by the caller: every warning is in Policy.Warnings.
}

// Parse reads one policy text. On error it is source.Diagnostics, one for every bad rule that was found; the tree then has the good ones.
func Parse(name, text string, options Options) (*Policy, error) { panic("being written") }

// SPDX-License-Identifier: Apache-2.0

package seccomp

import "github.com/bulkhead-project/bulkhead/seccomp/syscalls"

func argType(abi *syscalls.ABI, c syscalls.Call, i int) syscalls.Type {
	switch c.String() {
	case "socket", "personality":
		return syscalls.Type{Bits: 32}
	}
	return syscalls.Type{Bits: 64}
}

func since(c syscalls.Call) syscalls.Version {
	switch c.String() {
	case "open_tree_attr", "file_getattr", "file_setattr", "listns", "rseq_slice_yield", "uprobe":
		return syscalls.Version{Major: 6, Minor: 18}
	}
	return syscalls.Version{}
}

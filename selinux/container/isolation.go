// SPDX-License-Identifier: Apache-2.0

package container

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bulkhead-project/bulkhead/selinux"
	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// Two pairs that have nothing in common.
const (
	onePair     = "s0:c0,c1"
	anotherPair = "s0:c2,c3"
)

// ownClasses are those whose permissions the kernel asks of a process about itself alone, whatever a policy allows between two.
var ownClasses = []string{"capability", "capability2", "cap_userns", "cap2_userns", "memprotect", "user_namespace", "lockdown"}

// ownPermissions are those of class process.
var ownPermissions = []string{"fork", "setexec", "setfscreate", "setkeycreate", "setsockcreate", "setcurrent", "execmem", "execstack", "execheap"}

// Residue says what a container under a policy may still do to another of the same types that holds another pair: to its processes and to its files, a class with its
// permissions each, "file { getattr map }". process and files are contexts; the levels that they may have are not looked at. Nothing is what a whole set of MCS
// constraints leaves.
func Residue(policy *policydb.Policy, process, files string) (toProcesses, toFiles []string, err error) {
	source, err := atLevel(policy, process, onePair)
	if err != nil {
		return nil, nil, err
	}
	for _, target := range []struct {
		context string
		found   *[]string
	}{{process, &toProcesses}, {files, &toFiles}} {
		other, err := atLevel(policy, target.context, anotherPair)
		if err != nil {
			return nil, nil, err
		}
		for _, access := range policy.Residue(source, other) {
			if left := between(policy, access); left != 0 {
				*target.found = append(*target.found, access.Class.Name+" "+policy.FormatPermissions(access.Class, left))
			}
		}
	}
	return toProcesses, toFiles, nil
}

// atLevel reads a context with another level.
func atLevel(policy *policydb.Policy, text, level string) (*policydb.Context, error) {
	context, err := selinux.ParseContext(text)
	if err != nil {
		return nil, err
	}
	return policy.ParseContext(fmt.Sprintf("%s:%s:%s:%s", context.User, context.Role, context.Type, level))
}

// between are the permissions that one process can be asked for about another or its objects.
func between(policy *policydb.Policy, access policydb.ClassAccess) uint32 {
	left := access.Allowed
	if slices.Contains(ownClasses, access.Class.Name) {
		return 0
	}
	if access.Class.Name == "process" {
		for _, name := range ownPermissions {
			if bit, err := policy.Permission(access.Class, name); err == nil {
				left &^= bit
			}
		}
	}
	return left
}

// mostClasses bounds a sentence: a policy that keeps nothing apart leaves everything.
const mostClasses = 8

// Sentence says in words what Residue found, "" for nothing.
func Sentence(toProcesses, toFiles []string) string {
	var parts []string
	for _, part := range []struct {
		to   string
		list []string
	}{{"processes", toProcesses}, {"files", toFiles}} {
		switch {
		case len(part.list) == 0:
		case len(part.list) > mostClasses:
			parts = append(parts, fmt.Sprintf("to its %s: %s and %d classes more", part.to, strings.Join(part.list[:mostClasses], ", "), len(part.list)-mostClasses))
		default:
			parts = append(parts, fmt.Sprintf("to its %s: %s", part.to, strings.Join(part.list, ", ")))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "the loaded policy does not stop a container from doing to one with another category pair, " + strings.Join(parts, "; ")
}

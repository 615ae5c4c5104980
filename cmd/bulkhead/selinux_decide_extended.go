// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

// extendedFlags are --ioctl and --nlmsg.
type extendedFlags struct{ ioctl, message string }

func (f *extendedFlags) add(command *cobra.Command) {
	command.Flags().StringVar(&f.ioctl, "ioctl", "", "the ioctl `COMMAND`, such as 0x5401")
	command.Flags().StringVar(&f.message, "nlmsg", "", "the `TYPE` of netlink message, such as 18; kernels since 6.13 ask so")
}

func (f *extendedFlags) given() bool { return f.ioctl != "" || f.message != "" }

func (f *extendedFlags) decide(policy *policydb.Policy, source, target, className string) (accessAnswer, error) {
	from, to, class, err := parties(policy, source, target, className)
	if err != nil {
		return accessAnswer{}, err
	}
	if f.message != "" {
		number, err := strconv.ParseUint(f.message, 0, 16)
		if err != nil {
			return accessAnswer{}, usageError{fmt.Errorf("--nlmsg %q: expected a number below 65536", f.message)}
		}
		return decideExtended(policy, from, to, class, policydb.PermissionNlmsg, uint16(number))
	}
	command, err := strconv.ParseUint(f.ioctl, 0, 32)
	if err != nil {
		return accessAnswer{}, usageError{fmt.Errorf("--ioctl %q: expected a number of 32 bits", f.ioctl)}
	}
	switch permission := policy.IoctlPermission(uint32(command)); permission {
	case policydb.PermissionIoctl:
		return decideExtended(policy, from, to, class, permission, uint16(command))
	case "":
		return accessAnswer{}, fmt.Errorf("the kernel asks no permission of the file for ioctl %#x", command)
	default: // one that every file has
		return decideAll(policy, source, target, className, []string{permission})
	}
}

func decideExtended(policy *policydb.Policy, from, to *policydb.Context, class *policydb.Class, permission string, number uint16) (accessAnswer, error) {
	x, err := policy.ExplainExtended(from, to, class.Value, permission, number)
	if err != nil {
		return accessAnswer{}, err
	}
	name := fmt.Sprintf("%s 0x%04x", permission, number)
	answer := answerOf(policy, name, &x.Permission)
	answer.Allowed, answer.Cause, answer.Silent = x.Allowed, string(x.Cause), !x.Allowed && !x.Logged
	if x.Cause == policydb.ByExtended || x.Cause == policydb.NoExtended {
		answer.Rules = nil
		for _, rule := range x.Rules {
			answer.Rules = append(answer.Rules, policy.FormatRule(rule))
		}
	}
	return accessAnswer{Allowed: x.Allowed, Permissive: x.Permission.Permissive, Permissions: []permissionAnswer{answer}}, nil
}
